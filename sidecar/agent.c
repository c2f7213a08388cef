/* The agent reads nginx: what is configured, served and counted. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "agent_internal.h"
#include "clock.h"
#include "core/text.h"

#define AGENT_MAX_ANSWER     (8 * 1024 * 1024)
#define AGENT_URL_LEN        (CONFIG_TEXT_LEN + SPEC_NAME_LEN + 32)

const unsigned  agent_tick_edges[AGENT_TICK_BUCKETS - 1] = {
    1, 2, 5, 10, 20, 50, 100, 500, 2000
};


static void agent_tick(evutil_socket_t fd, short what, void *arg);
static void agent_got(void *arg, const http_response_t *response);


agent_t *
agent_new(struct event_base *base, log_t *log, store_t *store,
    const config_t *config)
{
    agent_t           *agent;
    store_listener_t   listener = { .change = agent_change };

    agent = calloc(1, sizeof(agent_t));
    if (agent == NULL) {
        return NULL;
    }

    agent->base = base;
    agent->log = log;
    agent->store = store;
    agent->config = config;
    agent->tick_ms = config->tick_ms;
    agent->client = http_client_new(base);
    agent->timer = event_new(base, -1, EV_PERSIST, agent_tick, agent);
    listener.arg = agent;

    if (agent->client == NULL || agent->timer == NULL
        || store_listen(store, &listener) != 0)
    {
        agent_free(agent);
        return NULL;
    }

    agent_reload(agent);
    event_active(agent->timer, EV_TIMEOUT, 0);

    return agent;
}


void
agent_free(agent_t *agent)
{
    unsigned           i;
    agent_upstream_t  *u;

    if (agent == NULL) {
        return;
    }

    if (agent->timer != NULL) {
        event_free(agent->timer);
    }

    if (agent->client != NULL) {
        http_client_free(agent->client);
    }

    for (i = 0; i < agent->count; i++) {
        u = agent->upstreams[i];
        tally_clear(&u->base);
        free(u->wanted_text);
        free(u);
    }

    free(agent);
}


void
agent_reload(agent_t *agent)
{
    int             ms = agent->config->tick_ms;
    struct timeval  tv = { ms / 1000, ms % 1000 * 1000 };

    agent->tick_ms = ms;
    event_add(agent->timer, &tv);
}


agent_upstream_t *
agent_find(const agent_t *agent, const char *name)
{
    unsigned  i;

    for (i = 0; i < agent->count; i++) {
        if (strcmp(agent->upstreams[i]->name, name) == 0) {
            return agent->upstreams[i];
        }
    }

    return NULL;
}


static agent_upstream_t *
agent_add(agent_t *agent, const char *name)
{
    agent_upstream_t  *u;

    if (agent->count == AGENT_MAX_UPSTREAMS) {
        log_error(agent->log, "too many upstreams, not reported",
                  LOG_S("upstream", name));
        return NULL;
    }

    u = calloc(1, sizeof(agent_upstream_t));
    if (u == NULL) {
        return NULL;
    }

    u->agent = agent;
    text_copy(u->name, sizeof(u->name), name);
    agent->upstreams[agent->count++] = u;

    return u;
}


/* --- exchanges with nginx --- */

int
agent_send(agent_t *agent, const char *method, const char *path,
    const char *body, http_done_t done, void *arg)
{
    char          url[AGENT_URL_LEN];
    http_call_t   call;

    snprintf(url, sizeof(url), "%s%s", agent->config->nginx_url, path);

    memset(&call, 0, sizeof(http_call_t));
    call.method = method;
    call.socket_path = agent->config->nginx_socket[0] != '\0'
                       ? agent->config->nginx_socket : NULL;
    call.url = url;
    call.body = body;
    call.body_len = body != NULL ? strlen(body) : 0;
    call.timeout_ms = agent->tick_ms > 2000 ? 2000
                      : agent->tick_ms < 500 ? 500 : agent->tick_ms;
    call.max_response = AGENT_MAX_ANSWER;

    return http_client_send(agent->client, &call, done, arg) != NULL ? 0 : -1;
}


static void
agent_tick(evutil_socket_t fd, short what, void *arg)
{
    agent_t  *agent = arg;

    if (agent->getting) {
        agent->stats.skipped++;
        return;
    }

    agent->get_number++;
    agent->get_us = clock_us(CLOCK_MONOTONIC);

    if (agent_send(agent, "GET", "upstreams", NULL, agent_got, agent) == 0) {
        agent->getting = true;
    }
}


/* Said once when it begins and once when it ends. */
static void
agent_fail(agent_t *agent, const char *error)
{
    agent->stats.nginx_errors++;
    text_copy(agent->error, sizeof(agent->error), error);

    if (!agent->down) {
        agent->down = true;
        log_warn(agent->log, "nginx cannot be read",
                 LOG_S("url", agent->config->nginx_url),
                 LOG_S("socket", agent->config->nginx_socket),
                 LOG_S("error", agent->error));
    }
}


/* Those without a weight are groups as well, if nginx.conf has them. */
void
agent_read_groups(record_t *record, const cJSON *effective)
{
    const cJSON  *weights, *group;

    weights = cJSON_GetObjectItemCaseSensitive(effective, "weights");
    record_forget(record, weights);

    cJSON_ArrayForEach(group, weights) {
        if (store_name_valid(group->string)
            && record_group(record, group->string) == NULL)
        {
            record_add_group(record, group->string, 0);
        }
    }
}


/* A group that the record gives a share and a reload took away: nginx cannot do
 * what the record says, as if it had refused it. */
static void
agent_read_removed(agent_upstream_t *u, const cJSON *removed)
{
    const char  *name;

    name = cJSON_GetStringValue(cJSON_GetArrayItem(removed, 0));

    if (name == NULL || u->node.refused > 0) {
        return;
    }

    u->node.refused = u->node.record.revision;
    text_format(u->node.error, sizeof(u->node.error),
                "its nginx.conf has no group %s any more", name);
}


/* The record and what is effective of it; 0 or -1. */
static int
agent_read_state(agent_upstream_t *u, const cJSON *json)
{
    record_t      record;
    const cJSON  *boot, *effective, *tripped;

    boot = cJSON_GetObjectItemCaseSensitive(json, "boot");

    if (!cJSON_IsString(boot)
        || strlen(boot->valuestring) >= sizeof(u->node.boot)
        || record_parse(cJSON_GetObjectItemCaseSensitive(json, "record"),
                        &record) != 0)
    {
        return -1;
    }

    effective = cJSON_GetObjectItemCaseSensitive(json, "effective");
    agent_read_groups(&record, effective);

    if (strcmp(boot->valuestring, u->node.boot) != 0) {
        u->based = false;
        strcpy(u->node.boot, boot->valuestring);
        u->node.record = record;

    } else if (u->put_get != u->agent->get_number
               || record.revision > u->node.record.revision)
    {
        u->node.record = record;
    }
    /* Otherwise a PUT overtook this GET, which may tell of before it. */

    if (u->node.record.revision >= u->node.refused) {
        /* It got that revision, or one that is higher, by other means. */
        u->node.refused = 0;
        u->node.error[0] = '\0';
    }

    agent_read_removed(u, cJSON_GetObjectItemCaseSensitive(effective,
                                                           "removed"));
    u->node.lapsed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                                      effective, "lapsed"));
    tripped = cJSON_GetObjectItemCaseSensitive(effective, "tripped");
    text_copy(u->node.tripped, sizeof(u->node.tripped),
              cJSON_IsString(tripped) ? tripped->valuestring : "");

    return 0;
}


/*
 * The difference to the last reading that was reported; to be freed; NULL if
 * there is none.  The base moves on only with what is reported, so that
 * nothing is lost while Redis is away.
 */
static char *
agent_count(agent_upstream_t *u, const cJSON *groups)
{
    char     *text;
    bool      known;
    tally_t   fresh, delta;

    memset(&fresh, 0, sizeof(tally_t));
    memset(&delta, 0, sizeof(tally_t));
    text = NULL;

    if (tally_read(&fresh, groups) != 0) {
        log_warn(u->agent->log, "counters of nginx are not understood",
                 LOG_S("upstream", u->name));
        return NULL;
    }

    known = u->based && tally_subtract(&delta, &fresh, &u->base);

    if (known && u->active
        && (u->reporting || !store_ready(u->agent->store)))
    {
        goto done;
    }

    if (known && u->active && !tally_is_empty(&delta)) {
        text = tally_print(&delta);
    }

    tally_clear(&u->base);
    u->base = fresh;
    u->based = true;
    memset(&fresh, 0, sizeof(tally_t));

done:

    tally_clear(&fresh);
    tally_clear(&delta);

    return text;
}


static void
agent_got_upstream(agent_t *agent, const cJSON *json)
{
    char              *counts;
    agent_upstream_t  *u;

    if (!store_name_valid(json->string)) {
        return;
    }

    u = agent_find(agent, json->string);

    if (u == NULL) {
        u = agent_add(agent, json->string);
        if (u == NULL) {
            return;
        }
    }

    if (agent_read_state(u, json) != 0) {
        log_warn(agent->log, "nginx's answer is not understood",
                 LOG_S("upstream", u->name));
        return;
    }

    u->present = true;
    agent_drain(u, cJSON_GetObjectItemCaseSensitive(json, "groups"));
    counts = agent_count(u, cJSON_GetObjectItemCaseSensitive(json, "groups"));

    if (!u->reporting && store_ready(agent->store)) {
        agent_report(u, counts);
    }

    free(counts);
}


void
agent_tick_done(agent_t *agent)
{
    unsigned  i;
    uint64_t  us;

    us = (uint64_t) (clock_us(CLOCK_MONOTONIC) - agent->get_us);

    for (i = 0; i < AGENT_TICK_BUCKETS - 1; i++) {
        if (us <= agent_tick_edges[i] * 1000u) {
            break;
        }
    }

    agent->stats.ticks++;
    agent->stats.tick_us += us;
    agent->stats.tick_counts[i]++;
}


static void
agent_got(void *arg, const http_response_t *response)
{
    char          error[64];
    cJSON        *json;
    agent_t      *agent = arg;
    unsigned      i;
    const cJSON  *list, *item;

    agent->getting = false;

    if (response->status != 200) {
        snprintf(error, sizeof(error), "status %ld", response->status);
        agent_fail(agent, response->status == 0 ? response->error : error);
        return;
    }

    json = cJSON_ParseWithLength(response->body, response->body_len);
    list = cJSON_GetObjectItemCaseSensitive(json, "upstreams");

    if (!cJSON_IsObject(list)) {
        cJSON_Delete(json);
        agent_fail(agent, "the answer is not of a canary_api");
        return;
    }

    if (agent->down) {
        agent->down = false;
        log_info(agent->log, "nginx can be read again");
    }

    agent->read_ms = clock_mono_ms();

    for (i = 0; i < agent->count; i++) {
        agent->upstreams[i]->present = false;
    }

    cJSON_ArrayForEach(item, list) {
        agent_got_upstream(agent, item);
    }

    cJSON_Delete(json);

    if (agent->reports == 0) {
        agent_tick_done(agent);
    }
}


/* --- what others want to know --- */

void
agent_watch(agent_t *agent, agent_applied_pt applied, void *arg)
{
    agent->applied = applied;
    agent->applied_arg = arg;
}


bool
agent_ready(const agent_t *agent, const char **why)
{
    unsigned  i;

    if (agent->read_ms == 0 && !agent->down) {
        *why = "nginx has not answered yet";
        return false;
    }

    if (agent->read_ms == 0
        || clock_mono_ms() - agent->read_ms > record_live_ms(agent->tick_ms))
    {
        *why = agent->error[0] != '\0' ? agent->error : "nginx is silent";
        return false;
    }

    for (i = 0; i < agent->count; i++) {
        if (agent->upstreams[i]->present && !agent->upstreams[i]->stored) {
            *why = "nginx has not been reported to Redis yet";
            return false;
        }
    }

    *why = "";

    return true;
}


const agent_stats_t *
agent_stats(const agent_t *agent)
{
    return &agent->stats;
}


const record_node_t *
agent_upstream(const agent_t *agent, unsigned number, const char **name)
{
    unsigned  i;

    for (i = 0; i < agent->count; i++) {
        if (agent->upstreams[i]->present && number-- == 0) {
            *name = agent->upstreams[i]->name;
            return &agent->upstreams[i]->node;
        }
    }

    return NULL;
}
