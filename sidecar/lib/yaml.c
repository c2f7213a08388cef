#include "yaml.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "file.h"
#include "utf8.h"

#define YAML_MAX_SIZE   (256 * 1024)
#define YAML_MAX_DEPTH  32
#define YAML_MAX_KEYS   1000       /* of one mapping: each is looked up */
#define YAML_MAX_EXACT  9007199254740992.0     /* 2^53 */

typedef struct {
    yaml_parser_t   parser;
    yaml_event_t    event;         /* the present one */
    bool            has_event;
    char           *error;
    size_t          size;
} yaml_reader_t;

static int yaml_next(yaml_reader_t *reader);
static cJSON *yaml_node(yaml_reader_t *reader, unsigned depth);
static cJSON *yaml_sequence(yaml_reader_t *reader, unsigned depth);
static cJSON *yaml_mapping(yaml_reader_t *reader, unsigned depth);
static char *yaml_key(yaml_reader_t *reader, const cJSON *map);
static cJSON *yaml_scalar(yaml_reader_t *reader);
static cJSON *yaml_plain(yaml_reader_t *reader, const char *text);
static bool yaml_one_of(const char *text, const char *const *names);
static bool yaml_is_number(const char *text, int *base);
static bool yaml_accept(yaml_reader_t *reader);
static void yaml_refuse(yaml_reader_t *reader, const char *detail,
    const char *name);


cJSON *
yaml_parse(const char *text, size_t len, char *error, size_t size)
{
    cJSON          *json;
    yaml_reader_t   reader;

    if (len > YAML_MAX_SIZE) {
        snprintf(error, size, "larger than %d KiB", YAML_MAX_SIZE / 1024);
        return NULL;
    }

    memset(&reader, 0, sizeof(reader));
    reader.error = error;
    reader.size = size;

    if (!yaml_parser_initialize(&reader.parser)) {
        snprintf(error, size, "out of memory");
        return NULL;
    }

    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser,
                                 (const unsigned char *) text, len);
    json = NULL;

    if (yaml_next(&reader) || yaml_next(&reader)) {
        goto done;
    }

    if (reader.event.type == YAML_STREAM_END_EVENT) {
        /* Nothing but comments. */
        json = cJSON_CreateNull();
        if (json == NULL) {
            yaml_refuse(&reader, "out of memory", NULL);
        }

        goto done;
    }

    if (yaml_next(&reader)) {
        goto done;
    }

    json = yaml_node(&reader, 1);
    if (json == NULL) {
        goto done;
    }

    /* The end of the document, and of the stream. */
    if (yaml_next(&reader) || yaml_next(&reader)) {
        cJSON_Delete(json);
        json = NULL;

    } else if (reader.event.type != YAML_STREAM_END_EVENT) {
        yaml_refuse(&reader, "a second document", NULL);
        cJSON_Delete(json);
        json = NULL;
    }

done:

    if (reader.has_event) {
        yaml_event_delete(&reader.event);
    }

    yaml_parser_delete(&reader.parser);
    return json;
}


cJSON *
yaml_parse_file(const char *path, char *error, size_t size)
{
    char    *text, detail[256];
    cJSON   *json;
    size_t   len;

    text = file_read(path, YAML_MAX_SIZE, &len, error, size);
    if (text == NULL) {
        return NULL;
    }

    json = yaml_parse(text, len, detail, sizeof(detail));
    if (json == NULL) {
        snprintf(error, size, "%.*s: %s", (int) (size / 2),
                 strcmp(path, "-") == 0 ? "standard input" : path, detail);
    }

    free(text);
    return json;
}


static int
yaml_next(yaml_reader_t *reader)
{
    if (reader->has_event) {
        yaml_event_delete(&reader->event);
        reader->has_event = false;
    }

    if (yaml_parser_parse(&reader->parser, &reader->event)) {
        reader->has_event = true;
        return 0;
    }

    if (reader->parser.error == YAML_MEMORY_ERROR) {
        snprintf(reader->error, reader->size, "out of memory");

    } else if (reader->parser.error == YAML_READER_ERROR) {
        snprintf(reader->error, reader->size, "byte %zu: %s",
                 reader->parser.problem_offset, reader->parser.problem);

    } else {
        snprintf(reader->error, reader->size, "line %zu: %s",
                 reader->parser.problem_mark.line + 1,
                 reader->parser.problem ? reader->parser.problem
                                        : "not YAML");
    }

    return -1;
}


/* The node that the present event begins; its last event is the present one
 * afterwards. */
static cJSON *
yaml_node(yaml_reader_t *reader, unsigned depth)
{
    if (!yaml_accept(reader)) {
        return NULL;
    }

    if (depth > YAML_MAX_DEPTH) {
        yaml_refuse(reader, "nested too deep", NULL);
        return NULL;
    }

    switch (reader->event.type) {

    case YAML_SCALAR_EVENT:
        return yaml_scalar(reader);

    case YAML_SEQUENCE_START_EVENT:
        return yaml_sequence(reader, depth);

    case YAML_MAPPING_START_EVENT:
        return yaml_mapping(reader, depth);

    default:
        yaml_refuse(reader, "not a value", NULL);
        return NULL;
    }
}


static cJSON *
yaml_sequence(yaml_reader_t *reader, unsigned depth)
{
    cJSON  *array, *item;

    array = cJSON_CreateArray();
    if (array == NULL) {
        yaml_refuse(reader, "out of memory", NULL);
        return NULL;
    }

    for ( ;; ) {
        if (yaml_next(reader)) {
            break;
        }

        if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
            return array;
        }

        item = yaml_node(reader, depth + 1);
        if (item == NULL) {
            break;
        }

        cJSON_AddItemToArray(array, item);
    }

    cJSON_Delete(array);
    return NULL;
}


static cJSON *
yaml_mapping(yaml_reader_t *reader, unsigned depth)
{
    char      *key;
    cJSON     *map, *item;
    unsigned   count;

    map = cJSON_CreateObject();
    if (map == NULL) {
        yaml_refuse(reader, "out of memory", NULL);
        return NULL;
    }

    for (count = 0; /* void */ ; count++) {
        if (yaml_next(reader)) {
            break;
        }

        if (reader->event.type == YAML_MAPPING_END_EVENT) {
            return map;
        }

        if (count == YAML_MAX_KEYS) {
            yaml_refuse(reader, "too many keys in a mapping", NULL);
            break;
        }

        key = yaml_key(reader, map);
        if (key == NULL) {
            break;
        }

        item = yaml_next(reader) ? NULL : yaml_node(reader, depth + 1);

        if (item == NULL) {
            free(key);
            break;
        }

        if (!cJSON_AddItemToObject(map, key, item)) {
            cJSON_Delete(item);
            free(key);
            yaml_refuse(reader, "out of memory", NULL);
            break;
        }

        free(key);
    }

    cJSON_Delete(map);
    return NULL;
}


/* A copy of the present event as a key that map does not have; NULL with the
 * error. */
static char *
yaml_key(yaml_reader_t *reader, const cJSON *map)
{
    char        *key;
    const char  *text;

    if (!yaml_accept(reader)) {
        return NULL;
    }

    if (reader->event.type != YAML_SCALAR_EVENT) {
        yaml_refuse(reader, "a key must be a plain name", NULL);
        return NULL;
    }

    text = (const char *) reader->event.data.scalar.value;

    if (strlen(text) != reader->event.data.scalar.length) {
        yaml_refuse(reader, "a NUL character in a key", NULL);
        return NULL;
    }

    if (cJSON_GetObjectItemCaseSensitive(map, text) != NULL) {
        yaml_refuse(reader, "duplicate key", text);
        return NULL;
    }

    key = strdup(text);
    if (key == NULL) {
        yaml_refuse(reader, "out of memory", NULL);
    }

    return key;
}


static cJSON *
yaml_scalar(yaml_reader_t *reader)
{
    cJSON       *json;
    const char  *text;

    text = (const char *) reader->event.data.scalar.value;

    if (strlen(text) != reader->event.data.scalar.length) {
        yaml_refuse(reader, "a NUL character in a string", NULL);
        return NULL;
    }

    if (reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        return yaml_plain(reader, text);
    }

    json = cJSON_CreateString(text);
    if (json == NULL) {
        yaml_refuse(reader, "out of memory", NULL);
    }

    return json;
}


/* The core schema of YAML 1.2: "yes" and "on" are strings, 010 is ten. */
static cJSON *
yaml_plain(yaml_reader_t *reader, const char *text)
{
    int      base;
    char    *end;
    cJSON   *json;
    double   value;

    static const char *const  nulls[] = { "", "~", "null", "Null", "NULL",
                                          NULL };
    static const char *const  trues[] = { "true", "True", "TRUE", NULL };
    static const char *const  falses[] = { "false", "False", "FALSE", NULL };
    static const char *const  infinite[] = {
        ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "-.inf", "-.Inf",
        "-.INF", "+.inf", "+.Inf", "+.INF", NULL
    };

    if (yaml_one_of(text, nulls)) {
        json = cJSON_CreateNull();

    } else if (yaml_one_of(text, trues)) {
        json = cJSON_CreateTrue();

    } else if (yaml_one_of(text, falses)) {
        json = cJSON_CreateFalse();

    } else if (yaml_one_of(text, infinite)) {
        yaml_refuse(reader, "not a finite number", text);
        return NULL;

    } else if (yaml_is_number(text, &base)) {
        if (base == 10) {
            value = strtod(text, &end);

        } else {
            errno = 0;
            value = (double) strtoull(text + 2, &end, base);
            if (errno == ERANGE) {
                value = HUGE_VAL;
            }
        }

        /* What a double cannot hold is more likely text than a number. */
        if (!isfinite(value)
            || (fabs(value) > YAML_MAX_EXACT
                && (base != 10 || strpbrk(text, ".eE") == NULL)))
        {
            yaml_refuse(reader, "too large a number (text needs quotes)",
                        text);
            return NULL;
        }

        json = cJSON_CreateNumber(value);

    } else {
        json = cJSON_CreateString(text);
    }

    if (json == NULL) {
        yaml_refuse(reader, "out of memory", NULL);
    }

    return json;
}


static bool
yaml_one_of(const char *text, const char *const *names)
{
    for ( /* void */ ; *names != NULL; names++) {
        if (strcmp(text, *names) == 0) {
            return true;
        }
    }

    return false;
}


/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, 0o17, 0x1f */
static bool
yaml_is_number(const char *text, int *base)
{
    size_t              n, fraction;
    static const char   digits[] = "0123456789";

    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        *base = text[1] == 'o' ? 8 : 16;
        text += 2;
        n = strspn(text, *base == 8 ? "01234567" : "0123456789abcdefABCDEF");
        return n > 0 && text[n] == '\0';
    }

    *base = 10;

    if (*text == '-' || *text == '+') {
        text++;
    }

    n = strspn(text, digits);
    text += n;

    if (*text == '.') {
        fraction = strspn(text + 1, digits);

        if (n == 0 && fraction == 0) {
            return false;
        }

        text += 1 + fraction;

    } else if (n == 0) {
        return false;
    }

    if (*text == 'e' || *text == 'E') {
        text++;

        if (*text == '-' || *text == '+') {
            text++;
        }

        n = strspn(text, digits);

        if (n == 0) {
            return false;
        }

        text += n;
    }

    return *text == '\0';
}


/* No aliases, anchors and tags: none of them is needed, and aliases can make
 * a small text huge. */
static bool
yaml_accept(yaml_reader_t *reader)
{
    const yaml_char_t  *anchor, *tag;

    switch (reader->event.type) {

    case YAML_ALIAS_EVENT:
        yaml_refuse(reader, "aliases (*) are not supported", NULL);
        return false;

    case YAML_SCALAR_EVENT:
        anchor = reader->event.data.scalar.anchor;
        tag = reader->event.data.scalar.tag;
        break;

    case YAML_SEQUENCE_START_EVENT:
        anchor = reader->event.data.sequence_start.anchor;
        tag = reader->event.data.sequence_start.tag;
        break;

    case YAML_MAPPING_START_EVENT:
        anchor = reader->event.data.mapping_start.anchor;
        tag = reader->event.data.mapping_start.tag;
        break;

    default:
        return true;
    }

    if (anchor != NULL) {
        yaml_refuse(reader, "anchors (&) are not supported", NULL);
        return false;
    }

    if (tag != NULL) {
        yaml_refuse(reader, "tags (!) are not supported", NULL);
        return false;
    }

    return true;
}


static void
yaml_refuse(yaml_reader_t *reader, const char *detail, const char *name)
{
    char    clean[64];
    size_t  line;

    line = reader->has_event ? reader->event.start_mark.line + 1 : 1;

    if (name == NULL) {
        snprintf(reader->error, reader->size, "line %zu: %s", line, detail);
        return;
    }

    snprintf(reader->error, reader->size, "line %zu: %s: \"%s\"", line,
             detail, utf8_clean(name, strlen(name), clean, sizeof(clean)));
}
