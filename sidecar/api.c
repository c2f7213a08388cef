#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "core/text.h"
#include "fleet.h"
#include "lib/yaml.h"
#include "ui.h"

#define API_MAX_DEPTH  16


static void api_confirmed(void *arg, const char *upstream, uint64_t revision,
    const char *node);
static void api_applied(void *arg, const char *upstream, uint64_t revision);


static const http_route_t  api_table[] = {
    { "POST", "/v1/rollouts", api_create, AUTH_OPERATOR, API_BODY },
    { "GET", "/v1/rollouts", api_list, AUTH_VIEWER, API_ANY },
    { "GET", "/v1/rollouts/{}", api_get, AUTH_VIEWER, API_ROLLOUT },
    { "GET", "/v1/rollouts/{}/series", api_series, AUTH_VIEWER, API_ROLLOUT },
    { "GET", "/v1/rollouts/{}/explain", api_explain, AUTH_VIEWER,
      API_ROLLOUT },
    { "GET", "/v1/rollouts/{}/events", api_events, AUTH_VIEWER,
      API_ROLLOUT },
    { "GET", "/v1/rollouts/{}/ticks", api_ticks, AUTH_VIEWER, API_ROLLOUT },
    { "GET", "/v1/events", api_stream, AUTH_VIEWER, API_ANY },
    { "POST", "/v1/rollouts/{}/abort", api_abort, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/rollouts/{}/pause", api_pause, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/rollouts/{}/resume", api_resume, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/rollouts/{}/promote", api_promote, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/rollouts/{}/approve", api_approve, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/rollouts/{}/retry", api_retry, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/upstreams/{}/rollback", api_rollback, AUTH_OPERATOR,
      API_UPSTREAM },
    { "GET", "/v1/upstreams/{}/history", api_history, AUTH_VIEWER,
      API_UPSTREAM },
    { "POST", "/v1/alerts", api_alerts, AUTH_OPERATOR, API_ANY },
    { "GET", "/v1/rollouts/{}/gates", api_gates, AUTH_VIEWER, API_ROLLOUT },
    { "POST", "/v1/rollouts/{}/smoke-tests", api_smoke, AUTH_OPERATOR,
      API_ROLLOUT },
    { "GET", "/v1/incidents", api_incidents, AUTH_VIEWER, API_ANY },
    { "GET", "/v1/incidents/{}", api_incident, AUTH_VIEWER, API_ROLLOUT },
    { "POST", "/v1/incidents/{}/acknowledge", api_acknowledge, AUTH_OPERATOR,
      API_ROLLOUT },
    { "POST", "/v1/incidents/{}/resolve", api_resolve, AUTH_OPERATOR,
      API_ROLLOUT },
    { "GET", "/v1/freeze", api_freeze, AUTH_VIEWER, API_ANY },
    { "POST", "/v1/freeze", api_stop, AUTH_ADMIN, API_WHOLE },
    { "DELETE", "/v1/freeze", api_go, AUTH_ADMIN, API_WHOLE },
    { "GET", "/v1/upstreams", api_upstreams, AUTH_VIEWER, API_ANY },
    { "GET", "/v1/whoami", api_whoami, AUTH_VIEWER, API_ANY },
    { "GET", "/health", api_health, AUTH_WATCH, API_ANY },
    { "GET", "/ready", api_ready, AUTH_OPEN, API_ANY },
    { "GET", "/live", api_live, AUTH_OPEN, API_ANY },
    { "GET", "/metrics", api_metrics, AUTH_WATCH, API_WHOLE },
    { "GET", "/", ui_redirect, AUTH_OPEN, API_ANY },
    { "GET", "/ui", ui_redirect, AUTH_OPEN, API_ANY },
    { "GET", "/ui/", ui_file, AUTH_OPEN, API_ANY },
    { "GET", "/ui/{}", ui_file, AUTH_OPEN, API_ANY },
    { NULL, NULL, NULL, AUTH_NOBODY, API_ANY }
};


const http_route_t *
api_routes(void)
{
    return api_table;
}


api_t *
api_new(struct event_base *base, log_t *log, store_t *store, agent_t *agent,
    controller_t *controller, around_t *around, auth_t *auth,
    const config_t *config)
{
    api_t             *api;
    store_listener_t   listener = { .confirm = api_confirmed };

    api = calloc(1, sizeof(api_t));
    if (api == NULL) {
        return NULL;
    }

    api->base = base;
    api->log = log;
    api->store = store;
    api->agent = agent;
    api->controller = controller;
    api->around = around;
    api->auth = auth;
    api->config = config;

    listener.arg = api;
    api->feed = feed_new(base, store, config);

    if (api->feed == NULL || store_listen(store, &listener) != 0) {
        feed_free(api->feed);
        free(api);
        return NULL;
    }

    agent_watch(agent, api_applied, api);

    return api;
}


static void
api_job_free(api_job_t *job)
{
    api_t  *api = job->api;

    if (job->prev != NULL) {
        job->prev->next = job->next;

    } else {
        api->jobs = job->next;
    }

    if (job->next != NULL) {
        job->next->prev = job->prev;
    }

    api->job_count--;

    if (job->clean != NULL) {
        job->clean(job);
    }

    free(job);
}


void
api_free(api_t *api)
{
    api_job_t  *job, *next;

    if (api == NULL) {
        return;
    }

    /* A job cleans up only what is its own. */
    for (job = api->jobs; job != NULL; job = next) {
        next = job->next;

        /* The server is gone: this only frees the handle. */
        http_pending_json(job->pending, 503, NULL);
        api_job_free(job);
    }

    feed_free(api->feed);
    free(api);
}


unsigned
api_pending(const api_t *api)
{
    return api->job_count;
}


/* --- jobs --- */

void *
api_job_new(api_t *api, http_exchange_t *exchange, size_t size)
{
    api_job_t       *job;
    http_pending_t  *pending;

    pending = http_defer(exchange);
    if (pending == NULL) {
        return NULL;
    }

    job = calloc(1, size);
    if (job == NULL) {
        http_pending_problem(pending, 503, NULL, "out of memory", NULL);
        return NULL;
    }

    job->api = api;
    job->pending = pending;
    job->request = exchange->request;

    if (exchange->who != NULL) {
        job->who = *(const auth_identity_t *) exchange->who;
    }

    job->next = api->jobs;

    if (job->next != NULL) {
        job->next->prev = job;
    }

    api->jobs = job;
    api->job_count++;

    return job;
}


void
api_job_json(api_job_t *job, int status, cJSON *json)
{
    http_pending_json(job->pending, status, json);
    api_job_free(job);
}


void
api_job_problem(api_job_t *job, int status, const char *field,
    const char *detail, cJSON *extra)
{
    http_pending_problem(job->pending, status, field, detail, extra);
    api_job_free(job);
}


void
api_job_store(api_job_t *job, store_status_t status)
{
    if (status == STORE_AWAY) {
        api_job_problem(job, 503, NULL, "Redis cannot be reached; nginx goes "
                        "on with its last record, and back to stable when "
                        "the record's lease runs out", NULL);
        return;
    }

    api_job_problem(job, 500, NULL, "Redis refused the command: see the log",
                    NULL);
}


static void
api_confirmed(void *arg, const char *upstream, uint64_t revision,
    const char *node)
{
    api_t      *api = arg;
    api_job_t  *job, *next;

    for (job = api->jobs; job != NULL; job = next) {
        next = job->next;

        if (job->confirm != NULL) {
            job->confirm(job, upstream, revision, node);
        }
    }
}


static void
api_applied(void *arg, const char *upstream, uint64_t revision)
{
    api_t  *api = arg;

    api_confirmed(api, upstream, revision, api->config->node);
}


/* --- requests --- */

/* Brackets outside of strings, so that cJSON need not go as deep as its own
 * limit is; and no \u0000 in them, which would end a string for us. */
static bool
api_json_bounded(const char *text, size_t len)
{
    bool      string;
    size_t    i;
    unsigned  depth;

    string = false;
    depth = 0;

    for (i = 0; i < len; i++) {
        if (string) {
            if (text[i] == '\\') {
                i++;

                if (len - i >= 5 && memcmp(text + i, "u0000", 5) == 0) {
                    return false;
                }

            } else if (text[i] == '"') {
                string = false;
            }

        } else if (text[i] == '"') {
            string = true;

        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > API_MAX_DEPTH) {
                return false;
            }

        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }

    return true;
}


/* NULL: error (256 bytes) says why. */
static cJSON *
api_parse(http_exchange_t *exchange, char error[256])
{
    const char  *end;

    if (exchange->body_len == 0) {
        return cJSON_CreateObject();
    }

    if (exchange->yaml) {
        return yaml_parse(exchange->body, exchange->body_len, error, 256);
    }

    text_copy(error, 256,
              "the body is nested too deep, has a NUL or is not JSON");

    if (memchr(exchange->body, '\0', exchange->body_len) != NULL
        || !api_json_bounded(exchange->body, exchange->body_len))
    {
        return NULL;
    }

    /* With the NUL: nothing may follow the value. */
    return cJSON_ParseWithOpts(exchange->body, &end, 1);
}


cJSON *
api_body(http_exchange_t *exchange)
{
    char    error[256];
    cJSON  *body;

    body = api_parse(exchange, error);

    if (body == NULL) {
        http_answer_problem(exchange->request, 400, NULL, error, NULL);
        return NULL;
    }

    if (!cJSON_IsObject(body)) {
        cJSON_Delete(body);
        http_answer_problem(exchange->request, 400, NULL,
                            "the body must be an object", NULL);
        return NULL;
    }

    return body;
}


cJSON *
api_json(http_exchange_t *exchange)
{
    char  error[256];

    return api_parse(exchange, error);
}


const char *
api_actor(const auth_identity_t *who, const char *said)
{
    if (who != NULL && who->name[0] != '\0') {
        return who->name;
    }

    return said != NULL && said[0] != '\0' ? said : "api";
}


bool
api_check_fields(http_exchange_t *exchange, const cJSON *body,
    const char *const *known)
{
    char          name[64];
    unsigned      i;
    const cJSON  *item;

    cJSON_ArrayForEach(item, body) {
        for (i = 0; known[i] != NULL; i++) {
            if (strcmp(known[i], item->string) == 0) {
                break;
            }
        }

        text_copy(name, sizeof(name), item->string);

        if (known[i] == NULL) {
            http_answer_problem(exchange->request, 422, name,
                                "unknown field", NULL);
            return false;
        }

        if (cJSON_GetObjectItemCaseSensitive(body, item->string) != item) {
            http_answer_problem(exchange->request, 422, name,
                                "the field is given twice", NULL);
            return false;
        }
    }

    return true;
}


bool
api_id(http_exchange_t *exchange, char upstream[SPEC_NAME_LEN])
{
    if (release_upstream(exchange->params[0], upstream) == 0) {
        return true;
    }

    http_answer_problem(exchange->request, 404, NULL, "no such rollout",
                        NULL);
    return false;
}


void
api_read_rollout(api_t *api, http_exchange_t *exchange, store_rollout_pt got)
{
    char        upstream[SPEC_NAME_LEN];
    api_job_t  *job;

    if (!api_id(exchange, upstream)) {
        return;
    }

    job = api_job_new(api, exchange, sizeof(api_job_t));

    if (job != NULL) {
        store_rollout(api->store, upstream, exchange->params[0], NULL, got,
                      job);
    }
}


/* --- answers --- */

int64_t
api_live_ms(const api_t *api)
{
    return record_live_ms(api->config->tick_ms);
}


void
api_complete(const api_t *api, const store_rollout_t *all, record_t *record)
{
    bool           live;
    size_t         i;
    unsigned       k;
    record_node_t  node;

    for (i = 0; i < all->node_count; i++) {
        if (!fleet_node(&all->nodes[i], store_now(api->store),
                        api_live_ms(api), &node, &live)
            || !live)
        {
            continue;
        }

        for (k = 0; k < node.record.group_count; k++) {
            if (record_group(record, node.record.groups[k].name) == NULL) {
                record_add_group(record, node.record.groups[k].name, 0);
            }
        }
    }
}


cJSON *
api_rollout(const api_t *api, const store_rollout_t *all)
{
    bool         evident;
    cJSON       *json;
    fleet_t      fleet;
    record_t     present;
    release_t    release;
    evidence_t   evidence;

    if (release_parse(all->doc, &release) != 0) {
        return NULL;
    }

    evident = evidence_parse(all->evidence, &release, &evidence) == 0;

    if (!fleet_record(all, store_now(api->store), api_live_ms(api), &present))
    {
        memset(&present, 0, sizeof(record_t));
        present.revision = all->route.revision;
    }

    fleet_count(all, store_now(api->store), api_live_ms(api),
                all->route.revision, &fleet);

    json = release_json(&release, evident ? &evidence : NULL, &present,
                        &fleet);
    release_free(&release);

    return json;
}
