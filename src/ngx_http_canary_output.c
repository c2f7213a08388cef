
/*
 * Answers: text that grows in buffers, made at once or in slices.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_BUF_SIZE     16384
#define NGX_HTTP_CANARY_SLICE        1000000     /* nanoseconds */
#define NGX_HTTP_CANARY_SLICE_TIMEOUT  60000     /* it is never waited for */


static u_char *ngx_http_canary_out_room(ngx_http_canary_out_t *out,
    size_t size);
static ngx_int_t ngx_http_canary_slice(ngx_http_canary_task_t *task);
static void ngx_http_canary_run_handler(ngx_event_t *ev);
static void ngx_http_canary_run_cleanup(void *data);


void
ngx_http_canary_out_init(ngx_http_canary_out_t *out, ngx_pool_t *pool)
{
    ngx_memzero(out, sizeof(ngx_http_canary_out_t));

    out->pool = pool;
}


/* a failure is remembered and seen by who sends the whole */

static u_char *
ngx_http_canary_out_room(ngx_http_canary_out_t *out, size_t size)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (out->failed) {
        return NULL;
    }

    if (out->last) {
        b = out->last->buf;

        if ((size_t) (b->end - b->last) >= size) {
            return b->last;
        }
    }

    b = ngx_create_temp_buf(out->pool,
                            ngx_max(size, NGX_HTTP_CANARY_BUF_SIZE));
    cl = ngx_alloc_chain_link(out->pool);

    if (b == NULL || cl == NULL) {
        out->failed = 1;
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    if (out->last) {
        out->last->next = cl;

    } else {
        out->first = cl;
    }

    out->last = cl;

    return b->last;
}


void
ngx_http_canary_print(ngx_http_canary_out_t *out, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    p = ngx_http_canary_out_room(out, NGX_HTTP_CANARY_PRINT_MAX);

    if (p == NULL) {
        return;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(p, p + NGX_HTTP_CANARY_PRINT_MAX, fmt, args);
    va_end(args);

    out->last->buf->last = last;
    out->size += last - p;
}


/* quoted and escaped for JSON, which covers label values of metrics too */

void
ngx_http_canary_print_string(ngx_http_canary_out_t *out, ngx_str_t *value)
{
    u_char  *p, *last;
    size_t   size;

    size = value->len + ngx_escape_json(NULL, value->data, value->len) + 2;

    p = ngx_http_canary_out_room(out, size);

    if (p == NULL) {
        return;
    }

    last = p;

    *last++ = '"';
    last = (u_char *) ngx_escape_json(last, value->data, value->len);
    *last++ = '"';

    out->last->buf->last = last;
    out->size += last - p;
}


void
ngx_http_canary_print_raw(ngx_http_canary_out_t *out, ngx_str_t *value)
{
    u_char  *p;

    p = ngx_http_canary_out_room(out, value->len);

    if (p == NULL) {
        return;
    }

    out->last->buf->last = ngx_cpymem(p, value->data, value->len);
    out->size += value->len;
}


/* hundredths of a percent as percent: "12.5" */

void
ngx_http_canary_print_weight(ngx_http_canary_out_t *out, ngx_uint_t weight)
{
    if (weight % 100 == 0) {
        ngx_http_canary_print(out, "%ui", weight / 100);

    } else if (weight % 10 == 0) {
        ngx_http_canary_print(out, "%ui.%ui", weight / 100,
                              weight % 100 / 10);

    } else {
        ngx_http_canary_print(out, "%ui.%02ui", weight / 100, weight % 100);
    }
}


ngx_int_t
ngx_http_canary_send(ngx_http_request_t *r, ngx_http_canary_out_t *out,
    ngx_uint_t status, ngx_str_t *type)
{
    ngx_int_t  rc;

    if (out->failed || out->last == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = out->size;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out->last->buf->last_buf = (r == r->main) ? 1 : 0;
    out->last->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, out->first);
}


/*
 * Makes an answer step by step.  One that takes longer than a millisecond
 * lets other requests go first, again and again, until it is whole.
 */

ngx_int_t
ngx_http_canary_run_task(ngx_http_request_t *r,
    ngx_http_canary_task_t *task, ngx_str_t *type)
{
    ngx_int_t            rc;
    ngx_http_cleanup_t  *cln;

    task->request = r;
    task->type = type;

    ngx_http_canary_out_init(&task->out, r->pool);

    rc = ngx_http_canary_slice(task);

    if (rc == NGX_OK) {
        return ngx_http_canary_send(r, &task->out, NGX_HTTP_OK, type);
    }

    if (rc != NGX_AGAIN) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_canary_run_cleanup;
    cln->data = task;

    task->event.handler = ngx_http_canary_run_handler;
    task->event.data = task;
    task->event.log = r->connection->log;

    /* a worker that is to exit waits for timers, and only for these */

    ngx_add_timer(&task->event, NGX_HTTP_CANARY_SLICE_TIMEOUT);

    ngx_post_event(&task->event, &ngx_posted_next_events);

    r->main->count++;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_canary_slice(ngx_http_canary_task_t *task)
{
    ngx_int_t        rc;
    struct timespec  start, now;

    (void) clock_gettime(CLOCK_MONOTONIC, &start);

    do {
        rc = task->step(task);

        if (rc != NGX_AGAIN) {
            return rc;
        }

        if (task->out.failed) {
            return NGX_ERROR;
        }

        (void) clock_gettime(CLOCK_MONOTONIC, &now);

    } while ((int64_t) (now.tv_sec - start.tv_sec) * 1000000000
             + (now.tv_nsec - start.tv_nsec)
             < NGX_HTTP_CANARY_SLICE);

    return NGX_AGAIN;
}


static void
ngx_http_canary_run_handler(ngx_event_t *ev)
{
    ngx_int_t                rc;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_canary_task_t  *task;

    task = ev->data;
    r = task->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_CANARY_SLICE_TIMEOUT);
    }

    rc = ngx_http_canary_slice(task);

    if (rc == NGX_AGAIN) {
        ngx_post_event(ev, &ngx_posted_next_events);
        return;
    }

    ngx_del_timer(ev);

    if (rc == NGX_OK) {
        rc = ngx_http_canary_send(r, &task->out, NGX_HTTP_OK, task->type);

    } else {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_canary_run_cleanup(void *data)
{
    ngx_http_canary_task_t  *task = data;

    if (task->event.posted) {
        ngx_delete_posted_event(&task->event);
    }

    if (task->event.timer_set) {
        ngx_del_timer(&task->event);
    }
}
