#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/value.h"
#include "traffic.h"

#define TRAFFIC_HALF_LIFE_MS  10000.0
#define TRAFFIC_MAX           1e15


void
traffic_add(traffic_t *traffic, const tally_cell_t *cell, int64_t now_ms)
{
    double    factor, seconds;
    unsigned  i;

    if (traffic->at_ms == 0 || now_ms <= traffic->at_ms) {
        /* The first, or a clock that was set back: no time is known. */
        seconds = 0.0;
        factor = 1.0;

    } else {
        seconds = (double) (now_ms - traffic->at_ms) / 1000.0;
        factor = exp2(-(double) (now_ms - traffic->at_ms)
                      / TRAFFIC_HALF_LIFE_MS);
    }

    traffic->at_ms = now_ms;

    /* Of the tick's own time as of its counts: all at its end. */
    traffic->seconds = traffic->seconds * factor + seconds;
    traffic->requests *= factor;
    traffic->errors *= factor;

    if (cell != NULL && seconds > 0.0) {
        traffic->requests += (double) cell->requests;
        traffic->errors += (double) cell->errors;
    }

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        traffic->latency[i] *= factor;

        if (cell != NULL && seconds > 0.0) {
            traffic->latency[i] += (double) cell->latency[i];
        }

        if (traffic->latency[i] < TRAFFIC_NOTHING) {
            traffic->latency[i] = 0.0;
        }
    }
}


static double
traffic_round(double value, double unit)
{
    return round(value / unit) * unit;
}


static cJSON *
traffic_quantile(const traffic_t *traffic, double q)
{
    double  us;

    us = histogram_quantile(traffic->latency, q);

    return us < 0.0 ? cJSON_CreateNull()
                    : cJSON_CreateNumber(traffic_round(us / 1000.0, 0.001));
}


double
traffic_rate(const traffic_t *traffic)
{
    return traffic->requests < TRAFFIC_NOTHING || traffic->seconds <= 0.0
           ? 0.0 : traffic->requests / traffic->seconds;
}


cJSON *
traffic_summary(const traffic_t *traffic)
{
    cJSON  *json;

    if (traffic->requests < TRAFFIC_NOTHING || traffic->seconds <= 0.0) {
        return cJSON_CreateNull();
    }

    json = cJSON_CreateObject();

    if (!value_put(json, "requests_per_second",
                   cJSON_CreateNumber(traffic_round(traffic->requests
                                                    / traffic->seconds,
                                                    0.01)))
        || !value_put(json, "error_rate",
                      cJSON_CreateNumber(traffic_round(traffic->errors
                                                       / traffic->requests,
                                                       0.000001)))
        || !value_put(json, "p50_ms", traffic_quantile(traffic, 0.5))
        || !value_put(json, "p95_ms", traffic_quantile(traffic, 0.95))
        || !value_put(json, "p99_ms", traffic_quantile(traffic, 0.99)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


cJSON *
traffic_print(const traffic_t *traffic)
{
    char      name[16];
    cJSON    *json, *latency;
    unsigned  i;

    json = cJSON_CreateObject();
    latency = cJSON_CreateObject();

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (traffic->latency[i] > 0.0) {
            snprintf(name, sizeof(name), "%u", i);

            if (!value_put(latency, name,
                           cJSON_CreateNumber(traffic->latency[i])))
            {
                cJSON_Delete(latency);
                cJSON_Delete(json);
                return NULL;
            }
        }
    }

    if (!value_put(json, "latency", latency)
        || !value_put(json, "at", cJSON_CreateNumber((double)
                                                     traffic->at_ms))
        || !value_put(json, "seconds", cJSON_CreateNumber(traffic->seconds))
        || !value_put(json, "requests", cJSON_CreateNumber(traffic->requests))
        || !value_put(json, "errors", cJSON_CreateNumber(traffic->errors)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static bool
traffic_member(const cJSON *json, const char *name, double *value)
{
    return value_read_number(cJSON_GetObjectItemCaseSensitive(json, name),
                             value)
           && *value >= 0.0 && *value <= TRAFFIC_MAX;
}


void
traffic_parse(const cJSON *json, traffic_t *traffic)
{
    char         *end;
    double        value;
    int64_t       at;
    const cJSON  *item;
    unsigned long  index;

    memset(traffic, 0, sizeof(traffic_t));

    if (!value_read_integer(cJSON_GetObjectItemCaseSensitive(json, "at"), 0,
                            VALUE_MAX_INT, &at)
        || !traffic_member(json, "seconds", &traffic->seconds)
        || !traffic_member(json, "requests", &traffic->requests)
        || !traffic_member(json, "errors", &traffic->errors))
    {
        memset(traffic, 0, sizeof(traffic_t));
        return;
    }

    traffic->at_ms = at;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json,
                                                              "latency"))
    {
        if (item->string == NULL) {
            continue;
        }

        index = strtoul(item->string, &end, 10);

        if (end != item->string && *end == '\0' && index < HISTOGRAM_BUCKETS
            && value_read_number(item, &value) && value >= 0.0
            && value <= TRAFFIC_MAX)
        {
            traffic->latency[index] = value;
        }
    }
}
