#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/value.h"
#include "series.h"

/* Numbers of a line: the time, then of the canary and of stable in the order
 * that they had before there were others, then each other group's. */
#define SERIES_TIME    1
#define SERIES_GROUP   4
#define SERIES_ARM     (3 + SERIES_GROUP)
#define SERIES_MOST    (SERIES_TIME + SERIES_GROUP                            \
                        + SPEC_MAX_ARMS * SERIES_ARM)
#define SERIES_DIGITS  12          /* of an int32_t, with what ends it */
#define SERIES_LINE    24          /* what the time has more, and the end */


static unsigned
series_numbers(unsigned arm_count)
{
    return SERIES_TIME + SERIES_GROUP + arm_count * SERIES_ARM;
}


void
series_init(series_t *series, unsigned arm_count)
{
    memset(series, 0, sizeof(series_t));
    series->arm_count = arm_count;
}


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


static bool
series_weighs(const series_t *series, const series_point_t *a,
    const series_point_t *b)
{
    unsigned  i;

    for (i = 0; i < series->arm_count; i++) {
        if (a->arms[i].weight != b->arms[i].weight) {
            return false;
        }
    }

    return true;
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
                && series_weighs(series, point, last)))
        {
            return;
        }
    }

    if (series->count == SERIES_MAX) {
        series_thin(series);
    }

    series->points[series->count++] = *point;
}


static int64_t *
series_put_group(int64_t *next, const series_group_t *group)
{
    *next++ = group->rate;
    *next++ = group->errors;
    *next++ = group->p50;
    *next++ = group->p99;

    return next;
}


static int64_t *
series_put_judged(int64_t *next, const series_arm_t *arm)
{
    *next++ = arm->weight;
    *next++ = arm->evidence;
    *next++ = arm->safe;

    return next;
}


char *
series_text(const series_t *series)
{
    char                  *text, *p;
    int64_t                value[SERIES_MOST], *next;
    unsigned               i, n, count;
    const series_point_t  *point;

    count = series_numbers(series->arm_count);
    text = malloc((series->count + 1) * (count * SERIES_DIGITS
                                         + SERIES_LINE));
    if (text == NULL) {
        abort();
    }

    p = text + sprintf(text, "%lld\n", (long long) series->interval_ms);

    for (i = 0; i < series->count; i++) {
        point = &series->points[i];
        next = value;
        *next++ = point->at_ms;
        next = series_put_judged(next, &point->arms[0]);
        next = series_put_group(next, &point->stable);
        next = series_put_group(next, &point->arms[0].traffic);

        for (n = 1; n < series->arm_count; n++) {
            next = series_put_judged(next, &point->arms[n]);
            next = series_put_group(next, &point->arms[n].traffic);
        }

        for (n = 0; n < count; n++) {
            p += sprintf(p, n == 0 ? "%lld" : " %lld", (long long) value[n]);
        }

        *p++ = '\n';
    }

    *p = '\0';

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


static const int64_t *
series_take_group(const int64_t *next, series_group_t *group)
{
    group->rate = (int32_t) *next++;
    group->errors = (int32_t) *next++;
    group->p50 = (int32_t) *next++;
    group->p99 = (int32_t) *next++;

    return next;
}


static const int64_t *
series_take_judged(const int64_t *next, series_arm_t *arm)
{
    arm->weight = (int32_t) *next++;
    arm->evidence = (int32_t) *next++;
    arm->safe = (int32_t) *next++;

    return next;
}


static bool
series_point(const char **text, unsigned arm_count, series_point_t *point)
{
    int64_t         value[SERIES_MOST];
    unsigned        i, count;
    const int64_t  *next;

    count = series_numbers(arm_count);
    memset(value, 0, sizeof(value));

    for (i = 0; i < count; i++) {
        if (!series_number(text, i < count - 1 ? ' ' : '\n', &value[i])
            || (i > 0 && (value[i] > INT32_MAX || value[i] < INT32_MIN)))
        {
            return false;
        }
    }

    next = value;
    point->at_ms = *next++;
    next = series_take_judged(next, &point->arms[0]);
    next = series_take_group(next, &point->stable);
    next = series_take_group(next, &point->arms[0].traffic);

    for (i = 1; i < arm_count; i++) {
        next = series_take_judged(next, &point->arms[i]);
        next = series_take_group(next, &point->arms[i].traffic);
    }

    return true;
}


void
series_parse(const char *text, unsigned arm_count, series_t *series)
{
    series_init(series, arm_count);

    if (text == NULL
        || !series_number(&text, '\n', &series->interval_ms)
        || series->interval_ms < 0)
    {
        goto invalid;
    }

    while (*text != '\0') {
        if (series->count == SERIES_MAX
            || !series_point(&text, arm_count,
                             &series->points[series->count])
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

    series_init(series, arm_count);
}


/* --- for people --- */

static cJSON *
series_value(int32_t value, double unit)
{
    return value == SERIES_NONE ? cJSON_CreateNull()
                                : cJSON_CreateNumber(value / unit);
}


/* What of a point is shown: stable's traffic, or an arm's. */
static const series_group_t *
series_traffic(const series_point_t *point, int arm)
{
    return arm < 0 ? &point->stable : &point->arms[arm].traffic;
}


static bool
series_put_traffic(cJSON *json, const series_t *series, int arm)
{
    cJSON                 *rate, *errors, *p50, *p99;
    unsigned               i;
    const series_group_t  *group;

    rate = cJSON_AddArrayToObject(json, "requests_per_second");
    errors = cJSON_AddArrayToObject(json, "error_rate");
    p50 = cJSON_AddArrayToObject(json, "p50_ms");
    p99 = cJSON_AddArrayToObject(json, "p99_ms");

    for (i = 0; i < series->count; i++) {
        group = series_traffic(&series->points[i], arm);

        if (!value_push(rate, cJSON_CreateNumber(group->rate / 100.0))
            || !value_push(errors, series_value(group->errors, 1e6))
            || !value_push(p50, series_value(group->p50, 1e3))
            || !value_push(p99, series_value(group->p99, 1e3)))
        {
            return false;
        }
    }

    return true;
}


static bool
series_put_evidence(cJSON *json, const series_t *series, unsigned number)
{
    cJSON               *weight, *evidence, *safe;
    unsigned             i;
    const series_arm_t  *arm;

    weight = cJSON_AddArrayToObject(json, "weight");
    evidence = cJSON_AddArrayToObject(json, "log_evidence");
    safe = cJSON_AddArrayToObject(json, "log_safe");

    for (i = 0; i < series->count; i++) {
        arm = &series->points[i].arms[number];

        if (!value_push(weight, cJSON_CreateNumber(arm->weight / 100.0))
            || !value_push(evidence,
                           cJSON_CreateNumber(arm->evidence / 1000.0))
            || !value_push(safe, cJSON_CreateNumber(arm->safe / 1000.0)))
        {
            return false;
        }
    }

    return true;
}


cJSON *
series_arm_json(const series_t *series, unsigned arm)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (!series_put_evidence(json, series, arm)
        || !series_put_traffic(json, series, (int) arm))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


cJSON *
series_json(const series_t *series)
{
    cJSON     *json, *at, *stable, *canary;
    unsigned   i;

    json = cJSON_CreateObject();
    at = cJSON_AddArrayToObject(json, "at_ms");

    for (i = 0; i < series->count; i++) {
        if (!value_push(at, cJSON_CreateNumber(
                                (double) series->points[i].at_ms)))
        {
            goto no_memory;
        }
    }

    if (!series_put_evidence(json, series, 0)) {
        goto no_memory;
    }

    stable = cJSON_AddObjectToObject(json, "stable");
    canary = cJSON_AddObjectToObject(json, "canary");

    if (!series_put_traffic(stable, series, -1)
        || !series_put_traffic(canary, series, 0))
    {
        goto no_memory;
    }

    return json;

no_memory:

    cJSON_Delete(json);

    return NULL;
}
