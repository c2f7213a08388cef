
/*
 * The same numbers for Prometheus, text format 0.0.4.
 *
 * All cells are read first, then the families are printed from what was read,
 * so that they agree.  Both are done in slices.
 */


#include "ngx_http_canary_metrics.h"


#define NGX_HTTP_CANARY_MAX_BOUNDS   64
#define NGX_HTTP_CANARY_PER_STEP     16          /* samples that are printed */


typedef struct {
    ngx_array_t                      *bounds;
    ngx_array_t                       samples;
    ngx_http_canary_shard_t           sum;
} ngx_http_canary_page_t;


static ngx_int_t ngx_http_canary_metrics_step(ngx_http_canary_task_t *task);
static ngx_int_t ngx_http_canary_sample(ngx_http_request_t *r,
    ngx_http_canary_page_t *page, ngx_http_canary_srv_conf_t *conf);
static ngx_int_t ngx_http_canary_sample_cell(ngx_http_request_t *r,
    ngx_http_canary_page_t *page, ngx_http_canary_sample_t *s);
static ngx_int_t ngx_http_canary_sample_labels(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t group, ngx_uint_t cell,
    ngx_str_t *labels);
static u_char *ngx_http_canary_escape_label(u_char *p, ngx_str_t *value);
static char *ngx_http_canary_add_bound(ngx_conf_t *cf, ngx_array_t *bounds,
    ngx_str_t *value);
static ngx_uint_t ngx_http_canary_nearest_edge(uint64_t us);


static ngx_str_t  ngx_http_canary_text_type =
    ngx_string("text/plain; version=0.0.4");


/* seconds; each bound is rounded to the nearest edge of the fine histogram */

static ngx_str_t  ngx_http_canary_default_bounds =
    ngx_string("0.001,0.0025,0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10,"
               "30");


/* by cell: what the weights placed, those of a rule, or something else */

static char  *ngx_http_canary_placements[] = {
    "weight", "stratum1", "stratum2", "stratum3", "pinned"
};


static ngx_int_t
ngx_http_canary_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_canary_page_t       *page;
    ngx_http_canary_task_t       *task;
    ngx_http_canary_loc_conf_t   *clcf;
    ngx_http_canary_main_conf_t  *cmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_canary_module);
    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    task = ngx_pcalloc(r->pool, sizeof(ngx_http_canary_task_t));
    page = ngx_palloc(r->pool, sizeof(ngx_http_canary_page_t));

    if (task == NULL || page == NULL
        || ngx_array_init(&page->samples, r->pool,
                          3 * cmcf->upstreams.nelts + 1,
                          sizeof(ngx_http_canary_sample_t))
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    page->bounds = clcf->bounds;

    task->step = ngx_http_canary_metrics_step;
    task->data = page;

    return ngx_http_canary_run_task(r, task, &ngx_http_canary_text_type);
}


/* major 0: reading, an upstream a step; then it counts the families */

static ngx_int_t
ngx_http_canary_metrics_step(ngx_http_canary_task_t *task)
{
    ngx_uint_t                    i, n;
    ngx_http_request_t           *r;
    ngx_http_canary_page_t       *page;
    ngx_http_canary_zone_t      **zones;
    ngx_http_canary_metric_t     *m;
    ngx_http_canary_sample_t     *samples;
    ngx_http_canary_srv_conf_t  **confs;
    ngx_http_canary_main_conf_t  *cmcf;

    r = task->request;
    page = task->data;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);
    zones = cmcf->zones.elts;
    confs = cmcf->upstreams.elts;
    samples = page->samples.elts;

    if (task->major == 0) {

        if (task->minor < cmcf->upstreams.nelts) {
            return ngx_http_canary_sample(r, page, confs[task->minor++])
                   == NGX_OK ? NGX_AGAIN : NGX_ERROR;
        }

        task->major = 1;
        task->minor = 0;
    }

    m = &ngx_http_canary_metric_list[task->major - 1];

    if (m->name == NULL) {
        return NGX_OK;
    }

    if (task->minor == 0) {
        ngx_http_canary_print(&task->out, "# HELP %s %s\n# TYPE %s %s\n",
                              m->name, m->help, m->name, m->type);
    }

    switch (m->of) {

    case NGX_HTTP_CANARY_OF_ZONES:
        n = cmcf->zones.nelts;
        break;

    case NGX_HTTP_CANARY_OF_UPSTREAMS:
        n = cmcf->upstreams.nelts;
        break;

    case NGX_HTTP_CANARY_OF_CELLS:
        n = page->samples.nelts;
        break;

    default: /* NGX_HTTP_CANARY_OF_NGINX */
        n = 1;
    }

    for (i = 0; i < NGX_HTTP_CANARY_PER_STEP && task->minor < n; i++) {

        switch (m->of) {

        case NGX_HTTP_CANARY_OF_ZONES:
            m->print(&task->out, m->name, zones[task->minor]);
            break;

        case NGX_HTTP_CANARY_OF_UPSTREAMS:
            m->print(&task->out, m->name, confs[task->minor]);
            break;

        case NGX_HTTP_CANARY_OF_CELLS:
            m->print(&task->out, m->name, &samples[task->minor]);
            break;

        default: /* NGX_HTTP_CANARY_OF_NGINX */
            m->print(&task->out, m->name, NULL);
        }

        task->minor++;
    }

    if (task->minor == n) {
        task->major++;
        task->minor = 0;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_canary_sample(ngx_http_request_t *r, ngx_http_canary_page_t *page,
    ngx_http_canary_srv_conf_t *conf)
{
    ngx_uint_t                 i, cell;
    ngx_http_canary_sample_t  *s;

    /* a worker that serves only this location may be behind */

    if (ngx_http_canary_shm_generation(conf->entry)
        != conf->view.generation)
    {
        ngx_http_canary_refresh(conf);
    }

    for (i = 0; i < conf->ngroups; i++) {
        for (cell = 0; cell < NGX_HTTP_CANARY_CELLS; cell++) {

            if (ngx_http_canary_shm_sum(conf->zone, conf->entry,
                                        conf->groups[i].slot, cell,
                                        &page->sum)
                != NGX_OK)
            {
                continue;
            }

            s = ngx_array_push(&page->samples);
            if (s == NULL) {
                return NGX_ERROR;
            }

            if (ngx_http_canary_sample_cell(r, page, s) != NGX_OK
                || ngx_http_canary_sample_labels(r, conf, i, cell, &s->labels)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* the last of the buckets is _count as well, whatever moves meanwhile */

static ngx_int_t
ngx_http_canary_sample_cell(ngx_http_request_t *r,
    ngx_http_canary_page_t *page, ngx_http_canary_sample_t *s)
{
    uint64_t                  total;
    ngx_uint_t                i, n, bucket, *bounds;
    ngx_http_canary_shard_t  *sum;

    sum = &page->sum;

    for (i = 0; i < NGX_HTTP_CANARY_REASONS; i++) {
        s->selections[i] = sum->selections[i];
    }

    for (i = 0; i < NGX_HTTP_CANARY_FAILURES; i++) {
        s->failures[i] = sum->failures[i];
    }

    for (i = 0; i < 5; i++) {
        s->responses[i] = sum->responses[i];
    }

    s->attempts = sum->attempts;
    s->finished = sum->finished;
    s->aborts = sum->aborts;
    s->rescued = sum->rescued;
    s->requests = sum->requests;
    s->errors = sum->errors;
    s->latency_sum = sum->latency_sum;

    s->bounds = page->bounds;

    bounds = s->bounds->elts;
    n = s->bounds->nelts;

    s->buckets = ngx_palloc(r->pool, (n + 1) * sizeof(uint64_t));
    if (s->buckets == NULL) {
        return NGX_ERROR;
    }

    total = 0;
    bucket = 0;

    for (i = 0; i < n; i++) {

        while (bucket < bounds[i]) {
            total += sum->latency[bucket++];
        }

        s->buckets[i] = total;
    }

    while (bucket < NGX_HTTP_CANARY_BUCKETS) {
        total += sum->latency[bucket++];
    }

    s->buckets[n] = total;

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_sample_labels(ngx_http_request_t *r,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t group, ngx_uint_t cell,
    ngx_str_t *labels)
{
    u_char     *p;
    ngx_str_t  *host, *name;

    host = &conf->upstream->host;
    name = &conf->groups[group].name;

    labels->data = ngx_pnalloc(r->pool,
                               sizeof("upstream=\"\",group=\"\","
                                      "placement=\"stratum1\"")
                               + 2 * (host->len + name->len));

    if (labels->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(labels->data, "upstream=\"", sizeof("upstream=\"") - 1);
    p = ngx_http_canary_escape_label(p, host);
    p = ngx_cpymem(p, "\",group=\"", sizeof("\",group=\"") - 1);
    p = ngx_http_canary_escape_label(p, name);

    p = ngx_sprintf(p, "\",placement=\"%s\"",
                    ngx_http_canary_placements[cell]);

    labels->len = p - labels->data;

    return NGX_OK;
}


void
ngx_http_canary_print_label(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   s;

    p = ngx_pnalloc(out->pool, 2 * value->len);

    if (p == NULL) {
        out->failed = 1;
        return;
    }

    s.data = p;
    s.len = ngx_http_canary_escape_label(p, value) - p;

    ngx_http_canary_print(out, "%s=\"%V\"", name, &s);
}


/* at most twice as long; not as JSON has it, which has escapes of its own */

static u_char *
ngx_http_canary_escape_label(u_char *p, ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {

        switch (value->data[i]) {

        case '\\':
        case '"':
            *p++ = '\\';
            *p++ = value->data[i];
            break;

        case '\n':
            *p++ = '\\';
            *p++ = 'n';
            break;

        default:
            *p++ = value->data[i];
        }
    }

    return p;
}


uint64_t
ngx_http_canary_edge(ngx_uint_t bucket)
{
    if (bucket < 16) {
        return bucket;
    }

    return (uint64_t) (bucket % 16 + 16) << (bucket / 16 - 1);
}


/* canary_metrics [buckets=0.005,0.01,...] */

char *
ngx_http_canary_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_canary_loc_conf_t  *clcf = conf;

    char                      *rv;
    u_char                    *p, *last;
    ngx_str_t                 *value, list, bound;
    ngx_http_core_loc_conf_t  *core;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (core->handler) {
        return "is duplicate";
    }

    core->handler = ngx_http_canary_metrics_handler;

    list = ngx_http_canary_default_bounds;

    if (cf->args->nelts == 2) {
        value = cf->args->elts;

        if (ngx_strncmp(value[1].data, "buckets=", 8) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", "
                               "buckets=seconds,... is one", &value[1]);
            return NGX_CONF_ERROR;
        }

        list.data = value[1].data + 8;
        list.len = value[1].len - 8;
    }

    clcf->bounds = ngx_array_create(cf->pool, 16, sizeof(ngx_uint_t));
    if (clcf->bounds == NULL) {
        return NGX_CONF_ERROR;
    }

    p = list.data;
    last = list.data + list.len;

    do {
        bound.data = p;
        p = ngx_strlchr(p, last, ',');

        if (p == NULL) {
            p = last;
        }

        bound.len = p - bound.data;

        rv = ngx_http_canary_add_bound(cf, clcf->bounds, &bound);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

    } while (p++ < last);

    return NGX_CONF_OK;
}


static char *
ngx_http_canary_add_bound(ngx_conf_t *cf, ngx_array_t *bounds,
    ngx_str_t *value)
{
    ngx_int_t    us;
    ngx_uint_t  *bound, n;

    us = ngx_atofp(value->data, value->len, 6);

    if (us == NGX_ERROR || us < 1
        || (uint64_t) us > ngx_http_canary_edge(NGX_HTTP_CANARY_BUCKETS - 1))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid bucket \"%V\", it must be in seconds, "
                           "from 0.000001 to 130 with at most six decimals",
                           value);
        return NGX_CONF_ERROR;
    }

    if (bounds->nelts == NGX_HTTP_CANARY_MAX_BOUNDS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"canary_metrics\" takes at most %d buckets",
                           NGX_HTTP_CANARY_MAX_BOUNDS);
        return NGX_CONF_ERROR;
    }

    n = ngx_http_canary_nearest_edge(us);

    if (bounds->nelts) {
        bound = bounds->elts;

        if (n <= bound[bounds->nelts - 1]) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "bucket \"%V\" must be above the one before "
                               "it, by about 6%% at least", value);
            return NGX_CONF_ERROR;
        }
    }

    bound = ngx_array_push(bounds);
    if (bound == NULL) {
        return NGX_CONF_ERROR;
    }

    *bound = n;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_canary_nearest_edge(uint64_t us)
{
    ngx_uint_t  n;

    for (n = 1; ngx_http_canary_edge(n) < us; n++) { /* void */ }

    if (n > 1 && us - ngx_http_canary_edge(n - 1)
                 < ngx_http_canary_edge(n) - us)
    {
        n--;
    }

    return n;
}
