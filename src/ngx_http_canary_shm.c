
/*
 * The life of the zone, the names and the counters in it.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_layout.h"


static ngx_int_t ngx_http_canary_shm_create(ngx_http_canary_zone_t *zone);
static ngx_int_t ngx_http_canary_shm_claim(ngx_http_canary_zone_t *zone);
static ngx_int_t ngx_http_canary_shm_claim_entry(ngx_http_canary_zone_t *zone,
    ngx_http_canary_srv_conf_t *conf);
static ngx_uint_t ngx_http_canary_shm_add_slot(
    ngx_http_canary_entry_t *entry, ngx_str_t *name);
static size_t ngx_http_canary_shm_need(ngx_http_canary_zone_t *zone,
    ngx_uint_t shards);
static ngx_int_t ngx_http_canary_shm_small(ngx_http_canary_zone_t *zone);
static uint64_t ngx_http_canary_shm_boot(ngx_http_canary_shctx_t *sh);


ngx_int_t
ngx_http_canary_shm_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_canary_zone_t  *ozone = data;

    ngx_int_t                rc;
    ngx_http_canary_zone_t  *zone;

    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (ozone) {

        /* a reload: old workers are using it, and it may yet fail */

        zone->sh = ozone->sh;

        zone->moved = zone->state.len
                      && (zone->state.len != ozone->state.len
                          || ngx_memcmp(zone->state.data, ozone->state.data,
                                        zone->state.len) != 0);

        if (zone->sh->magic != NGX_HTTP_CANARY_MAGIC
            || zone->sh->layout != NGX_HTTP_CANARY_LAYOUT)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "canary_zone \"%V\" was made by another version "
                          "of the module, restart nginx", &zone->name);
            return NGX_ERROR;
        }

    } else if (shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;

    } else {
        rc = ngx_http_canary_shm_create(zone);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    rc = ngx_http_canary_shm_claim(zone);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc == NGX_DECLINED) {
        return ngx_http_canary_shm_small(zone);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_log_debug5(NGX_LOG_DEBUG_CORE, shm_zone->shm.log, 0,
                   "canary_zone \"%V\": %uz bytes an upstream, %uz a group "
                   "and kind of placement, %ui of %ui pages taken",
                   &zone->name,
                   (size_t) ngx_align(sizeof(ngx_http_canary_entry_t),
                                      NGX_HTTP_CANARY_PAGE),
                   sizeof(ngx_http_canary_shard_t) * zone->sh->shards,
                   zone->sh->used, zone->sh->pages);

    if (ozone == NULL && zone->state.len) {

        /* nobody else has this memory yet */

        return ngx_http_canary_state_load(zone, zone->cycle->pool,
                                          shm_zone->shm.log);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_shm_create(ngx_http_canary_zone_t *zone)
{
    size_t                    len;
    ngx_uint_t                n;
    ngx_core_conf_t          *ccf;
    ngx_slab_pool_t          *shpool;
    ngx_http_canary_shctx_t  *sh;

    shpool = zone->shpool;

    len = sizeof(" in canary_zone \"\"") + zone->name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return ngx_http_canary_shm_small(zone);
    }

    ngx_sprintf(shpool->log_ctx, " in canary_zone \"%V\"%Z", &zone->name);

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_canary_shctx_t));
    if (sh == NULL) {
        return ngx_http_canary_shm_small(zone);
    }

    /*
     * a shard for each worker, fixed for the life of the zone: with more
     * workers after a reload they share, which costs time and nothing else
     */

    ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                           ngx_core_module);

    for (n = 1; n < NGX_HTTP_CANARY_MAX_SHARDS; n <<= 1) {
        if ((ngx_int_t) n >= ccf->worker_processes) {
            break;
        }
    }

    sh->shards = n;

    /* all that is left, in one piece: the slab is never asked again */

    sh->pages = shpool->pfree * ngx_pagesize / NGX_HTTP_CANARY_PAGE;

    sh->base = ngx_slab_alloc(shpool, shpool->pfree * ngx_pagesize);
    if (sh->base == NULL) {
        return ngx_http_canary_shm_small(zone);
    }

    sh->capacity = sh->pages / 3;

    n = ngx_align(sh->capacity * sizeof(void *), NGX_HTTP_CANARY_PAGE)
        / NGX_HTTP_CANARY_PAGE;

    sh->entries = ngx_http_canary_shm_pages(sh, n);
    if (sh->entries == NULL) {
        return ngx_http_canary_shm_small(zone);
    }

    sh->boot = ngx_http_canary_shm_boot(sh);
    sh->magic = NGX_HTTP_CANARY_MAGIC;
    sh->layout = NGX_HTTP_CANARY_LAYOUT;

    zone->sh = sh;
    shpool->data = sh;

    return NGX_OK;
}


/*
 * Gives each upstream of the configuration its entry, by name.  The mutex is
 * held.  A name that is new appears as a whole or not at all, and changes
 * nothing for those who serve already.
 */

static ngx_int_t
ngx_http_canary_shm_claim(ngx_http_canary_zone_t *zone)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **confs;

    confs = zone->upstreams.elts;

    for (i = 0; i < zone->upstreams.nelts; i++) {

        rc = ngx_http_canary_shm_claim_entry(zone, confs[i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_shm_claim_entry(ngx_http_canary_zone_t *zone,
    ngx_http_canary_srv_conf_t *conf)
{
    ngx_str_t                *name;
    ngx_uint_t                i, n, slot;
    ngx_http_canary_entry_t  *entry;
    ngx_http_canary_shctx_t  *sh;
    ngx_http_canary_shard_t  *shards;

    sh = zone->sh;
    name = &conf->upstream->host;

    for (i = 0; i < sh->nentries; i++) {
        entry = sh->entries[i];

        if (entry->len == name->len
            && ngx_memcmp(entry->name, name->data, name->len) == 0)
        {
            goto found;
        }
    }

    if (sh->nentries == sh->capacity) {
        return NGX_DECLINED;
    }

    n = ngx_align(sizeof(ngx_http_canary_entry_t) + name->len,
                  NGX_HTTP_CANARY_PAGE)
        / NGX_HTTP_CANARY_PAGE;

    entry = ngx_http_canary_shm_pages(sh, n);
    if (entry == NULL) {
        return NGX_DECLINED;
    }

    entry->len = name->len;
    ngx_memcpy(entry->name, name->data, name->len);

    sh->entries[sh->nentries] = entry;

    ngx_memory_barrier();

    sh->nentries++;

found:

    for (i = 0; i < conf->ngroups; i++) {
        name = &conf->groups[i].name;
        slot = ngx_http_canary_shm_find_slot(entry, name);

        if (slot == NGX_HTTP_CANARY_NO_SLOT) {

            slot = ngx_http_canary_shm_add_slot(entry, name);

            if (slot == NGX_HTTP_CANARY_NO_SLOT) {
                ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                              "canary upstream \"%V\" had %d different groups "
                              "since nginx started, restart it to add \"%V\"",
                              &conf->upstream->host, NGX_HTTP_CANARY_SLOTS,
                              name);
                return NGX_ERROR;
            }
        }

        if (entry->cells[slot][NGX_HTTP_CANARY_WEIGHTED] == NULL) {

            shards = ngx_http_canary_shm_pages(sh, sh->shards);
            if (shards == NULL) {
                return NGX_DECLINED;
            }

            ngx_memory_barrier();

            entry->cells[slot][NGX_HTTP_CANARY_WEIGHTED] = shards;
        }

        conf->groups[i].slot = slot;
    }

    conf->entry = entry;

    return NGX_OK;
}


/* the mutex is held; the name is there as a whole before its slot is */

static ngx_uint_t
ngx_http_canary_shm_add_slot(ngx_http_canary_entry_t *entry, ngx_str_t *name)
{
    ngx_uint_t               slot;
    ngx_http_canary_text_t  *bytes;

    slot = entry->nslots;

    if (slot == NGX_HTTP_CANARY_SLOTS) {
        return NGX_HTTP_CANARY_NO_SLOT;
    }

    bytes = &entry->bytes[slot];
    bytes->len = (u_char) name->len;
    ngx_memcpy(bytes->data, name->data, name->len);

    entry->names[slot].len = name->len;
    entry->names[slot].data = bytes->data;

    ngx_memory_barrier();

    entry->nslots = slot + 1;

    return slot;
}


ngx_int_t
ngx_http_canary_shm_claim_name(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_str_t *name)
{
    ngx_int_t  rc;

    if (name->len == 0 || name->len > NGX_HTTP_CANARY_NAME_LEN) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (ngx_http_canary_shm_find_slot(entry, name) == NGX_HTTP_CANARY_NO_SLOT
        && ngx_http_canary_shm_add_slot(entry, name)
           == NGX_HTTP_CANARY_NO_SLOT)
    {
        rc = NGX_ERROR;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


/* bytes for all upstreams of the configuration, pinned cells included */

static size_t
ngx_http_canary_shm_need(ngx_http_canary_zone_t *zone, ngx_uint_t shards)
{
    size_t                        pages;
    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **confs;

    confs = zone->upstreams.elts;
    pages = 0;

    for (i = 0; i < zone->upstreams.nelts; i++) {
        pages += 1 + 2 * confs[i]->ngroups * shards;
        pages += (sizeof(ngx_http_canary_entry_t)
                  + confs[i]->upstream->host.len) / NGX_HTTP_CANARY_PAGE;
    }

    /* the directory, the slab's own first pages, its word for each page */

    pages += pages / 64 + 8;

    return ngx_align(pages * NGX_HTTP_CANARY_PAGE, 32 * 1024);
}


static ngx_int_t
ngx_http_canary_shm_small(ngx_http_canary_zone_t *zone)
{
    ngx_uint_t        n;
    ngx_core_conf_t  *ccf;

    if (zone->sh) {
        n = zone->sh->shards;

    } else {
        ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                               ngx_core_module);

        for (n = 1; (ngx_int_t) n < ccf->worker_processes; n <<= 1) {
            /* void */
        }
    }

    ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                  "canary_zone \"%V\" of %uzk is too small: %ui canary "
                  "upstreams and %ui counter shards need %uzk in %s:%ui",
                  &zone->name, zone->shm_zone->shm.size / 1024,
                  zone->upstreams.nelts, n,
                  ngx_http_canary_shm_need(zone, n) / 1024,
                  zone->file_name, zone->line);

    return NGX_ERROR;
}


/* the mutex is held, or nobody else has the zone yet; fresh pages are zero */

void *
ngx_http_canary_shm_pages(ngx_http_canary_shctx_t *sh, ngx_uint_t n)
{
    u_char  *p;

    if (n > sh->pages - sh->used) {
        (void) ngx_atomic_fetch_add(&sh->refused, 1);
        return NULL;
    }

    p = sh->base + sh->used * NGX_HTTP_CANARY_PAGE;

    /* taken first: who is killed here loses pages and shares none */

    sh->used += n;

    ngx_memory_barrier();

    ngx_memzero(p, n * NGX_HTTP_CANARY_PAGE);

    return p;
}


static uint64_t
ngx_http_canary_shm_boot(ngx_http_canary_shctx_t *sh)
{
    uint64_t         h;
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    h = (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
    h ^= (uint64_t) ngx_pid << 40;
    h ^= (uintptr_t) sh;

    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
    h = (h ^ (h >> 27)) * 0x94d049bb133111eb;

    return h ^ (h >> 31);
}


void
ngx_http_canary_shm_info(ngx_http_canary_zone_t *zone,
    ngx_http_canary_zone_info_t *info)
{
    info->boot = zone->sh->boot;
    info->generation = zone->sh->generation;
    info->persisted = zone->sh->persisted;
    info->shards = zone->sh->shards;
    info->pages = zone->sh->pages;
    info->pages_used = zone->sh->used;
    info->refused = zone->sh->refused;
    info->state = zone->sh->state;
    info->state_errors = zone->sh->state_errors;
}


void
ngx_http_canary_shm_report(ngx_http_canary_zone_t *zone, ngx_log_t *log)
{
    ngx_uint_t                    i;
    ngx_http_canary_shctx_t      *sh;
    ngx_http_canary_srv_conf_t  **confs;

    if (log->log_level < NGX_LOG_DEBUG) {
        return;
    }

    sh = zone->sh;
    confs = zone->upstreams.elts;

    for (i = 0; i < zone->upstreams.nelts; i++) {
        ngx_log_error(NGX_LOG_DEBUG, log, 0,
                      "canary upstream \"%V\" takes %uz bytes and, for each "
                      "of its %ui groups, %uz for requests placed by weight "
                      "and as many for pinned ones (%ui shards)",
                      &confs[i]->upstream->host,
                      (size_t) ngx_align(sizeof(ngx_http_canary_entry_t)
                                         + confs[i]->entry->len,
                                         NGX_HTTP_CANARY_PAGE),
                      confs[i]->ngroups,
                      (size_t) sh->shards * NGX_HTTP_CANARY_PAGE,
                      sh->shards);
    }

    ngx_log_error(NGX_LOG_DEBUG, log, 0,
                  "canary_zone \"%V\" has %uz bytes, of which %uz are taken",
                  &zone->name, (size_t) sh->pages * NGX_HTTP_CANARY_PAGE,
                  (size_t) sh->used * NGX_HTTP_CANARY_PAGE);
}


void **
ngx_http_canary_shm_drains(ngx_http_canary_zone_t *zone)
{
    return zone->sh->drains;
}


void *
ngx_http_canary_shm_page(ngx_http_canary_zone_t *zone)
{
    return ngx_http_canary_shm_pages(zone->sh, 1);
}


void
ngx_http_canary_shm_touch(ngx_http_canary_zone_t *zone)
{
    zone->sh->generation++;
}


void
ngx_http_canary_shm_state(ngx_http_canary_zone_t *zone,
    ngx_http_canary_state_e state)
{
    zone->sh->state = state;
}


void
ngx_http_canary_shm_state_error(ngx_http_canary_zone_t *zone)
{
    (void) ngx_atomic_fetch_add(&zone->sh->state_errors, 1);
}


ngx_str_t *
ngx_http_canary_shm_name(ngx_http_canary_entry_t *entry, ngx_str_t *name)
{
    name->len = entry->len;
    name->data = entry->name;

    return name;
}


ngx_str_t *
ngx_http_canary_shm_slot_name(ngx_http_canary_entry_t *entry, ngx_uint_t slot)
{
    return &entry->names[slot];
}


ngx_uint_t
ngx_http_canary_shm_slots(ngx_http_canary_entry_t *entry)
{
    return entry->nslots;
}


ngx_uint_t
ngx_http_canary_shm_find_slot(ngx_http_canary_entry_t *entry, ngx_str_t *name)
{
    ngx_uint_t  i, n;

    n = entry->nslots;

    for (i = 0; i < n; i++) {
        if (entry->names[i].len == name->len
            && ngx_memcmp(entry->names[i].data, name->data, name->len) == 0)
        {
            return i;
        }
    }

    return NGX_HTTP_CANARY_NO_SLOT;
}


ngx_http_canary_shard_t *
ngx_http_canary_shm_shard(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_uint_t slot, ngx_uint_t cell)
{
    ngx_http_canary_shard_t  *shards;

    shards = entry->cells[slot][cell];

    if (shards == NULL) {

        ngx_shmtx_lock(&zone->shpool->mutex);

        shards = entry->cells[slot][cell];

        if (shards == NULL) {
            shards = ngx_http_canary_shm_pages(zone->sh, zone->sh->shards);

            ngx_memory_barrier();

            entry->cells[slot][cell] = shards;
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (shards == NULL) {
            return NULL;
        }
    }

    return &shards[ngx_worker & (zone->sh->shards - 1)];
}


/*
 * Counters are raised in the order requests, errors, latency and attempts,
 * finished; they are read the other way round, so that a part never exceeds
 * its whole.
 */

ngx_int_t
ngx_http_canary_shm_sum(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, ngx_uint_t slot, ngx_uint_t cell,
    ngx_http_canary_shard_t *sum)
{
    ngx_uint_t                i, n;
    ngx_http_canary_shard_t  *shard;

    shard = entry->cells[slot][cell];

    if (shard == NULL) {
        return NGX_DECLINED;
    }

    ngx_memzero(sum, sizeof(ngx_http_canary_shard_t));

    for (n = 0; n < zone->sh->shards; n++, shard++) {

        for (i = 0; i < NGX_HTTP_CANARY_BUCKETS; i++) {
            sum->latency[i] += shard->latency[i];
        }

        sum->latency_sum += shard->latency_sum;
        sum->errors += shard->errors;
        sum->finished += shard->finished;
        sum->aborts += shard->aborts;
        sum->rescued += shard->rescued;

        for (i = 0; i < NGX_HTTP_CANARY_FAILURES; i++) {
            sum->failures[i] += shard->failures[i];
        }

        for (i = 0; i < 5; i++) {
            sum->responses[i] += shard->responses[i];
        }

        ngx_memory_barrier();

        sum->requests += shard->requests;
        sum->attempts += shard->attempts;

        for (i = 0; i < NGX_HTTP_CANARY_REASONS; i++) {
            sum->selections[i] += shard->selections[i];
        }
    }

    return NGX_OK;
}
