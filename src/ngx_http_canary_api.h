
/*
 * Between reading and writing through the API.
 */


#ifndef _NGX_HTTP_CANARY_API_H_INCLUDED_
#define _NGX_HTTP_CANARY_API_H_INCLUDED_


#include "ngx_http_canary.h"


#if (__GNUC__ >= 4)
#pragma GCC visibility push(hidden)
#endif


typedef enum {
    NGX_HTTP_CANARY_API_ALL = 0,
    NGX_HTTP_CANARY_API_ONE,
    NGX_HTTP_CANARY_API_LEASE,
    NGX_HTTP_CANARY_API_SERVER
} ngx_http_canary_api_e;


/* what a path names */

typedef struct {
    ngx_http_canary_api_e            what;
    ngx_http_canary_srv_conf_t      *conf;
    ngx_http_canary_group_t         *group;
    ngx_str_t                        server;
} ngx_http_canary_route_t;


ngx_int_t ngx_http_canary_api_route(ngx_http_request_t *r,
    ngx_http_canary_route_t *route);
/* reads the body of a request whose route takes one, and does what it says */
ngx_int_t ngx_http_canary_api_write(ngx_http_request_t *r);
ngx_int_t ngx_http_canary_api_one(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters);
ngx_int_t ngx_http_canary_api_json(ngx_http_request_t *r,
    ngx_http_canary_out_t *out);

#if (__GNUC__ >= 4)
#pragma GCC visibility pop
#endif


#endif /* _NGX_HTTP_CANARY_API_H_INCLUDED_ */
