/*
 * The herald reads the events of all upstreams, each event in one canaryd
 * (at least once), and does what follows from it: it opens incidents, tells
 * people, calls `event` hooks.
 */

#ifndef HERALD_H
#define HERALD_H

#include <event2/event.h>

#include "around/settings.h"
#include "lib/log.h"
#include "notify.h"
#include "runner.h"
#include "store.h"

typedef struct herald_s  herald_t;

/* All are borrowed.  NULL: no memory. */
herald_t *herald_new(struct event_base *base, log_t *log, store_t *store,
    const settings_t *settings, notify_t *notify, runner_t *runner,
    const char *node);
void herald_free(herald_t *herald);

#endif
