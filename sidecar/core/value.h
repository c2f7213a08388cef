/*
 * Numbers in JSON trees, exactly.  cJSON prints what is within a relative
 * epsilon, which changes the last bit of a double and counts above 10^15.
 */

#ifndef CORE_VALUE_H
#define CORE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#define VALUE_MAX_INT  (INT64_C(1) << 53)

/* A number that survives printing and parsing bit by bit; null if it is not
 * finite.  It may be a raw item; valuedouble is set in any case. */
cJSON *value_number(double number);

/* False if json is NULL, no number, or not finite. */
bool value_read_number(const cJSON *json, double *number);

/* As above, and false if not an integer of [min, max]; both at most
 * VALUE_MAX_INT in magnitude. */
bool value_read_integer(const cJSON *json, int64_t min, int64_t max,
    int64_t *number);

/* As above, of [0, VALUE_MAX_INT]. */
bool value_read_count(const cJSON *json, uint64_t *count);

/* Adds a member or an element and takes the item over; false (and the item
 * is freed) if it is NULL or there is no memory.  name is copied. */
bool value_put(cJSON *object, const char *name, cJSON *item);
bool value_put_text(cJSON *object, const char *name, const char *text);
bool value_push(cJSON *array, cJSON *item);

#endif
