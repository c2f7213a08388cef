
/*
 * Between the metrics page and the list of what is on it.
 */


#ifndef _NGX_HTTP_CANARY_METRICS_H_INCLUDED_
#define _NGX_HTTP_CANARY_METRICS_H_INCLUDED_


#include "ngx_http_canary.h"


#if (__GNUC__ >= 4)
#pragma GCC visibility push(hidden)
#endif


/* a cell, read once for all families */

typedef struct {
    ngx_str_t                         labels;
    ngx_atomic_uint_t                 selections[NGX_HTTP_CANARY_REASONS];
    ngx_atomic_uint_t                 failures[NGX_HTTP_CANARY_FAILURES];
    ngx_atomic_uint_t                 responses[5];
    ngx_atomic_uint_t                 attempts;
    ngx_atomic_uint_t                 finished;
    ngx_atomic_uint_t                 aborts;
    ngx_atomic_uint_t                 rescued;
    ngx_atomic_uint_t                 requests;
    ngx_atomic_uint_t                 errors;
    ngx_atomic_uint_t                 latency_sum;
    ngx_array_t                      *bounds;        /* of ngx_uint_t: edges */
    uint64_t                         *buckets;       /* one more than bounds,
                                                        cumulated */
} ngx_http_canary_sample_t;


/* what a family has samples of */

typedef enum {
    NGX_HTTP_CANARY_OF_NGINX = 0,
    NGX_HTTP_CANARY_OF_ZONES,         /* ngx_http_canary_zone_t */
    NGX_HTTP_CANARY_OF_UPSTREAMS,     /* ngx_http_canary_srv_conf_t */
    NGX_HTTP_CANARY_OF_CELLS          /* ngx_http_canary_sample_t */
} ngx_http_canary_metric_e;


typedef struct {
    ngx_http_canary_metric_e          of;
    char                             *name;
    char                             *type;
    char                             *help;
    void                            (*print)(ngx_http_canary_out_t *out,
                                             char *name, void *object);
} ngx_http_canary_metric_t;


extern ngx_http_canary_metric_t  ngx_http_canary_metric_list[];

void ngx_http_canary_print_label(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *value);
/* smallest latency of a bucket of the fine histogram, in microseconds */
uint64_t ngx_http_canary_edge(ngx_uint_t bucket);

#if (__GNUC__ >= 4)
#pragma GCC visibility pop
#endif


#endif /* _NGX_HTTP_CANARY_METRICS_H_INCLUDED_ */
