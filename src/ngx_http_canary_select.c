
/*
 * The choice of a group: force, then the first rule that matches, then
 * weight.  It is made once for a request and all its parts, and remembered on
 * the pool that they share.
 */


#include "ngx_http_canary.h"


static ngx_http_canary_ctx_t *ngx_http_canary_get_ctx(ngx_http_request_t *r);
static void ngx_http_canary_cleanup(void *data);
static void ngx_http_canary_select(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice);
static ngx_str_t ngx_http_canary_value(ngx_http_request_t *r,
    ngx_http_canary_value_t *cv);
static ngx_uint_t ngx_http_canary_forced(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf);
static ngx_uint_t ngx_http_canary_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record);
static void ngx_http_canary_add_part(ngx_http_canary_part_t *parts,
    ngx_uint_t *n, ngx_uint_t *from, ngx_uint_t size, ngx_uint_t group);
static ngx_uint_t ngx_http_canary_bucket(uint64_t seed, ngx_str_t key);
static ngx_inline uint64_t ngx_http_canary_hash(uint64_t seed, u_char *data, size_t len);
static ngx_inline uint64_t ngx_http_canary_word(u_char *p);


ngx_str_t  ngx_http_canary_reasons[] = {
    ngx_string("weight"),
    ngx_string("force"),
    ngx_string("lapse"),
    ngx_string("guard"),
    ngx_string("failover"),
    ngx_string("rule"),
    ngx_null_string
};


ngx_http_canary_choice_t *
ngx_http_canary_choose(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_ctx_t **ctxp)
{
    ngx_http_canary_ctx_t     *ctx;
    ngx_http_canary_choice_t  *choice, *first;

    ctx = ngx_http_canary_get_ctx(r);
    if (ctx == NULL) {
        return NULL;
    }

    *ctxp = ctx;
    first = &ctx->first;

    for (choice = first; choice; choice = choice->next) {
        if (choice->conf == conf) {
            return choice;
        }
    }

    choice = first;

    if (first->conf) {
        choice = ngx_palloc(r->pool, sizeof(ngx_http_canary_choice_t));
        if (choice == NULL) {
            return NULL;
        }

        choice->next = NULL;
    }

    choice->counted = 0;
    choice->bucket = NGX_HTTP_CANARY_WHOLE;

    ngx_http_canary_select(r, conf, choice);

    if (conf->cookie && choice->bucket == NGX_HTTP_CANARY_WHOLE) {

        /* who is not placed by it now gets one for later */

        (void) ngx_http_canary_id(r, conf->cookie);
    }

    choice->served = choice->group;

    choice->conf = conf;

    if (choice != first) {
        choice->next = first->next;
        first->next = choice;
    }

    return choice;
}


/*
 * r->ctx is wiped by internal redirects and is not shared with subrequests,
 * the pool is: it keeps what the main request's ctx only points to.
 */

static ngx_http_canary_ctx_t *
ngx_http_canary_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_canary_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_http_canary_module);

    if (ctx) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_canary_cleanup) {
            ctx = cln->data;
            goto found;
        }
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_canary_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->first.conf = NULL;
    ctx->first.next = NULL;
    ctx->used = 0;

    cln = &ctx->cleanup;

    cln->handler = ngx_http_canary_cleanup;
    cln->data = ctx;
    cln->next = r->pool->cleanup;

    r->pool->cleanup = cln;

found:

    ngx_http_set_ctx(r->main, ctx, ngx_http_canary_module);

    return ctx;
}


static void
ngx_http_canary_cleanup(void *data)
{
    /* void: the handler's address marks the ctx */
}


static void
ngx_http_canary_select(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice)
{
    ngx_uint_t               i, bucket, nparts;
    ngx_http_canary_part_t  *parts;
    ngx_http_canary_rule_t  *rule;
    ngx_http_canary_view_t  *view;

    view = &conf->view;

    if (ngx_http_canary_shm_generation(conf->entry) != view->generation) {
        ngx_http_canary_refresh(conf);
    }

    choice->revision = view->record.revision;
    choice->cell = NGX_HTTP_CANARY_PINNED;

    if (conf->force) {
        choice->group = ngx_http_canary_forced(r, conf);

        if (choice->group < conf->ngroups) {
            choice->reason = NGX_HTTP_CANARY_BY_FORCE;
            return;
        }
    }

    choice->group = view->stable;

    if (view->record.lease_ms && ngx_http_canary_lapsed(conf)) {
        choice->reason = NGX_HTTP_CANARY_BY_LAPSE;
        return;
    }

    choice->cell = NGX_HTTP_CANARY_WEIGHTED;
    choice->reason = NGX_HTTP_CANARY_BY_WEIGHT;

    parts = view->parts;
    nparts = view->nparts;

    if (view->rules) {
        rule = ngx_http_canary_match(r, view->rules);

        if (rule) {
            choice->cell = rule->cell;
            choice->reason = NGX_HTTP_CANARY_BY_RULE;
            choice->group = rule->group;

            parts = rule->parts;
            nparts = rule->nparts;
        }
    }

    if (nparts) {
        bucket = ngx_http_canary_place(r, conf, choice);

        for (i = 0; i < nparts; i++) {
            if (bucket < parts[i].upto) {
                choice->group = parts[i].group;
                break;
            }
        }
    }

    if (choice->group == view->guarded
        && ngx_http_canary_tripped(conf) == view->guarded)
    {
        choice->group = view->stable;
        choice->cell = NGX_HTTP_CANARY_PINNED;
        choice->reason = NGX_HTTP_CANARY_BY_GUARD;
    }
}


ngx_http_canary_inline ngx_uint_t
ngx_http_canary_place(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_choice_t *choice)
{
    ngx_str_t  key;

    if (conf->key) {
        key = ngx_http_canary_value(r, conf->key);

    } else {
        key = conf->cookie ? ngx_http_canary_id(r, conf->cookie)
                           : r->connection->addr_text;
    }

    choice->bucket = ngx_http_canary_bucket(conf->view.seed, key);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http canary: \"%V\" bucket:%ui",
                   &conf->upstream->host, choice->bucket);

    return choice->bucket;
}


/* empty also where it cannot be had */

static ngx_str_t
ngx_http_canary_value(ngx_http_request_t *r, ngx_http_canary_value_t *cv)
{
    ngx_str_t                   value;
    ngx_http_variable_value_t  *vv;

    ngx_str_null(&value);

    if (cv->index == NGX_ERROR) {

        if (ngx_http_complex_value(r, &cv->complex, &value) != NGX_OK) {
            ngx_str_null(&value);
        }

        return value;
    }

    vv = ngx_http_get_flushed_variable(r, cv->index);

    if (vv && !vv->not_found) {
        value.len = vv->len;
        value.data = vv->data;
    }

    return value;
}


/* a name, or a role; ngroups if it is none */

static ngx_uint_t
ngx_http_canary_forced(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf)
{
    ngx_str_t   value;
    ngx_uint_t  i;

    value = ngx_http_canary_value(r, conf->force);

    for (i = 0; i < conf->ngroups; i++) {
        if (conf->groups[i].name.len == value.len
            && ngx_memcmp(conf->groups[i].name.data, value.data, value.len)
               == 0)
        {
            return i;
        }
    }

    if (value.len == 6) {

        if (ngx_memcmp(value.data, "stable", 6) == 0) {
            return conf->view.stable;
        }

        if (ngx_memcmp(value.data, "canary", 6) == 0) {
            return conf->view.canary;
        }
    }

    return conf->ngroups;
}


ngx_uint_t
ngx_http_canary_lapsed(ngx_http_canary_srv_conf_t *conf)
{
    ngx_http_canary_record_t  *record;

    record = &conf->view.record;

    return record->lease_ms && !record->keep
           && ngx_http_canary_shm_lapsed(conf->entry);
}


ngx_uint_t
ngx_http_canary_tripped(ngx_http_canary_srv_conf_t *conf)
{
    if (conf->view.generation
        && ngx_http_canary_shm_tripped(conf->entry) == conf->view.generation)
    {
        return conf->view.guarded;
    }

    return conf->ngroups;
}


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

    view->seed = ngx_http_canary_hash(0, record->salt, record->salt_len);

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


static ngx_uint_t
ngx_http_canary_bucket(uint64_t seed, ngx_str_t key)
{
    uint64_t  h;

    if (key.len == 0) {
        return ngx_random() % NGX_HTTP_CANARY_WHOLE;
    }

    h = ngx_http_canary_hash(seed, key.data, key.len);

    return (ngx_uint_t) (((h >> 32) * NGX_HTTP_CANARY_WHOLE) >> 32);
}


/*
 * Words of eight bytes, little endian on every machine of a fleet, the last
 * one overlapping the one before, with the finalizer of splitmix64.
 */

static ngx_inline uint64_t
ngx_http_canary_hash(uint64_t seed, u_char *data, size_t len)
{
    uint64_t  h, word;

    h = seed ^ (len * 0x9e3779b97f4a7c15);

    if (len >= 8) {

        for ( /* void */ ; len > 8; len -= 8, data += 8) {

            h = (h ^ ngx_http_canary_word(data)) * 0xd6e8feb86659fd93;
            h ^= h >> 32;

            if (len < 16) {
                data -= 16 - len;
                len = 16;
            }
        }

        word = ngx_http_canary_word(data);

    } else {

        for (word = 0; len; len--) {
            word = word << 8 | data[len - 1];
        }
    }

    h ^= word;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
    h = (h ^ (h >> 27)) * 0x94d049bb133111eb;

    return h ^ (h >> 31);
}


static ngx_inline uint64_t
ngx_http_canary_word(u_char *p)
{
    return (uint64_t) p[0] | (uint64_t) p[1] << 8
           | (uint64_t) p[2] << 16 | (uint64_t) p[3] << 24
           | (uint64_t) p[4] << 32 | (uint64_t) p[5] << 40
           | (uint64_t) p[6] << 48 | (uint64_t) p[7] << 56;
}
