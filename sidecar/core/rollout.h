/*
 * The rollout as a state machine.  Nothing here reads a clock or does I/O:
 * every decision is a function of (spec, state, observation, now).  The
 * routing that a rollout wants is a function of (spec, state) alone, so a
 * controller that takes over needs nothing but the stored state.
 */

#ifndef CORE_ROLLOUT_H
#define CORE_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "judge.h"
#include "spec.h"

#define ROLLOUT_REASON_LEN  256
#define ROLLOUT_ACTOR_LEN   64
#define ROLLOUT_MAX_EVENTS  4

typedef enum {
    ROLLOUT_PENDING = 0,           /* accepted, traffic is as it was */
    ROLLOUT_PROGRESSING,           /* at steps[step] */
    ROLLOUT_PAUSED,                /* by a person; still judged */
    ROLLOUT_WAITING,               /* for rollout->waiting_for */
    ROLLOUT_BAKING,                /* last step's weight, before success */
    ROLLOUT_REVERTING,             /* stable at 100 %, to be confirmed */
    ROLLOUT_SUCCEEDED,
    ROLLOUT_ABORTED
} rollout_state_t;

typedef enum {
    ROLLOUT_WAIT_NONE = 0,
    ROLLOUT_WAIT_APPROVAL,
    ROLLOUT_WAIT_NO_DATA,
    ROLLOUT_WAIT_INCIDENT
} rollout_wait_t;

typedef struct {
    rollout_state_t  state;
    rollout_wait_t   waiting_for;  /* NONE unless WAITING */
    bool             baking;       /* the last step is done: a pause or a wait
                                      returns to BAKING, not PROGRESSING */
    bool             approved;     /* this step's approval was given */
    unsigned         step;         /* 0.. ; valid once past PENDING */
    int64_t          entered_ms;   /* when the state, or this step of it,
                                      was entered */
    int64_t          last_ms;      /* last observation or change */
    int64_t          held_ms;      /* of this step's hold, or of the bake:
                                      while all live nodes serve it */
    uint64_t         step_requests;/* canary requests judged in this step, or
                                      in the bake, from when all live nodes
                                      served it */
    bool             promoted;     /* succeeded with the canary as stable */
    char             reason[ROLLOUT_REASON_LEN];  /* of the last change; in
                                      ABORTED still that of the revert */
    char             actor[ROLLOUT_ACTOR_LEN];    /* who made it; "canaryd"
                                      for what no person did */
} rollout_t;

/* What the controller saw since its last tick. */
typedef struct {
    judge_verdict_t  verdict;
    double           log_evidence;
    uint64_t         canary_requests;  /* judged, in this tick */
    int64_t          tick_ms;          /* the controller's interval */
    unsigned         nodes_live;
    unsigned         nodes_confirmed;  /* serve the present record */
} rollout_observation_t;

typedef enum {
    ROLLOUT_ABORT = 0,
    ROLLOUT_PAUSE,
    ROLLOUT_RESUME,
    ROLLOUT_PROMOTE                /* go on to the next step now */
} rollout_command_t;

/* Types: started (with step 1), step, waiting, resumed, paused, baking,
 * succeeded, reverting, aborted. */
typedef struct {
    char             type[32];
    char             detail[ROLLOUT_REASON_LEN];
} rollout_event_t;

typedef struct {
    unsigned         count;
    rollout_event_t  list[ROLLOUT_MAX_EVENTS];
} rollout_events_t;

/* The routing that a state wants.  REVERTING and what has ended carry no
 * lease. */
typedef struct {
    bool             touch;        /* false: leave traffic as it is */
    unsigned         canary_weight;/* 0..10000; stable has the rest */
    bool             canary_is_stable;  /* promoted: canary is the stable */
    bool             leased;       /* the record carries spec->lease_ms */
} rollout_routing_t;

void rollout_init(rollout_t *rollout, const char *actor, int64_t now_ms);

/*
 * One tick of the controller.  Returns true if anything but the hold's clock
 * and traffic changed, with what happened in *events (cleared first).
 *
 * A PENDING rollout begins with the first tick that has a live node: the
 * caller reports none as long as the canary group is not known.  In REVERTING
 * no live node at all counts as confirmed: leases bring dead nodes back.  now
 * may jump: at most three ticks count, backwards counts as nothing.
 */
bool rollout_tick(const rollout_spec_t *spec, rollout_t *rollout,
    const rollout_observation_t *seen, int64_t now_ms,
    rollout_events_t *events);

/*
 * A command by a person or a pipeline.  Returns 0; or -1 with *error
 * (at least ROLLOUT_REASON_LEN bytes) saying why it does not fit the state,
 * which is unchanged.  ABORT is never refused: from reverting or aborted it
 * changes nothing; after success it takes the release back.
 */
int rollout_command(const rollout_spec_t *spec, rollout_t *rollout,
    rollout_command_t command, const char *actor, const char *reason,
    int64_t now_ms, rollout_events_t *events, char *error);

void rollout_routing(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_routing_t *routing);

/* Neither succeeded nor aborted. */
bool rollout_active(const rollout_t *rollout);

const char *rollout_state_name(rollout_state_t state);
const char *rollout_wait_name(rollout_wait_t wait);      /* "" for NONE */
const char *rollout_command_name(rollout_command_t command);

#endif
