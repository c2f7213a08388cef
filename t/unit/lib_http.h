/* The HTTP client against the HTTP server, in one loop; and raw clients that
 * do what curl would not. */

#ifndef LIB_HTTP_TEST_H
#define LIB_HTTP_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "lib/http_client.h"
#include "lib/http_server.h"

#define MAX_BODY  4096

typedef struct {
    bool     done;
    long     status;
    char     body[65536];
    size_t   body_len;
    char     error[256];
} answer_t;

static struct event_base  *base;
static http_server_t      *server;
static http_client_t      *client;
static http_pending_t     *held[64];
static unsigned            held_count;
static char                dir[] = "/tmp/lib_http.XXXXXX";
static char                sock[64];
static char                address[80];


/* -------------------------------------------------------------- handlers */

static void
handle_echo(void *arg, http_exchange_t *exchange)
{
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "a", exchange->params[0]);
    cJSON_AddStringToObject(json, "b", exchange->params[1]);
    cJSON_AddStringToObject(json, "body", exchange->body);
    cJSON_AddStringToObject(json, "query", exchange->query);
    cJSON_AddNumberToObject(json, "len", (double) exchange->body_len);
    http_answer_json(exchange->request, 200, json);
}


static void
handle_hold(void *arg, http_exchange_t *exchange)
{
    assert_true(held_count < 64);
    held[held_count++] = http_defer(exchange);
}


static void
handle_big(void *arg, http_exchange_t *exchange)
{
    static char  big[50000];

    memset(big, 'x', sizeof(big));
    http_answer_text(exchange->request, 200, "text/plain", big, sizeof(big));
}


static void
handle_problem(void *arg, http_exchange_t *exchange)
{
    cJSON  *extra;

    extra = cJSON_CreateObject();
    cJSON_AddNumberToObject(extra, "revision", 7);
    cJSON_AddStringToObject(extra, "rollout", "app-1");
    http_answer_problem(exchange->request, 409, "revision", "it is 7", extra);
}


static const http_route_t  routes[] = {
    { "GET", "/echo/{}", handle_echo, 0, 0 },
    { "POST", "/echo/{}", handle_echo, 0, 0 },
    { "POST", "/two/{}/x/{}", handle_echo, 0, 0 },
    { "GET", "/hold", handle_hold, 0, 0 },
    { "GET", "/big", handle_big, 0, 0 },
    { "POST", "/problem", handle_problem, 0, 0 },
    { NULL, NULL, NULL, 0, 0 }
};


/* --------------------------------------------------------------- helpers */

static void
done(void *arg, const http_response_t *response)
{
    answer_t  *answer;

    answer = arg;
    assert_false(answer->done);
    assert_true(response->body_len < sizeof(answer->body));
    assert_int_equal(response->body[response->body_len], '\0');

    answer->done = true;
    answer->status = response->status;
    answer->body_len = response->body_len;
    memcpy(answer->body, response->body, response->body_len + 1);
    snprintf(answer->error, sizeof(answer->error), "%s", response->error);
}


static void
run_ms(int ms)
{
    struct timeval  tv;

    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
}


__attribute__((unused)) static http_request_t *
start(answer_t *answer, bool tcp, const char *method, const char *path,
    const char *body)
{
    char            url[512];
    http_call_t     call;
    http_request_t  *request;

    memset(answer, 0, sizeof(*answer));
    memset(&call, 0, sizeof(call));
    snprintf(url, sizeof(url), "http://localhost:%d%s",
             server ? http_server_port(server) : 1, path);

    call.method = method;
    call.socket_path = tcp ? NULL : sock;
    call.url = url;
    call.body = body;
    call.body_len = body ? strlen(body) : 0;
    call.timeout_ms = 5000;
    call.max_response = sizeof(answer->body) - 1;

    request = http_client_send(client, &call, done, answer);
    assert_non_null(request);
    assert_false(answer->done);

    /* All is copied. */
    memset(url, 'x', sizeof(url));
    return request;
}


static void
finish(answer_t *answer)
{
    int  i;

    for (i = 0; i < 500 && !answer->done; i++) {
        run_ms(10);
    }

    assert_true(answer->done);
}


__attribute__((unused)) static answer_t *
call(bool tcp, const char *method, const char *path, const char *body)
{
    static answer_t  answer;

    start(&answer, tcp, method, path, body);
    finish(&answer);
    return &answer;
}


__attribute__((unused)) static int
raw_connect(bool tcp)
{
    int                  fd, rc;
    struct sockaddr_in   sin;
    struct sockaddr_un   sun;

    memset(&sin, 0, sizeof(sin));
    memset(&sun, 0, sizeof(sun));

    if (tcp) {
        sin.sin_family = AF_INET;
        sin.sin_port = htons((uint16_t) http_server_port(server));
        sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *) &sin, sizeof(sin));

    } else {
        sun.sun_family = AF_UNIX;
        strcpy(sun.sun_path, sock);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *) &sun, sizeof(sun));
    }

    assert_int_equal(rc, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}


/* Sends all of text while the loop runs; what came back, in a static. */
__attribute__((unused)) static const char *
raw(bool tcp, const char *text, size_t len)
{
    int          fd, idle;
    size_t       sent, used;
    ssize_t      n;

    static char  reply[65536];

    fd = raw_connect(tcp);
    sent = 0;
    used = 0;

    for (idle = 0; idle < 20; idle++) {
        n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);

        if (n > 0) {
            sent += (size_t) n;
            idle = 0;
        }

        run_ms(5);
        n = recv(fd, reply + used, sizeof(reply) - 1 - used, 0);

        if (n == 0) {
            break;
        }

        if (n > 0) {
            used += (size_t) n;
            idle = 0;
        }
    }

    close(fd);
    reply[used] = '\0';
    return reply;
}


__attribute__((unused)) static void
expect(const char *reply, const char *what)
{
    if (strstr(reply, what) == NULL) {
        fail_msg("no \"%s\" in \"%.600s\"", what, reply);
    }
}


static int
setup(void **state)
{
    char  error[256];

    base = event_base_new();
    client = http_client_new(base);
    server = http_server_new(base, routes, NULL, MAX_BODY);

    if (client == NULL || server == NULL || mkdtemp(dir) == NULL) {
        return -1;
    }

    snprintf(sock, sizeof(sock), "%s/s", dir);
    snprintf(address, sizeof(address), "unix:%s", sock);

    return http_server_listen(server, address, error, sizeof(error))
           || http_server_listen(server, "127.0.0.1:0", error, sizeof(error));
}


static int
teardown(void **state)
{
    http_client_free(client);
    http_server_free(server);
    event_base_free(base);
    return rmdir(dir);
}

#endif
