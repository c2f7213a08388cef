
/*
 * Directives, and the life of the module.
 */


#include "ngx_http_canary.h"


static ngx_int_t ngx_http_canary_preconfiguration(ngx_conf_t *cf);
static void *ngx_http_canary_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_canary_init_main_conf(ngx_conf_t *cf, void *conf);
static char *ngx_http_canary_check_upstream(ngx_conf_t *cf,
    ngx_http_canary_srv_conf_t *ccf);
static void *ngx_http_canary_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_canary_create_loc_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_canary_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_canary_init_process(ngx_cycle_t *cycle);
static ngx_http_canary_zone_t *ngx_http_canary_add_zone(ngx_conf_t *cf,
    ngx_str_t *name, size_t size);
static char *ngx_http_canary_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_canary(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_canary_add_group(ngx_conf_t *cf,
    ngx_http_canary_srv_conf_t *ccf, ngx_str_t *name);


static struct sockaddr  ngx_http_canary_nosockaddr;


static ngx_addr_t  ngx_http_canary_nowhere = {
    &ngx_http_canary_nosockaddr,
    sizeof(struct sockaddr),
    ngx_string("canary")
};


static ngx_conf_enum_t  ngx_http_canary_latencies[] = {
    { ngx_string("header"), 0 },
    { ngx_string("response"), 1 },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_canary_commands[] = {

    { ngx_string("canary_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE23,
      ngx_http_canary_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("canary"),
      NGX_HTTP_UPS_CONF|NGX_CONF_2MORE,
      ngx_http_canary,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("canary_key"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_canary_set_value,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_canary_srv_conf_t, key),
      NULL },

    { ngx_string("canary_cookie"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_canary_cookie,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("canary_force"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_canary_set_value,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_canary_srv_conf_t, force),
      NULL },

    { ngx_string("canary_failover"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_canary_srv_conf_t, failover),
      NULL },

    { ngx_string("canary_latency"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_canary_srv_conf_t, latency_response),
      ngx_http_canary_latencies },

    { ngx_string("canary_geoip"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_canary_geoip,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("canary_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_canary_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("canary_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_canary_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_canary_module_ctx = {
    ngx_http_canary_preconfiguration,      /* preconfiguration */
    ngx_http_canary_check_variables,       /* postconfiguration */

    ngx_http_canary_create_main_conf,      /* create main configuration */
    ngx_http_canary_init_main_conf,        /* init main configuration */

    ngx_http_canary_create_srv_conf,       /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_canary_create_loc_conf,       /* create location configuration */
    ngx_http_canary_merge_loc_conf         /* merge location configuration */
};


ngx_module_t  ngx_http_canary_module = {
    NGX_MODULE_V1,
    &ngx_http_canary_module_ctx,           /* module context */
    ngx_http_canary_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_canary_init_module,           /* init module */
    ngx_http_canary_init_process,          /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_canary_preconfiguration(ngx_conf_t *cf)
{
    if (ngx_http_canary_add_variables(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_canary_cache_watch(cf);
}


static void *
ngx_http_canary_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_canary_main_conf_t));
    if (cmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&cmcf->zones, cf->pool, 1,
                       sizeof(ngx_http_canary_zone_t *))
        != NGX_OK
        || ngx_array_init(&cmcf->upstreams, cf->pool, 4,
                          sizeof(ngx_http_canary_srv_conf_t *))
           != NGX_OK)
    {
        return NULL;
    }

    if (ngx_http_canary_rules_init(cf, cmcf) != NGX_OK) {
        return NULL;
    }

    return cmcf;
}


/* runs after the core's, so all blocks are known and initialized */

static char *
ngx_http_canary_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_canary_main_conf_t  *cmcf = conf;

    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **ccfp, **p;

    ccfp = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {

        if (ngx_http_canary_check_upstream(cf, ccfp[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

        p = ngx_array_push(&ccfp[i]->zone->upstreams);
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        *p = ccfp[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_canary_check_upstream(ngx_conf_t *cf, ngx_http_canary_srv_conf_t *ccf)
{
    ngx_http_upstream_srv_conf_t  *us;

    us = ccf->upstream;

    if (ccf->zone->shm_zone->shm.size == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown canary_zone \"%V\" in canary upstream \"%V\" "
                      "in %s:%ui", &ccf->zone->name, &us->host,
                      us->file_name, us->line);
        return NGX_CONF_ERROR;
    }

    if (us->servers->nelts != 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"server\" is not allowed in canary upstream \"%V\", "
                      "its groups have the servers, in %s:%ui",
                      &us->host, us->file_name, us->line);
        return NGX_CONF_ERROR;
    }

#if (NGX_HTTP_UPSTREAM_ZONE)

    if (us->shm_zone) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zone\" is not allowed in canary upstream \"%V\", "
                      "put it into its groups, in %s:%ui",
                      &us->host, us->file_name, us->line);
        return NGX_CONF_ERROR;
    }

#endif

    if (us->peer.init_upstream != ngx_http_canary_init_upstream) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "a balancing method or \"keepalive\" is not allowed in "
                      "canary upstream \"%V\", put it into its groups, "
                      "in %s:%ui", &us->host, us->file_name, us->line);
        return NGX_CONF_ERROR;
    }

    /*
     * nginx 1.29.7 and later wrap every block in keepalive, which would hold
     * the connections of our groups for them
     */

    us->peer.init = ngx_http_canary_init_peer;

    return NGX_CONF_OK;
}


static void *
ngx_http_canary_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_canary_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_canary_srv_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->zone = NULL;
     *     conf->upstream = NULL;
     *     conf->entry = NULL;
     *     conf->memo = 0;
     *     conf->ngroups = 0;
     *     conf->groups = { 0 };
     *     conf->key = NULL;
     *     conf->cookie = NULL;
     *     conf->keyed = 0;
     *     conf->force = NULL;
     *     conf->view = { 0 };
     */

    conf->failover = NGX_CONF_UNSET;
    conf->latency_response = NGX_CONF_UNSET_UINT;

    return conf;
}


static void *
ngx_http_canary_create_loc_conf(ngx_conf_t *cf)
{
    /*
     * set by ngx_pcalloc(); the handler is not inherited, so neither is this:
     *
     *     conf->write = 0;
     *     conf->bounds = NULL;
     *     conf->keys = { NULL };
     *     conf->caches = { NULL };
     *     conf->warned = { NULL };
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_canary_loc_conf_t));
}


static ngx_int_t
ngx_http_canary_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                    i, n;
    ngx_http_canary_zone_t      **zones;
    ngx_http_canary_srv_conf_t   *conf, **confs;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_canary_module);

    if (cmcf == NULL) {
        return NGX_OK;
    }

    /* what workers inherit */

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        conf = confs[i];

        ngx_http_canary_refresh(conf);

        for (n = 0; n < NGX_HTTP_CANARY_SLOTS; n++) {
            if (conf->view.removed & (1 << n)) {
                ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                              "canary upstream \"%V\" has no group \"%V\" any "
                              "more, its share goes to \"%V\"",
                              &conf->upstream->host,
                              ngx_http_canary_shm_slot_name(conf->entry, n),
                              &conf->groups[conf->view.stable].name);
            }
        }
    }

    zones = cmcf->zones.elts;

    for (i = 0; i < cmcf->zones.nelts; i++) {
        ngx_http_canary_shm_report(zones[i], cycle->log);
    }

    if (ngx_test_config) {
        return NGX_OK;
    }

    for (i = 0; i < cmcf->zones.nelts; i++) {

        /* groups have new zones, in which nothing is drained */

        ngx_http_canary_drain_apply(zones[i], cycle->log, 1);

        if (ngx_http_canary_state_init_module(cycle, zones[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                    i;
    ngx_http_canary_zone_t      **zones;
    ngx_http_canary_main_conf_t  *cmcf;

    /* cache manager and loader are worker 0, too */

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_canary_module);

    if (cmcf == NULL) {
        return NGX_OK;
    }

    zones = cmcf->zones.elts;

    for (i = 0; i < cmcf->zones.nelts; i++) {

        if (ngx_http_canary_state_init_process(cycle, zones[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the zone of that name, which its own directive may follow later */

static ngx_http_canary_zone_t *
ngx_http_canary_add_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size)
{
    ngx_shm_zone_t                *shm_zone;
    ngx_http_canary_zone_t        *zone, **zonep;
    ngx_http_canary_main_conf_t   *cmcf;

    shm_zone = ngx_shared_memory_add(cf, name, size, &ngx_http_canary_module);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data) {
        return shm_zone->data;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_canary_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    if (ngx_array_init(&zone->upstreams, cf->pool, 4,
                       sizeof(ngx_http_canary_srv_conf_t *))
        != NGX_OK)
    {
        return NULL;
    }

    zone->lock = NGX_INVALID_FILE;
    ngx_queue_init(&zone->waiters);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_canary_module);

    zonep = ngx_array_push(&cmcf->zones);
    if (zonep == NULL) {
        return NULL;
    }

    *zonep = zone;

    zone->name = *name;
    zone->shm_zone = shm_zone;
    zone->cycle = cf->cycle;

    shm_zone->init = ngx_http_canary_shm_init_zone;
    shm_zone->data = zone;

    return zone;
}


static char *
ngx_http_canary_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t                  size;
    ngx_str_t               *value;
    ngx_http_canary_zone_t  *zone;

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "canary_zone \"%V\" is too small: %V, "
                           "at least %uzk are needed", &value[1], &value[2],
                           8 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    zone = ngx_http_canary_add_zone(cf, &value[1], size);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (zone->file_name) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate canary_zone \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    zone->file_name = cf->conf_file->file.name.data;
    zone->line = cf->conf_file->line;

    if (cf->args->nelts == 4) {

        if (ngx_strncmp(value[3].data, "state=", 6) != 0
            || value[3].len == 6)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", state=path is one",
                               &value[3]);
            return NGX_CONF_ERROR;
        }

        zone->state.data = value[3].data + 6;
        zone->state.len = value[3].len - 6;

        if (ngx_conf_full_name(cf->cycle, &zone->state, 0) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ngx_http_canary_state_thread(cf, zone) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_canary(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_canary_srv_conf_t  *ccf = conf;

    ngx_str_t                     *value, name;
    ngx_uint_t                     i;
    ngx_http_upstream_server_t    *server;
    ngx_http_canary_srv_conf_t   **ccfp;
    ngx_http_canary_main_conf_t   *cmcf;
    ngx_http_upstream_srv_conf_t  *us;

    if (ccf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "zone=", 5) != 0 || value[1].len == 5) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"canary\" must begin with zone=name, not \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts < 4
        || cf->args->nelts > 2 + NGX_HTTP_CANARY_GROUPS)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"canary\" takes 2 to %d groups, not %ui",
                           NGX_HTTP_CANARY_GROUPS, cf->args->nelts - 2);
        return NGX_CONF_ERROR;
    }

    us = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (us->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a balancing method or \"keepalive\" is not "
                           "allowed beside \"canary\", put it into the "
                           "groups");
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data + 5;
    name.len = value[1].len - 5;

    ccf->upstream = us;

    ccf->memo = ngx_http_canary_memo_index(cf);
    if (ccf->memo == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    ccf->zone = ngx_http_canary_add_zone(cf, &name, 0);

    if (ccf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_canary_add_group(cf, ccf, &value[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    /*
     * the core refuses a block without servers; with an address, although it
     * is never used, other balancers get as far as our own check
     */

    server = ngx_array_push(us->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));

    server->name = us->host;
    server->addrs = &ngx_http_canary_nowhere;
    server->naddrs = 1;
    server->down = 1;

    us->flags = NGX_HTTP_UPSTREAM_CREATE;
    us->peer.init_upstream = ngx_http_canary_init_upstream;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_canary_module);

    ccfp = ngx_array_push(&cmcf->upstreams);
    if (ccfp == NULL) {
        return NGX_CONF_ERROR;
    }

    *ccfp = ccf;

    return NGX_CONF_OK;
}


static char *
ngx_http_canary_add_group(ngx_conf_t *cf, ngx_http_canary_srv_conf_t *ccf,
    ngx_str_t *name)
{
    u_char                   *c;
    ngx_url_t                 u;
    ngx_uint_t                i;
    ngx_http_canary_group_t  *group;

    if (name->len > NGX_HTTP_CANARY_NAME_LEN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "group name \"%V\" is longer than %d characters",
                           name, NGX_HTTP_CANARY_NAME_LEN);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < name->len; i++) {
        c = &name->data[i];

        if (*c <= ' ' || *c >= 0x7f || *c == '"' || *c == '\\') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid character in group name \"%V\"",
                               name);
            return NGX_CONF_ERROR;
        }
    }

    for (i = 0; i < ccf->ngroups; i++) {
        if (ccf->groups[i].name.len == name->len
            && ngx_memcmp(ccf->groups[i].name.data, name->data, name->len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate group \"%V\"", name);
            return NGX_CONF_ERROR;
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *name;
    u.no_resolve = 1;

    group = &ccf->groups[ccf->ngroups++];

    group->name = *name;
    group->slot = NGX_HTTP_CANARY_NO_SLOT;

    /* the block, or a stub that a later block fills in */

    group->upstream = ngx_http_upstream_add(cf, &u, 0);
    if (group->upstream == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
