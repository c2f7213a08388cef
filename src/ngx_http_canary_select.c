
/*
 * The choice of a group: force, then weight.  It is made once for a request
 * and all its parts, and remembered on the pool that they share.
 */


#include "ngx_http_canary.h"


typedef enum {
    NGX_HTTP_CANARY_VAR_GROUP = 0,
    NGX_HTTP_CANARY_VAR_SERVED,
    NGX_HTTP_CANARY_VAR_REASON,
    NGX_HTTP_CANARY_VAR_REVISION
} ngx_http_canary_var_e;


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
static ngx_uint_t ngx_http_canary_bucket(uint64_t seed, ngx_str_t key);
static ngx_inline uint64_t ngx_http_canary_hash(uint64_t seed, u_char *data, size_t len);
static ngx_inline uint64_t ngx_http_canary_word(u_char *p);
static ngx_int_t ngx_http_canary_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_http_canary_srv_conf_t *ngx_http_canary_find_conf(
    ngx_http_request_t *r);


ngx_str_t  ngx_http_canary_reasons[] = {
    ngx_string("weight"),
    ngx_string("force"),
    ngx_string("lapse"),
    ngx_string("guard"),
    ngx_string("failover"),
    ngx_null_string
};


static ngx_http_variable_t  ngx_http_canary_vars[] = {

    { ngx_string("canary_group"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_GROUP, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_served_group"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_SERVED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_reason"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_revision"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_REVISION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
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

    ngx_http_canary_select(r, conf, choice);

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
    ngx_uint_t               i, bucket;
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

    if (view->nparts == 0) {
        return;
    }

    bucket = ngx_http_canary_bucket(view->seed,
                                    conf->key ? ngx_http_canary_value(r,
                                                                  conf->key)
                                              : r->connection->addr_text);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http canary: \"%V\" bucket:%ui",
                   &conf->upstream->host, bucket);

    for (i = 0; i < view->nparts; i++) {
        if (bucket < view->parts[i].upto) {
            choice->group = view->parts[i].group;
            break;
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
 * Copies the record and makes of it what a request needs.  Groups other than
 * stable own buckets from 0 on in the order of the configuration, so with two
 * groups a growing weight moves keys in one direction only.  What belongs to
 * a group that the configuration no longer has goes to stable.
 */

void
ngx_http_canary_refresh(ngx_http_canary_srv_conf_t *conf)
{
    ngx_uint_t                 i, upto;
    ngx_http_canary_view_t    *view;
    ngx_http_canary_record_t  *record;

    view = &conf->view;
    record = &view->record;

    view->generation = ngx_http_canary_shm_read(conf->entry, record);

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

    upto = 0;

    view->nparts = 0;

    for (i = 0; i < conf->ngroups; i++) {

        if (i != view->stable && record->weights[conf->groups[i].slot]) {
            upto += record->weights[conf->groups[i].slot];

            view->parts[view->nparts].upto = upto;
            view->parts[view->nparts].group = i;
            view->nparts++;
        }
    }

    view->seed = ngx_http_canary_hash(0, record->salt, record->salt_len);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http canary: \"%V\" revision:%uL generation:%uA",
                   &conf->upstream->host, record->revision,
                   view->generation);
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


ngx_int_t
ngx_http_canary_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_canary_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char                      *p;
    ngx_str_t                   *s;
    ngx_http_canary_ctx_t       *ctx;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    conf = ngx_http_canary_find_conf(r);

    if (conf == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    choice = ngx_http_canary_choose(r, conf, &ctx);
    if (choice == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (data == NGX_HTTP_CANARY_VAR_REVISION) {
        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        v->data = p;
        v->len = ngx_sprintf(p, "%uL", choice->revision) - p;

        return NGX_OK;
    }

    switch (data) {

    case NGX_HTTP_CANARY_VAR_GROUP:
        s = &conf->groups[choice->group].name;
        break;

    case NGX_HTTP_CANARY_VAR_SERVED:
        s = &conf->groups[choice->served].name;
        break;

    default: /* NGX_HTTP_CANARY_VAR_REASON */
        s = &ngx_http_canary_reasons[choice->reason];
    }

    v->data = s->data;
    v->len = s->len;

    return NGX_OK;
}


/* the canary upstream that this request is passed to, as the core finds it */

static ngx_http_canary_srv_conf_t *
ngx_http_canary_find_conf(ngx_http_request_t *r)
{
    ngx_str_t                      *host;
    ngx_uint_t                      i;
    ngx_http_upstream_t            *u;
    ngx_http_canary_srv_conf_t     *conf, **confs;
    ngx_http_canary_main_conf_t    *cmcf;
    ngx_http_upstream_srv_conf_t   *uscf;

    u = r->upstream;

    if (u == NULL || u->conf == NULL) {
        return NULL;
    }

    if (u->resolved == NULL) {
        uscf = u->conf->upstream;

        if (uscf == NULL || uscf->srv_conf == NULL) {
            return NULL;
        }

        conf = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_canary_module);

        return conf->zone ? conf : NULL;
    }

    host = &u->resolved->host;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);
    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        uscf = confs[i]->upstream;

        if (uscf->host.len == host->len
            && ((uscf->port == 0 && u->resolved->no_port)
                || uscf->port == u->resolved->port)
            && ngx_strncasecmp(uscf->host.data, host->data, host->len) == 0)
        {
            return confs[i];
        }
    }

    return NULL;
}
