/* Unit tests of core/spec. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/spec.h"
#include "core/text.h"

#define MINIMAL  "\"upstream\":\"app\",\"canary\":\"green\""

static uint64_t  seed;


static unsigned
below(unsigned n)
{
    seed ^= seed >> 12;            /* xorshift64*, Vigna 2016 */
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (unsigned) ((seed * UINT64_C(2685821657736338717)) >> 33) % n;
}


static int
parse(const char *text, rollout_spec_t *spec, spec_error_t *error)
{
    int     rc;
    cJSON  *json;

    json = cJSON_Parse(text);

    if (json == NULL) {
        fail_msg("test is broken: %s", text);
    }

    memset(error, 'x', sizeof(*error));
    rc = spec_parse(json, spec, error);
    cJSON_Delete(json);

    return rc;
}


/* spec_parse(spec_print(x)) is x, as a tree and by way of text. */
static void
assert_round_trip(const rollout_spec_t *spec)
{
    char            *text;
    cJSON           *json;
    spec_error_t     error;
    rollout_spec_t   again;

    json = spec_print(spec);
    assert_non_null(json);

    if (spec_parse(json, &again, &error) != 0) {
        fail_msg("%s: %s", error.field, error.detail);
    }

    assert_memory_equal(spec, &again, sizeof(again));

    text = cJSON_PrintUnformatted(json);
    assert_int_equal(parse(text, &again, &error), 0);
    assert_memory_equal(spec, &again, sizeof(again));

    cJSON_free(text);
    cJSON_Delete(json);
}


static void
test_defaults(void **state)
{
    spec_error_t    error;
    rollout_spec_t  spec;
    judge_config_t  config;

    assert_int_equal(parse("{" MINIMAL "}", &spec, &error), 0);
    assert_string_equal(spec.upstream, "app");
    assert_string_equal(spec.canary, "green");
    assert_string_equal(spec.version, "");
    assert_int_equal(spec.strategy, SPEC_CANARY);
    assert_int_equal(spec.step_count, 4);
    assert_int_equal(spec.steps[0].weight, 100);
    assert_int_equal(spec.steps[0].hold_ms, 60000);
    assert_int_equal(spec.steps[1].weight, 1000);
    assert_int_equal(spec.steps[1].hold_ms, 120000);
    assert_int_equal(spec.steps[2].weight, 5000);
    assert_int_equal(spec.steps[2].hold_ms, 120000);
    assert_false(spec.steps[2].approval);
    assert_int_equal(spec.steps[3].weight, 10000);
    assert_int_equal(spec.ramp, SPEC_RAMP_CLOCK);
    assert_int_equal(spec.bake_ms, 300000);
    assert_int_equal(spec.warmup_ms, 10000);
    assert_int_equal(spec.lease_ms, 15000);
    assert_int_equal(spec.on_success, SPEC_PROMOTE);

    assert_int_equal(parse("{" MINIMAL ",\"steps\":[{\"weight\":5,"
                           "\"hold\":8},{\"weight\":100,\"hold\":60}]}",
                           &spec, &error), 0);
    assert_int_equal(spec.warmup_ms, 2000);
    assert_int_equal(parse("{" MINIMAL "}", &spec, &error), 0);

    judge_config_default(&config);
    config.latency_floor_ms = 1.0;
    assert_memory_equal(&config, &spec.analysis, sizeof(config));
    assert_round_trip(&spec);

    assert_int_equal(parse("{" MINIMAL ",\"strategy\":\"blue-green\"}", &spec,
                           &error), 0);
    assert_int_equal(spec.step_count, 1);
    assert_int_equal(spec.steps[0].weight, 10000);
    assert_round_trip(&spec);
}


static void
test_everything_given(void **state)
{
    spec_error_t    error;
    rollout_spec_t  spec;

    assert_int_equal(parse("{\"upstream\":\"a.b_c-D9\",\"canary\":\"g\","
        "\"version\":\"v1.4.2 \xc3\xa4\",\"strategy\":\"canary\","
        "\"steps\":[{\"weight\":0.01,\"hold\":\"250ms\"},"
        "{\"weight\":0.01,\"hold\":1.5},{\"weight\":12.34,\"hold\":\"1h\","
        "\"approval\":true},{\"weight\":100,\"hold\":\"30d\"}],"
        "\"ramp\":\"evidence\",\"bake\":0,\"lease\":\"1h\","
        "\"analysis\":{\"alpha\":0.001,\"beta\":0.1,\"error_tolerance\":0,"
        "\"error_floor\":0,\"safe_margin\":0,\"safe_slack\":0.01,"
        "\"max_error_rate\":0,\"burst\":1,\"max_excess_errors\":50,"
        "\"stale_ticks\":5,\"latency\":[{\"quantile\":0.9}]},"
        "\"on_success\":\"keep\"}", &spec, &error), 0);

    assert_string_equal(spec.version, "v1.4.2 \xc3\xa4");
    assert_int_equal(spec.steps[0].weight, 1);
    assert_int_equal(spec.steps[0].hold_ms, 250);
    assert_int_equal(spec.steps[1].hold_ms, 1500);
    assert_int_equal(spec.steps[2].weight, 1234);
    assert_int_equal(spec.steps[2].hold_ms, 3600000);
    assert_true(spec.steps[2].approval);
    assert_true(spec.steps[3].hold_ms == INT64_C(2592000000));
    assert_int_equal(spec.ramp, SPEC_RAMP_EVIDENCE);
    assert_int_equal(spec.bake_ms, 0);
    assert_int_equal(spec.lease_ms, 3600000);
    assert_int_equal(spec.on_success, SPEC_KEEP);
    assert_true(spec.analysis.alpha == 0.001);
    assert_int_equal(spec.analysis.stale_ticks, 5);
    assert_int_equal(spec.analysis.latency_count, 1);
    assert_true(spec.analysis.latency[0].quantile == 0.9);
    assert_true(spec.analysis.latency[0].tolerance == 0.25);
    assert_round_trip(&spec);

    assert_int_equal(parse("{" MINIMAL ",\"analysis\":{\"latency\":[]}}",
                           &spec, &error), 0);
    assert_int_equal(spec.analysis.latency_count, 0);
    assert_round_trip(&spec);
}


static const struct {
    const char  *text;             /* braces are added */
    const char  *field;
    const char  *detail;           /* part of it */
} refused[] = {
    { "", "upstream", "required" },
    { "\"upstream\":\"app\"", "canary", "required" },
    { "\"upstream\":\"\",\"canary\":\"g\"", "upstream", "1 to 63" },
    { "\"upstream\":\"a b\",\"canary\":\"g\"", "upstream", "letters" },
    { "\"upstream\":\"a{b}\",\"canary\":\"g\"", "upstream", "letters" },
    { "\"upstream\":\"..\",\"canary\":\"g\"", "upstream", "letters" },
    { "\"upstream\":\"a\",\"canary\":7", "canary", "string" },
    { "\"upstream\":\"0123456789012345678901234567890123456789012345678901234"
      "567890123\",\"canary\":\"g\"", "upstream", "1 to 63" },
    { MINIMAL ",\"version\":1.4", "version", "quotes" },
    { MINIMAL ",\"version\":\"a\\nb\"", "version", "control" },
    { MINIMAL ",\"version\":\"\xff\"", "version", "control" },
    { MINIMAL ",\"upstream\":\"b\"", "upstream", "once" },
    { MINIMAL ",\"step\":[]", "step", "did you mean \"steps\"" },
    { MINIMAL ",\"Steps\":[]", "Steps", "did you mean \"steps\"" },
    { MINIMAL ",\"colour\":1", "colour",
      "known are upstream, canary, version" },
    { MINIMAL ",\"strategy\":\"bluegreen\"", "strategy", "\"blue-green\"" },
    { MINIMAL ",\"strategy\":null", "strategy", "\"canary\"" },
    { MINIMAL ",\"ramp\":1", "ramp", "\"clock\" or \"evidence\"" },
    { MINIMAL ",\"on_success\":\"Keep\"", "on_success", "\"keep\"" },
    { MINIMAL ",\"steps\":{}", "steps", "list" },
    { MINIMAL ",\"steps\":null", "steps", "list" },
    { MINIMAL ",\"steps\":[]", "steps", "1 to 32" },
    { MINIMAL ",\"steps\":[10]", "steps[0]", "object" },
    { MINIMAL ",\"steps\":[{}]", "steps[0].weight", "required" },
    { MINIMAL ",\"steps\":[{\"weigth\":1}]", "steps[0].weigth",
      "did you mean \"weight\"" },
    { MINIMAL ",\"steps\":[{\"weight\":0}]", "steps[0].weight", "0.01" },
    { MINIMAL ",\"steps\":[{\"weight\":-1}]", "steps[0].weight", "0.01" },
    { MINIMAL ",\"steps\":[{\"weight\":0.005}]", "steps[0].weight",
      "two decimals" },
    { MINIMAL ",\"steps\":[{\"weight\":12.345}]", "steps[0].weight",
      "must be a percentage from 0.01 to 100 with at most two decimals" },
    { MINIMAL ",\"steps\":[{\"weight\":100.01}]", "steps[0].weight", "100" },
    { MINIMAL ",\"steps\":[{\"weight\":1e999}]", "steps[0].weight", "100" },
    { MINIMAL ",\"steps\":[{\"weight\":\"10%\"}]", "steps[0].weight", "100" },
    { MINIMAL ",\"steps\":[{\"weight\":true}]", "steps[0].weight", "100" },
    { MINIMAL ",\"steps\":[{\"weight\":1},{\"weight\":10},{\"weight\":9.99}]",
      "steps[2].weight", "must not be below steps[1].weight (10)" },
    { MINIMAL ",\"steps\":[{\"weight\":1},{\"weight\":2,\"hold\":\"5\"}]",
      "steps[1].hold", "from 0s to 30d" },
    { MINIMAL ",\"steps\":[{\"weight\":1,\"hold\":\"31d\"}]",
      "steps[0].hold", "30d" },
    { MINIMAL ",\"steps\":[{\"weight\":1,\"hold\":-1}]", "steps[0].hold",
      "duration" },
    { MINIMAL ",\"steps\":[{\"weight\":1,\"hold\":0.0005}]", "steps[0].hold",
      "duration" },
    { MINIMAL ",\"steps\":[{\"weight\":1,\"hold\":1e300}]", "steps[0].hold",
      "duration" },
    { MINIMAL ",\"steps\":[{\"weight\":1,\"hold\":null}]", "steps[0].hold",
      "duration" },
    { MINIMAL ",\"steps\":[{\"weight\":1,\"approval\":1}]",
      "steps[0].approval", "true or false" },
    { MINIMAL ",\"strategy\":\"blue-green\",\"steps\":[{\"weight\":100},"
      "{\"weight\":100}]", "steps", "one step" },
    { MINIMAL ",\"strategy\":\"blue-green\",\"steps\":[{\"weight\":50}]",
      "steps[0].weight", "must be 100" },
    { MINIMAL ",\"bake\":\"5 m\"", "bake", "duration" },
    { MINIMAL ",\"warmup\":\"2h\"", "warmup", "" },
    { MINIMAL ",\"warmup\":\"10s\",\"steps\":[{\"weight\":5,\"hold\":4},"
      "{\"weight\":50,\"hold\":6},{\"weight\":100}]", "warmup",
      "shorter than all holds below 100 % together (10s)" },
    { MINIMAL ",\"analysis\":{\"latency_floor_ms\":-1}",
      "analysis.latency_floor_ms", "" },
    { MINIMAL ",\"lease\":\"999ms\"", "lease", "from 1s to 1h" },
    { MINIMAL ",\"lease\":3601", "lease", "from 1s to 1h" },
    { MINIMAL ",\"analysis\":[]", "analysis", "object" },
    { MINIMAL ",\"analysis\":{\"errors\":1}", "analysis.errors",
      "known are alpha" },
    { MINIMAL ",\"analysis\":{\"alpha\":1}", "analysis.alpha",
      "must be a number above 0 and below 1" },
    { MINIMAL ",\"analysis\":{\"alpha\":\"1\"}", "analysis.alpha", "number" },
    { MINIMAL ",\"analysis\":{\"beta\":0}", "analysis.beta", "above 0" },
    { MINIMAL ",\"analysis\":{\"error_tolerance\":-0.1}",
      "analysis.error_tolerance", "from 0" },
    { MINIMAL ",\"analysis\":{\"error_floor\":1}", "analysis.error_floor",
      "from 0 and below 1" },
    { MINIMAL ",\"analysis\":{\"safe_margin\":1e999}", "analysis.safe_margin",
      "from 0" },
    { MINIMAL ",\"analysis\":{\"safe_slack\":0}", "analysis.safe_slack",
      "above 0" },
    { MINIMAL ",\"analysis\":{\"max_error_rate\":5}",
      "analysis.max_error_rate", "below 1" },
    { MINIMAL ",\"analysis\":{\"burst\":0}", "analysis.burst", "from 1" },
    { MINIMAL ",\"analysis\":{\"max_excess_errors\":-1}",
      "analysis.max_excess_errors", "from 0" },
    { MINIMAL ",\"analysis\":{\"stale_ticks\":0}", "analysis.stale_ticks",
      "integer from 1" },
    { MINIMAL ",\"analysis\":{\"latency\":0.99}", "analysis.latency",
      "list" },
    { MINIMAL ",\"analysis\":{\"latency\":[0.99]}", "analysis.latency[0]",
      "object" },
    { MINIMAL ",\"analysis\":{\"latency\":[{}]}",
      "analysis.latency[0].quantile", "required" },
    { MINIMAL ",\"analysis\":{\"latency\":[{\"quantile\":99}]}",
      "analysis.latency[0].quantile", "below 1" },
    { MINIMAL ",\"analysis\":{\"latency\":[{\"quantile\":0.5,"
      "\"tolerance\":-1}]}", "analysis.latency[0].tolerance", "from 0" },
    { MINIMAL ",\"analysis\":{\"latency\":[{},{},{},{},{},{},{},{},{}]}",
      "analysis.latency", "at most 8" }
};


static void
test_refused(void **state)
{
    char            text[1024];
    unsigned        i;
    spec_error_t    error;
    rollout_spec_t  spec;

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        snprintf(text, sizeof(text), "{%s}", refused[i].text);

        if (parse(text, &spec, &error) != -1) {
            fail_msg("not refused: %s", text);
        }

        assert_string_equal(error.field, refused[i].field);

        if (strstr(error.detail, refused[i].detail) == NULL) {
            fail_msg("%s: %s", text, error.detail);
        }
    }

    assert_int_equal(parse("[]", &spec, &error), -1);
    assert_string_equal(error.field, "");
    assert_int_equal(spec_parse(NULL, &spec, &error), -1);
}


static void
test_hostile_names(void **state)
{
    char            text[4096];
    cJSON          *json, *steps, *step;
    unsigned        i;
    spec_error_t    error;
    rollout_spec_t  spec;

    /* a long field, cut between two bytes of one character */

    for (i = 0; i < 4; i++) {
        memset(text, 0, sizeof(text));
        snprintf(text, sizeof(text), "{\"%.*s", (int) i, "aaaa");

        while (strlen(text) < 4000) {
            strcat(text, "\xf0\x9f\x90\xa4");
        }

        strcat(text, "\":1}");
        assert_int_equal(parse(text, &spec, &error), -1);
        assert_true(strlen(error.field) >= sizeof(error.field) - 4);
        assert_true(text_is_clean(error.field));
        assert_true(text_is_clean(error.detail));
    }

    assert_int_equal(parse("{\"a\\u001b[2J\":1}", &spec, &error), -1);
    assert_true(text_is_clean(error.field));

    json = cJSON_Parse("{" MINIMAL ",\"steps\":[]}");
    steps = cJSON_GetObjectItem(json, "steps");

    for (i = 0; i < SPEC_MAX_STEPS; i++) {
        step = cJSON_CreateObject();
        cJSON_AddNumberToObject(step, "weight", i + 1);
        cJSON_AddItemToArray(steps, step);
    }

    assert_int_equal(spec_parse(json, &spec, &error), 0);
    assert_int_equal(spec.step_count, SPEC_MAX_STEPS);
    assert_round_trip(&spec);

    cJSON_AddItemToArray(steps, cJSON_CreateObject());
    assert_int_equal(spec_parse(json, &spec, &error), -1);
    assert_string_equal(error.field, "steps");
    cJSON_Delete(json);
}


static void
test_durations(void **state)
{
    char      buf[32];
    int64_t   ms;
    unsigned  i;

    static const char *const  wrong[] = {
        "", "5", "s", "-1s", "+1s", "1.5s", " 1s", "1s ", "1S", "1w", "1h30m",
        "0x1s", "99999999999d", "123456789012345678901234567890ms", "1\xc2\xb5"
    };

    assert_true(spec_parse_duration("250ms") == 250);
    assert_true(spec_parse_duration("60s") == 60000);
    assert_true(spec_parse_duration("2m") == 120000);
    assert_true(spec_parse_duration("1h") == 3600000);
    assert_true(spec_parse_duration("1d") == 86400000);
    assert_true(spec_parse_duration("0s") == 0);
    assert_true(spec_parse_duration("007s") == 7000);
    assert_true(spec_parse_duration("9999999999d") > 0);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(spec_parse_duration(wrong[i]) == -1);
    }

    assert_string_equal(spec_print_duration(0, buf, sizeof(buf)), "0s");
    assert_string_equal(spec_print_duration(1, buf, sizeof(buf)), "1ms");
    assert_string_equal(spec_print_duration(1500, buf, sizeof(buf)),
                        "1500ms");
    assert_string_equal(spec_print_duration(90000, buf, sizeof(buf)), "90s");
    assert_string_equal(spec_print_duration(120000, buf, sizeof(buf)), "2m");
    assert_string_equal(spec_print_duration(86400000, buf, sizeof(buf)),
                        "1d");

    seed = 3;

    for (i = 0; i < 2000; i++) {
        ms = (int64_t) below(2592001) * (i % 2 ? 1000 : 1);
        spec_print_duration(ms, buf, sizeof(buf));
        assert_true(spec_parse_duration(buf) == ms);
    }
}


/* Every weight, as it is printed, is read as itself. */
static void
test_all_weights(void **state)
{
    char            text[160];
    unsigned        w;
    spec_error_t    error;
    rollout_spec_t  spec;

    for (w = 1; w <= SPEC_WEIGHT_ALL; w++) {
        snprintf(text, sizeof(text), "{" MINIMAL ",\"steps\":[{\"weight\":"
                 "%u.%02u}]}", w / 100, w % 100);
        assert_int_equal(parse(text, &spec, &error), 0);
        assert_int_equal(spec.steps[0].weight, w);

        if (w % 37 == 0) {
            assert_round_trip(&spec);
        }
    }
}


static double
fraction(void)
{
    return (below(1u << 30) + 0.5) / (1u << 30) / 3.0;
}


static void
test_random_round_trips(void **state)
{
    unsigned         i, n;
    spec_error_t     error;
    rollout_spec_t   spec;
    judge_config_t  *config;

    seed = 11;

    for (n = 0; n < 500; n++) {
        assert_int_equal(parse("{" MINIMAL "}", &spec, &error), 0);
        memset(spec.steps, 0, sizeof(spec.steps));
        spec.step_count = 1 + below(SPEC_MAX_STEPS);

        for (i = 0; i < spec.step_count; i++) {
            spec.steps[i].weight = 1 + (i ? spec.steps[i - 1].weight - 1 : 0)
                                   + below(300);
            spec.steps[i].hold_ms = (int64_t) below(1u << 31);
            spec.steps[i].approval = below(2);
            spec.steps[i].min_requests = 1 + below(2) * below(1000);
        }

        spec.ramp = below(2);
        spec.on_success = below(2);
        spec.bake_ms = (int64_t) below(1u << 31);
        spec.warmup_ms = 0;
        spec.lease_ms = 1000 + below(3599001);

        config = &spec.analysis;
        config->alpha = fraction();
        config->beta = fraction();
        config->error_tolerance = fraction() * below(10);
        config->error_floor = fraction();
        config->safe_margin = fraction();
        config->safe_slack = fraction();
        config->max_error_rate = below(2) ? fraction() : 0.0;
        config->burst = 1.0 + fraction();
        config->max_excess_errors = fraction() * below(1000);
        config->latency_floor_ms = fraction() * below(100);
        config->stale_ticks = 1 + below(1000);
        config->latency_count = below(JUDGE_MAX_LATENCY + 1);
        memset(config->latency, 0, sizeof(config->latency));

        for (i = 0; i < config->latency_count; i++) {
            config->latency[i].quantile = fraction();
            config->latency[i].tolerance = fraction();
        }

        assert_round_trip(&spec);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything_given),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_all_weights),
        cmocka_unit_test(test_random_round_trips)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_spec", tests, NULL, NULL);
}
