/* What surrounds rollouts in Redis: events for people, incidents, runs of
 * gates, the stop-the-line.  As in store.h, every call is asynchronous. */

#ifndef STORE_AROUND_H
#define STORE_AROUND_H

#include "store.h"

#define STORE_HERALD_FIELDS  8     /* position, at, type, rollout, revision,
                                      actor, detail, data */

/* Texts in an order that the function says; borrowed. */
typedef void (*store_texts_pt)(void *arg, store_status_t status,
    size_t count, const char *const *texts);

/* New events of an upstream, each STORE_HERALD_FIELDS texts.  Each event is
 * given to one canaryd, and to another if store_heralded() does not follow
 * within a minute. */
void store_herald(store_t *store, const char *upstream, store_texts_pt done,
    void *arg);
void store_heralded(store_t *store, const char *upstream,
    const char *position);

/* An event of an upstream that no rollout commits; nobody waits. */
void store_say(store_t *store, const char *upstream, const char *type,
    const char *rollout, const char *actor, const char *detail,
    const char *data);

typedef struct {
    const char  *upstream;
    const char  *id;
    const char  *key;              /* of those that are open: one each */
    const char  *was;              /* document; NULL: a new incident */
    const char  *doc;
    store_incident_change_t  change;
    const char  *rollout;
    const char  *actor;
    const char  *detail;
} store_incident_t;

/* "opened" and so on; its event is "incident-opened". */
const char *store_incident_change_name(store_incident_change_t change);
/* How many this process has made. */
uint64_t store_incident_changes(const store_t *store,
    store_incident_change_t change);

/* Gives "ok", "there" (open already) or "changed" (was is not what is
 * there), and the document. */
void store_incident_put(store_t *store, const store_incident_t *incident,
    store_texts_pt done, void *arg);
/* Its document; none if it is not there. */
void store_incident_get(store_t *store, const char *upstream, const char *id,
    store_texts_pt done, void *arg);
/* The documents, in no order. */
void store_incidents(store_t *store, const char *upstream,
    store_texts_pt done, void *arg);
/* Those of them that are not resolved; "" where one is gone. */
void store_incidents_open(store_t *store, const char *upstream,
    store_texts_pt done, void *arg);

/* A run of a gate; the last 64 of a rollout are kept, for 90 days. */
void store_gate_put(store_t *store, const char *upstream,
    const char *rollout, const char *run);
/* Their documents, the oldest first. */
void store_gate_list(store_t *store, const char *upstream,
    const char *rollout, store_texts_pt done, void *arg);

/* The global stop-the-line: text NULL takes it away; one text, or none. */
void store_stop_put(store_t *store, const char *text, store_texts_pt done,
    void *arg);
void store_stop_get(store_t *store, store_texts_pt done, void *arg);

#endif
