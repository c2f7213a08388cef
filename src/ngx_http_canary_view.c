
/*
 * What a worker makes of the present record: the groups' ranges of buckets,
 * the salt's hash, the compiled rules.  Made anew when the record changes.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_hash.h"


#define NGX_HTTP_CANARY_SEED         0x8ebc6af09c88c6e3


static void ngx_http_canary_add_part(ngx_http_canary_part_t *parts,
    ngx_uint_t *n, ngx_uint_t *from, ngx_uint_t size, ngx_uint_t group);
static ngx_uint_t ngx_http_canary_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record);


/*
 * Copies the record and makes of it what a request needs.  What belongs to a
 * group that the configuration no longer has goes to stable.
 */

void
ngx_http_canary_refresh(ngx_http_canary_srv_conf_t *conf)
{
    ngx_uint_t                 i;
    ngx_http_canary_view_t    *view;
    ngx_http_canary_record_t  *record;

    static u_char              rules[NGX_HTTP_CANARY_RULES_SIZE];

    view = &conf->view;
    record = &view->record;

    view->generation = ngx_http_canary_shm_read(conf->entry, record, rules);

    if (view->generation == 0) {
        ngx_memzero(record, sizeof(ngx_http_canary_record_t));
        record->stable = (u_char) conf->groups[0].slot;
        record->canary = (u_char) conf->groups[1].slot;
        record->weights[record->stable] = NGX_HTTP_CANARY_WHOLE;
    }

    view->stable = 0;
    view->canary = conf->ngroups;

    for (i = 0; i < conf->ngroups; i++) {
        if (conf->groups[i].slot == record->stable) {
            view->stable = i;
        }

        if (conf->groups[i].slot == record->canary) {
            view->canary = i;
        }
    }

    view->removed = ngx_http_canary_removed(conf, record);
    view->until = ngx_current_msec;
    view->guarded = conf->ngroups;

    for (i = 0; i < conf->ngroups; i++) {
        if (record->guard.failures
            && conf->groups[i].slot == record->guard.slot)
        {
            view->guarded = i;
        }
    }

    view->nparts = ngx_http_canary_make_parts(conf, record->weights,
                                              view->parts);

    view->seed = record->salt_len < 8
                 ? ngx_http_canary_hash_short(NGX_HTTP_CANARY_SEED,
                                              record->salt, record->salt_len)
                 : ngx_http_canary_hash_long(NGX_HTTP_CANARY_SEED,
                                             record->salt, record->salt_len);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http canary: \"%V\" revision:%uL generation:%uA",
                   &conf->upstream->host, record->revision,
                   view->generation);

    if (record->rules_len || view->rules) {
        ngx_http_canary_make_rules(conf, rules);
    }
}


/*
 * Two groups that are not stable share a range, one grows from its beginning
 * and the other from its end, so that as long as they fit no growing weight
 * moves a key but from stable.  What does not fit goes where there is room.
 */

ngx_uint_t
ngx_http_canary_make_parts(ngx_http_canary_srv_conf_t *conf,
    uint16_t *weights, ngx_http_canary_part_t *parts)
{
    ngx_uint_t  i, k, n, pair, npairs, from, end, take;
    ngx_uint_t  group[NGX_HTTP_CANARY_GROUPS], fits[NGX_HTTP_CANARY_GROUPS],
                over[NGX_HTTP_CANARY_GROUPS];

    n = 0;

    for (i = 0; i < conf->ngroups; i++) {
        if (i != conf->view.stable) {
            group[n] = i;
            over[n++] = weights[conf->groups[i].slot];
        }
    }

    npairs = (n + 1) / 2;

    for (i = 0; i < n; i++) {
        end = (i / 2 + 1) * NGX_HTTP_CANARY_WHOLE / npairs;
        from = (i / 2) * NGX_HTTP_CANARY_WHOLE / npairs;

        fits[i] = ngx_min(over[i], end - from - (i % 2 ? fits[i - 1] : 0));
        over[i] -= fits[i];
    }

    for (k = 0, from = 0, pair = 0; pair < npairs; pair++) {
        i = 2 * pair;
        end = (pair + 1) * NGX_HTTP_CANARY_WHOLE / npairs;

        ngx_http_canary_add_part(parts, &k, &from, fits[i], group[i]);

        if (i + 1 < n) {
            end -= fits[i + 1];
        }

        for (i = 0; i < n; i++) {
            take = ngx_min(over[i], end - from);
            over[i] -= take;

            ngx_http_canary_add_part(parts, &k, &from, take, group[i]);
        }

        ngx_http_canary_add_part(parts, &k, &from, end - from,
                                 conf->view.stable);

        i = 2 * pair + 1;

        if (i < n) {
            ngx_http_canary_add_part(parts, &k, &from, fits[i], group[i]);
        }
    }

    /* who is in no part is stable's */

    if (k && parts[k - 1].group == conf->view.stable) {
        k--;
    }

    parts[k].upto = NGX_HTTP_CANARY_WHOLE;
    parts[k].group = conf->view.stable;

    return k;
}


static void
ngx_http_canary_add_part(ngx_http_canary_part_t *parts, ngx_uint_t *n,
    ngx_uint_t *from, ngx_uint_t size, ngx_uint_t group)
{
    if (size == 0) {
        return;
    }

    *from += size;

    if (*n == 0 || parts[*n - 1].group != group) {
        parts[*n].group = group;
        (*n)++;
    }

    parts[*n - 1].upto = *from;
}


/*
 * A group may have left the configuration while the record gives it weight or
 * has it for stable.  Its share goes to stable, which then is the group that
 * the configuration has first.
 */

static ngx_uint_t
ngx_http_canary_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record)
{
    ngx_uint_t  i, removed;

    removed = 1 << record->stable;

    for (i = 0; i < NGX_HTTP_CANARY_SLOTS; i++) {
        if (record->weights[i]) {
            removed |= 1 << i;
        }
    }

    for (i = 0; i < conf->ngroups; i++) {
        removed &= ~(1 << conf->groups[i].slot);
    }

    return removed;
}
