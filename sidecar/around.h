/* What surrounds the rollouts of this canaryd, put together. */

#ifndef AROUND_H
#define AROUND_H

#include <event2/event.h>

#include "config.h"
#include "freeze.h"
#include "heal.h"
#include "herald.h"
#include "incident_watch.h"
#include "lib/fetch.h"
#include "notify.h"
#include "runner.h"
#include "store.h"

typedef struct {
    struct event_base  *base;
    log_t              *log;
    store_t            *store;     /* borrowed, as all above */
    const config_t     *config;
    fetch_t            *fetch;
    runner_t           *runner;
    notify_t           *notify;
    freeze_t           *freeze;
    herald_t           *herald;
    incident_watch_t   *incidents;
    heal_t             *heal;
} around_t;

/* NULL: no memory. */
around_t *around_new(struct event_base *base, log_t *log, store_t *store,
    agent_t *agent, const config_t *config);
/* Before store_free(), after all that uses it. */
void around_free(around_t *around);

/* What the leader's tick is told beside traffic: how its gates stand, and
 * whether it may go on. */
void around_observe(around_t *around, const release_t *release,
    int64_t now_ms, rollout_observation_t *seen);

#endif
