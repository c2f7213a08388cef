
/*
 * Reads a state file, at the start and while two nginx share it.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_STATE_MAX      (64 * 1024 * 1024)


static ngx_http_canary_state_e ngx_http_canary_state_parse(
    ngx_http_canary_zone_t *zone, ngx_pool_t *pool, ngx_log_t *log,
    cJSON **json);
static ngx_http_canary_state_e ngx_http_canary_state_read(
    ngx_http_canary_zone_t *zone, ngx_pool_t *pool, ngx_log_t *log,
    ngx_str_t *text);
static ngx_http_canary_state_e ngx_http_canary_state_check(
    ngx_http_canary_zone_t *zone, ngx_log_t *log, ngx_str_t *text,
    ngx_str_t *body);
static ngx_uint_t ngx_http_canary_state_apply(ngx_http_canary_zone_t *zone,
    ngx_pool_t *pool, ngx_log_t *log, cJSON *json);
static void ngx_http_canary_state_claim(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, cJSON *json);


/*
 * A file that cannot be used is said so and left: traffic starts as the
 * configuration has it.
 */

ngx_int_t
ngx_http_canary_state_load(ngx_http_canary_zone_t *zone, ngx_pool_t *pool,
    ngx_log_t *log)
{
    cJSON                    *json;
    ngx_http_canary_state_e   state;

    state = ngx_http_canary_state_parse(zone, pool, log, &json);

    ngx_http_canary_shm_state(zone, state);

    if (state != NGX_HTTP_CANARY_STATE_LOADED) {
        return NGX_OK;
    }

    (void) ngx_http_canary_state_apply(zone, pool, log, json);

    ngx_http_canary_drain_load(zone,
                          cJSON_GetObjectItemCaseSensitive(json, "drained"),
                          log);

    cJSON_Delete(json);

    ngx_http_canary_shm_loaded(zone);

    return NGX_OK;
}


/*
 * Two nginx share the file: each takes what is newer in it, and writes it
 * again where it is the one that knows more.
 */

void
ngx_http_canary_state_merge(ngx_http_canary_zone_t *zone, ngx_log_t *log)
{
    cJSON       *json;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, log);
    if (pool == NULL) {
        return;
    }

    if (ngx_http_canary_state_parse(zone, pool, log, &json)
        == NGX_HTTP_CANARY_STATE_LOADED)
    {
        if (ngx_http_canary_state_apply(zone, pool, log, json)) {
            ngx_shmtx_lock(&zone->shpool->mutex);
            ngx_http_canary_shm_touch(zone);
            ngx_shmtx_unlock(&zone->shpool->mutex);
        }

        cJSON_Delete(json);
    }

    ngx_destroy_pool(pool);
}


static ngx_http_canary_state_e
ngx_http_canary_state_parse(ngx_http_canary_zone_t *zone, ngx_pool_t *pool,
    ngx_log_t *log, cJSON **json)
{
    ngx_str_t                text, body;
    ngx_http_canary_state_e  state;

    state = ngx_http_canary_state_read(zone, pool, log, &text);

    if (state != NGX_HTTP_CANARY_STATE_LOADED) {
        return state;
    }

    state = ngx_http_canary_state_check(zone, log, &text, &body);

    if (state != NGX_HTTP_CANARY_STATE_LOADED) {
        return state;
    }

    *json = cJSON_ParseWithLength((char *) body.data, body.len);

    if (*json == NULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary state file \"%V\" is not JSON, ignored",
                      &zone->state);
        return NGX_HTTP_CANARY_STATE_DAMAGED;
    }

    return NGX_HTTP_CANARY_STATE_LOADED;
}


static ngx_http_canary_state_e
ngx_http_canary_state_read(ngx_http_canary_zone_t *zone, ngx_pool_t *pool,
    ngx_log_t *log, ngx_str_t *text)
{
    off_t                     size;
    ssize_t                   n;
    ngx_fd_t                  fd;
    ngx_file_info_t           fi;
    ngx_http_canary_state_e   state;

    fd = ngx_open_file(zone->state.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {

        if (ngx_errno == NGX_ENOENT) {
            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "canary state file \"%V\" is not there yet, "
                          "weights are the configuration's", &zone->state);

            return NGX_HTTP_CANARY_STATE_MISSING;
        }

        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      ngx_open_file_n " canary state file \"%V\" failed, "
                      "ignored", &zone->state);

        return NGX_HTTP_CANARY_STATE_UNREADABLE;
    }

    state = NGX_HTTP_CANARY_STATE_UNREADABLE;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      ngx_fd_info_n " \"%V\" failed", &zone->state);
        goto done;
    }

    size = ngx_file_size(&fi);

    if (!ngx_is_file(&fi) || size > NGX_HTTP_CANARY_STATE_MAX) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary state \"%V\" is no file or too large, ignored",
                      &zone->state);
        goto done;
    }

    text->data = ngx_pnalloc(pool, size + 1);
    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, text->data, size);

    if (n != size) {
        ngx_log_error(NGX_LOG_ERR, log, n == -1 ? ngx_errno : 0,
                      ngx_read_fd_n " \"%V\" failed, ignored", &zone->state);
        goto done;
    }

    text->data[n] = '\0';
    text->len = n;
    state = NGX_HTTP_CANARY_STATE_LOADED;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &zone->state);
    }

    return state;
}


static ngx_http_canary_state_e
ngx_http_canary_state_check(ngx_http_canary_zone_t *zone, ngx_log_t *log,
    ngx_str_t *text, ngx_str_t *body)
{
    int         head;
    size_t      len;
    unsigned    version, crc;

    /* the text ends with a NUL that is not part of it */

    head = 0;

    if (sscanf((char *) text->data,
               NGX_HTTP_CANARY_STATE_MAGIC "%4u %8x %10zu\n%n",
               &version, &crc, &len, &head)
        < 1)
    {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "\"%V\" is not a canary state file, ignored",
                      &zone->state);
        return NGX_HTTP_CANARY_STATE_DAMAGED;
    }

    if (version != NGX_HTTP_CANARY_STATE_VERSION) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary state file \"%V\" has version %ui, this module "
                      "reads %d, ignored", &zone->state,
                      (ngx_uint_t) version, NGX_HTTP_CANARY_STATE_VERSION);
        return NGX_HTTP_CANARY_STATE_NEWER;
    }

    body->data = text->data + head;
    body->len = text->len - head;

    if (head == 0 || body->len != len
        || ngx_crc32_long(body->data, body->len) != crc)
    {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary state file \"%V\" is cut short or damaged, "
                      "ignored", &zone->state);
        return NGX_HTTP_CANARY_STATE_DAMAGED;
    }

    return NGX_HTTP_CANARY_STATE_LOADED;
}


/* true if the table knows of later records than these */

static ngx_uint_t
ngx_http_canary_state_apply(ngx_http_canary_zone_t *zone, ngx_pool_t *pool,
    ngx_log_t *log, cJSON *json)
{
    cJSON                        *upstreams, *item;
    uint64_t                      present;
    ngx_int_t                     rc;
    ngx_str_t                    *name, rules;
    ngx_uint_t                    i, behind;
    ngx_http_canary_error_t       error;
    ngx_http_canary_record_t      record;
    ngx_http_canary_srv_conf_t  **confs;

    upstreams = cJSON_GetObjectItemCaseSensitive(json, "upstreams");
    confs = zone->upstreams.elts;
    behind = 0;

    /* what a list has, has no names */

    if (!cJSON_IsObject(upstreams)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "canary state file \"%V\" has no records, ignored",
                      &zone->state);
        return 0;
    }

    for (i = 0; i < zone->upstreams.nelts; i++) {
        name = &confs[i]->upstream->host;

        cJSON_ArrayForEach(item, upstreams) {
            if (ngx_strlen(item->string) == name->len
                && ngx_memcmp(item->string, name->data, name->len) == 0)
            {
                break;
            }
        }

        if (item == NULL) {
            behind |= ngx_http_canary_shm_generation(confs[i]->entry) != 0;
            continue;
        }

        ngx_http_canary_state_claim(zone, confs[i]->entry, item);

        /* rules of places stay, and match nobody without canary_geoip */

        if (ngx_http_canary_parse_record(item, pool, confs[i]->entry, 1,
                                         &record, &rules, &error)
            != NGX_OK)
        {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "record of canary upstream \"%V\" in state file "
                          "\"%V\" is ignored: \"%s\" %s", name, &zone->state,
                          error.field, error.detail);
            continue;
        }

        rc = ngx_http_canary_shm_put(zone, confs[i]->entry, &record, &rules,
                                     &present);

        if (rc == NGX_DECLINED) {
            behind = 1;

        } else if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "record of canary upstream \"%V\" in state file "
                          "\"%V\" is ignored: canary_zone \"%V\" is full",
                          name, &zone->state, &zone->name);
        }
    }

    return behind;
}


/*
 * A record may name groups that the configuration does not have any more.
 * It is kept as it is: its other groups are served, and the removed one gets
 * its share again if it comes back.
 */

static void
ngx_http_canary_state_claim(ngx_http_canary_zone_t *zone,
    ngx_http_canary_entry_t *entry, cJSON *json)
{
    cJSON       *item;
    ngx_str_t    name;
    ngx_uint_t   i;

    static char  *fields[] = { "stable", "canary", "group", NULL };

    for (i = 0; fields[i]; i++) {
        item = cJSON_GetObjectItemCaseSensitive(json, fields[i]);

        if (cJSON_IsString(item)) {
            name.data = (u_char *) item->valuestring;
            name.len = ngx_strlen(name.data);

            /* a role is not the name of a group */

            if (ngx_strcmp(name.data, "stable") == 0
                || ngx_strcmp(name.data, "canary") == 0)
            {
                continue;
            }

            (void) ngx_http_canary_shm_claim_name(zone, entry, &name);
        }
    }

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(json, "weights"))
    {
        name.data = (u_char *) item->string;
        name.len = name.data ? ngx_strlen(name.data) : 0;
        (void) ngx_http_canary_shm_claim_name(zone, entry, &name);
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "guard");

    if (item) {
        ngx_http_canary_state_claim(zone, entry, item);
    }

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "rules")) {
        ngx_http_canary_state_claim(zone, entry, item);
    }
}
