
/*
 * Directives of values and locations.
 */


#include "ngx_http_canary.h"


char *
ngx_http_canary_set_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t                          *value, name;
    ngx_uint_t                          i, is_key;
    ngx_http_canary_value_t           **cvp, *cv;
    ngx_http_canary_srv_conf_t         *ccf;
    ngx_http_compile_complex_value_t    ccv;

    cvp = (ngx_http_canary_value_t **) (p + cmd->offset);

    if (*cvp) {
        return "is duplicate";
    }

    is_key = (cmd->offset == offsetof(ngx_http_canary_srv_conf_t, key));

    if (is_key) {
        ccf = conf;

        if (ccf->keyed) {
            return "is duplicate";
        }

        if (ccf->cookie) {
            return "and \"canary_cookie\" exclude each other: the cookie is "
                   "the key";
        }

        ccf->keyed = 1;
    }

    cv = ngx_pcalloc(cf->pool, sizeof(ngx_http_canary_value_t));
    if (cv == NULL) {
        return NGX_CONF_ERROR;
    }

    *cvp = cv;

    value = cf->args->elts;

    name.data = value[1].data + 1;
    name.len = value[1].len - 1;

    if (value[1].len > 1 && value[1].data[0] == '$') {

        for (i = 0; i < name.len; i++) {
            if (!((name.data[i] >= 'a' && name.data[i] <= 'z')
                  || (name.data[i] >= 'A' && name.data[i] <= 'Z')
                  || name.data[i] == '_'
                  || (i && name.data[i] >= '0' && name.data[i] <= '9')))
            {
                break;
            }
        }

        if (i == name.len) {

            if (is_key
                && name.len == sizeof("remote_addr") - 1
                && ngx_strncmp(name.data, "remote_addr", name.len) == 0)
            {
                /* the default, which needs no variable */

                *cvp = NULL;
                return NGX_CONF_OK;
            }

            cv->index = ngx_http_get_variable_index(cf, &name);

            return cv->index == NGX_ERROR ? NGX_CONF_ERROR : NGX_CONF_OK;
        }
    }

    cv->index = NGX_ERROR;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = &cv->complex;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_canary_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_canary_loc_conf_t  *clcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *core;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (core->handler) {
        return "is duplicate";
    }

    if (cf->args->nelts == 2) {
        value = cf->args->elts;

        if (ngx_strcmp(value[1].data, "write=on") == 0) {
            clcf->write = 1;

        } else if (ngx_strcmp(value[1].data, "write=off") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", write=on|off is one",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    core->handler = ngx_http_canary_api_handler;

    return NGX_CONF_OK;
}
