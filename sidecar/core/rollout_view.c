/* What others read of a rollout: the routing it wants, and its names. */

#include <string.h>

#include "rollout.h"

#define count_of(a)  (sizeof(a) / sizeof((a)[0]))


void
rollout_routing(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_routing_t *routing)
{
    memset(routing, 0, sizeof(rollout_routing_t));

    routing->touch = rollout->state != ROLLOUT_PENDING;

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

    if (rollout->step < spec->step_count) {
        routing->canary_weight = spec->steps[rollout->step].weight;
    }
}


bool
rollout_active(const rollout_t *rollout)
{
    return rollout->state != ROLLOUT_SUCCEEDED
           && rollout->state != ROLLOUT_ABORTED;
}


const char *
rollout_state_name(rollout_state_t state)
{
    static const char *const  names[] = {
        "pending", "progressing", "paused", "waiting", "baking", "reverting",
        "succeeded", "aborted"
    };

    return (unsigned) state < count_of(names) ? names[state] : "unknown";
}


const char *
rollout_wait_name(rollout_wait_t wait)
{
    static const char *const  names[] = {
        "", "approval", "no_data", "incident"
    };

    return (unsigned) wait < count_of(names) ? names[wait] : "unknown";
}


const char *
rollout_command_name(rollout_command_t command)
{
    static const char *const  names[] = {
        "abort", "pause", "resume", "promote"
    };

    return (unsigned) command < count_of(names) ? names[command] : "unknown";
}
