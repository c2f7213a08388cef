/*
 * Several groups against stable at once.  Each has a judge of its own, whose
 * alpha is the rollout's divided by their number.
 */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rollout_internal.h"
#include "text.h"


bool
experiment_tick(change_t *change)
{
    char                       odds[ROLLOUT_ODDS_LEN];
    unsigned                   i, left;
    rollout_t                 *rollout = change->rollout;
    const spec_arm_t          *arm;
    const rollout_spec_t      *spec = change->spec;
    const rollout_arm_seen_t  *seen;

    left = 0;

    for (i = 0; i < spec->arm_count; i++) {
        arm = &spec->arms[i];
        seen = &change->seen->arms[i];

        if (rollout->arms[i] != ROLLOUT_ARM_RUNNING) {
            continue;
        }

        if (seen->verdict != JUDGE_HARM && seen->verdict != JUDGE_BUDGET) {
            left++;
            continue;
        }

        rollout->arms[i] = seen->verdict == JUDGE_HARM ? ROLLOUT_ARM_HARM
                                                       : ROLLOUT_ARM_BUDGET;
        judge_odds(seen->log_evidence, odds, sizeof(odds));

        change_tell(change, "group_out", "%s is taken out, its %g %% go to "
                    "stable: %s (evidence of harm: %s)", arm->name,
                    arm->weight / 100.0, seen->verdict == JUDGE_HARM
                    ? "it is harmful" : "excess errors reached the budget",
                    odds);
    }

    if (left > 0) {
        return true;
    }

    change_leave(change);
    change_tell(change, "reverting", "every group of the experiment was "
                "taken out");

    return false;
}


void
experiment_end(change_t *change)
{
    char                   text[ROLLOUT_REASON_LEN];
    size_t                 len;
    unsigned               i;
    rollout_t             *rollout = change->rollout;
    judge_verdict_t        verdict;
    const rollout_spec_t  *spec = change->spec;

    len = 0;
    text[0] = '\0';

    for (i = 0; i < spec->arm_count; i++) {

        if (rollout->arms[i] == ROLLOUT_ARM_RUNNING) {
            verdict = change->seen != NULL ? change->seen->arms[i].verdict
                                           : JUDGE_WATCHING;

            rollout->arms[i] = verdict == JUDGE_SAFE ? ROLLOUT_ARM_SAFE
                               : verdict == JUDGE_NO_DATA
                               ? ROLLOUT_ARM_NO_DATA : ROLLOUT_ARM_UNDECIDED;
        }

        if (len < sizeof(text)) {
            len += (size_t) snprintf(text + len, sizeof(text) - len,
                                     "%s%s %s", i > 0 ? ", " : "",
                                     spec->arms[i].name,
                                     rollout_arm_name(rollout->arms[i]));
        }
    }

    change_tell(change, "succeeded", "the experiment is over: %s", text);
}
