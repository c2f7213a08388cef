/* A rollout as docs/rest-api.md has it. */

#include <math.h>
#include <string.h>

#include "core/codec.h"
#include "lib/timefmt.h"
#include "release.h"


static void
release_time(cJSON *json, const char *name, int64_t ms)
{
    char  text[TIME_LEN];

    if (ms <= 0) {
        cJSON_AddNullToObject(json, name);
        return;
    }

    cJSON_AddStringToObject(json, name, time_format(ms, text, sizeof(text)));
}


/*
 * How far from "shown to be safe": judge_needed() requests at the rates seen
 * so far, and the time that takes at the canary's present traffic.
 */
static void
release_needed(cJSON *json, const evidence_arm_t *arm)
{
    double  needed, rate;

    needed = judge_needed(&arm->judge);
    rate = traffic_rate(&arm->traffic);

    if (needed < 0.0) {
        cJSON_AddNullToObject(json, "needed_requests");
        cJSON_AddNullToObject(json, "needed_seconds");
        return;
    }

    cJSON_AddNumberToObject(json, "needed_requests", ceil(needed));

    if (needed > 0.0 && rate <= 0.0) {
        cJSON_AddNullToObject(json, "needed_seconds");
        return;
    }

    cJSON_AddNumberToObject(json, "needed_seconds",
                            needed > 0.0 ? ceil(needed / rate) : 0.0);
}


static cJSON *
release_judgement(const evidence_arm_t *arm)
{
    char            odds[32];
    cJSON          *json;
    judge_result_t  result;

    if (arm == NULL || arm->judge.ticks == 0) {
        return cJSON_CreateNull();
    }

    judge_result(&arm->judge, &result);
    json = judge_result_print(&result);

    cJSON_AddStringToObject(json, "odds", judge_odds(result.log_evidence,
                                                     odds, sizeof(odds)));
    cJSON_AddNumberToObject(json, "ticks", (double) arm->judge.ticks);
    release_needed(json, arm);

    return json;
}


/* The time that the state's clock has to reach, or 0. */
static int64_t
release_hold(const release_t *release)
{
    if (release->state.baking) {
        return release->spec.bake_ms;
    }

    if (release->state.step < release->spec.step_count) {
        return release->spec.steps[release->state.step].hold_ms;
    }

    return 0;
}


/* What each group gets at present, and what share of it is measured. */
static void
release_traffic(cJSON *json, const release_t *release,
    const evidence_t *evidence)
{
    cJSON       *traffic, *measured;
    double       sum;
    unsigned     i;
    const char  *name;

    traffic = cJSON_AddObjectToObject(json, "traffic");
    measured = cJSON_AddObjectToObject(json, "measured_weights");
    sum = evidence != NULL ? evidence->stable.requests : 0.0;

    for (i = 0; evidence != NULL && i < evidence->arm_count; i++) {
        sum += evidence->arms[i].traffic.requests;
    }

    for (i = 0; *(name = release_arm(release, i)) != '\0'; i++) {
        cJSON_AddItemToObject(traffic, name, evidence != NULL
                              ? traffic_summary(&evidence->arms[i].traffic)
                              : cJSON_CreateNull());

        if (evidence != NULL && sum > 1.0) {
            cJSON_AddNumberToObject(measured, name,
                round(evidence->arms[i].traffic.requests / sum * 10000.0)
                / 100.0);
        }
    }

    if (cJSON_HasObjectItem(traffic, release->stable)) {
        return;                    /* rolling through the stable group */
    }

    cJSON_AddItemToObject(traffic, release->stable, evidence != NULL
                          ? traffic_summary(&evidence->stable)
                          : cJSON_CreateNull());

    if (evidence != NULL && sum > 1.0) {
        cJSON_AddNumberToObject(measured, release->stable,
                                round(evidence->stable.requests / sum
                                      * 10000.0) / 100.0);
    }
}


static void
release_groups(cJSON *json, const release_t *release,
    const evidence_t *evidence)
{
    cJSON             *groups, *group;
    unsigned           i;
    const spec_arm_t  *arm;

    groups = cJSON_AddObjectToObject(json, "groups");

    for (i = 0; i < release->spec.arm_count; i++) {
        arm = &release->spec.arms[i];
        group = cJSON_AddObjectToObject(groups, arm->name);
        cJSON_AddStringToObject(group, "result",
                                rollout_arm_name(release->state.arms[i]));
        cJSON_AddNumberToObject(group, "weight", arm->weight / 100.0);
        cJSON_AddItemToObject(group, "judgement",
                              release_judgement(evidence != NULL
                                                ? &evidence->arms[i] : NULL));
    }
}


static void
release_given(cJSON *json, const char *name, const char *text)
{
    if (text[0] != '\0') {
        cJSON_AddStringToObject(json, name, text);
    }
}


/* Where it is, beside its state: whose turn, and what is asked for. */
static void
release_place(cJSON *json, const release_t *release)
{
    cJSON                 *gate;
    const char            *target;
    const rollout_t       *state = &release->state;
    const rollout_spec_t  *spec = &release->spec;

    target = rollout_target(spec, state);

    if (target != NULL) {
        cJSON_AddStringToObject(json, "target", target);

        if (spec->rolling == SPEC_BY_SERVERS) {
            cJSON_AddStringToObject(json, "turn",
                                    rollout_turn_name(state->turn));
        }
    }

    if (state->gate != ROLLOUT_GATE_NONE) {
        gate = cJSON_AddObjectToObject(json, "gate");
        cJSON_AddStringToObject(gate, "name", rollout_gate_name(state->gate));
        cJSON_AddStringToObject(gate, "result",
                                rollout_result_name(state->retry_ms != 0
                                                    ? ROLLOUT_GATE_HOLD
                                                    : ROLLOUT_GATE_PENDING));
    }

    if (state->after != ROLLOUT_GATE_PENDING) {
        cJSON_AddStringToObject(json, "hook",
                                rollout_result_name(state->after));
    }
}


cJSON *
release_json(const release_t *release, const evidence_t *evidence,
    const record_t *present, const fleet_t *fleet)
{
    cJSON            *json, *weights;
    unsigned          i;
    const rollout_t  *state = &release->state;

    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "id", release->id);
    cJSON_AddStringToObject(json, "upstream", release->spec.upstream);
    cJSON_AddStringToObject(json, "canary", release->spec.canary);
    cJSON_AddStringToObject(json, "stable", release->stable);
    cJSON_AddStringToObject(json, "version", release->spec.version);
    release_given(json, "environment", release->spec.environment);
    release_given(json, "commit", release->spec.commit);
    release_given(json, "build", release->spec.build);
    release_given(json, "ticket", release->spec.ticket);
    cJSON_AddStringToObject(json, "strategy",
                            spec_strategy_name(release->spec.strategy));
    cJSON_AddStringToObject(json, "state", rollout_state_name(state->state));

    if (state->waiting_for == ROLLOUT_WAIT_NONE) {
        cJSON_AddNullToObject(json, "waiting_for");

    } else {
        cJSON_AddStringToObject(json, "waiting_for",
                                rollout_wait_name(state->waiting_for));
    }

    cJSON_AddNumberToObject(json, "step", state->step);
    cJSON_AddNumberToObject(json, "steps", release->spec.step_count);
    cJSON_AddNumberToObject(json, "step_held_ms", (double) state->held_ms);
    cJSON_AddNumberToObject(json, "step_hold_ms",
                            (double) release_hold(release));
    release_place(json, release);
    cJSON_AddStringToObject(json, "reason", state->reason);
    cJSON_AddStringToObject(json, "actor", state->actor);

    cJSON_AddNumberToObject(json, "revision", (double) present->revision);
    weights = cJSON_AddObjectToObject(json, "weights");

    for (i = 0; i < present->group_count; i++) {
        cJSON_AddNumberToObject(weights, present->groups[i].name,
                                present->groups[i].weight / 100.0);
    }

    release_time(json, "created", release->created_ms);
    release_time(json, "updated", release->updated_ms);
    release_time(json, "entered", state->entered_ms);
    release_time(json, "finished", release->finished_ms);

    cJSON_AddItemToObject(json, "judgement",
                          release_judgement(evidence != NULL
                                            ? &evidence->arms[0] : NULL));
    release_traffic(json, release, evidence);

    if (release->spec.arm_count > 0) {
        release_groups(json, release, evidence);
    }

    cJSON_AddItemToObject(json, "nodes", fleet_json(fleet));
    cJSON_AddItemToObject(json, "spec", spec_print(&release->spec));

    return json;
}
