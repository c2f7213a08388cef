#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/value.h"
#include "series.h"

#define SERIES_LINE    160
#define SERIES_NUMBERS 12


static int32_t
series_round(double value)
{
    if (!(value > -1e9)) {
        return -1000000000;
    }

    return value < 1e9 ? (int32_t) lround(value) : 1000000000;
}


static int32_t
series_quantile(const traffic_t *traffic, double q)
{
    double  us;

    us = histogram_quantile(traffic->latency, q);

    return us < 0.0 ? SERIES_NONE : series_round(us);
}


void
series_group(series_group_t *group, const traffic_t *traffic)
{
    if (!(traffic->requests >= TRAFFIC_NOTHING) || !(traffic->seconds > 0.0))
    {
        group->rate = 0;
        group->errors = SERIES_NONE;
        group->p50 = SERIES_NONE;
        group->p99 = SERIES_NONE;
        return;
    }

    group->rate = series_round(traffic->requests / traffic->seconds * 100.0);
    group->errors = series_round(traffic->errors / traffic->requests * 1e6);
    group->p50 = series_quantile(traffic, 0.5);
    group->p99 = series_quantile(traffic, 0.99);
}


int32_t
series_log(double log_odds)
{
    return series_round(log_odds * 1000.0);
}


/* The first stays, and every second after it. */
static void
series_thin(series_t *series)
{
    unsigned  i;

    for (i = 0; 2 * i < series->count; i++) {
        series->points[i] = series->points[2 * i];
    }

    series->count = i;
    series->interval_ms *= 2;
}


void
series_add(series_t *series, const series_point_t *point)
{
    const series_point_t  *last;

    if (series->interval_ms == 0) {
        series->interval_ms = SERIES_MIN_MS;
    }

    if (series->count > 0) {
        last = &series->points[series->count - 1];

        if (point->at_ms <= last->at_ms
            || (point->at_ms - last->at_ms < series->interval_ms / 10 * 9
                && point->weight == last->weight))
        {
            return;
        }
    }

    if (series->count == SERIES_MAX) {
        series_thin(series);
    }

    series->points[series->count++] = *point;
}


char *
series_text(const series_t *series)
{
    char                  *text, *p;
    unsigned               i;
    const series_point_t  *point;

    text = malloc((series->count + 1) * SERIES_LINE);
    if (text == NULL) {
        abort();
    }

    p = text + sprintf(text, "%lld\n", (long long) series->interval_ms);

    for (i = 0; i < series->count; i++) {
        point = &series->points[i];
        p += sprintf(p, "%lld %d %d %d %d %d %d %d %d %d %d %d\n",
                     (long long) point->at_ms, point->weight,
                     point->evidence, point->safe,
                     point->stable.rate, point->stable.errors,
                     point->stable.p50, point->stable.p99,
                     point->canary.rate, point->canary.errors,
                     point->canary.p50, point->canary.p99);
    }

    return text;
}


/* A number that ends with the character end; moves *text past that. */
static bool
series_number(const char **text, char end, int64_t *number)
{
    char       *stop;
    long long   value;

    errno = 0;
    value = strtoll(*text, &stop, 10);

    if (stop == *text || errno != 0 || *stop != end || value > VALUE_MAX_INT
        || value < -VALUE_MAX_INT)
    {
        return false;
    }

    *number = value;
    *text = stop + 1;

    return true;
}


static bool
series_point(const char **text, series_point_t *point)
{
    int64_t   value[SERIES_NUMBERS];
    unsigned  i;

    for (i = 0; i < SERIES_NUMBERS; i++) {
        if (!series_number(text, i < SERIES_NUMBERS - 1 ? ' ' : '\n',
                           &value[i])
            || (i > 0 && (value[i] > INT32_MAX || value[i] < INT32_MIN)))
        {
            return false;
        }
    }

    point->at_ms = value[0];
    point->weight = (int32_t) value[1];
    point->evidence = (int32_t) value[2];
    point->safe = (int32_t) value[3];
    point->stable = (series_group_t) { (int32_t) value[4],
        (int32_t) value[5], (int32_t) value[6], (int32_t) value[7] };
    point->canary = (series_group_t) { (int32_t) value[8],
        (int32_t) value[9], (int32_t) value[10], (int32_t) value[11] };

    return true;
}


void
series_parse(const char *text, series_t *series)
{
    memset(series, 0, sizeof(series_t));

    if (text == NULL
        || !series_number(&text, '\n', &series->interval_ms)
        || series->interval_ms < 0)
    {
        goto invalid;
    }

    while (*text != '\0') {
        if (series->count == SERIES_MAX
            || !series_point(&text, &series->points[series->count])
            || (series->count > 0
                && series->points[series->count].at_ms
                   <= series->points[series->count - 1].at_ms))
        {
            goto invalid;
        }

        series->count++;
    }

    return;

invalid:

    memset(series, 0, sizeof(series_t));
}


/* --- for people --- */

static cJSON *
series_value(int32_t value, double unit)
{
    return value == SERIES_NONE ? cJSON_CreateNull()
                                : cJSON_CreateNumber(value / unit);
}


static cJSON *
series_group_json(const series_t *series, bool canary)
{
    cJSON                 *json, *rate, *errors, *p50, *p99;
    unsigned               i;
    const series_group_t  *group;

    json = cJSON_CreateObject();
    rate = cJSON_AddArrayToObject(json, "requests_per_second");
    errors = cJSON_AddArrayToObject(json, "error_rate");
    p50 = cJSON_AddArrayToObject(json, "p50_ms");
    p99 = cJSON_AddArrayToObject(json, "p99_ms");

    for (i = 0; i < series->count; i++) {
        group = canary ? &series->points[i].canary
                       : &series->points[i].stable;

        if (!value_push(rate, cJSON_CreateNumber(group->rate / 100.0))
            || !value_push(errors, series_value(group->errors, 1e6))
            || !value_push(p50, series_value(group->p50, 1e3))
            || !value_push(p99, series_value(group->p99, 1e3)))
        {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


cJSON *
series_json(const series_t *series)
{
    cJSON                 *json, *at, *weight, *evidence, *safe;
    unsigned               i;
    const series_point_t  *point;

    json = cJSON_CreateObject();
    at = cJSON_AddArrayToObject(json, "at_ms");
    weight = cJSON_AddArrayToObject(json, "weight");
    evidence = cJSON_AddArrayToObject(json, "log_evidence");
    safe = cJSON_AddArrayToObject(json, "log_safe");

    for (i = 0; i < series->count; i++) {
        point = &series->points[i];

        if (!value_push(at, cJSON_CreateNumber((double) point->at_ms))
            || !value_push(weight, cJSON_CreateNumber(point->weight / 100.0))
            || !value_push(evidence,
                           cJSON_CreateNumber(point->evidence / 1000.0))
            || !value_push(safe, cJSON_CreateNumber(point->safe / 1000.0)))
        {
            goto no_memory;
        }
    }

    if (!value_put(json, "stable", series_group_json(series, false))
        || !value_put(json, "canary", series_group_json(series, true)))
    {
        goto no_memory;
    }

    return json;

no_memory:

    cJSON_Delete(json);

    return NULL;
}
