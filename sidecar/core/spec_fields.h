/*
 * What the readers of specs, analysis configs and cases share: refusals with
 * the path of the field, and checks of objects and numbers.
 */

#ifndef CORE_SPEC_FIELDS_H
#define CORE_SPEC_FIELDS_H

#include "spec.h"

/* A number with its range; an open end is not part of it. */
typedef struct {
    const char  *name;
    double       min;
    bool         min_open;
    double       max;
    bool         max_open;
} spec_range_t;

/* Fills *error for the field prefix.name and returns -1.  An empty prefix or
 * name is left out, and so is the dot before a name that begins with '['. */
int spec_fail(spec_error_t *error, const char *prefix, const char *name,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Is it an object, and all its members among known (NULL ends it, at most
 * 32) and given once?  0 or -1; prefix is the object's own path. */
int spec_check_object(const cJSON *json, const char *prefix,
    const char *const *known, spec_error_t *error);

/*
 * These read a member into *value where it is present, and leave *value as
 * it is where it is not; 0, or -1 with the error.  prefix is the object's
 * own path.
 */
int spec_read_number(const cJSON *object, const char *prefix,
    const spec_range_t *range, double *value, spec_error_t *error);
int spec_read_integer(const cJSON *object, const char *prefix,
    const char *field, int64_t min, int64_t max, int64_t *value,
    spec_error_t *error);
int spec_read_duration(const cJSON *object, const char *prefix,
    const char *field, int64_t min, int64_t max, int64_t *value,
    spec_error_t *error);
int spec_read_bool(const cJSON *object, const char *prefix,
    const char *field, bool *value, spec_error_t *error);
/* One of words (NULL ends them): its number. */
int spec_read_choice(const cJSON *object, const char *prefix,
    const char *field, const char *const *words, int *value,
    spec_error_t *error);
/* Of at most SPEC_TEXT_LEN - 1 bytes. */
int spec_read_text(const cJSON *object, const char *prefix,
    const char *field, char value[SPEC_TEXT_LEN], spec_error_t *error);
/* Of an upstream, a group and the like: see store_name_valid(). */
int spec_read_name(const cJSON *object, const char *prefix,
    const char *field, char value[SPEC_NAME_LEN], spec_error_t *error);

bool spec_is_name(const char *text);

/* A percentage from min to max (units of 0.01 %), at most two decimals. */
int spec_percent(const cJSON *item, const char *prefix, const char *field,
    unsigned min, unsigned max, unsigned *value, spec_error_t *error);

#endif
