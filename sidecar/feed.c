/* long: one way, from Redis' streams to each client. */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "event.h"
#include "feed.h"
#include "lib/http_stream.h"
#include "release.h"

#define FEED_PAGE       50         /* entries that are read at once */
#define FEED_BUFFER     (1024 * 1024)
#define FEED_FULL       (128 * 1024)   /* no more history before it is less */
#define FEED_DRAIN_MS   20
#define FEED_BEAT_S     10
#define FEED_OVERLAP    2000       /* ms: Redis has one clock, but streams are
                                      not read at one moment */

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


static void feed_ready(void *arg);
static void feed_change(void *arg, const char *upstream, uint64_t revision);
static void feed_tick(evutil_socket_t fd, short what, void *arg);
static void feed_beat(evutil_socket_t fd, short what, void *arg);
static void feed_names(void *arg, store_status_t status, size_t count,
    const char *const *names);
static void feed_last(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries);
static void feed_read(feed_upstream_t *u);
static void feed_got(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries);
static void feed_hello(feed_client_t *client);
static void feed_gone(void *arg);
static void feed_catch(feed_client_t *client);
static void feed_caught(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries);
static void feed_drained(evutil_socket_t fd, short what, void *arg);


feed_t *
feed_new(struct event_base *base, store_t *store, const config_t *config)
{
    feed_t            *feed;
    store_listener_t   listener = { .ready = feed_ready,
                                    .change = feed_change };

    feed = calloc(1, sizeof(feed_t));
    if (feed == NULL) {
        return NULL;
    }

    feed->base = base;
    feed->store = store;
    feed->config = config;
    feed->timer = event_new(base, -1, EV_PERSIST, feed_tick, feed);
    feed->beat = event_new(base, -1, EV_PERSIST, feed_beat, feed);
    listener.arg = feed;

    if (feed->timer == NULL || feed->beat == NULL
        || store_listen(store, &listener) != 0)
    {
        feed_free(feed);
        return NULL;
    }

    return feed;
}


static void
feed_client_free(feed_client_t *client)
{
    feed_t  *feed = client->feed;

    if (client->prev != NULL) {
        client->prev->next = client->next;

    } else {
        feed->clients = client->next;
    }

    if (client->next != NULL) {
        client->next->prev = client->prev;
    }

    if (client->drain != NULL) {
        event_free(client->drain);
    }

    free(client);
}


void
feed_free(feed_t *feed)
{
    unsigned        i;
    feed_client_t  *client, *next;

    if (feed == NULL) {
        return;
    }

    for (client = feed->clients; client != NULL; client = next) {
        next = client->next;
        feed_client_free(client);
    }

    for (i = 0; i < feed->count; i++) {
        free(feed->upstreams[i]);
    }

    free(feed->upstreams);

    if (feed->timer != NULL) {
        event_free(feed->timer);
    }

    if (feed->beat != NULL) {
        event_free(feed->beat);
    }

    free(feed);
}


unsigned
feed_clients(const feed_t *feed)
{
    return feed->client_count;
}


uint64_t
feed_dropped(const feed_t *feed)
{
    return feed->dropped;
}


/* --- upstreams and their positions --- */

static feed_upstream_t *
feed_find(const feed_t *feed, const char *name)
{
    unsigned  i;

    for (i = 0; i < feed->count; i++) {
        if (strcmp(feed->upstreams[i]->name, name) == 0) {
            return feed->upstreams[i];
        }
    }

    return NULL;
}


/* Nobody has got anything of it. */
static feed_upstream_t *
feed_add(feed_t *feed, const char *name)
{
    feed_client_t     *client;
    feed_upstream_t   *u, **list;

    u = calloc(1, sizeof(feed_upstream_t));
    list = realloc(feed->upstreams,
                   (feed->count + 1) * sizeof(feed_upstream_t *));

    if (u == NULL || list == NULL) {
        abort();
    }

    u->feed = feed;
    text_copy(u->name, sizeof(u->name), name);

    for (client = feed->clients; client != NULL; client = client->next) {
        if (client->caught == feed->count && feed->started) {
            client->caught++;
        }
    }

    feed->upstreams = list;
    feed->upstreams[feed->count++] = u;

    return u;
}


static void
feed_ask(feed_t *feed)
{
    if (!feed->naming && store_ready(feed->store)) {
        feed->naming = true;
        store_names(feed->store, feed_names, feed);
    }
}


static void
feed_tick(evutil_socket_t fd, short what, void *arg)
{
    feed_t         *feed = arg;
    feed_client_t  *client;

    feed_ask(feed);

    /* Without Redis it cannot be said from when on, but that it will. */
    for (client = feed->clients;
         client != NULL && !store_ready(feed->store);
         client = client->next)
    {
        feed_hello(client);
    }
}


static void
feed_ready(void *arg)
{
    feed_t  *feed = arg;

    if (feed->client_count > 0) {
        feed_ask(feed);
    }
}


static void
feed_change(void *arg, const char *upstream, uint64_t revision)
{
    feed_t           *feed = arg;
    feed_upstream_t  *u;

    if (feed->client_count == 0 || !feed->started) {
        return;
    }

    u = feed_find(feed, upstream);

    if (u == NULL) {
        /* The next names bring it, with all that happened. */
        feed_ask(feed);
        return;
    }

    feed_read(u);
}


/* While nobody listens nothing is asked, and no position is kept. */
static void
feed_wake(feed_t *feed)
{
    int             ms = feed->config->tick_ms;
    unsigned        i;
    struct timeval  tick = { ms / 1000, ms % 1000 * 1000 };
    struct timeval  beat = { FEED_BEAT_S, 0 };

    feed->started = false;

    for (i = 0; i < feed->count; i++) {
        feed->upstreams[i]->known = false;
    }

    event_add(feed->timer, &tick);
    event_add(feed->beat, &beat);
    feed_ask(feed);
}


static void
feed_sleep(feed_t *feed)
{
    feed->started = false;
    event_del(feed->timer);
    event_del(feed->beat);
}


static void
feed_start(feed_t *feed)
{
    unsigned        i;
    feed_client_t  *client;

    for (i = 0; i < feed->count; i++) {
        if (!feed->upstreams[i]->known) {
            return;
        }
    }

    feed->started = true;

    for (client = feed->clients; client != NULL; client = client->next) {
        if (client->after[0] == '\0') {
            client->caught = feed->count;
        }

        if (client->stream != NULL) {
            feed_hello(client);
            feed_catch(client);
        }
    }
}


static void
feed_names(void *arg, store_status_t status, size_t count,
    const char *const *names)
{
    bool              started;
    feed_t           *feed = arg;
    size_t            i;
    unsigned          k;
    feed_upstream_t  *u;

    feed->naming = false;

    if (status != STORE_OK || feed->client_count == 0) {
        return;
    }

    started = feed->started;

    for (i = 0; i < count; i++) {
        if (feed_find(feed, names[i]) == NULL) {
            u = feed_add(feed, names[i]);

            /* It came while we were listening: all of it is new. */
            if (started) {
                strcpy(u->position, "0-0");
                u->known = true;
            }
        }
    }

    if (started) {
        for (k = 0; k < feed->count; k++) {
            feed_read(feed->upstreams[k]);
        }
        return;
    }

    for (k = 0; k < feed->count; k++) {
        u = feed->upstreams[k];

        if (!u->known && !u->reading) {
            u->reading = true;
            store_last_event(feed->store, u->name, feed_last, u);
        }
    }

    feed_start(feed);
}


static void
feed_last(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries)
{
    feed_upstream_t  *u = arg;

    u->reading = false;

    /* If it failed, the next tick asks again. */
    if (status != STORE_OK || u->feed->started || u->known) {
        return;
    }

    text_copy(u->position, sizeof(u->position),
              count > 0 ? entries[0].position : "0-0");
    u->known = true;
    feed_start(u->feed);
}


/* --- what is new --- */

static void
feed_read(feed_upstream_t *u)
{
    if (u->reading) {
        u->again = true;
        return;
    }

    u->reading = true;
    u->again = false;
    store_events(u->feed->store, u->name, u->position, FEED_PAGE, feed_got,
                 u);
}


/* "id: ..", "event: ..", "data: .."; the caller frees it. */
static char *
feed_text(const char *upstream, const store_entry_t *entry)
{
    char    *text, *data, type[32];
    cJSON   *json;
    size_t   size;

    json = event_json(upstream, entry);
    data = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (data == NULL) {
        abort();
    }

    text_copy(type, sizeof(type), entry->type);
    size = strlen(data) + EVENT_ID_LEN + sizeof(type) + 32;
    text = malloc(size);

    if (text == NULL) {
        abort();
    }

    snprintf(text, size, "id: %s/%s\nevent: %s\ndata: %s\n\n", upstream,
             entry->position, type, data);
    cJSON_free(data);

    return text;
}


static void
feed_send(feed_client_t *client, const char *text)
{
    if (client->stream != NULL && client->open
        && !http_stream_send(client->stream, text, strlen(text)))
    {
        client->feed->dropped++;
        /* feed_gone() comes. */
    }
}


static bool
feed_wants(const feed_client_t *client, const char *upstream)
{
    return (client->upstream[0] == '\0'
            || strcmp(client->upstream, upstream) == 0)
           && auth_may(&client->who, upstream);
}


static unsigned
feed_number(const feed_upstream_t *u)
{
    unsigned  i;

    for (i = 0; u->feed->upstreams[i] != u; i++) {
        /* void */
    }

    return i;
}


static void
feed_got(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries)
{
    char             *text;
    feed_t           *feed;
    size_t            i;
    unsigned          number;
    feed_client_t    *client;
    feed_upstream_t  *u = arg;

    feed = u->feed;
    u->reading = false;

    if (status != STORE_OK || feed->client_count == 0 || !feed->started) {
        return;
    }

    number = feed_number(u);

    for (i = 0; i < count; i++) {
        text = feed_text(u->name, &entries[i]);

        for (client = feed->clients; client != NULL; client = client->next) {
            if (number < client->caught && feed_wants(client, u->name)) {
                feed_send(client, text);
            }
        }

        free(text);
        text_copy(u->position, sizeof(u->position), entries[i].position);
    }

    if (count == FEED_PAGE || u->again) {
        feed_read(u);
    }
}


static void
feed_beat(evutil_socket_t fd, short what, void *arg)
{
    feed_t         *feed = arg;
    feed_client_t  *client;

    for (client = feed->clients; client != NULL; client = client->next) {
        feed_send(client, ": \n\n");
    }
}


/* --- clients --- */

void
feed_open(feed_t *feed, http_exchange_t *exchange,
    const auth_identity_t *who, const char *upstream, const char *last)
{
    feed_client_t  *client;

    if (feed->client_count == FEED_MAX_CLIENTS) {
        http_answer_problem(exchange->request, 503, NULL, "too many listen "
                            "to the events of this canaryd already: try "
                            "another one", NULL);
        return;
    }

    client = calloc(1, sizeof(feed_client_t));

    if (client != NULL) {
        client->drain = event_new(feed->base, -1, 0, feed_drained, client);
    }

    if (client == NULL || client->drain == NULL) {
        free(client);
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        return;
    }

    client->feed = feed;

    if (who != NULL) {
        client->who = *who;
    }

    text_copy(client->upstream, sizeof(client->upstream), upstream);

    if (last[0] != '\0') {
        (void) event_id_parse(last, client->last, client->after);
    }

    client->stream = http_stream_new(exchange, "text/event-stream",
                                     FEED_BUFFER, feed_gone, client);
    if (client->stream == NULL) {
        event_free(client->drain);
        free(client);
        return;
    }

    client->next = feed->clients;

    if (client->next != NULL) {
        client->next->prev = client;
    }

    feed->clients = client;
    feed->client_count++;

    if (feed->client_count == 1) {
        feed_wake(feed);

    } else if (feed->started) {
        if (client->after[0] == '\0') {
            client->caught = feed->count;
        }

        feed_hello(client);
        feed_catch(client);
    }
}


/* Who has got this misses nothing from here on. */
static void
feed_hello(feed_client_t *client)
{
    if (client->stream != NULL && !client->open) {
        client->open = true;
        http_stream_begin(client->stream);
        feed_send(client, "retry: 2000\n\n");
    }
}


static void
feed_gone(void *arg)
{
    feed_t         *feed;
    feed_client_t  *client = arg;

    feed = client->feed;
    client->stream = NULL;

    if (--feed->client_count == 0) {
        feed_sleep(feed);
    }

    if (!client->reading) {
        feed_client_free(client);
    }
}


/* Where the history of an upstream begins. */
static void
feed_begin(feed_client_t *client, const feed_upstream_t *u)
{
    unsigned long long  ms;

    client->begun = true;

    if (strcmp(u->name, client->last) == 0) {
        strcpy(client->position, client->after);
        return;
    }

    ms = strtoull(client->after, NULL, 10);
    snprintf(client->position, sizeof(client->position), "%llu-0",
             ms > FEED_OVERLAP ? ms - FEED_OVERLAP : 0);
}


/* The history of the next upstream, or more of this one's. */
static void
feed_catch(feed_client_t *client)
{
    feed_t           *feed = client->feed;
    struct timeval    pause = { 0, FEED_DRAIN_MS * 1000 };
    feed_upstream_t  *u;

    while (feed->started && !client->reading && client->caught < feed->count)
    {
        u = feed->upstreams[client->caught];

        if (!feed_wants(client, u->name)) {
            client->caught++;
            continue;
        }

        if (!client->begun) {
            feed_begin(client, u);
        }

        if (http_stream_waiting(client->stream) > FEED_FULL) {
            event_add(client->drain, &pause);
            return;
        }

        client->reading = true;
        store_events(feed->store, u->name, client->position, FEED_PAGE,
                     feed_caught, client);
    }
}


static void
feed_drained(evutil_socket_t fd, short what, void *arg)
{
    feed_client_t  *client = arg;

    if (client->stream != NULL) {
        feed_catch(client);
    }
}


static void
feed_caught(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries)
{
    char             *text;
    size_t            i;
    feed_t           *feed;
    feed_client_t    *client = arg;
    struct timeval    later = { 1, 0 };
    feed_upstream_t  *u;

    feed = client->feed;
    client->reading = false;

    if (client->stream == NULL) {
        feed_client_free(client);
        return;
    }

    if (status != STORE_OK) {
        event_add(client->drain, &later);
        return;
    }

    u = feed->upstreams[client->caught];

    for (i = 0; i < count; i++) {
        text = feed_text(u->name, &entries[i]);
        feed_send(client, text);
        free(text);
        text_copy(client->position, sizeof(client->position),
                  entries[i].position);
    }

    /* Everybody may have got something meanwhile that is not in here. */
    if (count < FEED_PAGE && feed->started
        && !evidence_after(u->position, client->position))
    {
        client->caught++;
        client->begun = false;
    }

    feed_catch(client);
}
