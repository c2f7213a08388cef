/* Smoke tests, hooks and checks of a spec; what a check's answer means. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/spec_gates.h"

#define HEAD  "{\"upstream\":\"app\",\"canary\":\"green\","


static int
parse(const char *text, rollout_spec_t *spec, spec_error_t *error)
{
    int     rc;
    cJSON  *json;

    memset(error, 0, sizeof(*error));
    json = cJSON_Parse(text);
    assert_non_null(json);
    rc = spec_parse(json, spec, error);
    cJSON_Delete(json);

    return rc;
}


static void
test_spec(void **state)
{
    char            *once, *twice;
    cJSON           *json;
    spec_error_t     error;
    rollout_spec_t   spec, again;

    assert_int_equal(parse(HEAD
        "\"smoke\":[{\"name\":\"home\",\"method\":\"POST\",\"path\":\"/a?b\","
        "\"headers\":{\"Host\":\"x.y\",\"X-A\":\"b\"},\"status\":201,"
        "\"body_contains\":\"ok\",\"timeout\":\"500ms\",\"max_ms\":90,"
        "\"servers\":[\"10.0.0.1:80\"]},{}],"
        "\"hooks\":[{\"on\":\"before-start\",\"url\":\"http://h/\","
        "\"secret\":\"deploy\",\"retries\":1},"
        "{\"on\":\"event\",\"url\":\"https://h/e\"}],"
        "\"checks\":[{\"name\":\"cpu\",\"prometheus\":{\"url\":\"http://p\","
        "\"query\":\"up\"},\"max\":0.5},{\"name\":\"ok\",\"http\":{\"url\":"
        "\"http://q/\",\"path\":\"a.0\",\"equals\":true}}],"
        "\"checks_every\":\"10s\"}", &spec, &error), 0);

    assert_int_equal(spec.gate_set, 1u << ROLLOUT_GATE_SMOKE
                     | 1u << ROLLOUT_GATE_BEFORE_START
                     | 1u << ROLLOUT_GATE_CHECKS);
    assert_int_equal(spec.checks_every_ms, 10000);
    assert_int_equal(spec.gates->smoke_count, 2);
    assert_string_equal(spec.gates->smoke[0].headers[1], "X-A: b");
    assert_string_equal(spec.gates->smoke[1].name, "/");
    assert_int_equal(spec.gates->hooks[1].retries, 3);
    assert_string_equal(spec.gates->checks[1].equals, "true");

    json = spec_print(&spec);
    once = cJSON_PrintUnformatted(json);
    assert_int_equal(spec_parse(json, &again, &error), 0);
    cJSON_Delete(json);
    json = spec_print(&again);
    twice = cJSON_PrintUnformatted(json);
    assert_string_equal(once, twice);
    assert_memory_equal(spec.gates->smoke, again.gates->smoke,
                        2 * sizeof(gates_smoke_t));
    cJSON_Delete(json);
    free(once);
    free(twice);
    spec_free(&again);
    spec_free(&spec);

    assert_int_equal(parse(HEAD "\"smoke\":[],\"hooks\":[]}", &spec, &error),
                     0);
    assert_int_equal(spec.gate_set, 0);
    spec_free(&spec);
}


static void
test_refused(void **state)
{
    unsigned         i;
    spec_error_t     error;
    rollout_spec_t   spec;

    static const struct {
        const char  *text;
        const char  *field;
    } cases[] = {
        { "\"smoke\":{}", "smoke" },
        { "\"smoke\":[1]", "smoke[0]" },
        { "\"smoke\":[{},{\"path\":\"x\"}]", "smoke[1].path" },
        { "\"smoke\":[{\"path\":\"/a b\"}]", "smoke[0].path" },
        { "\"smoke\":[{\"method\":\"TRACE\"}]", "smoke[0].method" },
        { "\"smoke\":[{\"status\":99}]", "smoke[0].status" },
        { "\"smoke\":[{\"timeout\":\"2m\"}]", "smoke[0].timeout" },
        { "\"smoke\":[{\"max_ms\":0}]", "smoke[0].max_ms" },
        { "\"smoke\":[{\"wrong\":0}]", "smoke[0].wrong" },
        { "\"smoke\":[{\"headers\":{\"A\":\"b\\r\\nC: d\"}}]",
          "smoke[0].headers.A" },
        { "\"smoke\":[{\"headers\":{\"A:\":\"b\"}}]", "smoke[0].headers.A:" },
        { "\"smoke\":[{\"servers\":[\"x\"]}]", "smoke[0].servers" },
        { "\"smoke\":[{\"servers\":[]}]", "smoke[0].servers" },
        { "\"smoke\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]",
          "smoke" },
        { "\"hooks\":[{\"on\":\"event\"}]", "hooks[0].url" },
        { "\"hooks\":[{\"on\":\"event\",\"url\":\"file:///x\"}]",
          "hooks[0].url" },
        { "\"hooks\":[{\"on\":\"event\",\"url\":\"http://a:b@c/\"}]",
          "hooks[0].url" },
        { "\"hooks\":[{\"on\":\"smoke\",\"url\":\"http://a/\"}]",
          "hooks[0].on" },
        { "\"hooks\":[{\"url\":\"http://a/\"}]", "hooks[0].on" },
        { "\"hooks\":[{\"on\":\"event\",\"url\":\"http://a/\","
          "\"retries\":11}]", "hooks[0].retries" },
        { "\"hooks\":[{\"on\":\"event\",\"url\":\"http://a/\","
          "\"secret\":\"a b\"}]", "hooks[0].secret" },
        { "\"checks\":[{\"name\":\"a\"}]", "checks[0].prometheus" },
        { "\"checks\":[{\"name\":\"a\",\"prometheus\":{\"url\":\"http://a\","
          "\"query\":\"up\"}}]", "checks[0].max" },
        { "\"checks\":[{\"name\":\"a\",\"prometheus\":{\"url\":\"http://a\","
          "\"query\":\"\"},\"max\":1}]", "checks[0].prometheus.query" },
        { "\"checks\":[{\"name\":\"a\",\"prometheus\":{\"url\":\"http://a\","
          "\"query\":\"up\"},\"max\":1,\"min\":2}]", "checks[0].max" },
        { "\"checks\":[{\"name\":\"a\",\"http\":{\"url\":\"http://a\","
          "\"path\":\"b\",\"equals\":{}}}]", "checks[0].http.equals" },
        { "\"checks_every\":\"1ms\"", "checks_every" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char  text[1024];

        snprintf(text, sizeof(text), "%s%s}", HEAD, cases[i].text);
        assert_int_equal(parse(text, &spec, &error), -1);
        assert_string_equal(error.field, cases[i].field);
        assert_null(spec.gates);
    }
}


static void
test_answers(void **state)
{
    char           detail[ROLLOUT_REASON_LEN];
    unsigned       i;
    gates_check_t  check;

    static const struct {
        gates_check_kind_t  kind;
        long                status;
        const char         *body;
        rollout_result_t    result;
    } cases[] = {
        { GATES_HTTP, 200, "{\"a\":[{\"b\":0.5}]}", ROLLOUT_GATE_PASSED },
        { GATES_HTTP, 200, "{\"a\":[{\"b\":2}]}", ROLLOUT_GATE_FAILED },
        { GATES_HTTP, 200, "{\"a\":[{\"b\":-1}]}", ROLLOUT_GATE_FAILED },
        { GATES_HTTP, 200, "{\"a\":[{\"b\":\"1\"}]}", ROLLOUT_GATE_PASSED },
        { GATES_HTTP, 200, "{\"a\":[{\"b\":\"x\"}]}", ROLLOUT_GATE_HOLD },
        { GATES_HTTP, 200, "{\"a\":[]}", ROLLOUT_GATE_HOLD },
        { GATES_HTTP, 200, "", ROLLOUT_GATE_HOLD },
        { GATES_HTTP, 200, "garbage", ROLLOUT_GATE_HOLD },
        { GATES_HTTP, 500, "{\"a\":[{\"b\":2}]}", ROLLOUT_GATE_HOLD },
        { GATES_HTTP, 302, "{\"a\":[{\"b\":2}]}", ROLLOUT_GATE_HOLD },
#define PROM(type, result)                                                   \
        "{\"status\":\"success\",\"data\":{\"resultType\":\"" type           \
        "\",\"result\":" result "}}"
        { GATES_PROMETHEUS, 200, PROM("scalar", "[1,\"0.9\"]"),
          ROLLOUT_GATE_PASSED },
        { GATES_PROMETHEUS, 200, PROM("scalar", "[1,\"NaN\"]"),
          ROLLOUT_GATE_HOLD },
        { GATES_PROMETHEUS, 200, PROM("scalar", "[1,\"+Inf\"]"),
          ROLLOUT_GATE_FAILED },
        { GATES_PROMETHEUS, 200, PROM("vector", "[]"), ROLLOUT_GATE_HOLD },
        { GATES_PROMETHEUS, 200,
          PROM("vector", "[{\"value\":[1,\"0\"]},{\"value\":[1,\"3\"]}]"),
          ROLLOUT_GATE_FAILED },
        { GATES_PROMETHEUS, 200,
          PROM("vector", "[{\"value\":[1,\"0\"]},{\"value\":[1,\"1\"]}]"),
          ROLLOUT_GATE_PASSED },
        { GATES_PROMETHEUS, 200,
          PROM("vector", "[{\"value\":[1,\"NaN\"]},{\"value\":[1,\"1\"]}]"),
          ROLLOUT_GATE_HOLD },
        { GATES_PROMETHEUS, 200, PROM("matrix", "[{}]"), ROLLOUT_GATE_HOLD },
        { GATES_PROMETHEUS, 200, "{\"status\":\"error\"}",
          ROLLOUT_GATE_HOLD },
        { GATES_PROMETHEUS, 422, "{\"status\":\"error\"}",
          ROLLOUT_GATE_HOLD },
    };

    memset(&check, 0, sizeof(check));
    strcpy(check.name, "c");
    strcpy(check.path, "a.0.b");
    check.has_min = true;
    check.has_max = true;
    check.max = 1;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check.kind = cases[i].kind;
        detail[0] = '\0';

        if (gates_read(&check, cases[i].status, cases[i].body, detail)
            != cases[i].result)
        {
            fail_msg("case %u: %s", i, detail);
        }

        assert_string_not_equal(detail, "");
    }

    memset(&check, 0, sizeof(check));
    check.kind = GATES_HTTP;
    strcpy(check.name, "c");
    strcpy(check.path, "s");
    strcpy(check.equals, "\"up\"");
    assert_int_equal(gates_read(&check, 200, "{\"s\":\"up\"}", detail),
                     ROLLOUT_GATE_PASSED);
    assert_int_equal(gates_read(&check, 200, "{\"s\":\"down\"}", detail),
                     ROLLOUT_GATE_FAILED);
    assert_string_equal(detail, "c is \"down\", not \"up\"");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
