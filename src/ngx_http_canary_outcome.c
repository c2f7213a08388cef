
/*
 * What an attempt came to, for those that are not plainly well, and the
 * guard's view of it.
 */


#include "ngx_http_canary.h"


static ngx_uint_t ngx_http_canary_grpc_failed(ngx_http_upstream_t *u);
static ngx_uint_t ngx_http_canary_truncated(ngx_http_request_t *r,
    ngx_peer_connection_t *pc);


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

ngx_uint_t
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


/* only of requests that chance placed under the present record */

void
ngx_http_canary_guard(ngx_http_canary_peer_t *cp)
{
    ngx_uint_t                   side;
    ngx_http_canary_view_t      *view;
    ngx_http_canary_guard_t     *guard;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    choice = cp->choice;
    conf = choice->conf;
    view = &conf->view;

    if (choice->well == NULL
        || cp->failed
        || choice->generation != view->generation)
    {
        return;
    }

    guard = &view->record.guard;

    side = choice->group == view->guarded ? NGX_HTTP_CANARY_SIDE_CANARY
                                          : NGX_HTTP_CANARY_SIDE_STABLE;

    if (ngx_http_canary_shm_guard(conf->zone, conf->entry, view->generation,
                                  guard, side)
        == NGX_DONE)
    {
        ngx_log_error(NGX_LOG_WARN, cp->request->connection->log, 0,
                      "canary upstream \"%V\" stops choosing group \"%V\": "
                      "at least %uD failed attempts within %uD ms",
                      &conf->upstream->host,
                      &conf->groups[choice->group].name,
                      guard->failures, guard->window_ms);
    }
}
