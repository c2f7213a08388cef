/*
 * Structured log lines (logfmt or JSON) to a file descriptor, one write(2) a
 * line.  Values are escaped; secrets must not be given.
 *
 *   log_info(log, "record applied", LOG_S("upstream", name),
 *            LOG_I("revision", rev));
 */

#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdint.h>

typedef enum { LOG_DEBUG = 0, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;
typedef enum { LOG_LOGFMT = 0, LOG_JSON } log_format_t;

typedef struct {
    const char     *key;           /* NULL ends the list */
    enum { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_FLOAT } type;
    const char     *string;        /* borrowed; NULL prints as empty */
    int64_t         integer;
    double          real;
} log_field_t;

#define LOG_S(k, v)  { .key = (k), .type = LOG_FIELD_STRING, .string = (v) }
#define LOG_I(k, v)  { .key = (k), .type = LOG_FIELD_INT, .integer = (v) }
#define LOG_F(k, v)  { .key = (k), .type = LOG_FIELD_FLOAT, .real = (v) }

typedef struct log_s  log_t;

log_t *log_new(int fd, log_format_t format, log_level_t level);  /* fd stays
                                                           the caller's */
void log_free(log_t *log);
void log_set(log_t *log, log_format_t format, log_level_t level);
void log_write(log_t *log, log_level_t level, const char *event,
    const log_field_t *fields);

#define log_at(log, level, event, ...)                                       \
    log_write(log, level, event, (const log_field_t[])                       \
              { __VA_ARGS__ __VA_OPT__(,) { .key = NULL } })
#define log_debug(log, ...)  log_at(log, LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...)   log_at(log, LOG_INFO, __VA_ARGS__)
#define log_warn(log, ...)   log_at(log, LOG_WARN, __VA_ARGS__)
#define log_error(log, ...)  log_at(log, LOG_ERROR, __VA_ARGS__)

/* -1 if the name is none. */
int log_level_parse(const char *name, log_level_t *level);
int log_format_parse(const char *name, log_format_t *format);

#endif
