/*
 * What canaryd sends to others: one request, tried again with growing pauses
 * where that makes sense, and one answer.  Bounded in number, size and time;
 * only http, https, and smtp and smtps for mail; redirects are not followed.
 */

#ifndef LIB_FETCH_H
#define LIB_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#define FETCH_MAX_UNDER_WAY  256
#define FETCH_MAX_HEADERS    16
#define FETCH_MAX_TO         16
#define FETCH_MAX_TRIES      11

typedef struct fetch_s       fetch_t;
typedef struct fetch_call_s  fetch_call_t;

typedef struct {
    const char         *method;    /* NULL: POST with a body, else GET */
    const char         *url;
    const char         *socket_path;   /* unix socket; NULL: TCP */
    const char *const  *headers;   /* "Name: value", NULL ends; may be NULL */
    const char         *body;      /* NULL: none */
    int64_t             timeout_ms;    /* of each try */
    size_t              max_response;
    unsigned            retries;   /* after the first try */
    int64_t             backoff_ms;    /* before the second try; it doubles
                                      each time, to a minute */
    const char         *mail_from; /* not NULL: the body is a mail */
    const char *const  *mail_to;
    const char         *user;      /* of the mail server; NULL: no login */
    const char         *password;
} fetch_request_t;                 /* all copied by fetch_start() */

typedef struct {
    long         status;           /* of the last try; 0: no answer */
    const char  *body;             /* NUL-terminated, valid in the callback */
    size_t       body_len;
    const char  *error;            /* "" if there was an answer */
    int64_t      ms;               /* that the last try took */
    unsigned     tries;
} fetch_result_t;

typedef void (*fetch_done_pt)(void *arg, const fetch_result_t *result);

/* ca_file (NULL: the system's) is copied.  NULL: no memory. */
fetch_t *fetch_new(struct event_base *base, const char *ca_file);
/* Cancels what is under way, without callbacks. */
void fetch_free(fetch_t *fetch);

/*
 * done is called exactly once, from the loop and never from inside this call,
 * unless the call is cancelled; what cannot be sent at all ends with an
 * error, too.  The call is gone when done is called.  No answer, 408, 429 and
 * 5xx are tried again, if retries are asked for.
 */
fetch_call_t *fetch_start(fetch_t *fetch, const fetch_request_t *request,
    fetch_done_pt done, void *arg);
/* NULL is none. */
void fetch_cancel(fetch_call_t *call);

/* An answer of the 200s. */
bool fetch_ok(const fetch_result_t *result);

/* Calls under way. */
unsigned fetch_count(const fetch_t *fetch);

/* The pause before a further try (1: the second), with a jitter between half
 * and all of it, taken from random. */
int64_t fetch_backoff(int64_t backoff_ms, unsigned try, uint32_t random);

#endif
