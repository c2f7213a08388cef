/* What the controller and its drives share. */

#ifndef CONTROLLER_INTERNAL_H
#define CONTROLLER_INTERNAL_H

#include "controller.h"
#include "fleet.h"
#include "release.h"

#define CONTROLLER_MAX_DRIVES  1024

/* One upstream with an active rollout. */
typedef struct {
    controller_t     *controller;
    char              upstream[SPEC_NAME_LEN];
    char              rollout[RELEASE_ID_LEN];
    bool              active;      /* as of the last look at the routes */
    bool              busy;        /* an answer of the store is awaited */
    bool              held;
    char              leader[STORE_LEADER_LEN];   /* what is held; "" */
    char              position[STORE_POSITION_LEN];  /* asked for */
    char              judged_to[STORE_POSITION_LEN]; /* if it is committed */
    unsigned          tries;       /* of this tick's commit */
    unsigned          failures;    /* in a row */
    int64_t           broken_ms;   /* until then it is not led */
    int64_t           nudge_ms;    /* monotonic: when to look again, beside
                                      the ticks; 0: not */

    bool              judged;
    rollout_state_t   state;
    double            log_evidence;
    uint64_t          writing;     /* the commit under way: its new */
    char             *record;      /* revision (0: none) and record, */
    rollout_events_t  events;      /* and what happened */
} drive_t;

struct controller_s {
    struct event_base   *base;
    log_t               *log;
    store_t             *store;
    agent_t             *agent;
    around_t            *around;
    const config_t      *config;
    struct event        *timer;
    struct event        *nudge;
    bool                 looking;
    bool                 nudging;  /* the look is for nudged ones only */
    bool                 stopped;

    unsigned             count;
    drive_t             *drives[CONTROLLER_MAX_DRIVES];
    controller_stats_t   stats;
};

/* As controller_nudge(), but later. */
void controller_nudge_in(controller_t *controller, const char *upstream,
    int64_t ms);

/* What a tick saw. */
typedef struct {
    rollout_observation_t  observation;
    fleet_t                fleet;  /* as it is before the decision */
    store_judged_t         judged; /* texts owned; NULL: nothing was judged */
} drive_seen_t;

/* drive_observe.c: sums up what was counted since the evidence's position,
 * judges it into the evidence, and says what the machine has to know. */
void drive_observe(drive_t *drive, const store_rollout_t *all,
    const release_t *release, const record_t *present, evidence_t *evidence,
    drive_seen_t *seen, int64_t now, int64_t live);
void drive_seen_free(drive_seen_t *seen);

/* drive.c: the tick of one upstream, unless it is busy with the last. */
void drive_begin(drive_t *drive);
/* Only keeps the lead, while a slow Redis makes it miss a tick. */
void drive_renew(drive_t *drive);

#endif
