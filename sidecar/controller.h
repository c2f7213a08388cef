/*
 * The controller: for each upstream with an active rollout it tries to be the
 * leader; the leader reads what the nodes counted, judges, and moves the
 * rollout on.  All state is in Redis: any canaryd goes on where another
 * stopped.
 */

#ifndef CONTROLLER_H
#define CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "agent.h"
#include "around.h"
#include "config.h"
#include "core/rollout.h"
#include "lib/log.h"
#include "store.h"

typedef struct controller_s  controller_t;

typedef struct {
    const char       *upstream;
    const char       *rollout;
    bool              leader;
    bool              judged;      /* the next two are known */
    rollout_state_t   state;
    double            log_evidence;
} controller_view_t;

typedef struct {
    uint64_t  ticks;               /* of all upstreams led */
    uint64_t  errors;              /* what is in Redis makes no sense */
    uint64_t  conflicts;           /* commits that were refused */
} controller_stats_t;

/* All are borrowed.  NULL: no memory. */
controller_t *controller_new(struct event_base *base, log_t *log,
    store_t *store, agent_t *agent, around_t *around,
    const config_t *config);
/* Gives the lead back (as far as the loop runs on), then nothing is begun
 * any more. */
void controller_stop(controller_t *controller);
/* Before store_free(). */
void controller_free(controller_t *controller);

/* The config has changed. */
void controller_reload(controller_t *controller);

/* A rollout was begun or ended there: look now rather than at the next tick.
 * Not for what is judged: a judge's tick has its full time. */
void controller_nudge(controller_t *controller, const char *upstream);

const controller_stats_t *controller_stats(const controller_t *controller);
/* The upstreams with an active rollout, by number. */
bool controller_view(const controller_t *controller, unsigned number,
    controller_view_t *view);

#endif
