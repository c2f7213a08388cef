
/*
 * The JSON API of a location: what a path names, and what each upstream serves
 * and counted.
 */


#include "ngx_http_canary_api.h"


static ngx_int_t ngx_http_canary_api_route_below(ngx_str_t *path,
    ngx_http_canary_route_t *route);
static ngx_int_t ngx_http_canary_api_all(ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_all_step(ngx_http_canary_task_t *task);


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


ngx_int_t
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
ngx_http_canary_api_all(ngx_http_request_t *r)
{
    ngx_http_canary_task_t  *task;

    task = ngx_pcalloc(r->pool, sizeof(ngx_http_canary_task_t));
    if (task == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    task->step = ngx_http_canary_api_all_step;

    return ngx_http_canary_run_task(r, task, &ngx_http_canary_json_type);
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


ngx_int_t
ngx_http_canary_api_one(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters)
{
    ngx_http_canary_out_t  out;

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print_upstream(&out, conf, counters);
    ngx_http_canary_print(&out, "\n");

    return ngx_http_canary_api_json(r, &out);
}


ngx_int_t
ngx_http_canary_api_json(ngx_http_request_t *r, ngx_http_canary_out_t *out)
{
    return ngx_http_canary_send(r, out, NGX_HTTP_OK,
                                &ngx_http_canary_json_type);
}
