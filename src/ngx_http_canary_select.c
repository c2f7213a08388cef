
/*
 * The choice of a group: force, then weight.  It is made once for a request
 * and all its parts, and remembered with the main one.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_SEED         0x8ebc6af09c88c6e3


typedef enum {
    NGX_HTTP_CANARY_VAR_GROUP = 0,
    NGX_HTTP_CANARY_VAR_SERVED,
    NGX_HTTP_CANARY_VAR_REASON,
    NGX_HTTP_CANARY_VAR_REVISION,
    NGX_HTTP_CANARY_VAR_MEMO
} ngx_http_canary_var_e;


static ngx_http_canary_inline void ngx_http_canary_select(
    ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_choice_t *choice);
static ngx_str_t ngx_http_canary_value(ngx_http_request_t *r,
    ngx_http_canary_value_t *cv);
static ngx_uint_t ngx_http_canary_forced(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf);
static ngx_http_canary_inline uint64_t ngx_http_canary_hash(uint64_t seed,
    u_char *data, size_t len);
static ngx_inline uint64_t ngx_http_canary_mix(uint64_t a, uint64_t b);
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


/*
 * Choices are kept in a variable that nobody reads as one.  r->ctx would be
 * wiped by internal redirects; the variables of the main request are neither
 * wiped nor copied while it lives.
 */

static ngx_str_t  ngx_http_canary_memo = ngx_string("canary_memo");


static ngx_http_variable_t  ngx_http_canary_vars[] = {

    { ngx_string("canary_group"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_GROUP, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_served_group"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_SERVED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_reason"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_revision"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_REVISION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_memo"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_MEMO, 0, 0 },

      ngx_http_null_variable
};


ngx_http_canary_choice_t *
ngx_http_canary_choose(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf)
{
    ngx_http_canary_choice_t   *choice, *first;
    ngx_http_variable_value_t  *memo;

    memo = &r->main->variables[conf->memo];
    first = NULL;

    if (memo->valid) {
        first = (ngx_http_canary_choice_t *) memo->data;

        for (choice = first; choice; choice = choice->next) {
            if (choice->conf == conf) {
                return choice;
            }
        }
    }

    choice = ngx_palloc(r->pool, sizeof(ngx_http_canary_choice_t));
    if (choice == NULL) {
        return NULL;
    }

    memo->data = (u_char *) choice;
    memo->valid = 1;

    /* before a variable is evaluated, which may ask for the choice itself */

    choice->conf = conf;
    choice->next = first;
    choice->used = 0;

    ngx_http_canary_select(r, conf, choice);

    choice->served = choice->group;

    return choice;
}


static ngx_http_canary_inline void
ngx_http_canary_select(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice)
{
    uint64_t                 hash;
    ngx_str_t                key;
    ngx_uint_t               bucket;
    ngx_http_canary_part_t  *part;
    ngx_http_canary_view_t  *view;

    view = &conf->view;

    if (ngx_http_canary_rarely(ngx_http_canary_shm_generation(conf->entry)
                               != view->generation))
    {
        ngx_http_canary_refresh(conf);
    }

    choice->revision = view->record.revision;
    choice->group = view->stable;

    if (conf->force) {
        choice->cell = NGX_HTTP_CANARY_PINNED;
        choice->reason = NGX_HTTP_CANARY_BY_FORCE;
        choice->group = ngx_http_canary_forced(r, conf);

        if (choice->group < conf->ngroups) {
            return;
        }

        choice->group = view->stable;
    }

    if (view->leased
        && ngx_http_canary_rarely(ngx_http_canary_shm_lapsed(conf->entry)))
    {
        choice->cell = NGX_HTTP_CANARY_PINNED;
        choice->reason = NGX_HTTP_CANARY_BY_LAPSE;
        return;
    }

    choice->cell = NGX_HTTP_CANARY_WEIGHTED;
    choice->reason = NGX_HTTP_CANARY_BY_WEIGHT;

    if (view->nparts == 0) {
        return;
    }

    key = conf->key ? ngx_http_canary_value(r, conf->key)
                    : r->connection->addr_text;

    if (ngx_http_canary_rarely(key.len == 0)) {
        bucket = ngx_random() % NGX_HTTP_CANARY_WHOLE;

    } else {
        hash = ngx_http_canary_hash(view->seed, key.data, key.len);
        bucket = (ngx_uint_t) (((hash >> 32) * NGX_HTTP_CANARY_WHOLE) >> 32);
    }

    /* the last part, which is stable's, ends above all buckets */

    for (part = view->parts; bucket >= part->upto; part++) { /* void */ }

    choice->group = part->group;

    if (part->group == view->guarded
        && ngx_http_canary_rarely(ngx_http_canary_tripped(conf)
                                  == part->group))
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

    view->leased = (record->lease_ms && !record->keep);

    view->guarded = conf->ngroups;
    view->half.until = ngx_current_msec;
    ngx_memset(view->sides, NGX_HTTP_CANARY_SIDES, NGX_HTTP_CANARY_GROUPS);

    for (i = 0; i < conf->ngroups; i++) {
        if (record->guard.failures
            && conf->groups[i].slot == record->guard.slot)
        {
            view->guarded = i;
            view->sides[i] = NGX_HTTP_CANARY_SIDE_CANARY;

            if (i != view->stable) {
                view->sides[view->stable] = NGX_HTTP_CANARY_SIDE_STABLE;
            }
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

    view->parts[view->nparts].upto = NGX_HTTP_CANARY_WHOLE;
    view->parts[view->nparts].group = view->stable;

    view->seed = ngx_http_canary_hash(NGX_HTTP_CANARY_SEED, record->salt,
                                      record->salt_len);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http canary: \"%V\" revision:%uL generation:%uA",
                   &conf->upstream->host, record->revision,
                   view->generation);
}


/*
 * After wyhash (Wang Yi): words of eight bytes, little endian on every machine
 * of a fleet, two at a time, the last one overlapping those before it.  The
 * seed must not be zero.
 */

static ngx_http_canary_inline uint64_t
ngx_http_canary_hash(uint64_t seed, u_char *data, size_t len)
{
    size_t    n;
    uint64_t  a, b;

    if (len >= 8) {

        for (n = len; n > 16; n -= 16, data += 16) {
            seed = ngx_http_canary_mix(
                         ngx_http_canary_word(data) ^ 0x4b33a62ed433d4a3,
                         ngx_http_canary_word(data + 8) ^ seed);
        }

        /* of what came before where less than a word is left */

        data += n;
        a = ngx_http_canary_word(data - (n > 8 ? n : 8));
        b = ngx_http_canary_word(data - 8);

    } else {

        for (a = 0, n = len; n; n--) {
            a = a << 8 | data[n - 1];
        }

        b = a >> 32;
    }

    return ngx_http_canary_mix(ngx_http_canary_mix(a ^ 0xa0761d6478bd642f,
                                                   b ^ seed)
                               ^ len, 0xe7037ed1a0b428db);
}


/* both halves of the product */

static ngx_inline uint64_t
ngx_http_canary_mix(uint64_t a, uint64_t b)
{
#if (__SIZEOF_INT128__)

    __extension__ unsigned __int128  p;

    p = a;
    p *= b;

    return (uint64_t) p ^ (uint64_t) (p >> 64);

#else

    uint64_t  low, mid, high;

    low = (a & 0xffffffff) * (b & 0xffffffff);
    mid = (a >> 32) * (b & 0xffffffff) + (low >> 32);
    high = (a >> 32) * (b >> 32) + (mid >> 32);
    mid = (a & 0xffffffff) * (b >> 32) + (mid & 0xffffffff);
    high += mid >> 32;

    return (mid << 32 | (low & 0xffffffff)) ^ high;

#endif
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


ngx_int_t
ngx_http_canary_memo_index(ngx_conf_t *cf)
{
    return ngx_http_get_variable_index(cf, &ngx_http_canary_memo);
}


static ngx_int_t
ngx_http_canary_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char                      *p;
    ngx_str_t                   *s;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    conf = (data == NGX_HTTP_CANARY_VAR_MEMO) ? NULL
                                              : ngx_http_canary_find_conf(r);

    if (conf == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    choice = ngx_http_canary_choose(r, conf);
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
