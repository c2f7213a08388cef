/*
 * Incidents: something that a person should look at.  Each is a JSON document
 * in Redis (docs/redis.md), of one upstream; of one cause only one is open.
 */

#ifndef INCIDENT_H
#define INCIDENT_H

#include <cjson/cJSON.h>

#include "around/settings.h"
#include "release.h"
#include "store_around.h"

#define INCIDENT_KEY_LEN  256

typedef enum {                     /* in the order of settings_t.runbooks */
    INCIDENT_REVERT = 0,
    INCIDENT_GUARD,
    INCIDENT_ALERT,
    INCIDENT_SERVER
} incident_kind_t;

typedef enum {
    INCIDENT_ACKNOWLEDGE = 0,
    INCIDENT_RESOLVE,
    INCIDENT_ESCALATE
} incident_change_t;

typedef struct {
    const char       *upstream;
    incident_kind_t   kind;
    const char       *key;         /* of the cause */
    severity_t        severity;
    const char       *rollout;     /* "": none */
    const char       *actor;
    const char       *title;
} incident_new_t;

/* Opens one, unless one of that key is open; gives "ok" or "there" and its
 * document.  done may be NULL. */
void incident_open(store_t *store, const settings_t *settings,
    const incident_new_t *incident, store_texts_pt done, void *arg);

/*
 * Changes the document `was` (as it is in Redis); gives "ok" or "changed",
 * and the document.  -1: it does not fit its state, with the reason (at least
 * 128 bytes), and nothing is begun.
 */
int incident_change(store_t *store, const char *was,
    incident_change_t change, const char *actor, const char *reason,
    store_texts_pt done, void *arg, char *error);

/* Is it time that more people hear of it? */
bool incident_due(const settings_t *settings, const cJSON *doc,
    int64_t now_ms);

/* As people see it: times as texts; the caller owns it. */
cJSON *incident_json(const char *doc);

#endif
