#include "http_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>

struct http_held_s {
    http_pending_t   *pending;
    http_exchange_t   exchange;
};

typedef struct http_entry_s  http_entry_t;

struct http_entry_s {
    http_entry_t           *next;
    http_server_t          *server;
    struct evhttp_request  *request;
    http_tap_t              tap;
    void                   *arg;
};

/* evhttp has no place at a request for something of ours.  As many as
 * changes are being made: few. */
static http_entry_t  *http_taps;

static void http_peer_in(http_peer_t *peer, const struct sockaddr_in *sin);
static void http_peer_in6(http_peer_t *peer, const struct sockaddr_in6 *sin6);


void
http_server_gate(http_server_t *server, http_gate_t gate)
{
    server->gate = gate;
}


http_held_t *
http_hold(http_exchange_t *exchange)
{
    http_held_t  *held;

    held = malloc(sizeof(*held));
    if (held == NULL) {
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        return NULL;
    }

    held->exchange = *exchange;
    held->exchange.who = NULL;
    held->pending = http_defer(exchange);

    if (held->pending == NULL) {
        free(held);
        return NULL;
    }

    return held;
}


bool
http_unhold(http_held_t *held, http_exchange_t *exchange)
{
    struct evhttp_request  *request;

    request = http_pending_take(held->pending);
    *exchange = held->exchange;
    free(held);

    if (request == NULL) {
        return false;
    }

    if (evhttp_request_get_connection(request) == NULL) {
        /* The client has gone, and the request is ours. */
        http_tap_call(request, 0, "", "", 0);
        evhttp_request_free(request);
        return false;
    }

    return true;
}


void
http_peer(struct evhttp_request *request, http_peer_t *peer)
{
    int                        fd;
    socklen_t                  len;
    struct ucred               cred;
    struct sockaddr_storage    sa;
    struct evhttp_connection  *connection;

    memset(peer, 0, sizeof(*peer));
    memset(&sa, 0, sizeof(sa));
    strcpy(peer->text, "unknown");
    strcpy(peer->key, "unknown");

    connection = evhttp_request_get_connection(request);
    if (connection == NULL) {
        return;
    }

    fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *) &sa, &len) != 0) {
        return;
    }

    if (sa.ss_family == AF_UNIX) {
        peer->local = true;
        len = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
            peer->known = true;
            peer->uid = cred.uid;
            snprintf(peer->text, sizeof(peer->text), "unix:%ld",
                     (long) cred.uid);
            strcpy(peer->key, peer->text);
        }

        return;
    }

    len = sizeof(sa);

    if (getpeername(fd, (struct sockaddr *) &sa, &len) != 0) {
        return;
    }

    if (sa.ss_family == AF_INET) {
        http_peer_in(peer, (struct sockaddr_in *) (void *) &sa);

    } else if (sa.ss_family == AF_INET6) {
        http_peer_in6(peer, (struct sockaddr_in6 *) (void *) &sa);
    }
}


static void
http_peer_in(http_peer_t *peer, const struct sockaddr_in *sin)
{
    inet_ntop(AF_INET, &sin->sin_addr, peer->text, sizeof(peer->text));
    strcpy(peer->key, peer->text);
}


static void
http_peer_in6(http_peer_t *peer, const struct sockaddr_in6 *sin6)
{
    struct in6_addr     net;
    struct sockaddr_in  sin;

    if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
        memset(&sin, 0, sizeof(sin));
        memcpy(&sin.sin_addr, sin6->sin6_addr.s6_addr + 12, 4);
        http_peer_in(peer, &sin);
        return;
    }

    inet_ntop(AF_INET6, &sin6->sin6_addr, peer->text, sizeof(peer->text));

    /* Who has one address has all of its network. */
    net = sin6->sin6_addr;
    memset(net.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &net, peer->key, sizeof(peer->key));
}


bool
http_tap(http_exchange_t *exchange, http_tap_t tap, void *arg)
{
    http_entry_t  *entry;

    entry = malloc(sizeof(*entry));
    if (entry == NULL) {
        return false;
    }

    entry->server = exchange->server;
    entry->request = exchange->request;
    entry->tap = tap;
    entry->arg = arg;
    entry->next = http_taps;
    http_taps = entry;

    return true;
}


void
http_tap_call(struct evhttp_request *request, int status, const char *type,
    const char *text, size_t len)
{
    http_entry_t  *entry, **link;

    for (link = &http_taps; *link != NULL; link = &(*link)->next) {
        entry = *link;

        if (entry->request == request) {
            *link = entry->next;
            entry->tap(entry->arg, request, status, type, text, len);
            free(entry);
            return;
        }
    }
}


void
http_taps_drop(http_server_t *server)
{
    http_entry_t  *entry, **link;

    link = &http_taps;

    while (*link != NULL) {
        entry = *link;

        if (entry->server != server) {
            link = &entry->next;
            continue;
        }

        *link = entry->next;
        entry->tap(entry->arg, NULL, 0, "", "", 0);
        free(entry);
    }
}
