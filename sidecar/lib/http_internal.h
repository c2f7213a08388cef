/* What the files of the HTTP server share. */

#ifndef LIB_HTTP_INTERNAL_H
#define LIB_HTTP_INTERNAL_H

#include "http_gate.h"
#include "http_listen.h"
#include "http_server.h"

#define HTTP_MAX_LISTEN   16
#define HTTP_ADDRESS_LEN  256

/* An address with its connections. */
typedef struct {
    http_server_t            *server;
    char                      address[HTTP_ADDRESS_LEN];
    http_listen_t             sock;
    struct evhttp            *http;
    struct evconnlistener    *acceptor;    /* http's */
    bool                      tls;
    unsigned                  connections; /* at least as many as are open */
    bool                      full;
    uint64_t                  refused;
    int64_t                   told_ms;     /* that it is full; 0: never */
    struct event             *refuser;     /* these two while it is full; */
    struct event             *again;       /* NULL: a unix socket */
} http_listener_t;

struct http_server_s {
    struct event_base    *base;
    SSL_CTX              *tls;     /* NULL: no certificate */
    const http_route_t   *routes;
    http_gate_t           gate;
    void                 *arg;
    size_t                max_body;
    bool                  any_host;
    http_pending_t       *pending;
    int                   port;
    unsigned              max_connections;   /* 0: any number */
    http_full_t           full;    /* NULL: nobody wants to know */
    void                 *full_arg;
    unsigned              listen_count;
    http_listener_t       listen[HTTP_MAX_LISTEN];
};

struct http_pending_s {
    struct evhttp_request   *request;      /* NULL: the server is gone */
    http_pending_t          *next;
    http_pending_t         **link;
};

/* Closes the address and its connections, and frees what it owns. */
void http_listener_close(http_listener_t *listener);
/* The callback of requests. */
void http_dispatch(struct evhttp_request *request, void *arg);

/* Frees the handle; NULL if there is no server to answer by any more. */
struct evhttp_request *http_pending_take(http_pending_t *pending);

/* An answer is about to be sent: calls the tap, if there is one. */
void http_tap_call(struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len);
/* The server goes: its taps are told that there was no answer. */
void http_taps_drop(http_server_t *server);

#endif
