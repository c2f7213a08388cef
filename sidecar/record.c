#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "core/value.h"
#include "record.h"

#define RECORD_MAX_TEXT   65536
#define RECORD_MAX_LEASE  (INT64_C(3600) * 1000)


static int
record_read_name(const cJSON *json, const char *name, bool needed,
    char *text, size_t size)
{
    const cJSON  *item;

    text[0] = '\0';
    item = cJSON_GetObjectItemCaseSensitive(json, name);

    if (item == NULL || cJSON_IsNull(item)) {
        return needed ? -1 : 0;
    }

    if (!cJSON_IsString(item) || strlen(item->valuestring) >= size) {
        return -1;
    }

    strcpy(text, item->valuestring);

    return 0;
}


static int
record_read_weights(const cJSON *json, record_t *record)
{
    double           percent;
    unsigned         sum;
    const cJSON     *item;
    record_group_t  *group;

    if (!cJSON_IsObject(json)) {
        return -1;
    }

    sum = 0;
    record->group_count = 0;

    cJSON_ArrayForEach(item, json) {
        if (record->group_count == RECORD_MAX_GROUPS
            || strlen(item->string) >= SPEC_NAME_LEN
            || !value_read_number(item, &percent)
            || percent < 0.0 || percent > 100.0)
        {
            return -1;
        }

        group = &record->groups[record->group_count++];
        strcpy(group->name, item->string);
        group->weight = (unsigned) lround(percent * 100.0);
        sum += group->weight;
    }

    return sum == SPEC_WEIGHT_ALL ? 0 : -1;
}


int
record_parse(const cJSON *json, record_t *record)
{
    int64_t       revision;
    const cJSON  *lease;

    memset(record, 0, sizeof(record_t));

    if (!cJSON_IsObject(json)
        || !value_read_integer(cJSON_GetObjectItemCaseSensitive(json,
                                                                "revision"),
                               0, VALUE_MAX_INT, &revision)
        || record_read_name(json, "stable", true, record->stable,
                            sizeof(record->stable)) != 0
        || record_read_name(json, "canary", false, record->canary,
                            sizeof(record->canary)) != 0
        || record_read_name(json, "salt", false, record->salt,
                            sizeof(record->salt)) != 0
        || record_read_weights(cJSON_GetObjectItemCaseSensitive(json,
                                                                "weights"),
                               record) != 0)
    {
        return -1;
    }

    record->revision = (uint64_t) revision;
    lease = cJSON_GetObjectItemCaseSensitive(json, "lease_ms");

    if (lease != NULL && !cJSON_IsNull(lease)
        && !value_read_integer(lease, 0, RECORD_MAX_LEASE,
                               &record->lease_ms))
    {
        return -1;
    }

    return 0;
}


int
record_parse_text(const char *text, record_t *record)
{
    int     rc;
    cJSON  *json;

    if (text == NULL || strlen(text) > RECORD_MAX_TEXT) {
        return -1;
    }

    json = cJSON_Parse(text);
    rc = record_parse(json, record);
    cJSON_Delete(json);

    return rc;
}


cJSON *
record_print(const record_t *record)
{
    cJSON     *json, *weights;
    unsigned   i;

    json = cJSON_CreateObject();
    weights = cJSON_CreateObject();

    for (i = 0; i < record->group_count; i++) {
        cJSON_AddNumberToObject(weights, record->groups[i].name,
                                record->groups[i].weight / 100.0);
    }

    cJSON_AddNumberToObject(json, "revision", (double) record->revision);
    cJSON_AddStringToObject(json, "stable", record->stable);

    if (record->canary[0] != '\0') {
        cJSON_AddStringToObject(json, "canary", record->canary);
    }

    cJSON_AddStringToObject(json, "salt", record->salt);
    cJSON_AddNumberToObject(json, "lease_ms", (double) record->lease_ms);

    if (!cJSON_AddItemToObject(json, "weights", weights)) {
        cJSON_Delete(weights);
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


/* Never NULL: without memory the process ends. */
static char *
record_print_text(cJSON *json)
{
    char  *text;

    text = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);

    if (text == NULL) {
        abort();
    }

    return text;
}


char *
record_text(const record_t *record)
{
    return record_print_text(record_print(record));
}


const record_group_t *
record_group(const record_t *record, const char *name)
{
    unsigned  i;

    for (i = 0; i < record->group_count; i++) {
        if (strcmp(record->groups[i].name, name) == 0) {
            return &record->groups[i];
        }
    }

    return NULL;
}


void
record_add_group(record_t *record, const char *name, unsigned weight)
{
    record_group_t  *group;

    if (record->group_count < RECORD_MAX_GROUPS) {
        group = &record->groups[record->group_count++];
        text_copy(group->name, sizeof(group->name), name);
        group->weight = weight;
    }
}


static unsigned
record_weight(const record_t *record, const char *name)
{
    const record_group_t  *group;

    group = record_group(record, name);

    return group != NULL ? group->weight : 0;
}


bool
record_same(const record_t *a, const record_t *b)
{
    unsigned  i;

    if (strcmp(a->stable, b->stable) != 0 || strcmp(a->salt, b->salt) != 0
        || a->lease_ms != b->lease_ms)
    {
        return false;
    }

    /* The sum is the same, so no group of b can be missed. */
    for (i = 0; i < a->group_count; i++) {
        if (a->groups[i].weight != record_weight(b, a->groups[i].name)) {
            return false;
        }
    }

    return true;
}


bool
record_has_canary(const record_t *record)
{
    return record_weight(record, record->stable) != SPEC_WEIGHT_ALL;
}


void
record_revert(record_t *record)
{
    record->group_count = 0;
    record_add_group(record, record->stable, SPEC_WEIGHT_ALL);
    record->lease_ms = 0;
}


void
record_route(record_t *record, const char *stable, const char *canary,
    const char *id, int64_t lease_ms, const rollout_routing_t *routing)
{
    size_t  len = strlen(id);

    /* Groups that are not named have nothing; a group that left nginx.conf
     * must not be named. */
    record->group_count = 0;
    record_add_group(record, stable,
                     SPEC_WEIGHT_ALL - routing->canary_weight);
    record_add_group(record, canary, routing->canary_weight);

    if (routing->canary_is_stable) {
        /* "canary" names who is not stable: roles have been swapped. */
        text_copy(record->stable, sizeof(record->stable), canary);
        text_copy(record->canary, sizeof(record->canary), stable);

    } else {
        text_copy(record->stable, sizeof(record->stable), stable);
        text_copy(record->canary, sizeof(record->canary), canary);
    }

    text_copy(record->salt, sizeof(record->salt),
              len < RECORD_SALT_LEN ? id : id + len - RECORD_SALT_LEN + 1);
    record->lease_ms = routing->leased ? lease_ms : 0;
}


char *
record_node_text(const record_node_t *node)
{
    cJSON  *json, *record;

    json = cJSON_CreateObject();
    record = record_print(&node->record);

    cJSON_AddNumberToObject(json, "at", (double) node->at_ms);
    cJSON_AddNumberToObject(json, "revision",
                            (double) node->record.revision);
    cJSON_AddStringToObject(json, "boot", node->boot);
    cJSON_AddBoolToObject(json, "lapsed", node->lapsed);

    if (node->error[0] != '\0') {
        cJSON_AddStringToObject(json, "error", node->error);
    }

    if (!cJSON_AddItemToObject(json, "record", record)) {
        cJSON_Delete(record);
    }

    return record_print_text(json);
}


int
record_node_parse(const char *text, record_node_t *node)
{
    int           rc;
    cJSON        *json;
    const cJSON  *error;

    memset(node, 0, sizeof(record_node_t));

    if (strlen(text) > RECORD_MAX_TEXT) {
        return -1;
    }

    json = cJSON_Parse(text);

    rc = !cJSON_IsObject(json)
         || !value_read_integer(cJSON_GetObjectItemCaseSensitive(json, "at"),
                                0, VALUE_MAX_INT, &node->at_ms)
         || record_read_name(json, "boot", false, node->boot,
                             sizeof(node->boot)) != 0
         || record_parse(cJSON_GetObjectItemCaseSensitive(json, "record"),
                         &node->record) != 0
         ? -1 : 0;

    node->lapsed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json,
                                                                 "lapsed"));

    error = cJSON_GetObjectItemCaseSensitive(json, "error");
    if (cJSON_IsString(error)) {
        text_copy(node->error, sizeof(node->error), error->valuestring);
    }

    cJSON_Delete(json);

    return rc;
}


int64_t
record_live_ms(int64_t tick_ms)
{
    return 5 * tick_ms > 3000 ? 5 * tick_ms : 3000;
}
