/* A strategy and what it goes by: steps, nodes, servers or groups. */

#include <stdlib.h>
#include <string.h>

#include "spec_internal.h"
#include "text.h"
#include "value.h"

#define DEFAULT_DRAIN     (30 * SPEC_SECOND)
#define DEFAULT_BAKE      (30 * SPEC_SECOND)
#define MAX_HOLDBACK      9900

static const char *const  spec_strategies[] = {
    "canary", "blue-green", "rolling", "experiment", NULL
};

static const char *const  step_fields[] = {
    "weight", "hold", "approval", "rules", "min_requests", NULL
};

static const char *const  rolling_fields[] = {
    "by", "order", "servers", "group", "bake", "drain", NULL
};

static const char *const  rolling_by[] = { "nodes", "servers", NULL };


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static int
refuse(const cJSON *json, const char *field, const char *why,
    spec_error_t *error)
{
    return member(json, field) == NULL ? 0 : spec_fail(error, "", field,
                                                       "%s", why);
}


/* --- steps --- */

static int
read_step(const cJSON *json, const char *path, const rollout_spec_t *spec,
    spec_step_t *step, spec_error_t *error)
{
    bool          judged;
    int64_t       requests;
    const cJSON  *weight, *rules;

    requests = 1;
    judged = false;

    if (spec_check_object(json, path, step_fields, error) != 0) {
        return -1;
    }

    weight = member(json, "weight");
    rules = member(json, "rules");

    if (weight == NULL) {
        return spec_fail(error, path, "weight",
                         "is required, a percentage from 0.01 to 100");
    }

    if (rules != NULL && spec_read_rules(rules, path, spec->canary,
                                         &step->rules, &judged, error) != 0)
    {
        return -1;
    }

    /* what a rule's weights give the canary can be judged, too */

    if (spec_percent(weight, path, "weight", judged ? 0 : 1, SPEC_WEIGHT_ALL,
                     &step->weight, error) != 0
        || spec_read_duration(json, path, "hold", 0, SPEC_MAX_HOLD,
                              &step->hold_ms, error) != 0
        || spec_read_bool(json, path, "approval", &step->approval, error) != 0
        || spec_read_integer(json, path, "min_requests", 1,
                             SPEC_MAX_REQUESTS, &requests, error) != 0)
    {
        return -1;
    }

    step->min_requests = (uint64_t) requests;

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

        if (read_step(item, path, spec, &spec->steps[n], error) != 0) {
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
add_step(rollout_spec_t *spec, unsigned weight, int64_t hold_ms)
{
    spec_step_t  *step = &spec->steps[spec->step_count++];

    memset(step, 0, sizeof(spec_step_t));
    step->weight = weight;
    step->hold_ms = hold_ms;
    step->min_requests = 1;
}


static int
read_canary(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    const cJSON  *steps;

    steps = member(json, "steps");

    if (steps != NULL) {
        return read_steps(steps, spec, error);
    }

    add_step(spec, 100, 60 * SPEC_SECOND);
    add_step(spec, 1000, 2 * SPEC_MINUTE);
    add_step(spec, 5000, 2 * SPEC_MINUTE);
    add_step(spec, SPEC_WEIGHT_ALL, 0);

    return 0;
}


static int
read_blue_green(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    const cJSON  *steps;

    steps = member(json, "steps");

    if (steps == NULL) {
        add_step(spec, SPEC_WEIGHT_ALL, 0);

    } else if (read_steps(steps, spec, error) != 0) {
        return -1;
    }

    if (spec->step_count != 1) {
        return spec_fail(error, "", "steps",
                         "must be one step of weight 100 with blue-green");
    }

    if (spec->steps[0].weight != SPEC_WEIGHT_ALL) {
        return spec_fail(error, "steps[0]", "weight",
                         "must be 100 with blue-green");
    }

    spec->steps[0].weight -= spec->holdback;

    return 0;
}


/* --- rolling --- */

static void
add_target(rollout_spec_t *spec, const char *name)
{
    text_copy(spec->targets[spec->step_count], SPEC_TARGET_LEN, name);
    add_step(spec, SPEC_WEIGHT_ALL - spec->holdback, spec->rolling_bake_ms);
}


void
spec_set_targets(rollout_spec_t *spec, unsigned count,
    const char *const *names)
{
    int64_t   compared;
    unsigned  i;

    spec->step_count = 0;

    for (i = 0; i < count && i < SPEC_MAX_STAGES; i++) {
        add_target(spec, names[i]);
    }

    /* as spec_read_warmup() would have it */

    compared = spec->holdback > 0
               ? spec->rolling_bake_ms * (int64_t) spec->step_count : 0;

    if (compared > 0 && spec->warmup_ms >= compared) {
        spec->warmup_ms = compared / 4;
    }
}


/* An address or a name, with or without a port, as nginx.conf has it. */
static bool
is_server(const char *text)
{
    size_t  len;

    len = strlen(text);

    return len > 0 && len < SPEC_TARGET_LEN
           && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
                           "xyz0123456789._-:[]") == len;
}


static int
read_targets(const cJSON *json, const char *field, rollout_spec_t *spec,
    spec_error_t *error)
{
    int           count;
    bool          nodes;
    unsigned      i;
    const cJSON  *item;

    nodes = spec->rolling == SPEC_BY_NODES;
    count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0;

    if (count < 1 || count > SPEC_MAX_STAGES) {
        return spec_fail(error, "rolling", field, "must be a list of 1 to %d "
                         "%s", SPEC_MAX_STAGES, nodes ? "names of nodes"
                         : "servers of the group, as \"10.0.0.21:8080\"");
    }

    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item)
            || !(nodes ? spec_is_name(item->valuestring)
                       : is_server(item->valuestring)))
        {
            return spec_fail(error, "rolling", field, "must be a list of %s",
                             nodes ? "names of nodes"
                             : "servers of the group, as \"10.0.0.21:8080\"");
        }

        for (i = 0; i < spec->step_count; i++) {
            if (strcmp(spec->targets[i], item->valuestring) == 0) {
                return spec_fail(error, "rolling", field, "must have "
                                 "\"%.100s\" only once", item->valuestring);
            }
        }

        add_target(spec, item->valuestring);
    }

    return 0;
}


static int
read_rolling(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           by;
    char          group[SPEC_NAME_LEN];
    const char   *field, *other;
    const cJSON  *rolling;

    if (refuse(json, "steps", "must not be given with a rolling rollout, "
               "whose steps are its nodes or servers", error) != 0)
    {
        return -1;
    }

    rolling = member(json, "rolling");

    if (rolling == NULL) {
        return spec_fail(error, "", "rolling", "is required with strategy "
                         "rolling, such as {\"by\": \"nodes\", \"bake\": "
                         "\"30s\"}");
    }

    by = SPEC_BY_NODES;
    spec->rolling_bake_ms = DEFAULT_BAKE;
    spec->drain_ms = DEFAULT_DRAIN;
    strcpy(group, spec->canary);

    if (spec_check_object(rolling, "rolling", rolling_fields, error) != 0
        || spec_read_choice(rolling, "rolling", "by", rolling_by, &by, error)
        || spec_read_duration(rolling, "rolling", "bake", 0, SPEC_MAX_HOLD,
                              &spec->rolling_bake_ms, error) != 0
        || spec_read_duration(rolling, "rolling", "drain", 0, SPEC_HOUR,
                              &spec->drain_ms, error) != 0
        || spec_read_name(rolling, "rolling", "group", group, error) != 0)
    {
        return -1;
    }

    spec->rolling = (spec_rolling_t) by;

    if (strcmp(group, spec->canary) != 0) {
        return spec_fail(error, "rolling", "group", "must be the canary "
                         "(%s), or left out", spec->canary);
    }

    field = by == SPEC_BY_NODES ? "order" : "servers";
    other = by == SPEC_BY_NODES ? "servers" : "order";

    if (member(rolling, other) != NULL) {
        return spec_fail(error, "rolling", other, "must not be given with "
                         "by: %s", rolling_by[by]);
    }

    if (by == SPEC_BY_SERVERS && spec->holdback > 0) {
        return spec_fail(error, "", "holdback", "must not be given where the "
                         "weights stay as they are");
    }

    if (by == SPEC_BY_NODES && member(rolling, field) == NULL) {
        return 0;                  /* those that are live when it begins */
    }

    return read_targets(member(rolling, field), field, spec, error);
}


/* --- an experiment --- */

static int
read_experiment(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           count;
    int64_t       duration;
    unsigned      sum;
    spec_arm_t   *arm;
    const cJSON  *groups, *item;

    if (refuse(json, "steps", "must not be given with an experiment: it has "
               "groups and a duration", error) != 0
        || refuse(json, "holdback", "must not be given with an experiment",
                  error) != 0
        || refuse(json, "bake", "must not be given with an experiment",
                  error) != 0
        || refuse(json, "slo", "must not be given with an experiment, whose "
                  "groups are compared with stable", error) != 0)
    {
        return -1;
    }

    groups = member(json, "groups");
    count = cJSON_IsObject(groups) ? cJSON_GetArraySize(groups) : 0;

    if (count < 1 || count > SPEC_MAX_ARMS) {
        return spec_fail(error, "", "groups", "must be an object of 1 to %d "
                         "groups and their percentages, such as {\"green\": "
                         "10, \"red\": 10}", SPEC_MAX_ARMS);
    }

    sum = 0;

    cJSON_ArrayForEach(item, groups) {
        arm = &spec->arms[spec->arm_count];

        if (!spec_is_name(item->string)) {
            return spec_fail(error, "", "groups", "must have names of "
                             "groups");
        }

        if (spec_percent(item, "groups", item->string, 1, SPEC_WEIGHT_ALL,
                         &arm->weight, error) != 0)
        {
            return -1;
        }

        strcpy(arm->name, item->string);
        sum += arm->weight;
        spec->arm_count++;
    }

    if (sum >= SPEC_WEIGHT_ALL) {
        return spec_fail(error, "", "groups", "must leave something to "
                         "stable: together below 100, not %g", sum / 100.0);
    }

    if (spec->canary[0] != '\0'
        && strcmp(spec->canary, spec->arms[0].name) != 0)
    {
        return spec_fail(error, "", "canary", "must be left out, or be the "
                         "first of the groups");
    }

    strcpy(spec->canary, spec->arms[0].name);
    duration = SPEC_HOUR;

    if (spec_read_duration(json, "", "duration", 1, SPEC_MAX_HOLD, &duration,
                           error) != 0)
    {
        return -1;
    }

    add_step(spec, sum, duration);

    return 0;
}


int
spec_read_plan(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    int           strategy;
    const cJSON  *holdback;

    strategy = SPEC_CANARY;

    if (spec_read_choice(json, "", "strategy", spec_strategies, &strategy,
                         error) != 0)
    {
        return -1;
    }

    spec->strategy = (spec_strategy_t) strategy;
    holdback = member(json, "holdback");

    if (holdback != NULL
        && spec_percent(holdback, "", "holdback", 0, MAX_HOLDBACK,
                        &spec->holdback, error) != 0)
    {
        return -1;
    }

    if (strategy != SPEC_EXPERIMENT) {
        if (spec->canary[0] == '\0') {
            return spec_fail(error, "", "canary", "is required");
        }

        if (refuse(json, "groups", "is only for strategy experiment", error)
            || refuse(json, "duration", "is only for strategy experiment",
                      error) != 0)
        {
            return -1;
        }
    }

    if (strategy != SPEC_ROLLING
        && refuse(json, "rolling", "is only for strategy rolling", error)
           != 0)
    {
        return -1;
    }

    switch (spec->strategy) {

    case SPEC_BLUE_GREEN:
        return read_blue_green(json, spec, error);

    case SPEC_ROLLING:
        return read_rolling(json, spec, error);

    case SPEC_EXPERIMENT:
        return read_experiment(json, spec, error);

    default:                       /* SPEC_CANARY */
        if (spec->holdback > 0) {
            return spec_fail(error, "", "holdback", "is for blue-green and "
                             "rolling; with canary the last step's weight "
                             "says it");
        }

        return read_canary(json, spec, error);
    }
}


const char *
spec_strategy_name(spec_strategy_t strategy)
{
    return strategy <= SPEC_EXPERIMENT ? spec_strategies[strategy]
                                       : "unknown";
}
