
/*
 * The choice of a group: force, then the first rule that matches, then
 * weight.  It is made once for a request and all its parts, and remembered
 * with the main one.  What passes a request on to that group's own balancer
 * is here, too: all that each request needs is one function in the end.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_hash.h"


#define NGX_HTTP_CANARY_LOOK         60000  /* ms, where nothing ends before */


static ngx_http_canary_inline ngx_int_t ngx_http_canary_run(
    ngx_http_canary_peer_t *cp, ngx_http_request_t *r, ngx_http_upstream_t *u,
    ngx_http_upstream_srv_conf_t *group);
static ngx_http_canary_inline ngx_http_canary_shard_t *ngx_http_canary_shard(
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_group_t *group,
    ngx_uint_t cell);
static ngx_http_canary_rare ngx_http_canary_shard_t *ngx_http_canary_new_shard(
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_group_t *group,
    ngx_uint_t cell);
static ngx_http_canary_inline ngx_http_canary_choice_t *ngx_http_canary_make(
    ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_variable_value_t *memo, ngx_http_canary_choice_t *next);
static ngx_http_canary_inline void ngx_http_canary_select(
    ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_choice_t *choice, ngx_uint_t by_address);
static void ngx_http_canary_select_keyed(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice);
static void ngx_http_canary_follow(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice,
    ngx_http_canary_rule_t *rule);
static ngx_http_canary_inline ngx_uint_t ngx_http_canary_find_bucket(
    ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_choice_t *choice, ngx_uint_t by_address);
static ngx_inline void ngx_http_canary_pin(
    ngx_http_canary_choice_t *choice, ngx_uint_t group,
    ngx_http_canary_reason_e reason);
static ngx_http_canary_inline ngx_uint_t ngx_http_canary_bucket(uint64_t seed,
    u_char *data, size_t len);
static ngx_http_canary_rare ngx_uint_t ngx_http_canary_look(
    ngx_http_canary_srv_conf_t *conf);
static ngx_str_t ngx_http_canary_value(ngx_http_request_t *r,
    ngx_http_canary_value_t *cv);
static ngx_uint_t ngx_http_canary_forced(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf);


ngx_str_t  ngx_http_canary_reasons[] = {
    ngx_string("weight"),
    ngx_string("force"),
    ngx_string("lapse"),
    ngx_string("guard"),
    ngx_string("failover"),
    ngx_string("rule"),
    ngx_null_string
};


ngx_int_t
ngx_http_canary_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                   used;
    ngx_http_upstream_t         *u;
    ngx_http_canary_peer_t      *cp;
    ngx_http_canary_group_t     *group;
    ngx_http_canary_shard_t     *shard;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;
    ngx_http_variable_value_t   *memo;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_canary_module);

    memo = &r->main->variables[conf->memo];

    if (ngx_http_canary_rarely(memo->valid)) {
        choice = ngx_http_canary_choose(r, conf);
        used = choice ? choice->used : 0;

    } else {
        choice = ngx_http_canary_make(r, conf, memo, NULL);
        used = 0;
    }

    if (choice == NULL) {
        return NGX_ERROR;
    }

    group = &conf->groups[choice->group];
    shard = ngx_http_canary_shard(conf, group, choice->cell);

    /* not zeroed: handlers of the group are set where ours are */

    if (ngx_http_canary_rarely(used)) {
        cp = ngx_palloc(r->pool, sizeof(ngx_http_canary_peer_t));
        if (cp == NULL) {
            return NGX_ERROR;
        }

    } else {
        choice->used = 1;
        cp = &choice->peer;

        ngx_http_canary_count(&shard->selections[choice->reason], 1);
    }

    cp->choice = choice;
    cp->request = r;
    cp->shard = shard;
    cp->judged = conf->judged[choice->cell];
    cp->attempts = 0;
    cp->failover = 0;
    cp->failed = NULL;
    cp->answered.tv_sec = 0;

    u = r->upstream;

    if (ngx_http_canary_run(cp, r, u, group->upstream) != NGX_OK) {
        return NGX_ERROR;
    }

    if (conf->failover && choice->group != conf->view.stable) {

        /* room for one more try, if proxy_next_upstream_tries has it */

        cp->failover = 1;

        if (u->peer.tries < 2) {
            u->peer.tries = 2;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_canary_delegate(ngx_http_canary_peer_t *cp, ngx_uint_t n,
    ngx_uint_t cell)
{
    ngx_http_canary_group_t     *group;
    ngx_http_canary_srv_conf_t  *conf;

    conf = cp->choice->conf;
    group = &conf->groups[n];

    cp->choice->served = n;
    cp->shard = ngx_http_canary_shard(conf, group, cell);

    return ngx_http_canary_run(cp, cp->request, cp->request->upstream,
                               group->upstream);
}


static ngx_http_canary_inline ngx_int_t
ngx_http_canary_run(ngx_http_canary_peer_t *cp, ngx_http_request_t *r,
    ngx_http_upstream_t *u, ngx_http_upstream_srv_conf_t *group)
{
    /* the core decides by it whether names must be copied from a zone */

    u->upstream = group;

    /* round robin takes what it finds in data for its own */

    u->peer.data = NULL;
    u->peer.notify = NULL;

    if (group->peer.init(r, group) != NGX_OK) {
        return NGX_ERROR;
    }

    cp->data = u->peer.data;
    cp->get = u->peer.get;
    cp->free = u->peer.free;

    u->peer.data = cp;
    u->peer.get = ngx_http_canary_get_peer;
    u->peer.free = ngx_http_canary_free_peer;

    if (u->peer.notify) {
        cp->notify = u->peer.notify;
        u->peer.notify = ngx_http_canary_notify_peer;
    }

#if (NGX_HTTP_SSL || NGX_COMPAT)

    if (u->ssl) {
        cp->set_session = u->peer.set_session;
        cp->save_session = u->peer.save_session;

        u->peer.set_session = ngx_http_canary_set_session;
        u->peer.save_session = ngx_http_canary_save_session;
    }

#endif

    return NGX_OK;
}


static ngx_http_canary_inline ngx_http_canary_shard_t *
ngx_http_canary_shard(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_group_t *group, ngx_uint_t cell)
{
    ngx_http_canary_shard_t  *shard;

    shard = group->shards[cell];

    return ngx_http_canary_rarely(shard == NULL)
           ? ngx_http_canary_new_shard(conf, group, cell) : shard;
}


static ngx_http_canary_shard_t *
ngx_http_canary_new_shard(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_group_t *group, ngx_uint_t cell)
{
    ngx_http_canary_shard_t  *shard;

    static ngx_http_canary_shard_t  nowhere;

    shard = ngx_http_canary_shm_shard(conf->zone, conf->entry, group->slot,
                                      cell);

    if (shard == NULL) {

        /* what is counted there nobody reads */

        shard = &nowhere;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "canary_zone \"%V\" is full, some requests of canary "
                      "upstream \"%V\" are not counted",
                      &conf->zone->name, &conf->upstream->host);
    }

    group->shards[cell] = shard;

    return shard;
}


ngx_http_canary_choice_t *
ngx_http_canary_choose(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf)
{
    ngx_http_canary_choice_t   *choice, *first;
    ngx_http_variable_value_t  *memo;

    memo = &r->main->variables[conf->memo];
    first = memo->valid ? (ngx_http_canary_choice_t *) memo->data : NULL;

    for (choice = first; choice; choice = choice->next) {
        if (choice->conf == conf) {
            return choice;
        }
    }

    return ngx_http_canary_make(r, conf, memo, first);
}


static ngx_http_canary_inline ngx_http_canary_choice_t *
ngx_http_canary_make(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_variable_value_t *memo, ngx_http_canary_choice_t *next)
{
    u_char                    *p;
    ngx_pool_t                *pool;
    ngx_http_canary_choice_t  *choice;

#if !(NGX_DEBUG_PALLOC)

    /* what ngx_palloc() does nearly always, without the way there */

    pool = r->pool->current;

    do {
        p = ngx_align_ptr(pool->d.last, NGX_ALIGNMENT);

        if (p + sizeof(ngx_http_canary_choice_t) <= pool->d.end) {
            pool->d.last = p + sizeof(ngx_http_canary_choice_t);
            goto found;
        }

        pool = pool->d.next;

    } while (pool);

#endif

    p = ngx_palloc(r->pool, sizeof(ngx_http_canary_choice_t));
    if (p == NULL) {
        return NULL;
    }

found:

    choice = (ngx_http_canary_choice_t *) p;

    memo->data = (u_char *) choice;
    memo->valid = 1;

    choice->conf = conf;
    choice->next = next;
    choice->used = 0;
    choice->bucket = NGX_HTTP_CANARY_WHOLE;

    if (conf->by_address) {
        ngx_http_canary_select(r, conf, choice, 1);

    } else {
        ngx_http_canary_select_keyed(r, conf, choice);
    }

    choice->served = choice->group;

    return choice;
}


static void
ngx_http_canary_select_keyed(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice)
{
    ngx_http_canary_select(r, conf, choice, 0);

    if (conf->cookie && choice->bucket == NGX_HTTP_CANARY_WHOLE) {

        /* who is not placed by it now gets one for later */

        (void) ngx_http_canary_id(r, conf->cookie);
    }
}


static ngx_http_canary_inline void
ngx_http_canary_select(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice,
    ngx_uint_t by_address)
{
    ngx_uint_t                 bucket;
    ngx_atomic_uint_t          generation;
    ngx_http_canary_part_t    *part;
    ngx_http_canary_rule_t    *rule;
    ngx_http_canary_view_t    *view;
    ngx_http_canary_entry_t   *entry;

    view = &conf->view;
    entry = conf->entry;

    generation = ngx_http_canary_shm_generation(entry);

    if (ngx_http_canary_rarely(generation != view->generation)) {
        ngx_http_canary_refresh(conf);
        generation = view->generation;
    }

    choice->generation = generation;
    choice->revision = view->record.revision;

    if (conf->force) {

        /* the value may ask for the choice itself */

        ngx_http_canary_pin(choice, view->stable, NGX_HTTP_CANARY_BY_FORCE);

        choice->group = ngx_http_canary_forced(r, conf);

        if (choice->group < conf->ngroups) {
            return;
        }
    }

    if (ngx_http_canary_rarely((ngx_msec_int_t) (ngx_current_msec
                                                 - view->until) >= 0)
        && ngx_http_canary_look(conf))
    {
        ngx_http_canary_pin(choice, view->stable, NGX_HTTP_CANARY_BY_LAPSE);
        return;
    }

    if (view->rules) {
        rule = ngx_http_canary_match(r, view->rules);

        if (rule) {
            ngx_http_canary_follow(r, conf, choice, rule);
            return;
        }
    }

    part = view->parts;

    if (view->nparts) {

        if (!by_address && conf->key) {
            ngx_http_canary_pin(choice, view->stable,
                                NGX_HTTP_CANARY_BY_WEIGHT);
        }

        bucket = ngx_http_canary_find_bucket(r, conf, choice, by_address);

        /* the last part, which is stable's, ends above all buckets */

        while (bucket >= part->upto) {
            part++;
        }

        if (part->group == view->guarded
            && ngx_http_canary_rarely(ngx_http_canary_shm_tripped(entry)
                                      == generation))
        {
            ngx_http_canary_pin(choice, view->stable,
                                NGX_HTTP_CANARY_BY_GUARD);
            return;
        }
    }

    choice->group = part->group;
    choice->cell = NGX_HTTP_CANARY_WEIGHTED;
    choice->reason = NGX_HTTP_CANARY_BY_WEIGHT;
    choice->well = view->well[part->group];
}


/* a rule names a group, or has weights of its own */

static void
ngx_http_canary_follow(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_choice_t *choice, ngx_http_canary_rule_t *rule)
{
    ngx_uint_t               bucket;
    ngx_http_canary_part_t  *part;
    ngx_http_canary_view_t  *view;

    view = &conf->view;

    ngx_http_canary_pin(choice, rule->group, NGX_HTTP_CANARY_BY_RULE);

    if (rule->nparts) {
        bucket = ngx_http_canary_place(r, conf, choice);

        for (part = rule->parts; bucket >= part->upto; part++) {
            /* void */
        }

        choice->group = part->group;
    }

    if (ngx_http_canary_tripped(conf) == choice->group) {
        ngx_http_canary_pin(choice, view->stable, NGX_HTTP_CANARY_BY_GUARD);
        return;
    }

    if (rule->cell != NGX_HTTP_CANARY_PINNED) {
        choice->cell = rule->cell;
        choice->well = view->well[choice->group];
    }
}


ngx_uint_t
ngx_http_canary_place(ngx_http_request_t *r, ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_choice_t *choice)
{
    return ngx_http_canary_find_bucket(r, conf, choice, conf->by_address);
}


static ngx_http_canary_inline ngx_uint_t
ngx_http_canary_find_bucket(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_http_canary_choice_t *choice,
    ngx_uint_t by_address)
{
    ngx_str_t  key;

    if (by_address) {
        key = r->connection->addr_text;

    } else {
        key = conf->key ? ngx_http_canary_value(r, conf->key)
                        : ngx_http_canary_id(r, conf->cookie);
    }

    choice->bucket = ngx_http_canary_bucket(conf->view.seed, key.data,
                                            key.len);

    return choice->bucket;
}


static ngx_inline void
ngx_http_canary_pin(ngx_http_canary_choice_t *choice, ngx_uint_t group,
    ngx_http_canary_reason_e reason)
{
    choice->group = group;
    choice->served = group;
    choice->cell = NGX_HTTP_CANARY_PINNED;
    choice->reason = reason;
    choice->well = NULL;
}


/*
 * Whether the lease has lapsed, and until when that need not be asked again,
 * nor the half of the guard's window.  A lease that is renewed only ends
 * later, and another record makes another view.
 */

static ngx_uint_t
ngx_http_canary_look(ngx_http_canary_srv_conf_t *conf)
{
    ngx_msec_t               until;
    ngx_msec_int_t           left;
    ngx_http_canary_side_t  *sides;
    ngx_http_canary_view_t  *view;

    view = &conf->view;

    if (ngx_http_canary_lapsed(conf)) {
        return 1;
    }

    left = NGX_HTTP_CANARY_LOOK;

    if (view->record.lease_ms && !view->record.keep) {
        left = ngx_min(left, ngx_http_canary_shm_lease_left(conf->entry));
    }

    ngx_memzero(view->well, sizeof(view->well));

    if (view->guarded < conf->ngroups
        && ngx_http_canary_shm_half(conf->zone, conf->entry, view->generation,
                                    &view->record.guard, &sides, &until)
           == NGX_OK)
    {
        left = ngx_min(left, (ngx_msec_int_t) (until - ngx_current_msec));

        view->well[view->stable] = &sides[NGX_HTTP_CANARY_SIDE_STABLE];
        view->well[view->guarded] = &sides[NGX_HTTP_CANARY_SIDE_CANARY];
    }

    view->until = ngx_current_msec + left;

    return 0;
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


static ngx_http_canary_inline ngx_uint_t
ngx_http_canary_bucket(uint64_t seed, u_char *data, size_t len)
{
    uint64_t  hash;

    if (len >= 8) {
        hash = ngx_http_canary_hash_long(seed, data, len);

    } else if (len) {
        hash = ngx_http_canary_hash_short(seed, data, len);

    } else {
        return ngx_random() % NGX_HTTP_CANARY_WHOLE;
    }

    return (ngx_uint_t) (((hash >> 32) * NGX_HTTP_CANARY_WHOLE) >> 32);
}
