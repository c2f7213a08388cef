#include <stdio.h>
#include <string.h>

#include "event.h"
#include "lib/timefmt.h"


cJSON *
event_json(const char *upstream, const store_entry_t *entry)
{
    char    id[EVENT_ID_LEN], at[TIME_LEN];
    cJSON  *json, *data;

    json = cJSON_CreateObject();
    snprintf(id, sizeof(id), "%.63s/%.47s", upstream, entry->position);

    cJSON_AddStringToObject(json, "id", id);
    cJSON_AddStringToObject(json, "upstream", upstream);
    cJSON_AddStringToObject(json, "at", time_format(entry->at_ms, at,
                                                    sizeof(at)));
    cJSON_AddStringToObject(json, "type", entry->type);

    if (entry->rollout[0] != '\0') {
        cJSON_AddStringToObject(json, "rollout", entry->rollout);

    } else {
        cJSON_AddNullToObject(json, "rollout");
    }

    cJSON_AddNumberToObject(json, "revision", (double) entry->revision);
    cJSON_AddStringToObject(json, "actor", entry->actor);
    cJSON_AddStringToObject(json, "detail", entry->detail);

    data = cJSON_Parse(entry->data);
    cJSON_AddItemToObject(json, "data", data != NULL ? data
                                                     : cJSON_CreateNull());

    return json;
}


cJSON *
event_gap_json(const char *upstream, const char *asked, const char *oldest)
{
    char    id[EVENT_ID_LEN];
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "type", EVENT_GAP);
    cJSON_AddStringToObject(json, "upstream", upstream);

    snprintf(id, sizeof(id), "%.63s/%.47s", upstream, asked);
    cJSON_AddStringToObject(json, "asked", id);

    if (oldest != NULL) {
        snprintf(id, sizeof(id), "%.63s/%.47s", upstream, oldest);
        cJSON_AddStringToObject(json, "oldest", id);

    } else {
        cJSON_AddNullToObject(json, "oldest");
    }

    cJSON_AddStringToObject(json, "detail", "this event is not kept: others "
                            "may be missing, read the state anew");

    return json;
}


int
event_id_parse(const char *id, char upstream[SPEC_NAME_LEN],
    char position[STORE_POSITION_LEN])
{
    size_t       len;
    const char  *slash;

    slash = strchr(id, '/');

    if (slash == NULL || strlen(slash + 1) >= STORE_POSITION_LEN
        || !store_position_valid(slash + 1))
    {
        return -1;
    }

    len = (size_t) (slash - id);

    if (len >= SPEC_NAME_LEN) {
        return -1;
    }

    memcpy(upstream, id, len);
    upstream[len] = '\0';
    strcpy(position, slash + 1);

    return store_name_valid(upstream) ? 0 : -1;
}
