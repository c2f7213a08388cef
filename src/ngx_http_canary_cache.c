
/*
 * A cache in front of a canary upstream keeps groups apart only if its key
 * has the group: nginx -t warns where it does not.
 *
 * The keys are private to the modules that cache.  So their directives are
 * watched while the configuration is read: ours is called, notes the line,
 * and calls the original, which is put back when the reading ends.
 */


#include "ngx_http_canary.h"


typedef struct {
    ngx_command_t                   *cmd;
    char                          *(*set)(ngx_conf_t *cf, ngx_command_t *cmd,
                                          void *conf);
    ngx_uint_t                       n;          /* of the module */
    ngx_uint_t                       key;        /* not the cache itself */
} ngx_http_canary_watch_t;


static char *ngx_http_canary_cache_seen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void ngx_http_canary_cache_unwatch(void *data);
static ngx_module_t *ngx_http_canary_cache_module(ngx_conf_t *cf,
    ngx_uint_t n);
static void ngx_http_canary_cache_check(ngx_conf_t *cf,
    ngx_http_canary_loc_conf_t *prev, ngx_http_canary_loc_conf_t *conf,
    ngx_uint_t n);
static ngx_uint_t ngx_http_canary_cache_grouped(ngx_str_t *key);


static char  *ngx_http_canary_cachers[NGX_HTTP_CANARY_CACHERS] = {
    "proxy", "fastcgi", "uwsgi", "scgi"
};


static ngx_uint_t               ngx_http_canary_nwatched;
static ngx_http_canary_watch_t  ngx_http_canary_watched[
                                           2 * NGX_HTTP_CANARY_CACHERS];


/* also if the configuration is refused, the temporary pool is destroyed */

ngx_int_t
ngx_http_canary_cache_watch(ngx_conf_t *cf)
{
    size_t                    len;
    u_char                    name[NGX_HTTP_CANARY_NAME_LEN];
    ngx_uint_t                n, key;
    ngx_module_t             *module;
    ngx_command_t            *cmd;
    ngx_pool_cleanup_t       *cln;
    ngx_http_canary_watch_t  *w;

    cln = ngx_pool_cleanup_add(cf->temp_pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_canary_cache_unwatch;

    for (n = 0; n < NGX_HTTP_CANARY_CACHERS; n++) {
        module = ngx_http_canary_cache_module(cf, n);

        if (module == NULL) {
            continue;
        }

        ngx_sprintf(name, "%s_cache%Z", ngx_http_canary_cachers[n]);
        len = ngx_strlen(name);

        for (cmd = module->commands; cmd->name.len; cmd++) {

            if (ngx_strncmp(cmd->name.data, name, len) != 0) {
                continue;
            }

            key = (ngx_strcmp(cmd->name.data + len, "_key") == 0);

            if (!key && cmd->name.len != len) {
                continue;
            }

            w = &ngx_http_canary_watched[ngx_http_canary_nwatched++];

            w->cmd = cmd;
            w->set = cmd->set;
            w->n = n;
            w->key = key;

            cmd->set = ngx_http_canary_cache_seen;
        }
    }

    return NGX_OK;
}


static void
ngx_http_canary_cache_unwatch(void *data)
{
    ngx_http_canary_watch_t  *w;

    while (ngx_http_canary_nwatched) {
        w = &ngx_http_canary_watched[--ngx_http_canary_nwatched];
        w->cmd->set = w->set;
    }
}


/* one that nginx was built without is not there */

static ngx_module_t *
ngx_http_canary_cache_module(ngx_conf_t *cf, ngx_uint_t n)
{
    u_char       name[NGX_HTTP_CANARY_NAME_LEN];
    ngx_uint_t   i;

    ngx_sprintf(name, "ngx_http_%s_module%Z", ngx_http_canary_cachers[n]);

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name, name) == 0) {
            return cf->cycle->modules[i];
        }
    }

    return NULL;
}


static char *
ngx_http_canary_cache_seen(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                   *value;
    ngx_http_canary_line_t      *line;
    ngx_http_canary_watch_t     *w;
    ngx_http_canary_loc_conf_t  *clcf;

    for (w = ngx_http_canary_watched; w->cmd != cmd; w++) { /* void */ }

    line = ngx_palloc(cf->pool, sizeof(ngx_http_canary_line_t));
    if (line == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    line->file = cf->conf_file->file.name.data;
    line->line = cf->conf_file->line;
    line->grouped = ngx_http_canary_cache_grouped(&value[1]);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_canary_module);

    if (w->key) {
        clcf->keys[w->n] = line;

    } else {
        clcf->caches[w->n] = line;
    }

    return w->set(cf, cmd, conf);
}


/* $canary_group or $canary_group_NAME, with or without braces */

static ngx_uint_t
ngx_http_canary_cache_grouped(ngx_str_t *key)
{
    u_char  *p, *last;

    last = key->data + key->len;

    for (p = key->data; p < last; p++) {

        if (*p++ != '$') {
            p--;
            continue;
        }

        if (p < last && *p == '{') {
            p++;
        }

        if ((size_t) (last - p) >= sizeof("canary_group") - 1
            && ngx_strncasecmp(p, (u_char *) "canary_group",
                               sizeof("canary_group") - 1)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* runs after the merging of those who cache, with their context */

char *
ngx_http_canary_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_canary_loc_conf_t  *prev = parent;
    ngx_http_canary_loc_conf_t  *conf = child;

    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_CANARY_CACHERS; n++) {

        if (conf->keys[n] == NULL) {
            conf->keys[n] = prev->keys[n];
        }

        if (conf->caches[n] == NULL) {
            conf->caches[n] = prev->caches[n];
        }

        if (conf->caches[n]) {
            ngx_http_canary_cache_check(cf, prev, conf, n);
        }
    }

    return NGX_CONF_OK;
}


static void
ngx_http_canary_cache_check(ngx_conf_t *cf, ngx_http_canary_loc_conf_t *prev,
    ngx_http_canary_loc_conf_t *conf, ngx_uint_t n)
{
#if (NGX_HTTP_CACHE)

    char                          *name;
    ngx_module_t                  *module;
    ngx_http_canary_line_t        *line;
    ngx_http_upstream_conf_t      *u;
    ngx_http_core_loc_conf_t      *core;
    ngx_http_canary_srv_conf_t    *ccf;
    ngx_http_upstream_srv_conf_t  *uscf;

    module = ngx_http_canary_cache_module(cf, n);

    /* what is common to all of them comes first in their configurations */

    u = ((ngx_http_conf_ctx_t *) cf->ctx)->loc_conf[module->ctx_index];

    uscf = u->upstream;

    if (!u->cache || uscf == NULL || uscf->srv_conf == NULL) {
        return;
    }

    ccf = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_canary_module);

    if (ccf->zone == NULL || (conf->keys[n] && conf->keys[n]->grouped)) {
        return;
    }

    conf->warned[n] = uscf;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (core->noname && prev->warned[n] == uscf
        && prev->keys[n] == conf->keys[n])
    {
        return;
    }

    name = ngx_http_canary_cachers[n];
    line = conf->keys[n];

    if (line) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"%s_cache_key\" has no $canary_group: location "
                      "\"%V\" is passed to canary upstream \"%V\", and who "
                      "belongs to one group is served what another one "
                      "answered, in %s:%ui", name, &core->name, &uscf->host,
                      line->file, line->line);
        return;
    }

    line = conf->caches[n];

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "\"%s_cache\" without a \"%s_cache_key\" that has "
                  "$canary_group: location \"%V\" is passed to canary "
                  "upstream \"%V\", and who belongs to one group is served "
                  "what another one answered, in %s:%ui", name, name,
                  &core->name, &uscf->host, line->file, line->line);

#endif
}
