/* The agent reports to Redis, and brings what Redis says to nginx. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "agent_internal.h"
#include "core/text.h"

/* So many ticks a difference between Redis and nginx must last before it is
 * settled: by then every live node has reported what it serves. */
#define AGENT_PATIENCE  3


static void agent_reported(void *arg, store_status_t status,
    const store_route_t *route, bool led);
static void agent_put(agent_upstream_t *u);
static void agent_put_done(void *arg, const http_response_t *response);


void
agent_report(agent_upstream_t *u, const char *counts)
{
    char     *info;
    agent_t  *agent = u->agent;

    u->node.at_ms = store_now(agent->store);
    u->reporting = true;
    u->reported = u->node.record.revision;
    agent->reports++;

    info = record_node_text(&u->node);
    store_report(agent->store, u->name, info, u->rollout, counts,
                 agent_reported, u);
    free(info);
}


static void
agent_settled(void *arg, store_status_t status, const store_result_t *result)
{
    agent_upstream_t  *u = arg;

    u->settling = false;
    u->differs = 0;

    if (status == STORE_OK && result->outcome == STORE_DONE) {
        u->agent->stats.adopted++;
        log_warn(u->agent->log, "redis had lost the record: written back",
                 LOG_S("upstream", u->name),
                 LOG_I("revision", (int64_t) result->revision));
    }
}


/* Redis has an older record than nginx, or another under its revision. */
static void
agent_settle(agent_upstream_t *u, const store_route_t *route)
{
    char      *record, *revert;
    agent_t   *agent = u->agent;
    record_t   other;

    if (u->settling || ++u->differs < AGENT_PATIENCE) {
        return;
    }

    if (route->revision == u->node.record.revision) {
        if (record_parse_text(route->record, &other) != 0) {
            return;
        }

        other.revision = route->revision + 1;
        record = record_text(&other);
        u->settling = true;
        store_republish(agent->store, u->name, route->revision, record,
                        agent_settled, u);
        free(record);
        return;
    }

    revert = NULL;
    other = u->node.record;
    record = record_text(&other);

    if (record_has_canary(&other)) {
        record_revert(&other);
        other.revision++;
        revert = record_text(&other);
    }

    u->settling = true;
    store_adopt(agent->store, u->name, u->node.record.revision, record,
                other.revision, revert, record_live_ms(agent->tick_ms),
                agent_settled, u);

    free(record);
    free(revert);
}


static void
agent_renewed(void *arg, const http_response_t *response)
{
    agent_upstream_t  *u = arg;

    u->renewing = false;

    if (response->status != 200) {
        /* Another record came in between, or nginx is away: the next tick
         * will know. */
        u->agent->stats.nginx_errors += response->status == 0;
    }
}


static void
agent_renew(agent_upstream_t *u)
{
    char  body[64], path[SPEC_NAME_LEN + 32];

    if (u->renewing) {
        return;
    }

    snprintf(path, sizeof(path), "upstreams/%s/lease", u->name);
    snprintf(body, sizeof(body), "{\"revision\":%llu}",
             (unsigned long long) u->node.record.revision);

    if (agent_send(u->agent, "POST", path, body, agent_renewed, u) == 0) {
        u->renewing = true;
    }
}


static bool
agent_differs(const agent_upstream_t *u, const store_route_t *route)
{
    record_t  record;

    if (route->revision < u->reported) {
        return true;
    }

    if (route->revision == 0 || route->revision != u->reported
        || u->node.record.revision != u->reported
        || record_parse_text(route->record, &record) != 0)
    {
        return false;
    }

    record_localize(&record, u->agent->config->node);

    return !record_same(&record, &u->node.record);
}


static void
agent_route(agent_upstream_t *u, const store_route_t *route)
{
    /*
     * What was counted before the rollout is not its business, and the first
     * tick that is must not reach back to before it.
     */
    if (route->active
        && (!u->active || route->rollout == NULL
            || strcmp(u->rollout, route->rollout) != 0))
    {
        u->based = false;
    }

    u->active = route->active;
    text_copy(u->rollout, sizeof(u->rollout), route->rollout);
    agent_drain_route(u, route);

    if (route->revision > u->node.record.revision && route->record != NULL) {
        agent_apply(u->agent, u->name, route->revision, route->record);
    }
}


static void
agent_reported(void *arg, store_status_t status, const store_route_t *route,
    bool led)
{
    agent_t           *agent;
    agent_upstream_t  *u = arg;

    agent = u->agent;
    u->reporting = false;

    if (agent->reports > 0 && --agent->reports == 0) {
        agent_tick_done(agent);
    }

    if (status == STORE_OK) {
        u->stored = true;
    }

    if (status != STORE_OK || !u->present) {
        return;
    }

    if (agent_differs(u, route)) {
        agent_settle(u, route);
        return;
    }

    u->differs = 0;
    agent_route(u, route);

    /* The lease is there to end a canary that nobody judges. */
    if (led && route->active && u->node.record.lease_ms > 0
        && u->node.record.revision == route->revision && !u->putting)
    {
        agent_renew(u);
    }
}


static void
agent_routed(void *arg, store_status_t status, const store_route_t *route,
    bool led)
{
    agent_upstream_t  *u = arg;

    u->routing = false;

    if (status == STORE_OK && u->present) {
        agent_route(u, route);
    }

    if (u->route_again) {
        u->route_again = false;
        u->routing = true;
        store_route(u->agent->store, u->name, agent_routed, u);
    }
}


void
agent_change(void *arg, const char *upstream, uint64_t revision)
{
    agent_upstream_t  *u;

    u = agent_find(arg, upstream);

    /* A message may be about the rollout alone: then the next tick will do. */
    if (u == NULL || !u->present || revision <= u->node.record.revision
        || revision <= u->wanted)
    {
        return;
    }

    if (u->routing) {
        u->route_again = true;
        return;
    }

    u->routing = true;
    store_route(u->agent->store, upstream, agent_routed, u);
}


/* --- records to nginx --- */

void
agent_apply(agent_t *agent, const char *upstream, uint64_t revision,
    const char *text)
{
    char              *copy;
    record_t           record;
    agent_upstream_t  *u;

    u = agent_find(agent, upstream);

    if (u == NULL || !u->present || revision <= u->node.record.revision
        || (u->putting && revision <= u->putting_revision)
        || revision < u->wanted)
    {
        return;
    }

    if (record_parse_text(text, &record) == 0) {
        record_localize(&record, agent->config->node);
        copy = record_text(&record);

    } else {
        copy = strdup(text);       /* nginx will say what is wrong with it */
    }

    if (copy == NULL) {
        return;
    }

    free(u->wanted_text);
    u->wanted_text = copy;
    u->wanted = revision;

    agent_put(u);
}


static void
agent_put(agent_upstream_t *u)
{
    char  *fit, path[SPEC_NAME_LEN + 32];

    if (u->putting || u->wanted == 0) {
        return;
    }

    snprintf(path, sizeof(path), "upstreams/%s", u->name);
    fit = agent_fit(u, u->wanted_text);

    if (u->wanted > u->node.record.revision
        && agent_send(u->agent, "PUT", path,
                      fit != NULL ? fit : u->wanted_text, agent_put_done, u)
           == 0)
    {
        u->putting = true;
        u->putting_revision = u->wanted;
    }

    free(fit);

    /* If it fails, the next tick finds the difference again. */
    u->wanted = 0;
    free(u->wanted_text);
    u->wanted_text = NULL;
}


/* The problem document's detail, or what else there is to say. */
static void
agent_refusal(const http_response_t *response, char *text, size_t size)
{
    cJSON        *json;
    const cJSON  *detail, *field;

    json = response->body != NULL
           ? cJSON_ParseWithLength(response->body, response->body_len) : NULL;
    detail = cJSON_GetObjectItemCaseSensitive(json, "detail");
    field = cJSON_GetObjectItemCaseSensitive(json, "field");

    text_format(text, size, "status %ld%s%s%s%s", response->status,
                cJSON_IsString(field) ? ", " : "",
                cJSON_IsString(field) ? field->valuestring : "",
                cJSON_IsString(detail) ? ": " : "",
                cJSON_IsString(detail) ? detail->valuestring : "");

    cJSON_Delete(json);
}


static void
agent_put_done(void *arg, const http_response_t *response)
{
    char               error[RECORD_NOTE_LEN], *info;
    cJSON             *json;
    agent_t           *agent;
    record_t           record;
    agent_upstream_t  *u = arg;

    agent = u->agent;
    u->putting = false;
    json = NULL;

    if (response->status == 0) {
        agent->stats.nginx_errors++;
        goto done;
    }

    if (response->status != 200) {
        agent->stats.refused++;
        agent_refusal(response, error, sizeof(error));

        if (u->node.refused != u->putting_revision
            || strcmp(error, u->node.error) != 0)
        {
            u->node.refused = u->putting_revision;
            text_copy(u->node.error, sizeof(u->node.error), error);
            log_error(agent->log, "nginx refused the record",
                      LOG_S("upstream", u->name),
                      LOG_I("revision", (int64_t) u->putting_revision),
                      LOG_S("error", error));
        }
        goto done;
    }

    json = cJSON_ParseWithLength(response->body, response->body_len);

    if (record_parse(cJSON_GetObjectItemCaseSensitive(json, "record"),
                     &record) != 0
        || record.revision != u->putting_revision)
    {
        agent->stats.nginx_errors++;
        goto done;
    }

    agent_read_groups(&record, cJSON_GetObjectItemCaseSensitive(json,
                                                          "effective"));

    u->node.record = record;
    u->node.lapsed = false;
    u->node.refused = 0;
    u->node.error[0] = '\0';
    u->node.at_ms = store_now(agent->store);
    u->put_get = agent->getting ? agent->get_number : 0;
    agent->stats.applied++;

    log_info(agent->log, "record applied", LOG_S("upstream", u->name),
             LOG_I("revision", (int64_t) record.revision),
             LOG_S("stable", record.stable));

    if (agent->applied != NULL) {
        agent->applied(agent->applied_arg, u->name, record.revision);
    }

    if (store_ready(agent->store)) {
        info = record_node_text(&u->node);
        store_confirm(agent->store, u->name, record.revision, info);
        free(info);
    }

done:

    cJSON_Delete(json);
    agent_put(u);
}
