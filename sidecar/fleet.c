#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "fleet.h"


bool
fleet_node(const store_node_t *from, int64_t now_ms, int64_t live_ms,
    record_node_t *node, bool *live)
{
    if (record_node_parse(from->info, node) != 0) {
        return false;
    }

    if (live != NULL) {
        *live = node->at_ms >= now_ms - live_ms;
    }

    return true;
}


/* The first by name, so that it is the same one in each tick. */
static void
fleet_refuses(fleet_t *fleet, const char *name, const record_node_t *node)
{
    char  clean[sizeof(fleet->refusing)];

    text_copy(clean, sizeof(clean), name);

    if (fleet->refused++ > 0 && strcmp(clean, fleet->refusing) >= 0) {
        return;
    }

    strcpy(fleet->refusing, clean);
    strcpy(fleet->refusal, node->error);
}


void
fleet_count(const store_rollout_t *all, int64_t now_ms, int64_t live_ms,
    uint64_t revision, fleet_t *fleet)
{
    bool           live;
    size_t         i;
    record_node_t  node;

    memset(fleet, 0, sizeof(fleet_t));

    for (i = 0; i < all->node_count; i++) {
        if (!fleet_node(&all->nodes[i], now_ms, live_ms, &node, &live)
            || !live)
        {
            continue;
        }

        fleet->live++;
        fleet->tripped += node.tripped[0] != '\0';

        if (node.refused == revision) {
            fleet_refuses(fleet, all->nodes[i].node, &node);

        } else if (node.record.revision >= revision) {
            fleet->confirmed++;
        }

        if (node.record.revision > fleet->highest) {
            fleet->highest = node.record.revision;
        }
    }
}


cJSON *
fleet_json(const fleet_t *fleet)
{
    cJSON  *json, *refused;

    json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "live", fleet->live);
    cJSON_AddNumberToObject(json, "confirmed", fleet->confirmed);

    if (fleet->refused > 0) {
        refused = cJSON_AddObjectToObject(json, "refused");
        cJSON_AddNumberToObject(refused, "nodes", fleet->refused);
        cJSON_AddStringToObject(refused, "node", fleet->refusing);
        cJSON_AddStringToObject(refused, "error", fleet->refusal);
    }

    return json;
}


bool
fleet_record(const store_rollout_t *all, int64_t now_ms, int64_t live_ms,
    record_t *record)
{
    bool           live;
    size_t         i;
    record_node_t  node;

    if (all->route.revision > 0
        && record_parse_text(all->route.record, record) == 0)
    {
        record->revision = all->route.revision;
        return true;
    }

    for (i = 0; i < all->node_count; i++) {
        if (fleet_node(&all->nodes[i], now_ms, live_ms, &node, &live) && live)
        {
            *record = node.record;
            record->revision = all->route.revision;
            return true;
        }
    }

    return false;
}


unsigned
fleet_drained(const store_rollout_t *all, int64_t now_ms, int64_t live_ms,
    const char *group, const char *server)
{
    bool           live;
    char           name[SPEC_NAME_LEN + SPEC_TARGET_LEN + 4];
    size_t         i;
    unsigned       count;
    record_node_t  node;

    count = 0;
    snprintf(name, sizeof(name), " %s/%s ", group, server);

    for (i = 0; i < all->node_count; i++) {
        count += fleet_node(&all->nodes[i], now_ms, live_ms, &node, &live)
                 && live && strstr(node.drained, name) != NULL;
    }

    return count;
}


bool
fleet_lives(const store_rollout_t *all, int64_t now_ms, int64_t live_ms,
    const char *name)
{
    bool           live;
    size_t         i;
    record_node_t  node;

    for (i = 0; i < all->node_count; i++) {
        if (strcmp(all->nodes[i].node, name) == 0) {
            return fleet_node(&all->nodes[i], now_ms, live_ms, &node, &live)
                   && live;
        }
    }

    return false;
}
