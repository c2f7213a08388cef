/*
 * The feed from within: feed.c reads Redis' streams, feed_client.c serves who
 * listens.
 */

#ifndef FEED_INTERNAL_H
#define FEED_INTERNAL_H

#include "feed.h"
#include "lib/http_stream.h"

#define FEED_PAGE       50         /* entries that are read at once */

typedef struct {
    feed_t  *feed;
    char     name[SPEC_NAME_LEN];
    char     position[STORE_POSITION_LEN];     /* sent up to there */
    bool     known;                /* the position is */
    bool     reading;
    bool     again;
} feed_upstream_t;

typedef struct feed_client_s  feed_client_t;

struct feed_client_s {
    feed_t          *feed;
    feed_client_t   *prev;
    feed_client_t   *next;
    http_stream_t   *stream;       /* NULL: gone, waits for a reply */
    bool             open;         /* its answer has begun */
    auth_identity_t  who;
    char             upstream[SPEC_NAME_LEN];  /* "": all */
    char             last[SPEC_NAME_LEN];      /* that `after` is of */
    char             after[STORE_POSITION_LEN];    /* "": only what is new */

    bool             sure;         /* whether `after` is kept; it is told if
                                      not, before anything else */

    /* Of the upstreams before this one it gets what is new; of this one and
     * those after it first its history. */
    unsigned         caught;
    char             position[STORE_POSITION_LEN];
    bool             begun;        /* position is of upstream `caught` */
    bool             reading;
    struct event    *drain;
};

struct feed_s {
    struct event_base   *base;
    store_t             *store;
    const config_t      *config;
    struct event        *timer;
    struct event        *beat;
    bool                 naming;   /* names are being read */
    bool                 started;  /* all positions are known */
    unsigned             count;
    feed_upstream_t    **upstreams;
    unsigned             client_count;
    feed_client_t       *clients;
    uint64_t             dropped;
};

/* feed.c: somebody listens; nobody does any more. */
void feed_wake(feed_t *feed);
void feed_sleep(feed_t *feed);
/* An entry as an event of the stream, to be freed by the caller. */
char *feed_text(const char *upstream, const store_entry_t *entry);

/* feed_client.c.  The answer begins. */
void feed_hello(feed_client_t *client);
/* Reads on in its history, if there is room. */
void feed_catch(feed_client_t *client);
bool feed_wants(const feed_client_t *client, const char *upstream);
/* Drops a client that is too slow; text stays the caller's. */
void feed_send(feed_client_t *client, const char *text);
void feed_client_free(feed_client_t *client);

#endif
