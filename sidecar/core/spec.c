/* The rollout spec: validation and defaults. */

#include <math.h>
#include <string.h>

#include "spec_fields.h"
#include "text.h"
#include "value.h"

#define SECOND      INT64_C(1000)
#define MINUTE      (60 * SECOND)
#define HOUR        (60 * MINUTE)
#define DAY         (24 * HOUR)
#define MAX_HOLD    (30 * DAY)

static const char *const  spec_fields[] = {
    "upstream", "canary", "version", "strategy", "steps", "ramp", "bake",
    "warmup",
    "analysis", "lease", "on_success", NULL
};

static const char *const  step_fields[] = {
    "weight", "hold", "approval", NULL
};


static int
read_name(const cJSON *object, const char *field, char *name,
    spec_error_t *error)
{
    size_t        len;
    const char   *text;
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return spec_fail(error, "", field, "is required");
    }

    text = cJSON_IsString(item) ? item->valuestring : "";
    len = strlen(text);

    /* "." and ".." would be something else in the path of a URL */

    if (len == 0 || len >= SPEC_NAME_LEN || strcmp(text, ".") == 0
        || strcmp(text, "..") == 0
        || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._-") != len)
    {
        return spec_fail(error, "", field, "must be a string of 1 to %d "
                         "letters, digits, \".\", \"_\" or \"-\"",
                         SPEC_NAME_LEN - 1);
    }

    memcpy(name, text, len + 1);

    return 0;
}


static int
read_version(const cJSON *object, char *version, spec_error_t *error)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, "version");
    if (item == NULL) {
        return 0;
    }

    if (!cJSON_IsString(item) || strlen(item->valuestring) >= SPEC_TEXT_LEN
        || !text_is_clean(item->valuestring))
    {
        return spec_fail(error, "", "version", "must be a string of at most "
                         "%d bytes without control characters (in YAML, put "
                         "quotes around what looks like a number)",
                         SPEC_TEXT_LEN - 1);
    }

    text_copy(version, SPEC_TEXT_LEN, item->valuestring);

    return 0;
}


/* One of two words: 0, 1, or -1 with the error; 0 where it is absent. */
static int
read_choice(const cJSON *object, const char *field, const char *zero,
    const char *one, spec_error_t *error)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    if (cJSON_IsString(item)) {
        if (strcmp(item->valuestring, zero) == 0) {
            return 0;
        }

        if (strcmp(item->valuestring, one) == 0) {
            return 1;
        }
    }

    return spec_fail(error, "", field, "must be \"%s\" or \"%s\"", zero, one);
}


/* Text, or a number of seconds; -1 if it is neither or not whole ms. */
static int64_t
duration_of(const cJSON *json)
{
    double  seconds, ms;

    if (cJSON_IsString(json)) {
        return spec_parse_duration(json->valuestring);
    }

    if (!value_read_number(json, &seconds) || seconds < 0.0
        || seconds > (double) MAX_HOLD)
    {
        return -1;
    }

    ms = round(seconds * 1000.0);

    /* decimals are not exact: 0.29 s is 290.00000000000006 ms or so */

    return fabs(seconds * 1000.0 - ms) < 1e-6 ? (int64_t) ms : -1;
}


static int
read_duration(const cJSON *object, const char *prefix, const char *field,
    int64_t min, int64_t max, int64_t *value, spec_error_t *error)
{
    char          from[32], to[32];
    int64_t       ms;
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL) {
        return 0;
    }

    ms = duration_of(item);

    if (ms < min || ms > max) {
        return spec_fail(error, prefix, field, "must be a duration from %s "
                         "to %s, such as \"250ms\", \"90s\", \"2m\", \"1h\" "
                         "or a number of seconds",
                         spec_print_duration(min, from, sizeof(from)),
                         spec_print_duration(max, to, sizeof(to)));
    }

    *value = ms;

    return 0;
}


static int
read_weight(const cJSON *object, const char *path, unsigned *weight,
    spec_error_t *error)
{
    double        percent, units;
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, "weight");
    if (item == NULL) {
        return spec_fail(error, path, "weight",
                         "is required, a percentage from 0.01 to 100");
    }

    if (value_read_number(item, &percent) && percent > 0.0
        && percent <= 100.0)
    {
        units = round(percent * 100.0);

        if (units >= 1.0 && fabs(percent * 100.0 - units) < 1e-6) {
            *weight = (unsigned) units;
            return 0;
        }
    }

    return spec_fail(error, path, "weight", "must be a percentage from 0.01 "
                     "to 100 with at most two decimals");
}


static int
read_step(const cJSON *json, const char *path, spec_step_t *step,
    spec_error_t *error)
{
    const cJSON  *item;

    if (spec_check_object(json, path, step_fields, error) != 0
        || read_weight(json, path, &step->weight, error) != 0
        || read_duration(json, path, "hold", 0, MAX_HOLD, &step->hold_ms,
                         error) != 0)
    {
        return -1;
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "approval");

    if (item != NULL) {
        if (!cJSON_IsBool(item)) {
            return spec_fail(error, path, "approval",
                             "must be true or false");
        }

        step->approval = cJSON_IsTrue(item);
    }

    return 0;
}


static int
read_steps(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           count;
    char          path[32];
    unsigned      n;
    const cJSON  *item;

    count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0;

    if (count < 1 || count > SPEC_MAX_STEPS) {
        return spec_fail(error, "", "steps", "must be a list of 1 to %d "
                         "steps, such as {\"weight\": 10, \"hold\": \"2m\"}",
                         SPEC_MAX_STEPS);
    }

    n = 0;

    cJSON_ArrayForEach(item, json) {
        text_format(path, sizeof(path), "steps[%u]", n);

        if (read_step(item, path, &spec->steps[n], error) != 0) {
            return -1;
        }

        if (n > 0 && spec->steps[n].weight < spec->steps[n - 1].weight) {
            return spec_fail(error, path, "weight",
                             "must not be below steps[%u].weight (%g)", n - 1,
                             spec->steps[n - 1].weight / 100.0);
        }

        n++;
    }

    spec->step_count = n;

    return 0;
}


static void
default_steps(rollout_spec_t *spec)
{
    static const spec_step_t  canary[] = {
        { 100, 60 * SECOND, false }, { 1000, 2 * MINUTE, false },
        { 5000, 2 * MINUTE, false }, { SPEC_WEIGHT_ALL, 0, false }
    };

    if (spec->strategy == SPEC_BLUE_GREEN) {
        spec->steps[0].weight = SPEC_WEIGHT_ALL;
        spec->step_count = 1;
        return;
    }

    memcpy(spec->steps, canary, sizeof(canary));
    spec->step_count = sizeof(canary) / sizeof(canary[0]);
}


static int
read_plan(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           choice;
    const cJSON  *steps;

    choice = read_choice(json, "strategy", "canary", "blue-green", error);
    if (choice < 0) {
        return -1;
    }

    spec->strategy = choice ? SPEC_BLUE_GREEN : SPEC_CANARY;

    steps = cJSON_GetObjectItemCaseSensitive(json, "steps");

    if (steps == NULL) {
        default_steps(spec);
        return 0;
    }

    if (read_steps(steps, spec, error) != 0) {
        return -1;
    }

    if (spec->strategy != SPEC_BLUE_GREEN) {
        return 0;
    }

    if (spec->step_count != 1) {
        return spec_fail(error, "", "steps",
                         "must be one step of weight 100 with blue-green");
    }

    if (spec->steps[0].weight != SPEC_WEIGHT_ALL) {
        return spec_fail(error, "steps[0]", "weight",
                         "must be 100 with blue-green");
    }

    return 0;
}


/*
 * Latency is compared with stable's, so it must be judged before stable is
 * left without traffic: by default no more than a quarter of that time is
 * given away.
 */
static int
read_warmup(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    char      text[32];
    int64_t   compared;
    unsigned  i;

    compared = 0;

    for (i = 0; i < spec->step_count; i++) {
        if (spec->steps[i].weight < SPEC_WEIGHT_ALL) {
            compared += spec->steps[i].hold_ms;
        }
    }

    spec->warmup_ms = 10 * SECOND;

    if (compared > 0 && spec->warmup_ms > compared / 4) {
        spec->warmup_ms = compared / 4;
    }

    if (read_duration(json, "", "warmup", 0, HOUR, &spec->warmup_ms, error)
        != 0)
    {
        return -1;
    }

    if (compared > 0 && spec->warmup_ms >= compared
        && spec->analysis.latency_count > 0)
    {
        return spec_fail(error, "", "warmup", "must be shorter than all holds "
                         "below 100 %% together (%s), or latency would never "
                         "be judged",
                         spec_print_duration(compared, text, sizeof(text)));
    }

    return 0;
}


int
spec_parse(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           ramp, success;
    const cJSON  *analysis;

    memset(spec, 0, sizeof(rollout_spec_t));

    if (spec_check_object(json, "", spec_fields, error) != 0
        || read_name(json, "upstream", spec->upstream, error) != 0
        || read_name(json, "canary", spec->canary, error) != 0
        || read_version(json, spec->version, error) != 0
        || read_plan(json, spec, error) != 0)
    {
        return -1;
    }

    ramp = read_choice(json, "ramp", "clock", "evidence", error);
    if (ramp < 0) {
        return -1;
    }

    spec->ramp = ramp ? SPEC_RAMP_EVIDENCE : SPEC_RAMP_CLOCK;

    spec->bake_ms = 5 * MINUTE;
    spec->lease_ms = 15 * SECOND;

    if (read_duration(json, "", "bake", 0, MAX_HOLD, &spec->bake_ms, error)
        != 0)
    {
        return -1;
    }

    judge_config_default(&spec->analysis);
    spec->analysis.latency_floor_ms = 1.0;

    analysis = cJSON_GetObjectItemCaseSensitive(json, "analysis");

    if (analysis != NULL
        && spec_parse_analysis(analysis, "analysis", &spec->analysis, error)
           != 0)
    {
        return -1;
    }

    if (read_warmup(json, spec, error) != 0) {
        return -1;
    }

    if (read_duration(json, "", "lease", SECOND, HOUR, &spec->lease_ms, error)
        != 0)
    {
        return -1;
    }

    success = read_choice(json, "on_success", "promote", "keep", error);
    if (success < 0) {
        return -1;
    }

    spec->on_success = success ? SPEC_KEEP : SPEC_PROMOTE;

    return 0;
}
