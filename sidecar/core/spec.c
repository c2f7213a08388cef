/* The rollout spec: validation and defaults. */

#include <stdlib.h>
#include <string.h>

#include "spec_internal.h"
#include "text.h"
#include "value.h"

#define MAX_LATENCY_MS  3600000.0

static const char *const  spec_fields[] = {
    "upstream", "canary", "version", "strategy", "steps", "ramp", "bake",
    "warmup", "analysis", "lease", "on_success", "groups", "duration",
    "rolling", "holdback", "slo", "deadline", "environment", "commit",
    "build", "ticket", "promotion", "guard", NULL
};

static const char *const  ramps[] = { "clock", "evidence", NULL };
static const char *const  successes[] = { "promote", "keep", "stable", NULL };

static const char *const  slo_fields[] = {
    "error_rate", "p50_ms", "p95_ms", "p99_ms", "min_requests", NULL
};

static const char *const  guard_fields[] = {
    "failures", "ratio", "window", NULL
};

static const char *const  promotion_fields[] = { "from", NULL };


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static int
read_identity(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    const cJSON  *promotion;

    if (member(json, "upstream") == NULL) {
        return spec_fail(error, "", "upstream", "is required");
    }

    if (spec_read_name(json, "", "upstream", spec->upstream, error) != 0
        || spec_read_name(json, "", "canary", spec->canary, error) != 0
        || spec_read_text(json, "", "version", spec->version, error) != 0
        || spec_read_name(json, "", "environment", spec->environment, error)
        || spec_read_text(json, "", "commit", spec->commit, error) != 0
        || spec_read_text(json, "", "build", spec->build, error) != 0
        || spec_read_text(json, "", "ticket", spec->ticket, error) != 0)
    {
        return -1;
    }

    promotion = member(json, "promotion");

    if (promotion == NULL) {
        return 0;
    }

    if (spec_check_object(promotion, "promotion", promotion_fields, error)
        || spec_read_name(promotion, "promotion", "from",
                          spec->promotion_from, error) != 0)
    {
        return -1;
    }

    if (spec->promotion_from[0] == '\0') {
        return spec_fail(error, "promotion", "from", "is required, the "
                         "environment where the version must have succeeded");
    }

    if (spec->version[0] == '\0') {
        return spec_fail(error, "", "version", "is required with promotion");
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

    spec->warmup_ms = 10 * SPEC_SECOND;

    if (compared > 0 && spec->warmup_ms > compared / 4) {
        spec->warmup_ms = compared / 4;
    }

    if (spec_read_duration(json, "", "warmup", 0, SPEC_HOUR,
                           &spec->warmup_ms, error) != 0)
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


static int
read_slo(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int64_t       requests;
    unsigned      i;
    spec_slo_t   *slo = &spec->slo;

    static const spec_range_t  rate = { "error_rate", 0.0, true, 1.0, true };
    static const spec_range_t  latency[] = {
        { "p50_ms", 0.0, true, MAX_LATENCY_MS, false },
        { "p95_ms", 0.0, true, MAX_LATENCY_MS, false },
        { "p99_ms", 0.0, true, MAX_LATENCY_MS, false }
    };
    double  *const  values[] = { &slo->p50_ms, &slo->p95_ms, &slo->p99_ms };

    if (json == NULL) {
        return 0;
    }

    requests = 50;

    if (spec_check_object(json, "slo", slo_fields, error) != 0
        || spec_read_number(json, "slo", &rate, &slo->error_rate, error) != 0
        || spec_read_integer(json, "slo", "min_requests", 1,
                             SPEC_MAX_REQUESTS, &requests, error) != 0)
    {
        return -1;
    }

    for (i = 0; i < 3; i++) {
        if (spec_read_number(json, "slo", &latency[i], values[i], error)) {
            return -1;
        }
    }

    if (slo->error_rate == 0.0 && slo->p50_ms == 0.0 && slo->p95_ms == 0.0
        && slo->p99_ms == 0.0)
    {
        slo->error_rate = 0.01;    /* the example profile */
        slo->p95_ms = 500.0;
    }

    slo->min_requests = (uint64_t) requests;

    return 0;
}


static int
read_guard(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int64_t        failures;
    spec_guard_t  *guard = &spec->guard;

    static const spec_range_t  ratio = { "ratio", 0.01, false, 1.0, false };

    guard->on = spec->strategy == SPEC_CANARY
                || spec->strategy == SPEC_BLUE_GREEN;
    guard->ratio = 0.5;
    guard->window_ms = 10 * SPEC_SECOND;
    failures = 20;

    if (cJSON_IsBool(json)) {
        guard->on = cJSON_IsTrue(json);

    } else if (json != NULL) {
        guard->on = true;

        if (!cJSON_IsObject(json)) {
            return spec_fail(error, "", "guard", "must be false, true or an "
                             "object");
        }

        if (spec_check_object(json, "guard", guard_fields, error) != 0
            || spec_read_integer(json, "guard", "failures", 1, 1000000,
                                 &failures, error) != 0
            || spec_read_number(json, "guard", &ratio, &guard->ratio, error)
            || spec_read_duration(json, "guard", "window", 100, SPEC_HOUR,
                                  &guard->window_ms, error) != 0)
        {
            return -1;
        }
    }

    guard->failures = (unsigned) failures;

    if (json != NULL && guard->on
        && (spec->strategy == SPEC_EXPERIMENT
            || (spec->strategy == SPEC_ROLLING
                && spec->rolling == SPEC_BY_SERVERS)))
    {
        return spec_fail(error, "", "guard", "must be left out or false: it "
                         "watches one canary against stable");
    }

    return 0;
}


static int
read_success(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int  success;

    success = spec->strategy == SPEC_EXPERIMENT ? SPEC_STABLE : SPEC_PROMOTE;

    if (spec_read_choice(json, "", "on_success", successes, &success, error)
        != 0)
    {
        return -1;
    }

    if (spec->strategy == SPEC_EXPERIMENT && success == SPEC_PROMOTE) {
        return spec_fail(error, "", "on_success", "must be \"stable\" or "
                         "\"keep\" with an experiment");
    }

    if (spec->strategy != SPEC_EXPERIMENT && success == SPEC_STABLE) {
        return spec_fail(error, "", "on_success", "must be \"promote\" or "
                         "\"keep\"");
    }

    spec->on_success = (spec_success_t) success;

    return 0;
}


static int
read_spec(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           ramp;
    const cJSON  *analysis;

    if (spec_check_object(json, "", spec_fields, error) != 0
        || read_identity(json, spec, error) != 0
        || spec_read_plan(json, spec, error) != 0)
    {
        return -1;
    }

    ramp = SPEC_RAMP_CLOCK;
    spec->lease_ms = 15 * SPEC_SECOND;
    spec->bake_ms = spec->strategy == SPEC_CANARY
                    || spec->strategy == SPEC_BLUE_GREEN
                    ? 5 * SPEC_MINUTE : 0;

    if (spec_read_choice(json, "", "ramp", ramps, &ramp, error) != 0
        || spec_read_duration(json, "", "bake", 0, SPEC_MAX_HOLD,
                              &spec->bake_ms, error) != 0
        || spec_read_duration(json, "", "lease", SPEC_SECOND, SPEC_HOUR,
                              &spec->lease_ms, error) != 0
        || spec_read_duration(json, "", "deadline", 0, SPEC_MAX_HOLD,
                              &spec->deadline_ms, error) != 0)
    {
        return -1;
    }

    spec->ramp = (spec_ramp_t) ramp;

    judge_config_default(&spec->analysis);
    spec->analysis.latency_floor_ms = 1.0;

    analysis = member(json, "analysis");

    if (analysis != NULL
        && spec_parse_analysis(analysis, "analysis", &spec->analysis, error)
           != 0)
    {
        return -1;
    }

    if (read_warmup(json, spec, error) != 0
        || read_slo(member(json, "slo"), spec, error) != 0
        || read_guard(member(json, "guard"), spec, error) != 0)
    {
        return -1;
    }

    return read_success(json, spec, error);
}


int
spec_parse(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    memset(spec, 0, sizeof(rollout_spec_t));

    if (read_spec(json, spec, error) != 0) {
        spec_free(spec);
        return -1;
    }

    return 0;
}


void
spec_free(rollout_spec_t *spec)
{
    unsigned  i;

    for (i = 0; i < SPEC_MAX_STAGES; i++) {
        free(spec->steps[i].rules);
    }

    memset(spec, 0, sizeof(rollout_spec_t));
}


/* By name; nginx also knows groups by these roles. */
static bool
is_named(const char *group)
{
    return strcmp(group, "stable") != 0 && strcmp(group, "canary") != 0;
}


/* The number-th group of a step's rules, and how many it had if fewer. */
static const char *
rules_group(const char *rules, unsigned *number, char name[SPEC_NAME_LEN])
{
    cJSON        *json;
    const char   *found;
    const cJSON  *rule, *item;

    found = NULL;
    json = cJSON_Parse(rules);

    cJSON_ArrayForEach(rule, json) {
        item = member(rule, "group");

        if (cJSON_IsString(item) && is_named(item->valuestring)
            && (*number)-- == 0)
        {
            found = text_copy(name, SPEC_NAME_LEN, item->valuestring);
            goto done;
        }

        cJSON_ArrayForEach(item, member(rule, "weights")) {
            if (is_named(item->string) && (*number)-- == 0) {
                found = text_copy(name, SPEC_NAME_LEN, item->string);
                goto done;
            }
        }
    }

done:

    cJSON_Delete(json);

    return found;
}


const char *
spec_group(const rollout_spec_t *spec, unsigned number,
    char name[SPEC_NAME_LEN], char field[SPEC_TEXT_LEN])
{
    unsigned  i;

    if (spec->arm_count > 0) {
        text_copy(field, SPEC_TEXT_LEN, "groups");

        return number < spec->arm_count
               ? text_copy(name, SPEC_NAME_LEN, spec->arms[number].name)
               : NULL;
    }

    if (number-- == 0) {
        text_copy(field, SPEC_TEXT_LEN, "canary");
        return text_copy(name, SPEC_NAME_LEN, spec->canary);
    }

    for (i = 0; i < spec->step_count; i++) {
        text_format(field, SPEC_TEXT_LEN, "steps[%u].rules", i);

        if (spec->steps[i].rules != NULL
            && rules_group(spec->steps[i].rules, &number, name) != NULL)
        {
            return name;
        }
    }

    return NULL;
}


void
spec_arm_analysis(const rollout_spec_t *spec, judge_config_t *config)
{
    *config = spec->analysis;

    /* the chance that any of them is taken out wrongly is at most alpha
     * (Bonferroni) */

    if (spec->arm_count > 1) {
        config->alpha /= spec->arm_count;
    }
}
