
/*
 * Writes the state file: printed by the worker, written by a thread, because a
 * disk can be busy for seconds; who waits for it is told.
 */


#include <ngx_config.h>
#include <ngx_core.h>

/* of nginx, hence before all that is hidden */

extern ngx_module_t  ngx_thread_pool_module;

#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_STATE_WAIT     250     /* of an answer for the disk */
#define NGX_HTTP_CANARY_STATE_STAY     60000   /* anew until it is written */


/* one version of the file on its way to the disk */

struct ngx_http_canary_save_s {
    ngx_http_canary_zone_t  *zone;
    ngx_pool_t              *pool;               /* has all of this */
    ngx_http_canary_out_t    out;
    ngx_atomic_uint_t        generation;
    u_char                  *temp;
    u_char                  *dir;

    ngx_int_t                rc;                 /* NGX_DECLINED: a later one
                                                    is there already */
    char                    *what;               /* what failed */
    ngx_err_t                err;
};


static ngx_int_t ngx_http_canary_state_post(ngx_http_canary_save_t *save);
static void ngx_http_canary_state_write(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_canary_state_replace(ngx_http_canary_save_t *save);
static ngx_int_t ngx_http_canary_state_sync(ngx_http_canary_save_t *save);
#if (NGX_THREADS)
static void ngx_http_canary_state_written(ngx_event_t *ev);
static void ngx_http_canary_state_resume(ngx_http_canary_zone_t *zone,
    ngx_atomic_uint_t generation);
static void ngx_http_canary_state_stay(ngx_event_t *ev);
#endif
static void ngx_http_canary_state_result(ngx_http_canary_save_t *save);
static ngx_uint_t ngx_http_canary_state_said(ngx_http_canary_zone_t *zone);
static void ngx_http_canary_state_failed(ngx_http_canary_zone_t *zone);
static void ngx_http_canary_state_late(ngx_event_t *ev);


/*
 * One thread for each zone: a disk that hangs holds up no other.  nginx has no
 * call that makes a pool of so many threads, but the directive that does.
 */

ngx_int_t
ngx_http_canary_state_thread(ngx_conf_t *cf, ngx_http_canary_zone_t *zone)
{
#if (NGX_THREADS)
    char             *rv;
    ngx_str_t        *value;
    ngx_array_t       args, *present;
    ngx_command_t    *cmd;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    if (ccf->master == 0) {

        /* pools of threads do not survive a reload then */

        return NGX_OK;
    }

    if (ngx_array_init(&args, cf->pool, 3, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    value = ngx_array_push_n(&args, 3);

    cmd = ngx_thread_pool_module.commands;

    value[0] = cmd->name;

    value[1].len = sizeof("canary_zone ") - 1 + zone->name.len;
    value[1].data = ngx_pnalloc(cf->pool, value[1].len + 1);
    if (value[1].data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(value[1].data, "canary_zone %V%Z", &zone->name);

    ngx_str_set(&value[2], "threads=1");

    present = cf->args;
    cf->args = &args;

    rv = cmd->set(cf, cmd, NULL);

    cf->args = present;

    if (rv != NGX_CONF_OK) {
        return NGX_ERROR;
    }

    zone->thread_pool = ngx_thread_pool_add(cf, &value[1]);
#endif

    return NGX_OK;
}


void
ngx_http_canary_state_save(ngx_http_canary_zone_t *zone)
{
    ngx_pool_t              *pool;
    ngx_http_canary_save_t  *save;

    if (zone->state.len == 0 || zone->save
        || ngx_http_canary_shm_persisted(zone)
           == ngx_http_canary_shm_latest(zone))
    {
        return;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, zone->cycle->log);
    if (pool == NULL) {
        ngx_http_canary_state_failed(zone);
        return;
    }

    save = ngx_pcalloc(pool, sizeof(ngx_http_canary_save_t));
    if (save == NULL) {
        goto failed;
    }

    save->zone = zone;
    save->pool = pool;

    save->dir = ngx_http_canary_state_dir(zone, pool);
    if (save->dir == NULL) {
        goto failed;
    }

    if (ngx_http_canary_state_print(zone, pool, &save->out, &save->generation)
        != NGX_OK)
    {
        goto failed;
    }

    save->temp = ngx_pnalloc(pool,
                             zone->state.len + 2 + 2 * NGX_INT64_LEN + 1);
    if (save->temp == NULL) {
        goto failed;
    }

    ngx_sprintf(save->temp, "%V.%P.%uA%Z", &zone->state, ngx_pid,
                save->generation);

    zone->save = save;

    if (ngx_http_canary_state_post(save) == NGX_OK) {
        return;
    }

    zone->save = NULL;

failed:

    ngx_http_canary_state_failed(zone);
    ngx_destroy_pool(pool);
}


static ngx_int_t
ngx_http_canary_state_post(ngx_http_canary_save_t *save)
{
#if (NGX_THREADS)
    ngx_event_t             *ev;
    ngx_thread_task_t       *task;
    ngx_http_canary_zone_t  *zone;

    zone = save->zone;

    if (zone->thread_pool && ngx_process != NGX_PROCESS_SINGLE) {

        task = ngx_thread_task_alloc(save->pool, 0);
        if (task == NULL) {
            return NGX_ERROR;
        }

        task->ctx = save;
        task->handler = ngx_http_canary_state_write;
        task->event.data = save;
        task->event.handler = ngx_http_canary_state_written;

        if (ngx_thread_task_post(zone->thread_pool, task) != NGX_OK) {
            return NGX_ERROR;
        }

        /* a worker that exits would burn its time until the thread is back */

        ev = &zone->stay;
        ev->handler = ngx_http_canary_state_stay;
        ev->data = zone;
        ev->log = zone->cycle->log;

        ngx_add_timer(ev, NGX_HTTP_CANARY_STATE_STAY);

        return NGX_OK;
    }
#endif

    ngx_http_canary_state_write(save, save->zone->cycle->log);
    ngx_http_canary_state_result(save);

    return NGX_OK;
}


/* in a thread: touches nothing but its save and the zone's shared memory */

static void
ngx_http_canary_state_write(void *data, ngx_log_t *log)
{
    ngx_http_canary_save_t *save = data;

    u_char       *p;
    ssize_t       n;
    ngx_fd_t      fd;
    ngx_chain_t  *cl;

    save->rc = NGX_ERROR;
    save->what = ngx_open_file_n;

    fd = ngx_open_file(save->temp, NGX_FILE_WRONLY,
                       NGX_FILE_CREATE_OR_OPEN|NGX_FILE_TRUNCATE,
                       NGX_FILE_DEFAULT_ACCESS);

    if (fd == NGX_INVALID_FILE) {
        save->err = ngx_errno;
        return;
    }

    save->what = ngx_write_fd_n;

    for (cl = save->out.first; cl; cl = cl->next) {

        /* a disk that gets full writes some, and says so the next time */

        for (p = cl->buf->pos; p < cl->buf->last; p += n) {
            n = ngx_write_fd(fd, p, cl->buf->last - p);

            if (n <= 0) {
                save->err = n == 0 ? NGX_ENOSPC : ngx_errno;
                goto done;
            }
        }
    }

    save->what = "fsync()";

    if (fsync(fd) == -1) {
        save->err = ngx_errno;
        goto done;
    }

    save->rc = ngx_http_canary_state_replace(save);

done:

    (void) ngx_close_file(fd);

    if (save->rc != NGX_OK) {
        (void) ngx_delete_file(save->temp);
    }
}


/*
 * Makes the written file the state file, unless another worker was first with
 * a later one.  They take turns by a lock, which a process that dies gives
 * back; the mutex of the zone would stop them all.
 */

static ngx_int_t
ngx_http_canary_state_replace(ngx_http_canary_save_t *save)
{
    ngx_int_t                rc;
    ngx_http_canary_zone_t  *zone;

    zone = save->zone;

    if (zone->lock != NGX_INVALID_FILE) {
        save->what = ngx_lock_fd_n;
        save->err = ngx_lock_fd(zone->lock);

        if (save->err) {
            return NGX_ERROR;
        }
    }

    rc = NGX_DECLINED;

    if (ngx_http_canary_shm_persisted(zone) >= save->generation
        || !ngx_http_canary_shm_file(zone))
    {
        goto done;
    }

    rc = NGX_ERROR;
    save->what = ngx_rename_file_n;

    if (ngx_rename_file(save->temp, zone->state.data) == NGX_FILE_ERROR) {
        save->err = ngx_errno;
        goto done;
    }

    if (ngx_http_canary_state_sync(save) == NGX_OK) {
        ngx_http_canary_shm_persist(zone, save->generation);
        rc = NGX_OK;
    }

done:

    if (zone->lock != NGX_INVALID_FILE) {
        (void) ngx_unlock_fd(zone->lock);
    }

    return rc;
}


/* the rename is on disk when the directory is; not all can be synced */

static ngx_int_t
ngx_http_canary_state_sync(ngx_http_canary_save_t *save)
{
    ngx_fd_t   fd;
    ngx_int_t  rc;

    fd = ngx_open_file(save->dir, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return NGX_OK;
    }

    rc = NGX_OK;

    if (fsync(fd) == -1 && ngx_errno != NGX_EINVAL) {
        save->what = "fsync() of the directory of";
        save->err = ngx_errno;
        rc = NGX_ERROR;
    }

    (void) ngx_close_file(fd);

    return rc;
}


#if (NGX_THREADS)

static void
ngx_http_canary_state_written(ngx_event_t *ev)
{
    ngx_atomic_uint_t        generation;
    ngx_http_canary_zone_t  *zone;
    ngx_http_canary_save_t  *save;

    save = ev->data;
    zone = save->zone;
    generation = save->generation;

    ngx_http_canary_state_result(save);
    ngx_http_canary_state_resume(zone, generation);

    if (ngx_queue_empty(&zone->waiters)) {
        return;
    }

    /* changes that came while it was written */

    ngx_http_canary_state_save(zone);

    if (zone->save == NULL) {
        ngx_http_canary_state_resume(zone, (ngx_atomic_uint_t) -1);
    }
}


static void
ngx_http_canary_state_resume(ngx_http_canary_zone_t *zone,
    ngx_atomic_uint_t generation)
{
    ngx_queue_t               *q, *next, due;
    ngx_http_canary_waiter_t  *waiter;

    /* a handler may add others, and requests may go with their waiters */

    ngx_queue_init(&due);

    for (q = ngx_queue_head(&zone->waiters);
         q != ngx_queue_sentinel(&zone->waiters);
         q = next)
    {
        next = ngx_queue_next(q);
        waiter = ngx_queue_data(q, ngx_http_canary_waiter_t, queue);

        if (waiter->generation <= generation) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&due, q);
        }
    }

    while (!ngx_queue_empty(&due)) {
        q = ngx_queue_head(&due);
        waiter = ngx_queue_data(q, ngx_http_canary_waiter_t, queue);

        ngx_http_canary_state_forget(waiter);
        waiter->handler(waiter->data);
    }
}


static void
ngx_http_canary_state_stay(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_CANARY_STATE_STAY);
}

#endif


static void
ngx_http_canary_state_result(ngx_http_canary_save_t *save)
{
    ngx_uint_t               level;
    ngx_http_canary_zone_t  *zone;

    zone = save->zone;
    zone->save = NULL;

    if (zone->stay.timer_set) {
        ngx_del_timer(&zone->stay);
    }

    if (save->rc == NGX_ERROR) {
        level = ngx_http_canary_state_said(zone) ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, zone->cycle->log, save->err,
                      "%s \"%s\" failed", save->what, save->temp);

        ngx_http_canary_state_failed(zone);
    }

    ngx_destroy_pool(save->pool);
}


/* once for what is on disk: workers do not know of each other's success */

static ngx_uint_t
ngx_http_canary_state_said(ngx_http_canary_zone_t *zone)
{
    return zone->unsaved == ngx_http_canary_shm_persisted(zone) + 1;
}


static void
ngx_http_canary_state_failed(ngx_http_canary_zone_t *zone)
{
    ngx_http_canary_shm_state_error(zone);

    if (!ngx_http_canary_state_said(zone)) {
        zone->unsaved = ngx_http_canary_shm_persisted(zone) + 1;
        ngx_log_error(NGX_LOG_ERR, zone->cycle->log, 0,
                      "canary state file \"%V\" is not up to date, "
                      "will be tried each second", &zone->state);
    }
}


/*
 * Calls the waiter's handler when the present generation was written, could
 * not be, or takes long; not if it returns NGX_OK: nothing is being written.
 */

ngx_int_t
ngx_http_canary_state_wait(ngx_http_canary_zone_t *zone,
    ngx_http_canary_waiter_t *waiter)
{
    if (zone->save == NULL) {
        return NGX_OK;
    }

    waiter->generation = ngx_http_canary_shm_latest(zone);
    waiter->event.handler = ngx_http_canary_state_late;
    waiter->event.data = waiter;
    waiter->event.log = zone->cycle->log;

    ngx_add_timer(&waiter->event, NGX_HTTP_CANARY_STATE_WAIT);
    ngx_queue_insert_tail(&zone->waiters, &waiter->queue);

    return NGX_AGAIN;
}


void
ngx_http_canary_state_forget(ngx_http_canary_waiter_t *waiter)
{
    if (waiter->event.timer_set) {
        ngx_del_timer(&waiter->event);
        ngx_queue_remove(&waiter->queue);
    }
}


static void
ngx_http_canary_state_late(ngx_event_t *ev)
{
    ngx_http_canary_waiter_t *waiter = ev->data;

    ngx_queue_remove(&waiter->queue);
    waiter->handler(waiter->data);
}


/* the process ends; its threads have, and nobody asks what they did */

void
ngx_http_canary_state_drop(ngx_http_canary_zone_t *zone)
{
    if (zone->save) {
        ngx_destroy_pool(zone->save->pool);
        zone->save = NULL;
    }
}
