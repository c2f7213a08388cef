
/*
 * The same numbers for Prometheus, text format 0.0.4.
 */


#include "ngx_http_canary.h"


typedef void (*ngx_http_canary_cell_pt)(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);


/* a cell, read once for all families */

typedef struct {
    ngx_str_t                         labels;
    ngx_http_canary_shard_t           sum;
} ngx_http_canary_sample_t;


typedef struct {
    char                             *name;
    char                             *type;
    char                             *help;

    /* one of them: of zones and upstreams, or of each cell */

    void                            (*print)(ngx_http_canary_out_t *out,
                                             ngx_http_canary_main_conf_t *cmcf,
                                             char *name);
    ngx_http_canary_cell_pt           cell;
} ngx_http_canary_metric_t;


static void ngx_http_canary_metric_zone(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name, size_t offset,
    ngx_uint_t unit);
static void ngx_http_canary_metric_build(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_generation(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_persisted(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_zone_bytes(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_zone_used(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_revision(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_lapsed(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_tripped(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_metric_weight(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name);
static void ngx_http_canary_cell_selections(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_attempts(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_in_flight(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_failures(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_responses(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_aborts(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_rescued(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_judged(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_errors(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static void ngx_http_canary_cell_latency(ngx_http_canary_out_t *out,
    char *name, ngx_str_t *labels, ngx_http_canary_shard_t *sum);
static uint64_t ngx_http_canary_edge(ngx_uint_t bucket);
static ngx_int_t ngx_http_canary_sample(ngx_http_request_t *r,
    ngx_http_canary_main_conf_t *cmcf, ngx_array_t *samples);


static ngx_str_t  ngx_http_canary_text_type =
    ngx_string("text/plain; version=0.0.4");


/* seconds; each bound is rounded down to an edge of the fine histogram */

static ngx_uint_t  ngx_http_canary_bounds_us[] = {
    1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    1000000, 2500000, 5000000, 10000000, 30000000, 0
};


/* by cell: what the weights placed, those of a rule, or something else */

static char  *ngx_http_canary_placements[] = {
    "weight", "stratum1", "stratum2", "stratum3", "pinned"
};


static ngx_http_canary_metric_t  ngx_http_canary_metric_list[] = {

    { "nginx_canary_build_info", "gauge",
      "Versions of the module and of nginx.",
      ngx_http_canary_metric_build, NULL },

    { "nginx_canary_generation", "gauge",
      "Changes of any routing record in the zone since it was made.",
      ngx_http_canary_metric_generation, NULL },

    { "nginx_canary_persisted_generation", "gauge",
      "The generation that the state file holds.",
      ngx_http_canary_metric_persisted, NULL },

    { "nginx_canary_zone_bytes", "gauge",
      "Memory of the zone for upstreams and counters.",
      ngx_http_canary_metric_zone_bytes, NULL },

    { "nginx_canary_zone_used_bytes", "gauge",
      "Memory of the zone that is taken.",
      ngx_http_canary_metric_zone_used, NULL },

    { "nginx_canary_revision", "gauge",
      "Revision of the routing record that is served.",
      ngx_http_canary_metric_revision, NULL },

    { "nginx_canary_lapsed", "gauge",
      "1 while the lease has run out and stable serves all.",
      ngx_http_canary_metric_lapsed, NULL },

    { "nginx_canary_tripped", "gauge",
      "1 while the guard keeps a group from being chosen.",
      ngx_http_canary_metric_tripped, NULL },

    { "nginx_canary_weight_ratio", "gauge",
      "Share of new assignments that the record gives to the group.",
      ngx_http_canary_metric_weight, NULL },

    { "nginx_canary_selections_total", "counter",
      "Requests that were given to the group, by reason.",
      NULL, ngx_http_canary_cell_selections },

    { "nginx_canary_attempts_total", "counter",
      "Attempts on servers of the group.",
      NULL, ngx_http_canary_cell_attempts },

    { "nginx_canary_attempts_in_flight", "gauge",
      "Attempts that have not ended.",
      NULL, ngx_http_canary_cell_in_flight },

    { "nginx_canary_failures_total", "counter",
      "Failed attempts, by kind.",
      NULL, ngx_http_canary_cell_failures },

    { "nginx_canary_responses_total", "counter",
      "Responses of the group's servers, by class.",
      NULL, ngx_http_canary_cell_responses },

    { "nginx_canary_client_aborts_total", "counter",
      "Attempts that ended because the client went away.",
      NULL, ngx_http_canary_cell_aborts },

    { "nginx_canary_rescued_total", "counter",
      "Requests that failed on the group and were answered by stable.",
      NULL, ngx_http_canary_cell_rescued },

    { "nginx_canary_judged_requests_total", "counter",
      "Requests placed by weight whose first attempt is judged.",
      NULL, ngx_http_canary_cell_judged },

    { "nginx_canary_judged_errors_total", "counter",
      "Judged requests whose first attempt failed.",
      NULL, ngx_http_canary_cell_errors },

    { "nginx_canary_latency_seconds", "histogram",
      "Time to the first byte of judged requests that did not fail.",
      NULL, ngx_http_canary_cell_latency },

    { NULL, NULL, NULL, NULL, NULL }
};


ngx_int_t
ngx_http_canary_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_array_t                   samples;
    ngx_http_canary_out_t         out;
    ngx_http_canary_sample_t     *sample;
    ngx_http_canary_metric_t     *m;
    ngx_http_canary_main_conf_t  *cmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_canary_module);

    if (ngx_http_canary_sample(r, cmcf, &samples) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    sample = samples.elts;

    ngx_http_canary_out_init(&out, r->pool);

    for (m = ngx_http_canary_metric_list; m->name; m++) {
        ngx_http_canary_print(&out, "# HELP %s %s\n# TYPE %s %s\n",
                              m->name, m->help, m->name, m->type);

        if (m->print) {
            m->print(&out, cmcf, m->name);
            continue;
        }

        for (i = 0; i < samples.nelts; i++) {
            m->cell(&out, m->name, &sample[i].labels, &sample[i].sum);
        }
    }

    return ngx_http_canary_send(r, &out, NGX_HTTP_OK,
                                &ngx_http_canary_text_type);
}


static ngx_int_t
ngx_http_canary_sample(ngx_http_request_t *r,
    ngx_http_canary_main_conf_t *cmcf, ngx_array_t *samples)
{
    size_t                        len;
    ngx_uint_t                    i, n, cell;
    ngx_http_canary_sample_t     *s;
    ngx_http_canary_srv_conf_t   *conf, **confs;

    confs = cmcf->upstreams.elts;

    if (ngx_array_init(samples, r->pool, 2 * cmcf->upstreams.nelts + 1,
                       sizeof(ngx_http_canary_sample_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        conf = confs[i];

        /* a worker that serves only this location may be behind */

        if (ngx_http_canary_shm_generation(conf->entry)
            != conf->view.generation)
        {
            ngx_http_canary_refresh(conf);
        }

        for (n = 0; n < conf->ngroups * NGX_HTTP_CANARY_CELLS; n++) {

            cell = n % NGX_HTTP_CANARY_CELLS;

            s = ngx_array_push(samples);
            if (s == NULL) {
                return NGX_ERROR;
            }

            if (ngx_http_canary_shm_sum(conf->zone, conf->entry,
                              conf->groups[n / NGX_HTTP_CANARY_CELLS].slot,
                              cell, &s->sum)
                != NGX_OK)
            {
                samples->nelts--;
                continue;
            }

            len = sizeof("upstream=\"\",group=\"\",placement=\"stratum1\"")
                  + conf->upstream->host.len + NGX_HTTP_CANARY_NAME_LEN;

            s->labels.data = ngx_pnalloc(r->pool, len);
            if (s->labels.data == NULL) {
                return NGX_ERROR;
            }

            s->labels.len = ngx_sprintf(s->labels.data,
                         "upstream=\"%V\",group=\"%V\",placement=\"%s\"",
                         &conf->upstream->host,
                         &conf->groups[n / NGX_HTTP_CANARY_CELLS].name,
                         ngx_http_canary_placements[cell])
                            - s->labels.data;
        }
    }

    return NGX_OK;
}


static void
ngx_http_canary_metric_build(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_http_canary_print(out, "%s{version=\"%s\",nginx=\"%s\"} 1\n", name,
                          NGX_HTTP_CANARY_VERSION, NGINX_VERSION);
}


static void
ngx_http_canary_metric_zone(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name, size_t offset,
    ngx_uint_t unit)
{
    ngx_uint_t                    i;
    ngx_http_canary_zone_t      **zones;
    ngx_http_canary_zone_info_t   info;

    zones = cmcf->zones.elts;

    for (i = 0; i < cmcf->zones.nelts; i++) {
        ngx_http_canary_shm_info(zones[i], &info);

        ngx_http_canary_print(out, "%s{zone=", name);
        ngx_http_canary_print_string(out, &zones[i]->name);
        ngx_http_canary_print(out, "} %ui\n",
                        unit * *(ngx_uint_t *) ((u_char *) &info + offset));
    }
}


static void
ngx_http_canary_metric_generation(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_http_canary_metric_zone(out, cmcf, name,
                        offsetof(ngx_http_canary_zone_info_t, generation), 1);
}


static void
ngx_http_canary_metric_persisted(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_http_canary_metric_zone(out, cmcf, name,
                        offsetof(ngx_http_canary_zone_info_t, persisted), 1);
}


static void
ngx_http_canary_metric_zone_bytes(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_http_canary_metric_zone(out, cmcf, name,
                        offsetof(ngx_http_canary_zone_info_t, pages),
                        sizeof(ngx_http_canary_shard_t));
}


static void
ngx_http_canary_metric_zone_used(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_http_canary_metric_zone(out, cmcf, name,
                        offsetof(ngx_http_canary_zone_info_t, pages_used),
                        sizeof(ngx_http_canary_shard_t));
}


static void
ngx_http_canary_metric_revision(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **confs;

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        ngx_http_canary_print(out, "%s{upstream=", name);
        ngx_http_canary_print_string(out, &confs[i]->upstream->host);
        ngx_http_canary_print(out, "} %uL\n", confs[i]->view.record.revision);
    }
}


static void
ngx_http_canary_metric_lapsed(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **confs;

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        ngx_http_canary_print(out, "%s{upstream=", name);
        ngx_http_canary_print_string(out, &confs[i]->upstream->host);
        ngx_http_canary_print(out, "} %ui\n",
                              ngx_http_canary_lapsed(confs[i]) ? 1 : 0);
    }
}


static void
ngx_http_canary_metric_tripped(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_uint_t                    i;
    ngx_http_canary_srv_conf_t  **confs;

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        ngx_http_canary_print(out, "%s{upstream=", name);
        ngx_http_canary_print_string(out, &confs[i]->upstream->host);
        ngx_http_canary_print(out, "} %ui\n",
                              ngx_http_canary_tripped(confs[i])
                              < confs[i]->ngroups ? 1 : 0);
    }
}


static void
ngx_http_canary_metric_weight(ngx_http_canary_out_t *out,
    ngx_http_canary_main_conf_t *cmcf, char *name)
{
    ngx_uint_t                    i, n, weight;
    ngx_http_canary_srv_conf_t   *conf, **confs;

    confs = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        conf = confs[i];

        for (n = 0; n < conf->ngroups; n++) {
            weight = conf->view.record.weights[conf->groups[n].slot];

            ngx_http_canary_print(out, "%s{upstream=", name);
            ngx_http_canary_print_string(out, &conf->upstream->host);
            ngx_http_canary_print(out, ",group=");
            ngx_http_canary_print_string(out, &conf->groups[n].name);
            ngx_http_canary_print(out, "} %ui.%04ui\n",
                                  weight / NGX_HTTP_CANARY_WHOLE,
                                  weight % NGX_HTTP_CANARY_WHOLE);
        }
    }
}


static void
ngx_http_canary_cell_selections(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CANARY_REASONS; i++) {
        ngx_http_canary_print(out, "%s{%V,reason=\"%V\"} %uA\n", name, labels,
                              &ngx_http_canary_reasons[i],
                              sum->selections[i]);
    }
}


static void
ngx_http_canary_cell_attempts(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, labels, sum->attempts);
}


static void
ngx_http_canary_cell_in_flight(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, labels,
                          sum->attempts - sum->finished);
}


static void
ngx_http_canary_cell_failures(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CANARY_FAILURES; i++) {
        ngx_http_canary_print(out, "%s{%V,kind=\"%V\"} %uA\n", name, labels,
                              &ngx_http_canary_failures[i], sum->failures[i]);
    }
}


static void
ngx_http_canary_cell_responses(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_uint_t  i;

    for (i = 0; i < 5; i++) {
        ngx_http_canary_print(out, "%s{%V,class=\"%uixx\"} %uA\n", name,
                              labels, i + 1, sum->responses[i]);
    }
}


static void
ngx_http_canary_cell_aborts(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, labels, sum->aborts);
}


static void
ngx_http_canary_cell_rescued(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, labels, sum->rescued);
}


static void
ngx_http_canary_cell_judged(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, labels, sum->requests);
}


static void
ngx_http_canary_cell_errors(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, labels, sum->errors);
}


/* _count is the last of the cumulated buckets, whatever moves meanwhile */

static void
ngx_http_canary_cell_latency(ngx_http_canary_out_t *out, char *name,
    ngx_str_t *labels, ngx_http_canary_shard_t *sum)
{
    uint64_t    total;
    ngx_uint_t  i, bucket, *bound;

    total = 0;
    bucket = 0;

    for (bound = ngx_http_canary_bounds_us; *bound; bound++) {

        while (bucket < NGX_HTTP_CANARY_BUCKETS
               && ngx_http_canary_edge(bucket + 1) <= *bound)
        {
            total += sum->latency[bucket++];
        }

        ngx_http_canary_print(out, "%s_bucket{%V,le=\"%ui.%04ui\"} %uL\n",
                              name, labels, *bound / 1000000,
                              *bound % 1000000 / 100, total);
    }

    for (i = bucket; i < NGX_HTTP_CANARY_BUCKETS; i++) {
        total += sum->latency[i];
    }

    ngx_http_canary_print(out, "%s_bucket{%V,le=\"+Inf\"} %uL\n"
                          "%s_sum{%V} %uA.%06uA\n%s_count{%V} %uL\n",
                          name, labels, total,
                          name, labels, sum->latency_sum / 1000000,
                          sum->latency_sum % 1000000,
                          name, labels, total);
}


/* smallest latency of a bucket, in microseconds */

static uint64_t
ngx_http_canary_edge(ngx_uint_t bucket)
{
    if (bucket < 16) {
        return bucket;
    }

    return (uint64_t) (bucket % 16 + 16) << (bucket / 16 - 1);
}
