
/*
 * The shared zone: routing records and counters.  How they lie in it is in
 * ngx_http_canary_layout.h.
 *
 * Nothing here is ever repaired: pages are taken once by a counter that is
 * raised before they are used, a record is published by one store, and no
 * lock but the slab pool's mutex, which nginx recovers, is in the zone.
 */


#ifndef _NGX_HTTP_CANARY_SHM_H_INCLUDED_
#define _NGX_HTTP_CANARY_SHM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


#define NGX_HTTP_CANARY_GROUPS       8      /* of an upstream */
#define NGX_HTTP_CANARY_SLOTS        16     /* group names, over reloads */
#define NGX_HTTP_CANARY_NAME_LEN     63
#define NGX_HTTP_CANARY_SALT_LEN     64
#define NGX_HTTP_CANARY_WHOLE        10000  /* 100.00 % */
#define NGX_HTTP_CANARY_BUCKETS      384
#define NGX_HTTP_CANARY_RULES        16
#define NGX_HTTP_CANARY_RULES_SIZE   16384  /* of their text */
#define NGX_HTTP_CANARY_DRAIN_PAGES  8
#define NGX_HTTP_CANARY_PAGE         4096

#define NGX_HTTP_CANARY_NO_SLOT      NGX_HTTP_CANARY_SLOTS


/* cells of a group: what the weights placed, and what something else did */

#define NGX_HTTP_CANARY_WEIGHTED     0      /* stratum 0 */
#define NGX_HTTP_CANARY_STRATA       4
#define NGX_HTTP_CANARY_PINNED       4
#define NGX_HTTP_CANARY_CELLS        5


typedef enum {
    NGX_HTTP_CANARY_BY_WEIGHT = 0,
    NGX_HTTP_CANARY_BY_FORCE,
    NGX_HTTP_CANARY_BY_LAPSE,
    NGX_HTTP_CANARY_BY_GUARD,
    NGX_HTTP_CANARY_BY_FAILOVER,
    NGX_HTTP_CANARY_BY_RULE,
    NGX_HTTP_CANARY_REASONS
} ngx_http_canary_reason_e;


typedef enum {
    NGX_HTTP_CANARY_FAIL_CONNECT = 0,
    NGX_HTTP_CANARY_FAIL_TIMEOUT,
    NGX_HTTP_CANARY_FAIL_RESET,
    NGX_HTTP_CANARY_FAIL_TRUNCATED,
    NGX_HTTP_CANARY_FAIL_HTTP_5XX,
    NGX_HTTP_CANARY_FAIL_GRPC,
    NGX_HTTP_CANARY_FAIL_NO_LIVE,
    NGX_HTTP_CANARY_FAILURES
} ngx_http_canary_failure_e;


/*
 * The counters of a cell, one shard; workers share it only when there are
 * more of them than shards.  All of them only grow.  It fills a page.
 */

typedef struct {
    ngx_atomic_t                     selections[8];
    ngx_atomic_t                     failures[8];
    ngx_atomic_t                     responses[6];   /* by class, 1xx first */
    ngx_atomic_t                     attempts;
    ngx_atomic_t                     finished;
    ngx_atomic_t                     aborts;
    ngx_atomic_t                     rescued;        /* by failover */

    /* judged: first attempts of requests that chance placed */

    ngx_atomic_t                     requests;
    ngx_atomic_t                     errors;
    ngx_atomic_t                     latency_sum;    /* microseconds */

    ngx_atomic_t                     spare[99];

    ngx_atomic_t                     latency[NGX_HTTP_CANARY_BUCKETS];
} ngx_http_canary_shard_t;


/* when the node by itself stops choosing a group; failures 0: never */

typedef struct {
    uint32_t                         failures;
    uint32_t                         window_ms;
    uint16_t                         ratio;          /* of NGX_.._WHOLE */
    u_char                           slot;
    u_char                           spare;
} ngx_http_canary_guard_t;


typedef struct {
    uint64_t                         revision;       /* 0: none was put */
    uint32_t                         lease_ms;       /* 0: no lease */
    uint16_t                         weights[NGX_HTTP_CANARY_SLOTS];
    u_char                           stable;         /* a slot */
    u_char                           canary;         /* a slot */
    u_char                           keep;           /* on_lapse=keep */
    u_char                           salt_len;
    u_char                           salt[NGX_HTTP_CANARY_SALT_LEN];
    ngx_http_canary_guard_t          guard;
    uint32_t                         rules_len;      /* of their text */
    uint32_t                         spare;
} ngx_http_canary_record_t;


/* what each request reads of an entry, on a line of its own */

typedef struct {
    ngx_atomic_t                     generation;     /* 0: no record */
    ngx_atomic_t                     deadline;       /* of the lease */
    ngx_atomic_t                     tripped;        /* the generation that
                                                        the guard ended */
    ngx_atomic_t                     pad[5];
} ngx_http_canary_head_t;


/* half of the guard's window, of one side */

typedef struct {
    ngx_atomic_t                     generation;     /* of the record */
    ngx_atomic_t                     attempts;
    ngx_atomic_t                     failures;
} ngx_http_canary_side_t;


/* a group may be on neither */

#define NGX_HTTP_CANARY_SIDE_STABLE  0
#define NGX_HTTP_CANARY_SIDE_CANARY  1
#define NGX_HTTP_CANARY_SIDES        2


typedef struct ngx_http_canary_entry_s  ngx_http_canary_entry_t;
typedef struct ngx_http_canary_shctx_s  ngx_http_canary_shctx_t;


typedef struct ngx_http_canary_save_s   ngx_http_canary_save_t;


typedef struct {
    ngx_str_t                        name;
    ngx_str_t                        state;          /* file, may be empty */
    ngx_shm_zone_t                  *shm_zone;
    ngx_slab_pool_t                 *shpool;
    ngx_http_canary_shctx_t         *sh;
    ngx_cycle_t                     *cycle;
    ngx_array_t                      upstreams;
                                      /* of ngx_http_canary_srv_conf_t * */
    u_char                          *file_name;      /* of canary_zone */
    ngx_uint_t                       line;
    ngx_event_t                      event;          /* of the state file */
    ngx_http_canary_save_t          *save;           /* is being written */
    ngx_queue_t                      waiters;        /* for it */
    ngx_event_t                      stay;           /* until then */
#if (NGX_THREADS)
    ngx_thread_pool_t               *thread_pool;
#endif
    ngx_uint_t                       moved;          /* the state file */
    ngx_atomic_uint_t                file;           /* its number */
    ngx_fd_t                         lock;           /* of its writers */
    ngx_atomic_uint_t                unsaved;        /* persisted + 1 when a
                                                        failure was said */
    ngx_uint_t                       shared;         /* with another nginx */
} ngx_http_canary_zone_t;


/* what became of the state file at the start */

typedef enum {
    NGX_HTTP_CANARY_STATE_NONE = 0,         /* there is no state= */
    NGX_HTTP_CANARY_STATE_MISSING,
    NGX_HTTP_CANARY_STATE_UNREADABLE,
    NGX_HTTP_CANARY_STATE_DAMAGED,
    NGX_HTTP_CANARY_STATE_NEWER,
    NGX_HTTP_CANARY_STATE_LOADED,
    NGX_HTTP_CANARY_STATES
} ngx_http_canary_state_e;


/* what the zone as a whole says of itself */

typedef struct {
    uint64_t                         boot;
    ngx_atomic_uint_t                generation;
    ngx_atomic_uint_t                persisted;
    ngx_uint_t                       shards;
    ngx_uint_t                       pages;
    ngx_uint_t                       pages_used;
    ngx_uint_t                       refused;       /* no page was left */
    ngx_uint_t                       state;         /* .._state_e */
    ngx_uint_t                       state_errors;
} ngx_http_canary_zone_info_t;


/* life */

ngx_int_t ngx_http_canary_shm_init_zone(ngx_shm_zone_t *shm_zone, void *data);
void ngx_http_canary_shm_info(ngx_http_canary_zone_t *zone,
    ngx_http_canary_zone_info_t *info);
/* what each upstream takes of the zone, to a log of level debug */
void ngx_http_canary_shm_report(ngx_http_canary_zone_t *zone, ngx_log_t *log);

/* names */

ngx_str_t *ngx_http_canary_shm_name(ngx_http_canary_entry_t *entry,
    ngx_str_t *name);
ngx_str_t *ngx_http_canary_shm_slot_name(ngx_http_canary_entry_t *entry,
    ngx_uint_t slot);
ngx_uint_t ngx_http_canary_shm_slots(ngx_http_canary_entry_t *entry);
ngx_uint_t ngx_http_canary_shm_find_slot(ngx_http_canary_entry_t *entry,
    ngx_str_t *name);

/* records */

/* the generation; text, of NGX_HTTP_CANARY_RULES_SIZE, takes its rules */
ngx_atomic_uint_t ngx_http_canary_shm_read(ngx_http_canary_entry_t *entry,
    ngx_http_canary_record_t *record, u_char *text);
ngx_msec_int_t ngx_http_canary_shm_lease_left(
    ngx_http_canary_entry_t *entry);

/*
 * NGX_OK: published for all workers;  NGX_DONE: it is the present record;
 * NGX_DECLINED: the revision is not above *present;
 * NGX_ERROR: the zone has no room for rules
 */
ngx_int_t ngx_http_canary_shm_put(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_http_canary_record_t *record,
    ngx_str_t *rules, uint64_t *present);

/* NGX_DECLINED: the record has another revision or no lease */
ngx_int_t ngx_http_canary_shm_renew(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, uint64_t revision, uint64_t *present);

/*
 * A failed attempt on the guarded group or on stable, under the record of that
 * generation.  NGX_DONE: this one has tripped the guard.
 */
ngx_int_t ngx_http_canary_shm_guard(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_atomic_uint_t generation,
    ngx_http_canary_guard_t *guard, ngx_uint_t side);

/*
 * The half that is now, in which attempts that go well are counted as long as
 * its generation is theirs, and when it ends.  NGX_DECLINED: the record has
 * another generation, or its guard has tripped.
 */
ngx_int_t ngx_http_canary_shm_half(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_atomic_uint_t generation,
    ngx_http_canary_guard_t *guard, ngx_http_canary_side_t **sides,
    ngx_msec_t *until);

/* counters */

ngx_http_canary_shard_t *ngx_http_canary_shm_shard(
    ngx_http_canary_zone_t *zone, ngx_http_canary_entry_t *entry,
    ngx_uint_t slot, ngx_uint_t cell);

/* NGX_DECLINED: the cell was never used */
ngx_int_t ngx_http_canary_shm_sum(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_uint_t slot, ngx_uint_t cell,
    ngx_http_canary_shard_t *sum);

/* persistence: used by the state file alone */

typedef struct {
    ngx_http_canary_entry_t         *entry;
    ngx_http_canary_record_t         record;
} ngx_http_canary_saved_t;

/* makes room for a group that only the state file names */
ngx_int_t ngx_http_canary_shm_claim_name(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_str_t *name);
void ngx_http_canary_shm_state(ngx_http_canary_zone_t *zone,
    ngx_http_canary_state_e state);
void ngx_http_canary_shm_state_error(ngx_http_canary_zone_t *zone);
void ngx_http_canary_shm_loaded(ngx_http_canary_zone_t *zone);
/* the configuration has another state file, or the same */
void ngx_http_canary_shm_moved(ngx_http_canary_zone_t *zone);
/* false: a later configuration has another one */
ngx_uint_t ngx_http_canary_shm_file(ngx_http_canary_zone_t *zone);
ngx_int_t ngx_http_canary_shm_snapshot(ngx_http_canary_zone_t *zone,
    ngx_pool_t *pool, ngx_array_t *saved, ngx_atomic_uint_t *generation);
ngx_atomic_uint_t ngx_http_canary_shm_latest(ngx_http_canary_zone_t *zone);
ngx_atomic_uint_t ngx_http_canary_shm_persisted(ngx_http_canary_zone_t *zone);
void ngx_http_canary_shm_persist(ngx_http_canary_zone_t *zone,
    ngx_atomic_uint_t generation);

/*
 * Drained servers: pages of their own, NULL from the first that is not used;
 * the mutex is held to take one, and to say that something has changed.
 */

void **ngx_http_canary_shm_drains(ngx_http_canary_zone_t *zone);
void *ngx_http_canary_shm_page(ngx_http_canary_zone_t *zone);
void ngx_http_canary_shm_touch(ngx_http_canary_zone_t *zone);


/* all that a request needs: has the record changed, has its lease run out */

#define ngx_http_canary_shm_generation(entry)                                \
    ((ngx_http_canary_head_t *) (entry))->generation

#define ngx_http_canary_shm_lapsed(entry)                                    \
    ((ngx_msec_int_t) (ngx_current_msec                                      \
                       - ((ngx_http_canary_head_t *) (entry))->deadline)     \
     >= 0)

#define ngx_http_canary_shm_tripped(entry)                                   \
    ((ngx_http_canary_head_t *) (entry))->tripped

#define ngx_http_canary_count(counter, n)                                    \
    (void) ngx_atomic_fetch_add(counter, n)


#endif /* _NGX_HTTP_CANARY_SHM_H_INCLUDED_ */
