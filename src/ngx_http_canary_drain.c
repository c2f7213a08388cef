
/*
 * Drained servers: they get no new request, while those that they have go on.
 *
 * nginx asks of "down" only whether it is zero, and the configuration sets it
 * to 1: a bit of our own in it tells a drained server from one that is down
 * by configuration.  The bit is set under the group's own lock; nothing else
 * of a peer is touched.  What is drained is remembered in our zone by group
 * and address, since a group's zone is made anew at each reload.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_compat.h"


#define NGX_HTTP_CANARY_DRAINED      0x100       /* in peer->down */
#define NGX_HTTP_CANARY_ADDR_LEN     119


typedef struct {
    ngx_atomic_t                     used;
    u_char                           group_len;
    u_char                           addr_len;
    u_char                           group[NGX_HTTP_CANARY_NAME_LEN];
    u_char                           addr[NGX_HTTP_CANARY_ADDR_LEN];
} ngx_http_canary_drained_t;


/*
 * A list from which nothing is ever taken may be read without its lock.  It
 * is a lock that nobody recovers if a worker is killed, so the less the better.
 */

#define ngx_http_canary_drain_rlock(peers)                                   \
    if (ngx_http_canary_resolves(peers)) {                                   \
        ngx_http_upstream_rr_peers_rlock((peers));                           \
    }

#define ngx_http_canary_drain_unlock(peers)                                  \
    if (ngx_http_canary_resolves(peers)) {                                   \
        ngx_http_upstream_rr_peers_unlock((peers));                          \
    }

#define ngx_http_canary_drain_at(peer, addr)                                 \
    ((peer)->name.len == (addr)->len                                         \
     && ngx_memcmp((peer)->name.data, (addr)->data, (addr)->len) == 0)


#define NGX_HTTP_CANARY_PAGE_DRAINS                                          \
    (NGX_HTTP_CANARY_PAGE / sizeof(ngx_http_canary_drained_t))


static ngx_int_t ngx_http_canary_drain_remember(ngx_http_canary_zone_t *zone,
    ngx_str_t *group, ngx_str_t *addr);
static ngx_uint_t ngx_http_canary_drain_forget(ngx_http_canary_zone_t *zone,
    ngx_str_t *group, ngx_str_t *addr);
static ngx_http_canary_drained_t *ngx_http_canary_drain_next(
    ngx_http_canary_zone_t *zone, ngx_uint_t *n);
static ngx_uint_t ngx_http_canary_drain_is(ngx_http_canary_drained_t *d,
    ngx_str_t *group, ngx_str_t *addr);
static ngx_http_upstream_srv_conf_t *ngx_http_canary_drain_group(
    ngx_http_canary_zone_t *zone, ngx_str_t *group);
static ngx_uint_t ngx_http_canary_drain_mark(
    ngx_http_upstream_rr_peers_t *peers, ngx_str_t *addr, ngx_uint_t drain);


/* NULL: each worker has the servers for itself */

ngx_http_upstream_rr_peers_t *
ngx_http_canary_drain_peers(ngx_http_upstream_srv_conf_t *us)
{
#if (NGX_HTTP_UPSTREAM_ZONE)

    if (us->srv_conf && us->shm_zone) {
        return us->peer.data;
    }

#endif

    return NULL;
}


/*
 * NGX_DECLINED: the group has no such server;  NGX_BUSY: there is no room to
 * remember it
 */

ngx_int_t
ngx_http_canary_drain(ngx_http_canary_main_conf_t *cmcf,
    ngx_http_canary_zone_t *zone, ngx_http_canary_group_t *group,
    ngx_str_t *addr, ngx_uint_t drain)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, found;
    ngx_http_canary_zone_t       **zones;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers, *p;

    peers = ngx_http_canary_drain_peers(group->upstream);
    found = 0;

    for (p = peers; p && !found; p = p->next) {

        ngx_http_canary_drain_rlock(p);

        for (peer = p->peer; peer; peer = peer->next) {
            if (ngx_http_canary_drain_at(peer, addr)) {
                found = 1;
                break;
            }
        }

        ngx_http_canary_drain_unlock(p);
    }

    if (!found || addr->len > NGX_HTTP_CANARY_ADDR_LEN) {
        return NGX_DECLINED;
    }

    /* what is remembered is made true each second, so it comes first */

    if (drain) {
        rc = ngx_http_canary_drain_remember(zone, &group->name, addr);

        if (rc != NGX_OK) {
            return rc;
        }

    } else {

        /* a group may belong to upstreams of several zones */

        zones = cmcf->zones.elts;

        for (i = 0; i < cmcf->zones.nelts; i++) {
            (void) ngx_http_canary_drain_forget(zones[i], &group->name, addr);
        }
    }

    (void) ngx_http_canary_drain_mark(peers, addr, drain);

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_drain_remember(ngx_http_canary_zone_t *zone, ngx_str_t *group,
    ngx_str_t *addr)
{
    void                       **pages;
    ngx_int_t                    rc;
    ngx_uint_t                   i, j;
    ngx_http_canary_drained_t   *d, *spare;

    pages = ngx_http_canary_shm_drains(zone);
    spare = NULL;
    rc = NGX_OK;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < NGX_HTTP_CANARY_DRAIN_PAGES && pages[i]; i++) {

        d = pages[i];

        for (j = 0; j < NGX_HTTP_CANARY_PAGE_DRAINS; j++) {

            if (d[j].used) {
                if (ngx_http_canary_drain_is(&d[j], group, addr)) {
                    goto done;
                }

            } else if (spare == NULL) {
                spare = &d[j];
            }
        }
    }

    if (spare == NULL && i < NGX_HTTP_CANARY_DRAIN_PAGES) {
        pages[i] = ngx_http_canary_shm_page(zone);
        spare = pages[i];
    }

    if (spare == NULL) {
        rc = NGX_BUSY;
        goto done;
    }

    spare->group_len = (u_char) group->len;
    spare->addr_len = (u_char) addr->len;
    ngx_memcpy(spare->group, group->data, group->len);
    ngx_memcpy(spare->addr, addr->data, addr->len);

    ngx_memory_barrier();

    spare->used = 1;

    ngx_http_canary_shm_touch(zone);

done:

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


static ngx_uint_t
ngx_http_canary_drain_forget(ngx_http_canary_zone_t *zone, ngx_str_t *group,
    ngx_str_t *addr)
{
    ngx_uint_t                  n, found;
    ngx_http_canary_drained_t  *d;

    found = 0;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (n = 0; (d = ngx_http_canary_drain_next(zone, &n)) != NULL; n++) {

        if (ngx_http_canary_drain_is(d, group, addr)) {
            d->used = 0;
            found = 1;
            ngx_http_canary_shm_touch(zone);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return found;
}


/* the first one in use from *n on, whose place *n then is */

static ngx_http_canary_drained_t *
ngx_http_canary_drain_next(ngx_http_canary_zone_t *zone, ngx_uint_t *n)
{
    void                       **pages;
    ngx_uint_t                   i;
    ngx_http_canary_drained_t   *d;

    pages = ngx_http_canary_shm_drains(zone);

    for ( /* void */ ; /* void */ ; (*n)++) {

        i = *n / NGX_HTTP_CANARY_PAGE_DRAINS;

        if (i == NGX_HTTP_CANARY_DRAIN_PAGES || pages[i] == NULL) {
            return NULL;
        }

        d = pages[i];
        d += *n % NGX_HTTP_CANARY_PAGE_DRAINS;

        if (d->used) {
            return d;
        }
    }
}


static ngx_uint_t
ngx_http_canary_drain_is(ngx_http_canary_drained_t *d, ngx_str_t *group,
    ngx_str_t *addr)
{
    return d->group_len == group->len && d->addr_len == addr->len
           && ngx_memcmp(d->group, group->data, group->len) == 0
           && ngx_memcmp(d->addr, addr->data, addr->len) == 0;
}


ngx_uint_t
ngx_http_canary_drain_count(ngx_http_canary_zone_t *zone)
{
    ngx_uint_t  n, count;

    count = 0;

    for (n = 0; ngx_http_canary_drain_next(zone, &n) != NULL; n++) {
        count++;
    }

    return count;
}


/*
 * Makes true what is remembered.  In a new configuration what it does not
 * have any more is forgotten, so that a server that gets an old address later
 * is not drained by surprise.
 */

void
ngx_http_canary_drain_apply(ngx_http_canary_zone_t *zone, ngx_log_t *log,
    ngx_uint_t forget)
{
    ngx_str_t                      group, addr;
    ngx_uint_t                     n;
    ngx_http_canary_drained_t     *next, d;
    ngx_http_upstream_rr_peers_t  *peers;
    ngx_http_upstream_srv_conf_t  *us;

    for (n = 0; /* void */ ; n++) {

        ngx_shmtx_lock(&zone->shpool->mutex);

        next = ngx_http_canary_drain_next(zone, &n);

        if (next) {
            d = *next;
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (next == NULL) {
            break;
        }

        group.data = d.group;
        group.len = d.group_len;
        addr.data = d.addr;
        addr.len = d.addr_len;

        us = ngx_http_canary_drain_group(zone, &group);
        peers = us ? ngx_http_canary_drain_peers(us) : NULL;

        if (peers && ngx_http_canary_drain_mark(peers, &addr, 1)) {
            continue;
        }

        if (!forget || (peers && ngx_http_canary_resolves(peers))) {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "drained server \"%V\" is forgotten, group \"%V\" %s",
                      &addr, &group,
                      us == NULL ? "is gone"
                                 : peers ? "does not have it any more"
                                         : "has no \"zone\" any more");

        (void) ngx_http_canary_drain_forget(zone, &group, &addr);
    }
}


static ngx_http_upstream_srv_conf_t *
ngx_http_canary_drain_group(ngx_http_canary_zone_t *zone, ngx_str_t *name)
{
    ngx_uint_t                    i, j;
    ngx_http_canary_group_t      *group;
    ngx_http_canary_srv_conf_t  **confs;

    confs = zone->upstreams.elts;

    for (i = 0; i < zone->upstreams.nelts; i++) {
        for (j = 0; j < confs[i]->ngroups; j++) {
            group = &confs[i]->groups[j];

            if (group->name.len == name->len
                && ngx_memcmp(group->name.data, name->data, name->len) == 0)
            {
                return group->upstream;
            }
        }
    }

    return NULL;
}


/*
 * Backup servers have a list, and a lock, of their own.  What is marked already
 * is left alone.
 */

static ngx_uint_t
ngx_http_canary_drain_mark(ngx_http_upstream_rr_peers_t *peers,
    ngx_str_t *addr, ngx_uint_t drain)
{
    ngx_uint_t                    n, wrong;
    ngx_http_upstream_rr_peer_t  *peer;

    n = 0;

    for ( /* void */ ; peers; peers = peers->next) {

        wrong = 0;

        ngx_http_canary_drain_rlock(peers);

        for (peer = peers->peer; peer; peer = peer->next) {
            if (ngx_http_canary_drain_at(peer, addr)) {
                n++;
                wrong |= !(peer->down & NGX_HTTP_CANARY_DRAINED) == !!drain;
            }
        }

        ngx_http_canary_drain_unlock(peers);

        if (!wrong) {
            continue;
        }

        ngx_http_upstream_rr_peers_wlock(peers);

        for (peer = peers->peer; peer; peer = peer->next) {

            if (!ngx_http_canary_drain_at(peer, addr)) {
                continue;
            }

            if (drain) {
                peer->down |= NGX_HTTP_CANARY_DRAINED;

            } else {
                peer->down &= ~(ngx_uint_t) NGX_HTTP_CANARY_DRAINED;
            }
        }

        ngx_http_upstream_rr_peers_unlock(peers);
    }

    return n;
}


/* [{"server": "a:8080", "address": "10.0.0.11:8080", ...}], all or those of
 * an address */

void
ngx_http_canary_print_servers(ngx_http_canary_out_t *out,
    ngx_http_upstream_rr_peers_t *peers, ngx_str_t *addr)
{
    ngx_uint_t                    n, backup;
    ngx_http_upstream_rr_peer_t  *peer;

    ngx_http_canary_print(out, "[");

    n = 0;

    for (backup = 0; peers; peers = peers->next, backup = 1) {

        ngx_http_canary_drain_rlock(peers);

        for (peer = peers->peer; peer; peer = peer->next) {

            if (addr && !ngx_http_canary_drain_at(peer, addr)) {
                continue;
            }

            ngx_http_canary_print(out, n++ ? ", {\"server\": "
                                           : "{\"server\": ");
            ngx_http_canary_print_string(out, &peer->server);
            ngx_http_canary_print(out, ", \"address\": ");
            ngx_http_canary_print_string(out, &peer->name);
            ngx_http_canary_print(out, ", \"backup\": %s, \"down\": %s, "
                      "\"drain\": %s, \"in_flight\": %ui}",
                      backup ? "true" : "false",
                      peer->down & ~(ngx_uint_t) NGX_HTTP_CANARY_DRAINED
                      ? "true" : "false",
                      peer->down & NGX_HTTP_CANARY_DRAINED ? "true" : "false",
                      peer->conns);
        }

        ngx_http_canary_drain_unlock(peers);
    }

    ngx_http_canary_print(out, "]");
}


/* in the state file: [{"group": "blue", "server": "10.0.0.11:8080"}] */

void
ngx_http_canary_drain_save(ngx_http_canary_zone_t *zone,
    ngx_http_canary_out_t *out)
{
    ngx_str_t                   s;
    ngx_uint_t                  n, count;
    ngx_http_canary_drained_t  *d;

    ngx_http_canary_print(out, "[");

    /*
     * without the mutex: a place that is taken anew meanwhile is written once
     * more, by the generation that this takes
     */

    count = 0;

    for (n = 0; (d = ngx_http_canary_drain_next(zone, &n)) != NULL; n++) {

        ngx_http_canary_print(out, count++ ? ", {\"group\": "
                                           : "{\"group\": ");

        s.data = d->group;
        s.len = ngx_min(d->group_len, NGX_HTTP_CANARY_NAME_LEN);
        ngx_http_canary_print_string(out, &s);

        ngx_http_canary_print(out, ", \"server\": ");

        s.data = d->addr;
        s.len = ngx_min(d->addr_len, NGX_HTTP_CANARY_ADDR_LEN);
        ngx_http_canary_print_string(out, &s);

        ngx_http_canary_print(out, "}");
    }

    ngx_http_canary_print(out, "]");
}


void
ngx_http_canary_drain_load(ngx_http_canary_zone_t *zone, cJSON *json,
    ngx_log_t *log)
{
    cJSON      *item, *group, *addr;
    ngx_str_t   g, a;

    cJSON_ArrayForEach(item, json) {

        group = cJSON_GetObjectItemCaseSensitive(item, "group");
        addr = cJSON_GetObjectItemCaseSensitive(item, "server");

        if (!cJSON_IsString(group) || !cJSON_IsString(addr)) {
            continue;
        }

        g.data = (u_char *) group->valuestring;
        g.len = ngx_strlen(g.data);
        a.data = (u_char *) addr->valuestring;
        a.len = ngx_strlen(a.data);

        if (g.len > NGX_HTTP_CANARY_NAME_LEN
            || a.len > NGX_HTTP_CANARY_ADDR_LEN)
        {
            continue;
        }

        if (ngx_http_canary_drain_remember(zone, &g, &a) != NGX_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "canary_zone \"%V\" has no room for drained server "
                          "\"%V\" of group \"%V\"", &zone->name, &a, &g);
        }
    }
}
