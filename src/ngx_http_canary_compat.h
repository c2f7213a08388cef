
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


/* NGX_DECLINED: the request has no such cookie */

static ngx_inline ngx_int_t
ngx_http_canary_get_cookie(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
#if (nginx_version >= 1023000)

    return ngx_http_parse_multi_header_lines(r, r->headers_in.cookie, name,
                                             value)
           ? NGX_OK : NGX_DECLINED;

#else

    return ngx_http_parse_multi_header_lines(&r->headers_in.cookies, name,
                                             value)
           == NGX_DECLINED ? NGX_DECLINED : NGX_OK;

#endif
}


#endif /* _NGX_HTTP_CANARY_COMPAT_H_INCLUDED_ */
