/* Numbers in JSON trees, exactly. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"


cJSON *
value_number(double number)
{
    char    text[32], *comma;
    cJSON  *json;

    if (!isfinite(number)) {
        return cJSON_CreateNull();
    }

    number += 0.0;                 /* -0 is 0: not all cJSONs print it */

    snprintf(text, sizeof(text), "%.15g", number);

    if (strtod(text, NULL) == number) {
        return cJSON_CreateNumber(number);     /* prints just this text */
    }

    snprintf(text, sizeof(text), "%.17g", number);

    comma = strchr(text, ',');                 /* the locale's */
    if (comma != NULL) {
        *comma = '.';
    }

    json = cJSON_CreateRaw(text);
    if (json != NULL) {
        json->valuedouble = number;
    }

    return json;
}


bool
value_read_number(const cJSON *json, double *number)
{
    if (!cJSON_IsNumber(json) && !cJSON_IsRaw(json)) {
        return false;
    }

    if (!isfinite(json->valuedouble)) {
        return false;
    }

    *number = json->valuedouble + 0.0;

    return true;
}


bool
value_read_integer(const cJSON *json, int64_t min, int64_t max,
    int64_t *number)
{
    double  d;

    if (!value_read_number(json, &d) || d != floor(d) || d < (double) min
        || d > (double) max)
    {
        return false;
    }

    *number = (int64_t) d;

    return true;
}


bool
value_read_count(const cJSON *json, uint64_t *count)
{
    int64_t  n;

    if (!value_read_integer(json, 0, VALUE_MAX_INT, &n)) {
        return false;
    }

    *count = (uint64_t) n;

    return true;
}


bool
value_put(cJSON *object, const char *name, cJSON *item)
{
    if (item == NULL) {
        return false;
    }

    if (!cJSON_AddItemToObject(object, name, item)) {
        cJSON_Delete(item);
        return false;
    }

    return true;
}


bool
value_put_text(cJSON *object, const char *name, const char *text)
{
    return value_put(object, name, cJSON_CreateString(text));
}


bool
value_push(cJSON *array, cJSON *item)
{
    if (item == NULL) {
        return false;
    }

    if (!cJSON_AddItemToArray(array, item)) {
        cJSON_Delete(item);
        return false;
    }

    return true;
}
