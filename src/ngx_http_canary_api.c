
/*
 * The JSON API of a location: what each upstream serves and counted, and the
 * way to change it.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_MAX_BODY     65536


typedef enum {
    NGX_HTTP_CANARY_API_ALL = 0,
    NGX_HTTP_CANARY_API_ONE,
    NGX_HTTP_CANARY_API_LEASE,
    NGX_HTTP_CANARY_API_SERVER
} ngx_http_canary_api_e;


/* what a path names */

typedef struct {
    ngx_http_canary_api_e            what;
    ngx_http_canary_srv_conf_t      *conf;
    ngx_http_canary_group_t         *group;
    ngx_str_t                        server;
} ngx_http_canary_route_t;


static ngx_int_t ngx_http_canary_api_route(ngx_http_request_t *r,
    ngx_http_canary_route_t *route);
static ngx_int_t ngx_http_canary_api_route_below(ngx_str_t *path,
    ngx_http_canary_route_t *route);
static ngx_int_t ngx_http_canary_api_write(ngx_http_request_t *r);
static void ngx_http_canary_api_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_read_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_canary_api_put(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json);
static char *ngx_http_canary_api_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record);
static ngx_int_t ngx_http_canary_api_lease(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json);
static ngx_int_t ngx_http_canary_api_server(ngx_http_request_t *r,
    ngx_http_canary_route_t *route, cJSON *json);
static ngx_int_t ngx_http_canary_api_all(ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_all_step(ngx_http_canary_task_t *task);
static ngx_int_t ngx_http_canary_api_one(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters);
static ngx_int_t ngx_http_canary_api_json(ngx_http_request_t *r,
    ngx_http_canary_out_t *out);


static ngx_str_t  ngx_http_canary_json_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_canary_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_canary_route_t  route;

    rc = ngx_http_canary_api_route(r, &route);

    if (rc != NGX_OK) {
        (void) ngx_http_discard_request_body(r);
        return ngx_http_canary_problem(r, NGX_HTTP_NOT_FOUND, NULL,
                  "there are upstreams, upstreams/NAME, upstreams/NAME/lease "
                  "and upstreams/NAME/groups/GROUP/servers/ADDRESS, for "
                  "upstreams and groups of this nginx");
    }

    switch (route.what) {

    case NGX_HTTP_CANARY_API_LEASE:

        if (r->method == NGX_HTTP_POST) {
            return ngx_http_canary_api_write(r);
        }

        break;

    case NGX_HTTP_CANARY_API_ONE:
    case NGX_HTTP_CANARY_API_SERVER:

        if (r->method == NGX_HTTP_PUT) {
            return ngx_http_canary_api_write(r);
        }

        break;

    default: /* NGX_HTTP_CANARY_API_ALL */
        break;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (route.what == NGX_HTTP_CANARY_API_LEASE) {
        return ngx_http_canary_not_allowed(r, "POST");
    }

    if (route.what == NGX_HTTP_CANARY_API_SERVER) {
        return ngx_http_canary_not_allowed(r, "PUT");
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_canary_not_allowed(r, route.conf ? "GET, HEAD, PUT"
                                                         : "GET, HEAD");
    }

    return route.conf ? ngx_http_canary_api_one(r, route.conf, 1)
                      : ngx_http_canary_api_all(r);
}


static ngx_int_t
ngx_http_canary_api_route(ngx_http_request_t *r,
    ngx_http_canary_route_t *route)
{
    ngx_str_t                     path, rest, *name;
    ngx_uint_t                    i;
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_canary_srv_conf_t  **confs;
    ngx_http_canary_main_conf_t  *cmcf;

    ngx_memzero(route, sizeof(ngx_http_canary_route_t));

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    path = r->uri;

    if (path.len < clcf->name.len
        || ngx_strncmp(path.data, clcf->name.data, clcf->name.len) != 0)
    {
        return NGX_DECLINED;
    }

    path.data += clcf->name.len;
    path.len -= clcf->name.len;

    if (path.len && path.data[0] == '/') {
        path.data++;
        path.len--;
    }

    if (path.len < sizeof("upstreams") - 1
        || ngx_strncmp(path.data, "upstreams", sizeof("upstreams") - 1) != 0)
    {
        return NGX_DECLINED;
    }

    path.data += sizeof("upstreams") - 1;
    path.len -= sizeof("upstreams") - 1;

    if (path.len == 0 || (path.len == 1 && path.data[0] == '/')) {
        return NGX_OK;
    }

    if (path.data[0] != '/') {
        return NGX_DECLINED;
    }

    path.data++;
    path.len--;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);
    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        name = &confs[i]->upstream->host;

        if (path.len < name->len
            || ngx_memcmp(path.data, name->data, name->len) != 0)
        {
            continue;
        }

        rest.data = path.data + name->len;
        rest.len = path.len - name->len;

        route->conf = confs[i];

        if (ngx_http_canary_api_route_below(&rest, route) == NGX_OK) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* an address may have slashes: "unix:/run/app.sock" */

static ngx_int_t
ngx_http_canary_api_route_below(ngx_str_t *path,
    ngx_http_canary_route_t *route)
{
    size_t       len;
    u_char      *p, *last;
    ngx_str_t   *name;
    ngx_uint_t   i;

    if (path->len == 0) {
        route->what = NGX_HTTP_CANARY_API_ONE;
        return NGX_OK;
    }

    if (path->len == sizeof("/lease") - 1
        && ngx_memcmp(path->data, "/lease", sizeof("/lease") - 1) == 0)
    {
        route->what = NGX_HTTP_CANARY_API_LEASE;
        return NGX_OK;
    }

    if (path->len < sizeof("/groups/") - 1
        || ngx_memcmp(path->data, "/groups/", sizeof("/groups/") - 1) != 0)
    {
        return NGX_DECLINED;
    }

    p = path->data + sizeof("/groups/") - 1;
    last = path->data + path->len;

    for (i = 0; i < route->conf->ngroups; i++) {
        name = &route->conf->groups[i].name;
        len = name->len + sizeof("/servers/") - 1;

        if ((size_t) (last - p) <= len
            || ngx_memcmp(p, name->data, name->len) != 0
            || ngx_memcmp(p + name->len, "/servers/",
                          sizeof("/servers/") - 1)
               != 0)
        {
            continue;
        }

        route->what = NGX_HTTP_CANARY_API_SERVER;
        route->group = &route->conf->groups[i];
        route->server.data = p + len;
        route->server.len = last - p - len;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_int_t
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

    /* a NUL follows the body; one inside it would be white space to cJSON */

    if (ngx_strlen(body.data) == body.len) {
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
    char                     *field;
    uint64_t                  present;
    ngx_int_t                 rc;
    ngx_http_canary_error_t   error;
    ngx_http_canary_record_t  record;

    if (ngx_http_canary_parse_record(json, conf->entry, &record, &error)
        != NGX_OK)
    {
        return ngx_http_canary_problem(r, 422, (char *) error.field,
                                           (char *) error.detail);
    }

    field = ngx_http_canary_api_removed(conf, &record);

    if (field) {
        return ngx_http_canary_problem(r, 422, field,
                         "names a group that this upstream does not have any "
                         "more");
    }

    rc = ngx_http_canary_shm_put(conf->zone, conf->entry, &record, &present);

    if (rc == NGX_DECLINED) {
        return ngx_http_canary_conflict(r, present, "revision",
                               "must be above the present revision");
    }

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "canary upstream \"%V\" has revision %uL",
                      &conf->upstream->host, record.revision);

        /* if it fails the answer says so, by "persisted" */

        (void) ngx_http_canary_state_save(conf->zone, r->connection->log);
    }

    return ngx_http_canary_api_one(r, conf, 0);
}


/* the zone remembers groups that an earlier configuration had */

static char *
ngx_http_canary_api_removed(ngx_http_canary_srv_conf_t *conf,
    ngx_http_canary_record_t *record)
{
    ngx_uint_t  i, n;

    for (i = 0; i < NGX_HTTP_CANARY_SLOTS; i++) {

        for (n = 0; n < conf->ngroups; n++) {
            if (conf->groups[n].slot == i) {
                break;
            }
        }

        if (n < conf->ngroups) {
            continue;
        }

        if (record->weights[i]) {
            return "weights";
        }

        if (record->stable == i) {
            return "stable";
        }

        if (record->canary == i) {
            return "canary";
        }

        if (record->guard.failures && record->guard.slot == i) {
            return "guard";
        }
    }

    return NULL;
}


/* {"drain": true} */

static ngx_int_t
ngx_http_canary_api_server(ngx_http_request_t *r,
    ngx_http_canary_route_t *route, cJSON *json)
{
    cJSON                         *item;
    ngx_int_t                      rc;
    ngx_http_canary_out_t          out;
    ngx_http_canary_zone_t        *zone;
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

    (void) ngx_http_canary_state_save(zone, r->connection->log);

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print(&out, "{");
    ngx_http_canary_print_head(&out, zone);
    ngx_http_canary_print(&out, ", \"upstream\": ");
    ngx_http_canary_print_string(&out, &route->conf->upstream->host);
    ngx_http_canary_print(&out, ", \"group\": ");
    ngx_http_canary_print_string(&out, &route->group->name);
    ngx_http_canary_print(&out, ",\n \"servers\": ");
    ngx_http_canary_print_servers(&out, peers, &route->server);
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


static ngx_int_t
ngx_http_canary_api_all(ngx_http_request_t *r)
{
    ngx_http_canary_task_t  *task;

    task = ngx_pcalloc(r->pool, sizeof(ngx_http_canary_task_t));
    if (task == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    task->step = ngx_http_canary_api_all_step;

    return ngx_http_canary_run(r, task, &ngx_http_canary_json_type);
}


/* an upstream is a step, so that its groups are of one moment */

static ngx_int_t
ngx_http_canary_api_all_step(ngx_http_canary_task_t *task)
{
    ngx_uint_t                    i;
    ngx_http_canary_out_t        *out;
    ngx_http_canary_zone_t      **zones;
    ngx_http_canary_srv_conf_t  **confs;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(task->request,
                                         ngx_http_canary_module);
    out = &task->out;
    i = task->major++;

    if (i == 0) {
        ngx_http_canary_print(out, "{");

        if (cmcf->zones.nelts) {
            zones = cmcf->zones.elts;
            ngx_http_canary_print_head(out, zones[0]);
            ngx_http_canary_print(out, ", ");
        }

        ngx_http_canary_print(out, "\"upstreams\": {");
    }

    if (i < cmcf->upstreams.nelts) {
        confs = cmcf->upstreams.elts;

        ngx_http_canary_print(out, i ? ",\n" : "\n");
        ngx_http_canary_print_string(out, &confs[i]->upstream->host);
        ngx_http_canary_print(out, ": ");
        ngx_http_canary_print_upstream(out, confs[i], 1);

        return NGX_AGAIN;
    }

    ngx_http_canary_print(out, "}}\n");

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_api_one(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters)
{
    ngx_http_canary_out_t  out;

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print_upstream(&out, conf, counters);
    ngx_http_canary_print(&out, "\n");

    return ngx_http_canary_api_json(r, &out);
}


static ngx_int_t
ngx_http_canary_api_json(ngx_http_request_t *r, ngx_http_canary_out_t *out)
{
    return ngx_http_canary_send(r, out, NGX_HTTP_OK,
                                &ngx_http_canary_json_type);
}
