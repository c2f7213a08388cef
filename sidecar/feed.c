#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "event.h"
#include "feed_internal.h"

#define FEED_BEAT_S     10


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
        if (client->caught == feed->count && feed->started && client->sure) {
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
void
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


void
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
char *
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
