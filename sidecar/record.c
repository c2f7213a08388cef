/* long: one format, read and printed. */

#include <math.h>
#include <stddef.h>
#include <stdio.h>
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


/* The text of a member, "" where it is not there; -1: too long. */
static int
record_read_json(const cJSON *json, const char *name, char *text, size_t size)
{
    const cJSON  *item;

    text[0] = '\0';
    item = cJSON_GetObjectItemCaseSensitive(json, name);

    if (item == NULL || cJSON_IsNull(item)) {
        return 0;
    }

    /* cJSON wants some bytes more than it uses */

    if (!cJSON_PrintPreallocated((cJSON *) item, text, (int) size, 0)) {
        text[0] = '\0';
        return -1;
    }

    return 0;
}


static int
record_read_guard(const cJSON *json, record_t *record)
{
    int64_t        failures;
    spec_guard_t  *guard = &record->guard;

    if (json == NULL || cJSON_IsNull(json)) {
        return 0;
    }

    if (record_read_name(json, "group", true, record->guarded,
                         sizeof(record->guarded)) != 0
        || !value_read_integer(cJSON_GetObjectItemCaseSensitive(json,
                                                                "failures"),
                               1, UINT32_MAX, &failures)
        || !value_read_number(cJSON_GetObjectItemCaseSensitive(json, "ratio"),
                              &guard->ratio)
        || !value_read_integer(cJSON_GetObjectItemCaseSensitive(json,
                                                                "window_ms"),
                               1, VALUE_MAX_INT, &guard->window_ms))
    {
        return -1;
    }

    guard->failures = (unsigned) failures;
    guard->on = true;

    return 0;
}


static void
record_no_texts(record_t *record)
{
    record->rules[0] = '\0';
    record->nodes[0] = '\0';
    record->drain[0] = '\0';
}


int
record_parse(const cJSON *json, record_t *record)
{
    int64_t       revision;
    const cJSON  *lease;

    /* there are many of them, and few with rules */
    memset(record, 0, offsetof(record_t, rules));
    record_no_texts(record);

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
                               record) != 0
        || record_read_guard(cJSON_GetObjectItemCaseSensitive(json, "guard"),
                             record) != 0
        || record_read_json(json, "rules", record->rules,
                            sizeof(record->rules)) != 0
        || record_read_json(json, "nodes", record->nodes,
                            sizeof(record->nodes)) != 0
        || record_read_json(json, "drain", record->drain,
                            sizeof(record->drain)) != 0)
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


static void
record_put_json(cJSON *json, const char *name, const char *text)
{
    if (text[0] != '\0') {
        cJSON_AddRawToObject(json, name, text);
    }
}


cJSON *
record_print(const record_t *record)
{
    cJSON     *json, *weights, *guard;
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

    if (record->guard.on) {
        guard = cJSON_AddObjectToObject(json, "guard");
        cJSON_AddStringToObject(guard, "group", record->guarded);
        cJSON_AddNumberToObject(guard, "failures", record->guard.failures);
        cJSON_AddNumberToObject(guard, "ratio", record->guard.ratio);
        cJSON_AddNumberToObject(guard, "window_ms",
                                (double) record->guard.window_ms);
    }

    record_put_json(json, "rules", record->rules);
    record_put_json(json, "nodes", record->nodes);
    record_put_json(json, "drain", record->drain);

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
record_forget(record_t *record, const cJSON *groups)
{
    unsigned  i, kept;

    kept = 0;

    for (i = 0; i < record->group_count; i++) {
        if (record->groups[i].weight > 0
            || cJSON_GetObjectItemCaseSensitive(groups,
                                                record->groups[i].name)
               != NULL)
        {
            record->groups[kept++] = record->groups[i];
        }
    }

    record->group_count = kept;
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


unsigned
record_share(const record_t *record, unsigned stratum, const char *name)
{
    cJSON        *rules;
    double        percent;
    unsigned      share;
    const cJSON  *rule, *weights, *item;

    if (stratum == 0) {
        return record_weight(record, name);
    }

    share = 0;
    rules = record->rules[0] != '\0' ? cJSON_Parse(record->rules) : NULL;

    cJSON_ArrayForEach(rule, rules) {
        weights = cJSON_GetObjectItemCaseSensitive(rule, "weights");

        if (weights == NULL || --stratum > 0) {
            continue;
        }

        item = cJSON_GetObjectItemCaseSensitive(weights, name);

        if (item == NULL) {
            item = cJSON_GetObjectItemCaseSensitive(weights,
                       strcmp(name, record->stable) == 0 ? "stable"
                       : strcmp(name, record->canary) == 0 ? "canary" : "");
        }

        if (value_read_number(item, &percent) && percent > 0.0
            && percent <= 100.0)
        {
            share = (unsigned) lround(percent * 100.0);
        }

        break;
    }

    cJSON_Delete(rules);

    return share;
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
record_equal(const record_t *a, const record_t *b)
{
    return record_same(a, b) && a->guard.on == b->guard.on
           && (!a->guard.on
               || (a->guard.failures == b->guard.failures
                   && fabs(a->guard.ratio - b->guard.ratio) < 1e-9
                   && a->guard.window_ms == b->guard.window_ms
                   && strcmp(a->guarded, b->guarded) == 0))
           && strcmp(a->rules, b->rules) == 0
           && strcmp(a->nodes, b->nodes) == 0
           && strcmp(a->drain, b->drain) == 0;
}


bool
record_has_canary(const record_t *record)
{
    return record_weight(record, record->stable) != SPEC_WEIGHT_ALL;
}


/* Nothing beside weights; what is drained stays so. */
static void
record_plain(record_t *record)
{
    record->guard.on = false;
    record->rules[0] = '\0';
    record->nodes[0] = '\0';
}


void
record_revert(record_t *record)
{
    record->group_count = 0;
    record_add_group(record, record->stable, SPEC_WEIGHT_ALL);
    record->lease_ms = 0;
    record_plain(record);
}


static bool
record_list_has(const cJSON *list, const char *text)
{
    const cJSON  *item;

    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0) {
            return true;
        }
    }

    return false;
}


void
record_localize(record_t *record, const char *node)
{
    bool    member;
    cJSON  *nodes;

    if (record->nodes[0] != '\0') {
        nodes = cJSON_Parse(record->nodes);
        member = record_list_has(nodes, node);
        cJSON_Delete(nodes);

        if (!member) {
            record->group_count = 0;
            record_add_group(record, record->stable, SPEC_WEIGHT_ALL);
            record_plain(record);
        }
    }

    record->nodes[0] = '\0';
    record->drain[0] = '\0';
}


bool
record_drains(const char *drain, const char *group, const char *server,
    const char *address, bool *drained)
{
    cJSON        *json;
    const cJSON  *list;

    *drained = false;

    if (drain[0] == '\0') {
        return false;
    }

    json = cJSON_Parse(drain);
    list = cJSON_GetObjectItemCaseSensitive(json, group);
    *drained = record_list_has(list, server)
               || record_list_has(list, address);
    cJSON_Delete(json);

    return list != NULL;
}


/* Text of a list of the names. */
static void
record_set_nodes(record_t *record, const rollout_spec_t *spec, unsigned count)
{
    size_t    len;
    unsigned  i;

    len = 0;

    for (i = 0; i < count && i < spec->step_count; i++) {
        len += (size_t) snprintf(record->nodes + len,
                                 sizeof(record->nodes) - len, "%s\"%s\"",
                                 i > 0 ? "," : "[", spec->targets[i]);
    }

    snprintf(record->nodes + len, sizeof(record->nodes) - len, "]");
}


/* Of this group just the server (NULL: none); other groups stay, as long as
 * there is room. */
static void
record_set_drain(record_t *record, const char *group, const char *server)
{
    cJSON  *json, *list;

    json = record->drain[0] != '\0' ? cJSON_Parse(record->drain) : NULL;

    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        json = cJSON_CreateObject();
    }

    cJSON_DeleteItemFromObjectCaseSensitive(json, group);
    list = cJSON_AddArrayToObject(json, group);

    if (server != NULL && list != NULL) {
        cJSON_AddItemToArray(list, cJSON_CreateString(server));
    }

    if (!cJSON_PrintPreallocated(json, record->drain,
                                 (int) sizeof(record->drain), 0))
    {
        snprintf(record->drain, sizeof(record->drain), "{\"%s\":[%s%s%s]}",
                 group, server != NULL ? "\"" : "",
                 server != NULL ? server : "", server != NULL ? "\"" : "");
    }

    cJSON_Delete(json);
}


static void
record_set_weights(record_t *record, const rollout_spec_t *spec,
    const char *stable, const rollout_routing_t *routing)
{
    unsigned  i, rest;

    /* Groups that are not named have nothing; a group that left nginx.conf
     * must not be named. */
    record->group_count = 0;
    rest = SPEC_WEIGHT_ALL;

    if (spec->arm_count == 0) {
        record_add_group(record, stable, rest - routing->canary_weight);
        record_add_group(record, spec->canary, routing->canary_weight);
        return;
    }

    for (i = 0; i < spec->arm_count; i++) {
        rest -= routing->arms[i];
    }

    record_add_group(record, stable, rest);

    for (i = 0; i < spec->arm_count; i++) {
        record_add_group(record, spec->arms[i].name, routing->arms[i]);
    }
}


void
record_route(record_t *record, const rollout_spec_t *spec,
    const char *stable, const char *id, const rollout_routing_t *routing)
{
    size_t  len = strlen(id);

    if (routing->drains) {
        record_set_drain(record, spec->canary, routing->drained);
    }

    if (routing->keep) {
        return;
    }

    record_plain(record);
    record_set_weights(record, spec, stable, routing);

    if (routing->canary_is_stable) {
        /* "canary" names who is not stable: roles have been swapped. */
        text_copy(record->stable, sizeof(record->stable), spec->canary);
        text_copy(record->canary, sizeof(record->canary), stable);

    } else {
        text_copy(record->stable, sizeof(record->stable), stable);
        text_copy(record->canary, sizeof(record->canary), spec->canary);
    }

    text_copy(record->salt, sizeof(record->salt),
              len < RECORD_SALT_LEN ? id : id + len - RECORD_SALT_LEN + 1);
    record->lease_ms = routing->leased ? spec->lease_ms : 0;

    if (routing->guarded) {
        record->guard = spec->guard;
        text_copy(record->guarded, sizeof(record->guarded), spec->canary);
    }

    if (routing->rules != NULL) {
        text_copy(record->rules, sizeof(record->rules), routing->rules);
    }

    if (routing->nodes > 0) {
        record_set_nodes(record, spec, routing->nodes);
    }
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

    if (node->refused > 0) {
        cJSON_AddNumberToObject(json, "refused", (double) node->refused);
        cJSON_AddStringToObject(json, "error", node->error);
    }

    if (node->tripped[0] != '\0') {
        cJSON_AddStringToObject(json, "tripped", node->tripped);
    }

    if (node->drained[0] != '\0') {
        cJSON_AddStringToObject(json, "drained", node->drained);
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
    int64_t       refused;
    const cJSON  *error;

    node->at_ms = 0;
    node->refused = 0;
    node->boot[0] = '\0';
    node->lapsed = false;
    node->tripped[0] = '\0';
    node->drained[0] = '\0';
    node->error[0] = '\0';

    if (strlen(text) > RECORD_MAX_TEXT) {
        return -1;
    }

    json = cJSON_Parse(text);

    rc = !cJSON_IsObject(json)
         || !value_read_integer(cJSON_GetObjectItemCaseSensitive(json, "at"),
                                0, VALUE_MAX_INT, &node->at_ms)
         || record_read_name(json, "boot", false, node->boot,
                             sizeof(node->boot)) != 0
         || record_read_name(json, "tripped", false, node->tripped,
                             sizeof(node->tripped)) != 0
         || record_read_name(json, "drained", false, node->drained,
                             sizeof(node->drained)) != 0
         || record_parse(cJSON_GetObjectItemCaseSensitive(json, "record"),
                         &node->record) != 0
         ? -1 : 0;

    node->lapsed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json,
                                                                 "lapsed"));

    /* An older canaryd gives the error alone. */
    if (value_read_integer(cJSON_GetObjectItemCaseSensitive(json, "refused"),
                           1, VALUE_MAX_INT, &refused))
    {
        node->refused = (uint64_t) refused;
    }

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
