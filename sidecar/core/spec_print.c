/* The spec as JSON, and durations. */

#include <stdio.h>
#include <string.h>

#include "spec.h"
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


static bool
put_text(cJSON *json, const char *name, const char *text)
{
    return value_put(json, name, cJSON_CreateString(text));
}


static bool
put_duration(cJSON *json, const char *name, int64_t ms)
{
    char  buf[32];

    return put_text(json, name, spec_print_duration(ms, buf, sizeof(buf)));
}


static cJSON *
print_steps(const rollout_spec_t *spec)
{
    cJSON              *list, *item;
    unsigned            i;
    const spec_step_t  *step;

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < spec->step_count; i++) {
        step = &spec->steps[i];
        item = cJSON_CreateObject();

        if (!value_push(list, item)
            || !value_put(item, "weight", value_number(step->weight / 100.0))
            || !put_duration(item, "hold", step->hold_ms)
            || !value_put(item, "approval", cJSON_CreateBool(step->approval)))
        {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


cJSON *
spec_print(const rollout_spec_t *spec)
{
    cJSON       *json;
    const char  *strategy, *ramp, *success;

    strategy = spec->strategy == SPEC_BLUE_GREEN ? "blue-green" : "canary";
    ramp = spec->ramp == SPEC_RAMP_EVIDENCE ? "evidence" : "clock";
    success = spec->on_success == SPEC_KEEP ? "keep" : "promote";

    json = cJSON_CreateObject();

    if (json == NULL
        || !put_text(json, "upstream", spec->upstream)
        || !put_text(json, "canary", spec->canary)
        || !put_text(json, "version", spec->version)
        || !put_text(json, "strategy", strategy)
        || !value_put(json, "steps", print_steps(spec))
        || !put_text(json, "ramp", ramp)
        || !put_duration(json, "bake", spec->bake_ms)
        || !put_duration(json, "warmup", spec->warmup_ms)
        || !value_put(json, "analysis", spec_print_analysis(&spec->analysis))
        || !put_duration(json, "lease", spec->lease_ms)
        || !put_text(json, "on_success", success))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}
