
/*
 * Changes through the API: a routing record, a lease, a drained server.
 */


#include "ngx_http_canary_api.h"


#define NGX_HTTP_CANARY_MAX_BODY     65536


static void ngx_http_canary_api_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_read_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_canary_api_put(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json);
static ngx_uint_t ngx_http_canary_api_has(ngx_http_canary_srv_conf_t *conf,
    ngx_uint_t slot);
static char *ngx_http_canary_api_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record);
static ngx_int_t ngx_http_canary_api_lease(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json);
static ngx_int_t ngx_http_canary_api_server(ngx_http_request_t *r,
    ngx_http_canary_route_t *route, cJSON *json);
static ngx_http_canary_waiter_t *ngx_http_canary_api_waiter(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_save(ngx_http_request_t *r,
    ngx_http_canary_zone_t *zone, ngx_http_canary_waiter_t *waiter);
static void ngx_http_canary_api_forget(void *data);
static void ngx_http_canary_api_saved(void *data);
static ngx_int_t ngx_http_canary_api_changed(ngx_http_request_t *r);


ngx_int_t
ngx_http_canary_api_write(ngx_http_request_t *r)
{
    size_t                       len;
    ngx_int_t                    rc;
    ngx_str_t                   *type;
    ngx_http_canary_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_canary_module);

    if (!clcf->write) {
        (void) ngx_http_discard_request_body(r);
        return ngx_http_canary_problem(r, NGX_HTTP_FORBIDDEN, NULL,
                               "this location has no canary_api write=on");
    }

    if (r->headers_in.content_length_n > NGX_HTTP_CANARY_MAX_BODY) {
        (void) ngx_http_discard_request_body(r);
        return ngx_http_canary_problem(r,
                               NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL,
                               "a body may have 65536 bytes");
    }

    len = sizeof("application/json") - 1;
    type = r->headers_in.content_type ? &r->headers_in.content_type->value
                                      : NULL;

    if (type == NULL || type->len < len
        || ngx_strncasecmp(type->data, (u_char *) "application/json", len)
           != 0
        || (type->len > len && type->data[len] != ';'
            && type->data[len] != ' '))
    {
        (void) ngx_http_discard_request_body(r);
        return ngx_http_canary_problem(r,
                               NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, NULL,
                               "Content-Type must be application/json");
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_canary_api_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_canary_api_body(ngx_http_request_t *r)
{
    cJSON                       *json;
    ngx_int_t                    rc;
    ngx_str_t                    body;
    ngx_http_canary_route_t      route;

    json = NULL;

    rc = ngx_http_canary_api_read_body(r, &body);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_canary_problem(r,
                               NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL,
                               "a body may have 65536 bytes");
        goto done;
    }

    if (rc != NGX_OK
        || ngx_http_canary_api_route(r, &route) != NGX_OK)
    {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        goto done;
    }

    /* a NUL follows the body; one inside it would end what cJSON reads */

    if (ngx_strlen(body.data) == body.len
        && ngx_strstr(body.data, "\\u0000") == NULL)
    {
        json = cJSON_ParseWithLengthOpts((char *) body.data, body.len + 1,
                                         NULL, 1);
    }

    if (json == NULL) {
        rc = ngx_http_canary_problem(r, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the body is not JSON");
        goto done;
    }

    switch (route.what) {

    case NGX_HTTP_CANARY_API_LEASE:
        rc = ngx_http_canary_api_lease(r, route.conf, json);
        break;

    case NGX_HTTP_CANARY_API_SERVER:
        rc = ngx_http_canary_api_server(r, &route, json);
        break;

    default: /* NGX_HTTP_CANARY_API_ONE */
        rc = ngx_http_canary_api_put(r, route.conf, json);
    }

done:

    cJSON_Delete(json);

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_canary_api_read_body(ngx_http_request_t *r, ngx_str_t *body)
{
    off_t         size;
    u_char       *p;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    size = 0;

    if (r->request_body) {
        for (cl = r->request_body->bufs; cl; cl = cl->next) {
            size += ngx_buf_size(cl->buf);
        }
    }

    if (size > NGX_HTTP_CANARY_MAX_BODY) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = size;

    for (cl = size ? r->request_body->bufs : NULL; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {

            /* the end of a chunked body is a buffer of its own */

            continue;
        }

        n = ngx_read_file(b->file, p, b->file_last - b->file_pos,
                          b->file_pos);

        if (n != b->file_last - b->file_pos) {
            return NGX_ERROR;
        }

        p += n;
    }

    *p = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_api_put(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json)
{
    char                         *field;
    uint64_t                      present;
    ngx_int_t                     rc;
    ngx_str_t                     rules;
    ngx_uint_t                    slot;
    ngx_http_canary_error_t       error;
    ngx_http_canary_record_t      record;
    ngx_http_canary_waiter_t     *waiter;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    if (ngx_http_canary_parse_record(json, r->pool, conf->entry,
                                     cmcf->geoip != NULL, &record, &rules,
                                     &error)
        != NGX_OK)
    {
        return ngx_http_canary_problem(r, 422, (char *) error.field,
                                           (char *) error.detail);
    }

    if (cJSON_GetObjectItemCaseSensitive(json, "canary") == NULL) {

        /* the oldest that is not stable, of those that are left */

        for (slot = 0; slot == record.stable
                       || !ngx_http_canary_api_has(conf, slot); slot++)
        {
            /* void: there are two groups at least */
        }

        record.canary = (u_char) slot;
    }

    field = ngx_http_canary_api_removed(conf, &record);

    if (field) {
        return ngx_http_canary_problem(r, 422, field,
                         "names a group that this upstream does not have any "
                         "more");
    }

    waiter = ngx_http_canary_api_waiter(r);
    if (waiter == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_canary_shm_put(conf->zone, conf->entry, &record, &rules,
                                 &present);

    if (rc == NGX_ERROR) {
        return ngx_http_canary_problem(r, NGX_HTTP_INSUFFICIENT_STORAGE,
                               "rules", "canary_zone is full: the first "
                               "rules of an upstream need 32k of it");
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_canary_conflict(r, present, "revision",
                               "must be above the present revision");
    }

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "canary upstream \"%V\" has revision %uL",
                      &conf->upstream->host, record.revision);
    }

    return ngx_http_canary_api_save(r, conf->zone, waiter);
}


/*
 * The zone remembers groups that an earlier configuration had.  They get no
 * weight; but to be named as canary does no harm, and a record that takes the
 * weight away must get through.
 */

static char *
ngx_http_canary_api_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CANARY_SLOTS; i++) {

        if (ngx_http_canary_api_has(conf, i)) {
            continue;
        }

        if (record->weights[i]) {
            return "weights";
        }

        if (record->stable == i) {
            return "stable";
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_canary_api_has(ngx_http_canary_srv_conf_t *conf, ngx_uint_t slot)
{
    ngx_uint_t  i;

    for (i = 0; i < conf->ngroups; i++) {
        if (conf->groups[i].slot == slot) {
            return 1;
        }
    }

    return 0;
}


/* {"drain": true} */

static ngx_int_t
ngx_http_canary_api_server(ngx_http_request_t *r,
    ngx_http_canary_route_t *route, cJSON *json)
{
    cJSON                         *item;
    ngx_int_t                      rc;
    ngx_http_canary_zone_t        *zone;
    ngx_http_canary_waiter_t      *waiter;
    ngx_http_canary_main_conf_t   *cmcf;
    ngx_http_upstream_rr_peers_t  *peers;

    item = cJSON_IsObject(json) ? json->child : NULL;

    if (item == NULL || item->next || ngx_strcmp(item->string, "drain") != 0
        || !cJSON_IsBool(item))
    {
        return ngx_http_canary_problem(r, 422, "drain",
                               "must be the only field, and true or false");
    }

    peers = ngx_http_canary_drain_peers(route->group->upstream);

    if (peers == NULL) {
        return ngx_http_canary_problem(r, NGX_HTTP_CONFLICT, NULL,
                               "the group needs a \"zone\": without one each "
                               "worker has its servers for itself");
    }

    waiter = ngx_http_canary_api_waiter(r);
    if (waiter == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    zone = route->conf->zone;
    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    rc = ngx_http_canary_drain(cmcf, zone, route->group, &route->server,
                               cJSON_IsTrue(item));

    if (rc == NGX_DECLINED) {
        return ngx_http_canary_problem(r, NGX_HTTP_NOT_FOUND, NULL,
                               "the group has no server of this address");
    }

    if (rc == NGX_BUSY) {
        return ngx_http_canary_problem(r, NGX_HTTP_INSUFFICIENT_STORAGE,
                               NULL, "canary_zone is full or has too many "
                               "drained servers");
    }

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "server \"%V\" of group \"%V\" %s", &route->server,
                  &route->group->name,
                  cJSON_IsTrue(item) ? "is drained" : "is not drained");

    return ngx_http_canary_api_save(r, zone, waiter);
}


/* made before the change, which no lack of memory must then hide */

static ngx_http_canary_waiter_t *
ngx_http_canary_api_waiter(ngx_http_request_t *r)
{
    ngx_http_cleanup_t        *cln;
    ngx_http_canary_waiter_t  *waiter;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_canary_waiter_t));
    if (cln == NULL) {
        return NULL;
    }

    waiter = cln->data;
    ngx_memzero(waiter, sizeof(ngx_http_canary_waiter_t));

    waiter->handler = ngx_http_canary_api_saved;
    waiter->data = r;

    cln->handler = ngx_http_canary_api_forget;

    return waiter;
}


/* the answer comes when the change is on disk, or "persisted" says it is not */

static ngx_int_t
ngx_http_canary_api_save(ngx_http_request_t *r, ngx_http_canary_zone_t *zone,
    ngx_http_canary_waiter_t *waiter)
{
    ngx_http_canary_state_save(zone);

    if (ngx_http_canary_state_wait(zone, waiter) == NGX_AGAIN) {
        r->main->count++;
        return NGX_DONE;
    }

    return ngx_http_canary_api_changed(r);
}


static void
ngx_http_canary_api_forget(void *data)
{
    ngx_http_canary_state_forget(data);
}


static void
ngx_http_canary_api_saved(void *data)
{
    ngx_http_request_t *r = data;

    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_finalize_request(r, ngx_http_canary_api_changed(r));

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_canary_api_changed(ngx_http_request_t *r)
{
    ngx_http_canary_out_t         out;
    ngx_http_canary_route_t       route;
    ngx_http_upstream_rr_peers_t  *peers;

    if (ngx_http_canary_api_route(r, &route) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (route.group == NULL) {
        return ngx_http_canary_api_one(r, route.conf, 0);
    }

    peers = ngx_http_canary_drain_peers(route.group->upstream);

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print(&out, "{");
    ngx_http_canary_print_head(&out, route.conf->zone);
    ngx_http_canary_print(&out, ", \"upstream\": ");
    ngx_http_canary_print_string(&out, &route.conf->upstream->host);
    ngx_http_canary_print(&out, ", \"group\": ");
    ngx_http_canary_print_string(&out, &route.group->name);
    ngx_http_canary_print(&out, ",\n \"servers\": ");
    ngx_http_canary_print_servers(&out, peers, &route.server);
    ngx_http_canary_print(&out, "}\n");

    return ngx_http_canary_api_json(r, &out);
}


static ngx_int_t
ngx_http_canary_api_lease(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json)
{
    uint64_t               revision, present;
    ngx_http_canary_out_t  out;

    if (ngx_http_canary_parse_revision(json, &revision) != NGX_OK) {
        return ngx_http_canary_problem(r, 422, "revision",
                        "must be the only field, a whole number above 0");
    }

    if (ngx_http_canary_shm_renew(conf->zone, conf->entry, revision, &present)
        != NGX_OK)
    {
        return ngx_http_canary_conflict(r, present, "revision",
                        present == revision ? "the record has no lease"
                                            : "is not the present revision");
    }

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print(&out, "{\"revision\": %uL, \"lease_left_ms\": %M}\n",
                          revision,
                          ngx_http_canary_shm_lease_left(conf->entry));

    return ngx_http_canary_api_json(r, &out);
}
