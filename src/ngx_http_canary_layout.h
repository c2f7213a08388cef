
/*
 * How the zone is laid out: for the files that touch it, ngx_http_canary_shm.c
 * (its life and its counters) and ngx_http_canary_table.c (records, rules,
 * lease and guard).
 */


#ifndef _NGX_HTTP_CANARY_LAYOUT_H_INCLUDED_
#define _NGX_HTTP_CANARY_LAYOUT_H_INCLUDED_


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_MAGIC        0x43414e31  /* "CAN1" */
#define NGX_HTTP_CANARY_LAYOUT       4
#define NGX_HTTP_CANARY_MAX_SHARDS   64


typedef struct {
    u_char                           len;
    u_char                           data[NGX_HTTP_CANARY_NAME_LEN];
} ngx_http_canary_text_t;


struct ngx_http_canary_entry_s {
    ngx_http_canary_head_t           head;        /* must be first */

    /* the record is slot[head.generation & 1] */

    ngx_http_canary_record_t         slot[2];

    /* and its rules are the half [head.generation & 1] of these pages */

    u_char                          *rules;       /* NULL: it never had any */

    /* the guard's window in two halves: [half & 1] is the present one */

    ngx_atomic_t                     half;
    ngx_atomic_t                     guarded;     /* the record's generation */
    ngx_http_canary_side_t           window[2][NGX_HTTP_CANARY_SIDES];

    ngx_atomic_t                     nslots;
    ngx_str_t                        names[NGX_HTTP_CANARY_SLOTS];
    ngx_http_canary_text_t           bytes[NGX_HTTP_CANARY_SLOTS];
    ngx_http_canary_shard_t         *cells[NGX_HTTP_CANARY_SLOTS]
                                          [NGX_HTTP_CANARY_CELLS];
    size_t                           len;
    u_char                           name[1];
};


struct ngx_http_canary_shctx_s {
    uint32_t                         magic;
    uint32_t                         layout;
    uint64_t                         boot;
    ngx_atomic_t                     generation;
    ngx_atomic_t                     persisted;
    ngx_atomic_t                     file;        /* of the state, a number */
    ngx_atomic_t                     refused;
    ngx_atomic_t                     state_errors;
    ngx_uint_t                       state;
    ngx_uint_t                       shards;

    /* pages are taken, never given back */

    u_char                          *base;
    ngx_uint_t                       pages;
    ngx_uint_t                       used;

    ngx_http_canary_entry_t        **entries;
    ngx_uint_t                       capacity;
    ngx_uint_t                       nentries;

    void                            *drains[NGX_HTTP_CANARY_DRAIN_PAGES];
};


#if (__GNUC__ >= 4)
#pragma GCC visibility push(hidden)
#endif

/* the mutex is held, or nobody else has the zone yet; NULL: it is full */
void *ngx_http_canary_shm_pages(ngx_http_canary_shctx_t *sh, ngx_uint_t n);

#if (__GNUC__ >= 4)
#pragma GCC visibility pop
#endif


#endif /* _NGX_HTTP_CANARY_LAYOUT_H_INCLUDED_ */
