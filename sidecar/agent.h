/*
 * The agent: reads the local nginx each tick, reports to Redis what was
 * counted, and sees to it that nginx serves the newest routing record.
 */

#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "config.h"
#include "lib/log.h"
#include "record.h"
#include "store.h"

#define AGENT_TICK_BUCKETS  10     /* of the durations; the last: more */

typedef struct agent_s  agent_t;

/* Upper edges in milliseconds of all but the last bucket. */
extern const unsigned  agent_tick_edges[AGENT_TICK_BUCKETS - 1];

typedef struct {
    uint64_t  ticks;               /* finished */
    uint64_t  skipped;             /* nginx had not answered the last one */
    uint64_t  nginx_errors;        /* exchanges that failed */
    uint64_t  applied;             /* records */
    uint64_t  refused;             /* records */
    uint64_t  adopted;             /* records written back to Redis */
    uint64_t  tick_us;             /* time of all ticks */
    uint64_t  tick_counts[AGENT_TICK_BUCKETS];
} agent_stats_t;

/* config, store, log, base are borrowed; config may change, see
 * agent_reload().  NULL: no memory. */
agent_t *agent_new(struct event_base *base, log_t *log, store_t *store,
    const config_t *config);
/* Before store_free(). */
void agent_free(agent_t *agent);

/* The config has changed. */
void agent_reload(agent_t *agent);

/* Was nginx read in the last few ticks?  *why says why not. */
bool agent_ready(const agent_t *agent, const char **why);

/* A record that has just been written: nginx gets it without waiting for the
 * message.  text is copied. */
void agent_apply(agent_t *agent, const char *upstream, uint64_t revision,
    const char *text);

/* Told whenever nginx serves a new record; one party. */
typedef void (*agent_applied_pt)(void *arg, const char *upstream,
    uint64_t revision);
void agent_watch(agent_t *agent, agent_applied_pt applied, void *arg);

const agent_stats_t *agent_stats(const agent_t *agent);

/* The upstreams of the local nginx, by number; NULL: there are no more. */
const record_node_t *agent_upstream(const agent_t *agent, unsigned number,
    const char **name);

#endif
