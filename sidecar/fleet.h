/* The nodes of an upstream as the store gives them.  Pure. */

#ifndef FLEET_H
#define FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "store.h"

typedef struct {
    unsigned  live;
    unsigned  confirmed;           /* live ones that serve `revision` */
    unsigned  tripped;             /* live ones whose guard keeps a group
                                      out */
    uint64_t  highest;             /* revision that a live one serves */
    unsigned  refused;             /* live ones whose nginx refuses
                                      `revision`; of them the first by name,
                                      and what its nginx said: */
    char      refusing[SPEC_NAME_LEN];
    char      refusal[RECORD_NOTE_LEN];
} fleet_t;

void fleet_count(const store_rollout_t *all, int64_t now_ms, int64_t live_ms,
    uint64_t revision, fleet_t *fleet);

/* {"live", "confirmed"}, and "refused": {"nodes", "node", "error"} if there is
 * one that does.  The caller owns it. */
cJSON *fleet_json(const fleet_t *fleet);

/* The record of the route; or, where none was ever written, what a live node
 * serves by its configuration.  False if there is neither. */
bool fleet_record(const store_rollout_t *all, int64_t now_ms,
    int64_t live_ms, record_t *record);

/* A node of the list; false if it makes no sense.  *live may be NULL. */
bool fleet_node(const store_node_t *from, int64_t now_ms, int64_t live_ms,
    record_node_t *node, bool *live);

/* How many live nodes have the group's server drained, with nothing in
 * flight. */
unsigned fleet_drained(const store_rollout_t *all, int64_t now_ms,
    int64_t live_ms, const char *group, const char *server);

/* Is there a live node of that name? */
bool fleet_lives(const store_rollout_t *all, int64_t now_ms, int64_t live_ms,
    const char *node);

#endif
