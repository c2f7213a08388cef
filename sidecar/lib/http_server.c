#include "http_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>

#include "http_internal.h"

static bool http_trusted(http_server_t *server,
    struct evhttp_request *request);
static bool http_local_name(const char *host);
static bool http_match(const char *route, const char *path,
    http_exchange_t *exchange);
static bool http_decode(const char *text, size_t len, char *out);
static void http_refuse_method(struct evhttp_request *request,
    const char *allow);
static void http_allow(char *allow, size_t size, const char *method);
static bool http_check_body(struct evhttp_request *request, size_t max,
    http_exchange_t *exchange);


http_server_t *
http_server_new(struct event_base *base, const http_route_t *routes,
    void *arg, size_t max_body)
{
    http_server_t  *server;

    server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return NULL;
    }

    /* libevent writes to clients that went away. */
    signal(SIGPIPE, SIG_IGN);

    server->base = base;
    server->routes = routes;
    server->arg = arg;
    server->max_body = max_body;

    return server;
}


void
http_server_tls(http_server_t *server, SSL_CTX *tls)
{
    SSL_CTX_up_ref(tls);
    SSL_CTX_free(server->tls);
    server->tls = tls;
}


void
http_server_any_host(http_server_t *server)
{
    server->any_host = true;
}


int
http_server_port(const http_server_t *server)
{
    return server->port;
}


void
http_server_free(http_server_t *server)
{
    unsigned         i;
    http_pending_t  *pending;

    if (server == NULL) {
        return;
    }

    for (pending = server->pending; pending != NULL; pending = pending->next)
    {
        /* One whose client has gone belongs to no connection, and would
         * not be freed with them. */
        if (evhttp_request_get_connection(pending->request) == NULL) {
            evhttp_request_free(pending->request);
        }

        pending->request = NULL;
    }

    for (i = 0; i < server->listen_count; i++) {
        http_listener_close(&server->listen[i]);
    }

    http_taps_drop(server);
    SSL_CTX_free(server->tls);
    free(server);
}


http_pending_t *
http_defer(http_exchange_t *exchange)
{
    http_server_t   *server;
    http_pending_t  *pending;

    pending = malloc(sizeof(*pending));
    if (pending == NULL) {
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        return NULL;
    }

    /*
     * When its client goes away, evhttp takes a request that is being
     * worked on from its connection and leaves it to us; sending on it then
     * only frees it.
     */
    server = exchange->server;
    pending->request = exchange->request;
    pending->next = server->pending;
    pending->link = &server->pending;

    if (pending->next != NULL) {
        pending->next->link = &pending->next;
    }

    server->pending = pending;
    return pending;
}


void
http_pending_json(http_pending_t *pending, int status, cJSON *json)
{
    struct evhttp_request  *request;

    request = http_pending_take(pending);

    if (request == NULL) {
        cJSON_Delete(json);
        return;
    }

    http_answer_json(request, status, json);
}


void
http_pending_problem(http_pending_t *pending, int status, const char *field,
    const char *detail, cJSON *extra)
{
    struct evhttp_request  *request;

    request = http_pending_take(pending);

    if (request == NULL) {
        cJSON_Delete(extra);
        return;
    }

    http_answer_problem(request, status, field, detail, extra);
}


void
http_dispatch(struct evhttp_request *request, void *arg)
{
    char                      allow[128];
    const char               *method, *path, *query;
    http_server_t            *server;
    http_exchange_t           exchange;
    const http_route_t       *route;
    const struct evhttp_uri  *uri;

    server = arg;

    if (!http_trusted(server, request)) {
        http_answer_problem(request, 403, NULL, "the request comes from a "
                            "web page of another site, or its Host is not "
                            "localhost or an IP address", NULL);
        return;
    }

    uri = evhttp_request_get_evhttp_uri(request);
    path = evhttp_uri_get_path(uri);
    query = evhttp_uri_get_query(uri);
    method = http_method(request);
    allow[0] = '\0';

    memset(&exchange, 0, sizeof(exchange));
    exchange.request = request;
    exchange.server = server;
    exchange.query = query != NULL ? query : "";

    for (route = server->routes; route->method != NULL; route++) {

        if (path == NULL || !http_match(route->path, path, &exchange)) {
            continue;
        }

        if (strcmp(route->method, method) == 0
            || (strcmp(method, "HEAD") == 0
                && strcmp(route->method, "GET") == 0))
        {
            break;
        }

        http_allow(allow, sizeof(allow), route->method);
    }

    if (route->method == NULL && allow[0] != '\0') {
        http_refuse_method(request, allow);
        return;
    }

    if (route->method == NULL) {
        http_answer_problem(request, 404, NULL, "no such path", NULL);
        return;
    }

    exchange.route = route;

    if (server->gate != NULL) {
        server->gate(server->arg, &exchange);
        return;
    }

    http_run(&exchange);
}


bool
http_body(http_exchange_t *exchange)
{
    return exchange->body != NULL
           || http_check_body(exchange->request, exchange->server->max_body,
                              exchange);
}


void
http_run(http_exchange_t *exchange)
{
    if (http_body(exchange)) {
        exchange->route->handler(exchange->server->arg, exchange);
    }
}


/*
 * A web page that somebody on this machine looks at can send requests here,
 * too.  Browsers say so (Sec-Fetch-Site, Origin), and where the page's name
 * was made to point to this address, the Host is that name.
 */
static bool
http_trusted(http_server_t *server, struct evhttp_request *request)
{
    int                        fd;
    socklen_t                  len;
    const char                *host, *origin, *site;
    struct evkeyvalq          *headers;
    struct sockaddr_storage    sa;
    struct evhttp_connection  *connection;

    connection = evhttp_request_get_connection(request);
    fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    len = sizeof(sa);
    memset(&sa, 0, len);

    /* No page can reach a unix socket. */
    if (getsockname(fd, (struct sockaddr *) &sa, &len) == 0
        && sa.ss_family == AF_UNIX)
    {
        return true;
    }

    headers = evhttp_request_get_input_headers(request);
    host = evhttp_find_header(headers, "Host");
    origin = evhttp_find_header(headers, "Origin");
    site = evhttp_find_header(headers, "Sec-Fetch-Site");

    if (host != NULL && !server->any_host && !http_local_name(host)) {
        return false;
    }

    switch (evhttp_request_get_command(request)) {

    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
    case EVHTTP_REQ_OPTIONS:
        return true;

    default:
        break;
    }

    if (site != NULL) {
        return strcasecmp(site, "same-origin") == 0
               || strcasecmp(site, "none") == 0;
    }

    if (origin != NULL) {
        origin = strstr(origin, "://");
        return origin != NULL && host != NULL
               && strcasecmp(origin + 3, host) == 0;
    }

    return true;
}


/* "localhost", an IPv4 or an IPv6 address, with or without a port. */
static bool
http_local_name(const char *host)
{
    char              name[64];
    size_t            len;
    struct in6_addr   in6;

    if (host[0] == '[') {
        host++;
        len = strcspn(host, "]");

    } else {
        len = strcspn(host, ":");
    }

    if (len >= sizeof(name)) {
        return false;
    }

    memcpy(name, host, len);
    name[len] = '\0';

    return strcasecmp(name, "localhost") == 0
           || inet_pton(AF_INET, name, &in6) == 1
           || inet_pton(AF_INET6, name, &in6) == 1;
}


static bool
http_match(const char *route, const char *path, http_exchange_t *exchange)
{
    size_t    len;
    unsigned  n;

    n = 0;

    while (*route != '\0') {

        if (route[0] == '{' && route[1] == '}') {
            len = strcspn(path, "/");

            if (n == HTTP_MAX_PARAMS
                || !http_decode(path, len, exchange->params[n]))
            {
                return false;
            }

            n++;
            route += 2;
            path += len;
            continue;
        }

        if (*route++ != *path++) {
            return false;
        }
    }

    return *path == '\0';
}


/* Decodes a segment of a path; false if it is empty, too long for out, or
 * hides something. */
static bool
http_decode(const char *text, size_t len, char *out)
{
    char      c;
    char      hex[3];
    char     *end;
    size_t    i, used;

    used = 0;

    for (i = 0; i < len; i++) {
        c = text[i];

        if (c == '%') {
            if (len - i < 3) {
                return false;
            }

            hex[0] = text[i + 1];
            hex[1] = text[i + 2];
            hex[2] = '\0';

            if (strspn(hex, "0123456789abcdefABCDEF") != 2) {
                return false;
            }

            c = (char) strtol(hex, &end, 16);
            i += 2;
        }

        if ((unsigned char) c < 0x20 || c == 0x7f || c == '/'
            || used == HTTP_PARAM_LEN - 1)
        {
            return false;
        }

        out[used++] = c;
    }

    out[used] = '\0';
    return used > 0;
}


static void
http_refuse_method(struct evhttp_request *request, const char *allow)
{
    char  detail[160];

    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow",
                      allow);
    snprintf(detail, sizeof(detail), "this path takes %s", allow);
    http_answer_problem(request, 405, NULL, detail, NULL);
}


/* GET brings HEAD with it. */
static void
http_allow(char *allow, size_t size, const char *method)
{
    size_t  used;

    if (strstr(allow, method) != NULL) {
        return;
    }

    used = strlen(allow);
    snprintf(allow + used, size - used, "%s%s%s", used ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}


const char *
http_method(struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:     return "GET";
    case EVHTTP_REQ_POST:    return "POST";
    case EVHTTP_REQ_HEAD:    return "HEAD";
    case EVHTTP_REQ_PUT:     return "PUT";
    case EVHTTP_REQ_DELETE:  return "DELETE";
    case EVHTTP_REQ_PATCH:   return "PATCH";
    default:                 return "";
    }
}


/* Sets the body; false if it is refused and the answer given. */
static bool
http_check_body(struct evhttp_request *request, size_t max,
    http_exchange_t *exchange)
{
    char              detail[64];
    size_t            len, token;
    const char       *type;
    struct evbuffer  *input;

    input = evhttp_request_get_input_buffer(request);
    len = evbuffer_get_length(input);

    if (len == 0) {
        exchange->body = "";
        return true;
    }

    if (len > max) {
        snprintf(detail, sizeof(detail), "the body is limited to %zu KiB",
                 max / 1024);
        http_answer_problem(request, 413, NULL, detail, NULL);
        return false;
    }

    type = evhttp_find_header(evhttp_request_get_input_headers(request),
                              "Content-Type");
    token = type != NULL ? strcspn(type, "; \t") : 0;

    exchange->yaml = token == 16
                     && strncasecmp(type, "application/yaml", 16) == 0;

    if (!exchange->yaml
        && (token != 16 || strncasecmp(type, "application/json", 16) != 0))
    {
        http_answer_problem(request, 415, NULL, "the body must be "
                            "application/json or application/yaml", NULL);
        return false;
    }

    exchange->body = evbuffer_add(input, "", 1) == 0
                     ? (const char *) evbuffer_pullup(input, -1) : NULL;

    if (exchange->body == NULL) {
        http_answer_problem(request, 503, NULL, "out of memory", NULL);
        return false;
    }

    exchange->body_len = len;
    return true;
}


/* Frees the handle; NULL if there is no server to answer by any more. */
struct evhttp_request *
http_pending_take(http_pending_t *pending)
{
    struct evhttp_request  *request;

    request = pending->request;

    if (request != NULL) {
        *pending->link = pending->next;

        if (pending->next != NULL) {
            pending->next->link = pending->link;
        }
    }

    free(pending);
    return request;
}
