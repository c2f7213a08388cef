/*
 * Addresses, and how many connections they may have.
 *
 * evhttp tells of a connection that begins (where it asks for its
 * bufferevent), but of none that ends.  So what is counted is an upper bound,
 * and when that reaches the limit the sockets of the process are looked
 * through, each once: how many are connections of this address?  With a limit
 * of N that happens every N connections at the most often, or, while all N
 * are open, every HTTP_AGAIN.
 */

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

#include "clock.h"
#include "http_internal.h"

#define HTTP_MAX_HEADERS  16384
#define HTTP_TIMEOUT      60       /* s, of a silent connection */

/* Up to so much above max_body is read, to be refused with a problem
 * document.  What is larger still evhttp refuses, with a page of its own. */
#define HTTP_BODY_MARGIN  (1024 * 1024)

#define HTTP_AGAIN        50       /* ms */
#define HTTP_TELL         60000    /* ms */
#define HTTP_REFUSE       64       /* in one turn of the loop */


static struct evhttp *http_evhttp(http_listener_t *listener);
static struct bufferevent *http_bufferevent(struct event_base *base,
    void *arg);
static struct bufferevent *http_tls_bufferevent(http_listener_t *listener);
static void http_count(http_listener_t *listener);
static unsigned http_open(const http_listener_t *listener);
static bool http_same(const struct sockaddr_storage *listens,
    const struct sockaddr_storage *is);
static void http_fill(http_listener_t *listener);
static void http_refuse(evutil_socket_t fd, short what, void *arg);
static void http_again(evutil_socket_t fd, short what, void *arg);


void
http_server_limit(http_server_t *server, unsigned max, http_full_t full,
    void *arg)
{
    server->max_connections = max;
    server->full = full;
    server->full_arg = arg;
}


int
http_server_listen(http_server_t *server, const char *address, char *error,
    size_t size)
{
    http_listener_t  *listener;

    if (server->listen_count == HTTP_MAX_LISTEN) {
        snprintf(error, size, "more than %d listeners", HTTP_MAX_LISTEN);
        return -1;
    }

    listener = &server->listen[server->listen_count];
    memset(listener, 0, sizeof(*listener));
    listener->server = server;
    listener->tls = strncmp(address, "tls:", 4) == 0;
    snprintf(listener->address, sizeof(listener->address), "%s", address);

    if (listener->tls && server->tls == NULL) {
        snprintf(error, size, "%.120s: there is no certificate", address);
        return -1;
    }

    if (http_listen_open(address, &listener->sock, error, size)) {
        return -1;
    }

    listener->http = http_evhttp(listener);

    if (listener->http == NULL) {
        close(listener->sock.fd);
        goto failed;
    }

    listener->acceptor = evconnlistener_new(server->base, NULL, NULL,
                                            LEV_OPT_CLOSE_ON_FREE
                                            | LEV_OPT_CLOSE_ON_EXEC, 0,
                                            listener->sock.fd);
    if (listener->acceptor == NULL) {
        close(listener->sock.fd);
        goto failed;
    }

    if (evhttp_bind_listener(listener->http, listener->acceptor) == NULL) {
        evconnlistener_free(listener->acceptor);
        goto failed;
    }

    if (listener->sock.port != 0) {
        server->port = listener->sock.port;
        listener->refuser = event_new(server->base, listener->sock.fd,
                                      EV_READ | EV_PERSIST, http_refuse,
                                      listener);
        listener->again = event_new(server->base, -1, EV_PERSIST, http_again,
                                    listener);

        if (listener->refuser == NULL || listener->again == NULL) {
            goto failed;
        }
    }

    server->listen_count++;
    return 0;

failed:

    http_listener_close(listener);
    snprintf(error, size, "%.120s: out of memory", address);
    return -1;
}


void
http_listener_close(http_listener_t *listener)
{
    /* The file goes before the socket: nobody finds a dead one. */
    http_listen_unlink(&listener->sock);

    if (listener->refuser != NULL) {
        event_free(listener->refuser);
    }

    if (listener->again != NULL) {
        event_free(listener->again);
    }

    if (listener->http != NULL) {
        evhttp_free(listener->http);
    }
}


static struct evhttp *
http_evhttp(http_listener_t *listener)
{
    struct evhttp  *http;
    http_server_t  *server = listener->server;

    http = evhttp_new(server->base);
    if (http == NULL) {
        return NULL;
    }

    evhttp_set_max_headers_size(http, HTTP_MAX_HEADERS);
    evhttp_set_max_body_size(http, (ev_ssize_t) (server->max_body
                                                 + HTTP_BODY_MARGIN));
    evhttp_set_timeout(http, HTTP_TIMEOUT);
    evhttp_set_default_content_type(http, NULL);

    /* A close with unread data would take the answer with it. */
    evhttp_set_flags(http, EVHTTP_SERVER_LINGERING_CLOSE);

    /* All: a wrong method gets our 405. */
    evhttp_set_allowed_methods(http,
        EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT
        | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE
        | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);

    evhttp_set_gencb(http, http_dispatch, server);
    evhttp_set_bevcb(http, http_bufferevent, listener);

    return http;
}


/* A connection begins.  NULL: evhttp makes one in plain text. */
static struct bufferevent *
http_bufferevent(struct event_base *base, void *arg)
{
    http_listener_t  *listener = arg;

    http_count(listener);

    return listener->tls ? http_tls_bufferevent(listener) : NULL;
}


/* Without memory the process ends: NULL would have evhttp go on in plain
 * text. */
static struct bufferevent *
http_tls_bufferevent(http_listener_t *listener)
{
    SSL                 *ssl;
    struct bufferevent  *bev;

    ssl = SSL_new(listener->server->tls);
    if (ssl == NULL) {
        abort();
    }

    bev = bufferevent_openssl_socket_new(listener->server->base, -1, ssl,
                                         BUFFEREVENT_SSL_ACCEPTING,
                                         BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        abort();
    }

    /* Every message has its length: a missing close_notify hides nothing. */
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);

    return bev;
}


/* --- the limit --- */

static bool
http_is_full(const http_listener_t *listener)
{
    unsigned  max = listener->server->max_connections;

    return max > 0 && listener->connections >= max;
}


static void
http_count(http_listener_t *listener)
{
    if (listener->refuser == NULL) {
        return;                    /* a unix socket */
    }

    listener->connections++;

    if (http_is_full(listener) && !listener->full) {
        listener->connections = http_open(listener);

        if (http_is_full(listener)) {
            http_fill(listener);
        }
    }
}


/* How many connections it has, the one that is being accepted included; 0
 * if that cannot be known: no limit is better than nobody. */
static unsigned
http_open(const http_listener_t *listener)
{
    DIR                      *dir;
    int                       fd;
    unsigned                  count;
    socklen_t                 len;
    struct dirent            *entry;
    struct sockaddr_storage   listens, is;

    count = 0;

    dir = opendir("/proc/self/fd");

    if (dir == NULL) {
        /* Without a descriptor left it is full indeed. */
        return errno == EMFILE || errno == ENFILE ? listener->connections : 0;
    }

    len = sizeof(listens);
    memset(&listens, 0, sizeof(listens));
    memset(&is, 0, sizeof(is));
    (void) getsockname(listener->sock.fd, (struct sockaddr *) &listens, &len);

    while ((entry = readdir(dir)) != NULL) {
        fd = atoi(entry->d_name);
        len = sizeof(is);

        if (entry->d_name[0] != '.' && fd != listener->sock.fd
            && getsockname(fd, (struct sockaddr *) &is, &len) == 0
            && http_same(&listens, &is))
        {
            count++;
        }
    }

    closedir(dir);

    return count;
}


/* Is it the address, or one of all addresses, that somebody listens on? */
static bool
http_same(const struct sockaddr_storage *listens,
    const struct sockaddr_storage *is)
{
    const struct sockaddr_in   *a, *b;
    const struct sockaddr_in6  *a6, *b6;

    if (listens->ss_family != is->ss_family) {
        return false;
    }

    if (listens->ss_family == AF_INET) {
        a = (const struct sockaddr_in *) (const void *) listens;
        b = (const struct sockaddr_in *) (const void *) is;

        return a->sin_port == b->sin_port
               && (a->sin_addr.s_addr == htonl(INADDR_ANY)
                   || a->sin_addr.s_addr == b->sin_addr.s_addr);
    }

    if (listens->ss_family == AF_INET6) {
        a6 = (const struct sockaddr_in6 *) (const void *) listens;
        b6 = (const struct sockaddr_in6 *) (const void *) is;

        return a6->sin6_port == b6->sin6_port
               && (IN6_IS_ADDR_UNSPECIFIED(&a6->sin6_addr)
                   || IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr));
    }

    return false;
}


/* From inside of the acceptor, which stops after this connection. */
static void
http_fill(http_listener_t *listener)
{
    int64_t         now;
    http_server_t  *server = listener->server;
    struct timeval  tv = { HTTP_AGAIN / 1000, HTTP_AGAIN % 1000 * 1000 };

    listener->full = true;
    evconnlistener_disable(listener->acceptor);
    event_add(listener->refuser, NULL);
    event_add(listener->again, &tv);

    now = clock_mono_ms();

    if (server->full != NULL
        && (listener->told_ms == 0 || now - listener->told_ms >= HTTP_TELL))
    {
        listener->told_ms = now;
        server->full(server->full_arg, listener->address,
                     server->max_connections);
    }
}


/* Who is left in the backlog would wait for an answer that never comes. */
static void
http_refuse(evutil_socket_t fd, short what, void *arg)
{
    int               client;
    unsigned          i;
    http_listener_t  *listener = arg;

    for (i = 0; i < HTTP_REFUSE; i++) {
        client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (client == -1) {
            return;
        }

        close(client);
        listener->refused++;
    }
}


static void
http_again(evutil_socket_t fd, short what, void *arg)
{
    http_listener_t  *listener = arg;

    listener->connections = http_open(listener);

    if (!http_is_full(listener)) {
        listener->full = false;
        event_del(listener->again);
        event_del(listener->refuser);
        evconnlistener_enable(listener->acceptor);
    }
}


bool
http_server_view(http_server_t *server, unsigned number, http_view_t *view)
{
    unsigned          i;
    http_listener_t  *listener;

    for (i = 0; i < server->listen_count; i++) {
        listener = &server->listen[i];

        if (listener->refuser == NULL || number-- > 0) {
            continue;
        }

        listener->connections = http_open(listener);
        view->address = listener->address;
        view->connections = listener->connections;
        view->refused = listener->refused;

        return true;
    }

    return false;
}
