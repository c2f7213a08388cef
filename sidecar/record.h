/*
 * The routing record, as nginx's API has it (docs/nginx-api.md), and what a
 * node says about itself.  Pure.
 */

#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/rollout.h"
#include "core/spec.h"

#define RECORD_MAX_GROUPS  8
#define RECORD_SALT_LEN    65      /* with NUL */
#define RECORD_NOTE_LEN    256
#define RECORD_RULES_LEN   17408   /* as many as nginx takes */
#define RECORD_NODES_LEN   4608    /* SPEC_MAX_STAGES names as a JSON list */
#define RECORD_DRAIN_LEN   1024

typedef struct {
    char        name[SPEC_NAME_LEN];
    unsigned    weight;            /* 0..10000 */
} record_group_t;

typedef struct {
    uint64_t        revision;      /* 0: nginx's default */
    char            stable[SPEC_NAME_LEN];
    char            canary[SPEC_NAME_LEN];   /* "": not said */
    char            salt[RECORD_SALT_LEN];
    int64_t         lease_ms;      /* 0: no lease */
    unsigned        group_count;
    record_group_t  groups[RECORD_MAX_GROUPS];
    spec_guard_t    guard;         /* of guarded, if on */
    char            guarded[SPEC_NAME_LEN];

    /* JSON as it stands in the record; "": not there.  Only agents read the
     * last two: which nodes serve it, others serve stable alone; and which
     * servers are drained, of each group that is named. */
    char            rules[RECORD_RULES_LEN];
    char            nodes[RECORD_NODES_LEN];
    char            drain[RECORD_DRAIN_LEN];
} record_t;

/* 0, or -1 if it is no record; unknown members are left out. */
int record_parse(const cJSON *json, record_t *record);
int record_parse_text(const char *text, record_t *record);
/* The caller owns it; NULL: no memory. */
cJSON *record_print(const record_t *record);
/* The same as text, to be freed by the caller; never NULL. */
char *record_text(const record_t *record);

/* The same weights, for as long: what nginx has to have of what Redis says. */
bool record_same(const record_t *a, const record_t *b);
/* Also the same rules, guard, nodes and drained servers. */
bool record_equal(const record_t *a, const record_t *b);

/* What a node puts to its nginx of a record. */
void record_localize(record_t *record, const char *node);

/* Does drain name the group; and is the server (either name of it) among
 * those that it drains? */
bool record_drains(const char *drain, const char *group, const char *server,
    const char *address, bool *drained);

/* Anything for a group other than stable? */
bool record_has_canary(const record_t *record);

/* Everything to stable, for good; revision and salt stay. */
void record_revert(record_t *record);

/* NULL if the record does not name it. */
const record_group_t *record_group(const record_t *record, const char *name);
/* Those without a weight that are not members of groups. */
void record_forget(record_t *record, const cJSON *groups);
/* One that is not named yet. */
void record_add_group(record_t *record, const char *name, unsigned weight);

/* The weight of a group in a stratum: 0 is the record's own weights, the
 * others are those of its rules with weights, in their order.  Rules may name
 * a group by its role. */
unsigned record_share(const record_t *record, unsigned stratum,
    const char *name);

/* What a rollout wants in place of what *record says.  Its id is the salt,
 * or as much of its end as a salt may have. */
void record_route(record_t *record, const rollout_spec_t *spec,
    const char *stable, const char *id, const rollout_routing_t *routing);

/* --- what a node reports --- */

typedef struct {
    int64_t     at_ms;             /* by store_now() */
    record_t    record;            /* that it serves */
    char        boot[32];
    bool        lapsed;            /* the lease ran out: stable is served */
    char        tripped[SPEC_NAME_LEN];   /* the guard keeps it out; "" */
    char        drained[RECORD_DRAIN_LEN];   /* " group/server ", each that is
                                      drained and has nothing in flight */
    uint64_t    refused;           /* revision that its nginx refused, or has
                                      not all groups of; 0: it serves, or has
                                      not tried, a later one */
    char        error[RECORD_NOTE_LEN];   /* what nginx said of it; "" */
} record_node_t;

char *record_node_text(const record_node_t *node);
int record_node_parse(const char *text, record_node_t *node);

/* A node that was seen not longer ago than this is live. */
int64_t record_live_ms(int64_t tick_ms);

#endif
