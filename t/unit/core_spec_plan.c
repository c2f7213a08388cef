/* Unit tests of core/spec: strategies, rules, objectives and the like. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/spec.h"

#define MINIMAL  "\"upstream\":\"app\",\"canary\":\"green\""
#define APP      "\"upstream\":\"app\""
#define RULE(x)  MINIMAL ",\"steps\":[{\"weight\":5,\"rules\":[" x "]}]"
#define NZ       "\"if\":{\"country\":[\"NZ\"]}"


static int
parse(const char *members, rollout_spec_t *spec, spec_error_t *error)
{
    int    rc;
    char   text[4096];
    cJSON *json;

    snprintf(text, sizeof(text), "{%s}", members);
    json = cJSON_Parse(text);

    if (json == NULL) {
        fail_msg("test is broken: %s", text);
    }

    rc = spec_parse(json, spec, error);
    cJSON_Delete(json);

    return rc;
}


/* What is printed parses to what prints the same. */
static void
test_round_trips(void **state)
{
    char            *text[2];
    cJSON           *json;
    unsigned         i;
    spec_error_t     error;
    rollout_spec_t   spec, again;

    static const char *const  specs[] = {
        MINIMAL ",\"strategy\":\"blue-green\",\"holdback\":5,\"steps\":["
        "{\"weight\":100,\"hold\":3,\"approval\":true}]",
        MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{}",
        MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"nodes\","
        "\"order\":[\"edge-2\",\"edge-1\"],\"bake\":\"10s\"},\"holdback\":10,"
        "\"guard\":true",
        MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"servers\","
        "\"group\":\"green\",\"servers\":[\"10.0.0.1:80\",\"[::1]:80\"],"
        "\"drain\":5}",
        APP ",\"strategy\":\"experiment\",\"groups\":{\"green\":10,\"red\":"
        "12.5},\"duration\":\"2h\",\"on_success\":\"keep\"",
        MINIMAL ",\"slo\":{\"error_rate\":0.02,\"p50_ms\":100,\"p99_ms\":"
        "900.5,\"min_requests\":7},\"deadline\":\"2h\",\"environment\":"
        "\"production\",\"commit\":\"abc123\",\"build\":\"812\",\"ticket\":"
        "\"OPS-12\",\"version\":\"v2\",\"promotion\":{\"from\":\"staging\"},"
        "\"guard\":{\"failures\":3,\"ratio\":0.25,\"window\":\"500ms\"}",
        MINIMAL ",\"guard\":false,\"steps\":[{\"weight\":0,\"min_requests\":9,"
        "\"rules\":[{\"if\":{\"country\":[\"NZ\",\"AU\"],\"continent\":"
        "[\"OC\"],\"asn\":[13335],\"cidr\":[\"10.0.0.0/8\",\"2001:db8::/32\"],"
        "\"header\":{\"name\":\"X-Beta\",\"value\":\"1\"},\"cookie\":"
        "{\"name\":\"beta\"}},\"weights\":{\"green\":33.33,\"blue\":66.67}},"
        "{" NZ ",\"group\":\"green\"}]},{\"weight\":1}]"
    };

    for (i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        if (parse(specs[i], &spec, &error) != 0) {
            fail_msg("%s: %s in %s", error.field, error.detail, specs[i]);
        }

        json = spec_print(&spec);
        text[0] = cJSON_PrintUnformatted(json);
        cJSON_Delete(json);
        json = cJSON_Parse(text[0]);

        if (spec_parse(json, &again, &error) != 0) {
            fail_msg("%s: %s in %s", error.field, error.detail, text[0]);
        }

        cJSON_Delete(json);
        json = spec_print(&again);
        text[1] = cJSON_PrintUnformatted(json);
        cJSON_Delete(json);
        assert_string_equal(text[0], text[1]);

        assert_int_equal(spec.step_count, again.step_count);
        assert_int_equal(spec.holdback, again.holdback);
        assert_int_equal(spec.warmup_ms, again.warmup_ms);
        assert_memory_equal(spec.targets, again.targets,
                            sizeof(spec.targets));
        assert_memory_equal(spec.arms, again.arms, sizeof(spec.arms));
        assert_memory_equal(&spec.slo, &again.slo, sizeof(spec.slo));
        assert_int_equal(spec.guard.on, again.guard.on);
        assert_int_equal(spec.steps[0].weight, again.steps[0].weight);

        cJSON_free(text[0]);
        cJSON_free(text[1]);
        spec_free(&spec);
        spec_free(&again);
        spec_free(&again);         /* empty by now */
    }
}


static void
test_defaults(void **state)
{
    spec_error_t    error;
    judge_config_t  config;
    rollout_spec_t  spec;

    assert_int_equal(parse(MINIMAL, &spec, &error), 0);
    assert_true(spec.guard.on);
    assert_int_equal(spec.guard.failures, 20);
    assert_true(spec.guard.ratio == 0.5);
    assert_int_equal(spec.guard.window_ms, 10000);
    assert_int_equal(spec.deadline_ms, 0);
    assert_int_equal(spec.slo.min_requests, 0);
    assert_int_equal(spec.steps[0].min_requests, 1);
    spec_arm_analysis(&spec, &config);
    assert_true(config.alpha == spec.analysis.alpha);

    assert_int_equal(parse(MINIMAL ",\"slo\":{}", &spec, &error), 0);
    assert_true(spec.slo.error_rate == 0.01 && spec.slo.p95_ms == 500.0);
    assert_true(spec.slo.p50_ms == 0.0 && spec.slo.p99_ms == 0.0);
    assert_int_equal(spec.slo.min_requests, 50);

    assert_int_equal(parse(APP ",\"strategy\":\"experiment\",\"groups\":"
                           "{\"a\":10,\"b\":10}", &spec, &error), 0);
    assert_int_equal(spec.on_success, SPEC_STABLE);
    assert_int_equal(spec.bake_ms, 0);
    assert_int_equal(spec.steps[0].hold_ms, 3600000);
    assert_false(spec.guard.on);
    spec_arm_analysis(&spec, &config);
    assert_true(config.alpha == spec.analysis.alpha / 2);
}


static void
test_targets(void **state)
{
    cJSON              *json;
    spec_error_t        error;
    rollout_spec_t      spec, again;
    const char *const   names[] = { "e1", "e2", "e3" };

    assert_int_equal(parse(MINIMAL ",\"strategy\":\"rolling\",\"rolling\":"
                           "{\"bake\":1},\"holdback\":5", &spec, &error), 0);
    assert_int_equal(spec.step_count, 0);
    spec_set_targets(&spec, 3, names);
    assert_int_equal(spec.step_count, 3);
    assert_int_equal(spec.steps[2].weight, 9500);
    assert_string_equal(spec.targets[2], "e3");

    /* what is stored of it is read again */

    json = spec_print(&spec);
    assert_int_equal(spec_parse(json, &again, &error), 0);
    cJSON_Delete(json);
    assert_int_equal(again.step_count, 3);
    assert_int_equal(again.warmup_ms, spec.warmup_ms);
}


static void
test_groups(void **state)
{
    char            name[SPEC_NAME_LEN], field[SPEC_TEXT_LEN];
    unsigned        i;
    spec_error_t    error;
    rollout_spec_t  spec;

    static const char *const  expected[][2] = {
        { "green", "canary" }, { "red", "steps[0].rules" },
        { "green", "steps[1].rules" }, { "blue", "steps[1].rules" }
    };

    assert_int_equal(parse(MINIMAL ",\"steps\":[{\"weight\":1,\"rules\":[{" NZ
                           ",\"group\":\"red\"}]},{\"weight\":2,\"rules\":[{"
                           NZ ",\"weights\":{\"green\":50,\"blue\":50}}]}]",
                           &spec, &error), 0);

    for (i = 0; i < 4; i++) {
        assert_non_null(spec_group(&spec, i, name, field));
        assert_string_equal(name, expected[i][0]);
        assert_string_equal(field, expected[i][1]);
    }

    assert_null(spec_group(&spec, 4, name, field));
    spec_free(&spec);
}


static const struct {
    const char  *members;
    const char  *field;
    const char  *detail;
} refused[] = {
    { RULE("{}"), "steps[0].rules[0].if", "required" },
    { RULE("{\"if\":{},\"group\":\"green\"}"), "steps[0].rules[0].if",
      "at least one" },
    { RULE("{" NZ "}"), "steps[0].rules[0]", "either" },
    { RULE("{" NZ ",\"group\":\"g\",\"weights\":{\"g\":100}}"),
      "steps[0].rules[0]", "either" },
    { RULE("{" NZ ",\"group\":\"a b\"}"), "steps[0].rules[0].group", "name" },
    { RULE("{" NZ ",\"weights\":{\"green\":50}}"),
      "steps[0].rules[0].weights", "100 together, not 50" },
    { RULE("{" NZ ",\"weights\":{\"green\":101}}"),
      "steps[0].rules[0].weights", "percentage" },
    { RULE("{\"if\":{\"country\":[\"nz\"]},\"group\":\"g\"}"),
      "steps[0].rules[0].if.country", "capital" },
    { RULE("{\"if\":{\"country\":\"NZ\"},\"group\":\"g\"}"),
      "steps[0].rules[0].if.country", "list" },
    { RULE("{\"if\":{\"continent\":[\"XX\"]},\"group\":\"g\"}"),
      "steps[0].rules[0].if.continent", "AF" },
    { RULE("{\"if\":{\"asn\":[-1]},\"group\":\"g\"}"),
      "steps[0].rules[0].if.asn", "numbers" },
    { RULE("{\"if\":{\"cidr\":[\"10.0.0.0/33\"]},\"group\":\"g\"}"),
      "steps[0].rules[0].if.cidr", "networks" },
    { RULE("{\"if\":{\"cidr\":[\"10.0.0/8\"]},\"group\":\"g\"}"),
      "steps[0].rules[0].if.cidr", "networks" },
    { RULE("{\"if\":{\"header\":{\"value\":\"1\"}},\"group\":\"g\"}"),
      "steps[0].rules[0].if.header.name", "name of a header" },
    { RULE("{\"if\":{\"cookie\":{\"name\":\"a\",\"value\":1}},\"group\":"
      "\"g\"}"), "steps[0].rules[0].if.cookie.value", "string" },
    { RULE("{" NZ ",\"weights\":{\"green\":100}},{" NZ ",\"weights\":"
      "{\"green\":100}},{" NZ ",\"weights\":{\"green\":100}},{" NZ
      ",\"weights\":{\"green\":100}}"), "steps[0].rules[3].weights",
      "more than 3" },
    { MINIMAL ",\"steps\":[{\"weight\":5,\"rules\":{}}]", "steps[0].rules",
      "list" },
    { MINIMAL ",\"steps\":[{\"weight\":0,\"rules\":[{" NZ ",\"group\":"
      "\"green\"}]}]", "steps[0].weight", "0.01" },
    { MINIMAL ",\"steps\":[{\"weight\":5,\"min_requests\":0}]",
      "steps[0].min_requests", "from 1" },
    { MINIMAL ",\"strategy\":\"rolling\"", "rolling", "required" },
    { MINIMAL ",\"rolling\":{}", "rolling", "only for" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{},\"steps\":[]",
      "steps", "must not" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"racks\"}",
      "rolling.by", "\"nodes\" or \"servers\"" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"order\":[\"a\",\"a\"]"
      "}", "rolling.order", "once" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"order\":[]}",
      "rolling.order", "1 to 64" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"servers\"}",
      "rolling.servers", "1 to 64" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"servers\","
      "\"servers\":[\"unix:/x\"]}", "rolling.servers", "10.0.0.21" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"servers\","
      "\"servers\":[\"a\"],\"group\":\"red\"}", "rolling.group", "green" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"by\":\"servers\","
      "\"servers\":[\"a\"]},\"holdback\":5", "holdback", "weights" },
    { MINIMAL ",\"strategy\":\"rolling\",\"rolling\":{\"servers\":[\"a\"]}",
      "rolling.servers", "by: nodes" },
    { MINIMAL ",\"holdback\":5", "holdback", "blue-green" },
    { MINIMAL ",\"strategy\":\"blue-green\",\"holdback\":100", "holdback",
      "from 0 to 99" },
    { MINIMAL ",\"groups\":{\"a\":1}", "groups", "only for" },
    { MINIMAL ",\"duration\":1", "duration", "only for" },
    { APP ",\"strategy\":\"experiment\"", "groups", "1 to 7" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":60,\"b\":40}",
      "groups", "below 100" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":0}", "groups.a",
      "0.01" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":5},\"canary\":"
      "\"b\"", "canary", "first" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":5},\"on_success\":"
      "\"promote\"", "on_success", "\"stable\"" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":5},\"bake\":1",
      "bake", "must not" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":5},\"slo\":{}",
      "slo", "must not" },
    { MINIMAL ",\"on_success\":\"stable\"", "on_success", "\"promote\"" },
    { MINIMAL ",\"slo\":[]", "slo", "object" },
    { MINIMAL ",\"slo\":{\"error_rate\":0}", "slo.error_rate", "above 0" },
    { MINIMAL ",\"slo\":{\"p90_ms\":1}", "slo.p90_ms", "known are" },
    { MINIMAL ",\"deadline\":\"31d\"", "deadline", "30d" },
    { MINIMAL ",\"environment\":\"a b\"", "environment", "letters" },
    { MINIMAL ",\"build\":812", "build", "quotes" },
    { MINIMAL ",\"promotion\":{\"from\":\"staging\"}", "version",
      "required with promotion" },
    { MINIMAL ",\"version\":\"1\",\"promotion\":{}", "promotion.from",
      "required" },
    { MINIMAL ",\"guard\":1", "guard", "false" },
    { MINIMAL ",\"guard\":{\"ratio\":0}", "guard.ratio", "0.01" },
    { MINIMAL ",\"guard\":{\"window\":\"99ms\"}", "guard.window", "100ms" },
    { APP ",\"strategy\":\"experiment\",\"groups\":{\"a\":5},\"guard\":true",
      "guard", "left out" }
};


static void
test_refused(void **state)
{
    unsigned        i;
    spec_error_t    error;
    rollout_spec_t  spec, empty;

    memset(&empty, 0, sizeof(empty));

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (parse(refused[i].members, &spec, &error) != -1) {
            fail_msg("not refused: %s", refused[i].members);
        }

        if (strcmp(error.field, refused[i].field) != 0
            || strstr(error.detail, refused[i].detail) == NULL)
        {
            fail_msg("%s gives \"%s\": %s", refused[i].members, error.field,
                     error.detail);
        }

        assert_memory_equal(&spec, &empty, sizeof(spec));
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_refused)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_spec_plan", tests, NULL, NULL);
}
