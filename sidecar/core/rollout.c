/*
 * The rollout as a state machine; rollout.h and docs say what it promises.
 * Here is what is common to all: the tick, the start, and the way back.
 */

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rollout_internal.h"
#include "text.h"

#define AUTOMATIC      "canaryd"   /* actor of what no person did */
#define MAX_TICK_MS    (INT64_C(60) * 60 * 1000)
#define AFTER_MS       (INT64_C(10) * 60 * 1000)  /* for a hook at the end */


void
change_enter(change_t *change, rollout_state_t state, rollout_wait_t wait)
{
    rollout_t  *rollout = change->rollout;

    rollout->state = state;
    rollout->waiting_for = wait;
    rollout->entered_ms = change->now_ms;
    rollout->last_ms = change->now_ms;
}


static void
add_event(change_t *change, const char *type, const char *detail)
{
    rollout_event_t   *event;
    rollout_events_t  *events = change->events;

    if (events->count == ROLLOUT_MAX_EVENTS) {
        return;
    }

    event = &events->list[events->count++];
    text_copy(event->type, sizeof(event->type), type);
    text_copy(event->detail, sizeof(event->detail), detail);
}


void
change_tell(change_t *change, const char *type, const char *format, ...)
{
    char        text[2 * ROLLOUT_REASON_LEN];
    va_list     args;
    rollout_t  *rollout = change->rollout;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    text_copy(rollout->reason, sizeof(rollout->reason), text);
    text_copy(rollout->actor, sizeof(rollout->actor), change->actor);
    add_event(change, type, rollout->reason);
}


void
change_emit(change_t *change, const char *type, const char *format, ...)
{
    char     text[2 * ROLLOUT_REASON_LEN];
    va_list  args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    add_event(change, type, text);
}


void
change_leave(change_t *change)
{
    rollout_t  *rollout = change->rollout;

    rollout->baking = false;
    rollout->approved = false;
    rollout->promoted = false;
    rollout->held_ms = 0;
    rollout->step_requests = 0;
    rollout->gate = ROLLOUT_GATE_NONE;
    rollout->retry_ms = 0;
    memset(&rollout->checks, 0, sizeof(rollout_poll_t));
    memset(&rollout->rollback, 0, sizeof(rollout_poll_t));

    change_enter(change, ROLLOUT_REVERTING, ROLLOUT_WAIT_NONE);
}


/* --- what ends it before its time --- */

static void
revert_for_verdict(change_t *change)
{
    char                          odds[ROLLOUT_ODDS_LEN];
    char                          limit[ROLLOUT_ODDS_LEN];
    const rollout_spec_t         *spec = change->spec;
    const rollout_observation_t  *seen = change->seen;

    judge_odds(seen->log_evidence, odds, sizeof(odds));
    change_leave(change);

    if (seen->verdict == JUDGE_BUDGET) {
        change_tell(change, "reverting", "excess errors of %s reached the "
                    "budget of %g (evidence of harm: %s)", spec->canary,
                    spec->analysis.max_excess_errors, odds);
        return;
    }

    judge_odds(-log(spec->analysis.alpha), limit, sizeof(limit));

    change_tell(change, "reverting", "evidence of harm reached %s against %s "
                "(limit %s)", odds, spec->canary, limit);
}


static void
revert_for_deadline(change_t *change)
{
    bool                          unmet;
    char                          text[ROLLOUT_DURATION_LEN];
    const rollout_spec_t         *spec = change->spec;
    const rollout_observation_t  *seen = change->seen;

    unmet = seen->slo != ROLLOUT_SLO_MET;
    spec_print_duration(spec->deadline_ms, text, sizeof(text));
    change_leave(change);

    change_tell(change, "reverting", "the deadline of %s is over%s%s", text,
                unmet ? ": " : "", unmet ? seen->slo_detail : "");
}


static void
take_alert(change_t *change)
{
    rollout_t                    *rollout = change->rollout;
    const rollout_observation_t  *seen = change->seen;

    if (seen->alert == ROLLOUT_ALERT_REVERT) {
        change_leave(change);
        change_tell(change, "reverting", "alert: %s", seen->alert_text);

    } else if (rollout_moving(rollout) && rollout->state != ROLLOUT_PAUSED) {
        change_enter(change, ROLLOUT_PAUSED, ROLLOUT_WAIT_NONE);
        change_tell(change, "paused", "alert: %s", seen->alert_text);
    }
}


/* True: it has ended, or was stopped, and this tick with it. */
static bool
tick_ending(change_t *change)
{
    rollout_t                    *rollout = change->rollout;
    const rollout_spec_t         *spec = change->spec;
    const rollout_observation_t  *seen = change->seen;

    if (seen->verdict == JUDGE_HARM || seen->verdict == JUDGE_BUDGET) {
        revert_for_verdict(change);
        return true;
    }

    if (seen->nodes_tripped > 0 && rollout_moving(rollout)) {
        change_leave(change);
        change_tell(change, "reverting", "the guard of %u node%s keeps %s "
                    "out: too many of its attempts failed",
                    seen->nodes_tripped, seen->nodes_tripped > 1 ? "s" : "",
                    spec->canary);
        return true;
    }

    if (spec->deadline_ms > 0
        && change->now_ms - rollout->begun_ms >= spec->deadline_ms)
    {
        revert_for_deadline(change);
        return true;
    }

    if (seen->alert != ROLLOUT_ALERT_NONE) {
        take_alert(change);
        return seen->alert == ROLLOUT_ALERT_REVERT;
    }

    return false;
}


/* --- the start --- */

/* PENDING is kept from its start. */
static void
hold_start(change_t *change, rollout_wait_t wait)
{
    rollout_t  *rollout = change->rollout;

    if (rollout->waiting_for == wait) {
        return;
    }

    rollout->waiting_for = wait;

    if (wait == ROLLOUT_WAIT_FREEZE) {
        change_tell(change, "waiting", "releases are frozen: it begins when "
                    "that is over");
        return;
    }

    change_tell(change, "waiting", "%s says: not yet%s%s",
                rollout_gate_name(rollout->gate),
                *gate_detail(change, rollout->gate) ? ": " : "",
                gate_detail(change, rollout->gate));
}


/* True if the gate is behind it. */
static bool
start_gate(change_t *change, rollout_gate_t gate)
{
    switch (gate_run(change, gate)) {

    case ROLLOUT_GATE_PASSED:
        return true;

    case ROLLOUT_GATE_FAILED:
        gate_revert(change, gate);
        return false;

    case ROLLOUT_GATE_HOLD:
        if (change->rollout->state == ROLLOUT_PENDING) {
            hold_start(change, ROLLOUT_WAIT_GATE);
        }
        return false;

    default:
        return false;
    }
}


static void
tick_start(change_t *change)
{
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    if (change->seen->nodes_live == 0) {
        return;
    }

    if (change->seen->frozen) {
        if (rollout->state == ROLLOUT_SMOKE) {
            /* what was tested may be old by then */
            rollout->passed &= ~(UINT32_C(1) << ROLLOUT_GATE_SMOKE);
            rollout->gate = ROLLOUT_GATE_NONE;
            change_enter(change, ROLLOUT_PENDING, ROLLOUT_WAIT_NONE);
        }

        hold_start(change, ROLLOUT_WAIT_FREEZE);
        return;
    }

    if (rollout->state == ROLLOUT_PENDING) {
        if (rollout->waiting_for == ROLLOUT_WAIT_FREEZE) {
            rollout->waiting_for = ROLLOUT_WAIT_NONE;
        }

        if (!start_gate(change, ROLLOUT_GATE_CONFIRM_START)
            || !start_gate(change, ROLLOUT_GATE_BEFORE_START))
        {
            return;
        }

        if (gate_wanted(spec, ROLLOUT_GATE_SMOKE) && !step_by_servers(spec)) {
            change_enter(change, ROLLOUT_SMOKE, ROLLOUT_WAIT_NONE);
            change_tell(change, "smoke", "%s is tested before any user sees "
                        "it", spec->canary);
        }
    }

    if (rollout->state == ROLLOUT_SMOKE
        && !start_gate(change, ROLLOUT_GATE_SMOKE))
    {
        return;
    }

    step_begin(change, 0, "started", "the rollout has begun");
}


/* --- the end --- */

static bool
all_confirmed(const rollout_observation_t *seen)
{
    return seen->nodes_confirmed >= seen->nodes_live;
}


static void
tick_reverting(change_t *change)
{
    rollout_t  *rollout = change->rollout;

    /* a node that is not live falls back by itself when its lease lapses */

    if (!all_confirmed(change->seen)) {
        return;
    }

    change_enter(change, ROLLOUT_ABORTED, ROLLOUT_WAIT_NONE);

    /* reason and actor stay: what matters is why, not that it is done */

    change_emit(change, "aborted", "stable has all traffic, confirmed by %u "
                "live nodes: %s", change->seen->nodes_live, rollout->reason);

    if (gate_wanted(change->spec, ROLLOUT_GATE_ON_REVERT)) {
        gate_begin(change, ROLLOUT_GATE_ON_REVERT);
    }
}


/* A hook after the end: whatever comes of it changes nothing. */
static void
tick_after(change_t *change)
{
    char               detail[ROLLOUT_REASON_LEN];
    rollout_t         *rollout = change->rollout;
    rollout_gate_t     gate;
    rollout_result_t   result;

    gate = rollout->gate;
    text_copy(detail, sizeof(detail), gate_detail(change, gate));
    result = gate_run(change, gate);

    if (result == ROLLOUT_GATE_PENDING) {
        if (change->now_ms - rollout->entered_ms < AFTER_MS) {
            return;
        }

        text_copy(detail, sizeof(detail), "nothing was heard of it");
    }

    rollout->gate = ROLLOUT_GATE_NONE;
    rollout->retry_ms = 0;

    if (result == ROLLOUT_GATE_PASSED) {
        rollout->after = ROLLOUT_GATE_PASSED;   /* gate_run() has said so */
        return;
    }

    rollout->after = ROLLOUT_GATE_FAILED;
    change_emit(change, "gate", "%s failed%s%s", rollout_gate_name(gate),
                *detail ? ": " : "", detail);
}


/* --- all together --- */

/*
 * The time since the last observation.  A controller that slept or just took
 * over knows nothing of the time between: at most three ticks count.  A clock
 * that was set back counts as no time at all.
 */
static int64_t
elapsed(const rollout_t *rollout, const rollout_observation_t *seen,
    int64_t now_ms)
{
    int64_t   tick;
    uint64_t  passed;

    if (now_ms <= rollout->last_ms || seen->tick_ms <= 0) {
        return 0;
    }

    tick = seen->tick_ms < MAX_TICK_MS ? seen->tick_ms : MAX_TICK_MS;
    passed = (uint64_t) now_ms - (uint64_t) rollout->last_ms;

    return passed < 3 * (uint64_t) tick ? (int64_t) passed : 3 * tick;
}


static void
tick_active(change_t *change, int64_t passed)
{
    rollout_t  *rollout = change->rollout;

    if (tick_ending(change)) {
        return;
    }

    if (!rollout_moving(rollout)) {
        tick_start(change);
        return;
    }

    if (change->spec->arm_count > 0 && !experiment_tick(change)) {
        return;
    }

    if (!gate_poll(change)) {
        return;
    }

    step_tick(change, passed);
}


void
rollout_init(rollout_t *rollout, const char *actor, int64_t now_ms)
{
    memset(rollout, 0, sizeof(rollout_t));

    rollout->state = ROLLOUT_PENDING;
    rollout->entered_ms = now_ms;
    rollout->last_ms = now_ms;
    rollout->begun_ms = now_ms;

    text_copy(rollout->reason, sizeof(rollout->reason),
              "accepted, begins with the first live node");
    text_copy(rollout->actor, sizeof(rollout->actor), actor);
}


bool
rollout_tick(const rollout_spec_t *spec, rollout_t *rollout,
    const rollout_observation_t *seen, int64_t now_ms,
    rollout_events_t *events)
{
    int64_t   passed;
    change_t  change = { spec, rollout, seen, events, AUTOMATIC, now_ms };

    events->count = 0;

    if (!rollout_active(rollout)) {
        return false;
    }

    passed = elapsed(rollout, seen, now_ms);
    rollout->last_ms = now_ms;

    if (rollout_ended(rollout)) {
        tick_after(&change);

    } else if (rollout->state == ROLLOUT_REVERTING) {
        tick_reverting(&change);

    } else {
        tick_active(&change, passed);
    }

    return events->count > 0;
}
