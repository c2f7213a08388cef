/* What the files of the HTTP server share. */

#ifndef LIB_HTTP_INTERNAL_H
#define LIB_HTTP_INTERNAL_H

#include "http_gate.h"
#include "http_listen.h"
#include "http_server.h"

#define HTTP_MAX_LISTEN  16

struct http_server_s {
    struct event_base    *base;
    struct evhttp        *http;
    struct evhttp        *https;   /* NULL: no TLS listener yet */
    SSL_CTX              *tls;
    const http_route_t   *routes;
    http_gate_t           gate;
    void                 *arg;
    size_t                max_body;
    bool                  any_host;
    http_pending_t       *pending;
    int                   port;
    unsigned              listen_count;
    http_listen_t         listen[HTTP_MAX_LISTEN];
};

struct http_pending_s {
    struct evhttp_request   *request;      /* NULL: the server is gone */
    http_pending_t          *next;
    http_pending_t         **link;
};

/* Frees the handle; NULL if there is no server to answer by any more. */
struct evhttp_request *http_pending_take(http_pending_t *pending);

/* An answer is about to be sent: calls the tap, if there is one. */
void http_tap_call(struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len);
/* The server goes: its taps are told that there was no answer. */
void http_taps_drop(http_server_t *server);

#endif
