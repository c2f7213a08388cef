#include <math.h>
#include <stdlib.h>

#include "core/codec.h"
#include "decision.h"


static cJSON *
decision_weights(const record_t *record)
{
    cJSON     *json;
    unsigned   i;

    json = cJSON_CreateObject();

    for (i = 0; i < record->group_count; i++) {
        cJSON_AddNumberToObject(json, record->groups[i].name,
                                record->groups[i].weight / 100.0);
    }

    return json;
}


static cJSON *
decision_state(const rollout_t *state)
{
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "state", rollout_state_name(state->state));

    if (state->waiting_for != ROLLOUT_WAIT_NONE) {
        cJSON_AddStringToObject(json, "waiting_for",
                                rollout_wait_name(state->waiting_for));
    }

    cJSON_AddNumberToObject(json, "step", state->step);
    cJSON_AddNumberToObject(json, "held_ms", (double) state->held_ms);
    cJSON_AddNumberToObject(json, "step_requests",
                            (double) state->step_requests);

    return json;
}


/* What the evidence of each group is held against. */
static cJSON *
decision_limits(const rollout_spec_t *spec)
{
    cJSON           *json;
    judge_config_t   config;

    spec_arm_analysis(spec, &config);
    json = spec_print_analysis(&config);
    cJSON_AddNumberToObject(json, "log_harm", -log(config.alpha));
    cJSON_AddNumberToObject(json, "log_safe", -log(config.beta));

    return json;
}


static void
decision_cell(cJSON *json, const char *name, const uint64_t counts[2])
{
    cJSON  *cell;

    cell = cJSON_AddObjectToObject(json, name);
    cJSON_AddNumberToObject(cell, "requests", (double) counts[0]);
    cJSON_AddNumberToObject(cell, "errors", (double) counts[1]);
}


/* {"requests", "errors"} by the groups' names, stable at the end. */
static cJSON *
decision_counts(const release_t *release, const evidence_t *evidence)
{
    cJSON           *json;
    unsigned         i;
    judge_result_t   result;

    json = cJSON_CreateObject();

    for (i = 0; i < evidence->arm_count; i++) {
        judge_result(&evidence->arms[i].judge, &result);
        decision_cell(json, release_arm(release, i), result.requests);
    }

    if (release_baseline(release, 0)[0] != '\0') {
        judge_result(&evidence->arms[0].judge, &result);
        decision_cell(json, release->stable, &result.requests[2]);
    }

    return json;
}


static cJSON *
decision_evidence(const evidence_arm_t *arm)
{
    char             odds[32];
    cJSON           *json;
    judge_result_t   result;

    judge_result(&arm->judge, &result);
    json = judge_result_print(&result);
    cJSON_DeleteItemFromObjectCaseSensitive(json, "requests");
    cJSON_AddStringToObject(json, "odds", judge_odds(result.log_evidence,
                                                     odds, sizeof(odds)));
    cJSON_AddNumberToObject(json, "ticks", (double) arm->judge.ticks);

    return json;
}


/* Of an experiment: each group's, and how it fares. */
static cJSON *
decision_groups(const release_t *release, const evidence_t *evidence)
{
    cJSON     *json, *group;
    unsigned   i;

    json = cJSON_CreateObject();

    for (i = 0; i < evidence->arm_count; i++) {
        group = decision_evidence(&evidence->arms[i]);
        cJSON_AddStringToObject(group, "result",
                                rollout_arm_name(release->state.arms[i]));
        cJSON_AddItemToObject(json, release_arm(release, i), group);
    }

    return json;
}


cJSON *
decision_json(const decision_t *decision)
{
    cJSON            *json, *part;
    const release_t  *release = decision->release;

    json = cJSON_CreateObject();

    if (decision->before != NULL) {
        cJSON_AddItemToObject(json, "before",
                              decision_state(decision->before));
    }

    cJSON_AddItemToObject(json, "after", decision_state(&release->state));

    if (decision->evidence != NULL) {
        cJSON_AddItemToObject(json, "counts",
                              decision_counts(release, decision->evidence));

        if (release->spec.arm_count > 0) {
            cJSON_AddItemToObject(json, "groups",
                                  decision_groups(release,
                                                  decision->evidence));
        } else {
            cJSON_AddItemToObject(json, "evidence",
                decision_evidence(&decision->evidence->arms[0]));
        }
    }

    cJSON_AddItemToObject(json, "limits", decision_limits(&release->spec));

    if (decision->present != NULL) {
        part = cJSON_AddObjectToObject(json, "weights");
        cJSON_AddItemToObject(part, "before",
                              decision_weights(decision->present));
        cJSON_AddItemToObject(part, "after",
                              decision_weights(decision->wanted != NULL
                                               ? decision->wanted
                                               : decision->present));

        part = cJSON_AddObjectToObject(json, "revision");
        cJSON_AddNumberToObject(part, "before",
                                (double) decision->present->revision);
        cJSON_AddNumberToObject(part, "after",
                                (double) (decision->wanted != NULL
                                          ? decision->wanted->revision
                                          : decision->present->revision));
    }

    if (decision->fleet != NULL) {
        cJSON_AddItemToObject(json, "nodes", fleet_json(decision->fleet));
    }

    if (decision->leader != NULL) {
        cJSON_AddStringToObject(json, "leader", decision->leader);
    }

    return json;
}


char *
decision_text(const decision_t *decision)
{
    char   *text;
    cJSON  *json;

    json = decision_json(decision);
    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (text == NULL) {
        abort();
    }

    return text;
}
