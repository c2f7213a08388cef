/* Incidents, runs of gates, the stop-the-line. */

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "api_internal.h"
#include "core/text.h"
#include "incident.h"
#include "lib/timefmt.h"
#include "store_around.h"

#define INCIDENTS_MAX  200


bool
api_words(http_exchange_t *exchange, const cJSON *body, char *actor,
    char *reason)
{
    unsigned      i;
    const cJSON  *item;

    const struct {
        const char  *name;
        char        *to;
        size_t       size;
    } words[] = {
        { "actor", actor, ROLLOUT_ACTOR_LEN },
        { "reason", reason, API_REASON_LEN }
    };

    for (i = 0; i < 2; i++) {
        item = cJSON_GetObjectItemCaseSensitive(body, words[i].name);
        words[i].to[0] = '\0';

        if (item == NULL || cJSON_IsNull(item)) {
            continue;
        }

        if (!cJSON_IsString(item)
            || strlen(item->valuestring) >= words[i].size
            || !text_is_clean(item->valuestring))
        {
            http_answer_problem(exchange->request, 422, words[i].name,
                                "must be a short text without control "
                                "characters", NULL);
            return false;
        }

        text_copy(words[i].to, words[i].size, item->valuestring);
    }

    return true;
}


/* --- GET /v1/incidents --- */

typedef struct {
    api_job_t        job;
    char             upstream[SPEC_NAME_LEN];    /* "": all */
    char             state[16];                  /* "": every */
    unsigned         waiting;
    store_status_t   status;
    cJSON           *list;
} incidents_job_t;


static void
api_incidents_clean(api_job_t *job)
{
    cJSON_Delete(((incidents_job_t *) job)->list);
}


static int
api_incidents_compare(const void *a, const void *b)
{
    const cJSON  *x = *(cJSON *const *) a, *y = *(cJSON *const *) b;

    /* RFC 3339 in UTC: the later one first. */
    return strcmp(cJSON_GetStringValue(
                      cJSON_GetObjectItemCaseSensitive(y, "opened")) ?: "",
                  cJSON_GetStringValue(
                      cJSON_GetObjectItemCaseSensitive(x, "opened")) ?: "");
}


static void
api_incidents_answer(incidents_job_t *job)
{
    int      i, count;
    cJSON   *json, *list, **all;

    if (job->status != STORE_OK) {
        api_job_store(&job->job, job->status);
        return;
    }

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "incidents");
    count = cJSON_GetArraySize(job->list);
    all = calloc((size_t) count + 1, sizeof(cJSON *));

    if (all == NULL) {
        abort();
    }

    for (i = 0; i < count; i++) {
        all[i] = cJSON_DetachItemFromArray(job->list, 0);
    }

    qsort(all, (size_t) count, sizeof(cJSON *), api_incidents_compare);

    for (i = 0; i < count; i++) {
        if (i < INCIDENTS_MAX) {
            cJSON_AddItemToArray(list, all[i]);

        } else {
            cJSON_Delete(all[i]);
        }
    }

    free(all);
    api_job_json(&job->job, 200, json);
}


static void
api_incidents_docs(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    cJSON            *json;
    size_t            i;
    const char       *state;
    incidents_job_t  *job = arg;

    if (status != STORE_OK) {
        job->status = status;
    }

    for (i = 0; i < count; i++) {
        json = incident_json(texts[i]);
        state = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(json, "state"));

        if (json == NULL || (job->state[0] != '\0'
            && (state == NULL || strcmp(state, job->state) != 0)))
        {
            cJSON_Delete(json);
            continue;
        }

        cJSON_AddItemToArray(job->list, json);
    }

    if (--job->waiting == 0) {
        api_incidents_answer(job);
    }
}


static void
api_incidents_routes(void *arg, store_status_t status, size_t count,
    const store_route_t *routes)
{
    size_t            i;
    incidents_job_t  *job = arg;

    job->status = status;
    job->waiting = 1;

    for (i = 0; i < count; i++) {
        if (auth_may(&job->job.who, routes[i].upstream)
            && (job->upstream[0] == '\0'
                || strcmp(job->upstream, routes[i].upstream) == 0))
        {
            job->waiting++;
            store_incidents(job->job.api->store, routes[i].upstream,
                            api_incidents_docs, job);
        }
    }

    if (--job->waiting == 0) {
        api_incidents_answer(job);
    }
}


void
api_incidents(void *arg, http_exchange_t *exchange)
{
    api_t             *api = arg;
    struct evkeyvalq   query;
    const char        *upstream, *state;
    incidents_job_t   *job;

    if (evhttp_parse_query_str(exchange->query, &query) != 0) {
        http_answer_problem(exchange->request, 400, NULL,
                            "the query cannot be read", NULL);
        return;
    }

    upstream = evhttp_find_header(&query, "upstream");
    state = evhttp_find_header(&query, "state");

    if (state != NULL && strcmp(state, "open") != 0
        && strcmp(state, "acknowledged") != 0
        && strcmp(state, "resolved") != 0)
    {
        evhttp_clear_headers(&query);
        http_answer_problem(exchange->request, 422, "state", "must be open, "
                            "acknowledged or resolved", NULL);
        return;
    }

    if (upstream != NULL && !store_name_valid(upstream)) {
        evhttp_clear_headers(&query);
        http_answer_problem(exchange->request, 422, "upstream",
                            "is no name of an upstream", NULL);
        return;
    }

    job = api_job_new(api, exchange, sizeof(incidents_job_t));

    if (job != NULL) {
        job->job.clean = api_incidents_clean;
        job->list = cJSON_CreateArray();
        text_copy(job->upstream, sizeof(job->upstream), upstream);
        text_copy(job->state, sizeof(job->state), state);
        store_routes(api->store, api_incidents_routes, job);
    }

    evhttp_clear_headers(&query);
}


/* --- one incident --- */

typedef struct {
    api_job_t          job;
    char               upstream[SPEC_NAME_LEN];
    char               id[RELEASE_ID_LEN];
    bool               changes;
    incident_change_t  change;
    char               actor[ROLLOUT_ACTOR_LEN];
    char               reason[API_REASON_LEN];
    unsigned           tries;
} incident_job_t;


static void api_incident_got(void *arg, store_status_t status, size_t count,
    const char *const *texts);


static void
api_incident_show(incident_job_t *job, const char *doc)
{
    cJSON  *json;

    json = incident_json(doc);

    if (json == NULL) {
        api_job_problem(&job->job, 500, NULL, "its document is damaged",
                        NULL);
        return;
    }

    api_job_json(&job->job, 200, json);
}


static void
api_incident_changed(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    incident_job_t  *job = arg;

    if (status != STORE_OK || count < 2) {
        api_job_store(&job->job, status != STORE_OK ? status : STORE_ERROR);
        return;
    }

    if (strcmp(texts[0], "ok") == 0) {
        api_incident_show(job, texts[1]);
        return;
    }

    if (++job->tries < API_TRIES) {
        api_incident_got(job, STORE_OK, 1, &texts[1]);
        return;
    }

    api_job_problem(&job->job, 409, NULL, "it keeps changing", NULL);
}


static void
api_incident_got(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    char             error[128];
    incident_job_t  *job = arg;

    if (status != STORE_OK) {
        api_job_store(&job->job, status);
        return;
    }

    if (count == 0 || texts[0][0] == '\0') {
        api_job_problem(&job->job, 404, NULL, "no such incident", NULL);
        return;
    }

    if (!job->changes) {
        api_incident_show(job, texts[0]);
        return;
    }

    if (incident_change(job->job.api->store, texts[0], job->change,
                        job->actor, job->reason, api_incident_changed, job,
                        error) != 0)
    {
        api_job_problem(&job->job, 409, NULL, error, NULL);
    }
}


static void
api_incident_any(api_t *api, http_exchange_t *exchange, bool changes,
    incident_change_t change)
{
    char             upstream[SPEC_NAME_LEN], actor[ROLLOUT_ACTOR_LEN];
    char             reason[API_REASON_LEN];
    bool             ok;
    cJSON           *body;
    incident_job_t  *job;

    static const char *const  fields[] = { "actor", "reason", NULL };

    actor[0] = '\0';
    reason[0] = '\0';

    if (release_upstream(exchange->params[0], upstream) != 0) {
        http_answer_problem(exchange->request, 404, NULL, "no such incident",
                            NULL);
        return;
    }

    if (changes) {
        body = api_body(exchange);
        if (body == NULL) {
            return;
        }

        ok = api_check_fields(exchange, body, fields)
             && api_words(exchange, body, actor, reason);
        cJSON_Delete(body);

        if (!ok) {
            return;
        }
    }

    job = api_job_new(api, exchange, sizeof(incident_job_t));
    if (job == NULL) {
        return;
    }

    job->changes = changes;
    job->change = change;
    text_copy(job->upstream, sizeof(job->upstream), upstream);
    text_copy(job->id, sizeof(job->id), exchange->params[0]);
    text_copy(job->actor, sizeof(job->actor), api_actor(&job->job.who,
                                                        actor));
    text_copy(job->reason, sizeof(job->reason), reason);
    store_incident_get(api->store, upstream, job->id, api_incident_got, job);
}


void
api_incident(void *arg, http_exchange_t *exchange)
{
    api_incident_any(arg, exchange, false, 0);
}


void
api_acknowledge(void *arg, http_exchange_t *exchange)
{
    api_incident_any(arg, exchange, true, INCIDENT_ACKNOWLEDGE);
}


void
api_resolve(void *arg, http_exchange_t *exchange)
{
    api_incident_any(arg, exchange, true, INCIDENT_RESOLVE);
}


/* --- gates --- */

typedef struct {
    api_job_t   job;
    char        upstream[SPEC_NAME_LEN];
    char        id[RELEASE_ID_LEN];
} gates_job_t;


static void
api_gates_got(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    cJSON      *json, *list, *run;
    size_t      i;
    api_job_t  *job = arg;

    if (status != STORE_OK) {
        api_job_store(job, status);
        return;
    }

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "gates");

    for (i = 0; i < count; i++) {
        run = cJSON_Parse(texts[i]);

        if (run != NULL) {
            cJSON_AddItemToArray(list, run);
        }
    }

    api_job_json(job, 200, json);
}


/* A rollout that has not had a gate has an empty list, one that is not there
 * has none. */
static void
api_gates_of(void *arg, store_status_t status, const store_rollout_t *all)
{
    gates_job_t  *gates = arg;

    if (status != STORE_OK) {
        api_job_store(&gates->job, status);
        return;
    }

    if (all->doc == NULL) {
        api_job_problem(&gates->job, 404, NULL, "no such rollout", NULL);
        return;
    }

    store_gate_list(gates->job.api->store, gates->upstream, gates->id,
                    api_gates_got, gates);
}


void
api_gates(void *arg, http_exchange_t *exchange)
{
    char          upstream[SPEC_NAME_LEN];
    api_t        *api = arg;
    gates_job_t  *gates;

    if (!api_id(exchange, upstream)) {
        return;
    }

    gates = api_job_new(api, exchange, sizeof(gates_job_t));

    if (gates != NULL) {
        strcpy(gates->upstream, upstream);
        text_copy(gates->id, sizeof(gates->id), exchange->params[0]);
        store_rollout(api->store, upstream, gates->id, NULL, api_gates_of,
                      gates);
    }
}


/* The job may have ended with its client by then. */
static void
api_smoke_done(void *arg, unsigned number, const cJSON *run)
{
    api_t      *api = arg;
    api_job_t  *job;

    for (job = api->jobs; job != NULL; job = job->next) {
        if (job->number == number) {
            api_job_json(job, 200, cJSON_Duplicate(run, true));
            return;
        }
    }
}


static void
api_smoke_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    api_t      *api;
    unsigned    number;
    api_job_t  *job = arg;
    release_t   release;

    api = job->api;

    if (status != STORE_OK) {
        api_job_store(job, status);
        return;
    }

    if (all->doc == NULL || release_parse(all->doc, &release) != 0) {
        api_job_problem(job, all->doc == NULL ? 404 : 500, NULL,
                        all->doc == NULL ? "no such rollout"
                        : "the rollout's document is damaged", NULL);
        return;
    }

    number = ++api->job_number;
    job->number = number;

    if (!runner_smoke(api->around->runner, &release, api_smoke_done, api,
                      number))
    {
        api_job_problem(job, 409, NULL, "the spec has no smoke tests, or too "
                        "many runs are under way", NULL);
    }

    release_free(&release);
}


void
api_smoke(void *arg, http_exchange_t *exchange)
{
    api_read_rollout(arg, exchange, api_smoke_got);
}


/* --- the stop-the-line --- */

typedef struct {
    api_job_t   job;
    char       *stop;              /* NULL: taken away */
} freeze_job_t;


static void
api_freeze_clean(api_job_t *job)
{
    free(((freeze_job_t *) job)->stop);
}


void
api_freeze(void *arg, http_exchange_t *exchange)
{
    api_t  *api = arg;

    http_answer_json(exchange->request, 200,
                     freeze_json(api->around->freeze));
}


static void
api_freeze_put(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    api_t         *api;
    freeze_job_t  *job = arg;

    api = job->job.api;

    if (status != STORE_OK) {
        api_job_store(&job->job, status);
        return;
    }

    freeze_set(api->around->freeze, job->stop);
    log_warn(api->log, job->stop != NULL ? "the line is stopped"
                                         : "the line goes on",
             LOG_S("stop", job->stop));
    api_job_json(&job->job, 200, freeze_json(api->around->freeze));
}


static void
api_freeze_any(api_t *api, http_exchange_t *exchange, bool stop)
{
    bool           ok;
    char           actor[ROLLOUT_ACTOR_LEN], reason[API_REASON_LEN];
    char           time[TIME_LEN];
    cJSON         *body, *json;
    freeze_job_t  *job;

    static const char *const  fields[] = { "actor", "reason", NULL };

    body = api_body(exchange);
    if (body == NULL) {
        return;
    }

    ok = api_check_fields(exchange, body, fields)
         && api_words(exchange, body, actor, reason);
    cJSON_Delete(body);

    if (!ok) {
        return;
    }

    job = api_job_new(api, exchange, sizeof(freeze_job_t));
    if (job == NULL) {
        return;
    }

    job->job.clean = api_freeze_clean;

    if (stop) {
        json = cJSON_CreateObject();
        cJSON_AddStringToObject(json, "at",
                                time_format(store_now(api->store), time,
                                            sizeof(time)));
        cJSON_AddStringToObject(json, "actor", api_actor(&job->job.who,
                                                         actor));
        cJSON_AddStringToObject(json, "reason", reason);
        job->stop = cJSON_PrintUnformatted(json);
        cJSON_Delete(json);
    }

    store_stop_put(api->store, job->stop, api_freeze_put, job);
}


void
api_stop(void *arg, http_exchange_t *exchange)
{
    api_freeze_any(arg, exchange, true);
}


void
api_go(void *arg, http_exchange_t *exchange)
{
    api_freeze_any(arg, exchange, false);
}
