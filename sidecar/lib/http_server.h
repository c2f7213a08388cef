/*
 * The HTTP listener: libevent's evhttp with a bounded body and header size,
 * on addresses and unix sockets, with or without TLS, and a table of routes.
 * Errors are problem documents (RFC 9457), 404 and 405 (with Allow) included.
 * What may be asked for by whom is the gate's business: see http_gate.h.
 */

#ifndef LIB_HTTP_SERVER_H
#define LIB_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/http.h>
#include <openssl/ssl.h>

#include <cjson/cJSON.h>

#define HTTP_MAX_PARAMS  2
#define HTTP_PARAM_LEN   128

typedef struct http_server_s  http_server_t;
typedef struct http_route_s   http_route_t;

typedef struct {
    struct evhttp_request  *request;   /* borrowed */
    const http_route_t     *route;
    char                    params[HTTP_MAX_PARAMS][HTTP_PARAM_LEN];
                                       /* what matched the {}s, decoded */
    const char             *body;      /* NUL-terminated, valid in handler;
                                          NULL before http_body() */
    size_t                  body_len;
    bool                    yaml;  /* the body is, not JSON */
    const char             *query;     /* after '?', or "" */
    http_server_t          *server;
    const void             *who;       /* by the gate, valid in handler */
} http_exchange_t;

/* Must answer, now or later, with one of the http_answer functions. */
typedef void (*http_handler_t)(void *arg, http_exchange_t *exchange);

struct http_route_s {
    const char      *method;       /* "GET" also answers HEAD */
    const char      *path;         /* "/v1/rollouts/{}/abort" */
    http_handler_t   handler;
    unsigned         role;         /* these two are for the gate */
    unsigned         scope;
};                                 /* the list ends with a NULL method */

/* routes are borrowed for the server's life.  SIGPIPE is ignored from here
 * on. */
http_server_t *http_server_new(struct event_base *base,
    const http_route_t *routes, void *arg, size_t max_body);
/* address: "unix:/path", "127.0.0.1:7070", "[::1]:7070", "localhost:7070",
 * or "tls:" before one of the latter, after http_server_tls(); port 0 picks
 * a free one.  0, or -1 with error (>= 256 bytes). */
int http_server_listen(http_server_t *server, const char *address,
    char *error, size_t size);
/* What connections made from now on use; it is referenced. */
void http_server_tls(http_server_t *server, SSL_CTX *tls);
/*
 * No more connections than max are open at a time on each TCP address (0:
 * any number, which is so at first); more are closed as they come.  Unix
 * sockets have no such limit: who can use them is of this machine.  full is
 * called when that begins, at most once a minute for an address.
 */
typedef void (*http_full_t)(void *arg, const char *address, unsigned max);
void http_server_limit(http_server_t *server, unsigned max, http_full_t full,
    void *arg);

typedef struct {
    const char  *address;          /* as it was given; borrowed */
    unsigned     connections;      /* open */
    uint64_t     refused;
} http_view_t;

/* The number-th TCP address; false beyond the last. */
bool http_server_view(http_server_t *server, unsigned number,
    http_view_t *view);

/* Any Host is right: no page can send what the gate asks for. */
void http_server_any_host(http_server_t *server);
/* The port of the last TCP listener; 0: there is none. */
int http_server_port(const http_server_t *server);
/* Closes listeners and connections; unlinks unix sockets it made.  Answers
 * still pending may be given afterwards and go nowhere. */
void http_server_free(http_server_t *server);

/*
 * An answer that comes later: the evhttp request may die before it if the
 * client or the server goes away, so a handler that does not answer at once
 * must defer and answer by the handle, which is freed by the answer.  NULL:
 * no memory; then the request has been answered with 503.
 */
typedef struct http_pending_s  http_pending_t;
http_pending_t *http_defer(http_exchange_t *exchange);
void http_pending_json(http_pending_t *pending, int status, cJSON *json);
void http_pending_problem(http_pending_t *pending, int status,
    const char *field, const char *detail, cJSON *extra);

/* json is consumed.  extra (consumed, may be NULL): more members. field may
 * be NULL. */
void http_answer_json(struct evhttp_request *request, int status,
    cJSON *json);
void http_answer_text(struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len);
void http_answer_problem(struct evhttp_request *request, int status,
    const char *field, const char *detail, cJSON *extra);

#endif
