/* What has been rolled out before: history, retry, rollback. */

#include <stdlib.h>
#include <string.h>

#include "api_create.h"
#include "core/text.h"
#include "lib/timefmt.h"

#define HISTORY_MAX  100


static void api_again_next(create_job_t *create);


static bool
again_promoted(const release_t *release)
{
    return release->state.state == ROLLOUT_SUCCEEDED
           && release->state.promoted;
}


/* Did its canary group get the version, whatever became of it? */
static bool
again_deployed(const release_t *release)
{
    return release->spec.strategy != SPEC_EXPERIMENT;
}


/* --- POST /v1/rollouts/{id}/retry --- */

static void
api_retry_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    cJSON         *json;
    release_t      release;
    create_job_t  *create = arg;
    spec_error_t   error;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    if (all->doc == NULL || release_parse(all->doc, &release) != 0) {
        api_job_problem(&create->job, all->doc == NULL ? 404 : 500, NULL,
                        all->doc == NULL ? "no such rollout"
                        : "the rollout's document is damaged", NULL);
        return;
    }

    if (release.state.state != ROLLOUT_ABORTED) {
        release_free(&release);
        api_job_problem(&create->job, 409, NULL, "only a rollout that was "
                        "aborted can be tried again", NULL);
        return;
    }

    if (create->reason[0] == '\0') {
        text_format(create->reason, sizeof(create->reason), "retry of %s",
                    release.id);
    }

    json = spec_print(&release.spec);
    release_free(&release);

    if (spec_parse(json, &create->spec, &error) != 0) {
        api_job_problem(&create->job, 500, NULL, "the rollout's spec is "
                        "damaged", NULL);

    } else {
        api_create_begin(create);
    }

    cJSON_Delete(json);
}


static create_job_t *
again_new(api_t *api, http_exchange_t *exchange, bool versioned)
{
    bool           ok;
    char           actor[ROLLOUT_ACTOR_LEN], reason[API_REASON_LEN];
    char           version[SPEC_TEXT_LEN];
    cJSON         *body;
    const cJSON   *item;
    create_job_t  *create;

    static const char *const  fields[] = { "actor", "reason", NULL };
    static const char *const  more[] = {
        "actor", "reason", "version", NULL
    };

    body = api_body(exchange);
    if (body == NULL) {
        return NULL;
    }

    version[0] = '\0';
    ok = api_check_fields(exchange, body, versioned ? more : fields)
         && api_words(exchange, body, actor, reason);
    item = cJSON_GetObjectItemCaseSensitive(body, "version");

    if (ok && item != NULL) {
        if (!cJSON_IsString(item) || item->valuestring[0] == '\0'
            || strlen(item->valuestring) >= sizeof(version)
            || !text_is_clean(item->valuestring))
        {
            http_answer_problem(exchange->request, 422, "version",
                                "must be the version of an earlier rollout",
                                NULL);
            ok = false;

        } else {
            text_copy(version, sizeof(version), item->valuestring);
        }
    }

    cJSON_Delete(body);
    create = ok ? api_create_new(api, exchange) : NULL;

    if (create != NULL) {
        text_copy(create->actor, sizeof(create->actor),
                  api_actor(&create->job.who, actor));
        text_copy(create->reason, sizeof(create->reason), reason);
        text_copy(create->version, sizeof(create->version), version);
    }

    return create;
}


void
api_retry(void *arg, http_exchange_t *exchange)
{
    char           upstream[SPEC_NAME_LEN];
    api_t         *api = arg;
    create_job_t  *create;

    if (!api_id(exchange, upstream)) {
        return;
    }

    create = again_new(api, exchange, false);

    if (create != NULL) {
        store_rollout(api->store, upstream, exchange->params[0], NULL,
                      api_retry_got, create);
    }
}


/* --- POST /v1/upstreams/{name}/rollback --- */

static bool
again_used(const create_job_t *create, const char *group)
{
    unsigned  i;

    for (i = 0; i < create->used_count; i++) {
        if (strcmp(create->used[i], group) == 0) {
            return true;
        }
    }

    return false;
}


static void
again_use(create_job_t *create, const char *group)
{
    if (!again_used(create, group) && create->used_count < 8) {
        text_copy(create->used[create->used_count++], SPEC_NAME_LEN, group);
    }
}


static void
again_create(create_job_t *create, const char *group, const char *version)
{
    char           reason[ROLLOUT_REASON_LEN];
    cJSON         *json;
    spec_error_t   error;

    text_format(reason, sizeof(reason), "rollback%s%s%s%s",
                version[0] ? " to " : "", version,
                create->reason[0] ? ": " : "", create->reason);
    text_copy(create->reason, sizeof(create->reason), reason);

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "upstream", create->upstream);
    cJSON_AddStringToObject(json, "canary", group);
    cJSON_AddStringToObject(json, "version", version);
    cJSON_AddStringToObject(json, "strategy", "blue-green");
    cJSON_AddStringToObject(json, "bake", "0s");

    if (spec_parse(json, &create->spec, &error) != 0) {
        api_job_problem(&create->job, 500, error.field, error.detail, NULL);

    } else {
        api_create_begin(create);
    }

    cJSON_Delete(json);
}


/* Newest first: who is stable now, then which group has had the version
 * since, without another one in between. */
static bool
again_look(create_job_t *create, const release_t *release)
{
    const char  *group;

    group = release->spec.canary;

    if (again_promoted(release) && !create->current) {
        create->current = true;

        if (create->version[0] == '\0') {
            text_copy(create->group, sizeof(create->group),
                      release->stable);
        }

    } else if (again_promoted(release)
               && (create->version[0] != '\0'
                   ? strcmp(create->version, release->spec.version) == 0
                   : strcmp(create->group, group) == 0))
    {
        if (again_used(create, group)) {
            api_job_problem(&create->job, 409, "version", "its group has had "
                            "another version since: deploy it again and "
                            "start a rollout", NULL);

        } else {
            again_create(create, group, release->spec.version);
        }

        return true;
    }

    if (again_deployed(release)) {
        again_use(create, group);
    }

    return false;
}


static void
again_ended(create_job_t *create)
{
    if (create->version[0] == '\0' && create->group[0] != '\0') {
        /* Stable before the first rollout that is remembered. */
        if (!again_used(create, create->group)) {
            again_create(create, create->group, "");
            return;
        }

        api_job_problem(&create->job, 409, NULL, "the group that was stable "
                        "before has had another version since", NULL);
        return;
    }

    api_job_problem(&create->job, create->version[0] ? 422 : 409,
                    create->version[0] ? "version" : NULL,
                    create->version[0]
                    ? "no earlier rollout of this version succeeded"
                    : "there is nothing to go back to", NULL);
}


static void
api_again_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    bool           done;
    char           time[TIME_LEN];
    cJSON         *item;
    release_t      release;
    create_job_t  *create = arg;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    done = false;

    if (all->doc != NULL && release_parse(all->doc, &release) == 0) {
        if (create->list == NULL) {
            done = again_look(create, &release);

        } else {
            item = cJSON_CreateObject();
            cJSON_AddItemToArray(create->list, item);
            cJSON_AddStringToObject(item, "id", release.id);
            cJSON_AddStringToObject(item, "version", release.spec.version);
            cJSON_AddStringToObject(item, "canary", release.spec.canary);
            cJSON_AddStringToObject(item, "stable", release.stable);
            cJSON_AddStringToObject(item, "state",
                                    rollout_state_name(release.state.state));
            cJSON_AddBoolToObject(item, "promoted", again_promoted(&release));
            cJSON_AddStringToObject(item, "reason", release.state.reason);
            cJSON_AddStringToObject(item, "actor", release.state.actor);
            cJSON_AddStringToObject(item, "environment",
                                    release.spec.environment);
            cJSON_AddStringToObject(item, "commit", release.spec.commit);
            cJSON_AddStringToObject(item, "ticket", release.spec.ticket);
            cJSON_AddStringToObject(item, "created",
                                    time_format(release.created_ms, time,
                                                sizeof(time)));

            if (release.finished_ms > 0) {
                cJSON_AddStringToObject(item, "finished",
                                        time_format(release.finished_ms, time,
                                                    sizeof(time)));

            } else {
                cJSON_AddNullToObject(item, "finished");
            }
        }

        release_free(&release);
    }

    if (!done) {
        api_again_next(create);
    }
}


static void
api_again_next(create_job_t *create)
{
    cJSON  *json;

    if (create->at < create->id_count) {
        store_rollout(create->job.api->store, create->upstream,
                      create->ids[create->at++], NULL, api_again_got, create);
        return;
    }

    if (create->list == NULL) {
        again_ended(create);
        return;
    }

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "upstream", create->upstream);
    cJSON_AddItemToObject(json, "rollouts", create->list);
    create->list = NULL;
    api_job_json(&create->job, 200, json);
}


/* Nothing has been rolled out: is there such an upstream at all? */
static void
api_again_routes(void *arg, store_status_t status, size_t count,
    const store_route_t *routes)
{
    size_t         i;
    create_job_t  *create = arg;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    for (i = 0; i < count; i++) {
        if (strcmp(routes[i].upstream, create->upstream) == 0) {
            api_again_next(create);
            return;
        }
    }

    api_job_problem(&create->job, 404, NULL, "no such upstream", NULL);
}


static void
api_again_ids(void *arg, store_status_t status, size_t count,
    const char *const *ids, const int64_t *created_ms)
{
    size_t         i;
    create_job_t  *create = arg;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    for (i = 0; i < count && create->id_count < HISTORY_MAX; i++) {
        text_copy(create->ids[create->id_count++], RELEASE_ID_LEN, ids[i]);
    }

    if (count == 0) {
        store_routes(create->job.api->store, api_again_routes, create);
        return;
    }

    api_again_next(create);
}


static void
api_again(api_t *api, http_exchange_t *exchange, create_job_t *create)
{
    text_copy(create->upstream, sizeof(create->upstream),
              exchange->params[0]);
    store_ids(api->store, create->upstream, HISTORY_MAX, api_again_ids,
              create);
}


static bool
again_named(http_exchange_t *exchange)
{
    if (store_name_valid(exchange->params[0])) {
        return true;
    }

    http_answer_problem(exchange->request, 404, NULL, "no such upstream",
                        NULL);

    return false;
}


void
api_rollback(void *arg, http_exchange_t *exchange)
{
    create_job_t  *create;

    create = again_named(exchange) ? again_new(arg, exchange, true) : NULL;

    if (create != NULL) {
        api_again(arg, exchange, create);
    }
}


void
api_history(void *arg, http_exchange_t *exchange)
{
    create_job_t  *create;

    create = again_named(exchange) ? api_create_new(arg, exchange) : NULL;

    if (create != NULL) {
        create->list = cJSON_CreateArray();
        api_again(arg, exchange, create);
    }
}
