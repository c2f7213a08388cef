/*
 * What the files of the API share.  A job is a request whose answer comes
 * later; each kind of job is a struct that begins with api_job_t.
 */

#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "api.h"
#include "auth/identity.h"
#include "feed.h"
#include "release.h"
#include "store.h"

#define API_TRIES       10
#define API_REASON_LEN  201
#define API_DETAIL_LEN  512

/* Which upstream a route is about: of whom only some are for the one who
 * asks, the gate lets nothing else through. */
typedef enum {
    API_ANY = 0,                   /* the handler shows what is for them */
    API_ROLLOUT,                   /* the {} is the id of a rollout */
    API_UPSTREAM,                  /* the {} is its name */
    API_BODY,                      /* the body's member "upstream" */
    API_WHOLE                      /* all: nobody with limits */
} api_scope_t;

typedef struct api_job_s  api_job_t;

struct api_job_s {
    api_t                  *api;
    api_job_t              *prev;
    api_job_t              *next;
    http_pending_t         *pending;
    struct evhttp_request  *request;   /* valid until answered */
    auth_identity_t         who;       /* asks */
    unsigned                number;    /* for what outlives it; 0: none */

    /* Frees what the job owns beside itself; may be NULL. */
    void                  (*clean)(api_job_t *job);
    /* A node serves a revision; may be NULL; may end the job. */
    void                  (*confirm)(api_job_t *job, const char *upstream,
                               uint64_t revision, const char *node);
};

struct api_s {
    struct event_base  *base;
    log_t              *log;
    store_t            *store;
    agent_t            *agent;
    controller_t       *controller;
    around_t           *around;
    auth_t             *auth;
    const config_t     *config;
    feed_t             *feed;
    api_job_t          *jobs;
    unsigned            job_count;
    unsigned            job_number;    /* the last one given */
};

/* Zeroed, of size bytes; NULL: the request has been answered already. */
void *api_job_new(api_t *api, http_exchange_t *exchange, size_t size);
/* These answer and free the job. */
void api_job_json(api_job_t *job, int status, cJSON *json);
void api_job_problem(api_job_t *job, int status, const char *field,
    const char *detail, cJSON *extra);
/* 503, or 500 where Redis did answer. */
void api_job_store(api_job_t *job, store_status_t status);

/*
 * The body as an object; an empty one is {}.  NULL: answered with 400.  The
 * caller owns it.
 */
cJSON *api_body(http_exchange_t *exchange);
/* The same without an answer where it is none. */
cJSON *api_json(http_exchange_t *exchange);
/* Who acts: the name that was proved, else what the body said, else "api". */
const char *api_actor(const auth_identity_t *who, const char *said);
/* Whether all members are in known (NULL ends it); if not it is answered. */
bool api_check_fields(http_exchange_t *exchange, const cJSON *body,
    const char *const *known);
/* The {} of the path as the id of a rollout and its upstream; false: it is
 * answered with 404. */
bool api_id(http_exchange_t *exchange, char upstream[SPEC_NAME_LEN]);
/* Reads that rollout; got is called with an api_job_t, or it is answered. */
void api_read_rollout(api_t *api, http_exchange_t *exchange,
    store_rollout_pt got);

int64_t api_live_ms(const api_t *api);
/* The rollout as JSON, out of the store's answer; NULL: it is damaged. */
cJSON *api_rollout(const api_t *api, const store_rollout_t *all);
/* With the groups of the nodes that the record does not name, at 0. */
void api_complete(const api_t *api, const store_rollout_t *all,
    record_t *record);

/* The members actor (ROLLOUT_ACTOR_LEN) and reason (API_REASON_LEN), "" where
 * they are not there; false: it is answered. */
bool api_words(http_exchange_t *exchange, const cJSON *body, char *actor,
    char *reason);

/* api_again.c */
void api_retry(void *arg, http_exchange_t *exchange);
void api_rollback(void *arg, http_exchange_t *exchange);
void api_history(void *arg, http_exchange_t *exchange);
/* api_alerts.c */
void api_alerts(void *arg, http_exchange_t *exchange);
/* api_around.c */
void api_incidents(void *arg, http_exchange_t *exchange);
void api_incident(void *arg, http_exchange_t *exchange);
void api_acknowledge(void *arg, http_exchange_t *exchange);
void api_resolve(void *arg, http_exchange_t *exchange);
void api_gates(void *arg, http_exchange_t *exchange);
void api_smoke(void *arg, http_exchange_t *exchange);
void api_freeze(void *arg, http_exchange_t *exchange);
void api_stop(void *arg, http_exchange_t *exchange);
void api_go(void *arg, http_exchange_t *exchange);
/* api_rollouts.c */
void api_create(void *arg, http_exchange_t *exchange);
void api_get(void *arg, http_exchange_t *exchange);
/* api_whoami.c */
void api_whoami(void *arg, http_exchange_t *exchange);
/* api_series.c */
void api_series(void *arg, http_exchange_t *exchange);
/* api_lists.c */
void api_list(void *arg, http_exchange_t *exchange);
void api_upstreams(void *arg, http_exchange_t *exchange);
/* api_commands.c */
void api_abort(void *arg, http_exchange_t *exchange);
void api_pause(void *arg, http_exchange_t *exchange);
void api_resume(void *arg, http_exchange_t *exchange);
void api_promote(void *arg, http_exchange_t *exchange);
void api_approve(void *arg, http_exchange_t *exchange);
/* api_events.c */
void api_stream(void *arg, http_exchange_t *exchange);
void api_events(void *arg, http_exchange_t *exchange);
void api_explain(void *arg, http_exchange_t *exchange);
void api_ticks(void *arg, http_exchange_t *exchange);
/* api_status.c */
void api_health(void *arg, http_exchange_t *exchange);
void api_ready(void *arg, http_exchange_t *exchange);
void api_live(void *arg, http_exchange_t *exchange);
void api_metrics(void *arg, http_exchange_t *exchange);

#endif
