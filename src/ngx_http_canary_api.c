
/*
 * The JSON API of a location: what each upstream serves and counted, and the
 * way to change it.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_MAX_BODY     65536


typedef struct {
    ngx_uint_t                       status;
    char                            *title;
} ngx_http_canary_title_t;


static ngx_int_t ngx_http_canary_api_route(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t **conf, ngx_uint_t *lease);
static ngx_int_t ngx_http_canary_api_write(ngx_http_request_t *r);
static void ngx_http_canary_api_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_read_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_canary_api_put(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json);
static ngx_int_t ngx_http_canary_api_lease(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json);
static ngx_int_t ngx_http_canary_api_all(ngx_http_request_t *r);
static ngx_int_t ngx_http_canary_api_one(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters);
static ngx_int_t ngx_http_canary_api_json(ngx_http_request_t *r,
    ngx_http_canary_out_t *out);
static ngx_int_t ngx_http_canary_api_allow(ngx_http_request_t *r,
    char *methods);
static ngx_int_t ngx_http_canary_api_stale(ngx_http_request_t *r,
    uint64_t present, char *field, char *detail);
static ngx_int_t ngx_http_canary_api_problem(ngx_http_request_t *r,
    ngx_uint_t status, char *field, char *detail);
static void ngx_http_canary_print_problem(ngx_http_canary_out_t *out,
    ngx_uint_t status, char *field, char *detail);


static ngx_str_t  ngx_http_canary_json_type =
    ngx_string("application/json");
static ngx_str_t  ngx_http_canary_problem_type =
    ngx_string("application/problem+json");


static ngx_http_canary_title_t  ngx_http_canary_titles[] = {
    { 400, "Bad Request" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 409, "Conflict" },
    { 413, "Content Too Large" },
    { 415, "Unsupported Media Type" },
    { 422, "Unprocessable Content" },
    { 507, "Insufficient Storage" },
    { 0, "Error" }
};


ngx_int_t
ngx_http_canary_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_uint_t                   lease;
    ngx_http_canary_srv_conf_t  *conf;

    rc = ngx_http_canary_api_route(r, &conf, &lease);

    if (rc != NGX_OK) {
        (void) ngx_http_discard_request_body(r);
        return ngx_http_canary_api_problem(r, NGX_HTTP_NOT_FOUND, NULL,
                  "there are upstreams, upstreams/NAME and "
                  "upstreams/NAME/lease, for upstreams of this nginx");
    }

    if (r->method == NGX_HTTP_PUT && conf && !lease) {
        return ngx_http_canary_api_write(r);
    }

    if (r->method == NGX_HTTP_POST && lease) {
        return ngx_http_canary_api_write(r);
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (lease) {
        return ngx_http_canary_api_allow(r, "POST");
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_canary_api_allow(r, conf ? "GET, HEAD, PUT"
                                                 : "GET, HEAD");
    }

    return conf ? ngx_http_canary_api_one(r, conf, 1)
                : ngx_http_canary_api_all(r);
}


/* conf is NULL for all upstreams */

static ngx_int_t
ngx_http_canary_api_route(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t **conf, ngx_uint_t *lease)
{
    ngx_str_t                     path, *name;
    ngx_uint_t                    i;
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_canary_srv_conf_t  **confs;
    ngx_http_canary_main_conf_t  *cmcf;

    *conf = NULL;
    *lease = 0;

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

        if (path.len == name->len) {
            *conf = confs[i];
            return NGX_OK;
        }

        if (path.len == name->len + sizeof("/lease") - 1
            && ngx_memcmp(path.data + name->len, "/lease",
                          sizeof("/lease") - 1) == 0)
        {
            *conf = confs[i];
            *lease = 1;
            return NGX_OK;
        }
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
        return ngx_http_canary_api_problem(r, NGX_HTTP_FORBIDDEN, NULL,
                               "this location has no canary_api write=on");
    }

    if (r->headers_in.content_length_n > NGX_HTTP_CANARY_MAX_BODY) {
        (void) ngx_http_discard_request_body(r);
        return ngx_http_canary_api_problem(r,
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
        return ngx_http_canary_api_problem(r,
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
    ngx_uint_t                   lease;
    ngx_http_canary_srv_conf_t  *conf;

    json = NULL;

    rc = ngx_http_canary_api_read_body(r, &body);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_canary_api_problem(r,
                               NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL,
                               "a body may have 65536 bytes");
        goto done;
    }

    if (rc != NGX_OK
        || ngx_http_canary_api_route(r, &conf, &lease) != NGX_OK)
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
        rc = ngx_http_canary_api_problem(r, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the body is not JSON");
        goto done;
    }

    rc = lease ? ngx_http_canary_api_lease(r, conf, json)
               : ngx_http_canary_api_put(r, conf, json);

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
    uint64_t                      present;
    ngx_int_t                     rc;
    ngx_str_t                     rules;
    ngx_http_canary_error_t       error;
    ngx_http_canary_record_t      record;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    if (ngx_http_canary_parse_record(json, r->pool, conf->entry,
                                     cmcf->geoip != NULL, &record, &rules,
                                     &error)
        != NGX_OK)
    {
        return ngx_http_canary_api_problem(r, 422, (char *) error.field,
                                           (char *) error.detail);
    }

    rc = ngx_http_canary_shm_put(conf->zone, conf->entry, &record, &rules,
                                 &present);

    if (rc == NGX_ERROR) {
        return ngx_http_canary_api_problem(r, NGX_HTTP_INSUFFICIENT_STORAGE,
                               "rules", "canary_zone is full: the first "
                               "rules of an upstream need 32k of it");
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_canary_api_stale(r, present, "revision",
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


static ngx_int_t
ngx_http_canary_api_lease(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, cJSON *json)
{
    uint64_t               revision, present;
    ngx_http_canary_out_t  out;

    if (ngx_http_canary_parse_revision(json, &revision) != NGX_OK) {
        return ngx_http_canary_api_problem(r, 422, "revision",
                        "must be the only field, a whole number above 0");
    }

    if (ngx_http_canary_shm_renew(conf->zone, conf->entry, revision, &present)
        != NGX_OK)
    {
        return ngx_http_canary_api_stale(r, present, "revision",
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
    ngx_uint_t                    i;
    ngx_http_canary_out_t         out;
    ngx_http_canary_zone_t      **zones;
    ngx_http_canary_srv_conf_t  **confs;
    ngx_http_canary_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print(&out, "{");

    if (cmcf->zones.nelts) {
        zones = cmcf->zones.elts;
        ngx_http_canary_print_head(&out, zones[0]);
        ngx_http_canary_print(&out, ", ");
    }

    ngx_http_canary_print(&out, "\"upstreams\": {");

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        ngx_http_canary_print(&out, i ? ",\n" : "\n");
        ngx_http_canary_print_string(&out, &confs[i]->upstream->host);
        ngx_http_canary_print(&out, ": ");
        ngx_http_canary_print_upstream(&out, confs[i], 1);
    }

    ngx_http_canary_print(&out, "}}\n");

    return ngx_http_canary_api_json(r, &out);
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


static ngx_int_t
ngx_http_canary_api_allow(ngx_http_request_t *r, char *methods)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "Allow");
    h->value.data = (u_char *) methods;
    h->value.len = ngx_strlen(methods);

    return ngx_http_canary_api_problem(r, NGX_HTTP_NOT_ALLOWED, NULL,
                                       methods);
}


static ngx_int_t
ngx_http_canary_api_stale(ngx_http_request_t *r, uint64_t present,
    char *field, char *detail)
{
    ngx_http_canary_out_t  out;

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print_problem(&out, NGX_HTTP_CONFLICT, field, detail);
    ngx_http_canary_print(&out, ", \"revision\": %uL}\n", present);

    return ngx_http_canary_send(r, &out, NGX_HTTP_CONFLICT,
                                &ngx_http_canary_problem_type);
}


static ngx_int_t
ngx_http_canary_api_problem(ngx_http_request_t *r, ngx_uint_t status,
    char *field, char *detail)
{
    ngx_http_canary_out_t  out;

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print_problem(&out, status, field, detail);
    ngx_http_canary_print(&out, "}\n");

    return ngx_http_canary_send(r, &out, status,
                                &ngx_http_canary_problem_type);
}


static void
ngx_http_canary_print_problem(ngx_http_canary_out_t *out, ngx_uint_t status,
    char *field, char *detail)
{
    ngx_str_t                 s;
    ngx_http_canary_title_t  *title;

    for (title = ngx_http_canary_titles; title->status; title++) {
        if (title->status == status) {
            break;
        }
    }

    ngx_http_canary_print(out, "{\"type\": \"about:blank\", \"title\": "
                          "\"%s\", \"status\": %ui, \"detail\": ",
                          title->title, status);

    s.data = (u_char *) detail;
    s.len = ngx_strlen(detail);
    ngx_http_canary_print_string(out, &s);

    if (field && field[0]) {
        s.data = (u_char *) field;
        s.len = ngx_strlen(field);
        ngx_http_canary_print(out, ", \"field\": ");
        ngx_http_canary_print_string(out, &s);
    }
}
