
/*
 * The families of the metrics page.
 */


#include "ngx_http_canary_metrics.h"


static void ngx_http_canary_print_zone(ngx_http_canary_out_t *out, char *name,
    ngx_http_canary_zone_t *zone, ngx_uint_t value);
static void ngx_http_canary_print_conf(ngx_http_canary_out_t *out, char *name,
    ngx_http_canary_srv_conf_t *conf, uint64_t value);
static void ngx_http_canary_print_cell_value(ngx_http_canary_out_t *out,
    char *name, ngx_http_canary_sample_t *s, ngx_atomic_uint_t value);
static void ngx_http_canary_metric_build(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_generation(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_persisted(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_zone_bytes(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_zone_used(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_refused(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_state_errors(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_drained(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_state(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_revision(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_lapsed(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_tripped(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_removed(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_weight(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_selections(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_attempts(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_in_flight(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_failures(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_responses(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_aborts(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_rescued(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_judged(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_errors(ngx_http_canary_out_t *out,
    char *name, void *object);
static void ngx_http_canary_metric_latency(ngx_http_canary_out_t *out,
    char *name, void *object);


/* in the order of ngx_http_canary_state_e */

static ngx_str_t  ngx_http_canary_states[] = {
    ngx_string("none"),
    ngx_string("missing"),
    ngx_string("unreadable"),
    ngx_string("damaged"),
    ngx_string("newer"),
    ngx_string("loaded")
};


static uint64_t  ngx_http_canary_tens[] = {
    1, 10, 100, 1000, 10000, 100000, 1000000
};


/* by the number of decimals, from 1 */

static char  *ngx_http_canary_le_formats[] = {
    "%s_bucket{%V,le=\"%uL.%01uL\"} %uL\n",
    "%s_bucket{%V,le=\"%uL.%02uL\"} %uL\n",
    "%s_bucket{%V,le=\"%uL.%03uL\"} %uL\n",
    "%s_bucket{%V,le=\"%uL.%04uL\"} %uL\n",
    "%s_bucket{%V,le=\"%uL.%05uL\"} %uL\n",
    "%s_bucket{%V,le=\"%uL.%06uL\"} %uL\n"
};


ngx_http_canary_metric_t  ngx_http_canary_metric_list[] = {

    { NGX_HTTP_CANARY_OF_NGINX,
      "nginx_canary_build_info", "gauge",
      "Versions of the module and of nginx.",
      ngx_http_canary_metric_build },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_generation", "gauge",
      "Changes of any routing record or drained server in the zone.",
      ngx_http_canary_metric_generation },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_persisted_generation", "gauge",
      "The generation that the state file holds.",
      ngx_http_canary_metric_persisted },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_state_load_info", "gauge",
      "What became of the state file when nginx started.",
      ngx_http_canary_metric_state },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_state_write_errors_total", "counter",
      "Failed attempts to write the state file.",
      ngx_http_canary_metric_state_errors },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_zone_bytes", "gauge",
      "Memory of the zone for upstreams and counters.",
      ngx_http_canary_metric_zone_bytes },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_zone_used_bytes", "gauge",
      "Memory of the zone that is taken.",
      ngx_http_canary_metric_zone_used },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_zone_refusals_total", "counter",
      "Times that the zone was full.",
      ngx_http_canary_metric_refused },

    { NGX_HTTP_CANARY_OF_ZONES,
      "nginx_canary_drained_servers", "gauge",
      "Servers that were told to take no new request.",
      ngx_http_canary_metric_drained },

    { NGX_HTTP_CANARY_OF_UPSTREAMS,
      "nginx_canary_revision", "gauge",
      "Revision of the routing record that is served.",
      ngx_http_canary_metric_revision },

    { NGX_HTTP_CANARY_OF_UPSTREAMS,
      "nginx_canary_lapsed", "gauge",
      "1 while the lease has run out and stable serves all.",
      ngx_http_canary_metric_lapsed },

    { NGX_HTTP_CANARY_OF_UPSTREAMS,
      "nginx_canary_tripped", "gauge",
      "1 while the guard keeps a group from being chosen.",
      ngx_http_canary_metric_tripped },

    { NGX_HTTP_CANARY_OF_UPSTREAMS,
      "nginx_canary_removed_groups", "gauge",
      "Groups of the record that the configuration does not have; "
      "stable serves their share.",
      ngx_http_canary_metric_removed },

    { NGX_HTTP_CANARY_OF_UPSTREAMS,
      "nginx_canary_weight_ratio", "gauge",
      "Share of new assignments that the record gives to the group.",
      ngx_http_canary_metric_weight },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_selections_total", "counter",
      "Requests that were given to the group, by reason.",
      ngx_http_canary_metric_selections },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_attempts_total", "counter",
      "Attempts on servers of the group.",
      ngx_http_canary_metric_attempts },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_attempts_in_flight", "gauge",
      "Attempts that have not ended.",
      ngx_http_canary_metric_in_flight },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_failures_total", "counter",
      "Failed attempts, by kind.",
      ngx_http_canary_metric_failures },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_responses_total", "counter",
      "Responses of the group's servers, by class.",
      ngx_http_canary_metric_responses },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_client_aborts_total", "counter",
      "Attempts that ended because the client went away.",
      ngx_http_canary_metric_aborts },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_rescued_total", "counter",
      "Requests that failed on the group and were answered by stable.",
      ngx_http_canary_metric_rescued },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_judged_requests_total", "counter",
      "Requests placed by weight whose first attempt is judged.",
      ngx_http_canary_metric_judged },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_judged_errors_total", "counter",
      "Judged requests whose first attempt failed.",
      ngx_http_canary_metric_errors },

    { NGX_HTTP_CANARY_OF_CELLS,
      "nginx_canary_latency_seconds", "histogram",
      "Time of judged requests that did not fail, to the first byte "
      "or as canary_latency says.",
      ngx_http_canary_metric_latency },

    { NGX_HTTP_CANARY_OF_NGINX, NULL, NULL, NULL, NULL }
};


static void
ngx_http_canary_print_zone(ngx_http_canary_out_t *out, char *name,
    ngx_http_canary_zone_t *zone, ngx_uint_t value)
{
    ngx_http_canary_print(out, "%s{", name);
    ngx_http_canary_print_label(out, "zone", &zone->name);
    ngx_http_canary_print(out, "} %ui\n", value);
}


static void
ngx_http_canary_print_conf(ngx_http_canary_out_t *out, char *name,
    ngx_http_canary_srv_conf_t *conf, uint64_t value)
{
    ngx_http_canary_print(out, "%s{", name);
    ngx_http_canary_print_label(out, "upstream", &conf->upstream->host);
    ngx_http_canary_print(out, "} %uL\n", value);
}


static void
ngx_http_canary_print_cell_value(ngx_http_canary_out_t *out, char *name,
    ngx_http_canary_sample_t *s, ngx_atomic_uint_t value)
{
    ngx_http_canary_print(out, "%s{%V} %uA\n", name, &s->labels, value);
}


static void
ngx_http_canary_metric_build(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_print(out, "%s{version=\"%s\",nginx=\"%s\"} 1\n", name,
                          NGX_HTTP_CANARY_VERSION, NGINX_VERSION);
}


static void
ngx_http_canary_metric_generation(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(object, &info);
    ngx_http_canary_print_zone(out, name, object,
                               (ngx_uint_t) info.generation);
}


static void
ngx_http_canary_metric_persisted(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(object, &info);
    ngx_http_canary_print_zone(out, name, object,
                               (ngx_uint_t) info.persisted);
}


static void
ngx_http_canary_metric_zone_bytes(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(object, &info);
    ngx_http_canary_print_zone(out, name, object,
                               info.pages * NGX_HTTP_CANARY_PAGE);
}


static void
ngx_http_canary_metric_zone_used(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(object, &info);
    ngx_http_canary_print_zone(out, name, object,
                               info.pages_used * NGX_HTTP_CANARY_PAGE);
}


static void
ngx_http_canary_metric_refused(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(object, &info);
    ngx_http_canary_print_zone(out, name, object,
                               (ngx_uint_t) info.refused);
}


static void
ngx_http_canary_metric_state_errors(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(object, &info);
    ngx_http_canary_print_zone(out, name, object,
                               (ngx_uint_t) info.state_errors);
}


static void
ngx_http_canary_metric_drained(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_print_zone(out, name, object,
                               ngx_http_canary_drain_count(object));
}


static void
ngx_http_canary_metric_state(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_zone_t  *zone = object;

    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(zone, &info);

    ngx_http_canary_print(out, "%s{", name);
    ngx_http_canary_print_label(out, "zone", &zone->name);
    ngx_http_canary_print(out, ",result=\"%V\"} 1\n",
                          &ngx_http_canary_states[info.state]);
}


static void
ngx_http_canary_metric_revision(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_srv_conf_t  *conf = object;

    ngx_http_canary_print_conf(out, name, conf, conf->view.record.revision);
}


static void
ngx_http_canary_metric_lapsed(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_print_conf(out, name, object,
                               ngx_http_canary_lapsed(object) ? 1 : 0);
}


static void
ngx_http_canary_metric_tripped(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_srv_conf_t  *conf = object;

    ngx_http_canary_print_conf(out, name, conf,
                               ngx_http_canary_tripped(conf) < conf->ngroups);
}


static void
ngx_http_canary_metric_removed(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_srv_conf_t  *conf = object;

    ngx_uint_t  n, bits;

    n = 0;

    for (bits = conf->view.removed; bits; bits &= bits - 1) {
        n++;
    }

    ngx_http_canary_print_conf(out, name, conf, n);
}


static void
ngx_http_canary_metric_weight(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_srv_conf_t  *conf = object;

    ngx_uint_t  i, weight;

    for (i = 0; i < conf->ngroups; i++) {
        weight = conf->view.record.weights[conf->groups[i].slot];

        ngx_http_canary_print(out, "%s{", name);
        ngx_http_canary_print_label(out, "upstream", &conf->upstream->host);
        ngx_http_canary_print(out, ",");
        ngx_http_canary_print_label(out, "group", &conf->groups[i].name);
        ngx_http_canary_print(out, "} %ui.%04ui\n",
                              weight / NGX_HTTP_CANARY_WHOLE,
                              weight % NGX_HTTP_CANARY_WHOLE);
    }
}


static void
ngx_http_canary_metric_selections(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CANARY_REASONS; i++) {
        ngx_http_canary_print(out, "%s{%V,reason=\"%V\"} %uA\n", name,
                              &s->labels, &ngx_http_canary_reasons[i],
                              s->selections[i]);
    }
}


static void
ngx_http_canary_metric_attempts(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_http_canary_print_cell_value(out, name, s, s->attempts);
}


static void
ngx_http_canary_metric_in_flight(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_http_canary_print_cell_value(out, name, s, s->attempts - s->finished);
}


static void
ngx_http_canary_metric_failures(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CANARY_FAILURES; i++) {
        ngx_http_canary_print(out, "%s{%V,kind=\"%V\"} %uA\n", name,
                              &s->labels, &ngx_http_canary_failures[i],
                              s->failures[i]);
    }
}


static void
ngx_http_canary_metric_responses(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_uint_t  i;

    for (i = 0; i < 5; i++) {
        ngx_http_canary_print(out, "%s{%V,class=\"%uixx\"} %uA\n", name,
                              &s->labels, i + 1, s->responses[i]);
    }
}


static void
ngx_http_canary_metric_aborts(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_http_canary_print_cell_value(out, name, s, s->aborts);
}


static void
ngx_http_canary_metric_rescued(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_http_canary_print_cell_value(out, name, s, s->rescued);
}


static void
ngx_http_canary_metric_judged(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_http_canary_print_cell_value(out, name, s, s->requests);
}


static void
ngx_http_canary_metric_errors(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    ngx_http_canary_print_cell_value(out, name, s, s->errors);
}


static void
ngx_http_canary_metric_latency(ngx_http_canary_out_t *out, char *name,
    void *object)
{
    ngx_http_canary_sample_t  *s = object;

    uint64_t     us;
    ngx_uint_t   i, n, digits, *bounds;

    bounds = s->bounds->elts;
    n = s->bounds->nelts;

    for (i = 0; i < n; i++) {

        /* as short as it can be, the way Prometheus writes it */

        us = ngx_http_canary_edge(bounds[i]);

        for (digits = 6; digits > 1 && us % 10 == 0; digits--) {
            us /= 10;
        }

        ngx_http_canary_print(out, ngx_http_canary_le_formats[digits - 1],
                              name, &s->labels,
                              us / ngx_http_canary_tens[digits],
                              us % ngx_http_canary_tens[digits],
                              s->buckets[i]);
    }

    ngx_http_canary_print(out, "%s_bucket{%V,le=\"+Inf\"} %uL\n"
                          "%s_sum{%V} %uA.%06uA\n%s_count{%V} %uL\n",
                          name, &s->labels, s->buckets[n],
                          name, &s->labels, s->latency_sum / 1000000,
                          s->latency_sum % 1000000,
                          name, &s->labels, s->buckets[n]);
}
