/* Refusals with the path of the field, checks of objects and numbers. */

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "spec_fields.h"
#include "text.h"
#include "value.h"

#define NAME_MAX_LEN  32           /* longer names resemble no field */
#define MAX_SECONDS   (30.0 * 24 * 60 * 60)


int
spec_fail(spec_error_t *error, const char *prefix, const char *name,
    const char *format, ...)
{
    char         detail[512];
    va_list      args;
    const char  *dot;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);

    dot = *prefix && *name && *name != '[' ? "." : "";

    text_format(error->field, sizeof(error->field), "%s%s%s", prefix, dot,
                name);
    text_copy(error->detail, sizeof(error->detail), detail);

    return -1;
}


static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}


/* Edits between two names (Levenshtein 1966), one row at a time. */
static unsigned
distance(const char *a, const char *b)
{
    size_t    i, j, a_len, b_len;
    unsigned  row[NAME_MAX_LEN + 1], corner, above;

    a_len = strlen(a);
    b_len = strlen(b);

    if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN) {
        return NAME_MAX_LEN;
    }

    for (j = 0; j <= b_len; j++) {
        row[j] = (unsigned) j;
    }

    for (i = 1; i <= a_len; i++) {
        corner = row[0];
        row[0] = (unsigned) i;

        for (j = 1; j <= b_len; j++) {
            above = row[j];
            row[j] = least(least(above, row[j - 1]) + 1,
                           corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }

    return row[b_len];
}


static int
fail_unknown(const char *prefix, const char *name,
    const char *const *known, spec_error_t *error)
{
    char         list[256], hint[64];
    size_t       len;
    unsigned     i, d, best;
    const char  *nearest;

    len = 0;
    best = 3;                      /* more edits are another word */
    nearest = NULL;

    for (i = 0; known[i] != NULL; i++) {
        d = distance(name, known[i]);

        if (d < best) {
            best = d;
            nearest = known[i];
        }

        if (len < sizeof(list)) {
            len += (size_t) snprintf(list + len, sizeof(list) - len, "%s%s",
                                     i ? ", " : "", known[i]);
        }
    }

    hint[0] = '\0';

    if (nearest != NULL) {
        snprintf(hint, sizeof(hint), ", did you mean \"%s\"", nearest);
    }

    return spec_fail(error, prefix, name,
                     "is not a known field%s; known are %s", hint, list);
}


int
spec_check_object(const cJSON *json, const char *prefix,
    const char *const *known, spec_error_t *error)
{
    uint32_t      given;
    unsigned      i;
    const cJSON  *item;

    if (!cJSON_IsObject(json)) {
        return spec_fail(error, prefix, "", "must be an object");
    }

    given = 0;

    cJSON_ArrayForEach(item, json) {
        for (i = 0; known[i] != NULL; i++) {
            if (strcmp(item->string, known[i]) == 0) {
                break;
            }
        }

        if (known[i] == NULL) {
            return fail_unknown(prefix, item->string, known, error);
        }

        if (given & (UINT32_C(1) << i)) {
            return spec_fail(error, prefix, item->string,
                             "must be given only once");
        }

        given |= UINT32_C(1) << i;
    }

    return 0;
}


int
spec_read_number(const cJSON *object, const char *prefix,
    const spec_range_t *range, double *number, spec_error_t *error)
{
    char          min[32], max[32];
    double        d;
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, range->name);
    if (item == NULL) {
        return 0;
    }

    if (value_read_number(item, &d)
        && (range->min_open ? d > range->min : d >= range->min)
        && (range->max_open ? d < range->max : d <= range->max))
    {
        *number = d;
        return 0;
    }

    snprintf(min, sizeof(min), "%.15g", range->min);
    snprintf(max, sizeof(max), "%.15g", range->max);

    if (range->min_open || range->max_open) {
        return spec_fail(error, prefix, range->name,
                         "must be a number %s %s and %s %s",
                         range->min_open ? "above" : "from", min,
                         range->max_open ? "below" : "up to", max);
    }

    return spec_fail(error, prefix, range->name,
                     "must be a number from %s to %s", min, max);
}


int
spec_read_integer(const cJSON *object, const char *prefix, const char *field,
    int64_t min, int64_t max, int64_t *value, spec_error_t *error)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);

    if (item == NULL || value_read_integer(item, min, max, value)) {
        return 0;
    }

    return spec_fail(error, prefix, field,
                     "must be an integer from %lld to %lld", (long long) min,
                     (long long) max);
}


/* Text, or a number of seconds; -1 if it is neither or not whole ms. */
static int64_t
duration_of(const cJSON *json)
{
    double  seconds, ms;

    if (cJSON_IsString(json)) {
        return spec_parse_duration(json->valuestring);
    }

    if (!value_read_number(json, &seconds) || seconds < 0.0
        || seconds > MAX_SECONDS)
    {
        return -1;
    }

    ms = round(seconds * 1000.0);

    /* decimals are not exact: 0.29 s is 290.00000000000006 ms or so */

    return fabs(seconds * 1000.0 - ms) < 1e-6 ? (int64_t) ms : -1;
}


int
spec_read_duration(const cJSON *object, const char *prefix,
    const char *field, int64_t min, int64_t max, int64_t *value,
    spec_error_t *error)
{
    char          from[32], to[32];
    int64_t       ms;
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    ms = duration_of(item);

    if (ms < min || ms > max) {
        return spec_fail(error, prefix, field, "must be a duration from %s "
                         "to %s, such as \"250ms\", \"90s\", \"2m\", \"1h\" "
                         "or a number of seconds",
                         spec_print_duration(min, from, sizeof(from)),
                         spec_print_duration(max, to, sizeof(to)));
    }

    *value = ms;

    return 0;
}


int
spec_read_bool(const cJSON *object, const char *prefix, const char *field,
    bool *value, spec_error_t *error)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    if (!cJSON_IsBool(item)) {
        return spec_fail(error, prefix, field, "must be true or false");
    }

    *value = cJSON_IsTrue(item);

    return 0;
}


int
spec_read_choice(const cJSON *object, const char *prefix, const char *field,
    const char *const *words, int *value, spec_error_t *error)
{
    int           i;
    char          list[128];
    size_t        len;
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    len = 0;

    for (i = 0; words[i] != NULL; i++) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, words[i]) == 0)
        {
            *value = i;
            return 0;
        }

        if (len < sizeof(list)) {
            len += (size_t) snprintf(list + len, sizeof(list) - len,
                                     "%s\"%s\"", i == 0 ? ""
                                     : words[i + 1] != NULL ? ", " : " or ",
                                     words[i]);
        }
    }

    return spec_fail(error, prefix, field, "must be %s", list);
}


int
spec_read_text(const cJSON *object, const char *prefix, const char *field,
    char value[SPEC_TEXT_LEN], spec_error_t *error)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    if (!cJSON_IsString(item) || strlen(item->valuestring) >= SPEC_TEXT_LEN
        || !text_is_clean(item->valuestring))
    {
        return spec_fail(error, prefix, field, "must be a string of at most "
                         "%d bytes without control characters (in YAML, put "
                         "quotes around what looks like a number)",
                         SPEC_TEXT_LEN - 1);
    }

    text_copy(value, SPEC_TEXT_LEN, item->valuestring);

    return 0;
}


bool
spec_is_name(const char *text)
{
    size_t  len;

    len = strlen(text);

    /* "." and ".." would be something else in the path of a URL */

    return len > 0 && len < SPEC_NAME_LEN && strcmp(text, ".") != 0
           && strcmp(text, "..") != 0
           && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}


int
spec_read_name(const cJSON *object, const char *prefix, const char *field,
    char value[SPEC_NAME_LEN], spec_error_t *error)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    if (!cJSON_IsString(item) || !spec_is_name(item->valuestring)) {
        return spec_fail(error, prefix, field, "must be a string of 1 to %d "
                         "letters, digits, \".\", \"_\" or \"-\"",
                         SPEC_NAME_LEN - 1);
    }

    text_copy(value, SPEC_NAME_LEN, item->valuestring);

    return 0;
}


int
spec_percent(const cJSON *item, const char *prefix, const char *field,
    unsigned min, unsigned max, unsigned *value, spec_error_t *error)
{
    double  percent, units;

    if (value_read_number(item, &percent) && percent >= 0.0
        && percent <= 100.0)
    {
        units = round(percent * 100.0);

        if (units >= min && units <= max
            && fabs(percent * 100.0 - units) < 1e-6)
        {
            *value = (unsigned) units;
            return 0;
        }
    }

    return spec_fail(error, prefix, field, "must be a percentage from %g to "
                     "%g with at most two decimals", min / 100.0,
                     max / 100.0);
}
