#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "lib/version.h"
#include "metrics.h"
#include "store_around.h"


static void
metrics_head(struct evbuffer *out, const char *name, const char *type,
    const char *help)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                        type);
}


static void
metrics_count(struct evbuffer *out, const char *name, const char *help,
    uint64_t value)
{
    metrics_head(out, name, "counter", help);
    evbuffer_add_printf(out, "%s %" PRIu64 "\n", name, value);
}


static void
metrics_flag(struct evbuffer *out, const char *name, const char *help,
    bool value)
{
    metrics_head(out, name, "gauge", help);
    evbuffer_add_printf(out, "%s %d\n", name, value);
}


static void
metrics_agent(struct evbuffer *out, const agent_t *agent)
{
    uint64_t               sum;
    unsigned               i;
    const char            *name;
    const agent_stats_t   *stats = agent_stats(agent);
    const record_node_t   *node;

    metrics_head(out, "canaryd_tick_duration_seconds", "histogram",
                 "Time of an agent's tick: reading nginx and reporting.");
    sum = 0;

    for (i = 0; i < AGENT_TICK_BUCKETS - 1; i++) {
        sum += stats->tick_counts[i];
        evbuffer_add_printf(out, "canaryd_tick_duration_seconds_bucket"
                            "{le=\"%g\"} %" PRIu64 "\n",
                            agent_tick_edges[i] / 1000.0, sum);
    }

    sum += stats->tick_counts[i];
    evbuffer_add_printf(out, "canaryd_tick_duration_seconds_bucket"
                        "{le=\"+Inf\"} %" PRIu64 "\n"
                        "canaryd_tick_duration_seconds_sum %.6f\n"
                        "canaryd_tick_duration_seconds_count %" PRIu64 "\n",
                        sum, (double) stats->tick_us / 1e6, sum);

    metrics_count(out, "canaryd_ticks_skipped_total",
                  "Ticks skipped because nginx had not answered.",
                  stats->skipped);
    metrics_count(out, "canaryd_nginx_errors_total",
                  "Exchanges with nginx that failed.", stats->nginx_errors);
    metrics_count(out, "canaryd_records_applied_total",
                  "Routing records that nginx took.", stats->applied);
    metrics_count(out, "canaryd_records_refused_total",
                  "Routing records that nginx refused.", stats->refused);
    metrics_count(out, "canaryd_records_adopted_total",
                  "Records of nginx written back to Redis.", stats->adopted);

    metrics_head(out, "canaryd_revision", "gauge",
                 "Revision of the record that the local nginx serves.");

    for (i = 0; (node = agent_upstream(agent, i, &name)) != NULL; i++) {
        evbuffer_add_printf(out, "canaryd_revision{upstream=\"%s\"} %" PRIu64
                            "\n", name, node->record.revision);
    }

    metrics_head(out, "canaryd_lapsed", "gauge",
                 "1 if the record's lease ran out on the local nginx.");

    for (i = 0; (node = agent_upstream(agent, i, &name)) != NULL; i++) {
        evbuffer_add_printf(out, "canaryd_lapsed{upstream=\"%s\"} %d\n", name,
                            node->lapsed);
    }
}


static void
metrics_controller(struct evbuffer *out, const controller_t *controller)
{
    unsigned                    i, s;
    controller_view_t           view;
    const controller_stats_t   *stats = controller_stats(controller);

    metrics_count(out, "canaryd_judge_ticks_total",
                  "Ticks judged as a leader.", stats->ticks);
    metrics_count(out, "canaryd_controller_errors_total",
                  "Times that what is in Redis made no sense.",
                  stats->errors);
    metrics_count(out, "canaryd_commit_conflicts_total",
                  "Commits refused as somebody else wrote meanwhile.",
                  stats->conflicts);

    metrics_head(out, "canaryd_leader", "gauge",
                 "1 if this canaryd drives the active rollout.");

    for (i = 0; controller_view(controller, i, &view); i++) {
        evbuffer_add_printf(out, "canaryd_leader{upstream=\"%s\"} %d\n",
                            view.upstream, view.leader);
    }

    metrics_head(out, "canaryd_rollout_state", "gauge",
                 "1 for the state of the active rollout; by its leader.");

    for (i = 0; controller_view(controller, i, &view); i++) {
        for (s = ROLLOUT_PENDING; view.judged && s <= ROLLOUT_ABORTED; s++) {
            evbuffer_add_printf(out, "canaryd_rollout_state"
                                "{upstream=\"%s\",state=\"%s\"} %d\n",
                                view.upstream, rollout_state_name(s),
                                view.state == s);
        }
    }

    metrics_head(out, "canaryd_log_evidence", "gauge",
                 "Log of the odds against the canary; by the leader.");

    for (i = 0; controller_view(controller, i, &view); i++) {
        if (!view.judged) {
            continue;
        }

        if (isfinite(view.log_evidence)) {
            evbuffer_add_printf(out, "canaryd_log_evidence{upstream=\"%s\"} "
                                "%.6g\n", view.upstream, view.log_evidence);

        } else {
            evbuffer_add_printf(out, "canaryd_log_evidence{upstream=\"%s\"} "
                                "%s\n", view.upstream,
                                view.log_evidence > 0 ? "+Inf" : "-Inf");
        }
    }
}


static void
metrics_incidents(struct evbuffer *out, const around_t *around)
{
    unsigned           i;
    incident_counts_t  counts;

    metrics_head(out, "canaryd_incidents", "gauge",
                 "Incidents of the fleet that are not resolved, by state.");

    for (i = 0; incident_watch_counts(around->incidents, i, &counts); i++) {
        evbuffer_add_printf(out, "canaryd_incidents{upstream=\"%s\","
                            "state=\"open\"} %u\n"
                            "canaryd_incidents{upstream=\"%s\","
                            "state=\"acknowledged\"} %u\n",
                            counts.upstream, counts.open,
                            counts.upstream, counts.acknowledged);
    }

    metrics_head(out, "canaryd_incident_changes_total", "counter",
                 "Changes of incidents that this canaryd made.");

    for (i = 0; i < STORE_INCIDENT_CHANGES; i++) {
        evbuffer_add_printf(out, "canaryd_incident_changes_total"
                            "{change=\"%s\"} %" PRIu64 "\n",
                            store_incident_change_name(i),
                            store_incident_changes(around->store, i));
    }
}


static void
metrics_around(struct evbuffer *out, const around_t *around)
{
    unsigned  r;

    metrics_head(out, "canaryd_gate_runs_total", "counter",
                 "Runs of gates that ended, by result.");

    for (r = ROLLOUT_GATE_PASSED; r <= ROLLOUT_GATE_HOLD; r++) {
        evbuffer_add_printf(out, "canaryd_gate_runs_total{result=\"%s\"} %"
                            PRIu64 "\n", rollout_result_name(r),
                            runner_count(around->runner, r));
    }

    metrics_count(out, "canaryd_notifications_sent_total",
                  "Messages that a channel took.",
                  notify_sent(around->notify));
    metrics_count(out, "canaryd_notifications_failed_total",
                  "Messages that were given up.",
                  notify_failed(around->notify));

    metrics_head(out, "canaryd_servers_watched", "gauge",
                 "Servers whose health this canaryd checks.");
    evbuffer_add_printf(out, "canaryd_servers_watched %u\n",
                        heal_watched(around->heal));
    metrics_head(out, "canaryd_servers_unhealthy", "gauge",
                 "Those of them that do not answer as they should.");
    evbuffer_add_printf(out, "canaryd_servers_unhealthy %u\n",
                        heal_unhealthy(around->heal));
}


static void
metrics_connections(struct evbuffer *out, http_server_t *server)
{
    unsigned     i;
    http_view_t  view;

    metrics_head(out, "canaryd_connections", "gauge",
                 "Open connections of a TCP address.");

    for (i = 0; http_server_view(server, i, &view); i++) {
        evbuffer_add_printf(out, "canaryd_connections{listen=\"%s\"} %u\n",
                            view.address, view.connections);
    }

    metrics_head(out, "canaryd_connections_refused_total", "counter",
                 "Connections closed as there were too many.");

    for (i = 0; http_server_view(server, i, &view); i++) {
        evbuffer_add_printf(out, "canaryd_connections_refused_total"
                            "{listen=\"%s\"} %" PRIu64 "\n", view.address,
                            view.refused);
    }
}


char *
metrics_text(const metrics_t *metrics, size_t *len)
{
    char             *text;
    const char       *why;
    struct evbuffer  *out;
    const store_t    *store = metrics->store;

    out = evbuffer_new();
    if (out == NULL) {
        return NULL;
    }

    metrics_head(out, "canaryd_build_info", "gauge", "The version.");
    evbuffer_add_printf(out, "canaryd_build_info{version=\"%s\"} 1\n",
                        CANARY_VERSION);

    metrics_flag(out, "canaryd_redis_up", "1 if Redis answers.",
                 store_ready(store));
    metrics_flag(out, "canaryd_redis_messages_up",
                 "1 if messages of Redis are heard.", store_hears(store));
    metrics_count(out, "canaryd_redis_errors_total",
                  "Calls of Redis that failed.", store_errors(store));
    metrics_count(out, "canaryd_redis_disconnects_total",
                  "Connections to Redis that were lost.",
                  store_reconnects(store));
    metrics_flag(out, "canaryd_nginx_up", "1 if nginx was read lately.",
                 agent_ready(metrics->agent, &why));

    metrics_agent(out, metrics->agent);
    metrics_controller(out, metrics->controller);
    metrics_around(out, metrics->around);
    metrics_incidents(out, metrics->around);

    metrics_connections(out, metrics->server);
    metrics_head(out, "canaryd_event_listeners", "gauge",
                 "Who listens to the events at present.");
    evbuffer_add_printf(out, "canaryd_event_listeners %u\n",
                        feed_clients(metrics->feed));
    metrics_count(out, "canaryd_event_listeners_dropped_total",
                  "Those that were too slow.", feed_dropped(metrics->feed));

    metrics_count(out, "canaryd_logins_failed_total",
                  "Requests with a token that is none.",
                  auth_failed(metrics->auth));

    *len = evbuffer_get_length(out);
    text = malloc(*len + 1);

    if (text != NULL) {
        evbuffer_remove(out, text, *len);
        text[*len] = '\0';
    }

    evbuffer_free(out);

    return text;
}
