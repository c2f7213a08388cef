/*
 * The only place that knows Redis: which keys there are, how they change
 * (docs/redis.md), and how the connections live and die.
 *
 * Every call is asynchronous.  Its callback is called exactly once, from the
 * loop and never from inside the call, also when Redis is away; only
 * store_free() drops what is under way without callbacks.  What a callback
 * is given is borrowed and valid until it returns.  A write that ends with
 * STORE_AWAY may have happened or not.
 */

#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "config.h"
#include "lib/log.h"
#include "redis_tls.h"

#define STORE_MAX_EVENTS  8
#define STORE_POSITION_LEN  48     /* an id of a stream's entry, with NUL */
#define STORE_LEADER_LEN    96     /* "token:node", with NUL */

typedef struct store_s  store_t;

typedef enum {
    STORE_INCIDENT_OPENED = 0,
    STORE_INCIDENT_ACKNOWLEDGED,
    STORE_INCIDENT_RESOLVED,
    STORE_INCIDENT_ESCALATED
} store_incident_change_t;

#define STORE_INCIDENT_CHANGES  4

typedef enum {
    STORE_OK = 0,
    STORE_AWAY,                    /* no connection, or lost meanwhile */
    STORE_ERROR                    /* Redis refused, or answered nonsense */
} store_status_t;

typedef struct {
    const char  *socket;           /* unix socket; "": host and port */
    const char  *host;
    int          port;
    const char  *user;             /* "": the default user */
    const char  *password;         /* "": none */
    redis_tls_t *tls;              /* borrowed; NULL: no TLS */
    const char  *master;           /* a name that these know */
    unsigned     sentinel_count;   /* 0: socket, or host and port */
    const config_peer_t  *sentinels;
    const char  *prefix;
    const char  *node;
    unsigned     keep_count;       /* rollouts of an upstream */
    int64_t      keep_ms;          /* rollouts that ended, and events */
} store_options_t;                 /* all copied */

typedef struct {
    const char  *upstream;
    uint64_t     revision;         /* 0: there is no record */
    const char  *record;           /* JSON; NULL: none */
    const char  *rollout;          /* the latest one's id; NULL: none */
    bool         active;           /* that rollout is active */
} store_route_t;

typedef struct {
    const char  *node;
    const char  *info;             /* JSON */
} store_node_t;

typedef struct {
    const char  *position;
    const char  *node;             /* NULL: not said */
    const char  *rollout;
    const char  *counts;           /* tally_print() */
} store_tick_t;

typedef struct {
    store_route_t        route;
    const char          *doc;      /* JSON; NULL: no such rollout */
    const char          *evidence; /* JSON; NULL: none yet */
    uint64_t             seq;
    const char          *leader;   /* "token:node"; NULL: nobody */
    size_t               node_count;
    const store_node_t  *nodes;
    size_t               tick_count;
    const store_tick_t  *ticks;    /* after the position that was asked */
} store_rollout_t;

typedef struct {
    const char  *type;
    const char  *detail;
    const char  *data;             /* JSON; NULL: none */
} store_event_t;

/* A tick as it was judged, for a later replay. */
typedef struct {
    int64_t      at_ms;
    const char  *given;            /* tick_given() */
    const char  *counts;           /* tally_print(); "" where nothing was */
} store_judged_t;

/* An entry of an upstream's event stream. */
typedef struct {
    const char  *position;
    int64_t      at_ms;
    const char  *type;
    const char  *rollout;          /* "": of none */
    uint64_t     revision;
    const char  *actor;
    const char  *detail;
    const char  *data;             /* JSON, or "" */
} store_entry_t;

/* A recorded tick. */
typedef struct {
    const char      *position;
    store_judged_t   judged;
} store_recorded_t;

typedef struct {
    const char           *upstream;
    const char           *rollout;
    uint64_t              seq;     /* that the change is made upon */
    const char           *leader;  /* that must hold; NULL: anyone may */
    const char           *doc;
    const char           *evidence;   /* NULL: stays */
    uint64_t              revision;   /* of a new record; 0: none */
    const char           *record;
    bool                  active;
    const char           *actor;
    const store_judged_t *judged;     /* NULL: nothing was judged */
    const char           *environment;  /* where the version has succeeded */
    const char           *version;    /* or was taken back; NULL: neither */
    bool                  taken_back;
    unsigned              event_count;
    const store_event_t  *events;
} store_commit_t;                  /* all copied */

typedef struct {
    const char           *upstream;
    const char           *rollout;
    uint64_t              revision;   /* that the route has */
    const char           *doc;
    const char           *evidence;
    const char           *actor;
    const char           *data;       /* of the event; JSON */
} store_create_t;

typedef enum {
    STORE_DONE = 0,
    STORE_CONFLICT_SEQ,            /* somebody wrote meanwhile */
    STORE_CONFLICT_LEADER,         /* the token is not the leader's */
    STORE_CONFLICT_REVISION,       /* the route has another revision */
    STORE_CONFLICT_ACTIVE,         /* another rollout is active */
    STORE_CONFLICT_NODE            /* another node serves a higher revision */
} store_outcome_t;

typedef struct {
    store_outcome_t  outcome;
    uint64_t         seq;          /* of the rollout now */
    uint64_t         revision;     /* of the route now */
    const char      *rollout;      /* CONFLICT_ACTIVE: which one */
} store_result_t;

typedef void (*store_routes_pt)(void *arg, store_status_t status,
    size_t count, const store_route_t *routes);
typedef void (*store_rollout_pt)(void *arg, store_status_t status,
    const store_rollout_t *rollout);       /* NULL unless STORE_OK */
typedef void (*store_report_pt)(void *arg, store_status_t status,
    const store_route_t *route, bool led); /* led: somebody is the leader */
typedef void (*store_lead_pt)(void *arg, store_status_t status, bool held,
    const char *leader, int64_t left_ms);  /* who, "token:node", and for
                                              how long without a renewal */
typedef void (*store_result_pt)(void *arg, store_status_t status,
    const store_result_t *result);
typedef void (*store_ids_pt)(void *arg, store_status_t status, size_t count,
    const char *const *ids, const int64_t *created_ms);

typedef void (*store_names_pt)(void *arg, store_status_t status, size_t count,
    const char *const *names);
typedef void (*store_entries_pt)(void *arg, store_status_t status,
    size_t count, const store_entry_t *entries);
typedef void (*store_recorded_pt)(void *arg, store_status_t status,
    size_t count, const store_recorded_t *ticks);
typedef void (*store_has_pt)(void *arg, store_status_t status, bool has);

typedef struct {
    void    (*ready)(void *arg);           /* connected (again) */
    void    (*change)(void *arg, const char *upstream, uint64_t revision);
    void    (*confirm)(void *arg, const char *upstream, uint64_t revision,
                const char *node);
    void     *arg;
} store_listener_t;

/* base and log are borrowed.  NULL: no memory. */
store_t *store_new(struct event_base *base, log_t *log,
    const store_options_t *options);
void store_free(store_t *store);

/* Any number (to a limit) of parties may hear what is published. */
int store_listen(store_t *store, const store_listener_t *listener);

/* Commands are answered at present. */
bool store_ready(const store_t *store);
/* Messages are heard at present. */
bool store_hears(const store_t *store);
/* Commands that failed, connections lost: for metrics. */
uint64_t store_errors(const store_t *store);
uint64_t store_reconnects(const store_t *store);

/* Milliseconds since 1970 by the clock of Redis, or by the own clock as long
 * as that was never heard: all nodes mean the same by it. */
int64_t store_now(const store_t *store);

/* A letter, digit, '.', '_' or '-' each, 1 to 63 of them: what is allowed as
 * upstream and group name in keys and messages. */
bool store_name_valid(const char *name);

/* The routes of all upstreams that a node ever reported. */
void store_routes(store_t *store, store_routes_pt done, void *arg);

/* One upstream's route; led is false. */
void store_route(store_t *store, const char *upstream, store_report_pt done,
    void *arg);

/* A node's tick: info, and counts (NULL: none) of a rollout. */
void store_report(store_t *store, const char *upstream, const char *info,
    const char *rollout, const char *counts, store_report_pt done, void *arg);

/* The node serves the revision; nobody waits for the answer. */
void store_confirm(store_t *store, const char *upstream, uint64_t revision,
    const char *info);

/*
 * Becomes or stays the leader for px ms.  leader is what an earlier call
 * gave, or "".  px 0 gives the lead back.
 */
void store_lead(store_t *store, const char *upstream, const char *leader,
    int64_t px, store_lead_pt done, void *arg);

/* The same for what else only one does for an upstream (role "healer"). */
void store_lead_role(store_t *store, const char *upstream, const char *role,
    const char *leader, int64_t px, store_lead_pt done, void *arg);

/* A rollout with its upstream's route and nodes, and, if position is not
 * NULL, the ticks after it.  A rollout id NULL reads all but the rollout. */
void store_rollout(store_t *store, const char *upstream, const char *rollout,
    const char *position, store_rollout_pt done, void *arg);

/* Ids of an upstream's rollouts, the newest first. */
void store_ids(store_t *store, const char *upstream, unsigned limit,
    store_ids_pt done, void *arg);

/* Names of all upstreams that a node ever reported. */
void store_names(store_t *store, store_names_pt done, void *arg);

/* Events of an upstream after a position ("": from the first one), the
 * oldest first, at most limit. */
void store_events(store_t *store, const char *upstream, const char *after,
    unsigned limit, store_entries_pt done, void *arg);

/* The last event of an upstream, if there is one. */
void store_last_event(store_t *store, const char *upstream,
    store_entries_pt done, void *arg);

/* The recorded ticks of a rollout, likewise. */
void store_recorded(store_t *store, const char *upstream,
    const char *rollout, const char *after, unsigned limit,
    store_recorded_pt done, void *arg);

/* "milliseconds-number", as an entry of a stream is named? */
bool store_position_valid(const char *position);

/*
 * Has the version succeeded in an environment?  What was said of it last by
 * a commit of any upstream counts, of its newest 1000.
 */
void store_has_succeeded(store_t *store, const char *environment,
    const char *version, store_has_pt done, void *arg);

void store_create(store_t *store, const store_create_t *create,
    store_result_pt done, void *arg);
void store_commit(store_t *store, const store_commit_t *commit,
    store_result_pt done, void *arg);

/*
 * An answer is kept under a key of the client's: the first who claims it is
 * told "" and everybody after that what is there.  upstream may be "".
 */
typedef void (*store_claim_pt)(void *arg, store_status_t status,
    const char *text);
void store_claim(store_t *store, const char *upstream, const char *id,
    const char *text, int64_t ttl_ms, store_claim_pt done, void *arg);
/* What is there from now on (NULL: nothing); nobody waits for it. */
void store_settle(store_t *store, const char *upstream, const char *id,
    const char *text, int64_t ttl_ms);

/*
 * Redis knows less than this node's nginx: its record is written back.  If
 * no rollout is known that it belongs to, revert (NULL: none needed) goes in
 * its place, under revert_revision.
 */
void store_adopt(store_t *store, const char *upstream, uint64_t revision,
    const char *record, uint64_t revert_revision, const char *revert,
    int64_t live_ms, store_result_pt done, void *arg);

/* Redis and this node have different records under one revision: what Redis
 * has is published once more under the revision after it. */
void store_republish(store_t *store, const char *upstream, uint64_t revision,
    const char *record, store_result_pt done, void *arg);

#endif
