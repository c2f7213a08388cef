
/*
 * Rules at work.  The zone keeps their text; each worker makes its own rules
 * of it when the record changes, and asks which one is a request's.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_compat.h"


static void ngx_http_canary_resolve_rules(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_rules_t *rules);
static ngx_uint_t ngx_http_canary_rule_matches(ngx_http_request_t *r,
    ngx_http_canary_rule_t *rule);
static ngx_uint_t ngx_http_canary_has_code(ngx_array_t *codes,
    ngx_uint_t code);
static ngx_uint_t ngx_http_canary_has_asn(ngx_array_t *asns, ngx_uint_t asn);
static ngx_uint_t ngx_http_canary_has_header(ngx_http_request_t *r,
    ngx_http_canary_pair_t *pair);
static ngx_uint_t ngx_http_canary_has_cookie(ngx_http_request_t *r,
    ngx_http_canary_pair_t *pair);
static void ngx_http_canary_rules_cleanup(void *data);


/*
 * Makes this worker's rules of the text that the zone holds.  Without memory
 * there are none until the next record, and the log says so.
 */

void
ngx_http_canary_make_rules(ngx_http_canary_srv_conf_t *conf, u_char *text)
{
    size_t                     len;
    cJSON                     *json;
    ngx_int_t                  rc;
    ngx_pool_t                *pool;
    ngx_http_canary_error_t    error;
    ngx_http_canary_rules_t   *rules;

    ngx_http_canary_drop_rules(conf);

    len = conf->view.record.rules_len;

    if (len == 0) {
        return;
    }

    rc = NGX_ERROR;
    error.detail[0] = '\0';

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    json = cJSON_ParseWithLength((char *) text, len);

    if (pool == NULL || json == NULL) {
        goto done;
    }

    rules = ngx_palloc(pool, sizeof(ngx_http_canary_rules_t));

    if (rules == NULL
        || ngx_http_canary_read_rules(json, pool, conf->entry, 1, rules,
                                      &error)
           != NGX_OK)
    {
        goto done;
    }

    rules->text.data = ngx_pnalloc(pool, len);
    if (rules->text.data == NULL) {
        goto done;
    }

    rules->text.len = len;
    ngx_memcpy(rules->text.data, text, len);

    rules->pool = pool;

    ngx_http_canary_resolve_rules(conf, rules);

    conf->view.rules = rules;
    rc = NGX_OK;

done:

    cJSON_Delete(json);

    if (rc != NGX_OK) {

        if (pool) {
            ngx_destroy_pool(pool);
        }

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "rules of canary upstream \"%V\" are not applied: %s",
                      &conf->upstream->host, error.detail);
    }
}


void
ngx_http_canary_drop_rules(ngx_http_canary_srv_conf_t *conf)
{
    ngx_pool_t        *pool;

    static ngx_log_t   silent;

    if (conf->view.rules) {
        pool = conf->view.rules->pool;

        /* the log that it was made with may be gone with its cycle */

        pool->log = &silent;

        ngx_destroy_pool(pool);
        conf->view.rules = NULL;
    }
}


/* a group that the configuration no longer has is stable, as for weights */

static void
ngx_http_canary_resolve_rules(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_rules_t *rules)
{
    ngx_uint_t               i, n;
    ngx_http_canary_rule_t  *rule;

    for (n = 0; n < rules->nrules; n++) {
        rule = &rules->rules[n];

        rule->group = conf->view.stable;

        if (rule->slot == NGX_HTTP_CANARY_NO_SLOT) {
            rule->nparts = ngx_http_canary_make_parts(conf, rule->weights,
                                                      rule->parts);
            continue;
        }

        if (rule->slot == NGX_HTTP_CANARY_ROLE_CANARY
            && conf->view.canary < conf->ngroups)
        {
            rule->group = conf->view.canary;
        }

        for (i = 0; i < conf->ngroups; i++) {
            if (conf->groups[i].slot == rule->slot) {
                rule->group = i;
            }
        }
    }
}


/* the first rule that matches, or NULL */

ngx_http_canary_rule_t *
ngx_http_canary_match(ngx_http_request_t *r, ngx_http_canary_rules_t *rules)
{
    ngx_uint_t  i;

    for (i = 0; i < rules->nrules; i++) {
        if (ngx_http_canary_rule_matches(r, &rules->rules[i])) {

            ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                           "http canary: rule %ui", i);

            return &rules->rules[i];
        }
    }

    return NULL;
}


/* what is cheap comes first */

static ngx_uint_t
ngx_http_canary_rule_matches(ngx_http_request_t *r,
    ngx_http_canary_rule_t *rule)
{
    ngx_http_canary_geo_t  *geo;

    if (rule->cidr
        && ngx_cidr_match(r->connection->sockaddr, rule->cidr) != NGX_OK)
    {
        return 0;
    }

    if (rule->header && !ngx_http_canary_has_header(r, rule->header)) {
        return 0;
    }

    if (rule->cookie && !ngx_http_canary_has_cookie(r, rule->cookie)) {
        return 0;
    }

    if (rule->country == NULL && rule->continent == NULL
        && rule->asn == NULL)
    {
        return 1;
    }

    geo = ngx_http_canary_geoip_lookup(r);

    return (rule->country == NULL
            || ngx_http_canary_has_code(rule->country, geo->country))
           && (rule->continent == NULL
               || ngx_http_canary_has_code(rule->continent, geo->continent))
           && (rule->asn == NULL
               || ngx_http_canary_has_asn(rule->asn, geo->asn));
}


static ngx_uint_t
ngx_http_canary_has_code(ngx_array_t *codes, ngx_uint_t code)
{
    uint16_t    *elts;
    ngx_uint_t   i;

    elts = codes->elts;

    for (i = 0; i < codes->nelts; i++) {
        if (elts[i] == code) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_canary_has_asn(ngx_array_t *asns, ngx_uint_t asn)
{
    uint32_t    *elts;
    ngx_uint_t   i;

    elts = asns->elts;

    for (i = 0; i < asns->nelts; i++) {
        if (elts[i] == asn) {
            return 1;
        }
    }

    return 0;
}


/* of several headers of the name one has to be right */

static ngx_uint_t
ngx_http_canary_has_header(ngx_http_request_t *r,
    ngx_http_canary_pair_t *pair)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == pair->hash
                && h[i].key.len == pair->name.len
                && ngx_strncasecmp(h[i].key.data, pair->name.data,
                                   pair->name.len)
                   == 0
                && (pair->value.data == NULL
                    || (h[i].value.len == pair->value.len
                        && ngx_memcmp(h[i].value.data, pair->value.data,
                                      pair->value.len)
                           == 0)))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_canary_has_cookie(ngx_http_request_t *r,
    ngx_http_canary_pair_t *pair)
{
    ngx_str_t  value;

    return ngx_http_canary_get_cookie(r, &pair->name, &value) == NGX_OK
           && (pair->value.data == NULL
               || (value.len == pair->value.len
                   && ngx_memcmp(value.data, pair->value.data, value.len)
                      == 0));
}


/* a configuration that goes takes the rules that were made for it along */

ngx_int_t
ngx_http_canary_rules_init(ngx_conf_t *cf, ngx_http_canary_main_conf_t *cmcf)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_canary_rules_cleanup;
    cln->data = cmcf;

    return NGX_OK;
}


static void
ngx_http_canary_rules_cleanup(void *data)
{
    ngx_http_canary_main_conf_t  *cmcf = data;

    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **confs;

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        ngx_http_canary_drop_rules(confs[i]);
    }
}
