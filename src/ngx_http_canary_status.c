
/*
 * What an upstream serves and counted, as JSON.
 */


#include "ngx_http_canary.h"


static void ngx_http_canary_print_effective(ngx_http_canary_out_t *out,
    ngx_http_canary_srv_conf_t *conf);
static void ngx_http_canary_print_group(ngx_http_canary_out_t *out,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t group);
static void ngx_http_canary_print_cell(ngx_http_canary_out_t *out,
    ngx_http_canary_shard_t *sum);


void
ngx_http_canary_print_head(ngx_http_canary_out_t *out,
    ngx_http_canary_zone_t *zone)
{
    ngx_http_canary_zone_info_t  info;

    ngx_http_canary_shm_info(zone, &info);

    ngx_http_canary_print(out, "\"zone\": ");
    ngx_http_canary_print_string(out, &zone->name);
    ngx_http_canary_print(out, ", \"boot\": \"%016xL\", \"generation\": %uA, "
                          "\"persisted\": %uA",
                          info.boot, info.generation, info.persisted);
}


void
ngx_http_canary_print_upstream(ngx_http_canary_out_t *out,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t counters)
{
    ngx_uint_t  i;

    /* a worker that serves only the API may be behind */

    if (ngx_http_canary_shm_generation(conf->entry) != conf->view.generation) {
        ngx_http_canary_refresh(conf);
    }

    ngx_http_canary_print(out, "{\"upstream\": ");
    ngx_http_canary_print_string(out, &conf->upstream->host);
    ngx_http_canary_print(out, ", ");
    ngx_http_canary_print_head(out, conf->zone);

    ngx_http_canary_print(out, ",\n \"record\": ");
    ngx_http_canary_print_record(out, conf->entry, &conf->view.record,
                                 conf->view.rules ? &conf->view.rules->text
                                                  : NULL);

    ngx_http_canary_print(out, ",\n \"effective\": ");
    ngx_http_canary_print_effective(out, conf);

    if (counters) {
        ngx_http_canary_print(out, ",\n \"groups\": {");

        for (i = 0; i < conf->ngroups; i++) {
            ngx_http_canary_print(out, i ? ",\n  " : "\n  ");
            ngx_http_canary_print_group(out, conf, i);
        }

        ngx_http_canary_print(out, "}");
    }

    ngx_http_canary_print(out, "}");
}


/* what is served, which is not always what the record says */

static void
ngx_http_canary_print_effective(ngx_http_canary_out_t *out,
    ngx_http_canary_srv_conf_t *conf)
{
    ngx_uint_t                 i, n, lapsed, tripped, weight, rest;
    ngx_http_canary_view_t    *view;

    view = &conf->view;
    lapsed = ngx_http_canary_lapsed(conf);
    tripped = ngx_http_canary_tripped(conf);
    rest = NGX_HTTP_CANARY_WHOLE;

    for (i = 0; i < conf->ngroups; i++) {
        if (i != view->stable && i != tripped && !lapsed) {
            rest -= view->record.weights[conf->groups[i].slot];
        }
    }

    ngx_http_canary_print(out, "{\"weights\": {");

    for (i = 0; i < conf->ngroups; i++) {

        if (i == view->stable) {
            weight = rest;

        } else {
            weight = (lapsed || i == tripped)
                     ? 0 : view->record.weights[conf->groups[i].slot];
        }

        if (i) {
            ngx_http_canary_print(out, ", ");
        }

        ngx_http_canary_print_string(out, &conf->groups[i].name);
        ngx_http_canary_print(out, ": ");
        ngx_http_canary_print_weight(out, weight);
    }

    ngx_http_canary_print(out, "}, \"stable\": ");
    ngx_http_canary_print_string(out, &conf->groups[view->stable].name);
    ngx_http_canary_print(out, ", \"removed\": [");

    for (i = 0, n = 0; i < NGX_HTTP_CANARY_SLOTS; i++) {
        if (view->removed & (1 << i)) {
            ngx_http_canary_print(out, n++ ? ", " : "");
            ngx_http_canary_print_string(out,
                               ngx_http_canary_shm_slot_name(conf->entry, i));
        }
    }

    ngx_http_canary_print(out, "], \"lapsed\": %s, \"tripped\": ",
                          lapsed ? "true" : "false");

    if (tripped < conf->ngroups) {
        ngx_http_canary_print_string(out, &conf->groups[tripped].name);

    } else {
        ngx_http_canary_print(out, "null");
    }

    ngx_http_canary_print(out, ", \"lease_left_ms\": ");

    if (view->record.lease_ms) {
        ngx_http_canary_print(out, "%M}",
                              ngx_http_canary_shm_lease_left(conf->entry));

    } else {
        ngx_http_canary_print(out, "null}");
    }
}


static void
ngx_http_canary_print_group(ngx_http_canary_out_t *out,
    ngx_http_canary_srv_conf_t *conf, ngx_uint_t group)
{
    ngx_uint_t                     i, n, slot;
    ngx_http_canary_shard_t        sum;
    ngx_http_upstream_rr_peers_t  *peers;

    slot = conf->groups[group].slot;

    ngx_http_canary_print_string(out, &conf->groups[group].name);
    ngx_http_canary_print(out, ": {\"strata\": [");

    for (i = 0, n = 0; i < NGX_HTTP_CANARY_STRATA; i++) {

        if (ngx_http_canary_shm_sum(conf->zone, conf->entry, slot, i, &sum)
            != NGX_OK)
        {
            continue;
        }

        /* those before it that were never used */

        for ( /* void */ ; n < i; n++) {
            ngx_http_canary_print(out, n ? ", null" : "null");
        }

        ngx_http_canary_print(out, n++ ? ", " : "");
        ngx_http_canary_print_cell(out, &sum);
    }

    ngx_http_canary_print(out, "]");

    if (ngx_http_canary_shm_sum(conf->zone, conf->entry, slot,
                                NGX_HTTP_CANARY_PINNED, &sum)
        == NGX_OK)
    {
        ngx_http_canary_print(out, ", \"pinned\": ");
        ngx_http_canary_print_cell(out, &sum);
    }

    peers = ngx_http_canary_drain_peers(conf->groups[group].upstream);

    if (peers) {
        ngx_http_canary_print(out, ", \"servers\": ");
        ngx_http_canary_print_servers(out, peers, NULL);
    }

    ngx_http_canary_print(out, "}");
}


static void
ngx_http_canary_print_cell(ngx_http_canary_out_t *out,
    ngx_http_canary_shard_t *sum)
{
    ngx_uint_t  i, n;

    ngx_http_canary_print(out, "{\"selections\": {");

    for (i = 0; i < NGX_HTTP_CANARY_REASONS; i++) {
        ngx_http_canary_print(out, "%s\"%V\": %uA", i ? ", " : "",
                              &ngx_http_canary_reasons[i],
                              sum->selections[i]);
    }

    ngx_http_canary_print(out, "}, \"requests\": %uA, \"errors\": %uA, "
                          "\"attempts\": %uA, \"finished\": %uA, "
                          "\"failures\": {",
                          sum->requests, sum->errors,
                          sum->attempts, sum->finished);

    for (i = 0; i < NGX_HTTP_CANARY_FAILURES; i++) {
        ngx_http_canary_print(out, "%s\"%V\": %uA", i ? ", " : "",
                              &ngx_http_canary_failures[i],
                              sum->failures[i]);
    }

    ngx_http_canary_print(out, "}, \"responses\": {");

    for (i = 0; i < 5; i++) {
        ngx_http_canary_print(out, "%s\"%uixx\": %uA", i ? ", " : "", i + 1,
                              sum->responses[i]);
    }

    ngx_http_canary_print(out, "}, \"aborts\": %uA, \"rescued\": %uA, "
                          "\"latency_us\": {", sum->aborts, sum->rescued);

    for (i = 0, n = 0; i < NGX_HTTP_CANARY_BUCKETS; i++) {
        if (sum->latency[i]) {
            ngx_http_canary_print(out, "%s\"%ui\": %uA", n++ ? ", " : "", i,
                                  sum->latency[i]);
        }
    }

    ngx_http_canary_print(out, "}, \"latency_sum_us\": %uA}",
                          sum->latency_sum);
}
