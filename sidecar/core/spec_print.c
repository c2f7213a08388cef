/* The spec as JSON, and durations. */

#include <stdio.h>
#include <string.h>

#include "spec_gates.h"
#include "spec_internal.h"
#include "value.h"

#define count_of(a)  (sizeof(a) / sizeof((a)[0]))

static const struct {
    const char  *name;
    int64_t      ms;
} units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
    { "ms", 1 }
};


int64_t
spec_parse_duration(const char *text)
{
    int64_t   n;
    unsigned  i, digits;

    n = 0;

    /* 10 digits: days of that number still fit in milliseconds */

    for (digits = 0; digits <= 10 && *text >= '0' && *text <= '9'; digits++) {
        n = n * 10 + (*text++ - '0');
    }

    if (digits == 0 || digits > 10) {
        return -1;
    }

    for (i = 0; i < count_of(units); i++) {
        if (strcmp(text, units[i].name) == 0) {
            return n * units[i].ms;
        }
    }

    return -1;
}


char *
spec_print_duration(int64_t ms, char *buf, unsigned size)
{
    unsigned  i;

    if (ms == 0) {
        snprintf(buf, size, "0s");
        return buf;
    }

    for (i = 0; i < count_of(units) - 1; i++) {
        if (ms % units[i].ms == 0) {
            break;
        }
    }

    snprintf(buf, size, "%lld%s", (long long) (ms / units[i].ms),
             units[i].name);

    return buf;
}


bool
spec_put_duration(cJSON *json, const char *name, int64_t ms)
{
    char  buf[32];

    return value_put_text(json, name,
                          spec_print_duration(ms, buf, sizeof(buf)));
}


static cJSON *
print_steps(const rollout_spec_t *spec)
{
    cJSON              *list, *item;
    double              weight;
    unsigned            i;
    const spec_step_t  *step;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < spec->step_count; i++) {
        step = &spec->steps[i];
        item = cJSON_CreateObject();
        weight = (step->weight + (spec->strategy == SPEC_BLUE_GREEN
                                  ? spec->holdback : 0)) / 100.0;

        if (!value_push(list, item)
            || !value_put(item, "weight", value_number(weight))
            || !spec_put_duration(item, "hold", step->hold_ms)
            || !value_put(item, "approval", cJSON_CreateBool(step->approval))
            || (step->min_requests > 1
                && !value_put(item, "min_requests",
                              value_number((double) step->min_requests)))
            || (step->rules != NULL
                && !value_put(item, "rules", cJSON_Parse(step->rules))))
        {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


static cJSON *
print_rolling(const rollout_spec_t *spec)
{
    bool       nodes;
    cJSON     *json, *list;
    unsigned   i;

    nodes = spec->rolling == SPEC_BY_NODES;
    json = cJSON_CreateObject();
    list = NULL;

    if (json == NULL
        || !value_put_text(json, "by", nodes ? "nodes" : "servers")
        || !spec_put_duration(json, "bake", spec->rolling_bake_ms)
        || (!nodes && !spec_put_duration(json, "drain", spec->drain_ms))
        || (spec->step_count > 0
            && !value_put(json, nodes ? "order" : "servers",
                          list = cJSON_CreateArray())))
    {
        cJSON_Delete(json);
        return NULL;
    }

    for (i = 0; i < spec->step_count; i++) {
        if (!value_push(list, cJSON_CreateString(spec->targets[i]))) {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static cJSON *
print_groups(const rollout_spec_t *spec)
{
    cJSON     *json;
    unsigned   i;

    json = cJSON_CreateObject();

    for (i = 0; json != NULL && i < spec->arm_count; i++) {
        if (!value_put(json, spec->arms[i].name,
                       value_number(spec->arms[i].weight / 100.0)))
        {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static bool
put_plan(cJSON *json, const rollout_spec_t *spec)
{
    switch (spec->strategy) {

    case SPEC_ROLLING:
        return value_put(json, "rolling", print_rolling(spec));

    case SPEC_EXPERIMENT:
        return value_put(json, "groups", print_groups(spec))
               && spec_put_duration(json, "duration", spec->steps[0].hold_ms);

    default:
        return value_put(json, "steps", print_steps(spec));
    }
}


static cJSON *
print_slo(const spec_slo_t *slo)
{
    cJSON     *json;
    unsigned   i;

    const struct {
        const char  *name;
        double       value;
    } values[] = {
        { "error_rate", slo->error_rate }, { "p50_ms", slo->p50_ms },
        { "p95_ms", slo->p95_ms }, { "p99_ms", slo->p99_ms },
        { "min_requests", (double) slo->min_requests }
    };

    json = cJSON_CreateObject();

    for (i = 0; json != NULL && i < count_of(values); i++) {
        if (values[i].value > 0.0
            && !value_put(json, values[i].name,
                          value_number(values[i].value)))
        {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static cJSON *
print_guard(const spec_guard_t *guard)
{
    cJSON  *json;

    if (!guard->on) {
        return cJSON_CreateFalse();
    }

    json = cJSON_CreateObject();

    if (json == NULL
        || !value_put(json, "failures", value_number(guard->failures))
        || !value_put(json, "ratio", value_number(guard->ratio))
        || !spec_put_duration(json, "window", guard->window_ms))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


/* What is not given is not printed. */
static bool
put_given(cJSON *json, const rollout_spec_t *spec)
{
    cJSON     *promotion;
    unsigned   i;

    const struct {
        const char  *name, *value;
    } texts[] = {
        { "environment", spec->environment }, { "commit", spec->commit },
        { "build", spec->build }, { "ticket", spec->ticket }
    };

    for (i = 0; i < count_of(texts); i++) {
        if (texts[i].value[0] != '\0'
            && !value_put_text(json, texts[i].name, texts[i].value))
        {
            return false;
        }
    }

    if (spec->promotion_from[0] != '\0') {
        promotion = cJSON_CreateObject();

        if (!value_put(json, "promotion", promotion)
            || !value_put_text(promotion, "from", spec->promotion_from))
        {
            return false;
        }
    }

    if (spec->holdback > 0
        && !value_put(json, "holdback",
                      value_number(spec->holdback / 100.0)))
    {
        return false;
    }

    return spec->slo.min_requests == 0
           || value_put(json, "slo", print_slo(&spec->slo));
}


cJSON *
spec_print(const rollout_spec_t *spec)
{
    cJSON       *json;
    const char  *ramp;

    static const char *const  success[] = { "promote", "keep", "stable" };

    ramp = spec->ramp == SPEC_RAMP_EVIDENCE ? "evidence" : "clock";
    json = cJSON_CreateObject();

    if (json == NULL
        || !value_put_text(json, "upstream", spec->upstream)
        || !value_put_text(json, "canary", spec->canary)
        || !value_put_text(json, "version", spec->version)
        || !put_given(json, spec)
        || !value_put_text(json, "strategy",
                           spec_strategy_name(spec->strategy))
        || !put_plan(json, spec)
        || !value_put_text(json, "ramp", ramp)
        || (spec->strategy != SPEC_EXPERIMENT
            && !spec_put_duration(json, "bake", spec->bake_ms))
        || !spec_put_duration(json, "warmup", spec->warmup_ms)
        || !value_put(json, "analysis", spec_print_analysis(&spec->analysis))
        || !spec_put_duration(json, "deadline", spec->deadline_ms)
        || !value_put(json, "guard", print_guard(&spec->guard))
        || !spec_put_gates(json, spec)
        || !spec_put_duration(json, "lease", spec->lease_ms)
        || !value_put_text(json, "on_success", success[spec->on_success]))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}
