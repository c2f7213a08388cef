/* The judge's config: "analysis" of a spec, "config" of a case. */

#include <stddef.h>
#include <string.h>

#include "spec_fields.h"
#include "text.h"
#include "value.h"

#define count_of(a)  (sizeof(a) / sizeof((a)[0]))

typedef struct {
    spec_range_t  range;
    size_t        offset;          /* of the double in judge_config_t */
} number_t;

#define NUMBER(name, min, min_open, max, max_open)                           \
    { { #name, min, min_open, max, max_open },                               \
      offsetof(judge_config_t, name) }

/* Upper bounds without meaning keep the arithmetic finite. */
static const number_t  numbers[] = {
    NUMBER(alpha, 0.0, true, 1.0, true),
    NUMBER(beta, 0.0, true, 1.0, true),
    NUMBER(error_tolerance, 0.0, false, 1e6, false),
    NUMBER(error_floor, 0.0, false, 1.0, true),
    NUMBER(safe_margin, 0.0, false, 1e6, false),
    NUMBER(safe_slack, 0.0, true, 1.0, false),
    NUMBER(max_error_rate, 0.0, false, 1.0, true),
    NUMBER(burst, 1.0, false, 1e6, false),
    NUMBER(max_excess_errors, 0.0, false, 1e12, false),
    NUMBER(latency_floor_ms, 0.0, false, 1e6, false)
};

#define MAX_STALE_TICKS  1000000

static const char *const  analysis_fields[] = {
    "alpha", "beta", "error_tolerance", "error_floor", "safe_margin",
    "safe_slack", "max_error_rate", "burst", "latency", "max_excess_errors",
    "latency_floor_ms", "stale_ticks", NULL
};

static const char *const  latency_fields[] = {
    "quantile", "tolerance", NULL
};


static int
read_quantile(const cJSON *json, const char *path, judge_quantile_t *quantile,
    spec_error_t *error)
{
    static const spec_range_t  q = { "quantile", 0.0, true, 1.0, true };
    static const spec_range_t  t = { "tolerance", 0.0, false, 1e6, false };

    if (spec_check_object(json, path, latency_fields, error) != 0) {
        return -1;
    }

    if (!cJSON_HasObjectItem(json, q.name)) {
        return spec_fail(error, path, q.name,
                         "is required, such as 0.5 or 0.99");
    }

    quantile->tolerance = 0.25;

    if (spec_read_number(json, path, &q, &quantile->quantile, error) != 0) {
        return -1;
    }

    return spec_read_number(json, path, &t, &quantile->tolerance, error);
}


static int
read_latency(const cJSON *json, const char *prefix, judge_config_t *config,
    spec_error_t *error)
{
    char          path[sizeof(error->field)];
    const cJSON  *item;

    if (!cJSON_IsArray(json)) {
        return spec_fail(error, prefix, "latency",
                         "must be a list of {quantile, tolerance}");
    }

    if (cJSON_GetArraySize(json) > JUDGE_MAX_LATENCY) {
        return spec_fail(error, prefix, "latency",
                         "must have at most %d quantiles",
                         JUDGE_MAX_LATENCY);
    }

    memset(config->latency, 0, sizeof(config->latency));
    config->latency_count = 0;

    cJSON_ArrayForEach(item, json) {
        text_format(path, sizeof(path), "%s%slatency[%u]", prefix,
                    *prefix ? "." : "", config->latency_count);

        if (read_quantile(item, path, &config->latency[config->latency_count],
                          error)
            != 0)
        {
            return -1;
        }

        config->latency_count++;
    }

    return 0;
}


int
spec_parse_analysis(const cJSON *json, const char *prefix,
    judge_config_t *config, spec_error_t *error)
{
    int64_t       ticks;
    unsigned      i;
    const cJSON  *item;

    if (spec_check_object(json, prefix, analysis_fields, error) != 0) {
        return -1;
    }

    for (i = 0; i < count_of(numbers); i++) {
        if (spec_read_number(json, prefix, &numbers[i].range,
                             (double *) ((char *) config + numbers[i].offset),
                             error)
            != 0)
        {
            return -1;
        }
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "stale_ticks");

    if (item != NULL) {
        if (!value_read_integer(item, 1, MAX_STALE_TICKS, &ticks)) {
            return spec_fail(error, prefix, "stale_ticks",
                             "must be an integer from 1 to %d",
                             MAX_STALE_TICKS);
        }

        config->stale_ticks = (unsigned) ticks;
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "latency");

    return item ? read_latency(item, prefix, config, error) : 0;
}


static cJSON *
print_latency(const judge_config_t *config)
{
    cJSON     *list, *item;
    unsigned   i;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < config->latency_count; i++) {
        item = cJSON_CreateObject();

        if (!value_push(list, item)
            || !value_put(item, "quantile",
                          value_number(config->latency[i].quantile))
            || !value_put(item, "tolerance",
                          value_number(config->latency[i].tolerance)))
        {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


cJSON *
spec_print_analysis(const judge_config_t *config)
{
    bool           ok;
    cJSON         *json;
    unsigned       i;
    const double  *number;

    json = cJSON_CreateObject();
    ok = json != NULL;

    for (i = 0; ok && i < count_of(numbers); i++) {
        number = (const double *) ((const char *) config + numbers[i].offset);
        ok = value_put(json, numbers[i].range.name, value_number(*number));
    }

    ok = ok && value_put(json, "stale_ticks",
                         value_number(config->stale_ticks))
         && value_put(json, "latency", print_latency(config));

    if (!ok) {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}
