/* What the files of the state machine share with each other. */

#ifndef CORE_ROLLOUT_INTERNAL_H
#define CORE_ROLLOUT_INTERNAL_H

#include "rollout.h"

#define ROLLOUT_DURATION_LEN  32
#define ROLLOUT_ODDS_LEN      32

/* What a transition needs to know of its circumstances. */
typedef struct {
    const rollout_spec_t         *spec;
    rollout_t                    *rollout;
    const rollout_observation_t  *seen;      /* NULL in a command */
    rollout_events_t             *events;
    const char                   *actor;
    int64_t                       now_ms;
} change_t;

/* --- rollout.c --- */

void change_enter(change_t *change, rollout_state_t state,
    rollout_wait_t wait);
/* Says what has just changed: to the state's reason, and as an event. */
void change_tell(change_t *change, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As an event only. */
void change_emit(change_t *change, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Into REVERTING; the caller tells why. */
void change_leave(change_t *change);

/* --- rollout_step.c --- */

void step_begin(change_t *change, unsigned step, const char *type,
    const char *why);
/* To whatever follows the present step or the bake. */
void step_go_on(change_t *change, const char *why);
/* To success, past the steps that remain and the bake. */
void step_finish(change_t *change, const char *why);
/* From a pause or a wait back to where it began. */
void step_come_back(change_t *change, const char *why);
/* A tick of PROGRESSING, WAITING or BAKING; passed: ms for its clock. */
void step_tick(change_t *change, int64_t passed);

bool step_by_servers(const rollout_spec_t *spec);

/* --- rollout_gate.c --- */

bool gate_wanted(const rollout_spec_t *spec, rollout_gate_t gate);
void gate_begin(change_t *change, rollout_gate_t gate);
/* PASSED where it has no entry, or has passed before. */
rollout_result_t gate_run(change_t *change, rollout_gate_t gate);
/* The detail that the observation has of the gate's last run, or "". */
const char *gate_detail(const change_t *change, rollout_gate_t gate);
/* Reverts for a gate that FAILED. */
void gate_revert(change_t *change, rollout_gate_t gate);
/* The checks that go on all the time; false: it reverts now. */
bool gate_poll(change_t *change);

/* --- experiment.c --- */

/* Takes out what is harmful; false: nothing is left, it reverts now. */
bool experiment_tick(change_t *change);
void experiment_end(change_t *change);

#endif
