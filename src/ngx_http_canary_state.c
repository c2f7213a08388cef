
/*
 * The state file: the routing records of a zone and its drained servers, so
 * that a restart goes on where nginx stopped.
 *
 *     nginx-canary-state 1 <crc32 of the rest> <its length>
 *     {"upstreams": {"app": {"revision": 7, ...}},
 *      "drained": [{"group": "blue", "server": "10.0.0.11:8080"}]}
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_STATE_RETRY    1000


static ngx_int_t ngx_http_canary_state_open_lock(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone);
static ngx_int_t ngx_http_canary_state_sweep(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone);
static void ngx_http_canary_state_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_canary_state_upgrading(
    ngx_http_canary_zone_t *zone);
static void ngx_http_canary_state_cleanup(void *data);


ngx_int_t
ngx_http_canary_state_print(ngx_http_canary_zone_t *zone, ngx_pool_t *pool,
    ngx_http_canary_out_t *out, ngx_atomic_uint_t *generation)
{
    u_char                   *text;
    uint32_t                  crc;
    ngx_str_t                 name, rules;
    ngx_uint_t                i;
    ngx_array_t               saved;
    ngx_chain_t              *cl;
    ngx_http_canary_out_t     head;
    ngx_http_canary_saved_t  *s;

    if (ngx_http_canary_shm_snapshot(zone, pool, &saved, generation)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    s = saved.elts;

    text = ngx_pnalloc(pool, NGX_HTTP_CANARY_RULES_SIZE);
    if (text == NULL) {
        return NGX_ERROR;
    }

    ngx_http_canary_out_init(out, pool);

    ngx_http_canary_print(out, "{\"upstreams\": {");

    for (i = 0; i < saved.nelts; i++) {
        ngx_http_canary_print(out, i ? ",\n" : "\n");
        ngx_http_canary_print_string(out,
                                ngx_http_canary_shm_name(s[i].entry, &name));
        ngx_http_canary_print(out, ": ");

        /* a record that came meanwhile is welcome, with its rules */

        if (s[i].record.rules_len) {
            (void) ngx_http_canary_shm_read(s[i].entry, &s[i].record, text);
        }

        rules.len = s[i].record.rules_len;
        rules.data = text;

        ngx_http_canary_print_record(out, s[i].entry, &s[i].record, &rules);
    }

    ngx_http_canary_print(out, "\n},\n\"drained\": ");
    ngx_http_canary_drain_save(zone, out);
    ngx_http_canary_print(out, "}\n");

    ngx_crc32_init(crc);

    for (cl = out->first; cl; cl = cl->next) {
        ngx_crc32_update(&crc, cl->buf->pos, cl->buf->last - cl->buf->pos);
    }

    ngx_crc32_final(crc);

    ngx_http_canary_out_init(&head, pool);
    ngx_http_canary_print(&head, NGX_HTTP_CANARY_STATE_MAGIC "%d %08xD %O\n",
                          NGX_HTTP_CANARY_STATE_VERSION, crc, out->size);

    if (out->failed || head.failed) {
        return NGX_ERROR;
    }

    head.last->next = out->first;
    out->first = head.first;

    return NGX_OK;
}


u_char *
ngx_http_canary_state_dir(ngx_http_canary_zone_t *zone, ngx_pool_t *pool)
{
    size_t   len;
    u_char  *dir;

    for (len = zone->state.len; len > 1; len--) {
        if (zone->state.data[len - 1] == '/') {
            break;
        }
    }

    dir = ngx_pnalloc(pool, len + 1);

    if (dir) {
        ngx_cpystrn(dir, zone->state.data, len + 1);
    }

    return dir;
}


/*
 * Workers write the file and are not root.  A directory that is not there is
 * made for them; one that is there belongs to somebody and is left as it is.
 */

ngx_int_t
ngx_http_canary_state_init_module(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone)
{
    u_char           *dir;
    ngx_core_conf_t  *ccf;

    if (zone->state.len == 0) {
        return NGX_OK;
    }

    ngx_http_canary_shm_moved(zone);

    dir = ngx_http_canary_state_dir(zone, cycle->pool);
    if (dir == NULL) {
        return NGX_ERROR;
    }

    if (ngx_create_dir(dir, 0755) != NGX_FILE_ERROR) {
        ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                               ngx_core_module);

        if (geteuid() == 0
            && chown((const char *) dir, ccf->user, ccf->group) == -1)
        {
            ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                          "chown(\"%s\") failed", dir);
        }

    } else if (ngx_errno != NGX_EEXIST) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      ngx_create_dir_n " \"%s\" failed", dir);
        return NGX_OK;
    }

    if (ngx_http_canary_state_open_lock(cycle, zone) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_canary_state_sweep(cycle, zone);
}


/* workers inherit it; who else could lock it could stop them */

static ngx_int_t
ngx_http_canary_state_open_lock(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone)
{
    u_char                   *name;
    ngx_pool_cleanup_t       *cln;
    ngx_pool_cleanup_file_t  *clnf;

    name = ngx_pnalloc(cycle->pool, zone->state.len + sizeof(".lock"));
    if (name == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(name, "%V.lock%Z", &zone->state);

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    zone->lock = ngx_open_file(name, NGX_FILE_RDWR, NGX_FILE_CREATE_OR_OPEN,
                               0600);

    if (zone->lock == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      ngx_open_file_n " \"%s\" failed", name);
        return NGX_OK;
    }

    cln->handler = ngx_pool_cleanup_file;
    clnf = cln->data;

    clnf->fd = zone->lock;
    clnf->name = name;
    clnf->log = cycle->log;

    if (fcntl(zone->lock, F_SETFD, FD_CLOEXEC) == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "fcntl(FD_CLOEXEC) \"%s\" failed", name);
    }

    return NGX_OK;
}


/* what workers left that were killed while they wrote: FILE.PID.GENERATION */

static ngx_int_t
ngx_http_canary_state_sweep(ngx_cycle_t *cycle, ngx_http_canary_zone_t *zone)
{
    u_char      *p, *last;
    ngx_int_t    pid;
    ngx_str_t    name;
    ngx_glob_t   gl;

    ngx_memzero(&gl, sizeof(ngx_glob_t));

    gl.pattern = ngx_pnalloc(cycle->pool, zone->state.len + sizeof(".*.*"));
    if (gl.pattern == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(gl.pattern, "%V.*.*%Z", &zone->state);

    gl.log = cycle->log;
    gl.test = 1;

    if (ngx_open_glob(&gl) != NGX_OK) {
        return NGX_OK;
    }

    while (ngx_read_glob(&gl, &name) == NGX_OK) {
        p = name.data + zone->state.len + 1;
        last = ngx_strlchr(p, name.data + name.len, '.');
        pid = last ? ngx_atoi(p, last - p) : NGX_ERROR;

        if (pid > 0 && kill(pid, 0) == -1 && ngx_errno == ESRCH) {
            (void) ngx_delete_file(name.data);
        }
    }

    ngx_close_glob(&gl);

    return NGX_OK;
}


/*
 * One worker looks after the zone: a worker that was killed between a change
 * and its file, a disk that was full, a drained server that a name came to
 * mean again, two nginx that share the file during a binary upgrade.
 */

ngx_int_t
ngx_http_canary_state_init_process(ngx_cycle_t *cycle,
    ngx_http_canary_zone_t *zone)
{
    u_char              *dir;
    ngx_event_t         *ev;
    ngx_pool_cleanup_t  *cln;

    if (zone->state.len && ngx_worker == 0) {
        dir = ngx_http_canary_state_dir(zone, cycle->pool);
        if (dir == NULL) {
            return NGX_ERROR;
        }

        if (access((const char *) dir, W_OK) == -1) {
            ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                          "canary state directory \"%s\" cannot be written "
                          "by the worker, records will not survive a restart",
                          dir);
        }
    }

    if (zone->state.len == 0 && ngx_worker != 0) {
        return NGX_OK;
    }

    /* without master process an old cycle ends before its process does */

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_canary_state_cleanup;
    cln->data = zone;

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    zone->shared = ngx_inherited;

    ev = &zone->event;

    ev->handler = ngx_http_canary_state_handler;
    ev->data = zone;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_CANARY_STATE_RETRY);

    return NGX_OK;
}


static void
ngx_http_canary_state_handler(ngx_event_t *ev)
{
    ngx_http_canary_zone_t *zone = ev->data;

    ngx_uint_t  shared;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    ngx_http_canary_drain_apply(zone, ev->log, 0);

    if (zone->state.len) {

        shared = ngx_http_canary_state_upgrading(zone);

        /* once more when the other has gone, who may have been the last */

        if (shared || zone->shared) {
            ngx_http_canary_state_merge(zone, ev->log);
        }

        zone->shared = shared;

        ngx_http_canary_state_save(zone);
    }

    ngx_add_timer(ev, NGX_HTTP_CANARY_STATE_RETRY);
}


/*
 * From USR2 until the old nginx ends there are two, each with a zone of its
 * own, and a change reaches one of them.
 */

static ngx_uint_t
ngx_http_canary_state_upgrading(ngx_http_canary_zone_t *zone)
{
    ngx_core_conf_t  *ccf;
    ngx_file_info_t   fi;

    ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                           ngx_core_module);

    return ngx_file_info(ccf->oldpid.data, &fi) != NGX_FILE_ERROR;
}


static void
ngx_http_canary_state_cleanup(void *data)
{
    ngx_http_canary_zone_t  *zone = data;

    if (zone->event.timer_set) {
        ngx_del_timer(&zone->event);
    }

    ngx_http_canary_state_drop(zone);
}
