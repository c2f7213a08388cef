/*
 * Between the server and the handlers: who asks (the peer), whether and when
 * the handler runs (the gate), and what was answered (the tap).
 */

#ifndef LIB_HTTP_GATE_H
#define LIB_HTTP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "http_server.h"

#define HTTP_PEER_LEN  64

typedef struct {
    bool    local;                 /* came by a unix socket */
    bool    known;                 /* uid is the peer's */
    uid_t   uid;
    char    text[HTTP_PEER_LEN];   /* "10.0.0.1", "::1", "unix:1000" */
    /* Whom a limit is for: an IPv4 address, the /64 of an IPv6 address, or
     * a user. */
    char    key[HTTP_PEER_LEN];
} http_peer_t;

/* Is called in the handler's place, with exchange->route set and the body
 * not looked at.  It must answer, http_run() or http_hold(). */
typedef void (*http_gate_t)(void *arg, http_exchange_t *exchange);
void http_server_gate(http_server_t *server, http_gate_t gate);

/* Checks the body (if nobody did) and calls the handler, or answers. */
void http_run(http_exchange_t *exchange);
/* Checks the body: 413, 415; false: it is answered. */
bool http_body(http_exchange_t *exchange);

/*
 * To go on later: a copy of the exchange that survives its client and its
 * server.  NULL: no memory, answered.
 */
typedef struct http_held_s  http_held_t;
http_held_t *http_hold(http_exchange_t *exchange);
/* Frees the handle and fills *exchange; false: nobody waits any more. */
bool http_unhold(http_held_t *held, http_exchange_t *exchange);

void http_peer(struct evhttp_request *request, http_peer_t *peer);
/* "GET"; "" for what no route takes. */
const char *http_method(struct evhttp_request *request);

/*
 * tap is called once: with the answer before it is sent, or with status 0 if
 * there will be none.  False: no memory, and it is never called.
 */
typedef void (*http_tap_t)(void *arg, struct evhttp_request *request,
    int status, const char *type, const char *text, size_t len);
bool http_tap(http_exchange_t *exchange, http_tap_t tap, void *arg);

#endif
