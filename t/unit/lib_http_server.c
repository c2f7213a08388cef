/* What the HTTP server refuses, and clients that go away. */

#include "lib_http.h"

#define RAW(s)  raw(true, s, sizeof(s) - 1)
#define POST    "POST /echo/1 HTTP/1.0\r\n"
#define GET     "GET /echo/1 HTTP/1.0\r\n"


static void
test_refusals(void **state)
{
    char       big[MAX_BODY + 2];
    answer_t  *a;

    static const char *const  missing[] = {
        "/", "/echo", "/echo/", "/echo/a/", "/echo/a/b", "/two/1/x/", "/%00",
        "/echo/%00", "/echo/%2f", "/echo/%zz", "/echo/%1", "/echo/%0a", "//",
        "/Hold", "/hold/",
    };
    unsigned  i;

    for (i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        a = call(false, "GET", missing[i], NULL);
        assert_int_equal(a->status, 404);
        expect(a->body, "\"status\":404");
    }

    a = call(true, "PUT", "/echo/1", "{}");
    assert_int_equal(a->status, 405);
    expect(a->body, "this path takes GET, HEAD, POST");

    a = call(true, "DELETE", "/hold", NULL);
    assert_int_equal(a->status, 405);

    memset(big, ' ', sizeof(big));
    big[MAX_BODY] = '\0';
    a = call(true, "POST", "/echo/1", big);
    assert_int_equal(a->status, 200);
    big[MAX_BODY] = ' ';
    big[MAX_BODY + 1] = '\0';
    a = call(true, "POST", "/echo/1", big);
    assert_int_equal(a->status, 413);
    expect(a->body, "the body is limited to 4 KiB");
}


static void
test_raw(void **state)
{
    char    *text, path[400];
    size_t   len;
    const char  *reply;

    static const char  huge[] =
        "POST /echo/1 HTTP/1.0\r\nContent-Type: application/json\r\n"
        "Content-Length: 4194000\r\n\r\n";

    reply = RAW("GET /echo/1 HTTP/1.0\r\n\r\n");
    expect(reply, "200 OK");
    expect(reply, "Content-Type: application/json\r\n");
    expect(reply, "X-Content-Type-Options: nosniff");

    reply = RAW("HEAD /echo/1 HTTP/1.0\r\n\r\n");
    expect(reply, "200 OK");
    expect(reply, "Content-Length: 45\r\n");
    assert_null(strchr(reply, '{'));

    reply = RAW("HEAD /nope HTTP/1.0\r\n\r\n");
    expect(reply, "404 Not Found");
    assert_null(strchr(reply, '{'));

    reply = RAW("PATCH /hold HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    expect(reply, "405 Method Not Allowed");
    expect(reply, "Allow: GET, HEAD\r\n");
    expect(reply, "application/problem+json");

    reply = RAW("OPTIONS * HTTP/1.0\r\n\r\n");
    expect(reply, "404");
    reply = RAW("TRACE /hold HTTP/1.0\r\n\r\n");
    expect(reply, "405");
    reply = RAW("FOO /hold HTTP/1.0\r\n\r\n");
    expect(reply, " 501 ");
    reply = RAW("\x16\x03\x01garbage\r\n\r\n");
    reply = RAW("GET http:// HTTP/1.1\r\n\r\n");
    reply = RAW("CONNECT a:1 HTTP/1.1\r\n\r\n");
    reply = RAW("GET http://localhost/echo/1 HTTP/1.0\r\n\r\n");
    expect(reply, "200 OK");

    reply = RAW("POST /echo/1 HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
    expect(reply, "415 Unsupported Media Type");
    reply = RAW("POST /echo/1 HTTP/1.0\r\nContent-Type: text/plain\r\n"
                "Content-Length: 2\r\n\r\n{}");
    expect(reply, "415");
    reply = RAW("POST /echo/1 HTTP/1.0\r\nContent-Type: application/jsonx\r\n"
                "Content-Length: 2\r\n\r\n{}");
    expect(reply, "415");
    reply = RAW("POST /echo/1 HTTP/1.0\r\nContent-Type: Application/JSON; "
                "charset=utf-8\r\nContent-Length: 2\r\n\r\n{}");
    expect(reply, "200 OK");
    reply = RAW("POST /echo/1 HTTP/1.1\r\nHost: localhost\r\n"
                "Connection: close\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    expect(reply, "\"len\":2}");
    reply = RAW("POST /echo/1 HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Length: -1\r\n\r\n");
    reply = RAW("POST /echo/1 HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Length: 99999999999999999999\r\n\r\nx");
    assert_null(strstr(reply, "200 OK"));

    /* Far beyond the limit: evhttp's own answer, but an answer. */
    len = 4 * 1024 * 1024;
    text = malloc(len);
    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, huge, sizeof(huge) - 1);
    reply = raw(true, text, len);
    expect(reply, " 413 ");

    memset(text, 'a', len);
    memcpy(text, "GET /", 5);
    reply = raw(true, text, 100000);
    assert_null(strstr(reply, "200 OK"));
    free(text);

    /* A segment that does not fit. */
    memset(path, 'a', sizeof(path));
    memcpy(path, "GET /echo/", 10);
    memcpy(path + 10 + 127, " HTTP/1.0\r\n\r\n", 14);
    expect(raw(true, path, strlen(path)), "200 OK");
    memset(path + 10, 'a', sizeof(path) - 10);
    memcpy(path + 10 + 128, " HTTP/1.0\r\n\r\n", 14);
    expect(raw(true, path, strlen(path)), "404");
}


static void
test_pages(void **state)
{
    expect(RAW(GET "Host: evil.example\r\n\r\n"), " 403 ");
    expect(RAW(GET "Host: 127.0.0.1.evil.example:80\r\n\r\n"), " 403 ");
    expect(RAW(GET "Host: 127.0.0.1:7070\r\n\r\n"), " 200 ");
    expect(RAW(GET "Host: LocalHost\r\n\r\n"), " 200 ");
    expect(RAW(GET "Host: [::1]:7070\r\n\r\n"), " 200 ");
    expect(RAW(GET "Host: [\r\n\r\n"), " 403 ");
    expect(RAW(GET "Sec-Fetch-Site: cross-site\r\n\r\n"), " 200 ");
    expect(RAW(POST "Sec-Fetch-Site: cross-site\r\n\r\n"), " 403 ");
    expect(RAW(POST "Sec-Fetch-Site: same-origin\r\n\r\n"), " 200 ");
    expect(RAW(POST "Host: localhost:1\r\nOrigin: http://evil.example\r\n\r\n"),
           " 403 ");
    expect(RAW(POST "Host: localhost:1\r\nOrigin: null\r\n\r\n"), " 403 ");
    expect(RAW(POST "Host: localhost:1\r\nOrigin: http://localhost:1\r\n\r\n"),
           " 200 ");
    expect(raw(false, GET "Host: d\r\n\r\n", sizeof(GET "Host: d\r\n\r\n") - 1),
           " 200 ");
}


static void
test_deferred(void **state)
{
    int          fds[20];
    unsigned     i;
    answer_t     a;

    static const char  get[] = "GET /hold HTTP/1.1\r\nHost: [::1]\r\n\r\n";

    held_count = 0;
    start(&a, false, "GET", "/hold", NULL);
    run_ms(50);
    assert_int_equal(held_count, 1);
    assert_false(a.done);
    http_pending_json(held[0], 200, cJSON_CreateObject());
    finish(&a);
    assert_string_equal(a.body, "{}");

    held_count = 0;
    start(&a, true, "GET", "/hold", NULL);
    run_ms(50);
    http_pending_problem(held[0], 503, NULL, "no", NULL);
    finish(&a);
    assert_int_equal(a.status, 503);

    /* Clients that go away while they wait: by close, by half-close, with a
     * reset; some with a second request behind the first. */
    held_count = 0;

    for (i = 0; i < 20; i++) {
        fds[i] = raw_connect(i >= 10);
        assert_int_equal(send(fds[i], get, sizeof(get) - 1, 0),
                         sizeof(get) - 1);
    }

    run_ms(50);

    for (i = 0; i < 20; i++) {
        struct linger  linger = { 1, 0 };

        switch (i % 4) {
        case 0:
            break;
        case 1:
            send(fds[i], get, sizeof(get) - 1, MSG_NOSIGNAL);
            break;
        case 2:
            shutdown(fds[i], SHUT_WR);
            continue;
        default:
            setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &linger,
                       sizeof(linger));
            break;
        }

        close(fds[i]);
        fds[i] = -1;
    }

    run_ms(50);
    assert_true(held_count >= 20);

    for (i = 0; i < held_count; i++) {
        http_pending_json(held[i], 200, cJSON_CreateObject());
    }

    run_ms(50);

    for (i = 0; i < 20; i++) {
        if (fds[i] != -1) {
            close(fds[i]);
        }
    }

    run_ms(50);

    /* And the server still works. */
    assert_int_equal(call(true, "GET", "/echo/1", NULL)->status, 200);
}


static void
test_listen(void **state)
{
    int             fd;
    char            error[256], path[80], bad[300];
    unsigned        i;
    struct stat     st;
    http_server_t  *second;

    static const char *const  refused[] = {
        "", "7070", ":7070", "192.0.2.1:0", "tls:127.0.0.1:0", "::1:0",
        "example.com:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
        "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:99999999999999999999",
        "unix:", "unix:relative", "unix:/nonexistent/sock", "unix:/tmp",
        "[127.0.0.1:1", "127.0.0.1:1x",
    };

    assert_int_equal(stat(sock, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);

    second = http_server_new(base, routes, NULL, MAX_BODY);
    assert_non_null(second);
    assert_int_equal(http_server_port(second), 0);

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        error[0] = '\0';
        if (http_server_listen(second, refused[i], error, sizeof(error)) == 0)
        {
            fail_msg("%s was accepted", refused[i]);
        }

        assert_true(error[0] != '\0');
    }

    memset(bad, 'a', sizeof(bad) - 1);
    memcpy(bad, "unix:/", 6);
    bad[sizeof(bad) - 1] = '\0';
    assert_int_equal(http_server_listen(second, bad, error, 256), -1);
    bad[200] = ':';
    bad[201] = '1';
    bad[202] = '\0';
    assert_int_equal(http_server_listen(second, bad + 6, error, 256), -1);

    /* One that is alive is left alone. */
    assert_int_equal(http_server_listen(second, address, error, 256), -1);
    expect(error, "in use");
    assert_int_equal(call(false, "GET", "/echo/1", NULL)->status, 200);

    snprintf(bad, sizeof(bad), "127.0.0.1:%d", http_server_port(server));
    assert_int_equal(http_server_listen(second, bad, error, 256), -1);
    expect(error, "in use");

    /* A dead one is replaced, and removed in the end. */
    snprintf(path, sizeof(path), "%s/dead", dir);
    snprintf(bad, sizeof(bad), "unix:%s", path);
    {
        struct sockaddr_un  sun = { .sun_family = AF_UNIX };

        strcpy(sun.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &sun, sizeof(sun)), 0);
        close(fd);
    }
    assert_int_equal(http_server_listen(second, bad, error, 256), 0);
    assert_int_equal(http_server_listen(second, "localhost:0", error, 256), 0);
    assert_true(http_server_port(second) > 0);

    http_server_free(second);
    assert_int_equal(access(path, F_OK), -1);
    http_server_free(NULL);
}


/* The last one: nothing may be left of what is under way. */
static void
test_end(void **state)
{
    int       fd;
    answer_t  a;

    static const char  get[] = "GET /hold HTTP/1.0\r\n\r\n";

    held_count = 0;
    start(&a, false, "GET", "/hold", NULL);
    fd = raw_connect(true);
    assert_true(send(fd, get, sizeof(get) - 1, 0) > 0);
    run_ms(50);
    close(fd);
    run_ms(50);
    assert_int_equal(held_count, 2);

    http_server_free(server);
    server = NULL;
    http_pending_json(held[0], 200, cJSON_CreateObject());
    http_pending_problem(held[1], 500, NULL, NULL, cJSON_CreateObject());
    assert_int_equal(access(sock, F_OK), -1);
    finish(&a);
    assert_int_equal(a.status, 0);

    start(&a, false, "GET", "/hold", NULL);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_end),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
