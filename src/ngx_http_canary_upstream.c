
/*
 * Delegation to the chosen group's own balancer, and the account of every
 * attempt on it.  The group's handlers are wrapped, none is replaced.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_SUB_BITS     4
#define NGX_HTTP_CANARY_MAX_EXP      26


typedef enum {
    NGX_HTTP_CANARY_ANSWERED = NGX_HTTP_CANARY_FAILURES,
    NGX_HTTP_CANARY_ABORTED
} ngx_http_canary_outcome_e;


static ngx_http_canary_inline ngx_int_t ngx_http_canary_delegate(
    ngx_http_canary_peer_t *cp, ngx_uint_t group, ngx_uint_t cell);
static ngx_http_canary_shard_t *ngx_http_canary_new_shard(
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t group, ngx_uint_t cell);
static ngx_int_t ngx_http_canary_failover(ngx_http_canary_peer_t *cp,
    ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_canary_get_peer(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_canary_guard(ngx_http_canary_peer_t *cp,
    ngx_uint_t failed);
static void ngx_http_canary_no_live(ngx_http_canary_peer_t *cp);
static void ngx_http_canary_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_canary_notify_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type);
#if (NGX_HTTP_SSL || NGX_COMPAT)
static ngx_int_t ngx_http_canary_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_canary_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif
static ngx_int_t ngx_http_canary_process_header(ngx_http_request_t *r);
static void ngx_http_canary_account(ngx_http_canary_peer_t *cp,
    ngx_peer_connection_t *pc, ngx_uint_t state);
static ngx_int_t ngx_http_canary_latency(ngx_http_canary_peer_t *cp,
    uint64_t *us);
static ngx_uint_t ngx_http_canary_outcome(ngx_http_canary_peer_t *cp,
    ngx_peer_connection_t *pc, ngx_uint_t state);
static ngx_uint_t ngx_http_canary_grpc_failed(ngx_http_upstream_t *u);
static ngx_uint_t ngx_http_canary_truncated(ngx_http_request_t *r,
    ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_canary_bucket_of(uint64_t us);


ngx_str_t  ngx_http_canary_failures[] = {
    ngx_string("connect"),
    ngx_string("timeout"),
    ngx_string("reset"),
    ngx_string("truncated"),
    ngx_string("http_5xx"),
    ngx_string("grpc"),
    ngx_string("no_live"),
    ngx_null_string
};


/*
 * All blocks are parsed by now, and groups that only we have mentioned come
 * after us: what is wrong with them is said here before the core says less.
 */

ngx_int_t
ngx_http_canary_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                     i;
    ngx_http_canary_srv_conf_t    *ccf, *gcf;
    ngx_http_upstream_srv_conf_t  *group;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, cf->log, 0,
                   "init canary \"%V\"", &us->host);

    ccf = ngx_http_conf_upstream_srv_conf(us, ngx_http_canary_module);

    ngx_conf_init_value(ccf->failover, 0);
    ngx_conf_init_uint_value(ccf->latency_response, 0);

    for (i = 0; i < ccf->ngroups; i++) {
        group = ccf->groups[i].upstream;

        if (!(group->flags & NGX_HTTP_UPSTREAM_CREATE) && group->port == 0) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown group \"%V\" in canary upstream \"%V\": "
                          "there is no such upstream, in %s:%ui",
                          &ccf->groups[i].name, &us->host,
                          us->file_name, us->line);
            return NGX_ERROR;
        }

        if (group->srv_conf == NULL) {
            continue;
        }

        gcf = ngx_http_conf_upstream_srv_conf(group, ngx_http_canary_module);

        if (gcf->zone) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "group \"%V\" of canary upstream \"%V\" is a canary "
                          "upstream itself, in %s:%ui",
                          &ccf->groups[i].name, &us->host,
                          us->file_name, us->line);
            return NGX_ERROR;
        }
    }

    us->peer.init = ngx_http_canary_init_peer;

    return NGX_OK;
}


ngx_int_t
ngx_http_canary_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_canary_ctx_t       *ctx;
    ngx_http_canary_peer_t      *cp;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_canary_module);

    choice = ngx_http_canary_choose(r, conf, &ctx);
    if (choice == NULL) {
        return NGX_ERROR;
    }

    /* not zeroed: handlers of the group are set where ours are */

    if (!ctx->used) {
        ctx->used = 1;
        cp = &ctx->peer;

    } else {
        cp = ngx_palloc(r->pool, sizeof(ngx_http_canary_peer_t));
        if (cp == NULL) {
            return NGX_ERROR;
        }
    }

    cp->choice = choice;
    cp->request = r;
    cp->attempts = 0;
    cp->judged = (choice->cell != NGX_HTTP_CANARY_PINNED);
    cp->failover = 0;
    cp->failed = NULL;
    cp->first_byte.tv_sec = -1;

    if (ngx_http_canary_delegate(cp, choice->group, choice->cell) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!choice->counted) {
        choice->counted = 1;
        ngx_http_canary_count(&cp->shard->selections[choice->reason], 1);
    }

    if (conf->failover && choice->group != conf->view.stable) {

        /* room for one more try, if proxy_next_upstream_tries has it */

        cp->failover = 1;

        if (r->upstream->peer.tries < 2) {
            r->upstream->peer.tries = 2;
        }
    }

    return NGX_OK;
}


/* makes the group's handlers run under ours */

static ngx_http_canary_inline ngx_int_t
ngx_http_canary_delegate(ngx_http_canary_peer_t *cp, ngx_uint_t n,
    ngx_uint_t cell)
{
    ngx_http_upstream_t           *u;
    ngx_http_canary_srv_conf_t    *conf;
    ngx_http_upstream_srv_conf_t  *group;

    u = cp->request->upstream;
    conf = cp->choice->conf;
    group = conf->groups[n].upstream;

    cp->choice->served = n;
    cp->shard = conf->shards[n][cell];

    if (cp->shard == NULL) {
        cp->shard = ngx_http_canary_new_shard(conf, n, cell);
    }

    /* the core decides by it whether names must be copied from a zone */

    u->upstream = group;

    /* round robin takes what it finds in data for its own */

    u->peer.data = NULL;
    u->peer.notify = NULL;

    if (group->peer.init(cp->request, group) != NGX_OK) {
        return NGX_ERROR;
    }

    cp->data = u->peer.data;
    cp->get = u->peer.get;
    cp->free = u->peer.free;

    u->peer.data = cp;
    u->peer.get = ngx_http_canary_get_peer;
    u->peer.free = ngx_http_canary_free_peer;

    if (u->peer.notify) {
        cp->notify = u->peer.notify;
        u->peer.notify = ngx_http_canary_notify_peer;
    }

#if (NGX_HTTP_SSL || NGX_COMPAT)

    if (u->ssl) {
        cp->set_session = u->peer.set_session;
        cp->save_session = u->peer.save_session;

        u->peer.set_session = ngx_http_canary_set_session;
        u->peer.save_session = ngx_http_canary_save_session;
    }

#endif

    return NGX_OK;
}


static ngx_http_canary_shard_t *
ngx_http_canary_new_shard(ngx_http_canary_srv_conf_t *conf, ngx_uint_t group,
    ngx_uint_t cell)
{
    ngx_http_canary_shard_t  *shard;

    static ngx_http_canary_shard_t  nowhere;

    shard = ngx_http_canary_shm_shard(conf->zone, conf->entry,
                                      conf->groups[group].slot, cell);

    if (shard == NULL) {

        /* what is counted there nobody reads */

        shard = &nowhere;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "canary_zone \"%V\" is full, some requests of canary "
                      "upstream \"%V\" are not counted",
                      &conf->zone->name, &conf->upstream->host);
    }

    conf->shards[group][cell] = shard;

    return shard;
}


static ngx_int_t
ngx_http_canary_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_canary_peer_t  *cp = data;

    ngx_int_t             rc;
    ngx_http_upstream_t  *u;

    /*
     * after a failed attempt it is stable's turn, unless the core gave the
     * try back since the connection was a cached one
     */

    if (cp->failover && cp->attempts && pc->tries == cp->tries) {

        if (ngx_http_canary_failover(cp, pc) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    rc = cp->get(pc, cp->data);

    if (rc == NGX_BUSY) {
        ngx_http_canary_no_live(cp);

        if (cp->failover) {

            if (ngx_http_canary_failover(cp, pc) != NGX_OK) {
                return NGX_ERROR;
            }

            rc = cp->get(pc, cp->data);

            if (rc == NGX_BUSY) {
                ngx_http_canary_no_live(cp);
            }
        }
    }

    if (rc == NGX_BUSY) {

        /* the core may want to copy the name */

        if (pc->name == NULL) {
            pc->name = &cp->choice->conf->upstream->host;
        }

        return rc;
    }

    if (rc == NGX_ERROR) {
        return rc;
    }

    cp->attempts++;

    ngx_http_canary_count(&cp->shard->attempts, 1);

    if (cp->judged) {

        /* a first attempt: later ones are not judged, and not timed */

        (void) clock_gettime(CLOCK_MONOTONIC, &cp->started);

        if (!cp->choice->conf->latency_response) {
            u = cp->request->upstream;

            cp->process_header = u->process_header;
            u->process_header = ngx_http_canary_process_header;
        }
    }

    return rc;
}


/* the core ends the request without an attempt, and without calling free */

static void
ngx_http_canary_no_live(ngx_http_canary_peer_t *cp)
{
    if (cp->judged) {
        ngx_http_canary_count(&cp->shard->requests, 1);
        ngx_http_canary_count(&cp->shard->errors, 1);
    }

    ngx_http_canary_count(&cp->shard->failures[NGX_HTTP_CANARY_FAIL_NO_LIVE],
                          1);

    if (cp->choice->conf->view.record.guard.failures) {
        ngx_http_canary_guard(cp, 1);
    }

    cp->judged = 0;
}


/* tells the guard of requests that chance placed under the present record */

static void
ngx_http_canary_guard(ngx_http_canary_peer_t *cp, ngx_uint_t failed)
{
    ngx_uint_t                   canary;
    ngx_http_canary_view_t      *view;
    ngx_http_canary_guard_t     *guard;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    choice = cp->choice;
    conf = choice->conf;
    view = &conf->view;
    guard = &view->record.guard;

    if (choice->cell == NGX_HTTP_CANARY_PINNED || cp->failed || choice->revision != view->record.revision)
    {
        return;
    }

    canary = (choice->served == view->guarded);

    if (!canary && choice->served != view->stable) {
        return;
    }

    if (ngx_http_canary_shm_guard(conf->zone, conf->entry, view->generation,
                                  guard, canary, failed)
        == NGX_DONE)
    {
        ngx_log_error(NGX_LOG_WARN, cp->request->connection->log, 0,
                      "canary upstream \"%V\" stops choosing group \"%V\": "
                      "at least %uD failed attempts within %uD ms",
                      &conf->upstream->host,
                      &conf->groups[choice->served].name,
                      guard->failures, guard->window_ms);
    }
}


/*
 * From the canary to stable, within the tries that proxy_next_upstream_tries
 * leaves.
 */

static ngx_int_t
ngx_http_canary_failover(ngx_http_canary_peer_t *cp,
    ngx_peer_connection_t *pc)
{
    ngx_uint_t                   left;
    ngx_http_canary_shard_t     *failed;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    choice = cp->choice;
    conf = choice->conf;
    failed = cp->shard;

    ngx_log_error(NGX_LOG_INFO, pc->log, 0,
                  "canary upstream \"%V\" goes from group \"%V\" to "
                  "\"%V\"", &conf->upstream->host,
                  &conf->groups[choice->group].name,
                  &conf->groups[conf->view.stable].name);

    /* what the first group left of a kept connection is not stable's */

    pc->cached = 0;
    pc->connection = NULL;

    if (ngx_http_canary_delegate(cp, conf->view.stable,
                                 NGX_HTTP_CANARY_PINNED)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    left = cp->request->upstream->conf->next_upstream_tries;

    if (left) {
        left -= ngx_min(left, cp->attempts);

        if (pc->tries > left) {
            pc->tries = left;
        }
    }

    cp->failover = 0;
    cp->failed = failed;
    cp->judged = 0;

    choice->reason = NGX_HTTP_CANARY_BY_FAILOVER;

    ngx_http_canary_count(
                     &cp->shard->selections[NGX_HTTP_CANARY_BY_FAILOVER], 1);

    return NGX_OK;
}


static void
ngx_http_canary_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_canary_peer_t  *cp = data;

    ngx_uint_t  tries;

    /* before the group's, which may take the connection away */

    ngx_http_canary_account(cp, pc, state);

    if (!cp->failover) {
        cp->free(pc, cp->data, state);
        return;
    }

    tries = pc->tries;

    cp->free(pc, cp->data, state);

    /* a group that has no other server leaves no try, but stable has */

    pc->tries = tries ? tries - 1 : 0;
    cp->tries = pc->tries;
}


static void
ngx_http_canary_notify_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type)
{
    ngx_http_canary_peer_t  *cp = data;

    cp->notify(pc, cp->data, type);
}


#if (NGX_HTTP_SSL || NGX_COMPAT)

static ngx_int_t
ngx_http_canary_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_canary_peer_t  *cp = data;

    return cp->set_session(pc, cp->data);
}


static void
ngx_http_canary_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_canary_peer_t  *cp = data;

    cp->save_session(pc, cp->data);
}

#endif


/*
 * Called once, when the first bytes of the first answer are there, to take
 * the time in microseconds; no other hook tells of it on all versions.
 */

static ngx_int_t
ngx_http_canary_process_header(ngx_http_request_t *r)
{
    ngx_http_upstream_t     *u;
    ngx_http_canary_peer_t  *cp;

    u = r->upstream;
    cp = u->peer.data;

    (void) clock_gettime(CLOCK_MONOTONIC, &cp->first_byte);

    u->process_header = cp->process_header;

    return u->process_header(r);
}


static void
ngx_http_canary_account(ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc,
    ngx_uint_t state)
{
    uint64_t                  us;
    ngx_uint_t                outcome, status;
    ngx_http_upstream_t      *u;
    ngx_http_canary_shard_t  *shard;

    u = cp->request->upstream;
    shard = cp->shard;

    outcome = ngx_http_canary_outcome(cp, pc, state);

    if (outcome != NGX_HTTP_CANARY_ABORTED
        && cp->choice->conf->view.record.guard.failures)
    {
        ngx_http_canary_guard(cp, outcome != NGX_HTTP_CANARY_ANSWERED);
    }

    status = u->state ? u->state->status : 0;

    if (status >= 200 && status < 300) {
        ngx_http_canary_count(&shard->responses[1], 1);

    } else if (status >= 100 && status < 600) {
        ngx_http_canary_count(&shard->responses[status / 100 - 1], 1);
    }

    if (outcome == NGX_HTTP_CANARY_ABORTED) {
        ngx_http_canary_count(&shard->aborts, 1);

    } else {

        if (cp->judged) {
            ngx_http_canary_count(&shard->requests, 1);
        }

        if (outcome != NGX_HTTP_CANARY_ANSWERED) {

            if (cp->judged) {
                ngx_http_canary_count(&shard->errors, 1);
            }

            ngx_http_canary_count(&shard->failures[outcome], 1);

        } else {

            if (cp->judged && ngx_http_canary_latency(cp, &us) == NGX_OK) {
                ngx_http_canary_count(&shard->latency_sum, us);
                ngx_http_canary_count(
                       &shard->latency[ngx_http_canary_bucket_of(us)], 1);
            }

            if (cp->failed) {
                ngx_http_canary_count(&cp->failed->rescued, 1);
            }
        }
    }

    ngx_http_canary_count(&shard->finished, 1);

    cp->judged = 0;
}


/* microseconds of an answered attempt; a connection that was upgraded has no
 * latency */

static ngx_int_t
ngx_http_canary_latency(ngx_http_canary_peer_t *cp, uint64_t *us)
{
    ngx_http_upstream_t  *u;

    u = cp->request->upstream;

    if (u->upgrade) {
        return NGX_DECLINED;
    }

    if (cp->choice->conf->latency_response) {
        (void) clock_gettime(CLOCK_MONOTONIC, &cp->first_byte);

    } else if (cp->first_byte.tv_sec == -1) {
        return NGX_DECLINED;
    }

    *us = ((int64_t) (cp->first_byte.tv_sec - cp->started.tv_sec) * 1000000000
           + (cp->first_byte.tv_nsec - cp->started.tv_nsec))
          / 1000;

    return NGX_OK;
}


/*
 * What the attempt came to, from what the core leaves behind:
 *
 *                       state   status  connect_time  header_time
 *     answered          0          200            >=           >=
 *     5xx, retried      FAILED     500            >=           >=
 *     404, retried      NEXT       404            >=           >=
 *     refused           FAILED       0            -1           -1
 *     reset, timeout    FAILED       0            >=           -1
 *     cut short         0          200            >=           >=
 *     client aborted    0            0            >=           -1
 */

static ngx_uint_t
ngx_http_canary_outcome(ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc,
    ngx_uint_t state)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_upstream_state_t  *us;

    r = cp->request;
    us = r->upstream->state;
    c = pc->connection;

    if (state & NGX_PEER_FAILED) {

        if (us->header_time != (ngx_msec_t) -1) {

            /* 429 is a failure for the balancer only */

            return us->status >= 500 ? NGX_HTTP_CANARY_FAIL_HTTP_5XX
                                     : NGX_HTTP_CANARY_ANSWERED;
        }

        if (us->connect_time == (ngx_msec_t) -1) {
            return NGX_HTTP_CANARY_FAIL_CONNECT;
        }

        if (c && (c->read->timedout || c->write->timedout)) {
            return NGX_HTTP_CANARY_FAIL_TIMEOUT;
        }

        return NGX_HTTP_CANARY_FAIL_RESET;
    }

    if (r->upstream->upgrade) {

        /* it was answered by then, whoever ends the connection and how */

        return NGX_HTTP_CANARY_ANSWERED;
    }

    if (r->connection->error || us->header_time == (ngx_msec_t) -1) {
        return NGX_HTTP_CANARY_ABORTED;
    }

    if (us->status >= 500) {
        return NGX_HTTP_CANARY_FAIL_HTTP_5XX;
    }

    if (ngx_http_canary_grpc_failed(r->upstream)) {
        return NGX_HTTP_CANARY_FAIL_GRPC;
    }

    if (ngx_http_canary_truncated(r, pc)) {
        return c && c->read->timedout ? NGX_HTTP_CANARY_FAIL_TIMEOUT
                                      : NGX_HTTP_CANARY_FAIL_TRUNCATED;
    }

    return NGX_HTTP_CANARY_ANSWERED;
}


/*
 * A gRPC call says how it went in a trailer, or in a header if there is no
 * body.  Unknown, deadline exceeded, internal, unavailable and data loss are
 * the server's; the other codes answer the client.
 */

static ngx_uint_t
ngx_http_canary_grpc_failed(ngx_http_upstream_t *u)
{
    ngx_int_t         code;
    ngx_str_t        *type;
    ngx_uint_t        i, n;
    ngx_list_t       *lists[2];
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static u_char  name[] = "grpc-status";

    if (u->headers_in.content_type == NULL) {
        return 0;
    }

    type = &u->headers_in.content_type->value;

    if (type->len < sizeof("application/grpc") - 1
        || ngx_strncasecmp(type->data, (u_char *) "application/grpc",
                           sizeof("application/grpc") - 1)
           != 0)
    {
        return 0;
    }

    lists[0] = &u->headers_in.trailers;
    lists[1] = &u->headers_in.headers;

    for (n = 0; n < 2; n++) {

        for (part = &lists[n]->part; part; part = part->next) {
            h = part->elts;

            for (i = 0; i < part->nelts; i++) {

                if (h[i].key.len != sizeof(name) - 1
                    || ngx_strncasecmp(h[i].key.data, name, sizeof(name) - 1)
                       != 0)
                {
                    continue;
                }

                code = ngx_atoi(h[i].value.data, h[i].value.len);

                return code == 2 || code == 4 || code == 13 || code == 14
                       || code == 15;
            }
        }
    }

    return 0;
}


/* an answer whose end never came; the core frees such a peer as a good one */

static ngx_uint_t
ngx_http_canary_truncated(ngx_http_request_t *r, ngx_peer_connection_t *pc)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u->error) {
        return 1;
    }

    if (u->upgrade || !u->header_sent) {
        return 0;
    }

    p = u->pipe;

    if (u->buffering && p) {
        return !p->upstream_done
               && (p->upstream_error || (p->upstream_eof && p->length != -1));
    }

    if (u->length == 0 || pc->connection == NULL) {
        return 0;
    }

    return pc->connection->read->error || pc->connection->read->timedout
           || (pc->connection->read->eof && u->length != -1);
}


/* 16 buckets to the octave; sidecar/core/histogram.c has the same */

static ngx_uint_t
ngx_http_canary_bucket_of(uint64_t us)
{
    ngx_uint_t  shift;

    if (us >> NGX_HTTP_CANARY_SUB_BITS == 0) {
        return (ngx_uint_t) us;
    }

    if (us >> (NGX_HTTP_CANARY_MAX_EXP + 1)) {
        return NGX_HTTP_CANARY_BUCKETS - 1;
    }

#if (__GNUC__)

    shift = 63 - NGX_HTTP_CANARY_SUB_BITS - __builtin_clzll(us);

#else

    for (shift = 0; us >> (shift + NGX_HTTP_CANARY_SUB_BITS + 1); shift++) {
        /* void */
    }

#endif

    return (shift << NGX_HTTP_CANARY_SUB_BITS) + (ngx_uint_t) (us >> shift);
}
