
/*
 * canary_cookie: an id of the client's own, which is the key.  Who brings
 * none is given one, and it is the key of that request already.
 */


#include "ngx_http_canary.h"
#include "ngx_http_canary_compat.h"

#include <sys/random.h>


#define NGX_HTTP_CANARY_ID_LEN       32     /* hexadecimal */


/* an id that this request was given, for all cookies of the name */

typedef struct {
    ngx_http_canary_cookie_t        *cookie;
    u_char                           id[NGX_HTTP_CANARY_ID_LEN];
} ngx_http_canary_fresh_t;


static ngx_http_canary_inline ngx_int_t ngx_http_canary_find_cookie(
    ngx_http_request_t *r, ngx_str_t *name, ngx_str_t *value, size_t len);
static ngx_inline u_char *ngx_http_canary_cookie_end(u_char *p, u_char *last);
static ngx_http_canary_inline ngx_int_t ngx_http_canary_id_valid(
    ngx_str_t *value);
static ngx_int_t ngx_http_canary_new_id(ngx_http_request_t *r,
    ngx_http_canary_cookie_t *cookie, ngx_str_t *id);
static void ngx_http_canary_random_id(u_char *id);
static void ngx_http_canary_set_cookie(ngx_http_request_t *r,
    ngx_http_canary_cookie_t *cookie, ngx_str_t *id);
static void ngx_http_canary_fresh(void *data);
static char *ngx_http_canary_cookie_param(ngx_conf_t *cf,
    ngx_http_canary_cookie_t *cookie, ngx_str_t *param);
static ngx_uint_t ngx_http_canary_text_valid(ngx_str_t *text, char *except);


/* empty where there is no memory: then the request is placed by chance */

ngx_str_t
ngx_http_canary_id(ngx_http_request_t *r, ngx_http_canary_cookie_t *cookie)
{
    ngx_str_t                 id;
    ngx_pool_cleanup_t       *cln;
    ngx_http_canary_fresh_t  *fresh;

    if (ngx_http_canary_find_cookie(r, &cookie->name, &id,
                                    NGX_HTTP_CANARY_ID_LEN)
        == NGX_OK
        && ngx_http_canary_id_valid(&id))
    {
        return id;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_canary_fresh) {
            continue;
        }

        fresh = cln->data;

        if (fresh->cookie->name.len == cookie->name.len
            && ngx_memcmp(fresh->cookie->name.data, cookie->name.data,
                          cookie->name.len)
               == 0)
        {
            id.len = NGX_HTTP_CANARY_ID_LEN;
            id.data = fresh->id;

            return id;
        }
    }

    if (ngx_http_canary_new_id(r, cookie, &id) != NGX_OK) {
        ngx_str_null(&id);
    }

    return id;
}


/*
 * Lower case hex digits, eight at a time.  In a byte below 0x80, adding 0x80
 * less x makes the top bit say whether it is at least x.
 */

static ngx_http_canary_inline ngx_int_t
ngx_http_canary_id_valid(ngx_str_t *value)
{
    uint64_t    w, high, digit, letter, hex;
    ngx_uint_t  i;

#define each(byte)  ((byte) * (uint64_t) 0x0101010101010101)

    if (value->len != NGX_HTTP_CANARY_ID_LEN) {
        return 0;
    }

    high = 0;
    hex = each(0x80);

#if (__GNUC__ >= 8)
#pragma GCC unroll 4
#endif

    for (i = 0; i < NGX_HTTP_CANARY_ID_LEN; i += 8) {

        ngx_memcpy(&w, value->data + i, 8);

        high |= w;
        w &= each(0x7f);

        digit = (w + each(0x80 - '0')) & ~(w + each(0x80 - '9' - 1));
        letter = (w + each(0x80 - 'a')) & ~(w + each(0x80 - 'f' - 1));

        hex &= digit | letter;
    }

    return hex == each(0x80) && (high & each(0x80)) == 0;

#undef each
}


/*
 * The first cookie of that name.  The core's own function compares without
 * regard to case, which is wrong for cookies, and takes several times as long.
 */

ngx_int_t
ngx_http_canary_get_cookie(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    return ngx_http_canary_find_cookie(r, name, value, (size_t) -1);
}


/*
 * Where the value can only be right if it has that length, and that much is
 * left, its end is not looked for: another character in it makes it wrong.
 */

static ngx_http_canary_inline ngx_int_t
ngx_http_canary_find_cookie(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value, size_t len)
{
    u_char           *p, *last, *end;
    ngx_uint_t        n;
    ngx_table_elt_t  *h;

    h = NULL;

    for (n = 0; (h = ngx_http_canary_next_cookie(r, h, n)) != NULL; n++) {

        p = h->value.data;
        last = p + h->value.len;

        while (p < last) {

            if (*p == ' ') {
                p++;
                continue;
            }

            if ((size_t) (last - p) > name->len && p[name->len] == '='
                && ngx_memcmp(p, name->data, name->len) == 0)
            {
                value->data = p + name->len + 1;

                end = ((size_t) (last - value->data) == len)
                      ? last : ngx_http_canary_cookie_end(value->data, last);

                value->len = end - value->data;

                while (value->len && value->data[value->len - 1] == ' ') {
                    value->len--;
                }

                return NGX_OK;
            }

            p = ngx_http_canary_cookie_end(p, last) + 1;
        }
    }

    return NGX_DECLINED;
}


static ngx_inline u_char *
ngx_http_canary_cookie_end(u_char *p, u_char *last)
{
    u_char  *end;

    end = memchr(p, ';', last - p);

    return end ? end : last;
}


static ngx_int_t
ngx_http_canary_new_id(ngx_http_request_t *r,
    ngx_http_canary_cookie_t *cookie, ngx_str_t *id)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_canary_fresh_t  *fresh;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_canary_fresh_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_canary_fresh;

    fresh = cln->data;
    fresh->cookie = cookie;

    ngx_http_canary_random_id(fresh->id);

    id->len = NGX_HTTP_CANARY_ID_LEN;
    id->data = fresh->id;

    /* a log that asks for the id of an unplaced request comes too late */

    if (!r->main->header_sent) {
        ngx_http_canary_set_cookie(r->main, cookie, id);
    }

    return NGX_OK;
}


/* of the system: nodes that start at the same time must not draw the same */

static void
ngx_http_canary_random_id(u_char *id)
{
    u_char      bytes[NGX_HTTP_CANARY_ID_LEN / 2];
    ngx_uint_t  i;

    if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != sizeof(bytes)) {
        for (i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (u_char) (ngx_random() >> 8);
        }
    }

    (void) ngx_hex_dump(id, bytes, sizeof(bytes));
}


/*
 * Headers of the main request are kept by the core whatever answers in the
 * end: a group, the cache, an error page.
 */

static void
ngx_http_canary_set_cookie(ngx_http_request_t *r,
    ngx_http_canary_cookie_t *cookie, ngx_str_t *id)
{
    size_t            len;
    u_char           *p;
    ngx_table_elt_t  *h;

    len = cookie->name.len + 1 + id->len + cookie->attributes.len
          + sizeof("; Expires=Thu, 01-Jan-2026 00:00:00 GMT; Max-Age=")
          + NGX_TIME_T_LEN;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "Set-Cookie");
    h->value.data = p;

    p = ngx_sprintf(p, "%V=%V", &cookie->name, id);

    if (cookie->expires) {
        p = ngx_cpymem(p, "; Expires=", sizeof("; Expires=") - 1);
        p = ngx_http_cookie_time(p, ngx_time() + cookie->expires);
        p = ngx_sprintf(p, "; Max-Age=%T", cookie->expires);
    }

    p = ngx_cpymem(p, cookie->attributes.data, cookie->attributes.len);

    h->value.len = p - h->value.data;
}


static void
ngx_http_canary_fresh(void *data)
{
    /* void: the handler's address marks an id that was given */
}


/* canary_cookie name [expires=] [domain=] [path=] [secure] [httponly] ... */

char *
ngx_http_canary_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_canary_srv_conf_t  *ccf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_canary_cookie_t  *cookie;

    if (ccf->cookie) {
        return "is duplicate";
    }

    if (ccf->keyed) {
        return "and \"canary_key\" exclude each other: the cookie is the key";
    }

    value = cf->args->elts;

    cookie = ngx_pcalloc(cf->pool, sizeof(ngx_http_canary_cookie_t));
    if (cookie == NULL) {
        return NGX_CONF_ERROR;
    }

    ccf->cookie = cookie;

    if (value[1].len == 0 || ngx_strlchr(value[1].data,
                                         value[1].data + value[1].len, '=')
        || !ngx_http_canary_text_valid(&value[1], "()<>@,;:\\\"/[]?{} "))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid cookie name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    cookie->name = value[1];
    ngx_str_set(&cookie->path, "/");

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_canary_cookie_param(cf, cookie, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (cookie->samesite.len && cookie->samesite.data[0] == 'N'
        && !cookie->secure)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "samesite=none needs \"secure\": browsers drop "
                           "such a cookie without it");
        return NGX_CONF_ERROR;
    }

    cookie->attributes.data = ngx_pnalloc(cf->pool, cookie->domain.len
                                                    + cookie->path.len + 80);
    if (cookie->attributes.data == NULL) {
        return NGX_CONF_ERROR;
    }

    cookie->attributes.len =
                      ngx_sprintf(cookie->attributes.data,
                                  "%s%V; Path=%V%s%s%s%V",
                                  cookie->domain.len ? "; Domain=" : "",
                                  &cookie->domain, &cookie->path,
                                  cookie->secure ? "; Secure" : "",
                                  cookie->httponly ? "; HttpOnly" : "",
                                  cookie->samesite.len ? "; SameSite=" : "",
                                  &cookie->samesite)
                      - cookie->attributes.data;

    return NGX_CONF_OK;
}


static char *
ngx_http_canary_cookie_param(ngx_conf_t *cf, ngx_http_canary_cookie_t *cookie,
    ngx_str_t *param)
{
    u_char     *p;
    ngx_str_t   text;

    p = ngx_strlchr(param->data, param->data + param->len, '=');

    if (p == NULL) {

        if (ngx_strcmp(param->data, "secure") == 0 && !cookie->secure) {
            cookie->secure = 1;
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(param->data, "httponly") == 0 && !cookie->httponly) {
            cookie->httponly = 1;
            return NGX_CONF_OK;
        }

        goto invalid;
    }

    text.data = p + 1;
    text.len = param->data + param->len - text.data;

    if (text.len == 0 || !ngx_http_canary_text_valid(&text, ";, \"\\")) {
        goto invalid;
    }

    if (ngx_strncmp(param->data, "expires=", 8) == 0
        && cookie->expires == 0)
    {
        cookie->expires = ngx_parse_time(&text, 1);

        if (cookie->expires > 0) {
            return NGX_CONF_OK;
        }

    } else if (ngx_strncmp(param->data, "domain=", 7) == 0
               && cookie->domain.len == 0)
    {
        cookie->domain = text;
        return NGX_CONF_OK;

    } else if (ngx_strncmp(param->data, "path=/", 6) == 0) {
        cookie->path = text;
        return NGX_CONF_OK;

    } else if (ngx_strncmp(param->data, "samesite=", 9) == 0
               && cookie->samesite.len == 0)
    {
        if (ngx_strcmp(text.data, "strict") == 0) {
            ngx_str_set(&cookie->samesite, "Strict");
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(text.data, "lax") == 0) {
            ngx_str_set(&cookie->samesite, "Lax");
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(text.data, "none") == 0) {
            ngx_str_set(&cookie->samesite, "None");
            return NGX_CONF_OK;
        }
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid or repeated parameter \"%V\": expires=time, "
                       "domain=, path=/, secure, httponly and "
                       "samesite=strict|lax|none are", param);

    return NGX_CONF_ERROR;
}


/* printable ASCII but these */

static ngx_uint_t
ngx_http_canary_text_valid(ngx_str_t *text, char *except)
{
    ngx_uint_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < 0x20 || text->data[i] >= 0x7f
            || ngx_strchr(except, text->data[i]))
        {
            return 0;
        }
    }

    return 1;
}
