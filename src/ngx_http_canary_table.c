
/*
 * Records: published by one store, read without a lock; their lease, their
 * guard, and what the state file needs.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_layout.h"


#define ngx_http_canary_shm_rules(entry, generation)                         \
    ((entry)->rules + ((generation) & 1) * NGX_HTTP_CANARY_RULES_SIZE)


static ngx_http_canary_side_t *ngx_http_canary_shm_window(
    ngx_http_canary_entry_t *entry, ngx_atomic_uint_t generation,
    ngx_msec_t length);


ngx_msec_int_t
ngx_http_canary_shm_lease_left(ngx_http_canary_entry_t *entry)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (entry->head.deadline - ngx_current_msec);

    return ngx_max(left, 0);
}


ngx_atomic_uint_t
ngx_http_canary_shm_read(ngx_http_canary_entry_t *entry,
    ngx_http_canary_record_t *record, u_char *text)
{
    ngx_atomic_uint_t  generation;

    for ( ;; ) {
        generation = entry->head.generation;

        if (generation == 0) {
            return 0;
        }

        ngx_memory_barrier();

        ngx_memcpy(record, &entry->slot[generation & 1],
                   sizeof(ngx_http_canary_record_t));

        /* a length that is being written is found out below */

        if (record->rules_len && entry->rules
            && record->rules_len <= NGX_HTTP_CANARY_RULES_SIZE)
        {
            ngx_memcpy(text, ngx_http_canary_shm_rules(entry, generation),
                       record->rules_len);
        }

        ngx_memory_barrier();

        /* the slot is overwritten only after one more generation */

        if (entry->head.generation == generation) {
            return generation;
        }
    }
}


ngx_int_t
ngx_http_canary_shm_put(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_http_canary_record_t *record,
    ngx_str_t *rules, uint64_t *present)
{
    u_char                    *pages;
    ngx_int_t                  rc;
    ngx_atomic_uint_t          generation;
    ngx_http_canary_record_t  *old;

    ngx_shmtx_lock(&zone->shpool->mutex);

    generation = entry->head.generation;
    old = &entry->slot[generation & 1];

    *present = generation ? old->revision : 0;

    if (record->revision <= *present) {

        rc = (generation
              && ngx_memcmp(record, old, sizeof(ngx_http_canary_record_t))
                 == 0
              && (rules->len == 0
                  || ngx_memcmp(rules->data,
                                ngx_http_canary_shm_rules(entry, generation),
                                rules->len)
                     == 0))
             ? NGX_DONE : NGX_DECLINED;

        goto done;
    }

    if (rules->len && entry->rules == NULL) {
        pages = ngx_http_canary_shm_pages(zone->sh,
                                          2 * NGX_HTTP_CANARY_RULES_SIZE
                                          / NGX_HTTP_CANARY_PAGE);
        if (pages == NULL) {
            rc = NGX_ERROR;
            goto done;
        }

        entry->rules = pages;
    }

    /* before the record: if we die here, the file is written once too often */

    zone->sh->generation++;

    if (record->lease_ms) {

        /*
         * before the record too, which must not be seen lapsed; at the worst
         * it lengthens the lease of the one that it replaces
         */

        entry->head.deadline = ngx_current_msec + record->lease_ms;
    }

    ngx_memcpy(&entry->slot[(generation + 1) & 1], record,
               sizeof(ngx_http_canary_record_t));

    if (rules->len) {
        ngx_memcpy(ngx_http_canary_shm_rules(entry, generation + 1),
                   rules->data, rules->len);
    }

    ngx_memory_barrier();

    entry->head.generation = generation + 1;

    rc = NGX_OK;

done:

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_http_canary_shm_renew(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, uint64_t revision, uint64_t *present)
{
    ngx_int_t                  rc;
    ngx_http_canary_record_t  *record;

    ngx_shmtx_lock(&zone->shpool->mutex);

    record = &entry->slot[entry->head.generation & 1];

    *present = entry->head.generation ? record->revision : 0;

    if (*present == revision && *present && record->lease_ms) {
        entry->head.deadline = ngx_current_msec + record->lease_ms;
        rc = NGX_OK;

    } else {
        rc = NGX_DECLINED;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


/*
 * Failures are counted under the mutex, which makes the one that trips exact:
 * there are few of them, or there is nothing more important.
 */

ngx_int_t
ngx_http_canary_shm_guard(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_atomic_uint_t generation,
    ngx_http_canary_guard_t *guard, ngx_uint_t side)
{
    uint64_t                 attempts[NGX_HTTP_CANARY_SIDES];
    uint64_t                 failures[NGX_HTTP_CANARY_SIDES];
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_http_canary_side_t  *w;

    rc = NGX_OK;

    ngx_shmtx_lock(&zone->shpool->mutex);

    w = ngx_http_canary_shm_window(entry, generation, guard->window_ms / 2);

    if (w == NULL) {
        goto done;
    }

    ngx_http_canary_count(&w[side].attempts, 1);
    ngx_http_canary_count(&w[side].failures, 1);

    for (i = 0; i < NGX_HTTP_CANARY_SIDES; i++) {
        attempts[i] = entry->window[0][i].attempts
                      + entry->window[1][i].attempts;
        failures[i] = entry->window[0][i].failures
                      + entry->window[1][i].failures;
    }

    /* stable does clearly better: at most half the canary's share fails */

    if (failures[1] >= guard->failures
        && failures[1] * NGX_HTTP_CANARY_WHOLE >= attempts[1] * guard->ratio
        && 2 * failures[0] * attempts[1] <= failures[1] * attempts[0])
    {
        entry->head.tripped = generation;
        rc = NGX_DONE;
    }

done:

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_http_canary_shm_half(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_atomic_uint_t generation,
    ngx_http_canary_guard_t *guard, ngx_http_canary_side_t **sides,
    ngx_msec_t *until)
{
    ngx_http_canary_side_t  *w;

    ngx_shmtx_lock(&zone->shpool->mutex);

    w = ngx_http_canary_shm_window(entry, generation, guard->window_ms / 2);

    if (w) {
        *sides = w;
        *until = (entry->half + 1) * (guard->window_ms / 2);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return w ? NGX_OK : NGX_DECLINED;
}


/*
 * The half that is now, made anew where time or the record has moved on; the
 * mutex is held.  NULL: of a record that is gone, or nothing is left to be
 * done.  A worker whose clock is behind counts for the half that is now.
 */

static ngx_http_canary_side_t *
ngx_http_canary_shm_window(ngx_http_canary_entry_t *entry,
    ngx_atomic_uint_t generation, ngx_msec_t length)
{
    ngx_uint_t         i, n;
    ngx_atomic_uint_t  half;

    if (entry->head.generation != generation
        || entry->head.tripped == generation)
    {
        return NULL;
    }

    half = ngx_current_msec / length;

    if (entry->guarded != generation
        || (ngx_atomic_int_t) (half - entry->half) > 1)
    {
        n = 2;

    } else if ((ngx_atomic_int_t) (half - entry->half) == 1) {
        n = 1;

    } else {
        n = 0;
    }

    if (n) {
        entry->guarded = generation;
        entry->half = half;
    }

    half = entry->half;

    for ( /* void */ ; n; n--, half++) {

        ngx_memzero(entry->window[half & 1], sizeof(entry->window[0]));

        ngx_memory_barrier();

        for (i = 0; i < NGX_HTTP_CANARY_SIDES; i++) {
            entry->window[half & 1][i].generation = generation;
        }
    }

    return entry->window[entry->half & 1];
}


void
ngx_http_canary_shm_loaded(ngx_http_canary_zone_t *zone)
{
    zone->sh->persisted = zone->sh->generation;
}


/* the new file has nothing yet; what old workers still write is the old one */

void
ngx_http_canary_shm_moved(ngx_http_canary_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->moved) {
        zone->sh->file++;
        zone->sh->generation++;
    }

    zone->file = zone->sh->file;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_uint_t
ngx_http_canary_shm_file(ngx_http_canary_zone_t *zone)
{
    return zone->file == zone->sh->file;
}


ngx_int_t
ngx_http_canary_shm_snapshot(ngx_http_canary_zone_t *zone, ngx_pool_t *pool,
    ngx_array_t *saved, ngx_atomic_uint_t *generation)
{
    ngx_uint_t                 i, n;
    ngx_http_canary_entry_t   *entry;
    ngx_http_canary_saved_t   *s;
    ngx_http_canary_shctx_t   *sh;

    sh = zone->sh;
    n = sh->nentries;

    if (ngx_array_init(saved, pool, n ? n : 1,
                       sizeof(ngx_http_canary_saved_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    *generation = sh->generation;

    for (i = 0; i < n; i++) {
        entry = sh->entries[i];

        if (entry->head.generation == 0) {
            continue;
        }

        s = ngx_array_push(saved);

        s->entry = entry;
        s->record = entry->slot[entry->head.generation & 1];
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return NGX_OK;
}


ngx_atomic_uint_t
ngx_http_canary_shm_latest(ngx_http_canary_zone_t *zone)
{
    return zone->sh->generation;
}


ngx_atomic_uint_t
ngx_http_canary_shm_persisted(ngx_http_canary_zone_t *zone)
{
    return zone->sh->persisted;
}


void
ngx_http_canary_shm_persist(ngx_http_canary_zone_t *zone,
    ngx_atomic_uint_t generation)
{
    zone->sh->persisted = generation;
}
