/* Exchanges of client and server, and what may happen to them. */

#include "lib_http.h"


static void
test_exchange(void **state)
{
    int        tcp;
    answer_t  *a;

    for (tcp = 0; tcp < 2; tcp++) {
        a = call(tcp, "GET", "/echo/x%20y%25?q=1&r=%26", NULL);
        assert_string_equal(a->error, "");
        assert_int_equal(a->status, 200);
        assert_string_equal(a->body, "{\"a\":\"x y%\",\"b\":\"\","
                            "\"body\":\"\",\"query\":\"q=1&r=%26\","
                            "\"len\":0}");

        a = call(tcp, "POST", "/two/1/x/2", "{\"k\": 1}");
        assert_int_equal(a->status, 200);
        assert_string_equal(a->body, "{\"a\":\"1\",\"b\":\"2\","
                            "\"body\":\"{\\\"k\\\": 1}\",\"query\":\"\","
                            "\"len\":8}");

        a = call(tcp, "POST", "/echo/1", NULL);
        assert_int_equal(a->status, 200);

        a = call(tcp, "POST", "/problem", NULL);
        assert_int_equal(a->status, 409);
        assert_string_equal(a->body, "{\"type\":\"about:blank\","
                            "\"title\":\"Conflict\",\"status\":409,"
                            "\"detail\":\"it is 7\",\"field\":\"revision\","
                            "\"revision\":7,\"rollout\":\"app-1\"}");
    }
}


static void
test_client_errors(void **state)
{
    answer_t        a;
    http_call_t     c;

    memset(&c, 0, sizeof(c));
    memset(&a, 0, sizeof(a));
    c.method = "GET";
    c.socket_path = sock;
    c.url = "http://localhost/hold";
    c.timeout_ms = 50;
    c.max_response = 1000;

    held_count = 0;
    assert_non_null(http_client_send(client, &c, done, &a));
    finish(&a);
    assert_int_equal(a.status, 0);
    expect(a.error, "timed out");
    assert_int_equal(held_count, 1);
    run_ms(20);
    http_pending_json(held[0], 200, cJSON_CreateObject());

    c.url = "http://localhost/big";
    c.timeout_ms = 1000;
    memset(&a, 0, sizeof(a));
    assert_non_null(http_client_send(client, &c, done, &a));
    finish(&a);
    assert_int_equal(a.status, 0);
    assert_string_equal(a.error, "the response is too large");

    c.max_response = 50000;
    memset(&a, 0, sizeof(a));
    assert_non_null(http_client_send(client, &c, done, &a));
    finish(&a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 50000);

    c.socket_path = "/nonexistent/sock";
    memset(&a, 0, sizeof(a));
    assert_non_null(http_client_send(client, &c, done, &a));
    finish(&a);
    assert_int_equal(a.status, 0);
    expect(a.error, "unix:/nonexistent/sock: No such file");

    c.socket_path = NULL;
    c.url = "file:///etc/passwd";
    memset(&a, 0, sizeof(a));
    assert_non_null(http_client_send(client, &c, done, &a));
    finish(&a);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.body_len, 0);
}


/* A callback that sends, cancels, cancels itself and frees the client. */

static http_client_t   *other;
static http_request_t  *self, *victim;
static int              rounds, victims;


static void
victim_done(void *arg, const http_response_t *response)
{
    victims++;
}


static void
again(void *arg, const http_response_t *response)
{
    http_call_t  c;

    memset(&c, 0, sizeof(c));
    c.method = "GET";
    c.socket_path = sock;
    c.timeout_ms = 1000;
    c.max_response = 1000;

    http_client_cancel(self);
    http_client_cancel(victim);
    victim = NULL;
    rounds++;

    if (rounds == 20) {
        c.url = "http://localhost/echo/1";
        http_client_send(other, &c, victim_done, NULL);
        http_client_free(other);
        return;
    }

    c.url = "http://localhost/hold";
    victim = http_client_send(other, &c, victim_done, NULL);

    if (rounds % 2) {
        c.url = "http://localhost/echo/1";
    } else {
        c.socket_path = "/nonexistent";
    }

    self = http_client_send(other, &c, again, NULL);
}


static void
test_reentrant(void **state)
{
    int          i;
    unsigned     k;
    http_call_t  c;

    held_count = 0;
    other = http_client_new(base);
    assert_non_null(other);

    memset(&c, 0, sizeof(c));
    c.method = "GET";
    c.url = "http://localhost/echo/1";
    c.socket_path = sock;
    c.timeout_ms = 1000;
    c.max_response = 1000;
    self = http_client_send(other, &c, again, NULL);

    for (i = 0; i < 200 && rounds < 20; i++) {
        run_ms(10);
    }

    assert_int_equal(rounds, 20);
    run_ms(50);
    assert_int_equal(victims, 0);

    for (k = 0; k < held_count; k++) {
        http_pending_json(held[k], 200, cJSON_CreateObject());
    }

    run_ms(50);
}


static void
test_cancel(void **state)
{
    answer_t         a, b;
    http_request_t  *request;

    held_count = 0;
    request = start(&a, false, "GET", "/echo/1", NULL);
    http_client_cancel(request);
    request = start(&b, true, "GET", "/hold", NULL);
    run_ms(50);
    http_client_cancel(request);
    run_ms(50);
    assert_false(a.done);
    assert_false(b.done);
    assert_int_equal(held_count, 1);
    http_pending_json(held[0], 200, cJSON_CreateObject());
    run_ms(20);
    http_client_cancel(NULL);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_client_errors),
        cmocka_unit_test(test_reentrant),
        cmocka_unit_test(test_cancel),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
