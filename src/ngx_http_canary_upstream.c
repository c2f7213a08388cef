
/*
 * Delegation to the chosen group's own balancer, and the account of every
 * attempt on it.  The group's handlers are wrapped, none is replaced.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_SUB_BITS     4


static ngx_http_canary_inline ngx_int_t ngx_http_canary_delegate(
    ngx_http_canary_peer_t *cp, ngx_uint_t group, ngx_uint_t cell);
static ngx_http_canary_rare ngx_http_canary_shard_t *ngx_http_canary_new_shard(
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t group, ngx_uint_t cell);
static ngx_http_canary_rare ngx_int_t ngx_http_canary_failover(
    ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_canary_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_http_canary_rare ngx_int_t ngx_http_canary_no_peer(
    ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc, ngx_int_t rc);
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
static ngx_http_canary_inline ngx_uint_t ngx_http_canary_well(
    ngx_http_canary_peer_t *cp, ngx_http_upstream_t *u, ngx_uint_t state);
static ngx_http_canary_rare ngx_uint_t ngx_http_canary_not_well(
    ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc, ngx_uint_t state);
static ngx_http_canary_inline void ngx_http_canary_judge(
    ngx_http_canary_peer_t *cp);
static ngx_http_canary_rare void ngx_http_canary_last_byte(
    ngx_http_canary_peer_t *cp);
static ngx_http_canary_inline ngx_uint_t ngx_http_canary_bucket_of(
    uint64_t us);


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
    ngx_uint_t                   first;
    ngx_http_canary_peer_t      *cp;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_canary_module);

    choice = ngx_http_canary_choose(r, conf);
    if (choice == NULL) {
        return NGX_ERROR;
    }

    /* not zeroed: handlers of the group are set where ours are */

    first = !choice->used;

    if (first) {
        choice->used = 1;
        cp = &choice->peer;

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
    cp->first_byte.tv_sec = 0;

    if (ngx_http_canary_delegate(cp, choice->group, choice->cell) != NGX_OK) {
        return NGX_ERROR;
    }

    if (first) {
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

    if (ngx_http_canary_rarely(rc == NGX_BUSY || rc == NGX_ERROR)) {

        rc = ngx_http_canary_no_peer(cp, pc, rc);

        if (rc == NGX_BUSY || rc == NGX_ERROR) {
            return rc;
        }
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


static ngx_int_t
ngx_http_canary_no_peer(ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc,
    ngx_int_t rc)
{
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

    /* the core may want to copy the name */

    if (rc == NGX_BUSY && pc->name == NULL) {
        pc->name = &cp->choice->conf->upstream->host;
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

    ngx_http_canary_guard(cp, 1);

    cp->judged = 0;
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


/*
 * The account comes before the group's free, which may take the connection
 * away.
 */

static void
ngx_http_canary_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_canary_peer_t  *cp = data;

    ngx_uint_t                tries, status;
    ngx_http_upstream_t      *u;
    ngx_http_canary_shard_t  *shard;

    u = cp->request->upstream;
    shard = cp->shard;

    status = u->state ? u->state->status : 0;

    if (status - 200 < 100) {
        ngx_http_canary_count(&shard->responses[1], 1);

    } else if (status - 100 < 500) {
        ngx_http_canary_count(&shard->responses[status / 100 - 1], 1);
    }

    if (ngx_http_canary_well(cp, u, state)
        || ngx_http_canary_not_well(cp, pc, state))
    {
        if (cp->judged) {
            ngx_http_canary_judge(cp);

        } else {
            ngx_http_canary_guard(cp, 0);

            if (cp->failed) {
                ngx_http_canary_count(&cp->failed->rescued, 1);
            }
        }
    }

    ngx_http_canary_count(&shard->finished, 1);

    cp->judged = 0;

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


/*
 * True only for what ngx_http_canary_outcome() calls answered, as nearly all
 * attempts are: no failure of any kind, and no gRPC, whose status may be
 * anywhere.
 */

static ngx_http_canary_inline ngx_uint_t
ngx_http_canary_well(ngx_http_canary_peer_t *cp, ngx_http_upstream_t *u,
    ngx_uint_t state)
{
    ngx_table_elt_t  *type;

    if (state & NGX_PEER_FAILED
        || cp->request->connection->error
        || u->state->header_time == (ngx_msec_t) -1
        || u->state->status >= 500
        || u->error
        || u->upgrade)
    {
        return 0;
    }

    type = u->headers_in.content_type;

    if (type && type->value.len >= sizeof("application/grpc") - 1
        && (type->value.data[sizeof("application/") - 1] | 0x20) == 'g')
    {
        return 0;
    }

    return (u->buffering && u->pipe) ? u->pipe->upstream_done
                                     : u->length == 0;
}


/* counts what went wrong; true if nothing did */

static ngx_uint_t
ngx_http_canary_not_well(ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc,
    ngx_uint_t state)
{
    ngx_uint_t                outcome;
    ngx_http_canary_shard_t  *shard;

    shard = cp->shard;

    outcome = ngx_http_canary_outcome(cp, pc, state);

    if (outcome == NGX_HTTP_CANARY_ANSWERED) {

        if (cp->request->upstream->upgrade) {
            cp->first_byte.tv_sec = 0;
        }

        return 1;
    }

    if (outcome == NGX_HTTP_CANARY_ABORTED) {
        ngx_http_canary_count(&shard->aborts, 1);
        return 0;
    }

    if (cp->judged) {
        ngx_http_canary_count(&shard->requests, 1);
        ngx_http_canary_count(&shard->errors, 1);
    }

    ngx_http_canary_count(&shard->failures[outcome], 1);

    ngx_http_canary_guard(cp, 1);

    return 0;
}


/* an answer that counts for its group */

static ngx_http_canary_inline void
ngx_http_canary_judge(ngx_http_canary_peer_t *cp)
{
    uint64_t                   us;
    ngx_uint_t                 side;
    ngx_http_canary_view_t    *view;
    ngx_http_canary_shard_t   *shard;
    ngx_http_canary_choice_t  *choice;

    choice = cp->choice;
    shard = cp->shard;

    view = &choice->conf->view;
    side = view->sides[choice->served];

    if (side != NGX_HTTP_CANARY_SIDES) {

        if (choice->revision == view->record.revision
            && ngx_http_canary_shm_half(choice->conf->entry, view->generation,
                                        &view->half))
        {
            ngx_http_canary_count(&view->half.attempts[side], 1);

        } else {
            ngx_http_canary_guard(cp, 0);
        }
    }

    ngx_http_canary_count(&shard->requests, 1);

    if (cp->first_byte.tv_sec == 0) {

        ngx_http_canary_last_byte(cp);

        if (cp->first_byte.tv_sec == 0) {
            return;
        }
    }

    us = (uint64_t) ((cp->first_byte.tv_sec - cp->started.tv_sec) * 1000000000
                     + (cp->first_byte.tv_nsec - cp->started.tv_nsec))
         / 1000;

    ngx_http_canary_count(&shard->latency_sum, us);
    ngx_http_canary_count(&shard->latency[ngx_http_canary_bucket_of(us)], 1);
}


/*
 * Where the last byte has the latency, or none came to be timed: a connection
 * that was upgraded has no latency.
 */

static void
ngx_http_canary_last_byte(ngx_http_canary_peer_t *cp)
{
    if (cp->choice->conf->latency_response && !cp->request->upstream->upgrade)
    {
        (void) clock_gettime(CLOCK_MONOTONIC, &cp->first_byte);
    }
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


/* 16 buckets to the octave; sidecar/core/histogram.c has the same */

static ngx_http_canary_inline ngx_uint_t
ngx_http_canary_bucket_of(uint64_t us)
{
    ngx_uint_t  bucket, shift;

#if (__GNUC__)

    shift = 63 - NGX_HTTP_CANARY_SUB_BITS
            - __builtin_clzll(us | 1 << NGX_HTTP_CANARY_SUB_BITS);

#else

    for (shift = 0; us >> (shift + NGX_HTTP_CANARY_SUB_BITS + 1); shift++) {
        /* void */
    }

#endif

    bucket = (shift << NGX_HTTP_CANARY_SUB_BITS) + (ngx_uint_t) (us >> shift);

    return ngx_min(bucket, NGX_HTTP_CANARY_BUCKETS - 1);
}
