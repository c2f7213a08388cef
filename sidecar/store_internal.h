/*
 * What the files of the store share: operations (commands sent together,
 * whose replies are one result) and connections.
 */

#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <event2/dns.h>
#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "scripts.h"
#include "store.h"

#define STORE_MAX_LISTENERS  8
#define STORE_KEY_LEN        256
#define STORE_SHA_LEN        41
/* A sign, an environment, a space, a version and NUL. */
#define STORE_SUCCESS_LEN    256

typedef struct store_op_s  store_op_t;

struct store_op_s {
    store_t          *store;
    store_op_t      **list;        /* store->ops or store->ended */
    store_op_t       *prev;
    store_op_t       *next;
    store_status_t    status;
    unsigned          sent;
    unsigned          got;
    bool              sealed;      /* nothing more will be sent */

    /* Each reply that is no error, in order; index counts from 0. */
    void            (*reply)(store_op_t *op, unsigned index,
                         const redisReply *reply);
    /* Once, after the last reply; calls done. */
    void            (*finish)(store_op_t *op);
    /* Frees data. */
    void            (*clean)(void *data);
    void             *data;

    char             *eval;        /* a script's whole EVAL, for NOSCRIPT */
    int               eval_len;
};

typedef enum {
    LINK_IDLE = 0,                 /* waits for its timer to try again */
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_ASKING,                   /* a sentinel for the master */
    LINK_SETUP,                    /* AUTH, and the first commands */
    LINK_READY,
    LINK_CLOSING                   /* waits for its timer to be torn down */
} link_state_t;

typedef struct {
    store_t                      *store;
    const char                   *name;
    bool                          subscriber;
    link_state_t                  state;
    redisAsyncContext            *context;    /* NULL in IDLE, RESOLVING */
    struct evdns_getaddrinfo_request  *resolving;
    config_peer_t                 peer;       /* where it leads, or will */
    bool                          told;       /* that is a master, by a
                                                 sentinel */
    unsigned                      sentinel;   /* to be asked next */
    struct event                 *timer;      /* the state's time limit */
    int                           backoff_ms;
    unsigned                      attempt;    /* at a name's addresses */
    int64_t                       heard_ms;   /* last reply, or first of
                                                 what waits for one */
    unsigned                      waiting;    /* replies owed */
    bool                          complained; /* logged since last READY */
} store_link_t;

struct store_s {
    struct event_base  *base;
    log_t              *log;
    struct evdns_base  *dns;       /* NULL until a name is to be resolved */
    char               *socket;
    char               *host;
    int                 port;
    char               *user;
    char               *password;
    redis_tls_t        *tls;
    char               *master;
    unsigned            sentinel_count;
    config_peer_t       sentinels[CONFIG_MAX_SENTINELS];
    char               *prefix;
    char               *node;
    char               *channels[3];      /* changes, confirms, own beat */
    unsigned            keep_count;
    int64_t             keep_ms;

    store_link_t        commands;
    store_link_t        messages;
    unsigned            subscribed;
    struct event       *beat;
    char                sha[SCRIPT_COUNT][STORE_SHA_LEN];
    int64_t             clock_offset_ms;
    uint64_t            errors;
    uint64_t            reconnects;
    uint64_t            incidents[STORE_INCIDENT_CHANGES];   /* changed */
    bool                freeing;

    store_op_t         *ops;       /* under way */
    store_op_t         *ended;     /* never sent: to be finished by a timer */
    struct event       *ender;

    unsigned            listener_count;
    store_listener_t    listeners[STORE_MAX_LISTENERS];
};

/* An operation without commands yet; data_size bytes of zeroed data.  NULL
 * only without memory, which ends the process: see store_alloc(). */
store_op_t *store_op_new(store_t *store, size_t data_size);
void store_op_send(store_op_t *op, int argc, const char **argv);
void store_op_script(store_op_t *op, script_t script, int keys, int argc,
    const char **argv);
/* After the last command. */
void store_op_seal(store_op_t *op);

/* Finishes and frees it. */
void store_op_end(store_op_t *op);
/* The callback of store->ender. */
void store_op_ender(evutil_socket_t fd, short what, void *arg);

/* prefix{upstream}:what, or without what's NULL the prefix for ids. */
void store_key(const store_t *store, char key[STORE_KEY_LEN],
    const char *upstream, const char *what, const char *id);

/* How a set of what has succeeded names a version. */
void store_success(char name[STORE_SUCCESS_LEN], bool succeeded,
    const char *environment, const char *version);

/* Memory that must be there: without it the process ends. */
void *store_alloc(size_t size);
char *store_copy(const char *text);

/* Reads of replies: NULL or 0 where it is of another type. */
const char *store_text(const redisReply *reply);
uint64_t store_number(const redisReply *reply);

/* store_link.c */
void store_link_start(store_link_t *link);
void store_link_close(store_link_t *link, const char *why);
void store_link_free(store_link_t *link);
/* Both links: by their connect callbacks. */
void store_link_setup(store_link_t *link);
void store_link_ready(store_link_t *link);

#endif
