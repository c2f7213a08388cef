/* State to JSON and back.  What is read may be hostile: it is bounded. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "text.h"
#include "value.h"

/* Wealth is a logarithm and counts are decayed sums; beyond this something
 * is wrong, and below it no sum of them overflows. */
#define MAX_DOUBLE  1e300


static cJSON *
print_wealth(const judge_wealth_t *wealth)
{
    cJSON     *json, *bets;
    unsigned   i;

    json = cJSON_CreateObject();
    if (json == NULL) {
        return NULL;
    }

    bets = cJSON_CreateArray();

    if (!value_put(json, "bets", bets)
        || !value_put(json, "cash", value_number(wealth->cash)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    for (i = 0; i < wealth->count; i++) {
        if (!value_push(bets, value_number(wealth->bets[i]))) {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static cJSON *
print_harm(const judge_harm_t *harm)
{
    cJSON  *json;

    json = print_wealth(&harm->wealth);

    if (json == NULL
        || !value_put(json, "seen", value_number(harm->seen))
        || !value_put(json, "seen_bad", value_number(harm->seen_bad)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static cJSON *
print_latency(const judge_t *judge)
{
    cJSON     *list;
    unsigned   i;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < judge->config.latency_count; i++) {
        if (!value_push(list, print_harm(&judge->latency[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


static cJSON *
print_baseline(const double *baseline)
{
    char       name[16];
    cJSON     *json;
    unsigned   i;

    json = cJSON_CreateObject();

    for (i = 0; json != NULL && i < HISTOGRAM_BUCKETS; i++) {
        if (baseline[i] == 0.0) {
            continue;
        }

        snprintf(name, sizeof(name), "%u", i);

        if (!value_put(json, name, value_number(baseline[i]))) {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static cJSON *
print_counts(const uint64_t counts[4])
{
    cJSON     *list;
    unsigned   i;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < 4; i++) {
        if (!value_push(list, value_number((double) counts[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


cJSON *
judge_print(const judge_t *judge)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (json == NULL
        || !value_put(json, "errors", print_harm(&judge->errors))
        || !value_put(json, "safe", print_wealth(&judge->safe))
        || !value_put(json, "ceiling", judge->ceiling.count
                                       ? print_wealth(&judge->ceiling)
                                       : cJSON_CreateNull())
        || !value_put(json, "latency", print_latency(judge))
        || !value_put(json, "baseline", print_baseline(judge->baseline))
        || !value_put(json, "base_requests",
                      value_number(judge->base_requests))
        || !value_put(json, "base_errors", value_number(judge->base_errors))
        || !value_put(json, "excess", value_number(judge->excess))
        || !value_put(json, "silent", value_number((double) judge->silent))
        || !value_put(json, "ticks", value_number((double) judge->ticks))
        || !value_put(json, "total", print_counts(judge->total)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static bool
read_bounded(const cJSON *json, double min, double *number)
{
    return value_read_number(json, number) && *number >= min
           && *number <= MAX_DOUBLE;
}


static bool
read_log(const cJSON *json, double *number)
{
    if (cJSON_IsNull(json)) {
        *number = -INFINITY;
        return true;
    }

    return read_bounded(json, -MAX_DOUBLE, number);
}


/* How many bets there are was set by judge_init() from the config. */
static bool
read_wealth(const cJSON *json, judge_wealth_t *wealth)
{
    unsigned      i;
    const cJSON  *item, *bets;

    bets = member(json, "bets");

    if (!cJSON_IsArray(bets)
        || cJSON_GetArraySize(bets) != (int) wealth->count
        || !read_log(member(json, "cash"), &wealth->cash))
    {
        return false;
    }

    i = 0;

    cJSON_ArrayForEach(item, bets) {
        if (!read_log(item, &wealth->bets[i++])) {
            return false;
        }
    }

    return true;
}


static bool
read_harm(const cJSON *json, judge_harm_t *harm)
{
    return read_wealth(json, &harm->wealth)
           && read_bounded(member(json, "seen"), 0.0, &harm->seen)
           && read_bounded(member(json, "seen_bad"), 0.0, &harm->seen_bad);
}


static bool
read_latency(const cJSON *json, judge_t *judge)
{
    unsigned      i;
    const cJSON  *item;

    if (!cJSON_IsArray(json)
        || cJSON_GetArraySize(json) != (int) judge->config.latency_count)
    {
        return false;
    }

    i = 0;

    cJSON_ArrayForEach(item, json) {
        if (!read_harm(item, &judge->latency[i++])) {
            return false;
        }
    }

    return true;
}


static bool
read_baseline(const cJSON *json, double *baseline)
{
    char          name[16];
    unsigned      i;
    const cJSON  *item;

    if (!cJSON_IsObject(json)) {
        return false;
    }

    /* print_baseline() goes upwards; so must this, and any key that is not
     * the next wanted one runs the index out of range */

    i = 0;

    cJSON_ArrayForEach(item, json) {
        for ( /* void */ ; i < HISTOGRAM_BUCKETS; i++) {
            snprintf(name, sizeof(name), "%u", i);

            if (strcmp(name, item->string) == 0) {
                break;
            }
        }

        if (i == HISTOGRAM_BUCKETS
            || !read_bounded(item, 0.0, &baseline[i++]))
        {
            return false;
        }
    }

    return true;
}


static bool
read_counts(const cJSON *json, uint64_t counts[4])
{
    unsigned      i;
    const cJSON  *item;

    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 4) {
        return false;
    }

    i = 0;

    cJSON_ArrayForEach(item, json) {
        if (!value_read_count(item, &counts[i++])) {
            return false;
        }
    }

    return true;
}


int
judge_parse(const cJSON *json, const judge_config_t *config, judge_t *judge)
{
    const cJSON  *ceiling;

    judge_init(judge, config);

    if (!cJSON_IsObject(json)) {
        return -1;
    }

    ceiling = member(json, "ceiling");

    if (judge->ceiling.count ? !read_wealth(ceiling, &judge->ceiling)
                             : !cJSON_IsNull(ceiling))
    {
        return -1;
    }

    if (!read_harm(member(json, "errors"), &judge->errors)
        || !read_wealth(member(json, "safe"), &judge->safe)
        || !read_latency(member(json, "latency"), judge)
        || !read_baseline(member(json, "baseline"), judge->baseline)
        || !read_bounded(member(json, "base_requests"), 0.0,
                         &judge->base_requests)
        || !read_bounded(member(json, "base_errors"), 0.0,
                         &judge->base_errors)
        || !read_bounded(member(json, "excess"), -MAX_DOUBLE, &judge->excess)
        || !value_read_count(member(json, "silent"), &judge->silent)
        || !value_read_count(member(json, "ticks"), &judge->ticks)
        || !read_counts(member(json, "total"), judge->total))
    {
        return -1;
    }

    return 0;
}
