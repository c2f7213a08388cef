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
#define ROLLOUT_MAX_EVENTS  8
#define ROLLOUT_MAX_WANTS   3

typedef enum {
    ROLLOUT_PENDING = 0,           /* accepted, traffic is as it was */
    ROLLOUT_SMOKE,                 /* tested before any user sees it */
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
    ROLLOUT_WAIT_INCIDENT,
    ROLLOUT_WAIT_FREEZE,           /* a freeze window, or stop-the-line */
    ROLLOUT_WAIT_GATE,             /* a hook or check says: not yet */
    ROLLOUT_WAIT_SLO,              /* the step's objectives are not met */
    ROLLOUT_WAIT_NODE              /* the step's node is not live, or a node
                                      refuses the record */
} rollout_wait_t;

/*
 * What somebody else runs for the rollout: hooks, smoke tests, checks.  The
 * machine asks (rollout_wants()) and is told by the observation.
 */
typedef enum {
    ROLLOUT_GATE_NONE = 0,
    ROLLOUT_GATE_CONFIRM_START,
    ROLLOUT_GATE_BEFORE_START,
    ROLLOUT_GATE_SMOKE,            /* of the canary's servers; rolling by
                                      servers: of rollout_target() alone */
    ROLLOUT_GATE_EACH_STEP,        /* once the step has its weight; rolling
                                      by servers: while it is drained, which
                                      is the time to deploy */
    ROLLOUT_GATE_CONFIRM_STEP,     /* before the next step */
    ROLLOUT_GATE_CHECKS,           /* every spec->checks_every_ms */
    ROLLOUT_GATE_CONFIRM_PROMOTION,  /* before success */
    ROLLOUT_GATE_ROLLBACK_CHECK,   /* every 10 s; FAILED: revert */
    ROLLOUT_GATE_ON_SUCCESS,       /* after the end; changes nothing */
    ROLLOUT_GATE_ON_REVERT,
    ROLLOUT_GATE_COUNT
} rollout_gate_t;

typedef enum {
    ROLLOUT_GATE_PENDING = 0,      /* not known yet */
    ROLLOUT_GATE_PASSED,
    ROLLOUT_GATE_FAILED,
    ROLLOUT_GATE_HOLD              /* not yet; or nobody answers a check */
} rollout_result_t;

/* To be run now.  The same pair is wanted until the observation says how it
 * ended; then, or to be run anew, another serial. */
typedef struct {
    rollout_gate_t   gate;
    uint64_t         serial;       /* never twice in a rollout */
} rollout_want_t;

/* A gate that is asked for again and again. */
typedef struct {
    uint64_t          serial;      /* of the run under way; 0: none */
    int64_t           next_ms;     /* when the next one begins */
    rollout_result_t  result;      /* of the last one in this step */
} rollout_poll_t;

/* A server's turn in a rolling rollout by servers. */
typedef enum {
    ROLLOUT_TURN_DRAIN = 0,        /* no new requests; old ones run out */
    ROLLOUT_TURN_DEPLOY,           /* EACH_STEP */
    ROLLOUT_TURN_SMOKE,
    ROLLOUT_TURN_BAKE              /* serves again */
} rollout_turn_t;

/* How a group of an experiment fares, or fared. */
typedef enum {
    ROLLOUT_ARM_RUNNING = 0,
    ROLLOUT_ARM_HARM,              /* taken out */
    ROLLOUT_ARM_BUDGET,            /* taken out */
    ROLLOUT_ARM_SAFE,              /* at the end: shown to be safe */
    ROLLOUT_ARM_UNDECIDED,
    ROLLOUT_ARM_NO_DATA
} rollout_arm_t;

typedef enum {
    ROLLOUT_ALERT_NONE = 0,
    ROLLOUT_ALERT_PAUSE,
    ROLLOUT_ALERT_REVERT
} rollout_alert_t;

typedef enum {
    ROLLOUT_SLO_MET = 0,           /* also without any */
    ROLLOUT_SLO_FEW,               /* too few requests to say */
    ROLLOUT_SLO_UNMET
} rollout_slo_t;

typedef struct {
    rollout_state_t  state;
    rollout_wait_t   waiting_for;  /* NONE unless WAITING, or PENDING and
                                      kept from its start: FREEZE or GATE */
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
    int64_t          begun_ms;     /* accepted: what a deadline counts from */
    rollout_gate_t   gate;         /* asked for; NONE */
    uint64_t         gate_serial;  /* of its run */
    uint64_t         serial;       /* the last one given to any run */
    int64_t          retry_ms;     /* the gate said HOLD and is asked anew
                                      then; 0: it is asked now */
    uint32_t         passed;       /* 1 << gate: in this step, or at start */
    rollout_poll_t   checks;
    rollout_poll_t   rollback;
    rollout_result_t after;        /* of ON_SUCCESS or ON_REVERT */
    rollout_turn_t   turn;         /* DRAIN unless rolling by servers */
    rollout_arm_t    arms[SPEC_MAX_ARMS];   /* of spec->arms */
    char             reason[ROLLOUT_REASON_LEN];  /* of the last change; in
                                      ABORTED still that of the revert */
    char             actor[ROLLOUT_ACTOR_LEN];    /* who made it; "canaryd"
                                      for what no person did */
} rollout_t;

/* How a gate's run stands. */
typedef struct {
    rollout_gate_t   gate;
    uint64_t         serial;
    rollout_result_t result;
    char             detail[ROLLOUT_REASON_LEN];
} rollout_gate_seen_t;

/* Of one group of an experiment. */
typedef struct {
    judge_verdict_t  verdict;
    double           log_evidence;
} rollout_arm_seen_t;

/* What the controller saw since its last tick.  All zero beyond the first
 * six is an ordinary tick of an ordinary canary. */
typedef struct {
    judge_verdict_t  verdict;          /* of the canary; of an experiment:
                                          WATCHING, INCIDENT or NO_DATA */
    double           log_evidence;
    uint64_t         canary_requests;  /* judged, in this tick; rolling by
                                          nodes: of the step's node alone */
    int64_t          tick_ms;          /* the controller's interval */
    unsigned         nodes_live;
    unsigned         nodes_confirmed;  /* serve the present record */

    unsigned         nodes_tripped;    /* their guard keeps the canary out */
    unsigned         nodes_drained;    /* on them rollout_target() is drained
                                          and has nothing in flight */
    bool             target_away;      /* rolling by nodes: the step's node
                                          is not live */
    unsigned         nodes_refusing;   /* live ones whose nginx refuses the
                                          present record; one of them, always
                                          the same, and what it said: */
    char             refusing[SPEC_TARGET_LEN];
    char             refusal[ROLLOUT_REASON_LEN];
    rollout_slo_t    slo;              /* of the step so far */
    char             slo_detail[ROLLOUT_REASON_LEN];
    bool             frozen;           /* no start, no advance */
    rollout_alert_t  alert;            /* since the last tick */
    char             alert_text[ROLLOUT_REASON_LEN];
    rollout_arm_seen_t   arms[SPEC_MAX_ARMS];
    unsigned         gate_count;
    rollout_gate_seen_t  gates[ROLLOUT_MAX_WANTS];
} rollout_observation_t;

typedef enum {
    ROLLOUT_ABORT = 0,
    ROLLOUT_PAUSE,
    ROLLOUT_RESUME,
    ROLLOUT_PROMOTE,               /* go on to the next step now */
    ROLLOUT_PROMOTE_FULL           /* to the end: no more steps, no bake */
} rollout_command_t;

/* Types: smoke, started (with step 1), step, turn, waiting, resumed, paused,
 * baking, group_out, gate, succeeded, reverting, aborted. */
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
    bool             keep;         /* only `drains` and `drained` count: a
                                      rolling one by servers */
    unsigned         canary_weight;/* 0..10000; stable has the rest */
    bool             canary_is_stable;  /* promoted: canary is the stable */
    bool             leased;       /* the record carries spec->lease_ms */
    bool             guarded;      /* and spec->guard */
    const char      *rules;        /* JSON, of the spec; NULL: none */
    unsigned         nodes;        /* the first so many of spec->targets serve
                                      it, others stable; 0: all do */
    bool             drains;       /* the record says what is drained: */
    const char      *drained;      /* a server of spec->canary; NULL: none */
    unsigned         arms[SPEC_MAX_ARMS];   /* weights of spec->arms */
} rollout_routing_t;

void rollout_init(rollout_t *rollout, const char *actor, int64_t now_ms);

/*
 * One tick of the controller.  Returns true if anything but the hold's clock
 * and traffic, and the words of a reason, changed, with what happened in
 * *events (cleared first).
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

/*
 * What has to be run now, none without an entry in spec->gate_set; returns
 * how many.  The order has no meaning.
 */
unsigned rollout_wants(const rollout_spec_t *spec, const rollout_t *rollout,
    rollout_want_t wants[ROLLOUT_MAX_WANTS]);

/* The node or server of the present step of a rolling rollout; NULL: it has
 * none. */
const char *rollout_target(const rollout_spec_t *spec,
    const rollout_t *rollout);

/* Does it still need ticks?  Neither succeeded nor aborted, or a hook that
 * comes after that has not ended. */
bool rollout_active(const rollout_t *rollout);
/* Succeeded or aborted. */
bool rollout_ended(const rollout_t *rollout);
/* Between its start and its end: traffic is, or may be, on the canary. */
bool rollout_moving(const rollout_t *rollout);

const char *rollout_state_name(rollout_state_t state);
const char *rollout_wait_name(rollout_wait_t wait);      /* "" for NONE */
const char *rollout_command_name(rollout_command_t command);
const char *rollout_gate_name(rollout_gate_t gate);      /* "" for NONE */
const char *rollout_result_name(rollout_result_t result);
const char *rollout_turn_name(rollout_turn_t turn);
const char *rollout_arm_name(rollout_arm_t arm);

#endif
