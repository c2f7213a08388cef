
/*
 * What the files of the module share.
 */


#ifndef _NGX_HTTP_CANARY_H_INCLUDED_
#define _NGX_HTTP_CANARY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <cjson/cJSON.h>


#define NGX_HTTP_CANARY_VERSION      "0.1.0"


/*
 * Modules are loaded RTLD_GLOBAL: what only our files call must not meet
 * names of others, and needs no way round through the linkage table.
 */

#if (__GNUC__ >= 4)
#pragma GCC visibility push(hidden)
#endif


/* of what each request runs through and something rare calls as well */

#if (__GNUC__ >= 4)
#define ngx_http_canary_inline       inline __attribute__((always_inline))
#else
#define ngx_http_canary_inline       ngx_inline
#endif


/* what is nearly always true, or next to never, and the function for that */

#if (__GNUC__ >= 4)
#define ngx_http_canary_mostly(x)    __builtin_expect((x) != 0, 1)
#define ngx_http_canary_rarely(x)    __builtin_expect((x) != 0, 0)
#define ngx_http_canary_rare         __attribute__((noinline, cold))
#else
#define ngx_http_canary_mostly(x)    (x)
#define ngx_http_canary_rarely(x)    (x)
#define ngx_http_canary_rare
#endif


#include "ngx_http_canary_shm.h"


typedef struct ngx_http_canary_srv_conf_s  ngx_http_canary_srv_conf_t;
typedef struct ngx_http_canary_geoip_s  ngx_http_canary_geoip_t;


typedef struct {
    ngx_str_t                        name;
    ngx_http_upstream_srv_conf_t    *upstream;
    ngx_uint_t                       slot;       /* of the name in the zone */

    /* this worker's counters */

    ngx_http_canary_shard_t         *shards[NGX_HTTP_CANARY_CELLS];
} ngx_http_canary_group_t;


/* a text with variables; most are one variable alone, which costs less */

typedef struct {
    ngx_int_t                        index;      /* NGX_ERROR: it is not */
    ngx_http_complex_value_t         complex;
} ngx_http_canary_value_t;


/*
 * Some of a group's buckets end here, and begin where the part before ends:
 * of four pairs each has two, a gap, and with seven groups at the most eleven
 * pieces that did not fit elsewhere.
 */

#define NGX_HTTP_CANARY_PARTS        25

typedef struct {
    ngx_uint_t                       upto;
    ngx_uint_t                       group;
} ngx_http_canary_part_t;


/* canary_cookie */

typedef struct {
    ngx_str_t                        name;
    ngx_str_t                        domain;
    ngx_str_t                        path;
    ngx_str_t                        samesite;
    ngx_str_t                        attributes; /* but the time */
    time_t                           expires;    /* 0: with the session */
    ngx_uint_t                       secure;
    ngx_uint_t                       httponly;
} ngx_http_canary_cookie_t;


/* a header or a cookie of a rule */

typedef struct {
    ngx_str_t                        name;       /* a header's in lower case */
    ngx_str_t                        value;      /* data NULL: any */
    ngx_uint_t                       hash;       /* of a header's name */
} ngx_http_canary_pair_t;


/* what is NULL is no condition */

typedef struct {
    ngx_array_t                     *country;    /* of uint16_t */
    ngx_array_t                     *continent;  /* of uint16_t */
    ngx_array_t                     *asn;        /* of uint32_t */
    ngx_array_t                     *cidr;       /* of ngx_cidr_t */
    ngx_http_canary_pair_t          *header;
    ngx_http_canary_pair_t          *cookie;

    ngx_uint_t                       cell;       /* PINNED, or a stratum of
                                                    weights of its own */
    ngx_uint_t                       slot;       /* of the group, or a role */
    uint16_t                         weights[NGX_HTTP_CANARY_SLOTS];

    /* in the configuration */

    ngx_uint_t                       group;
    ngx_uint_t                       nparts;
    ngx_http_canary_part_t           parts[NGX_HTTP_CANARY_PARTS];
} ngx_http_canary_rule_t;


#define NGX_HTTP_CANARY_ROLE_STABLE  (NGX_HTTP_CANARY_SLOTS + 1)
#define NGX_HTTP_CANARY_ROLE_CANARY  (NGX_HTTP_CANARY_SLOTS + 2)


typedef struct {
    ngx_uint_t                       nrules;
    ngx_http_canary_rule_t          *rules;
    ngx_str_t                        text;
    ngx_pool_t                      *pool;       /* of their own */
} ngx_http_canary_rules_t;


/* where an address is; 0 is unknown */

typedef struct {
    uint32_t                         asn;
    uint16_t                         country;
    uint16_t                         continent;
} ngx_http_canary_geo_t;

#define ngx_http_canary_code(s)                                              \
    (uint16_t) ((u_char) (s)[0] << 8 | (u_char) (s)[1])


/* a worker's own copy of the record, made anew when the table moves on */

typedef struct {
    ngx_atomic_uint_t                generation; /* 0: the configuration's */
    ngx_http_canary_record_t         record;
    uint64_t                         seed;       /* of the salt */
    ngx_uint_t                       stable;     /* a group, as is canary */
    ngx_uint_t                       canary;

    /*
     * until then the lease holds, and what goes well on a group is counted
     * there for the guard (NULL: it does not watch that one)
     */

    ngx_msec_t                       until;
    ngx_http_canary_side_t          *well[NGX_HTTP_CANARY_GROUPS];
    ngx_uint_t                       guarded;    /* or ngroups: none is */
    ngx_uint_t                       removed;    /* slots in the record that
                                                    the configuration does
                                                    not have, as bits */

    /* all that buckets are in; stable's ends above them */

    ngx_uint_t                       nparts;     /* but for that one */
    ngx_http_canary_part_t           parts[NGX_HTTP_CANARY_PARTS];
    ngx_http_canary_rules_t         *rules;      /* NULL: it has none */
} ngx_http_canary_view_t;


struct ngx_http_canary_srv_conf_s {
    ngx_http_canary_zone_t          *zone;       /* NULL: not ours */
    ngx_http_upstream_srv_conf_t    *upstream;
    ngx_http_canary_entry_t         *entry;
    ngx_int_t                        memo;       /* index of the variable
                                                    that keeps choices */
    ngx_uint_t                       ngroups;
    ngx_http_canary_group_t          groups[NGX_HTTP_CANARY_GROUPS];

    ngx_http_canary_value_t         *key;        /* NULL: the address */
    ngx_http_canary_cookie_t        *cookie;     /* the key, if not NULL */
    ngx_http_canary_value_t         *force;
    ngx_flag_t                       failover;
    ngx_uint_t                       latency_response;
    ngx_uint_t                       judged[NGX_HTTP_CANARY_CELLS];
                                                 /* as a peer's */

    ngx_http_canary_view_t           view;
    ngx_uint_t                       keyed;      /* canary_key was given */
    ngx_uint_t                       by_address; /* neither key nor cookie */
};


/* an upstream, by the name that it has in variables */

typedef struct {
    ngx_str_t                        name;
    ngx_http_canary_srv_conf_t      *conf;
} ngx_http_canary_name_t;


typedef struct {
    ngx_array_t                      zones;
                                         /* of ngx_http_canary_zone_t * */
    ngx_array_t                      upstreams;
                                         /* of ngx_http_canary_srv_conf_t * */
    ngx_array_t                     *geoip;
                                         /* of ngx_http_canary_geoip_t *,
                                            NULL: none */
    ngx_http_canary_name_t          *names;      /* sorted */
} ngx_http_canary_main_conf_t;


#define NGX_HTTP_CANARY_CACHERS      4          /* modules that cache */


/* of a cache or a cache key */

typedef struct {
    u_char                          *file;
    ngx_uint_t                       line;
    ngx_uint_t                       grouped;    /* has the group */
} ngx_http_canary_line_t;


typedef struct {
    ngx_flag_t                       write;
    ngx_array_t                     *bounds;     /* of canary_metrics */

    ngx_http_canary_line_t          *keys[NGX_HTTP_CANARY_CACHERS];
    ngx_http_canary_line_t          *caches[NGX_HTTP_CANARY_CACHERS];
    ngx_http_upstream_srv_conf_t    *warned[NGX_HTTP_CANARY_CACHERS];
} ngx_http_canary_loc_conf_t;


typedef struct ngx_http_canary_choice_s  ngx_http_canary_choice_t;


/* one run of the core's upstream code: attempts on the chosen group */

typedef struct {
    ngx_http_canary_choice_t        *choice;
    ngx_http_request_t              *request;
    ngx_http_canary_shard_t         *shard;      /* where it is counted */

    /* the group's */

    void                            *data;
    ngx_event_get_peer_pt            get;
    ngx_event_free_peer_pt           free;
    ngx_event_notify_peer_pt         notify;

#if (NGX_HTTP_SSL || NGX_COMPAT)
    ngx_event_set_peer_session_pt    set_session;
    ngx_event_save_peer_session_pt   save_session;
#endif

    ngx_int_t                      (*process_header)(ngx_http_request_t *r);

    ngx_uint_t                       judged;     /* the next attempt is, by
                                                    its first byte (1) or its
                                                    last (2) */
    ngx_uint_t                       attempts;

    /* a retry goes to stable; tries as free left them */

    ngx_uint_t                       failover;
    ngx_http_canary_shard_t         *failed;     /* of the group it left */

    /* of the first attempt */

    struct timespec                  answered;   /* tv_sec 0: not timed */
    struct timespec                  started;

    ngx_uint_t                       tries;
} ngx_http_canary_peer_t;


/*
 * The choice of one request and all its parts, for one upstream, with room
 * for the run that nearly all of them are content with.
 */

struct ngx_http_canary_choice_s {
    ngx_http_canary_srv_conf_t      *conf;
    ngx_http_canary_choice_t        *next;
    ngx_atomic_uint_t                generation;
    uint64_t                         revision;
    ngx_http_canary_side_t          *well;       /* or NULL, as in the view */
    ngx_uint_t                       group;
    ngx_uint_t                       served;     /* the group of the last
                                                    attempt */
    ngx_uint_t                       cell;
    ngx_http_canary_reason_e         reason;
    ngx_uint_t                       bucket;     /* or NGX_HTTP_CANARY_WHOLE:
                                                    it was not needed */
    ngx_uint_t                       used;       /* counted as a selection,
                                                    and the peer is taken */
    ngx_http_canary_peer_t           peer;
};


/* conf */

char *ngx_http_canary_set_value(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_canary_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* cache */

ngx_int_t ngx_http_canary_cache_watch(ngx_conf_t *cf);
char *ngx_http_canary_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

/* select */

ngx_int_t ngx_http_canary_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
/* makes a group's handlers run under ours */
ngx_int_t ngx_http_canary_delegate(ngx_http_canary_peer_t *cp,
    ngx_uint_t group, ngx_uint_t cell);
ngx_http_canary_choice_t *ngx_http_canary_choose(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf);
void ngx_http_canary_refresh(ngx_http_canary_srv_conf_t *conf);
ngx_uint_t ngx_http_canary_lapsed(ngx_http_canary_srv_conf_t *conf);
/* the group that the guard keeps from being chosen, or ngroups */
ngx_uint_t ngx_http_canary_tripped(ngx_http_canary_srv_conf_t *conf);
/* where the request's key falls */
ngx_uint_t ngx_http_canary_place(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice);
/*
 * Of weights by slot; how many there are is returned, but for the last, which
 * is stable's and ends above all buckets.
 */
ngx_uint_t ngx_http_canary_make_parts(ngx_http_canary_srv_conf_t *conf,
    uint16_t *weights, ngx_http_canary_part_t *parts);

/* variables */

ngx_int_t ngx_http_canary_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_canary_memo_index(ngx_conf_t *cf);
ngx_int_t ngx_http_canary_check_variables(ngx_conf_t *cf);

/* cookie */

ngx_str_t ngx_http_canary_id(ngx_http_request_t *r,
    ngx_http_canary_cookie_t *cookie);
/* NGX_DECLINED: the request has no such cookie */
ngx_int_t ngx_http_canary_get_cookie(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value);
char *ngx_http_canary_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* geoip */

ngx_http_canary_geo_t *ngx_http_canary_geoip_lookup(ngx_http_request_t *r);
char *ngx_http_canary_geoip(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* upstream: what runs for each attempt */

#define ngx_http_canary_upstream(pc)                                         \
    ((ngx_http_upstream_t *)                                                 \
         ((u_char *) (pc) - offsetof(ngx_http_upstream_t, peer)))

ngx_int_t ngx_http_canary_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
ngx_int_t ngx_http_canary_get_peer(ngx_peer_connection_t *pc, void *data);
void ngx_http_canary_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
void ngx_http_canary_notify_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type);

#if (NGX_HTTP_SSL || NGX_COMPAT)
ngx_int_t ngx_http_canary_set_session(ngx_peer_connection_t *pc, void *data);
void ngx_http_canary_save_session(ngx_peer_connection_t *pc, void *data);
#endif

/* outcome */

typedef enum {
    NGX_HTTP_CANARY_ANSWERED = NGX_HTTP_CANARY_FAILURES,
    NGX_HTTP_CANARY_ABORTED
} ngx_http_canary_outcome_e;

/* a failure, or one of the above */
ngx_uint_t ngx_http_canary_outcome(ngx_http_canary_peer_t *cp,
    ngx_peer_connection_t *pc, ngx_uint_t state);
/* a failed attempt */
void ngx_http_canary_guard(ngx_http_canary_peer_t *cp);

/* record */

typedef struct {
    u_char                           field[64];  /* "": the whole */
    u_char                           detail[200];
} ngx_http_canary_error_t;

/*
 * The text of the rules, in the pool, is empty if there are none; geoip says
 * whether such as need a database may be among them.
 */
ngx_int_t ngx_http_canary_parse_record(cJSON *json, ngx_pool_t *pool,
    ngx_http_canary_entry_t *entry, ngx_uint_t geoip,
    ngx_http_canary_record_t *record, ngx_str_t *rules,
    ngx_http_canary_error_t *error);
ngx_int_t ngx_http_canary_parse_revision(cJSON *json, uint64_t *revision);

ngx_int_t ngx_http_canary_read_weights(cJSON *json,
    ngx_http_canary_entry_t *entry, char *field, uint16_t *weights,
    ngx_http_canary_error_t *error);
ngx_int_t ngx_http_canary_refuse(ngx_http_canary_error_t *error, char *field,
    const char *fmt, ...);

/* rules */

ngx_int_t ngx_http_canary_read_rules(cJSON *json, ngx_pool_t *pool,
    ngx_http_canary_entry_t *entry, ngx_uint_t geoip,
    ngx_http_canary_rules_t *rules, ngx_http_canary_error_t *error);

/* match */

ngx_int_t ngx_http_canary_rules_init(ngx_conf_t *cf,
    ngx_http_canary_main_conf_t *cmcf);
void ngx_http_canary_make_rules(ngx_http_canary_srv_conf_t *conf,
    u_char *text);
void ngx_http_canary_drop_rules(ngx_http_canary_srv_conf_t *conf);
ngx_http_canary_rule_t *ngx_http_canary_match(ngx_http_request_t *r,
    ngx_http_canary_rules_t *rules);

/* output: text that grows in buffers of the request's pool */

typedef struct {
    ngx_pool_t                      *pool;
    ngx_chain_t                     *first;
    ngx_chain_t                     *last;
    off_t                            size;
    ngx_uint_t                       failed;
} ngx_http_canary_out_t;

#define NGX_HTTP_CANARY_PRINT_MAX    1024        /* of one call */

void ngx_http_canary_out_init(ngx_http_canary_out_t *out, ngx_pool_t *pool);
void ngx_http_canary_print(ngx_http_canary_out_t *out, const char *fmt, ...);
void ngx_http_canary_print_string(ngx_http_canary_out_t *out,
    ngx_str_t *value);
void ngx_http_canary_print_weight(ngx_http_canary_out_t *out,
    ngx_uint_t weight);
ngx_int_t ngx_http_canary_send(ngx_http_request_t *r,
    ngx_http_canary_out_t *out, ngx_uint_t status, ngx_str_t *type);

/* state file */

#define NGX_HTTP_CANARY_STATE_MAGIC    "nginx-canary-state "
#define NGX_HTTP_CANARY_STATE_VERSION  1

ngx_int_t ngx_http_canary_state_load(ngx_http_canary_zone_t *zone,
    ngx_pool_t *pool, ngx_log_t *log);
void ngx_http_canary_state_merge(ngx_http_canary_zone_t *zone, ngx_log_t *log);
ngx_int_t ngx_http_canary_state_init_module(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone);
ngx_int_t ngx_http_canary_state_init_process(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone);

ngx_int_t ngx_http_canary_state_print(ngx_http_canary_zone_t *zone,
    ngx_pool_t *pool, ngx_http_canary_out_t *out,
    ngx_atomic_uint_t *generation);
u_char *ngx_http_canary_state_dir(ngx_http_canary_zone_t *zone,
    ngx_pool_t *pool);

/* the saving of it */

ngx_int_t ngx_http_canary_state_thread(ngx_conf_t *cf,
    ngx_http_canary_zone_t *zone);

/* one that waits for the state file; its memory is the caller's */

typedef struct {
    ngx_queue_t                      queue;
    ngx_event_t                      event;       /* set while it waits */
    ngx_atomic_uint_t                generation;
    void                           (*handler)(void *data);
    void                            *data;
} ngx_http_canary_waiter_t;

void ngx_http_canary_state_save(ngx_http_canary_zone_t *zone);
ngx_int_t ngx_http_canary_state_wait(ngx_http_canary_zone_t *zone,
    ngx_http_canary_waiter_t *waiter);
void ngx_http_canary_state_forget(ngx_http_canary_waiter_t *waiter);
void ngx_http_canary_state_drop(ngx_http_canary_zone_t *zone);

/* an answer that is made step by step; it lives in the request's pool */

typedef struct ngx_http_canary_task_s  ngx_http_canary_task_t;

struct ngx_http_canary_task_s {
    ngx_http_canary_out_t            out;
    ngx_http_request_t              *request;

    /* prints some; NGX_AGAIN: there is more, NGX_OK: that was all */
    ngx_int_t                      (*step)(ngx_http_canary_task_t *task);
    void                            *data;       /* of the step, as these */
    ngx_uint_t                       major;
    ngx_uint_t                       minor;

    ngx_str_t                       *type;
    ngx_event_t                      event;
};

ngx_int_t ngx_http_canary_run_task(ngx_http_request_t *r,
    ngx_http_canary_task_t *task, ngx_str_t *type);

/* errors as application/problem+json */

ngx_int_t ngx_http_canary_problem(ngx_http_request_t *r, ngx_uint_t status,
    char *field, char *detail);
ngx_int_t ngx_http_canary_conflict(ngx_http_request_t *r, uint64_t revision,
    char *field, char *detail);
ngx_int_t ngx_http_canary_not_allowed(ngx_http_request_t *r, char *methods);
void ngx_http_canary_print_raw(ngx_http_canary_out_t *out, ngx_str_t *value);

void ngx_http_canary_print_record(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, ngx_http_canary_record_t *record,
    ngx_str_t *rules);
void ngx_http_canary_print_weights(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, uint16_t *weights);
void ngx_http_canary_print_rules(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, ngx_http_canary_rules_t *rules);

void ngx_http_canary_print_head(ngx_http_canary_out_t *out,
    ngx_http_canary_zone_t *zone);
void ngx_http_canary_print_upstream(ngx_http_canary_out_t *out,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters);

/* drained servers */

ngx_http_upstream_rr_peers_t *ngx_http_canary_drain_peers(
    ngx_http_upstream_srv_conf_t *us);
ngx_int_t ngx_http_canary_drain(ngx_http_canary_main_conf_t *cmcf,
    ngx_http_canary_zone_t *zone, ngx_http_canary_group_t *group,
    ngx_str_t *addr, ngx_uint_t drain);
void ngx_http_canary_drain_apply(ngx_http_canary_zone_t *zone, ngx_log_t *log,
    ngx_uint_t forget);
ngx_uint_t ngx_http_canary_drain_count(ngx_http_canary_zone_t *zone);
void ngx_http_canary_print_servers(ngx_http_canary_out_t *out,
    ngx_http_upstream_rr_peers_t *peers, ngx_str_t *addr);
void ngx_http_canary_drain_save(ngx_http_canary_zone_t *zone,
    ngx_http_canary_out_t *out);
void ngx_http_canary_drain_load(ngx_http_canary_zone_t *zone, cJSON *json,
    ngx_log_t *log);

/* handlers */

ngx_int_t ngx_http_canary_api_handler(ngx_http_request_t *r);
char *ngx_http_canary_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


extern ngx_str_t  ngx_http_canary_reasons[];
extern ngx_str_t  ngx_http_canary_failures[];

#if (__GNUC__ >= 4)
#pragma GCC visibility pop
#endif

extern ngx_module_t  ngx_http_canary_module;


#endif /* _NGX_HTTP_CANARY_H_INCLUDED_ */
