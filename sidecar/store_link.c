/*
 * One connection to Redis: resolve, connect, be lost, wait, again.
 *
 * hiredis 0.14 must not be asked to disconnect or free inside its own
 * callbacks, has no timeouts, and may lose the connection at any call.  So
 * the state is kept here, every limit is an own timer, and a connection is
 * torn down only from that timer.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/util.h>
#include <hiredis/adapters/libevent.h>

#include "clock.h"
#include "core/text.h"
#include "store_internal.h"

#define LINK_CONNECT_MS   2000     /* resolving and setup included */
#define LINK_COMMAND_MS   2000
#define LINK_CHECK_MS     500
#define LINK_BACKOFF_MIN  100
#define LINK_BACKOFF_MAX  2000
#define LINK_SILENCE_MS   5000     /* without an own beat: subscriber */


static void store_link_timer(evutil_socket_t fd, short what, void *arg);
static void store_link_begin(store_link_t *link);
static void store_link_resolve(store_link_t *link);
static void store_link_resolved(int result, struct evutil_addrinfo *list,
    void *arg);
static void store_link_connect(store_link_t *link, const char *address);
static void store_link_connected(const redisAsyncContext *context,
    int status);
static void store_link_disconnected(const redisAsyncContext *context,
    int status);
static void store_link_ask(store_link_t *link);
static void store_link_answer(redisAsyncContext *context, void *reply,
    void *data);
static void store_link_lost(store_link_t *link, const char *why);


static void
store_link_arm(store_link_t *link, int ms)
{
    struct timeval  tv = { ms / 1000, ms % 1000 * 1000 };

    event_add(link->timer, &tv);
}


void
store_link_start(store_link_t *link)
{
    link->timer = event_new(link->store->base, -1, 0, store_link_timer, link);
    if (link->timer == NULL) {
        abort();
    }

    link->backoff_ms = LINK_BACKOFF_MIN;
    link->state = LINK_IDLE;
    store_link_arm(link, 0);
}


static void
store_link_timer(evutil_socket_t fd, short what, void *arg)
{
    store_link_t       *link = arg;
    int64_t             limit;
    redisAsyncContext  *context;

    switch (link->state) {

    case LINK_IDLE:
        store_link_begin(link);
        return;

    case LINK_RESOLVING:
        /* Calls back with EVUTIL_EAI_CANCEL, now or soon. */
        if (link->resolving != NULL) {
            evdns_getaddrinfo_cancel(link->resolving);
        }
        return;

    case LINK_CONNECTING:
    case LINK_ASKING:
    case LINK_SETUP:
        store_link_close(link, "timed out while connecting");
        return;

    case LINK_READY:
        limit = link->subscriber ? LINK_SILENCE_MS : LINK_COMMAND_MS;

        if ((link->waiting > 0 || link->subscriber)
            && clock_mono_ms() - link->heard_ms > limit)
        {
            store_link_close(link, "no answer in time");
            return;
        }

        store_link_arm(link, LINK_CHECK_MS);
        return;

    case LINK_CLOSING:
        context = link->context;
        link->context = NULL;
        link->waiting = 0;

        if (context != NULL) {
            context->data = NULL;
            /* NULL replies for all that wait. */
            redisAsyncFree(context);
        }

        link->state = LINK_IDLE;
        store_link_arm(link, link->told ? 0 : link->backoff_ms);
        return;
    }
}


/* Where to: the only address, the master that a sentinel has just named, or
 * the next sentinel. */
static void
store_link_begin(store_link_t *link)
{
    store_t  *store = link->store;

    if (store->sentinel_count == 0) {
        text_copy(link->peer.host, sizeof(link->peer.host), store->host);
        link->peer.port = store->port;

    } else if (!link->told) {
        link->peer = store->sentinels[link->sentinel++
                                      % store->sentinel_count];
    }

    store_link_resolve(link);
}


static void
store_link_resolve(store_link_t *link)
{
    store_t                *store = link->store;
    unsigned char           addr[sizeof(struct in6_addr)];
    struct evutil_addrinfo  hints;

    if (store->socket[0] != '\0'
        || inet_pton(AF_INET, link->peer.host, addr) == 1
        || inet_pton(AF_INET6, link->peer.host, addr) == 1)
    {
        store_link_connect(link, link->peer.host);
        return;
    }

    if (store->dns == NULL) {
        store->dns = evdns_base_new(store->base,
                                    EVDNS_BASE_INITIALIZE_NAMESERVERS
                                    |EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (store->dns == NULL) {
            store_link_lost(link, "no resolver: see /etc/resolv.conf");
            return;
        }
    }

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_protocol = IPPROTO_TCP;

    link->state = LINK_RESOLVING;
    store_link_arm(link, LINK_CONNECT_MS);

    /* May call back before it returns, then it gives NULL. */
    link->resolving = evdns_getaddrinfo(store->dns, link->peer.host, NULL,
                                        &hints, store_link_resolved, link);
}


static void
store_link_resolved(int result, struct evutil_addrinfo *list, void *arg)
{
    char                     address[INET6_ADDRSTRLEN];
    unsigned                 count, skip;
    const void              *addr;
    store_link_t            *link = arg;
    struct evutil_addrinfo  *ai;

    link->resolving = NULL;

    if (link->store->freeing || link->state != LINK_RESOLVING) {
        goto done;
    }

    if (result != 0 || list == NULL) {
        store_link_lost(link, result == EVUTIL_EAI_CANCEL
                              ? "timed out while resolving the name"
                              : evutil_gai_strerror(result));
        goto done;
    }

    /* Each attempt takes the next address. */
    count = 0;
    for (ai = list; ai != NULL; ai = ai->ai_next) {
        count++;
    }

    skip = link->attempt++ % count;
    for (ai = list; skip > 0; ai = ai->ai_next) {
        skip--;
    }

    addr = ai->ai_family == AF_INET6
           ? (const void *) &((struct sockaddr_in6 *) (void *)
                              ai->ai_addr)->sin6_addr
           : (const void *) &((struct sockaddr_in *) (void *)
                              ai->ai_addr)->sin_addr;

    if (inet_ntop(ai->ai_family, addr, address, sizeof(address)) == NULL) {
        store_link_lost(link, "the name has no usable address");
        goto done;
    }

    store_link_connect(link, address);

done:

    if (list != NULL) {
        evutil_freeaddrinfo(list);
    }
}


static void
store_link_connect(store_link_t *link, const char *address)
{
    int                 on = 1;
    store_t            *store = link->store;
    redisAsyncContext  *context;

    context = store->socket[0] != '\0'
              ? redisAsyncConnectUnix(store->socket)
              : redisAsyncConnect(address, link->peer.port);

    if (context == NULL) {
        store_link_lost(link, "out of memory");
        return;
    }

    if (context->err) {
        store_link_lost(link, context->errstr);
        redisAsyncFree(context);
        return;
    }

    if (store->socket[0] == '\0') {
        (void) setsockopt(context->c.fd, IPPROTO_TCP, TCP_NODELAY, &on,
                          sizeof(on));
        (void) setsockopt(context->c.fd, SOL_SOCKET, SO_KEEPALIVE, &on,
                          sizeof(on));
    }

    if (store->tls != NULL
        && redis_tls_start(store->tls, &context->c, link->peer.host) != 0)
    {
        store_link_lost(link, "TLS cannot be begun");
        redisAsyncFree(context);
        return;
    }

    context->data = link;
    link->context = context;
    link->state = LINK_CONNECTING;
    store_link_arm(link, LINK_CONNECT_MS);

    if (redisLibeventAttach(context, store->base) != REDIS_OK
        || redisAsyncSetConnectCallback(context, store_link_connected)
           != REDIS_OK
        || redisAsyncSetDisconnectCallback(context, store_link_disconnected)
           != REDIS_OK)
    {
        store_link_close(link, "out of memory");
    }
}


static void
store_link_connected(const redisAsyncContext *context, int status)
{
    store_link_t  *link = context->data;

    if (link == NULL || link->state != LINK_CONNECTING) {
        return;
    }

    if (status != REDIS_OK) {
        /* hiredis frees the context as soon as this returns. */
        link->context = NULL;
        store_link_lost(link, context->errstr);
        return;
    }

    link->heard_ms = clock_mono_ms();

    if (link->store->sentinel_count > 0 && !link->told) {
        store_link_ask(link);
        return;
    }

    link->state = LINK_SETUP;
    store_link_setup(link);
}


static void
store_link_ask(store_link_t *link)
{
    link->state = LINK_ASKING;

    if (redisAsyncCommand(link->context, store_link_answer, link,
                          "SENTINEL get-master-addr-by-name %s",
                          link->store->master)
        != REDIS_OK)
    {
        store_link_close(link, "lost");
    }
}


static void
store_link_answer(redisAsyncContext *context, void *data, void *arg)
{
    redisReply    *reply = data;
    const char    *host, *port;
    store_link_t  *link = arg;

    if (context->data == NULL || reply == NULL
        || link->state != LINK_ASKING)
    {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        store_link_close(link, reply->str);
        return;
    }

    host = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
           ? store_text(reply->element[0]) : NULL;
    port = host != NULL ? store_text(reply->element[1]) : NULL;

    if (port == NULL || strlen(host) >= sizeof(link->peer.host)
        || atoi(port) <= 0 || atoi(port) > 65535)
    {
        store_link_close(link, "the sentinel knows no such master");
        return;
    }

    text_copy(link->peer.host, sizeof(link->peer.host), host);
    link->peer.port = atoi(port);
    link->told = true;

    /* Nothing is wrong: on to the master, as soon as this is down. */
    link->state = LINK_CLOSING;
    store_link_arm(link, 0);
}


/* hiredis frees the context as soon as this returns. */
static void
store_link_disconnected(const redisAsyncContext *context, int status)
{
    store_link_t  *link = context->data;

    if (link == NULL) {
        return;
    }

    link->context = NULL;
    link->waiting = 0;

    if (link->state != LINK_CLOSING) {
        store_link_lost(link, context->err ? context->errstr : "closed");
    }
}


void
store_link_ready(store_link_t *link)
{
    log_info(link->store->log, "redis connected", LOG_S("link", link->name));

    link->state = LINK_READY;
    link->backoff_ms = LINK_BACKOFF_MIN;
    link->complained = false;
    link->heard_ms = clock_mono_ms();
    store_link_arm(link, LINK_CHECK_MS);
}


static void
store_link_complain(store_link_t *link, const char *why)
{
    link->told = false;

    if (link->state == LINK_READY) {
        link->store->reconnects++;
    }

    if (!link->complained && !link->store->freeing) {
        link->complained = true;
        log_warn(link->store->log, "redis is away", LOG_S("link", link->name),
                 LOG_S("error", why));
    }

    if (link->backoff_ms < LINK_BACKOFF_MAX && link->state != LINK_READY) {
        link->backoff_ms *= 2;

        if (link->backoff_ms > LINK_BACKOFF_MAX) {
            link->backoff_ms = LINK_BACKOFF_MAX;
        }
    }
}


/* There is no context any more: try again later. */
static void
store_link_lost(store_link_t *link, const char *why)
{
    store_link_complain(link, why);

    link->state = LINK_IDLE;

    if (!link->store->freeing) {
        store_link_arm(link, link->backoff_ms);
    }
}


void
store_link_close(store_link_t *link, const char *why)
{
    if (link->state == LINK_CLOSING || link->context == NULL) {
        return;
    }

    store_link_complain(link, why);

    link->state = LINK_CLOSING;
    store_link_arm(link, 0);
}


void
store_link_free(store_link_t *link)
{
    redisAsyncContext  *context = link->context;

    link->state = LINK_CLOSING;
    link->context = NULL;

    if (context != NULL) {
        context->data = NULL;
        redisAsyncFree(context);
    }

    if (link->resolving != NULL) {
        evdns_getaddrinfo_cancel(link->resolving);
    }

    if (link->timer != NULL) {
        event_free(link->timer);
    }
}
