/* What others read of a rollout: the routing it wants, and its names. */

#include <string.h>

#include "rollout_internal.h"

#define count_of(a)  (sizeof(a) / sizeof((a)[0]))


const char *
rollout_target(const rollout_spec_t *spec, const rollout_t *rollout)
{
    return spec->strategy == SPEC_ROLLING && rollout->step < spec->step_count
           ? spec->targets[rollout->step] : NULL;
}


/*
 * A server that is being worked on is drained.  It stays so when that did not
 * end well: it may have a version that failed its test.
 */
static void
route_servers(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_routing_t *routing)
{
    bool  moving;

    routing->keep = true;
    routing->drains = true;
    moving = rollout_moving(rollout);

    if (rollout->state == ROLLOUT_SUCCEEDED
        || rollout->turn == ROLLOUT_TURN_BAKE
        || (!moving && rollout->turn == ROLLOUT_TURN_DRAIN))
    {
        return;
    }

    routing->drained = rollout_target(spec, rollout);
}


static void
route_arms(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_routing_t *routing)
{
    unsigned  i;

    if (rollout->state == ROLLOUT_SUCCEEDED && spec->on_success != SPEC_KEEP)
    {
        return;
    }

    for (i = 0; i < spec->arm_count; i++) {
        if (rollout->arms[i] != ROLLOUT_ARM_HARM
            && rollout->arms[i] != ROLLOUT_ARM_BUDGET)
        {
            routing->arms[i] = spec->arms[i].weight;
        }
    }
}


void
rollout_routing(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_routing_t *routing)
{
    memset(routing, 0, sizeof(rollout_routing_t));

    routing->touch = rollout->state != ROLLOUT_PENDING
                     && rollout->state != ROLLOUT_SMOKE;

    if (!routing->touch) {
        return;
    }

    if (step_by_servers(spec)) {
        route_servers(spec, rollout, routing);
        return;
    }

    switch (rollout->state) {

    case ROLLOUT_PROGRESSING:
    case ROLLOUT_PAUSED:
    case ROLLOUT_WAITING:
    case ROLLOUT_BAKING:
        routing->leased = true;
        break;

    case ROLLOUT_SUCCEEDED:
        if (rollout->promoted) {
            routing->canary_weight = SPEC_WEIGHT_ALL;
            routing->canary_is_stable = true;
            return;
        }

        break;

    default:                       /* stable has it all */
        return;
    }

    /* a stored state that does not fit its spec gets no traffic */

    if (rollout->step >= spec->step_count) {
        return;
    }

    if (spec->arm_count > 0) {
        route_arms(spec, rollout, routing);
        return;
    }

    routing->canary_weight = spec->steps[rollout->step].weight;
    routing->rules = spec->steps[rollout->step].rules;
    routing->guarded = spec->guard.on;

    if (spec->strategy == SPEC_ROLLING) {
        routing->nodes = rollout->step + 1;
    }
}


bool
rollout_ended(const rollout_t *rollout)
{
    return rollout->state == ROLLOUT_SUCCEEDED
           || rollout->state == ROLLOUT_ABORTED;
}


bool
rollout_active(const rollout_t *rollout)
{
    return !rollout_ended(rollout) || rollout->gate != ROLLOUT_GATE_NONE;
}


bool
rollout_moving(const rollout_t *rollout)
{
    switch (rollout->state) {

    case ROLLOUT_PROGRESSING:
    case ROLLOUT_PAUSED:
    case ROLLOUT_WAITING:
    case ROLLOUT_BAKING:
        return true;

    default:
        return false;
    }
}


/* --- names --- */

#define name_of(names, value)                                                \
    ((unsigned) (value) < count_of(names) ? names[value] : "unknown")


const char *
rollout_state_name(rollout_state_t state)
{
    static const char *const  names[] = {
        "pending", "smoke", "progressing", "paused", "waiting", "baking",
        "reverting", "succeeded", "aborted"
    };

    return name_of(names, state);
}


const char *
rollout_wait_name(rollout_wait_t wait)
{
    static const char *const  names[] = {
        "", "approval", "no_data", "incident", "freeze", "gate", "slo", "node"
    };

    return name_of(names, wait);
}


const char *
rollout_command_name(rollout_command_t command)
{
    static const char *const  names[] = {
        "abort", "pause", "resume", "promote", "promote to the end"
    };

    return name_of(names, command);
}


const char *
rollout_gate_name(rollout_gate_t gate)
{
    static const char *const  names[] = {
        "", "confirm-start", "before-start", "smoke", "each-step",
        "confirm-step", "checks", "confirm-promotion", "rollback-check",
        "on-success", "on-revert"
    };

    return name_of(names, gate);
}


const char *
rollout_result_name(rollout_result_t result)
{
    static const char *const  names[] = {
        "pending", "passed", "failed", "hold"
    };

    return name_of(names, result);
}


const char *
rollout_turn_name(rollout_turn_t turn)
{
    static const char *const  names[] = {
        "drain", "deploy", "smoke", "bake"
    };

    return name_of(names, turn);
}


const char *
rollout_arm_name(rollout_arm_t arm)
{
    static const char *const  names[] = {
        "running", "harm", "budget", "safe", "undecided", "no_data"
    };

    return name_of(names, arm);
}
