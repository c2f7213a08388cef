/* Forward: from step to step, through what holds a rollout, to its end. */

#include <string.h>

#include "rollout_internal.h"
#include "text.h"

#define MAX_COUNT  (UINT64_C(1) << 53)

/* gates that every step asks anew */
#define STEP_GATES  (UINT32_C(1) << ROLLOUT_GATE_EACH_STEP                   \
                     | UINT32_C(1) << ROLLOUT_GATE_CONFIRM_STEP              \
                     | UINT32_C(1) << ROLLOUT_GATE_CONFIRM_PROMOTION)
#define TURN_GATES  (UINT32_C(1) << ROLLOUT_GATE_SMOKE)


bool
step_by_servers(const rollout_spec_t *spec)
{
    return spec->strategy == SPEC_ROLLING && spec->rolling == SPEC_BY_SERVERS;
}


static double
percent(const rollout_spec_t *spec, unsigned step)
{
    return step < spec->step_count ? spec->steps[step].weight / 100.0 : 0.0;
}


/* Time, traffic and checks count anew. */
static void
begin_clock(rollout_t *rollout)
{
    rollout->held_ms = 0;
    rollout->step_requests = 0;
    rollout->checks.result = ROLLOUT_GATE_PENDING;
    rollout->checks.next_ms = 0;
}


void
step_begin(change_t *change, unsigned step, const char *type,
    const char *why)
{
    char                   what[ROLLOUT_REASON_LEN];
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    rollout->step = step;
    rollout->approved = false;
    rollout->turn = ROLLOUT_TURN_DRAIN;
    rollout->gate = ROLLOUT_GATE_NONE;
    rollout->retry_ms = 0;
    rollout->passed &= ~(STEP_GATES
                         | (step_by_servers(spec) ? TURN_GATES : 0));
    begin_clock(rollout);
    change_enter(change, ROLLOUT_PROGRESSING, ROLLOUT_WAIT_NONE);

    switch (spec->strategy) {

    case SPEC_ROLLING:
        text_format(what, sizeof(what), "%s %s of %s",
                    step_by_servers(spec) ? "server" : "node",
                    spec->targets[step], spec->canary);
        break;

    case SPEC_EXPERIMENT:
        text_format(what, sizeof(what), "%u groups with %g %% together",
                    spec->arm_count, percent(spec, step));
        break;

    default:
        text_format(what, sizeof(what), "%g %% to %s%s",
                    percent(spec, step), spec->canary,
                    spec->steps[step].rules != NULL ? " and by rules" : "");
        break;
    }

    change_tell(change, type, "step %u of %u, %s: %s", step + 1,
                spec->step_count, what, why);
}


static void
begin_bake(change_t *change, const char *why)
{
    char                   duration[ROLLOUT_DURATION_LEN];
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    rollout->baking = true;
    rollout->gate = ROLLOUT_GATE_NONE;
    rollout->retry_ms = 0;
    rollout->passed &= ~STEP_GATES;
    begin_clock(rollout);
    change_enter(change, ROLLOUT_BAKING, ROLLOUT_WAIT_NONE);

    change_tell(change, "baking", "baking for %s at %g %%: %s",
                spec_print_duration(spec->bake_ms, duration,
                                    sizeof(duration)),
                percent(spec, rollout->step), why);
}


static void
succeed(change_t *change, const char *why)
{
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    rollout->promoted = spec->on_success == SPEC_PROMOTE
                        && !step_by_servers(spec);
    rollout->gate = ROLLOUT_GATE_NONE;
    rollout->retry_ms = 0;
    change_enter(change, ROLLOUT_SUCCEEDED, ROLLOUT_WAIT_NONE);

    if (spec->arm_count > 0) {
        experiment_end(change);

    } else if (step_by_servers(spec)) {
        change_tell(change, "succeeded", "all %u servers of %s are done: %s",
                    spec->step_count, spec->canary, why);

    } else if (rollout->promoted) {
        change_tell(change, "succeeded", "%s is stable now: %s", spec->canary,
                    why);

    } else {
        change_tell(change, "succeeded", "done, %s keeps %g %%: %s",
                    spec->canary, percent(spec, rollout->step), why);
    }

    if (gate_wanted(spec, ROLLOUT_GATE_ON_SUCCESS)) {
        gate_begin(change, ROLLOUT_GATE_ON_SUCCESS);
    }
}


static bool
has_next(const change_t *change)
{
    return !change->rollout->baking
           && change->rollout->step + 1 < change->spec->step_count;
}


static bool
bakes_next(const change_t *change)
{
    return !change->rollout->baking && !has_next(change)
           && change->spec->bake_ms > 0;
}


void
step_go_on(change_t *change, const char *why)
{
    if (has_next(change)) {
        step_begin(change, change->rollout->step + 1, "step", why);

    } else if (bakes_next(change)) {
        begin_bake(change, why);

    } else {
        succeed(change, why);
    }
}


void
step_finish(change_t *change, const char *why)
{
    change->rollout->step = change->spec->step_count - 1;
    succeed(change, why);
}


void
step_come_back(change_t *change, const char *why)
{
    change_enter(change,
                 change->rollout->baking ? ROLLOUT_BAKING
                                         : ROLLOUT_PROGRESSING,
                 ROLLOUT_WAIT_NONE);

    change_tell(change, "resumed", "%s", why);
}


/* --- what holds it --- */

static const char *
gate_says(const change_t *change, rollout_gate_t *gate)
{
    *gate = change->rollout->gate != ROLLOUT_GATE_NONE
            ? change->rollout->gate : ROLLOUT_GATE_CHECKS;

    return gate_detail(change, *gate);
}


/* Nodes come and go while it waits: what keeps it at present, for reason. */
static void
node_says(const change_t *change, char reason[ROLLOUT_REASON_LEN])
{
    char                          others[48];
    unsigned                      more;
    const rollout_observation_t  *seen = change->seen;

    if (seen->target_away && !change->rollout->baking) {
        text_format(reason, ROLLOUT_REASON_LEN, "node %s is not live",
                    rollout_target(change->spec, change->rollout));
        return;
    }

    more = seen->nodes_refusing - 1;
    others[0] = '\0';

    if (more > 0) {
        text_format(others, sizeof(others), " and %u other%s", more,
                    more > 1 ? "s" : "");
    }

    text_format(reason, ROLLOUT_REASON_LEN, "node %s%s refuse%s the record, "
                "the weight is held: %s", seen->refusing, others,
                more > 0 ? "" : "s", seen->refusal);
}


static void
await(change_t *change, rollout_wait_t wait)
{
    char                   node[ROLLOUT_REASON_LEN];
    const char            *detail;
    rollout_t             *rollout = change->rollout;
    rollout_gate_t         gate;
    const rollout_spec_t  *spec = change->spec;

    change_enter(change, ROLLOUT_WAITING, wait);

    switch (wait) {

    case ROLLOUT_WAIT_APPROVAL:
        change_tell(change, "waiting", "step %u of %u is done at %g %% and "
                    "waits for approval: promote or abort", rollout->step + 1,
                    spec->step_count, percent(spec, rollout->step));
        break;

    case ROLLOUT_WAIT_NO_DATA:
        change_tell(change, "waiting", "no request reached %s for %u ticks: "
                    "there is nothing to judge, the weight is held",
                    spec->canary, spec->analysis.stale_ticks);
        break;

    case ROLLOUT_WAIT_FREEZE:
        change_tell(change, "waiting", "releases are frozen: the weight is "
                    "held until that is over");
        break;

    case ROLLOUT_WAIT_GATE:
        detail = gate_says(change, &gate);
        change_tell(change, "waiting", "%s says: not yet%s%s",
                    rollout_gate_name(gate), *detail ? ": " : "", detail);
        break;

    case ROLLOUT_WAIT_SLO:
        change_tell(change, "waiting", "the objectives of step %u are not "
                    "met, the weight is held: %s", rollout->step + 1,
                    change->seen->slo_detail);
        break;

    case ROLLOUT_WAIT_NODE:
        node_says(change, node);
        change_tell(change, "waiting", "%s", node);
        break;

    default:                       /* ROLLOUT_WAIT_INCIDENT */
        change_tell(change, "waiting", "stable itself fails in more than %g "
                    "%% of its requests: the weight is held until that is "
                    "over", spec->analysis.max_error_rate * 100.0);
        break;
    }
}


/* What holds it whatever its clock says. */
static rollout_wait_t
obstacle_of(const change_t *change)
{
    const rollout_t              *rollout = change->rollout;
    const rollout_observation_t  *seen = change->seen;

    if (seen->target_away && !rollout->baking) {
        return ROLLOUT_WAIT_NODE;
    }

    /* Whose record is refused may well get no requests: that is why. */

    if (seen->nodes_refusing > 0 && seen->verdict != JUDGE_INCIDENT) {
        return ROLLOUT_WAIT_NODE;
    }

    switch (seen->verdict) {

    case JUDGE_NO_DATA:
        /* a server that is being worked on gets no requests, and one of an
         * idle group never does */

        if (step_by_servers(change->spec)
            && (rollout->turn != ROLLOUT_TURN_BAKE
                || change->spec->rolling_bake_ms == 0))
        {
            return ROLLOUT_WAIT_NONE;
        }

        return ROLLOUT_WAIT_NO_DATA;

    case JUDGE_INCIDENT:
        return ROLLOUT_WAIT_INCIDENT;

    default:
        return ROLLOUT_WAIT_NONE;
    }
}


static bool
all_confirmed(const change_t *change)
{
    return change->seen->nodes_live > 0
           && change->seen->nodes_confirmed >= change->seen->nodes_live;
}


/*
 * Time and traffic count from when every live node serves this weight;
 * before, the requests seen may still be those of the step before.
 */
static void
count_tick(change_t *change, int64_t passed)
{
    rollout_t                    *rollout = change->rollout;
    const rollout_observation_t  *seen = change->seen;

    if (!all_confirmed(change) || seen->target_away
        || (step_by_servers(change->spec) && !rollout->baking
            && rollout->turn != ROLLOUT_TURN_BAKE))
    {
        return;
    }

    if (seen->canary_requests > MAX_COUNT - rollout->step_requests) {
        rollout->step_requests = MAX_COUNT;
    } else {
        rollout->step_requests += seen->canary_requests;
    }

    if (rollout->state == ROLLOUT_PROGRESSING
        || rollout->state == ROLLOUT_BAKING)
    {
        rollout->held_ms += passed;
    }
}


/* What keeps it beside its clock and its traffic; NONE also where an answer
 * is still to come, then *ready is false. */
static rollout_wait_t
hindrance(change_t *change, bool approval, rollout_gate_t gate, bool *ready)
{
    rollout_t                    *rollout = change->rollout;
    const rollout_observation_t  *seen = change->seen;

    *ready = false;

    if (seen->slo != ROLLOUT_SLO_MET) {
        return seen->slo == ROLLOUT_SLO_UNMET ? ROLLOUT_WAIT_SLO
                                              : ROLLOUT_WAIT_NONE;
    }

    if (gate_wanted(change->spec, ROLLOUT_GATE_CHECKS)
        && rollout->checks.result != ROLLOUT_GATE_PASSED)
    {
        return rollout->checks.result == ROLLOUT_GATE_HOLD
               || rollout->waiting_for == ROLLOUT_WAIT_GATE
               ? ROLLOUT_WAIT_GATE : ROLLOUT_WAIT_NONE;
    }

    if (approval && !rollout->approved) {
        return ROLLOUT_WAIT_APPROVAL;
    }

    if (seen->frozen) {
        return ROLLOUT_WAIT_FREEZE;
    }

    if (gate == ROLLOUT_GATE_NONE) {
        *ready = true;
        return ROLLOUT_WAIT_NONE;
    }

    switch (gate_run(change, gate)) {

    case ROLLOUT_GATE_PASSED:
        *ready = true;
        return ROLLOUT_WAIT_NONE;

    case ROLLOUT_GATE_FAILED:
        gate_revert(change, gate);
        return ROLLOUT_WAIT_NONE;

    case ROLLOUT_GATE_HOLD:
        return ROLLOUT_WAIT_GATE;

    default:
        return ROLLOUT_WAIT_NONE;
    }
}


/* The hook of a step, once it has its weight.  True: it is behind it. */
static bool
step_hook(change_t *change, rollout_gate_t gate, rollout_wait_t *wait)
{
    *wait = ROLLOUT_WAIT_NONE;

    switch (gate_run(change, gate)) {

    case ROLLOUT_GATE_PASSED:
        return true;

    case ROLLOUT_GATE_FAILED:
        gate_revert(change, gate);
        return false;

    case ROLLOUT_GATE_HOLD:
        *wait = ROLLOUT_WAIT_GATE;
        return false;

    default:
        return false;
    }
}


/* --- a server's turn --- */

/* True: it serves again and bakes. */
static bool
turn_try(change_t *change, rollout_wait_t *wait)
{
    const char                   *server;
    rollout_t                    *rollout = change->rollout;
    const rollout_observation_t  *seen = change->seen;

    *wait = ROLLOUT_WAIT_NONE;
    server = change->spec->targets[rollout->step];

    if (rollout->turn == ROLLOUT_TURN_DRAIN) {

        if (!all_confirmed(change)
            || (seen->nodes_drained < seen->nodes_live
                && change->now_ms - rollout->entered_ms
                   < change->spec->drain_ms))
        {
            return false;
        }

        rollout->turn = ROLLOUT_TURN_DEPLOY;
        change_emit(change, "turn", "%s is drained", server);
    }

    if (rollout->turn == ROLLOUT_TURN_DEPLOY) {

        if (!step_hook(change, ROLLOUT_GATE_EACH_STEP, wait)) {
            return false;
        }

        rollout->turn = ROLLOUT_TURN_SMOKE;
    }

    if (rollout->turn == ROLLOUT_TURN_SMOKE) {

        if (!step_hook(change, ROLLOUT_GATE_SMOKE, wait)) {
            return false;
        }

        rollout->turn = ROLLOUT_TURN_BAKE;
        begin_clock(rollout);
        change_emit(change, "turn", "%s serves again", server);

        return false;              /* the record has to say so first */
    }

    return true;
}


/* --- the clock --- */

/*
 * Goes on if it may.  What keeps it is returned; NONE where only time,
 * traffic or an answer is lacking, and where it has gone on or back.
 */
static rollout_wait_t
try_step(change_t *change)
{
    bool                   held, ready;
    char                   why[96], duration[ROLLOUT_DURATION_LEN];
    rollout_t             *rollout = change->rollout;
    rollout_wait_t         wait;
    rollout_gate_t         gate;
    const rollout_spec_t  *spec = change->spec;
    const spec_step_t     *step = &spec->steps[rollout->step];

    if (step_by_servers(spec) ? !turn_try(change, &wait)
                              : !step_hook(change, ROLLOUT_GATE_EACH_STEP,
                                           &wait))
    {
        return wait;
    }

    held = rollout->held_ms >= step->hold_ms;

    if (!held && !(spec->ramp == SPEC_RAMP_EVIDENCE
                   && change->seen->verdict == JUDGE_SAFE))
    {
        return ROLLOUT_WAIT_NONE;
    }

    /* no step was seen to work that nobody was sent to; but the servers of
     * an idle group may be rolled as well */

    if (!all_confirmed(change)
        || (rollout->step_requests < step->min_requests
            && !(step_by_servers(spec) && step->hold_ms == 0)))
    {
        return ROLLOUT_WAIT_NONE;
    }

    gate = has_next(change) ? ROLLOUT_GATE_CONFIRM_STEP
           : bakes_next(change) ? ROLLOUT_GATE_NONE
                                : ROLLOUT_GATE_CONFIRM_PROMOTION;

    wait = hindrance(change, step->approval, gate, &ready);

    if (!ready) {
        return wait;
    }

    if (held) {
        text_format(why, sizeof(why), "the hold of %s is over",
                    spec_print_duration(step->hold_ms, duration,
                                        sizeof(duration)));
    } else {
        text_copy(why, sizeof(why), "the canary is shown to be safe");
    }

    step_go_on(change, why);

    return ROLLOUT_WAIT_NONE;
}


static rollout_wait_t
try_bake(change_t *change)
{
    bool                   ready;
    char                   why[96], duration[ROLLOUT_DURATION_LEN];
    rollout_t             *rollout = change->rollout;
    rollout_wait_t         wait;
    const rollout_spec_t  *spec = change->spec;

    if (rollout->held_ms < spec->bake_ms || !all_confirmed(change)
        || rollout->step_requests == 0)
    {
        return ROLLOUT_WAIT_NONE;
    }

    wait = hindrance(change, false, ROLLOUT_GATE_CONFIRM_PROMOTION, &ready);

    if (!ready) {
        return wait;
    }

    text_format(why, sizeof(why), "the bake of %s is over",
                spec_print_duration(spec->bake_ms, duration,
                                    sizeof(duration)));
    step_go_on(change, why);

    return ROLLOUT_WAIT_NONE;
}


static rollout_wait_t
try_on(change_t *change)
{
    return change->rollout->baking ? try_bake(change) : try_step(change);
}


static void
tick_waiting(change_t *change, rollout_wait_t obstacle)
{
    rollout_t       *rollout = change->rollout;
    rollout_wait_t   wait, was;

    static const char *const  over[] = {
        [ROLLOUT_WAIT_NO_DATA] = "requests reach the canary again",
        [ROLLOUT_WAIT_INCIDENT] = "stable is below its error ceiling again",
        [ROLLOUT_WAIT_FREEZE] = "releases are not frozen any more",
        [ROLLOUT_WAIT_GATE] = "what kept it has passed",
        [ROLLOUT_WAIT_SLO] = "the step's objectives are met again",
        [ROLLOUT_WAIT_NODE] = "its nodes are live and take the record"
    };

    was = rollout->waiting_for;

    /* whoever approves sees the obstacle as soon as the next step begins */

    if (was == ROLLOUT_WAIT_NODE && obstacle == was) {
        node_says(change, rollout->reason);
    }

    if (was == ROLLOUT_WAIT_APPROVAL || was == obstacle) {
        return;
    }

    /* a canaryd that has just started has not tried the record yet: only who
     * serves it takes it */

    if (was == ROLLOUT_WAIT_NODE && obstacle != ROLLOUT_WAIT_INCIDENT
        && !all_confirmed(change))
    {
        return;
    }

    if (obstacle != ROLLOUT_WAIT_NONE) {
        await(change, obstacle);
        return;
    }

    if (was == ROLLOUT_WAIT_FREEZE || was == ROLLOUT_WAIT_GATE
        || was == ROLLOUT_WAIT_SLO)
    {
        wait = try_on(change);

        if (rollout->state != ROLLOUT_WAITING || wait == was) {
            return;
        }

        if (wait != ROLLOUT_WAIT_NONE) {
            await(change, wait);
            return;
        }
    }

    step_come_back(change, over[was]);
}


void
step_tick(change_t *change, int64_t passed)
{
    rollout_t       *rollout = change->rollout;
    rollout_wait_t   wait, obstacle;

    obstacle = obstacle_of(change);

    if (obstacle != ROLLOUT_WAIT_NONE
        && (rollout->state == ROLLOUT_PROGRESSING
            || rollout->state == ROLLOUT_BAKING))
    {
        await(change, obstacle);
        return;
    }

    count_tick(change, passed);

    switch (rollout->state) {

    case ROLLOUT_PROGRESSING:
    case ROLLOUT_BAKING:
        wait = try_on(change);

        if (wait != ROLLOUT_WAIT_NONE) {
            await(change, wait);
        }

        break;

    case ROLLOUT_WAITING:
        tick_waiting(change, obstacle);
        break;

    default:                       /* ROLLOUT_PAUSED: judged, no clock */
        break;
    }
}
