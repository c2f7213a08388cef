#include "incident.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "lib/timefmt.h"

#define INCIDENT_MAX_TIMELINE  100

static const char *const  kinds[] = { "revert", "guard", "alert", "server" };


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static const char *
text_of(const cJSON *json, const char *name)
{
    const cJSON  *item;

    item = member(json, name);

    return cJSON_IsString(item) ? item->valuestring : "";
}


static double
number_of(const cJSON *json, const char *name)
{
    const cJSON  *item;

    item = member(json, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}


static void
incident_line(cJSON *doc, int64_t now, const char *what, const char *actor,
    const char *detail)
{
    cJSON  *list, *line;

    list = cJSON_GetObjectItemCaseSensitive(doc, "timeline");

    if (!cJSON_IsArray(list)
        || cJSON_GetArraySize(list) >= INCIDENT_MAX_TIMELINE)
    {
        return;
    }

    line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "at", (double) now);
    cJSON_AddStringToObject(line, "what", what);
    cJSON_AddStringToObject(line, "actor", actor);
    cJSON_AddStringToObject(line, "detail", detail);
    cJSON_AddItemToArray(list, line);
}


void
incident_open(store_t *store, const settings_t *settings,
    const incident_new_t *incident, store_texts_pt done, void *arg)
{
    char               id[RELEASE_ID_LEN], *text;
    cJSON             *doc;
    int64_t            now;
    store_incident_t   put;

    now = store_now(store);
    release_new_id(id, incident->upstream);

    doc = cJSON_CreateObject();
    cJSON_AddStringToObject(doc, "id", id);
    cJSON_AddStringToObject(doc, "upstream", incident->upstream);
    cJSON_AddStringToObject(doc, "kind", kinds[incident->kind]);
    cJSON_AddStringToObject(doc, "key", incident->key);
    cJSON_AddStringToObject(doc, "severity",
                            severity_name(incident->severity));
    cJSON_AddStringToObject(doc, "title", incident->title);
    cJSON_AddStringToObject(doc, "rollout", incident->rollout);
    cJSON_AddStringToObject(doc, "runbook",
                            settings->runbooks[incident->kind]);
    cJSON_AddStringToObject(doc, "state", "open");
    cJSON_AddNumberToObject(doc, "level", 0);
    cJSON_AddNumberToObject(doc, "opened", (double) now);
    cJSON_AddNumberToObject(doc, "acknowledged", 0);
    cJSON_AddNumberToObject(doc, "resolved", 0);
    cJSON_AddArrayToObject(doc, "timeline");
    incident_line(doc, now, "opened", incident->actor, incident->title);

    text = cJSON_PrintUnformatted(doc);

    memset(&put, 0, sizeof(store_incident_t));
    put.upstream = incident->upstream;
    put.id = id;
    put.key = incident->key;
    put.doc = text;
    put.change = STORE_INCIDENT_OPENED;
    put.rollout = incident->rollout;
    put.actor = incident->actor;
    put.detail = incident->title;
    store_incident_put(store, &put, done, arg);

    cJSON_Delete(doc);
    free(text);
}


static void
incident_set(cJSON *doc, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(doc, name);
    cJSON_AddItemToObject(doc, name, value);
}


int
incident_change(store_t *store, const char *was, incident_change_t change,
    const char *actor, const char *reason, store_texts_pt done, void *arg,
    char *error)
{
    char               detail[512], *text;
    cJSON             *doc;
    int64_t            now;
    const char        *state;
    store_incident_t   put;

    static const store_incident_change_t  changes[] = {
        STORE_INCIDENT_ACKNOWLEDGED, STORE_INCIDENT_RESOLVED,
        STORE_INCIDENT_ESCALATED
    };

    doc = cJSON_Parse(was);

    if (doc == NULL || text_of(doc, "upstream")[0] == '\0') {
        cJSON_Delete(doc);
        text_copy(error, 128, "its document is damaged");
        return -1;
    }

    now = store_now(store);
    state = text_of(doc, "state");

    if (strcmp(state, "resolved") == 0
        || (change != INCIDENT_RESOLVE && strcmp(state, "open") != 0))
    {
        text_format(error, 128, "the incident is %s already", state);
        cJSON_Delete(doc);
        return -1;
    }

    switch (change) {

    case INCIDENT_ACKNOWLEDGE:
        incident_set(doc, "state", cJSON_CreateString("acknowledged"));
        incident_set(doc, "acknowledged", cJSON_CreateNumber((double) now));
        break;

    case INCIDENT_RESOLVE:
        incident_set(doc, "state", cJSON_CreateString("resolved"));
        incident_set(doc, "resolved", cJSON_CreateNumber((double) now));
        break;

    default:
        incident_set(doc, "level",
                     cJSON_CreateNumber(number_of(doc, "level") + 1));
        break;
    }

    incident_line(doc, now, store_incident_change_name(changes[change]),
                  actor, reason);
    text = cJSON_PrintUnformatted(doc);
    text_format(detail, sizeof(detail), "%s%s%s", text_of(doc, "title"),
                reason[0] != '\0' ? ": " : "", reason);

    memset(&put, 0, sizeof(store_incident_t));
    put.upstream = text_of(doc, "upstream");
    put.id = text_of(doc, "id");
    put.key = text_of(doc, "key");
    put.was = was;
    put.doc = text;
    put.change = changes[change];
    put.rollout = text_of(doc, "rollout");
    put.actor = actor;
    put.detail = detail;
    store_incident_put(store, &put, done, arg);

    cJSON_Delete(doc);
    free(text);

    return 0;
}


bool
incident_due(const settings_t *settings, const cJSON *doc, int64_t now_ms)
{
    double  level;

    level = number_of(doc, "level");

    return strcmp(text_of(doc, "state"), "open") == 0
           && level >= 0 && level < settings->level_count
           && now_ms - (int64_t) number_of(doc, "opened")
              >= settings->levels[(unsigned) level].after_ms;
}


static void
incident_time(cJSON *json, const char *name)
{
    char     text[TIME_LEN];
    double   ms;

    ms = number_of(json, name);
    cJSON_ReplaceItemInObjectCaseSensitive(json, name, ms > 0
        ? cJSON_CreateString(time_format((int64_t) ms, text, sizeof(text)))
        : cJSON_CreateNull());
}


cJSON *
incident_json(const char *doc)
{
    cJSON        *json;
    const cJSON  *line;

    json = cJSON_Parse(doc);

    if (json == NULL) {
        return NULL;
    }

    incident_time(json, "opened");
    incident_time(json, "acknowledged");
    incident_time(json, "resolved");

    cJSON_ArrayForEach(line, member(json, "timeline")) {
        incident_time((cJSON *) line, "at");
    }

    return json;
}
