/*
 * Gates: what others run for a rollout.  The machine names the run it wants
 * by a serial, so that an answer to an earlier one is never taken for it.
 */

#include <string.h>

#include "rollout_internal.h"
#include "text.h"

#define RETRY_MS         INT64_C(5000)   /* a gate that said HOLD */
#define CHECKS_MS        INT64_C(30000)
#define ROLLBACK_MS      INT64_C(10000)

#define BIT(gate)        (UINT32_C(1) << (gate))


bool
gate_wanted(const rollout_spec_t *spec, rollout_gate_t gate)
{
    return (spec->gate_set & BIT(gate)) != 0;
}


static const rollout_gate_seen_t *
gate_seen(const change_t *change, rollout_gate_t gate, uint64_t serial)
{
    unsigned                      i;
    const rollout_observation_t  *seen = change->seen;

    for (i = 0; i < seen->gate_count && i < ROLLOUT_MAX_WANTS; i++) {
        if (seen->gates[i].gate == gate && seen->gates[i].serial == serial) {
            return &seen->gates[i];
        }
    }

    return NULL;
}


const char *
gate_detail(const change_t *change, rollout_gate_t gate)
{
    unsigned                      i;
    const rollout_observation_t  *seen = change->seen;

    for (i = 0; i < seen->gate_count && i < ROLLOUT_MAX_WANTS; i++) {
        if (seen->gates[i].gate == gate) {
            return seen->gates[i].detail;
        }
    }

    return "";
}


void
gate_begin(change_t *change, rollout_gate_t gate)
{
    rollout_t  *rollout = change->rollout;

    rollout->gate = gate;
    rollout->gate_serial = ++rollout->serial;
    rollout->retry_ms = 0;
}


/* A time to come, unless the clock was set back from there. */
static bool
is_later(const change_t *change, int64_t then_ms, int64_t at_most_ms)
{
    return then_ms > change->now_ms && then_ms - change->now_ms <= at_most_ms;
}


rollout_result_t
gate_run(change_t *change, rollout_gate_t gate)
{
    rollout_t                  *rollout = change->rollout;
    const rollout_gate_seen_t  *seen;

    if (!gate_wanted(change->spec, gate) || rollout->passed & BIT(gate)) {
        return ROLLOUT_GATE_PASSED;
    }

    if (rollout->gate != gate) {
        gate_begin(change, gate);
        return ROLLOUT_GATE_PENDING;
    }

    if (rollout->retry_ms != 0) {
        if (!is_later(change, rollout->retry_ms, RETRY_MS)) {
            gate_begin(change, gate);
        }

        return ROLLOUT_GATE_HOLD;
    }

    seen = gate_seen(change, gate, rollout->gate_serial);

    if (seen == NULL) {
        return rollout->waiting_for == ROLLOUT_WAIT_GATE
               ? ROLLOUT_GATE_HOLD : ROLLOUT_GATE_PENDING;
    }

    switch (seen->result) {

    case ROLLOUT_GATE_PASSED:
        rollout->passed |= BIT(gate);
        rollout->gate = ROLLOUT_GATE_NONE;

        if (rollout->waiting_for == ROLLOUT_WAIT_GATE
            && rollout->state == ROLLOUT_PENDING)
        {
            rollout->waiting_for = ROLLOUT_WAIT_NONE;
        }

        change_emit(change, "gate", "%s passed%s%s", rollout_gate_name(gate),
                    seen->detail[0] ? ": " : "", seen->detail);
        return ROLLOUT_GATE_PASSED;

    case ROLLOUT_GATE_FAILED:
        return ROLLOUT_GATE_FAILED;

    case ROLLOUT_GATE_HOLD:
        rollout->retry_ms = change->now_ms + RETRY_MS;
        return ROLLOUT_GATE_HOLD;

    default:
        return rollout->waiting_for == ROLLOUT_WAIT_GATE
               ? ROLLOUT_GATE_HOLD : ROLLOUT_GATE_PENDING;
    }
}


void
gate_revert(change_t *change, rollout_gate_t gate)
{
    char  detail[ROLLOUT_REASON_LEN];

    text_copy(detail, sizeof(detail), gate_detail(change, gate));
    change_leave(change);
    change_tell(change, "reverting", "%s failed%s%s", rollout_gate_name(gate),
                *detail ? ": " : "", detail);
}


/* Its result, once a run has ended; PENDING otherwise. */
static rollout_result_t
poll_run(change_t *change, rollout_poll_t *poll, rollout_gate_t gate,
    int64_t every_ms)
{
    const rollout_gate_seen_t  *seen;

    if (!gate_wanted(change->spec, gate)) {
        return ROLLOUT_GATE_PENDING;
    }

    if (poll->serial == 0) {
        if (!is_later(change, poll->next_ms, every_ms)) {
            poll->serial = ++change->rollout->serial;
        }

        return ROLLOUT_GATE_PENDING;
    }

    seen = gate_seen(change, gate, poll->serial);

    if (seen == NULL || seen->result == ROLLOUT_GATE_PENDING) {
        return ROLLOUT_GATE_PENDING;
    }

    poll->result = seen->result;
    poll->serial = 0;
    poll->next_ms = change->now_ms + every_ms;

    return seen->result;
}


bool
gate_poll(change_t *change)
{
    int64_t     every;
    rollout_t  *rollout = change->rollout;

    every = change->spec->checks_every_ms > 0 ? change->spec->checks_every_ms
                                              : CHECKS_MS;

    if (poll_run(change, &rollout->rollback, ROLLOUT_GATE_ROLLBACK_CHECK,
                 ROLLBACK_MS)
        == ROLLOUT_GATE_FAILED)
    {
        gate_revert(change, ROLLOUT_GATE_ROLLBACK_CHECK);
        return false;
    }

    if (poll_run(change, &rollout->checks, ROLLOUT_GATE_CHECKS, every)
        == ROLLOUT_GATE_FAILED)
    {
        gate_revert(change, ROLLOUT_GATE_CHECKS);
        return false;
    }

    return true;
}


static unsigned
add_want(rollout_want_t *wants, unsigned n, rollout_gate_t gate,
    uint64_t serial)
{
    wants[n].gate = gate;
    wants[n].serial = serial;

    return n + 1;
}


unsigned
rollout_wants(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_want_t wants[ROLLOUT_MAX_WANTS])
{
    unsigned  n;

    n = 0;

    if (gate_wanted(spec, rollout->gate)
        && rollout->gate != ROLLOUT_GATE_NONE && rollout->retry_ms == 0)
    {
        n = add_want(wants, n, rollout->gate, rollout->gate_serial);
    }

    if (!rollout_moving(rollout)) {
        return n;
    }

    if (gate_wanted(spec, ROLLOUT_GATE_CHECKS) && rollout->checks.serial) {
        n = add_want(wants, n, ROLLOUT_GATE_CHECKS, rollout->checks.serial);
    }

    if (gate_wanted(spec, ROLLOUT_GATE_ROLLBACK_CHECK)
        && rollout->rollback.serial)
    {
        n = add_want(wants, n, ROLLOUT_GATE_ROLLBACK_CHECK,
                     rollout->rollback.serial);
    }

    return n;
}
