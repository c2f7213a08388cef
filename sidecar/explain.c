#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "explain.h"

#define EXPLAIN_LEN     1024
#define EXPLAIN_PART    256
#define EXPLAIN_SECOND  1000


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


/* "evidence of harm 1 : 0.6, the limit is 1 : 100"; of an experiment for each
 * group */
static void
explain_evidence(const cJSON *data, char *buf, unsigned size)
{
    char          part[EXPLAIN_PART], limit[32];
    double        harm;
    const cJSON  *group, *limits;

    limits = explain_member(data, "limits");
    harm = cJSON_GetNumberValue(explain_member(limits, "log_harm"));

    if (isnan(harm)) {
        return;
    }

    judge_odds(harm, limit, sizeof(limit));

    if (cJSON_IsObject(explain_member(data, "evidence"))) {
        text_format(part, sizeof(part), "evidence of harm %s, the limit is "
                    "%s", explain_string(explain_member(data, "evidence"),
                                         "odds"), limit);
        explain_add(buf, size, part);
    }

    cJSON_ArrayForEach(group, explain_member(data, "groups")) {
        text_format(part, sizeof(part), "evidence of harm of %s %s, the "
                    "limit is %s", group->string,
                    explain_string(group, "odds"), limit);
        explain_add(buf, size, part);
    }
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
    judge_config_t         config; /* of each group */
    judge_result_t         results[SPEC_MAX_ARMS];   /* of release_arm() */
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

        if (spec->strategy == SPEC_ROLLING) {
            text_format(text, size, "step %u of %u begins: %s %s",
                        state->step + 2, spec->step_count,
                        spec->rolling == SPEC_BY_SERVERS ? "server" : "node",
                        spec->targets[state->step + 1]);
            return;
        }

        text_format(text, size, "step %u of %u begins: %g %% to %s",
                    state->step + 2, spec->step_count,
                    spec->steps[state->step + 1].weight / 100.0,
                    spec->canary);
        return;
    }

    if (!state->baking && spec->bake_ms > 0) {
        text_format(text, size, "the bake begins: %s",
                    spec_print_duration(spec->bake_ms, duration,
                                        sizeof(duration)));
        return;
    }

    if (spec->on_success == SPEC_STABLE) {
        text_copy(text, size, "it succeeds: stable has all traffic again");
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
    uint64_t               requests;
    const rollout_t       *state = e->state;
    const rollout_spec_t  *spec = e->spec;

    hold = state->baking || state->step >= spec->step_count
           ? spec->bake_ms : spec->steps[state->step].hold_ms;
    approval = !state->baking && state->step < spec->step_count
               && spec->steps[state->step].approval && !state->approved;
    rest = hold > state->held_ms ? hold - state->held_ms : 0;

    if (rest > EXPLAIN_SECOND) {
        rest -= rest % EXPLAIN_SECOND;
    }

    requests = state->baking || state->step >= spec->step_count
               ? 1 : spec->steps[state->step].min_requests;

    explain_after(e, then, sizeof(then));

    if (approval) {
        text_copy(then, sizeof(then), "it waits for approval: promote or "
                  "abort");
    }

    text_format(when, sizeof(when), "%s of %s has passed (%s left), all live "
                "nodes serve the weight, and the canary got at least %llu "
                "request%s%s", state->baking ? "the bake" : "the hold",
                spec_print_duration(hold, total, sizeof(total)),
                spec_print_duration(rest, left, sizeof(left)),
                (unsigned long long) requests, requests == 1 ? "" : "s",
                spec->slo.min_requests > 0
                ? ", and the step's objectives (slo) are met" : "");
    explain_next(e, when, then, (double) state->held_ms, (double) hold);

    if (e->now->fleet != NULL
        && e->now->fleet->confirmed < e->now->fleet->live)
    {
        text_format(when, sizeof(when), "the clock runs only while all live "
                    "nodes serve the weight");
        explain_next(e, when, "the hold goes on",
                     e->now->fleet->confirmed, e->now->fleet->live);
    }

    if (spec->ramp == SPEC_RAMP_EVIDENCE && !state->baking
        && spec->arm_count == 0)
    {
        explain_next(e, "the canary is shown to be safe (log_safe), before "
                     "the hold is over", then,
                     e->judged ? e->results[0].log_safe : NAN,
                     -log(spec->analysis.beta));
    }
}


/* Of the canary, or of one group of an experiment. */
static void
explain_arm(explain_t *e, unsigned number)
{
    char                    when[EXPLAIN_PART], then[EXPLAIN_PART];
    char                    limit[32];
    const char             *name;
    const judge_result_t   *result = &e->results[number];
    const judge_config_t   *config = &e->config;

    name = release_arm(e->now->release, number);

    if (e->spec->arm_count > 0) {
        if (e->state->arms[number] != ROLLOUT_ARM_RUNNING) {
            return;
        }

        text_format(then, sizeof(then), "%s is taken out", name);

    } else {
        text_copy(then, sizeof(then), "it reverts to stable");
    }

    text_format(when, sizeof(when), "the evidence of harm of %s "
                "(log_evidence) reaches %s", name,
                judge_odds(-log(config->alpha), limit, sizeof(limit)));
    explain_next(e, when, then, e->judged ? result->log_evidence : NAN,
                 -log(config->alpha));

    if (config->max_excess_errors > 0) {
        text_format(when, sizeof(when), "the excess errors of %s reach the "
                    "budget", name);
        explain_next(e, when, then, e->judged ? result->excess_errors : NAN,
                     config->max_excess_errors);
    }
}


/* The bets that take it back, and what holds it. */
static void
explain_bets(explain_t *e)
{
    unsigned               i;
    const judge_config_t  *config = &e->config;

    for (i = 0; release_arm(e->now->release, i)[0] != '\0'; i++) {
        explain_arm(e, i);
    }

    if (e->spec->guard.on) {
        explain_next(e, "the guard of a node finds that the canary fails",
                     "it reverts to stable", e->now->fleet != NULL
                     ? e->now->fleet->tripped : NAN, 1.0);
    }

    if (e->spec->deadline_ms > 0) {
        explain_next(e, "the deadline is over, counted from when it was "
                     "accepted", "it reverts to stable", NAN,
                     (double) e->spec->deadline_ms);
    }

    if (config->max_error_rate > 0) {
        explain_next(e, "stable itself fails in a larger share of its "
                     "requests", "it waits until that is over", NAN,
                     config->max_error_rate);
    }

    explain_next(e, "no request reaches the canary for so many ticks",
                 "it waits for traffic",
                 e->now->evidence != NULL
                 ? (double) e->now->evidence->arms[0].judge.silent : NAN,
                 config->stale_ticks);
}


/* What nginx says is for who repairs it, so it is there in every state. */
static void
explain_refused(explain_t *e)
{
    char            when[2 * EXPLAIN_PART], others[48];
    const fleet_t  *fleet = e->now->fleet;

    if (fleet == NULL || fleet->refused == 0) {
        return;
    }

    others[0] = '\0';

    if (fleet->refused > 1) {
        text_format(others, sizeof(others), " and of %u other%s",
                    fleet->refused - 1, fleet->refused > 2 ? "s" : "");
    }

    text_format(when, sizeof(when), "nginx of %s%s takes the record, which "
                "it refuses (%s)", fleet->refusing, others, fleet->refusal);
    explain_next(e, when, e->state->state == ROLLOUT_REVERTING
                 ? "that node serves stable"
                 : "the clock of the step can go on", NAN, NAN);
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

    case ROLLOUT_WAIT_FREEZE:
        explain_next(e, "the freeze of releases is over", "it goes on", NAN,
                     NAN);
        break;

    case ROLLOUT_WAIT_GATE:
        explain_next(e, "the hook or check that holds it passes",
                     "it goes on", NAN, NAN);
        break;

    case ROLLOUT_WAIT_SLO:
        explain_next(e, "the step's objectives (slo) are met", "it goes on",
                     NAN, NAN);
        break;

    case ROLLOUT_WAIT_NODE:
        explain_next(e, "the step's node is live, and no node refuses the "
                     "record", "it goes on", NAN, NAN);
        break;

    default:
        break;
    }
}


static void
explain_state(explain_t *e)
{
    char  then[EXPLAIN_PART];

    switch (e->state->state) {

    case ROLLOUT_SMOKE:
        explain_next(e, "the smoke tests pass", "the first step begins", NAN,
                     NAN);
        explain_next(e, "a smoke test fails", "it reverts to stable", NAN,
                     NAN);
        break;

    case ROLLOUT_PENDING:
        if (e->state->waiting_for != ROLLOUT_WAIT_NONE) {
            explain_waiting(e);
            break;
        }

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
    char              odds[32];
    unsigned          i, used;
    const char       *wait;
    const rollout_t  *state = e->state;

    wait = rollout_wait_name(state->waiting_for);
    text_format(text, size, "%s is %s%s%s: %s (%s)", e->now->release->id,
                rollout_state_name(state->state), wait[0] != '\0' ? " for "
                                                                  : "",
                wait, state->reason, state->actor);

    for (i = 0; e->judged && i < e->now->evidence->arm_count; i++) {
        used = (unsigned) strlen(text);
        text_format(text + used, size - used, "; evidence of harm of %s %s",
                    release_arm(e->now->release, i),
                    judge_odds(e->results[i].log_evidence, odds,
                               sizeof(odds)));
    }
}


cJSON *
explain_json(const decision_t *now, cJSON *decisions)
{
    char        text[EXPLAIN_LEN];
    cJSON      *json, *event;
    unsigned    i;
    explain_t   e;

    memset(&e, 0, sizeof(explain_t));
    e.now = now;
    e.spec = &now->release->spec;
    e.state = &now->release->state;
    e.judged = now->evidence != NULL && now->evidence->arms[0].judge.ticks > 0;
    e.list = cJSON_CreateArray();

    spec_arm_analysis(e.spec, &e.config);

    for (i = 0; e.judged && i < now->evidence->arm_count; i++) {
        judge_result(&now->evidence->arms[i].judge, &e.results[i]);
    }

    explain_summary(&e, text, sizeof(text));
    explain_refused(&e);
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
