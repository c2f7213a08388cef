/* Replay of recorded ticks: {"config": {..}, "ticks": [..]} to a result. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "spec_fields.h"
#include "text.h"
#include "value.h"

/* Of one count; so that no case's sums leave what a double holds. */
#define MAX_COUNT  INT64_C(1000000000000)

static const char *const  case_fields[] = {
    "name", "config", "ticks", "expect", NULL
};


/* For reading, not for storing: a plain number, whose last bit may go. */
static cJSON *
print_number(double number)
{
    return isfinite(number) ? cJSON_CreateNumber(number) : cJSON_CreateNull();
}


static cJSON *
print_logs(const judge_result_t *result)
{
    cJSON     *list;
    unsigned   i;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < result->latency_count; i++) {
        if (!value_push(list, print_number(result->log_latency[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


static cJSON *
print_requests(const judge_result_t *result)
{
    cJSON     *list;
    unsigned   i;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < 4; i++) {
        if (!value_push(list, print_number((double) result->requests[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


cJSON *
judge_result_print(const judge_result_t *result)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (json == NULL
        || !value_put(json, "verdict", cJSON_CreateString(
                                       judge_verdict_name(result->verdict)))
        || !value_put(json, "log_evidence",
                      print_number(result->log_evidence))
        || !value_put(json, "log_safe", print_number(result->log_safe))
        || !value_put(json, "log_errors", print_number(result->log_errors))
        || !value_put(json, "log_ceiling",
                      result->has_ceiling ? print_number(result->log_ceiling)
                                          : cJSON_CreateNull())
        || !value_put(json, "log_latency", print_logs(result))
        || !value_put(json, "excess_errors",
                      print_number(result->excess_errors))
        || !value_put(json, "requests", print_requests(result)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static int
read_count(const cJSON *json, const char *path, const char *name,
    uint64_t *count, spec_error_t *error)
{
    int64_t  n;

    if (!value_read_integer(json, 0, MAX_COUNT, &n)) {
        return spec_fail(error, path, name,
                         "must be an integer from 0 to %lld",
                         (long long) MAX_COUNT);
    }

    *count = (uint64_t) n;

    return 0;
}


/* A bucket's index in decimal, without sign or leading zero; or -1. */
static int
bucket_of_name(const char *name)
{
    size_t  len;

    len = strspn(name, "0123456789");

    if (len == 0 || len > 3 || name[len] != '\0'
        || (len > 1 && name[0] == '0') || atoi(name) >= HISTOGRAM_BUCKETS)
    {
        return -1;
    }

    return atoi(name);
}


static int
read_histogram(const cJSON *json, const char *path, uint64_t *counts,
    spec_error_t *error)
{
    int           index;
    bool          given[HISTOGRAM_BUCKETS];
    const cJSON  *item;

    memset(counts, 0, HISTOGRAM_BUCKETS * sizeof(uint64_t));
    memset(given, 0, sizeof(given));

    if (!cJSON_IsObject(json)) {
        return spec_fail(error, path, "", "must be an object of bucket "
                         "indexes and counts, such as {\"163\": 12}");
    }

    cJSON_ArrayForEach(item, json) {
        index = bucket_of_name(item->string);

        if (index < 0) {
            return spec_fail(error, path, item->string,
                             "must be a bucket index from 0 to %d",
                             HISTOGRAM_BUCKETS - 1);
        }

        if (given[index]) {
            return spec_fail(error, path, item->string,
                             "must be given only once");
        }

        given[index] = true;

        if (read_count(item, path, item->string, &counts[index], error)
            != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
check_errors(const char *path, unsigned i, const uint64_t *n,
    spec_error_t *error)
{
    char  name[16];

    if (n[i] <= n[i - 1]) {
        return 0;
    }

    text_format(name, sizeof(name), "[%u]", i);

    return spec_fail(error, path, name, "must not be above the %llu requests "
                     "before it", (unsigned long long) n[i - 1]);
}


/* counts: of canary and stable, both always set. */
static int
read_tick(const cJSON *json, unsigned row, judge_tick_t *tick,
    uint64_t counts[2][HISTOGRAM_BUCKETS], spec_error_t *error)
{
    char          path[32], name[64];
    unsigned      i;
    uint64_t      n[4];
    const cJSON  *item;

    text_format(path, sizeof(path), "ticks[%u]", row);

    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) < 4
        || cJSON_GetArraySize(json) > 6)
    {
        return spec_fail(error, path, "", "must be a list [canary requests, "
                         "canary errors, stable requests, stable errors, "
                         "{canary latency}, {stable latency}], the last two "
                         "optional");
    }

    memset(tick, 0, sizeof(judge_tick_t));
    memset(n, 0, sizeof(n));
    memset(counts, 0, 2 * sizeof(counts[0]));
    i = 0;

    cJSON_ArrayForEach(item, json) {
        text_format(name, sizeof(name), "%s[%u]", path, i);

        if (i < 4 ? read_count(item, name, "", &n[i], error) != 0
                  : read_histogram(item, name, counts[i - 4], error) != 0)
        {
            return -1;
        }

        i++;
    }

    if (check_errors(path, 1, n, error) != 0
        || check_errors(path, 3, n, error) != 0)
    {
        return -1;
    }

    tick->canary_requests = n[0];
    tick->canary_errors = n[1];
    tick->stable_requests = n[2];
    tick->stable_errors = n[3];
    tick->canary_latency = counts[0];
    tick->stable_latency = counts[1];

    return 0;
}


static cJSON *
finish(cJSON *json, spec_error_t *error)
{
    if (json == NULL) {
        spec_fail(error, "", "", "there is no memory");
    }

    return json;
}


/* All rows are read, also those after the verdict, so that a broken file is
 * refused wherever it is broken. */
static cJSON *
run_ticks(const cJSON *ticks, const judge_config_t *config,
    spec_error_t *error)
{
    bool             final;
    cJSON           *json;
    judge_t          judge;
    unsigned         row, at;
    uint64_t         counts[2][HISTOGRAM_BUCKETS];
    const cJSON     *item;
    judge_tick_t     tick;
    judge_result_t   result;

    judge_init(&judge, config);
    row = 0;
    at = 0;
    final = false;

    cJSON_ArrayForEach(item, ticks) {
        if (read_tick(item, row++, &tick, counts, error) != 0) {
            return NULL;
        }

        if (final) {
            continue;
        }

        judge_tick(&judge, &tick);
        judge_result(&judge, &result);

        if (result.verdict == JUDGE_HARM || result.verdict == JUDGE_BUDGET) {
            final = true;
            at = row;
        }
    }

    if (row == 0) {
        json = cJSON_CreateObject();

        if (!value_put(json, "verdict", cJSON_CreateString(
                                        judge_verdict_name(JUDGE_NO_DATA))))
        {
            cJSON_Delete(json);
            json = NULL;
        }

        return finish(json, error);
    }

    json = judge_result_print(&result);

    if (final && json != NULL && !value_put(json, "at", print_number(at))) {
        cJSON_Delete(json);
        json = NULL;
    }

    return finish(json, error);
}


cJSON *
judge_run_case(const cJSON *json, spec_error_t *error)
{
    const cJSON     *config_json, *ticks;
    judge_config_t   config;

    if (spec_check_object(json, "", case_fields, error) != 0) {
        return NULL;
    }

    judge_config_default(&config);
    config_json = cJSON_GetObjectItemCaseSensitive(json, "config");

    if (config_json != NULL && !cJSON_IsNull(config_json)
        && spec_parse_analysis(config_json, "config", &config, error) != 0)
    {
        return NULL;
    }

    ticks = cJSON_GetObjectItemCaseSensitive(json, "ticks");

    if (!cJSON_IsArray(ticks)) {
        spec_fail(error, "", "ticks", ticks ? "must be a list of ticks"
                                            : "is required, a list of ticks");
        return NULL;
    }

    return run_ticks(ticks, &config, error);
}
