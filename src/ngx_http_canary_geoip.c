
/*
 * canary_geoip: where the client's address is, by MaxMind databases.  Only
 * this file knows their library.
 */


#include "ngx_http_canary.h"

#include <maxminddb.h>


#define NGX_HTTP_CANARY_GEOIP_REFRESH  60


struct ngx_http_canary_geoip_s {
    ngx_str_t                        file;
    time_t                           refresh;
    time_t                           checked;
    ngx_uint_t                       missing;    /* that was said */

    /* the file that was opened or refused last */

    time_t                           mtime;
    off_t                            size;
    ngx_file_uniq_t                  uniq;

    MMDB_s                           db;
};


static void ngx_http_canary_geoip_refresh(ngx_http_canary_geoip_t *gi,
    ngx_log_t *log);
static ngx_int_t ngx_http_canary_geoip_open(ngx_http_canary_geoip_t *gi,
    ngx_file_info_t *fi, MMDB_s *db, char **why);
static void ngx_http_canary_geoip_find(ngx_http_canary_geoip_t *gi,
    struct sockaddr *sockaddr, ngx_http_canary_geo_t *geo, ngx_log_t *log);
static void ngx_http_canary_geoip_code(MMDB_entry_s *entry, uint16_t *code,
    const char *field, const char *name);
static void ngx_http_canary_geoip_mark(void *data);
static void ngx_http_canary_geoip_close(void *data);


/*
 * Once for a request and all its parts.  The address is the connection's,
 * which realip sets.
 */

ngx_http_canary_geo_t *
ngx_http_canary_geoip_lookup(ngx_http_request_t *r)
{
    ngx_uint_t                    i;
    struct sockaddr              *sockaddr;
    ngx_pool_cleanup_t           *cln;
    ngx_http_canary_geo_t        *geo;
    ngx_http_canary_geoip_t     **gi;
    ngx_http_canary_main_conf_t  *cmcf;
#if (NGX_HAVE_INET6)
    u_char                       *p;
    struct sockaddr_in            sin;
    struct sockaddr_in6          *sin6;
#endif

    static ngx_http_canary_geo_t  nowhere;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    if (cmcf->geoip == NULL) {
        return &nowhere;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_canary_geoip_mark) {
            return cln->data;
        }
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_canary_geo_t));
    if (cln == NULL) {
        return &nowhere;
    }

    cln->handler = ngx_http_canary_geoip_mark;

    geo = cln->data;
    ngx_memzero(geo, sizeof(ngx_http_canary_geo_t));

    sockaddr = r->connection->sockaddr;

#if (NGX_HAVE_INET6)

    if (sockaddr->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sockaddr;
        p = sin6->sin6_addr.s6_addr;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            ngx_memzero(&sin, sizeof(struct sockaddr_in));

            sin.sin_family = AF_INET;
            ngx_memcpy(&sin.sin_addr.s_addr, p + 12, 4);

            sockaddr = (struct sockaddr *) &sin;
        }

    } else

#endif

    if (sockaddr->sa_family != AF_INET) {
        return geo;
    }

    gi = cmcf->geoip->elts;

    for (i = 0; i < cmcf->geoip->nelts; i++) {

        if (ngx_time() - gi[i]->checked >= gi[i]->refresh) {
            gi[i]->checked = ngx_time();
            ngx_http_canary_geoip_refresh(gi[i], r->connection->log);
        }

        ngx_http_canary_geoip_find(gi[i], sockaddr, geo, r->connection->log);
    }

    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http canary: geoip of \"%V\": country:%04xd "
                   "continent:%04xd asn:%uD of %ui",
                   &r->connection->addr_text, (int) geo->country,
                   (int) geo->continent, geo->asn, cmcf->geoip->nelts);

    return geo;
}


/*
 * A file that was replaced is opened beside the old one, which stays if the
 * new one is broken; what was refused is not tried again until it changes.
 */

static void
ngx_http_canary_geoip_refresh(ngx_http_canary_geoip_t *gi, ngx_log_t *log)
{
    char             *why;
    MMDB_s            db;
    ngx_file_info_t   fi;

    if (ngx_file_info(gi->file.data, &fi) == NGX_FILE_ERROR) {

        if (!gi->missing) {
            gi->missing = 1;
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "canary_geoip file \"%V\" is gone, the one that "
                          "was opened stays in use", &gi->file);
        }

        return;
    }

    gi->missing = 0;

    if (ngx_file_mtime(&fi) == gi->mtime && ngx_file_size(&fi) == gi->size
        && ngx_file_uniq(&fi) == gi->uniq)
    {
        return;
    }

    if (ngx_http_canary_geoip_open(gi, &fi, &db, &why) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary_geoip file \"%V\" was replaced by one that "
                      "cannot be used: %s; the old one stays in use",
                      &gi->file, why);
        return;
    }

    MMDB_close(&gi->db);
    gi->db = db;

    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "canary_geoip file \"%V\" was replaced and opened anew",
                  &gi->file);
}


/* the first lookup tells a file whose tree is cut short */

static ngx_int_t
ngx_http_canary_geoip_open(ngx_http_canary_geoip_t *gi, ngx_file_info_t *fi,
    MMDB_s *db, char **why)
{
    int                 rc, error;
    struct sockaddr_in  sin;

    gi->mtime = ngx_file_mtime(fi);
    gi->size = ngx_file_size(fi);
    gi->uniq = ngx_file_uniq(fi);

    if (!ngx_is_file(fi)) {

        /* to open a pipe might last for ever */

        *why = "it is not a regular file";
        return NGX_ERROR;
    }

    rc = MMDB_open((const char *) gi->file.data, MMDB_MODE_MMAP, db);

    if (rc != MMDB_SUCCESS) {
        *why = (char *) MMDB_strerror(rc);
        return NGX_ERROR;
    }

    ngx_memzero(&sin, sizeof(struct sockaddr_in));

    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    (void) MMDB_lookup_sockaddr(db, (struct sockaddr *) &sin, &error);

    if (error != MMDB_SUCCESS) {
        *why = (char *) MMDB_strerror(error);
        MMDB_close(db);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what the database does not know stays as it is */

static void
ngx_http_canary_geoip_find(ngx_http_canary_geoip_t *gi,
    struct sockaddr *sockaddr, ngx_http_canary_geo_t *geo, ngx_log_t *log)
{
    int                   error;
    MMDB_entry_data_s     data;
    MMDB_lookup_result_s  result;

    if (sockaddr->sa_family == AF_INET6 && gi->db.metadata.ip_version == 4) {
        return;
    }

    result = MMDB_lookup_sockaddr(&gi->db, sockaddr, &error);

    if (error != MMDB_SUCCESS) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary_geoip file \"%V\": %s", &gi->file,
                      MMDB_strerror(error));
        return;
    }

    if (!result.found_entry) {
        return;
    }

    ngx_http_canary_geoip_code(&result.entry, &geo->country, "country",
                               "iso_code");
    ngx_http_canary_geoip_code(&result.entry, &geo->continent, "continent",
                               "code");

    if (MMDB_get_value(&result.entry, &data, "autonomous_system_number", NULL)
        == MMDB_SUCCESS
        && data.has_data && data.type == MMDB_DATA_TYPE_UINT32)
    {
        geo->asn = data.uint32;
    }
}


static void
ngx_http_canary_geoip_code(MMDB_entry_s *entry, uint16_t *code,
    const char *field, const char *name)
{
    MMDB_entry_data_s  data;

    if (MMDB_get_value(entry, &data, field, name, NULL) == MMDB_SUCCESS
        && data.has_data && data.type == MMDB_DATA_TYPE_UTF8_STRING
        && data.data_size == 2)
    {
        *code = ngx_http_canary_code(data.utf8_string);
    }
}


static void
ngx_http_canary_geoip_mark(void *data)
{
    /* void: the handler's address marks what was found */
}


/* canary_geoip file [refresh=time]; more than one, each with its fields */

char *
ngx_http_canary_geoip(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_canary_main_conf_t  *cmcf = conf;

    char                      *why;
    ngx_str_t                 *value, text;
    ngx_uint_t                 i;
    ngx_file_info_t            fi;
    ngx_pool_cleanup_t        *cln;
    ngx_http_canary_geoip_t   *gi, **gip;

    value = cf->args->elts;

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_canary_geoip_t));
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    gi = cln->data;

    gi->file = value[1];
    gi->refresh = NGX_HTTP_CANARY_GEOIP_REFRESH;
    gi->checked = ngx_time();
    gi->missing = 0;

    if (ngx_conf_full_name(cf->cycle, &gi->file, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {
        text.data = value[2].data + 8;
        text.len = value[2].len - 8;

        gi->refresh = ngx_strncmp(value[2].data, "refresh=", 8) == 0
                      ? ngx_parse_time(&text, 1) : NGX_ERROR;

        if (gi->refresh < 1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", refresh=time is "
                               "one, of at least 1s", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    if (cmcf->geoip == NULL) {
        cmcf->geoip = ngx_array_create(cf->pool, 2,
                                       sizeof(ngx_http_canary_geoip_t *));
        if (cmcf->geoip == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    gip = cmcf->geoip->elts;

    for (i = 0; i < cmcf->geoip->nelts; i++) {
        if (gip[i]->file.len == gi->file.len
            && ngx_memcmp(gip[i]->file.data, gi->file.data, gi->file.len)
               == 0)
        {
            return "is duplicate";
        }
    }

    if (ngx_file_info(gi->file.data, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "canary_geoip file \"%V\" cannot be read",
                           &gi->file);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_canary_geoip_open(gi, &fi, &gi->db, &why) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "canary_geoip file \"%V\" cannot be used: %s",
                           &gi->file, why);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_canary_geoip_close;

    gip = ngx_array_push(cmcf->geoip);
    if (gip == NULL) {
        return NGX_CONF_ERROR;
    }

    *gip = gi;

    return NGX_CONF_OK;
}


static void
ngx_http_canary_geoip_close(void *data)
{
    ngx_http_canary_geoip_t  *gi = data;

    MMDB_close(&gi->db);
}
