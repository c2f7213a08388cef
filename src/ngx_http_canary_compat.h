
/*
 * What differs between versions of nginx; the only place that asks for one.
 */


#ifndef _NGX_HTTP_CANARY_COMPAT_H_INCLUDED_
#define _NGX_HTTP_CANARY_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* groups with servers that are looked up at run time: these come and go */

#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
#define ngx_http_canary_resolves(peers)                                      \
    ((peers)->resolve || ((peers)->next && (peers)->next->resolve))
#else
#define ngx_http_canary_resolves(peers)  0
#endif


/* the n-th Cookie header, which comes after that one, or NULL */

static ngx_inline ngx_table_elt_t *
ngx_http_canary_next_cookie(ngx_http_request_t *r, ngx_table_elt_t *h,
    ngx_uint_t n)
{
#if (nginx_version >= 1023000)

    return h ? h->next : r->headers_in.cookie;

#else

    ngx_table_elt_t  **headers;

    headers = r->headers_in.cookies.elts;

    return n < r->headers_in.cookies.nelts ? headers[n] : NULL;

#endif
}


#endif /* _NGX_HTTP_CANARY_COMPAT_H_INCLUDED_ */
