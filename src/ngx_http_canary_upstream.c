
/*
 * What runs under a group's own balancer: the account of every attempt.  Its
 * handlers are wrapped, none is replaced.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_SUB_BITS     4


static ngx_http_canary_rare ngx_int_t ngx_http_canary_failover(
    ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc);
static ngx_http_canary_rare ngx_int_t ngx_http_canary_no_peer(
    ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc, ngx_int_t rc);
static void ngx_http_canary_no_live(ngx_http_canary_peer_t *cp);
static ngx_int_t ngx_http_canary_process_header(ngx_http_request_t *r);
static ngx_http_canary_inline ngx_uint_t ngx_http_canary_well(
    ngx_http_canary_peer_t *cp, ngx_http_upstream_t *u, ngx_uint_t state,
    ngx_uint_t status);
static ngx_http_canary_rare ngx_uint_t ngx_http_canary_not_well(
    ngx_http_canary_peer_t *cp, ngx_peer_connection_t *pc, ngx_uint_t state);
static ngx_http_canary_inline void ngx_http_canary_judge(
    ngx_http_canary_peer_t *cp, ngx_http_canary_shard_t *shard);
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

    ccf->by_address = (ccf->key == NULL && ccf->cookie == NULL);

    for (i = 0; i < NGX_HTTP_CANARY_CELLS; i++) {
        ccf->judged[i] = (i == NGX_HTTP_CANARY_PINNED)
                         ? 0 : ccf->latency_response + 1;
    }

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

        if (cp->judged == 1) {
            u = ngx_http_canary_upstream(pc);

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

    ngx_http_canary_guard(cp);

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

void
ngx_http_canary_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_canary_peer_t  *cp = data;

    ngx_uint_t                   tries, status;
    ngx_http_upstream_t         *u;
    ngx_http_canary_side_t      *well;
    ngx_http_canary_shard_t     *shard;
    ngx_http_canary_choice_t    *choice;

    u = ngx_http_canary_upstream(pc);
    shard = cp->shard;
    status = u->state->status;

    if (ngx_http_canary_well(cp, u, state, status)
        || ngx_http_canary_not_well(cp, pc, state))
    {
        if (cp->judged) {
            ngx_http_canary_judge(cp, shard);

        } else if (cp->failed) {
            ngx_http_canary_count(&cp->failed->rescued, 1);
            goto counted;
        }

        choice = cp->choice;
        well = choice->well;

        if (well
            && ngx_http_canary_mostly(well->generation == choice->generation))
        {
            ngx_http_canary_count(&well->attempts, 1);
        }
    }

counted:

    if (ngx_http_canary_mostly(status - 200 < 100)) {
        ngx_http_canary_count(&shard->responses[1], 1);

    } else if (status - 100 < 500) {
        ngx_http_canary_count(&shard->responses[status / 100 - 1], 1);
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
    ngx_uint_t state, ngx_uint_t status)
{
    ngx_table_elt_t  *type;

    if (state & NGX_PEER_FAILED
        || cp->request->connection->error
        || u->state->header_time == (ngx_msec_t) -1
        || status >= 500
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
            cp->answered.tv_sec = 0;
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

    ngx_http_canary_guard(cp);

    return 0;
}


/* an answer that counts for its group */

static ngx_http_canary_inline void
ngx_http_canary_judge(ngx_http_canary_peer_t *cp,
    ngx_http_canary_shard_t *shard)
{
    uint64_t  us;

    ngx_http_canary_count(&shard->requests, 1);

    if (ngx_http_canary_rarely(cp->answered.tv_sec == 0)) {

        ngx_http_canary_last_byte(cp);

        if (cp->answered.tv_sec == 0) {
            return;
        }
    }

    us = (uint64_t) ((cp->answered.tv_sec - cp->started.tv_sec) * 1000000000
                     + (cp->answered.tv_nsec - cp->started.tv_nsec))
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
    if (cp->judged == 2 && !cp->request->upstream->upgrade) {
        (void) clock_gettime(CLOCK_MONOTONIC, &cp->answered);
    }
}


void
ngx_http_canary_notify_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type)
{
    ngx_http_canary_peer_t  *cp = data;

    cp->notify(pc, cp->data, type);
}


#if (NGX_HTTP_SSL || NGX_COMPAT)

ngx_int_t
ngx_http_canary_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_canary_peer_t  *cp = data;

    return cp->set_session(pc, cp->data);
}


void
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

    cp = r->upstream->peer.data;

    (void) clock_gettime(CLOCK_MONOTONIC, &cp->answered);

    /* not kept over the call, which costs more than to look again */

    u = r->upstream;
    cp = u->peer.data;

    u->process_header = cp->process_header;

    return cp->process_header(r);
}


/* 16 buckets to the octave; sidecar/core/histogram.c has the same */

static ngx_http_canary_inline ngx_uint_t
ngx_http_canary_bucket_of(uint64_t us)
{
    uint32_t  bucket, shift;

#if (__GNUC__)

    shift = 63 - NGX_HTTP_CANARY_SUB_BITS
            - (uint32_t) __builtin_clzll(us | 1 << NGX_HTTP_CANARY_SUB_BITS);

#else

    for (shift = 0; us >> (shift + NGX_HTTP_CANARY_SUB_BITS + 1); shift++) {
        /* void */
    }

#endif

    bucket = (shift << NGX_HTTP_CANARY_SUB_BITS) + (uint32_t) (us >> shift);

    return ngx_min(bucket, NGX_HTTP_CANARY_BUCKETS - 1);
}
