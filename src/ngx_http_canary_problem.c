
/* errors of the API, as RFC 7807 has them */


#include "ngx_http_canary.h"


typedef struct {
    ngx_uint_t                       status;
    char                            *title;
} ngx_http_canary_title_t;


static void ngx_http_canary_print_problem(ngx_http_canary_out_t *out,
    ngx_uint_t status, char *field, char *detail);


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
ngx_http_canary_not_allowed(ngx_http_request_t *r, char *methods)
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

    return ngx_http_canary_problem(r, NGX_HTTP_NOT_ALLOWED, NULL, methods);
}


ngx_int_t
ngx_http_canary_conflict(ngx_http_request_t *r, uint64_t revision,
    char *field, char *detail)
{
    ngx_http_canary_out_t  out;

    ngx_http_canary_out_init(&out, r->pool);

    ngx_http_canary_print_problem(&out, NGX_HTTP_CONFLICT, field, detail);
    ngx_http_canary_print(&out, ", \"revision\": %uL}\n", revision);

    return ngx_http_canary_send(r, &out, NGX_HTTP_CONFLICT,
                                &ngx_http_canary_problem_type);
}


ngx_int_t
ngx_http_canary_problem(ngx_http_request_t *r, ngx_uint_t status,
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
