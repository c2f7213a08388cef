/*
 * The events of all upstreams as they come, for everybody who listens by
 * HTTP (server-sent events).  Redis is only asked while somebody listens, and
 * once for all of them.
 */

#ifndef FEED_H
#define FEED_H

#include <event2/event.h>

#include "auth/identity.h"
#include "config.h"
#include "lib/http_server.h"
#include "store.h"

#define FEED_MAX_CLIENTS  512

typedef struct feed_s  feed_t;

/* All are borrowed; the tick of config may change.  NULL: no memory. */
feed_t *feed_new(struct event_base *base, store_t *store,
    const config_t *config);
/* After http_server_free(), before store_free(). */
void feed_free(feed_t *feed);

/*
 * Answers with the events of an upstream ("": of all), from now on, or from
 * after the event last ("app/1700-0"; "": none).  If that one is not kept, an
 * event of the type gap comes first.  Of the other upstreams some events of
 * just before it may come again.  Only of those that who may see; NULL: all.
 */
void feed_open(feed_t *feed, http_exchange_t *exchange,
    const auth_identity_t *who, const char *upstream, const char *last);

unsigned feed_clients(const feed_t *feed);
/* Readers that were too slow, since the start. */
uint64_t feed_dropped(const feed_t *feed);

#endif
