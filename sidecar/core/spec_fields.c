/* Refusals with the path of the field, checks of objects and numbers. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "spec_fields.h"
#include "text.h"
#include "value.h"

#define NAME_MAX_LEN  32           /* longer names resemble no field */


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
