
/*
 * Variables.  They choose at their first use, so that what comes before the
 * choice of a server, such as a cache key, may contain them.
 */


#include "ngx_http_canary.h"


typedef enum {
    NGX_HTTP_CANARY_VAR_GROUP = 0,
    NGX_HTTP_CANARY_VAR_SERVED,
    NGX_HTTP_CANARY_VAR_REASON,
    NGX_HTTP_CANARY_VAR_REVISION,
    NGX_HTTP_CANARY_VAR_BUCKET,
    NGX_HTTP_CANARY_VAR_ID,
    NGX_HTTP_CANARY_VAR_MEMO
} ngx_http_canary_var_e;


static ngx_int_t ngx_http_canary_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_canary_group_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_canary_set_variable(ngx_http_variable_value_t *v,
    ngx_str_t *value);
static ngx_http_canary_name_t *ngx_http_canary_find_name(
    ngx_http_canary_main_conf_t *cmcf, ngx_str_t *var);
static ngx_int_t ngx_http_canary_sort_names(ngx_conf_t *cf,
    ngx_http_canary_main_conf_t *cmcf);
static int ngx_libc_cdecl ngx_http_canary_cmp_names(const void *one,
    const void *two);
static ngx_http_canary_srv_conf_t *ngx_http_canary_find_conf(
    ngx_http_request_t *r);


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

    { ngx_string("canary_bucket"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_BUCKET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_id"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("canary_memo"), NULL, ngx_http_canary_variable,
      NGX_HTTP_CANARY_VAR_MEMO, 0, 0 },

    { ngx_string("canary_group_"), NULL, ngx_http_canary_group_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

      ngx_http_null_variable
};


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
    ngx_str_t                    s;
    ngx_http_canary_choice_t    *choice;
    ngx_http_canary_srv_conf_t  *conf;

    conf = (data == NGX_HTTP_CANARY_VAR_MEMO) ? NULL
                                              : ngx_http_canary_find_conf(r);

    if (conf == NULL
        || (data == NGX_HTTP_CANARY_VAR_ID && conf->cookie == NULL))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    choice = ngx_http_canary_choose(r, conf);
    if (choice == NULL) {
        return NGX_ERROR;
    }

    switch (data) {

    case NGX_HTTP_CANARY_VAR_GROUP:
        s = conf->groups[choice->group].name;
        break;

    case NGX_HTTP_CANARY_VAR_SERVED:
        s = conf->groups[choice->served].name;
        break;

    case NGX_HTTP_CANARY_VAR_REASON:
        s = ngx_http_canary_reasons[choice->reason];
        break;

    case NGX_HTTP_CANARY_VAR_ID:
        s = ngx_http_canary_id(r, conf->cookie);
        break;

    default: /* a number */

        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        s.data = p;

        if (data == NGX_HTTP_CANARY_VAR_REVISION) {
            s.len = ngx_sprintf(p, "%uL", choice->revision) - p;
            break;
        }

        if (choice->bucket == NGX_HTTP_CANARY_WHOLE) {
            (void) ngx_http_canary_place(r, conf, choice);
        }

        s.len = ngx_sprintf(p, "%ui", choice->bucket) - p;
    }

    return ngx_http_canary_set_variable(v, &s);
}


/* $canary_group_NAME: the group of that upstream, wherever it is asked for */

static ngx_int_t
ngx_http_canary_group_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  *name = (ngx_str_t *) data;

    ngx_http_canary_name_t       *found;
    ngx_http_canary_choice_t     *choice;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    found = ngx_http_canary_find_name(cmcf, name);

    if (found == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    choice = ngx_http_canary_choose(r, found->conf);
    if (choice == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_canary_set_variable(v,
                               &found->conf->groups[choice->group].name);
}


static ngx_int_t
ngx_http_canary_set_variable(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    v->data = value->data;
    v->len = value->len;

    return NGX_OK;
}


static ngx_http_canary_name_t *
ngx_http_canary_find_name(ngx_http_canary_main_conf_t *cmcf, ngx_str_t *var)
{
    ngx_http_canary_name_t  key;

    key.name.data = var->data + sizeof("canary_group_") - 1;
    key.name.len = var->len - (sizeof("canary_group_") - 1);

    return bsearch(&key, cmcf->names, cmcf->upstreams.nelts,
                   sizeof(ngx_http_canary_name_t), ngx_http_canary_cmp_names);
}


/*
 * All upstreams and all variables of the configuration are known: a variable
 * of an upstream that there is not would be empty for ever.
 */

ngx_int_t
ngx_http_canary_check_variables(ngx_conf_t *cf)
{
    ngx_uint_t                    i, k;
    ngx_hash_key_t               *key;
    ngx_http_variable_t          *v;
    ngx_http_canary_name_t       *name, *last;
    ngx_http_core_main_conf_t    *core;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_canary_module);
    core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (ngx_http_canary_sort_names(cf, cmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    last = cmcf->names + cmcf->upstreams.nelts;
    v = core->variables.elts;

    for (i = 0; i < core->variables.nelts; i++) {

        if (v[i].get_handler
            || v[i].name.len < sizeof("canary_group_") - 1
            || ngx_strncmp(v[i].name.data, "canary_group_",
                           sizeof("canary_group_") - 1)
               != 0)
        {
            continue;
        }

        /* a "map" may have made one of that name */

        key = core->variables_keys->keys.elts;

        for (k = 0; k < core->variables_keys->keys.nelts; k++) {
            if (key[k].key.len == v[i].name.len
                && ngx_memcmp(key[k].key.data, v[i].name.data, key[k].key.len)
                   == 0)
            {
                break;
            }
        }

        if (k < core->variables_keys->keys.nelts) {
            continue;
        }

        name = ngx_http_canary_find_name(cmcf, &v[i].name);

        if (name == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "there is no canary upstream for the variable "
                          "\"$%V\"", &v[i].name);
            return NGX_ERROR;
        }

        if ((name > cmcf->names
             && ngx_http_canary_cmp_names(name, name - 1) == 0)
            || (name + 1 < last
                && ngx_http_canary_cmp_names(name, name + 1) == 0))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "more than one canary upstream has the variable "
                          "\"$%V\"", &v[i].name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Names of variables are of lower case letters, digits and "_": any other
 * character of an upstream's name is written as "_".
 */

static ngx_int_t
ngx_http_canary_sort_names(ngx_conf_t *cf, ngx_http_canary_main_conf_t *cmcf)
{
    u_char                       *c;
    ngx_uint_t                    i, k;
    ngx_str_t                    *host;
    ngx_http_canary_name_t       *name;
    ngx_http_canary_srv_conf_t  **confs;

    confs = cmcf->upstreams.elts;

    name = ngx_palloc(cf->pool, (cmcf->upstreams.nelts + 1)
                                * sizeof(ngx_http_canary_name_t));
    if (name == NULL) {
        return NGX_ERROR;
    }

    cmcf->names = name;

    for (i = 0; i < cmcf->upstreams.nelts; i++, name++) {
        host = &confs[i]->upstream->host;

        name->conf = confs[i];
        name->name.len = host->len;
        name->name.data = ngx_pnalloc(cf->pool, host->len);

        if (name->name.data == NULL) {
            return NGX_ERROR;
        }

        ngx_strlow(name->name.data, host->data, host->len);

        for (k = 0; k < host->len; k++) {
            c = &name->name.data[k];

            if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))) {
                *c = '_';
            }
        }
    }

    qsort(cmcf->names, cmcf->upstreams.nelts, sizeof(ngx_http_canary_name_t),
          ngx_http_canary_cmp_names);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_canary_cmp_names(const void *one, const void *two)
{
    const ngx_http_canary_name_t  *a = one, *b = two;

    if (a->name.len != b->name.len) {
        return a->name.len < b->name.len ? -1 : 1;
    }

    return ngx_memcmp(a->name.data, b->name.data, a->name.len);
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
