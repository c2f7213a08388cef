/* How this canaryd is: for people, supervisors and Prometheus. */

#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "lib/version.h"
#include "metrics.h"


static void
api_component(cJSON *components, const char *name, bool up, const char *why)
{
    cJSON  *json;

    json = cJSON_AddObjectToObject(components, name);
    cJSON_AddStringToObject(json, "status", up ? "ok" : "down");

    if (!up) {
        cJSON_AddStringToObject(json, "detail", why);
    }
}


void
api_health(void *arg, http_exchange_t *exchange)
{
    bool         redis, messages, nginx;
    api_t       *api = arg;
    cJSON       *json, *components;
    const char  *why;

    redis = store_ready(api->store);
    messages = store_hears(api->store);
    nginx = agent_ready(api->agent, &why);

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "status", redis && messages && nginx
                                            ? "ok" : "degraded");
    cJSON_AddStringToObject(json, "node", api->config->node);
    cJSON_AddStringToObject(json, "version", CANARY_VERSION);

    components = cJSON_AddObjectToObject(json, "components");
    api_component(components, "redis", redis, "no connection");
    api_component(components, "messages", messages,
                  "no subscription: changes are found by the next tick");
    api_component(components, "nginx", nginx, why);

    http_answer_json(exchange->request, 200, json);
}


void
api_ready(void *arg, http_exchange_t *exchange)
{
    bool         redis, nginx;
    api_t       *api = arg;
    cJSON       *extra, *reasons;
    const char  *why;

    redis = store_ready(api->store);
    nginx = agent_ready(api->agent, &why);

    extra = cJSON_CreateObject();

    if (redis && nginx) {
        cJSON_AddStringToObject(extra, "status", "ready");
        http_answer_json(exchange->request, 200, extra);
        return;
    }

    reasons = cJSON_AddArrayToObject(extra, "reasons");

    if (!redis) {
        cJSON_AddItemToArray(reasons,
                             cJSON_CreateString("redis: no connection"));
    }

    if (!nginx) {
        cJSON_AddItemToArray(reasons, cJSON_CreateString("nginx cannot be "
                                                         "read"));
    }

    http_answer_problem(exchange->request, 503, NULL, redis ? why
                        : "Redis cannot be reached", extra);
}


void
api_live(void *arg, http_exchange_t *exchange)
{
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "status", "live");
    http_answer_json(exchange->request, 200, json);
}


void
api_metrics(void *arg, http_exchange_t *exchange)
{
    char       *text;
    api_t      *api = arg;
    size_t      len;
    metrics_t   metrics = { api->store, api->agent, api->controller,
                            api->feed, api->around, api->auth,
                            exchange->server };

    text = metrics_text(&metrics, &len);

    if (text == NULL) {
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        return;
    }

    http_answer_text(exchange->request, 200, METRICS_TYPE, text, len);
    free(text);
}
