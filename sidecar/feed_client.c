/* Who listens: first what it missed, then what comes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "event.h"
#include "feed_internal.h"
#include "release.h"

#define FEED_BUFFER     (1024 * 1024)
#define FEED_FULL       (128 * 1024)   /* no more history before it is less */
#define FEED_DRAIN_MS   20
#define FEED_OVERLAP    2000       /* ms: Redis has one clock, but streams are
                                      not read at one moment */


static void feed_gone(void *arg);
static void feed_check(feed_client_t *client);
static void feed_kept(void *arg, store_status_t status, bool kept,
    const char *oldest);
static void feed_gap(feed_client_t *client, const char *oldest);
static void feed_caught(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries);
static void feed_drained(evutil_socket_t fd, short what, void *arg);;


void
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
feed_send(feed_client_t *client, const char *text)
{
    if (client->stream != NULL && client->open
        && !http_stream_send(client->stream, text, strlen(text)))
    {
        client->feed->dropped++;
        /* feed_gone() comes. */
    }
}


bool
feed_wants(const feed_client_t *client, const char *upstream)
{
    return (client->upstream[0] == '\0'
            || strcmp(client->upstream, upstream) == 0)
           && auth_may(&client->who, upstream);
}


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

    /* No event has the id 0-0: who asks for that wants what there is. */
    client->sure = last[0] == '\0' || strcmp(client->after, "0-0") == 0;

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
void
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


/*
 * An event that is not kept was trimmed away, or lost with a Redis: what came
 * after it may be, too.  That upstream's other events may still be there, so
 * that the history alone would not show it.
 */
static void
feed_check(feed_client_t *client)
{
    /* Nobody learns what there is of an upstream that he may not see. */
    if (!auth_may(&client->who, client->last)) {
        feed_gap(client, NULL);
        return;
    }

    client->reading = true;
    store_event_kept(client->feed->store, client->last, client->after,
                     feed_kept, client);
}


/* False: the client has gone, or will be looked after in a second. */
static bool
feed_replied(feed_client_t *client, store_status_t status)
{
    struct timeval  later = { 1, 0 };

    client->reading = false;

    if (client->stream == NULL) {
        feed_client_free(client);
        return false;
    }

    if (status != STORE_OK) {
        event_add(client->drain, &later);
        return false;
    }

    return true;
}


static void
feed_kept(void *arg, store_status_t status, bool kept, const char *oldest)
{
    feed_client_t  *client = arg;

    if (!feed_replied(client, status)) {
        return;
    }

    client->sure = kept;

    if (!kept) {
        feed_gap(client, oldest);
    }

    feed_catch(client);
}


/* Without an id: who comes again before an event is told again. */
static void
feed_gap(feed_client_t *client, const char *oldest)
{
    char   *data, *text;
    cJSON  *json;
    size_t  size;

    json = event_gap_json(client->last, client->after, oldest);
    data = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (data == NULL) {
        abort();
    }

    size = strlen(data) + sizeof("event: " EVENT_GAP "\ndata: \n\n");
    text = malloc(size);

    if (text == NULL) {
        abort();
    }

    snprintf(text, size, "event: " EVENT_GAP "\ndata: %s\n\n", data);
    cJSON_free(data);

    client->sure = true;
    feed_send(client, text);
    free(text);
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
void
feed_catch(feed_client_t *client)
{
    feed_t           *feed = client->feed;
    struct timeval    pause = { 0, FEED_DRAIN_MS * 1000 };
    feed_upstream_t  *u;

    if (feed->started && !client->reading && !client->sure) {
        feed_check(client);
    }

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
    feed_upstream_t  *u;

    feed = client->feed;
    if (!feed_replied(client, status)) {
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
