#include "http_client.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "version.h"

#define HTTP_CLIENT_IDLE  16       /* connections kept for later */

struct http_client_s {
    struct event_base   *base;
    CURLM               *multi;
    struct event        *timer;
    http_request_t      *requests;
    bool                 reaping;  /* callbacks are being called */
    bool                 freed;    /* by one of them */
};

struct http_request_s {
    http_client_t       *client;
    http_request_t      *next;
    http_request_t     **link;     /* what points here; NULL: done */
    CURL                *easy;
    struct curl_slist   *headers;
    http_done_t          done;
    void                *arg;
    char                *body;
    size_t               used;
    size_t               room;
    size_t               max;
    bool                 too_large;
    char                 socket[108];      /* "": TCP; for messages */
    char                 error[CURL_ERROR_SIZE];
};

static int http_client_setup(http_request_t *request,
    const http_call_t *call);
static int http_client_headers(http_request_t *request,
    const http_call_t *call);
static int http_client_socket(CURL *easy, curl_socket_t fd, int what,
    void *arg, void *socket_arg);
static int http_client_timer(CURLM *multi, long timeout_ms, void *arg);
static void http_client_ready(evutil_socket_t fd, short what, void *arg);
static void http_client_expired(evutil_socket_t fd, short what, void *arg);
static void http_client_reap(http_client_t *client);
static void http_client_finish(http_request_t *request, CURLcode code);
static size_t http_client_write(char *data, size_t unit, size_t count,
    void *arg);
static void http_request_unlink(http_request_t *request);
static void http_request_free(http_request_t *request);
static void http_client_destroy(http_client_t *client);


http_client_t *
http_client_new(struct event_base *base)
{
    http_client_t  *client;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return NULL;
    }

    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        curl_global_cleanup();
        return NULL;
    }

    client->base = base;
    client->multi = curl_multi_init();
    client->timer = evtimer_new(base, http_client_expired, client);

    if (client->multi == NULL || client->timer == NULL) {
        http_client_destroy(client);
        return NULL;
    }

    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION,
                      http_client_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION,
                      http_client_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS,
                      (long) HTTP_CLIENT_IDLE);

    return client;
}


void
http_client_free(http_client_t *client)
{
    http_request_t  *request, *next;

    if (client == NULL) {
        return;
    }

    /* Nobody is called back for what is cancelled. */
    for (request = client->requests; request != NULL; request = next) {
        next = request->next;
        http_client_cancel(request);
    }

    if (client->reaping) {
        /* Called by a callback: http_client_reap() still needs it. */
        client->freed = true;
        return;
    }

    http_client_destroy(client);
}


http_request_t *
http_client_send(http_client_t *client, const http_call_t *call,
    http_done_t done, void *arg)
{
    http_request_t  *request;

    request = calloc(1, sizeof(*request));
    if (request == NULL) {
        return NULL;
    }

    request->client = client;
    request->done = done;
    request->arg = arg;
    request->max = call->max_response;

    if (http_client_setup(request, call)
        || curl_multi_add_handle(client->multi, request->easy) != CURLM_OK)
    {
        http_request_free(request);
        return NULL;
    }

    request->next = client->requests;
    request->link = &client->requests;

    if (request->next != NULL) {
        request->next->link = &request->next;
    }

    client->requests = request;
    return request;
}


void
http_client_cancel(http_request_t *request)
{
    /* From inside its own callback it is done already. */
    if (request == NULL || request->link == NULL) {
        return;
    }

    http_request_unlink(request);
    curl_multi_remove_handle(request->client->multi, request->easy);
    http_request_free(request);
}


static int
http_client_setup(http_request_t *request, const http_call_t *call)
{
    CURL      *easy;
    CURLcode   rc;

    easy = curl_easy_init();
    if (easy == NULL) {
        return -1;
    }

    request->easy = easy;

    /* Nothing is taken from the environment, and no signals are used. */
    rc = curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                           (long) CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(easy, CURLOPT_USERAGENT,
                           "nginx-canary/" CANARY_VERSION);
    rc |= curl_easy_setopt(easy, CURLOPT_URL, call->url);
    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, call->timeout_ms);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_client_write);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);

    if (call->socket_path != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
                               call->socket_path);
        snprintf(request->socket, sizeof(request->socket), "%s",
                 call->socket_path);
    }

    if (call->ca_file != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file);
    }

    if (rc != CURLE_OK) {
        return -1;
    }

    if (call->body != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t) call->body_len);
        rc |= curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, call->body);

    } else if (strcmp(call->method, "POST") == 0
               || strcmp(call->method, "PUT") == 0)
    {
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
        rc |= curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, "");

    } else if (strcmp(call->method, "HEAD") == 0) {
        rc |= curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }

    rc |= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);

    return rc == CURLE_OK ? http_client_headers(request, call) : -1;
}


static int
http_client_header(struct curl_slist **list, const char *text)
{
    struct curl_slist  *more;

    /* A line end would begin another header. */
    if (strpbrk(text, "\r\n") != NULL) {
        return -1;
    }

    more = curl_slist_append(*list, text);
    if (more == NULL) {
        return -1;
    }

    *list = more;
    return 0;
}


static int
http_client_headers(http_request_t *request, const http_call_t *call)
{
    bool                typed;
    const char *const  *header;

    typed = call->body == NULL;

    for (header = call->headers; header && *header; header++) {
        typed = typed || strncasecmp(*header, "Content-Type:", 13) == 0;

        if (http_client_header(&request->headers, *header)) {
            return -1;
        }
    }

    /* And no round trip before a body. */
    if ((!typed && http_client_header(&request->headers,
                                      "Content-Type: application/json"))
        || http_client_header(&request->headers, "Expect:"))
    {
        return -1;
    }

    return curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER,
                            request->headers) == CURLE_OK ? 0 : -1;
}


/* curl wants to be told, or not any more, when fd is ready. */
static int
http_client_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
    void *socket_arg)
{
    short           events;
    struct event   *event;
    http_client_t  *client;

    client = arg;
    event = socket_arg;

    if (event != NULL) {
        event_free(event);
        curl_multi_assign(client->multi, fd, NULL);
    }

    if (what == CURL_POLL_REMOVE) {
        return 0;
    }

    events = EV_PERSIST;
    events |= what & CURL_POLL_IN ? EV_READ : 0;
    events |= what & CURL_POLL_OUT ? EV_WRITE : 0;

    event = event_new(client->base, fd, events, http_client_ready, client);

    if (event == NULL || event_add(event, NULL) == -1) {
        if (event != NULL) {
            event_free(event);
        }

        return -1;
    }

    curl_multi_assign(client->multi, fd, event);
    return 0;
}


static int
http_client_timer(CURLM *multi, long timeout_ms, void *arg)
{
    http_client_t   *client;
    struct timeval   tv;

    client = arg;

    if (timeout_ms < 0) {
        evtimer_del(client->timer);
        return 0;
    }

    /* Also 0 goes through the loop: curl must not be entered from here. */
    tv.tv_sec = timeout_ms / 1000;
    tv.tv_usec = timeout_ms % 1000 * 1000;
    evtimer_add(client->timer, &tv);
    return 0;
}


static void
http_client_ready(evutil_socket_t fd, short what, void *arg)
{
    int             flags, running;
    http_client_t  *client;

    client = arg;
    flags = what & EV_READ ? CURL_CSELECT_IN : 0;
    flags |= what & EV_WRITE ? CURL_CSELECT_OUT : 0;

    curl_multi_socket_action(client->multi, fd, flags, &running);
    http_client_reap(client);
}


static void
http_client_expired(evutil_socket_t fd, short what, void *arg)
{
    int             running;
    http_client_t  *client;

    client = arg;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0,
                             &running);
    http_client_reap(client);
}


static void
http_client_reap(http_client_t *client)
{
    int       left;
    char     *private;
    CURLMsg  *message;

    client->reaping = true;

    while (!client->freed) {
        message = curl_multi_info_read(client->multi, &left);

        if (message == NULL) {
            break;
        }

        if (message->msg != CURLMSG_DONE) {
            continue;
        }

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        http_client_finish((http_request_t *) (void *) private,
                           message->data.result);
    }

    client->reaping = false;

    if (client->freed) {
        http_client_destroy(client);
    }
}


static void
http_client_finish(http_request_t *request, CURLcode code)
{
    long             number;
    http_response_t  response;

    http_request_unlink(request);
    curl_multi_remove_handle(request->client->multi, request->easy);

    memset(&response, 0, sizeof(response));
    response.body = request->body != NULL ? request->body : "";
    response.body_len = request->used;
    response.error = "";

    if (code == CURLE_OK) {
        curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE,
                          &response.status);

    } else if (request->too_large) {
        response.error = "the response is too large";

    } else if (code == CURLE_COULDNT_CONNECT && request->socket[0] != '\0'
               && curl_easy_getinfo(request->easy, CURLINFO_OS_ERRNO,
                                    &number) == CURLE_OK && number != 0)
    {
        /* curl would speak of the port 80 of localhost. */
        snprintf(request->error, sizeof(request->error), "unix:%s: %s",
                 request->socket, strerror((int) number));
        response.error = request->error;

    } else if (request->error[0] != '\0') {
        response.error = request->error;

    } else {
        response.error = curl_easy_strerror(code);
    }

    request->done(request->arg, &response);
    http_request_free(request);
}


static size_t
http_client_write(char *data, size_t unit, size_t count, void *arg)
{
    char            *body;
    size_t           len, room;
    http_request_t  *request;

    request = arg;
    len = unit * count;            /* curl: at most 10 MiB */

    if (len > request->max - request->used) {
        request->too_large = true;
        return 0;
    }

    if (request->body == NULL || len > request->room - request->used) {
        room = request->used + len;
        room = room < request->max / 2 ? room * 2 : request->max;

        body = realloc(request->body, room + 1);
        if (body == NULL) {
            return 0;
        }

        request->body = body;
        request->room = room;
    }

    memcpy(request->body + request->used, data, len);
    request->used += len;
    request->body[request->used] = '\0';
    return len;
}


static void
http_request_unlink(http_request_t *request)
{
    *request->link = request->next;

    if (request->next != NULL) {
        request->next->link = request->link;
    }

    request->link = NULL;
}


static void
http_request_free(http_request_t *request)
{
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->headers);
    free(request->body);
    free(request);
}


static void
http_client_destroy(http_client_t *client)
{
    /* Closes the idle connections, which still tells our callbacks. */
    if (client->multi != NULL) {
        curl_multi_cleanup(client->multi);
    }

    if (client->timer != NULL) {
        event_free(client->timer);
    }

    free(client);
    curl_global_cleanup();
}
