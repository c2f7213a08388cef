/*
 * Active health checks of every server of every group that the configuration
 * names, and what is done about one that does not answer.  Of all canaryds
 * one does it for an upstream: it holds the role "healer" in Redis and sees
 * the servers that its own nginx has.  Who takes over begins anew.
 */

#ifndef HEAL_H
#define HEAL_H

#include <event2/event.h>

#include "agent.h"
#include "config.h"
#include "lib/fetch.h"
#include "lib/log.h"
#include "store.h"

typedef struct heal_s  heal_t;

/* All are borrowed.  NULL: no memory. */
heal_t *heal_new(struct event_base *base, log_t *log, store_t *store,
    agent_t *agent, fetch_t *fetch, const config_t *config);
void heal_free(heal_t *heal);

/* Servers watched, and unhealthy. */
unsigned heal_watched(const heal_t *heal);
unsigned heal_unhealthy(const heal_t *heal);

#endif
