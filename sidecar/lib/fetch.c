#include "fetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/url.h"
#include "http_client.h"
#include "mail.h"

#define FETCH_MAX_BACKOFF  60000

struct fetch_s {
    struct event_base  *base;
    http_client_t      *client;
    char               *ca_file;
    fetch_call_t       *calls;
    unsigned            count;
};

struct fetch_call_s {
    fetch_t          *fetch;
    fetch_call_t     *prev;
    fetch_call_t     *next;
    fetch_done_pt     done;
    void             *arg;
    struct event     *timer;       /* a pause, or what failed at once */
    http_request_t   *under_way;
    mail_t           *mail;
    const char       *failed;      /* at once; NULL: not */

    fetch_request_t   request;     /* points into what follows */
    char             *headers[FETCH_MAX_HEADERS + 1];
    char             *to[FETCH_MAX_TO + 1];
    size_t            body_len;
    int64_t           begun_ms;    /* this try */
    unsigned          tries;
};


static void fetch_try(fetch_call_t *call);
static void fetch_timer(evutil_socket_t fd, short what, void *arg);
static void fetch_answer(void *arg, const http_response_t *response);
static void fetch_mailed(void *arg, long status, const char *error);
static void fetch_end(fetch_call_t *call, const fetch_result_t *result);
static void fetch_drop(fetch_call_t *call);


static int64_t
fetch_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* Without memory nothing sensible is left to do. */
static char *
fetch_copy(const char *text)
{
    char  *copy;

    if (text == NULL) {
        return NULL;
    }

    copy = strdup(text);
    if (copy == NULL) {
        abort();
    }

    return copy;
}


fetch_t *
fetch_new(struct event_base *base, const char *ca_file)
{
    fetch_t  *fetch;

    fetch = calloc(1, sizeof(fetch_t));
    if (fetch == NULL) {
        return NULL;
    }

    fetch->base = base;
    fetch->ca_file = fetch_copy(ca_file);
    fetch->client = http_client_new(base);

    if (fetch->client == NULL) {
        fetch_free(fetch);
        return NULL;
    }

    return fetch;
}


void
fetch_free(fetch_t *fetch)
{
    if (fetch == NULL) {
        return;
    }

    while (fetch->calls != NULL) {
        fetch_drop(fetch->calls);
    }

    http_client_free(fetch->client);
    free(fetch->ca_file);
    free(fetch);
}


unsigned
fetch_count(const fetch_t *fetch)
{
    return fetch->count;
}


bool
fetch_ok(const fetch_result_t *result)
{
    return result->error[0] == '\0' && result->status >= 200
           && result->status < 300;
}


static unsigned
fetch_copy_list(char **to, unsigned max, const char *const *from)
{
    unsigned  n;

    for (n = 0; from != NULL && from[n] != NULL; n++) {
        if (n == max) {
            return max + 1;
        }

        to[n] = fetch_copy(from[n]);
    }

    return n;
}


/* What is wrong with it; NULL: nothing. */
static const char *
fetch_check(const fetch_t *fetch, const fetch_call_t *call, unsigned headers,
    unsigned to)
{
    const fetch_request_t  *request = &call->request;

    if (fetch->count > FETCH_MAX_UNDER_WAY) {
        return "too many requests are under way";
    }

    if (headers > FETCH_MAX_HEADERS || to > FETCH_MAX_TO) {
        return "too many headers or receivers";
    }

    if (request->mail_from != NULL ? !url_is_mail(request->url)
                                   : !url_is_http(request->url))
    {
        return "its url is not allowed";
    }

    return NULL;
}


fetch_call_t *
fetch_start(fetch_t *fetch, const fetch_request_t *request,
    fetch_done_pt done, void *arg)
{
    unsigned          headers, to;
    fetch_call_t     *call;
    struct timeval    now = { 0, 0 };
    fetch_request_t  *own;

    call = calloc(1, sizeof(fetch_call_t));
    if (call == NULL) {
        abort();
    }

    call->fetch = fetch;
    call->done = done;
    call->arg = arg;
    call->next = fetch->calls;

    if (call->next != NULL) {
        call->next->prev = call;
    }

    fetch->calls = call;
    fetch->count++;

    headers = fetch_copy_list(call->headers, FETCH_MAX_HEADERS,
                              request->headers);
    to = fetch_copy_list(call->to, FETCH_MAX_TO, request->mail_to);

    own = &call->request;
    *own = *request;
    own->method = fetch_copy(request->method != NULL ? request->method
                             : request->body != NULL ? "POST" : "GET");
    own->url = fetch_copy(request->url);
    own->socket_path = fetch_copy(request->socket_path);
    own->body = fetch_copy(request->body);
    own->mail_from = fetch_copy(request->mail_from);
    own->user = fetch_copy(request->user);
    own->password = fetch_copy(request->password);
    own->headers = (const char *const *) call->headers;
    own->mail_to = (const char *const *) call->to;
    call->body_len = own->body != NULL ? strlen(own->body) : 0;

    if (own->retries >= FETCH_MAX_TRIES) {
        own->retries = FETCH_MAX_TRIES - 1;
    }

    call->timer = evtimer_new(fetch->base, fetch_timer, call);
    if (call->timer == NULL) {
        abort();
    }

    call->failed = fetch_check(fetch, call, headers, to);

    if (call->failed != NULL) {
        evtimer_add(call->timer, &now);
        return call;
    }

    fetch_try(call);

    return call;
}


void
fetch_cancel(fetch_call_t *call)
{
    if (call != NULL) {
        fetch_drop(call);
    }
}


static void
fetch_mail(fetch_call_t *call)
{
    mail_call_t             mail;
    const fetch_request_t  *request = &call->request;

    memset(&mail, 0, sizeof(mail_call_t));
    mail.url = request->url;
    mail.from = request->mail_from;
    mail.to = request->mail_to;
    mail.text = request->body;
    mail.user = request->user;
    mail.password = request->password;
    mail.ca_file = call->fetch->ca_file;
    mail.timeout_ms = (long) request->timeout_ms;

    call->mail = mail_send(call->fetch->base, &mail, fetch_mailed, call);
}


static void
fetch_try(fetch_call_t *call)
{
    http_call_t             http;
    struct timeval          now = { 0, 0 };
    const fetch_request_t  *request = &call->request;

    memset(&http, 0, sizeof(http_call_t));
    http.method = request->method;
    http.socket_path = request->socket_path;
    http.url = request->url;
    http.body = request->body;
    http.body_len = call->body_len;
    http.headers = request->headers;
    http.ca_file = call->fetch->ca_file;
    http.timeout_ms = (long) request->timeout_ms;
    http.max_response = request->max_response;

    call->tries++;
    call->begun_ms = fetch_now();

    if (request->mail_from != NULL) {
        fetch_mail(call);

    } else {
        call->under_way = http_client_send(call->fetch->client, &http,
                                           fetch_answer, call);
    }

    if (call->under_way == NULL && call->mail == NULL) {
        call->failed = "it cannot be sent";
        evtimer_add(call->timer, &now);
    }
}


static void
fetch_timer(evutil_socket_t fd, short what, void *arg)
{
    fetch_call_t    *call = arg;
    fetch_result_t   result;

    if (call->failed == NULL) {
        fetch_try(call);
        return;
    }

    memset(&result, 0, sizeof(fetch_result_t));
    result.body = "";
    result.error = call->failed;
    result.tries = call->tries;
    fetch_end(call, &result);
}


int64_t
fetch_backoff(int64_t backoff_ms, unsigned try, uint32_t random)
{
    unsigned  i;

    for (i = 1; i < try && backoff_ms < FETCH_MAX_BACKOFF; i++) {
        backoff_ms *= 2;
    }

    if (backoff_ms > FETCH_MAX_BACKOFF) {
        backoff_ms = FETCH_MAX_BACKOFF;
    }

    if (backoff_ms < 0) {
        backoff_ms = 0;
    }

    /* Who failed together must not come again together. */
    return backoff_ms / 2
           + (int64_t) (random % (uint64_t) (backoff_ms / 2 + 1));
}


static bool
fetch_again(const fetch_call_t *call, const http_response_t *response)
{
    if (call->tries > call->request.retries) {
        return false;
    }

    return response->status == 0 || response->status == 408
           || response->status == 429 || response->status >= 500;
}


static void
fetch_answer(void *arg, const http_response_t *response)
{
    int64_t          pause;
    uint32_t         random;
    fetch_call_t    *call = arg;
    fetch_result_t   result;
    struct timeval   tv;

    call->under_way = NULL;

    if (fetch_again(call, response)) {
        random = 0;
        (void) !getrandom(&random, sizeof(random), GRND_NONBLOCK);
        pause = fetch_backoff(call->request.backoff_ms, call->tries, random);
        tv.tv_sec = pause / 1000;
        tv.tv_usec = pause % 1000 * 1000;
        evtimer_add(call->timer, &tv);
        return;
    }

    memset(&result, 0, sizeof(fetch_result_t));
    result.status = response->status;
    result.body = response->body;
    result.body_len = response->body_len;
    result.error = response->error;
    result.ms = fetch_now() - call->begun_ms;
    result.tries = call->tries;
    fetch_end(call, &result);
}


static void
fetch_mailed(void *arg, long status, const char *error)
{
    fetch_call_t     *call = arg;
    http_response_t   response;

    call->mail = NULL;
    memset(&response, 0, sizeof(http_response_t));
    response.status = status;
    response.body = "";
    response.error = error;
    fetch_answer(call, &response);
}


static void
fetch_end(fetch_call_t *call, const fetch_result_t *result)
{
    void           *arg = call->arg;
    fetch_done_pt   done = call->done;

    /* First, so that whoever is called may do as he likes. */
    fetch_drop(call);
    done(arg, result);
}


static void
fetch_drop(fetch_call_t *call)
{
    unsigned  i;

    if (call->prev != NULL) {
        call->prev->next = call->next;

    } else {
        call->fetch->calls = call->next;
    }

    if (call->next != NULL) {
        call->next->prev = call->prev;
    }

    call->fetch->count--;

    http_client_cancel(call->under_way);
    mail_cancel(call->mail);
    event_free(call->timer);

    for (i = 0; i <= FETCH_MAX_HEADERS && call->headers[i] != NULL; i++) {
        explicit_bzero(call->headers[i], strlen(call->headers[i]));
        free(call->headers[i]);
    }

    for (i = 0; i <= FETCH_MAX_TO && call->to[i] != NULL; i++) {
        free(call->to[i]);
    }

    if (call->request.password != NULL) {
        explicit_bzero((char *) call->request.password,
                       strlen(call->request.password));
    }

    free((char *) call->request.method);
    free((char *) call->request.url);
    free((char *) call->request.socket_path);
    free((char *) call->request.body);
    free((char *) call->request.mail_from);
    free((char *) call->request.user);
    free((char *) call->request.password);
    free(call);
}
