#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "explain.h"

#define EXPLAIN_LEN   1024
#define EXPLAIN_PART  256


/* --- a decision --- */

static const cJSON *
explain_member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static const char *
explain_string(const cJSON *json, const char *name)
{
    json = explain_member(json, name);

    return cJSON_IsString(json) ? json->valuestring : "";
}


static void
explain_add(char *buf, unsigned size, const char *text)
{
    size_t  used = strlen(buf);

    text_format(buf + used, size - used, "%s%s", used > 0 ? "; " : "", text);
}


/* "green: 1 of 240 requests failed" */
static void
explain_counts(const cJSON *data, char *buf, unsigned size)
{
    char          part[EXPLAIN_PART];
    double        requests, errors;
    const cJSON  *cell;

    cJSON_ArrayForEach(cell, explain_member(data, "counts")) {
        requests = cJSON_GetNumberValue(explain_member(cell, "requests"));
        errors = cJSON_GetNumberValue(explain_member(cell, "errors"));
        text_format(part, sizeof(part), "%s: %.0f of %.0f requests failed",
                    cell->string, errors, requests);
        explain_add(buf, size, part);
    }
}


/* "evidence of harm 1 : 0.6, the limit is 1 : 100" */
static void
explain_evidence(const cJSON *data, char *buf, unsigned size)
{
    char          part[EXPLAIN_PART], limit[32];
    double        harm;
    const cJSON  *evidence, *limits;

    evidence = explain_member(data, "evidence");
    limits = explain_member(data, "limits");
    harm = cJSON_GetNumberValue(explain_member(limits, "log_harm"));

    if (!cJSON_IsObject(evidence) || isnan(harm)) {
        return;
    }

    text_format(part, sizeof(part), "evidence of harm %s, the limit is %s",
                explain_string(evidence, "odds"),
                judge_odds(harm, limit, sizeof(limit)));
    explain_add(buf, size, part);
}


/* "green 1 % -> 10 %" */
static void
explain_weights(const cJSON *data, char *buf, unsigned size)
{
    char          part[EXPLAIN_PART];
    double        from, to;
    const cJSON  *weights, *before, *group;

    weights = explain_member(data, "weights");
    before = explain_member(weights, "before");

    cJSON_ArrayForEach(group, explain_member(weights, "after")) {
        to = group->valuedouble;
        from = cJSON_GetNumberValue(explain_member(before, group->string));

        if (!isnan(from) && from != to) {
            text_format(part, sizeof(part), "%s from %g %% to %g %%",
                        group->string, from, to);
            explain_add(buf, size, part);
        }
    }
}


static void
explain_nodes(const cJSON *data, char *buf, unsigned size)
{
    char          part[EXPLAIN_PART];
    const cJSON  *nodes;

    nodes = explain_member(data, "nodes");

    if (cJSON_IsObject(nodes)) {
        text_format(part, sizeof(part), "%.0f of %.0f live nodes served the "
                    "record before",
                    cJSON_GetNumberValue(explain_member(nodes, "confirmed")),
                    cJSON_GetNumberValue(explain_member(nodes, "live")));
        explain_add(buf, size, part);
    }
}


char *
explain_event(const cJSON *event, char *buf, unsigned size)
{
    char          inputs[EXPLAIN_LEN];
    const char   *detail;
    const cJSON  *data;

    data = explain_member(event, "data");
    detail = explain_string(event, "detail");
    inputs[0] = '\0';

    explain_weights(data, inputs, sizeof(inputs));
    explain_counts(data, inputs, sizeof(inputs));
    explain_evidence(data, inputs, sizeof(inputs));
    explain_nodes(data, inputs, sizeof(inputs));

    return text_format(buf, size, "%s by %s%s%s%s%s%s",
                       explain_string(event, "type"),
                       explain_string(event, "actor"),
                       detail[0] != '\0' ? ": " : "", detail,
                       inputs[0] != '\0' ? " (" : "", inputs,
                       inputs[0] != '\0' ? ")" : "");
}


/* --- what would have to happen --- */

typedef struct {
    const decision_t      *now;
    const rollout_spec_t  *spec;
    const rollout_t       *state;
    judge_result_t         result;
    bool                   judged;
    cJSON                 *list;
} explain_t;


/* value and limit are left out where they are not finite. */
static void
explain_next(explain_t *e, const char *when, const char *then, double value,
    double limit)
{
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "when", when);
    cJSON_AddStringToObject(json, "then", then);

    if (isfinite(value)) {
        cJSON_AddNumberToObject(json, "value", value);
    }

    if (isfinite(limit)) {
        cJSON_AddNumberToObject(json, "limit", limit);
    }

    cJSON_AddItemToArray(e->list, json);
}


/* What follows the present step, or the bake. */
static void
explain_after(const explain_t *e, char *text, unsigned size)
{
    char                   duration[32];
    const rollout_t       *state = e->state;
    const rollout_spec_t  *spec = e->spec;

    if (!state->baking && state->step + 1 < spec->step_count) {
        text_format(text, size, "step %u of %u begins: %g %% to %s",
                    state->step + 2, spec->step_count,
                    spec->steps[state->step + 1].weight / 100.0,
                    spec->canary);
        return;
    }

    if (!state->baking && spec->bake_ms > 0) {
        text_format(text, size, "the bake begins: %s at %g %%",
                    spec_print_duration(spec->bake_ms, duration,
                                        sizeof(duration)),
                    spec->steps[spec->step_count - 1].weight / 100.0);
        return;
    }

    text_format(text, size, spec->on_success == SPEC_PROMOTE
                ? "it succeeds: %s becomes stable"
                : "it succeeds: %s keeps its weight", spec->canary);
}


static void
explain_advance(explain_t *e)
{
    char                   when[EXPLAIN_PART], then[EXPLAIN_PART], total[32];
    char                   left[32];
    bool                   approval;
    int64_t                hold, rest;
    const rollout_t       *state = e->state;
    const rollout_spec_t  *spec = e->spec;

    hold = state->baking || state->step >= spec->step_count
           ? spec->bake_ms : spec->steps[state->step].hold_ms;
    approval = !state->baking && state->step < spec->step_count
               && spec->steps[state->step].approval && !state->approved;
    rest = hold > state->held_ms ? hold - state->held_ms : 0;

    explain_after(e, then, sizeof(then));

    if (approval) {
        text_copy(then, sizeof(then), "it waits for approval: promote or "
                  "abort");
    }

    text_format(when, sizeof(when), "%s of %s are over (%s left), all live "
                "nodes serve the weight, and %s got at least one request",
                state->baking ? "the bake" : "the hold",
                spec_print_duration(hold, total, sizeof(total)),
                spec_print_duration(rest, left, sizeof(left)), spec->canary);
    explain_next(e, when, then, (double) state->held_ms, (double) hold);

    if (e->now->fleet != NULL
        && e->now->fleet->confirmed < e->now->fleet->live)
    {
        text_format(when, sizeof(when), "the clock runs only while all live "
                    "nodes serve the weight");
        explain_next(e, when, "the hold goes on",
                     e->now->fleet->confirmed, e->now->fleet->live);
    }

    if (spec->ramp == SPEC_RAMP_EVIDENCE && !state->baking) {
        explain_next(e, "the canary is shown to be safe (log_safe), before "
                     "the hold is over", then,
                     e->judged ? e->result.log_safe : NAN,
                     -log(spec->analysis.beta));
    }
}


/* The bets that take it back, and what holds it. */
static void
explain_bets(explain_t *e)
{
    char                   when[EXPLAIN_PART], limit[32];
    const judge_config_t  *config = &e->spec->analysis;

    text_format(when, sizeof(when), "the evidence of harm (log_evidence) "
                "reaches %s", judge_odds(-log(config->alpha), limit,
                                         sizeof(limit)));
    explain_next(e, when, "it reverts to stable",
                 e->judged ? e->result.log_evidence : NAN,
                 -log(config->alpha));

    if (config->max_excess_errors > 0) {
        explain_next(e, "the excess errors reach the budget",
                     "it reverts to stable",
                     e->judged ? e->result.excess_errors : NAN,
                     config->max_excess_errors);
    }

    if (config->max_error_rate > 0) {
        explain_next(e, "stable itself fails in a larger share of its "
                     "requests", "it waits until that is over", NAN,
                     config->max_error_rate);
    }

    explain_next(e, "no request reaches the canary for so many ticks",
                 "it waits for traffic",
                 e->now->evidence != NULL
                 ? (double) e->now->evidence->judge.silent : NAN,
                 config->stale_ticks);
}


static void
explain_waiting(explain_t *e)
{
    char  then[EXPLAIN_PART];

    switch (e->state->waiting_for) {

    case ROLLOUT_WAIT_APPROVAL:
        explain_after(e, then, sizeof(then));
        explain_next(e, "somebody promotes it", then, NAN, NAN);
        break;

    case ROLLOUT_WAIT_NO_DATA:
        explain_next(e, "a request reaches the canary", "it goes on", NAN,
                     NAN);
        break;

    case ROLLOUT_WAIT_INCIDENT:
        explain_next(e, "stable fails in a smaller share of its requests",
                     "it goes on", NAN, e->spec->analysis.max_error_rate);
        break;

    default:
        text_format(then, sizeof(then), "%s is over",
                    rollout_wait_name(e->state->waiting_for));
        explain_next(e, then, "it goes on", NAN, NAN);
        break;
    }
}


static void
explain_state(explain_t *e)
{
    char  then[EXPLAIN_PART];

    switch (e->state->state) {

    case ROLLOUT_PENDING:
        explain_next(e, "a live node serves the upstream",
                     "the first step begins", NAN, NAN);
        break;

    case ROLLOUT_PROGRESSING:
    case ROLLOUT_BAKING:
        explain_advance(e);
        explain_bets(e);
        break;

    case ROLLOUT_PAUSED:
        explain_after(e, then, sizeof(then));
        explain_next(e, "somebody resumes it", "the hold goes on", NAN, NAN);
        explain_next(e, "somebody promotes it", then, NAN, NAN);
        explain_bets(e);
        break;

    case ROLLOUT_WAITING:
        explain_waiting(e);
        explain_bets(e);
        break;

    case ROLLOUT_REVERTING:
        explain_next(e, "all live nodes serve stable", "it is aborted",
                     e->now->fleet != NULL ? e->now->fleet->confirmed : NAN,
                     e->now->fleet != NULL ? e->now->fleet->live : NAN);
        break;

    case ROLLOUT_SUCCEEDED:
        explain_next(e, "somebody aborts it, as long as no other rollout of "
                     "the upstream has begun", "it reverts to stable", NAN,
                     NAN);
        break;

    default:
        break;
    }
}


static void
explain_summary(const explain_t *e, char *text, unsigned size)
{
    char             odds[32];
    const char      *wait;
    const rollout_t *state = e->state;

    wait = rollout_wait_name(state->waiting_for);
    text_format(text, size, "%s is %s%s%s: %s (%s)", e->now->release->id,
                rollout_state_name(state->state), wait[0] != '\0' ? " for "
                                                                  : "",
                wait, state->reason, state->actor);

    if (e->judged) {
        text_format(text + strlen(text), (size_t) size - strlen(text),
                    "; evidence of harm %s",
                    judge_odds(e->result.log_evidence, odds, sizeof(odds)));
    }
}


cJSON *
explain_json(const decision_t *now, cJSON *decisions)
{
    char        text[EXPLAIN_LEN];
    cJSON      *json, *event;
    explain_t   e;

    memset(&e, 0, sizeof(explain_t));
    e.now = now;
    e.spec = &now->release->spec;
    e.state = &now->release->state;
    e.judged = now->evidence != NULL && now->evidence->judge.ticks > 0;
    e.list = cJSON_CreateArray();

    if (e.judged) {
        judge_result(&now->evidence->judge, &e.result);
    }

    explain_summary(&e, text, sizeof(text));
    explain_state(&e);

    cJSON_ArrayForEach(event, decisions) {
        char  line[EXPLAIN_LEN];

        cJSON_AddStringToObject(event, "text", explain_event(event, line,
                                                             sizeof(line)));
    }

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", now->release->id);
    cJSON_AddStringToObject(json, "upstream", e.spec->upstream);
    cJSON_AddStringToObject(json, "state",
                            rollout_state_name(e.state->state));
    cJSON_AddStringToObject(json, "summary", text);
    cJSON_AddItemToObject(json, "now", decision_json(now));
    cJSON_AddItemToObject(json, "decisions", decisions);
    cJSON_AddItemToObject(json, "next", e.list);

    return json;
}
