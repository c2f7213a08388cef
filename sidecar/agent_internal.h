/* What the two files of the agent share. */

#ifndef AGENT_INTERNAL_H
#define AGENT_INTERNAL_H

#include "agent.h"
#include "lib/http_client.h"
#include "tally.h"

#define AGENT_MAX_UPSTREAMS  1024

typedef struct {
    agent_t         *agent;
    char             name[SPEC_NAME_LEN];
    bool             present;      /* in the last answer of nginx */
    record_node_t    node;         /* as of nginx's last answer */
    uint64_t         put_get;      /* the GET that was under way when the
                                      last PUT ended */
    bool             based;        /* base is a reading of this boot */
    tally_t          base;

    char             drain[RECORD_DRAIN_LEN];   /* as of the last route */
    uint64_t         drain_revision;   /* of that route */
    bool             draining;     /* a server's change is under way */

    bool             active;       /* as of the last route */
    char             rollout[96];

    uint64_t         wanted;       /* revision to be put; 0: none */
    char            *wanted_text;
    bool             putting;
    uint64_t         putting_revision;
    bool             routing;      /* a route is being read */
    bool             route_again;

    bool             stored;       /* Redis has had a report of it */
    bool             reporting;
    uint64_t         reported;     /* revision as of the report */
    bool             renewing;
    unsigned         differs;      /* ticks for which Redis has had less, or
                                      something else */
    bool             settling;
} agent_upstream_t;

struct agent_s {
    struct event_base  *base;
    log_t              *log;
    store_t            *store;
    const config_t     *config;
    http_client_t      *client;
    struct event       *timer;
    int                 tick_ms;

    bool                getting;
    uint64_t            get_number;
    int64_t             get_us;
    unsigned            reports;   /* of this tick, not yet answered */
    int64_t             read_ms;   /* monotonic; 0: never */
    bool                down;      /* said so */
    char                error[160];

    unsigned            count;
    agent_upstream_t   *upstreams[AGENT_MAX_UPSTREAMS];

    agent_applied_pt    applied;
    void               *applied_arg;
    agent_stats_t       stats;
};

/* agent.c; NULL: nginx never had it. */
agent_upstream_t *agent_find(const agent_t *agent, const char *name);
/* The record's groups are those that nginx has, and those with a weight. */
void agent_read_groups(record_t *record, const cJSON *effective);
/* A request to the canary_api; 0, or -1 without memory. */
int agent_send(agent_t *agent, const char *method, const char *path,
    const char *body, http_done_t done, void *arg);
/* The last report of the tick has been answered. */
void agent_tick_done(agent_t *agent);

/* agent_fit.c: the record as this node's nginx can take it, to be freed;
 * NULL: it is no JSON. */
char *agent_fit(const agent_upstream_t *u, const char *text);

/* agent_route.c; counts may be NULL. */
void agent_report(agent_upstream_t *u, const char *counts);
/* agent_drain.c: brings the servers of nginx's groups to what the route's
 * record says of them, and notes which are drained and idle. */
void agent_drain(agent_upstream_t *u, const cJSON *groups);
/* The route was heard. */
void agent_drain_route(agent_upstream_t *u, const store_route_t *route);

/* A message: the upstream has another record, or rollout. */
void agent_change(void *arg, const char *upstream, uint64_t revision);

#endif
