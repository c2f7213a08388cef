/* When nothing may be started or moved on: windows of the configuration, and
 * the global stop-the-line, which is in Redis. */

#ifndef FREEZE_H
#define FREEZE_H

#include <event2/event.h>

#include "around/settings.h"
#include "store.h"

typedef struct freeze_s  freeze_t;

/* settings are borrowed; their windows' caches are written. */
freeze_t *freeze_new(struct event_base *base, store_t *store,
    settings_t *settings);
void freeze_free(freeze_t *freeze);

/* Why the upstream is frozen, NULL: it is not. */
const char *freeze_why(freeze_t *freeze, const char *upstream);
/* The windows now open and the stop, for the API; the caller owns it. */
cJSON *freeze_json(freeze_t *freeze);
/* The stop was just set (a JSON object) or taken away (NULL) by this one. */
void freeze_set(freeze_t *freeze, const char *stop);

#endif
