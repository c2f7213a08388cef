/* What is sent to others: servers that answer, fail, hang, answer garbage,
 * close early or send elsewhere; a mail server; retries, limits, cancel. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "core/url.h"
#include "lib/fetch.h"

typedef struct {
    unsigned  calls;
    long      status;
    char      body[4096];
    char      error[256];
    unsigned  tries;
} answer_t;

static struct event_base      *base;
static fetch_t                *fetch;
static struct evconnlistener  *listener;
static int                     port;
static unsigned                requests;
static char                    seen[16384];    /* what clients sent */


/* ------------------------------------------------------------ the server */

static void
reply(struct bufferevent *bev, const char *text)
{
    bufferevent_write(bev, text, strlen(text));
}


static void
flushed(struct bufferevent *bev, void *arg)
{
    bufferevent_free(bev);
}


static void
gone(struct bufferevent *bev, short what, void *arg)
{
    bufferevent_free(bev);
}


static void
last(struct bufferevent *bev, const char *text)
{
    reply(bev, text);
    bufferevent_disable(bev, EV_READ);
    bufferevent_setcb(bev, NULL, flushed, gone, NULL);
}


static void
smtp(struct bufferevent *bev, void *arg)
{
    char         *line;
    size_t        len;
    bool         *data = arg;

    while ((line = evbuffer_readln(bufferevent_get_input(bev), &len,
                                   EVBUFFER_EOL_CRLF)) != NULL)
    {
        strncat(seen, line, sizeof(seen) - strlen(seen) - 2);
        strcat(seen, "\n");

        if (*data) {
            if (strcmp(line, ".") == 0) {
                *data = false;
                reply(bev, "250 taken\r\n");
            }

        } else if (strncmp(line, "EHLO", 4) == 0) {
            reply(bev, "250-fake\r\n250 SIZE 100000\r\n");

        } else if (strcmp(line, "DATA") == 0) {
            *data = true;
            reply(bev, "354 go on\r\n");

        } else if (strncmp(line, "RCPT TO:<bad", 12) == 0) {
            reply(bev, "550 nobody of that name\r\n");

        } else if (strcmp(line, "QUIT") == 0) {
            last(bev, "221 bye\r\n");

        } else {
            reply(bev, "250 ok\r\n");
        }

        free(line);
    }
}


static void
http(struct bufferevent *bev, void *arg)
{
    char              path[64], text[4096];
    int               len;
    struct evbuffer  *in = bufferevent_get_input(bev);

    if (evbuffer_search(in, "\r\n\r\n", 4, NULL).pos < 0) {
        return;
    }

    len = evbuffer_remove(in, text, sizeof(text) - 1);
    text[len] = '\0';
    strncat(seen, text, sizeof(seen) - strlen(seen) - 1);
    requests++;

    if (sscanf(text, "%*s %63s", path) != 1) {
        path[0] = '\0';
    }

    if (strcmp(path, "/ok") == 0
        || (strcmp(path, "/third") == 0 && requests == 3))
    {
        last(bev, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");

    } else if (strcmp(path, "/fail") == 0 || strcmp(path, "/third") == 0) {
        last(bev, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");

    } else if (strcmp(path, "/bad") == 0) {
        last(bev, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");

    } else if (strcmp(path, "/garbage") == 0) {
        last(bev, "\001\002 this is not HTTP\r\n\r\n");

    } else if (strcmp(path, "/early") == 0) {
        last(bev, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhal");

    } else if (strcmp(path, "/nothing") == 0) {
        bufferevent_free(bev);

    } else if (strcmp(path, "/away") == 0) {
        last(bev, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"
             "Content-Length: 0\r\n\r\n");

    } else if (strcmp(path, "/big") == 0) {
        last(bev, "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nx");
    }

    /* /hang: nothing */
}


static bool  smtp_mode, smtp_data;


static void
accepted(struct evconnlistener *from, evutil_socket_t fd,
    struct sockaddr *sa, int len, void *arg)
{
    struct bufferevent  *bev;

    bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    smtp_data = false;
    bufferevent_setcb(bev, smtp_mode ? smtp : http, NULL, gone, &smtp_data);
    bufferevent_enable(bev, EV_READ | EV_WRITE);

    if (smtp_mode) {
        reply(bev, "220 fake\r\n");
    }
}


/* --------------------------------------------------------------- helpers */

static void
done(void *arg, const fetch_result_t *result)
{
    answer_t  *answer = arg;

    answer->calls++;
    answer->status = result->status;
    answer->tries = result->tries;
    snprintf(answer->body, sizeof(answer->body), "%s", result->body);
    snprintf(answer->error, sizeof(answer->error), "%s", result->error);
    event_base_loopbreak(base);
}


static void
run_ms(int ms)
{
    struct timeval  tv = { ms / 1000, ms % 1000 * 1000 };

    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
}


/* At most 10 s. */
static void
run_until(const unsigned *count, unsigned n)
{
    int  i;

    for (i = 0; i < 500 && *count < n; i++) {
        run_ms(20);
    }
}


static fetch_request_t
request_to(const char *path)
{
    static char      url[256];
    fetch_request_t  request;

    memset(&request, 0, sizeof(request));
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
    request.url = url;
    request.timeout_ms = 5000;
    request.max_response = 4000;
    seen[0] = '\0';
    requests = 0;
    smtp_mode = false;

    return request;
}


static answer_t *
ask(const fetch_request_t *request)
{
    static answer_t  answer;

    memset(&answer, 0, sizeof(answer));
    assert_non_null(fetch_start(fetch, request, done, &answer));
    assert_int_equal(answer.calls, 0);

    run_until(&answer.calls, 1);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(fetch_count(fetch), 0);

    return &answer;
}


/* ----------------------------------------------------------------- tests */

static void
test_answers(void **state)
{
    answer_t         *a;
    fetch_request_t   r;

    static const char *const  headers[] = { "X-A: b", "Content-Type: x/y",
                                            NULL };

    r = request_to("/ok");
    r.body = "{}";
    r.headers = headers;
    a = ask(&r);
    assert_int_equal(a->status, 200);
    assert_string_equal(a->body, "fine");
    assert_string_equal(a->error, "");
    assert_non_null(strstr(seen, "POST /ok HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "X-A: b\r\n"));
    assert_non_null(strstr(seen, "Content-Type: x/y\r\n"));
    assert_null(strstr(seen, "application/json"));

    r = request_to("/bad");
    r.retries = 3;
    a = ask(&r);
    assert_int_equal(a->status, 400);
    assert_int_equal(requests, 1);         /* it would be refused again */

    r = request_to("/away");
    a = ask(&r);
    assert_int_equal(a->status, 302);      /* and that is all */

    r = request_to("/garbage");
    a = ask(&r);
    assert_int_equal(a->status, 0);
    assert_string_not_equal(a->error, "");

    r = request_to("/early");
    a = ask(&r);
    assert_int_equal(a->status, 0);
    assert_string_not_equal(a->error, "");

    r = request_to("/nothing");
    a = ask(&r);
    assert_int_equal(a->status, 0);
    assert_string_not_equal(a->error, "");

    r = request_to("/hang");
    r.timeout_ms = 60;
    a = ask(&r);
    assert_int_equal(a->status, 0);
    assert_non_null(strstr(a->error, "timed out"));

    r = request_to("/big");
    a = ask(&r);
    assert_int_equal(a->status, 0);
}


static void
test_retries(void **state)
{
    answer_t         *a;
    fetch_request_t   r;

    r = request_to("/third");
    r.retries = 5;
    r.backoff_ms = 4;
    a = ask(&r);
    assert_int_equal(a->status, 200);
    assert_int_equal(a->tries, 3);
    assert_int_equal(requests, 3);

    r = request_to("/fail");
    r.retries = 2;
    r.backoff_ms = 4;
    a = ask(&r);
    assert_int_equal(a->status, 503);
    assert_int_equal(a->tries, 3);

    r = request_to("/hang");
    r.retries = 1;
    r.timeout_ms = 40;
    a = ask(&r);
    assert_int_equal(a->tries, 2);

    r = request_to("/fail");
    a = ask(&r);
    assert_int_equal(a->tries, 1);
}


static void
test_backoff(void **state)
{
    unsigned  i;
    uint32_t  random;

    for (i = 1; i < 40; i++) {
        for (random = 0; random < 5000; random += 7) {
            assert_in_range(fetch_backoff(200, i, random),
                            i < 9 ? 100 << (i - 1) : 25000,
                            i < 9 ? 200 << (i - 1) : 60000);
        }
    }

    assert_int_equal(fetch_backoff(0, 3, 77), 0);
    assert_int_equal(fetch_backoff(-5, 3, 77), 0);
}


static void
test_refused(void **state)
{
    unsigned          i;
    answer_t         *a;
    fetch_request_t   r;

    static const char *const  urls[] = {
        "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "http://",
        "smtp://127.0.0.1", "http://user:secret@127.0.0.1/", "http:///x",
        "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "", "127.0.0.1"
    };
    static const char *const  split[] = { "X: y\r\nZ: 1", NULL };

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        r = request_to("/ok");
        r.url = urls[i];
        a = ask(&r);
        assert_int_equal(a->status, 0);
        assert_string_equal(a->error, "its url is not allowed");
        assert_int_equal(requests, 0);
    }

    r = request_to("/ok");
    r.headers = split;
    a = ask(&r);
    assert_string_equal(a->error, "it cannot be sent");
    assert_int_equal(requests, 0);
}


static void
test_cancel(void **state)
{
    unsigned          i;
    answer_t          a;
    fetch_call_t     *call;
    fetch_request_t   r;

    memset(&a, 0, sizeof(a));
    r = request_to("/hang");

    call = fetch_start(fetch, &r, done, &a);
    run_ms(20);
    fetch_cancel(call);

    r = request_to("/fail");
    r.retries = 5;
    r.backoff_ms = 5000;
    call = fetch_start(fetch, &r, done, &a);
    run_until(&requests, 1);
    run_ms(50);
    assert_int_equal(requests, 1);
    fetch_cancel(call);                    /* in its pause */

    r.url = "file:///";
    call = fetch_start(fetch, &r, done, &a);
    fetch_cancel(call);                    /* before it is told */
    fetch_cancel(NULL);
    run_ms(20);
    assert_int_equal(a.calls, 0);
    assert_int_equal(fetch_count(fetch), 0);

    /* more than there may be */

    r = request_to("/hang");
    for (i = 0; i < FETCH_MAX_UNDER_WAY; i++) {
        assert_non_null(fetch_start(fetch, &r, done, &a));
    }

    assert_int_equal(a.calls, 0);
    fetch_start(fetch, &r, done, &a);
    run_until(&a.calls, 1);
    assert_int_equal(a.calls, 1);
    assert_string_equal(a.error, "too many requests are under way");

    fetch_free(fetch);                     /* with all of them */
    fetch = fetch_new(base, NULL);
    run_ms(20);
    assert_int_equal(a.calls, 1);
}


static void
test_mail(void **state)
{
    char              url[64];
    answer_t         *a;
    fetch_request_t   r;

    static const char *const  to[] = { "ops@example.org", "b@example.org",
                                       NULL };
    static const char *const  bad[] = { "bad@example.org", NULL };

    r = request_to("/");
    snprintf(url, sizeof(url), "smtp://127.0.0.1:%d", port);
    smtp_mode = true;
    r.url = url;
    r.mail_from = "canaryd@example.org";
    r.mail_to = to;
    r.body = "Subject: x\r\n\r\nhello\r\n.hidden\r\n";
    a = ask(&r);
    assert_string_equal(a->error, "");
    assert_int_equal(a->status, 250);
    assert_non_null(strstr(seen, "MAIL FROM:<canaryd@example.org>"));
    assert_non_null(strstr(seen, "RCPT TO:<ops@example.org>\n"
                                 "RCPT TO:<b@example.org>\n"));
    assert_non_null(strstr(seen, "hello\n..hidden\n.\n"));

    r.mail_to = bad;
    a = ask(&r);
    assert_int_equal(a->status, 0);
    assert_string_not_equal(a->error, "");

    /* a password is never sent in the clear */

    seen[0] = '\0';
    r.mail_to = to;
    r.user = "anna";
    r.password = "hush";
    a = ask(&r);
    assert_int_equal(a->status, 0);
    assert_null(strstr(seen, "AUTH"));
    assert_null(strstr(seen, "MAIL"));

    r.url = "http://127.0.0.1/";
    a = ask(&r);
    assert_string_equal(a->error, "its url is not allowed");
}


static void
test_urls(void **state)
{
    char  longer[700];

    assert_true(url_is_http("http://a"));
    assert_true(url_is_http("https://a.b:1/c?d=e&f=%20@"));
    assert_true(url_is_http("http://[::1]:80/"));
    assert_false(url_is_http("HTTP://a"));
    assert_false(url_is_http("http://a/#b"));
    assert_false(url_is_http("http://a@b/"));
    assert_false(url_is_http("http://\xc3\xa4/"));

    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "http://", 7);
    longer[URL_LEN] = '\0';
    assert_false(url_is_http(longer));
    longer[URL_LEN - 1] = '\0';
    assert_true(url_is_http(longer));

    assert_true(url_is_server("10.0.0.1:80"));
    assert_true(url_is_server("[::1]:8080"));
    assert_true(url_is_server("unix:/run/x.sock"));
    assert_true(url_is_server("host-a.internal:1"));
    assert_false(url_is_server("10.0.0.1"));
    assert_false(url_is_server("10.0.0.1:0"));
    assert_false(url_is_server("10.0.0.1:65536"));
    assert_false(url_is_server("10.0.0.1:80/x"));
    assert_false(url_is_server("a@b:80"));
    assert_false(url_is_server("::1:80"));
    assert_false(url_is_server("unix:x"));
    assert_false(url_is_server(""));
    assert_false(url_is_server(":80"));
}


static int
setup(void **state)
{
    socklen_t           len;
    struct sockaddr_in  sin;

    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    fetch = fetch_new(base, NULL);
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = evconnlistener_new_bind(base, accepted, NULL,
                                       LEV_OPT_CLOSE_ON_FREE, 512,
                                       (struct sockaddr *) &sin, sizeof(sin));
    len = sizeof(sin);

    if (fetch == NULL || listener == NULL
        || getsockname(evconnlistener_get_fd(listener),
                       (struct sockaddr *) &sin, &len) != 0)
    {
        return -1;
    }

    port = ntohs(sin.sin_port);

    return 0;
}


static int
teardown(void **state)
{
    fetch_free(fetch);
    evconnlistener_free(listener);
    run_ms(50);                            /* the last connections */
    event_base_free(base);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_urls),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
