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

/* Reads object's member range->name into *number where it is present. */
int spec_read_number(const cJSON *object, const char *prefix,
    const spec_range_t *range, double *number, spec_error_t *error);

#endif
