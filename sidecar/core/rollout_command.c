/* Commands to a rollout.  They do not wait: not for a hold, nor a gate. */

#include <string.h>

#include "rollout_internal.h"
#include "text.h"


static void
command_abort(change_t *change, const char *why)
{
    switch (change->rollout->state) {

    case ROLLOUT_REVERTING:
    case ROLLOUT_ABORTED:
        return;

    default:
        change_leave(change);
        change_tell(change, "reverting", "%s", why);
    }
}


static int
refuse(const rollout_t *rollout, rollout_command_t command, char *error)
{
    static const char *const  why[] = {
        [ROLLOUT_PENDING] = "has not begun yet",
        [ROLLOUT_SMOKE] = "is being tested, no user has seen it yet",
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


/* What a person or a pipeline asks for is done at once, or refused. */
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
    case ROLLOUT_PROMOTE_FULL:
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
    change_t                  change = { spec, rollout, NULL, events, by,
                                         now_ms };
    static const char *const  done[] = {
        "aborted", "paused", "resumed", "promoted", "promoted to the end"
    };

    events->count = 0;

    if (!fits(rollout->state, command)) {
        return refuse(rollout, command, error);
    }

    if (command == ROLLOUT_PROMOTE_FULL && step_by_servers(spec)
        && rollout->step + 1 < spec->step_count)
    {
        text_format(error, ROLLOUT_REASON_LEN, "cannot promote to the end: "
                    "server %s and those after it have not been worked on",
                    spec->targets[rollout->step + 1]);
        return -1;
    }

    if ((command == ROLLOUT_PROMOTE || command == ROLLOUT_PROMOTE_FULL)
        && step_by_servers(spec)
        && !rollout->baking && rollout->turn != ROLLOUT_TURN_BAKE)
    {
        text_format(error, ROLLOUT_REASON_LEN, "cannot promote: server %s is "
                    "being worked on", spec->targets[rollout->step]);
        return -1;
    }

    text_copy(by, sizeof(by), actor && *actor ? actor : "unknown");
    text_format(why, sizeof(why), "%s by %s%s%s", done[command], by,
                reason && *reason ? ": " : "", reason ? reason : "");

    switch (command) {

    case ROLLOUT_ABORT:
        command_abort(&change, why);
        break;

    case ROLLOUT_PAUSE:
        change_enter(&change, ROLLOUT_PAUSED, ROLLOUT_WAIT_NONE);
        change_tell(&change, "paused", "%s", why);
        break;

    case ROLLOUT_RESUME:
        step_come_back(&change, why);
        break;

    case ROLLOUT_PROMOTE:
        rollout->approved = true;  /* also of the last step, for the bake */
        step_go_on(&change, why);
        break;

    case ROLLOUT_PROMOTE_FULL:
        rollout->approved = true;
        step_finish(&change, why);
        break;
    }

    return 0;
}
