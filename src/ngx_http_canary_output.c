
#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_BUF_SIZE     16384


static u_char *ngx_http_canary_out_room(ngx_http_canary_out_t *out,
    size_t size);


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
