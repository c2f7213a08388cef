/*
 * Looks at the incidents that are open, of all upstreams: counts them for
 * the metrics and escalates those that nobody acknowledges.
 */

#ifndef INCIDENT_WATCH_H
#define INCIDENT_WATCH_H

#include <event2/event.h>

#include "around/settings.h"
#include "store.h"

typedef struct incident_watch_s  incident_watch_t;

typedef struct {
    const char  *upstream;
    unsigned     open;             /* nobody has acknowledged them */
    unsigned     acknowledged;     /* and not resolved */
} incident_counts_t;

/* All are borrowed.  NULL: no memory. */
incident_watch_t *incident_watch_new(struct event_base *base, store_t *store,
    const settings_t *settings);
void incident_watch_free(incident_watch_t *watch);

/* Of the number-th upstream, as they were a few seconds ago; false beyond
 * the last, and for all as long as Redis cannot be read. */
bool incident_watch_counts(const incident_watch_t *watch, unsigned number,
    incident_counts_t *counts);

#endif
