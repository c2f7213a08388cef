/* The rollout as a state machine; rollout.h and docs say what it promises. */

#include <math.h>
#include <string.h>

#include "rollout.h"
#include "text.h"

#define AUTOMATIC      "canaryd"   /* actor of what no person did */
#define MAX_TICK_MS    (INT64_C(60) * 60 * 1000)
#define MAX_COUNT      (UINT64_C(1) << 53)
#define DURATION_LEN   32
#define ODDS_LEN       32

/* What a transition needs to know of its circumstances. */
typedef struct {
    const rollout_spec_t  *spec;
    rollout_t             *rollout;
    rollout_events_t      *events;
    const char            *actor;
    int64_t                now_ms;
} change_t;


static void
enter(change_t *change, rollout_state_t state, rollout_wait_t wait)
{
    rollout_t  *rollout = change->rollout;

    rollout->state = state;
    rollout->waiting_for = wait;
    rollout->entered_ms = change->now_ms;
    rollout->last_ms = change->now_ms;
}


/* Says what has just changed: to the state's reason, and as an event. */
#define tell(change, type, ...)                                              \
    (text_format((change)->rollout->reason, ROLLOUT_REASON_LEN,              \
                 __VA_ARGS__),                                               \
     text_copy((change)->rollout->actor, ROLLOUT_ACTOR_LEN,                  \
               (change)->actor),                                             \
     emit((change)->events, type, (change)->rollout->reason))


static void
emit(rollout_events_t *events, const char *type, const char *detail)
{
    rollout_event_t  *event;

    if (events->count == ROLLOUT_MAX_EVENTS) {
        return;
    }

    event = &events->list[events->count++];
    text_copy(event->type, sizeof(event->type), type);
    text_copy(event->detail, sizeof(event->detail), detail);
}


static double
percent(const rollout_spec_t *spec, unsigned step)
{
    return step < spec->step_count ? spec->steps[step].weight / 100.0 : 0.0;
}


static void
begin_clock(rollout_t *rollout)
{
    rollout->held_ms = 0;
    rollout->step_requests = 0;
}


static void
begin_step(change_t *change, unsigned step, const char *type,
    const char *why)
{
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    rollout->step = step;
    rollout->approved = false;
    begin_clock(rollout);
    enter(change, ROLLOUT_PROGRESSING, ROLLOUT_WAIT_NONE);

    tell(change, type, "step %u of %u, %g %% to %s: %s", step + 1,
         spec->step_count, percent(spec, step), spec->canary, why);
}


static void
begin_bake(change_t *change, const char *why)
{
    char                   duration[DURATION_LEN];
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    rollout->baking = true;
    begin_clock(rollout);
    enter(change, ROLLOUT_BAKING, ROLLOUT_WAIT_NONE);

    tell(change, "baking", "baking for %s at %g %%: %s",
         spec_print_duration(spec->bake_ms, duration, sizeof(duration)),
         percent(spec, rollout->step), why);
}


static void
succeed(change_t *change, const char *why)
{
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    rollout->promoted = spec->on_success == SPEC_PROMOTE;
    enter(change, ROLLOUT_SUCCEEDED, ROLLOUT_WAIT_NONE);

    if (rollout->promoted) {
        tell(change, "succeeded", "%s is stable now: %s", spec->canary, why);

    } else {
        tell(change, "succeeded", "done, %s keeps %g %%: %s", spec->canary,
             percent(spec, rollout->step), why);
    }
}


/* To whatever follows the present step or the bake. */
static void
go_on(change_t *change, const char *why)
{
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    if (rollout->baking) {
        succeed(change, why);

    } else if (rollout->step + 1 < spec->step_count) {
        begin_step(change, rollout->step + 1, "step", why);

    } else if (spec->bake_ms > 0) {
        begin_bake(change, why);

    } else {
        succeed(change, why);
    }
}


/* From a pause or a wait back to where it began. */
static void
come_back(change_t *change, const char *why)
{
    enter(change,
          change->rollout->baking ? ROLLOUT_BAKING : ROLLOUT_PROGRESSING,
          ROLLOUT_WAIT_NONE);

    tell(change, "resumed", "%s", why);
}


static void
await(change_t *change, rollout_wait_t wait)
{
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    enter(change, ROLLOUT_WAITING, wait);

    switch (wait) {

    case ROLLOUT_WAIT_APPROVAL:
        tell(change, "waiting", "step %u of %u is done at %g %% and waits for "
             "approval: promote or abort", rollout->step + 1,
             spec->step_count, percent(spec, rollout->step));
        break;

    case ROLLOUT_WAIT_NO_DATA:
        tell(change, "waiting", "no request reached %s for %u ticks: there "
             "is nothing to judge, the weight is held", spec->canary,
             spec->analysis.stale_ticks);
        break;

    default:                       /* ROLLOUT_WAIT_INCIDENT */
        tell(change, "waiting", "stable itself fails in more than %g %% of "
             "its requests: the weight is held until that is over",
             spec->analysis.max_error_rate * 100.0);
        break;
    }
}


static void
leave_traffic(change_t *change)
{
    rollout_t  *rollout = change->rollout;

    rollout->baking = false;
    rollout->approved = false;
    rollout->promoted = false;
    begin_clock(rollout);
    enter(change, ROLLOUT_REVERTING, ROLLOUT_WAIT_NONE);
}


static void
revert_for_verdict(change_t *change, const rollout_observation_t *seen)
{
    char                   odds[ODDS_LEN], limit[ODDS_LEN];
    const rollout_spec_t  *spec = change->spec;

    judge_odds(seen->log_evidence, odds, sizeof(odds));
    leave_traffic(change);

    if (seen->verdict == JUDGE_BUDGET) {
        tell(change, "reverting", "excess errors of %s reached the budget of "
             "%g (evidence of harm: %s)", spec->canary,
             spec->analysis.max_excess_errors, odds);
        return;
    }

    judge_odds(-log(spec->analysis.alpha), limit, sizeof(limit));

    tell(change, "reverting", "evidence of harm reached %s against %s "
         "(limit %s)", odds, spec->canary, limit);
}


static bool
all_confirmed(const rollout_observation_t *seen)
{
    return seen->nodes_confirmed >= seen->nodes_live;
}


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


/*
 * Time and traffic count from when every live node serves this weight;
 * before, the requests seen may still be those of the step before.
 */
static void
count_tick(rollout_t *rollout, const rollout_observation_t *seen,
    int64_t passed)
{
    if (seen->nodes_live == 0 || !all_confirmed(seen)) {
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


static void
tick_progressing(change_t *change, const rollout_observation_t *seen)
{
    bool                   held;
    char                   why[96], duration[DURATION_LEN];
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;
    const spec_step_t     *step = &spec->steps[rollout->step];

    held = rollout->held_ms >= step->hold_ms;

    if (!held && !(spec->ramp == SPEC_RAMP_EVIDENCE
                   && seen->verdict == JUDGE_SAFE))
    {
        return;
    }

    /* no step was seen to work that nobody was sent to */

    if (rollout->step_requests == 0 || seen->nodes_live == 0
        || !all_confirmed(seen))
    {
        return;
    }

    if (step->approval && !rollout->approved) {
        await(change, ROLLOUT_WAIT_APPROVAL);
        return;
    }

    if (held) {
        text_format(why, sizeof(why), "the hold of %s is over",
                    spec_print_duration(step->hold_ms, duration,
                                        sizeof(duration)));
    } else {
        text_copy(why, sizeof(why), "the canary is shown to be safe");
    }

    go_on(change, why);
}


static void
tick_baking(change_t *change, const rollout_observation_t *seen)
{
    char                   why[96], duration[DURATION_LEN];
    rollout_t             *rollout = change->rollout;
    const rollout_spec_t  *spec = change->spec;

    if (rollout->held_ms < spec->bake_ms || seen->nodes_live == 0
        || !all_confirmed(seen))
    {
        return;
    }

    if (rollout->step_requests == 0 && spec->bake_ms > 0) {
        return;
    }

    text_format(why, sizeof(why), "the bake of %s is over",
                spec_print_duration(spec->bake_ms, duration,
                                    sizeof(duration)));
    go_on(change, why);
}


static void
tick_waiting(change_t *change, rollout_wait_t obstacle)
{
    rollout_t  *rollout = change->rollout;

    /* whoever approves sees the obstacle as soon as the next step begins */

    if (rollout->waiting_for == ROLLOUT_WAIT_APPROVAL
        || rollout->waiting_for == obstacle)
    {
        return;
    }

    if (obstacle != ROLLOUT_WAIT_NONE) {
        await(change, obstacle);
        return;
    }

    come_back(change, rollout->waiting_for == ROLLOUT_WAIT_NO_DATA
                      ? "requests reach the canary again"
                      : "stable is below its error ceiling again");
}


static rollout_wait_t
obstacle_of(judge_verdict_t verdict)
{
    switch (verdict) {

    case JUDGE_NO_DATA:
        return ROLLOUT_WAIT_NO_DATA;

    case JUDGE_INCIDENT:
        return ROLLOUT_WAIT_INCIDENT;

    default:
        return ROLLOUT_WAIT_NONE;
    }
}


static void
tick_reverting(change_t *change, const rollout_observation_t *seen)
{
    char        detail[ROLLOUT_REASON_LEN];
    rollout_t  *rollout = change->rollout;

    /* a node that is not live falls back by itself when its lease lapses */

    if (!all_confirmed(seen)) {
        return;
    }

    enter(change, ROLLOUT_ABORTED, ROLLOUT_WAIT_NONE);

    /* reason and actor stay: what matters is why, not that it is done */

    text_format(detail, sizeof(detail), "stable has all traffic, confirmed "
                "by %u live nodes: %s", seen->nodes_live, rollout->reason);
    emit(change->events, "aborted", detail);
}


static void
tick_active(change_t *change, const rollout_observation_t *seen,
    int64_t passed)
{
    rollout_t       *rollout = change->rollout;
    rollout_wait_t   obstacle;

    if (seen->verdict == JUDGE_HARM || seen->verdict == JUDGE_BUDGET) {
        revert_for_verdict(change, seen);
        return;
    }

    if (rollout->state == ROLLOUT_PENDING) {
        if (seen->nodes_live > 0) {
            begin_step(change, 0, "started", "the rollout has begun");
        }

        return;
    }

    obstacle = obstacle_of(seen->verdict);

    if (obstacle != ROLLOUT_WAIT_NONE
        && (rollout->state == ROLLOUT_PROGRESSING
            || rollout->state == ROLLOUT_BAKING))
    {
        await(change, obstacle);
        return;
    }

    count_tick(rollout, seen, passed);

    switch (rollout->state) {

    case ROLLOUT_PROGRESSING:
        tick_progressing(change, seen);
        break;

    case ROLLOUT_BAKING:
        tick_baking(change, seen);
        break;

    case ROLLOUT_WAITING:
        tick_waiting(change, obstacle);
        break;

    default:                       /* ROLLOUT_PAUSED: judged, no clock */
        break;
    }
}


void
rollout_init(rollout_t *rollout, const char *actor, int64_t now_ms)
{
    memset(rollout, 0, sizeof(rollout_t));

    rollout->state = ROLLOUT_PENDING;
    rollout->entered_ms = now_ms;
    rollout->last_ms = now_ms;

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
    change_t  change = { spec, rollout, events, AUTOMATIC, now_ms };

    events->count = 0;

    if (!rollout_active(rollout)) {
        return false;
    }

    passed = elapsed(rollout, seen, now_ms);
    rollout->last_ms = now_ms;

    if (rollout->state == ROLLOUT_REVERTING) {
        tick_reverting(&change, seen);
    } else {
        tick_active(&change, seen, passed);
    }

    return events->count > 0;
}


static void
command_abort(change_t *change, const char *why)
{
    switch (change->rollout->state) {

    case ROLLOUT_REVERTING:
    case ROLLOUT_ABORTED:
        return;

    default:
        leave_traffic(change);
        tell(change, "reverting", "%s", why);
    }
}


static int
refuse(const rollout_t *rollout, rollout_command_t command, char *error)
{
    static const char *const  why[] = {
        [ROLLOUT_PENDING] = "has not begun yet",
        [ROLLOUT_PROGRESSING] = "is progressing",
        [ROLLOUT_PAUSED] = "is already paused",
        [ROLLOUT_WAITING] = "is waiting",
        [ROLLOUT_BAKING] = "is baking",
        [ROLLOUT_REVERTING] = "is reverting to stable",
        [ROLLOUT_SUCCEEDED] = "has succeeded",
        [ROLLOUT_ABORTED] = "was aborted"
    };

    text_format(error, ROLLOUT_REASON_LEN, "cannot %s: the rollout %s%s",
                rollout_command_name(command), why[rollout->state],
                command == ROLLOUT_RESUME && rollout_active(rollout)
                ? ", only a paused one can be resumed" : "");

    return -1;
}


static bool
fits(rollout_state_t state, rollout_command_t command)
{
    bool  moving;

    moving = state == ROLLOUT_PROGRESSING || state == ROLLOUT_WAITING
             || state == ROLLOUT_BAKING;

    switch (command) {

    case ROLLOUT_ABORT:
        return true;

    case ROLLOUT_PAUSE:
        return moving;

    case ROLLOUT_RESUME:
        return state == ROLLOUT_PAUSED;

    case ROLLOUT_PROMOTE:
        return moving || state == ROLLOUT_PAUSED;
    }

    return false;
}


int
rollout_command(const rollout_spec_t *spec, rollout_t *rollout,
    rollout_command_t command, const char *actor, const char *reason,
    int64_t now_ms, rollout_events_t *events, char *error)
{
    char                      by[ROLLOUT_ACTOR_LEN], why[ROLLOUT_REASON_LEN];
    change_t                  change = { spec, rollout, events, by, now_ms };
    static const char *const  done[] = {
        "aborted", "paused", "resumed", "promoted"
    };

    events->count = 0;

    if (!fits(rollout->state, command)) {
        return refuse(rollout, command, error);
    }

    text_copy(by, sizeof(by), actor && *actor ? actor : "unknown");
    text_format(why, sizeof(why), "%s by %s%s%s", done[command], by,
                reason && *reason ? ": " : "", reason ? reason : "");

    switch (command) {

    case ROLLOUT_ABORT:
        command_abort(&change, why);
        break;

    case ROLLOUT_PAUSE:
        enter(&change, ROLLOUT_PAUSED, ROLLOUT_WAIT_NONE);
        tell(&change, "paused", "%s", why);
        break;

    case ROLLOUT_RESUME:
        come_back(&change, why);
        break;

    case ROLLOUT_PROMOTE:
        rollout->approved = true;  /* also of the last step, for the bake */
        go_on(&change, why);
        break;
    }

    return 0;
}
