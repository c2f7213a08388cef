/*
 * HTTP requests on the event loop: libcurl's multi interface on libevent.
 * Connections are kept alive; unix sockets work; redirects are not followed;
 * the peer of https is verified.
 */

#ifndef LIB_HTTP_CLIENT_H
#define LIB_HTTP_CLIENT_H

#include <stddef.h>

#include <event2/event.h>

typedef struct http_client_s   http_client_t;
typedef struct http_request_s  http_request_t;

typedef struct {
    const char   *method;          /* "GET", "PUT", "POST" */
    const char   *socket_path;     /* unix socket, or NULL for TCP */
    const char   *url;             /* "http://localhost/canary/upstreams" */
    const char   *body;            /* NULL: none */
    size_t        body_len;
    const char *const  *headers;   /* "Name: value", NULL ends them; NULL:
                                      none.  A body is application/json
                                      unless they say otherwise */
    const char   *ca_file;         /* NULL: the system's */
    long          timeout_ms;      /* of the whole exchange */
    size_t        max_response;    /* bytes; more is an error */
} http_call_t;                     /* all copied by http_client_send() */

typedef struct {
    long          status;          /* 0: no answer, see error */
    const char   *body;            /* NUL-terminated; valid in the callback */
    size_t        body_len;
    const char   *error;           /* "" if there is none */
} http_response_t;

typedef void (*http_done_t)(void *arg, const http_response_t *response);

http_client_t *http_client_new(struct event_base *base);
/* Cancels what is under way, without callbacks. */
void http_client_free(http_client_t *client);

/*
 * done is called exactly once, from the loop, never from inside this call,
 * unless the request is cancelled.  NULL: no memory.
 */
http_request_t *http_client_send(http_client_t *client,
    const http_call_t *call, http_done_t done, void *arg);
void http_client_cancel(http_request_t *request);

#endif
