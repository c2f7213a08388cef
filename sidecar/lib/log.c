#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "utf8.h"
#include "timefmt.h"

#define LOG_LINE   8192
#define LOG_VALUE  2048            /* of a value as it is printed */
#define LOG_TAIL   32              /* kept for "truncated" and the end */

struct log_s {
    int            fd;
    log_format_t   format;
    log_level_t    level;
};

typedef struct {
    log_format_t   format;
    size_t         used;
    bool           full;           /* something did not fit */
    char           text[LOG_LINE];
} log_line_t;

static const char *const  log_levels[] = { "debug", "info", "warn", "error" };
static const char *const  log_formats[] = { "logfmt", "json" };

static bool log_field(log_line_t *line, const log_field_t *field);
static void log_key(log_line_t *line, const char *key);
static void log_string(log_line_t *line, const char *text);
static bool log_bare(const char *text);
static void log_number(log_line_t *line, double value);
static void log_put(log_line_t *line, const char *text, size_t len);


log_t *
log_new(int fd, log_format_t format, log_level_t level)
{
    log_t  *log;

    log = malloc(sizeof(*log));
    if (log == NULL) {
        return NULL;
    }

    log->fd = fd;
    log_set(log, format, level);
    return log;
}


void
log_free(log_t *log)
{
    free(log);
}


void
log_set(log_t *log, log_format_t format, log_level_t level)
{
    log->format = format;
    log->level = level;
}


void
log_write(log_t *log, log_level_t level, const char *event,
    const log_field_t *fields)
{
    int                 saved;
    char                now[TIME_LEN];
    ssize_t             n;
    log_line_t          line;
    const char         *mark;
    const log_field_t  *f;

    const log_field_t  head[] = {
        LOG_S("ts", now),
        LOG_S("level", level <= LOG_ERROR ? log_levels[level] : NULL),
        LOG_S("msg", event),
        { .key = NULL }
    };

    if (log == NULL || level < log->level || level > LOG_ERROR) {
        return;
    }

    saved = errno;
    time_format(time_now_ms(), now, sizeof(now));

    line.format = log->format;
    line.used = 0;
    line.full = false;

    if (line.format == LOG_JSON) {
        log_put(&line, "{", 1);
    }

    for (f = head; f->key != NULL; f++) {
        log_field(&line, f);
    }

    /* A field that does not fit is left out whole: the line stays valid. */
    for (f = fields; f != NULL && f->key != NULL; f++) {
        if (!log_field(&line, f)) {
            break;
        }
    }

    if (line.full) {
        mark = line.format == LOG_JSON ? ",\"truncated\":1" : " truncated=1";
        memcpy(line.text + line.used, mark, strlen(mark));
        line.used += strlen(mark);
    }

    if (line.format == LOG_JSON) {
        line.text[line.used++] = '}';
    }

    line.text[line.used++] = '\n';

    do {
        n = write(log->fd, line.text, line.used);
    } while (n == -1 && errno == EINTR);

    errno = saved;
}


int
log_level_parse(const char *name, log_level_t *level)
{
    unsigned  i;

    for (i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
        if (strcmp(name, log_levels[i]) == 0) {
            *level = (log_level_t) i;
            return 0;
        }
    }

    return -1;
}


int
log_format_parse(const char *name, log_format_t *format)
{
    unsigned  i;

    for (i = 0; i < sizeof(log_formats) / sizeof(log_formats[0]); i++) {
        if (strcmp(name, log_formats[i]) == 0) {
            *format = (log_format_t) i;
            return 0;
        }
    }

    return -1;
}


/* False, and nothing of it is left in the line, if it does not fit. */
static bool
log_field(log_line_t *line, const log_field_t *field)
{
    char    number[32];
    size_t  before;

    before = line->used;
    log_key(line, field->key);

    switch (field->type) {

    case LOG_FIELD_INT:
        snprintf(number, sizeof(number), "%" PRId64, field->integer);
        log_put(line, number, strlen(number));
        break;

    case LOG_FIELD_FLOAT:
        log_number(line, field->real);
        break;

    default:
        log_string(line, field->string ? field->string : "");
        break;
    }

    if (line->full) {
        line->used = before;
        return false;
    }

    return true;
}


static void
log_key(log_line_t *line, const char *key)
{
    if (line->format == LOG_JSON) {
        if (line->used > 1) {
            log_put(line, ",", 1);
        }

        log_put(line, "\"", 1);
        log_put(line, key, strlen(key));
        log_put(line, "\":", 2);
        return;
    }

    if (line->used > 0) {
        log_put(line, " ", 1);
    }

    log_put(line, key, strlen(key));
    log_put(line, "=", 1);
}


static void
log_string(log_line_t *line, const char *text)
{
    char                  escape[8];
    size_t                i, len, begin;
    unsigned              n, code;
    const unsigned char  *p;

    if (line->format == LOG_LOGFMT && log_bare(text)) {
        log_put(line, text, strlen(text));
        return;
    }

    p = (const unsigned char *) text;
    len = strlen(text);
    log_put(line, "\"", 1);
    begin = line->used;

    for (i = 0; i < len; i += n) {

        if (line->used - begin > LOG_VALUE) {
            log_put(line, "...", 3);
            break;
        }

        n = utf8_decode(p + i, len - i, &code);

        if (n == 0) {
            n = 1;
            log_put(line, "\\ufffd", 6);

        } else if (code == '"' || code == '\\') {
            escape[0] = '\\';
            escape[1] = (char) code;
            log_put(line, escape, 2);

        } else if (code == '\n') {
            log_put(line, "\\n", 2);

        } else if (code == '\t') {
            log_put(line, "\\t", 2);

        } else if (code < 0x20 || (code >= 0x7f && code < 0xa0)
                   || (code >= 0x2028 && code <= 0x202e))
        {
            snprintf(escape, sizeof(escape), "\\u%04x", code);
            log_put(line, escape, 6);

        } else {
            log_put(line, text + i, n);
        }
    }

    log_put(line, "\"", 1);
}


/* May a logfmt value stand without quotes? */
static bool
log_bare(const char *text)
{
    size_t  i;

    for (i = 0; text[i] != '\0'; i++) {
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '='
            || text[i] == '"' || text[i] == '\\' || i >= LOG_VALUE)
        {
            return false;
        }
    }

    return i > 0;
}


static void
log_number(log_line_t *line, double value)
{
    char  number[32];

    if (!isfinite(value)) {
        log_put(line, "null", 4);
        return;
    }

    snprintf(number, sizeof(number), "%.9g", value);
    log_put(line, number, strlen(number));
}


static void
log_put(log_line_t *line, const char *text, size_t len)
{
    if (len > LOG_LINE - LOG_TAIL - line->used) {
        line->full = true;
        return;
    }

    memcpy(line->text + line->used, text, len);
    line->used += len;
}
