/* Unit tests of core/codec, core/value and core/text. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/codec.h"
#include "core/text.h"
#include "core/value.h"
#include "lib/file.h"

#define VECTORS  "t/data/vectors.json"

static uint64_t  seed;


static uint64_t
bits(void)
{
    seed ^= seed >> 12;            /* xorshift64*, Vigna 2016 */
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return seed * UINT64_C(2685821657736338717);
}


static cJSON *
read_json(const char *path)
{
    char    *text, error[256];
    cJSON   *json;
    size_t   len;

    text = file_read(path, 16 * 1024 * 1024, &len, error, sizeof(error));
    assert_non_null(text);

    json = cJSON_Parse(text);
    free(text);
    assert_non_null(json);

    return json;
}


static void
tick_of_row(const cJSON *row, judge_t *judge)
{
    int            i;
    uint64_t       counts[2][HISTOGRAM_BUCKETS];
    const cJSON   *item;
    judge_tick_t   tick;

    memset(counts, 0, sizeof(counts));

    for (i = 0; i < 2; i++) {
        cJSON_ArrayForEach(item, cJSON_GetArrayItem(row, 4 + i)) {
            counts[i][atoi(item->string)] = (uint64_t) item->valuedouble;
        }
    }

    tick.canary_requests = cJSON_GetArrayItem(row, 0)->valueint;
    tick.canary_errors = cJSON_GetArrayItem(row, 1)->valueint;
    tick.stable_requests = cJSON_GetArrayItem(row, 2)->valueint;
    tick.stable_errors = cJSON_GetArrayItem(row, 3)->valueint;
    tick.canary_latency = counts[0];
    tick.stable_latency = counts[1];

    judge_tick(judge, &tick);
}


/* By way of text, as through Redis. */
static void
store_judge(judge_t *judge)
{
    char     *text;
    cJSON    *json;
    judge_t   again;

    json = judge_print(judge);
    assert_non_null(json);
    text = cJSON_PrintUnformatted(json);
    assert_non_null(text);
    assert_int_equal(judge_parse(json, &judge->config, &again), 0);
    assert_memory_equal(judge, &again, sizeof(again));
    cJSON_Delete(json);

    json = cJSON_Parse(text);
    assert_non_null(json);
    assert_int_equal(judge_parse(json, &judge->config, &again), 0);
    assert_memory_equal(judge, &again, sizeof(again));
    cJSON_Delete(json);
    cJSON_free(text);

    *judge = again;
}


static void
test_judge_in_mid_case(void **state)
{
    int             half, n;
    cJSON          *cases;
    judge_t         whole, parts;
    const cJSON    *item, *row;
    spec_error_t    error;
    judge_config_t  config;

    cases = read_json(VECTORS);

    cJSON_ArrayForEach(item, cases) {
        judge_config_default(&config);
        assert_int_equal(spec_parse_analysis(
                             cJSON_GetObjectItem(item, "config"), "config",
                             &config, &error), 0);
        judge_init(&whole, &config);
        judge_init(&parts, &config);
        store_judge(&parts);

        half = cJSON_GetArraySize(cJSON_GetObjectItem(item, "ticks")) / 2;
        n = 0;

        cJSON_ArrayForEach(row, cJSON_GetObjectItem(item, "ticks")) {
            tick_of_row(row, &whole);
            tick_of_row(row, &parts);

            if (++n == half || n % 50 == 0) {
                store_judge(&parts);
            }
        }

        assert_memory_equal(&whole, &parts, sizeof(whole));
    }

    cJSON_Delete(cases);
}


static void
sample_judge(judge_t *judge)
{
    unsigned        i;
    uint64_t        counts[2][HISTOGRAM_BUCKETS] = { { 0 } };
    judge_tick_t    tick = { 20, 1, 100, 2, counts[0], counts[1], false };
    judge_config_t  config;

    counts[0][150] = 19;
    counts[1][140] = 50;
    counts[1][160] = 48;

    judge_config_default(&config);
    judge_init(judge, &config);

    for (i = 0; i < 10; i++) {
        judge_tick(judge, &tick);
    }
}


static void
refuse_judge(cJSON *json, const judge_t *judge)
{
    judge_t  again;

    assert_int_equal(judge_parse(json, &judge->config, &again), -1);
}


static void
test_judge_extremes(void **state)
{
    cJSON    *json;
    judge_t   judge, again;

    sample_judge(&judge);
    judge.safe.bets[0] = -INFINITY;
    judge.total[0] = UINT64_C(1) << 53;
    judge.total[2] = (UINT64_C(1) << 53) - 1;
    judge.excess = -0.1 - 0.2;
    judge.baseline[3] = 4.9e-324;          /* what decay leaves at last */
    judge.baseline[383] = 1e-9 / 3.0;
    store_judge(&judge);
    assert_true(judge.safe.bets[0] == -INFINITY);

    json = judge_print(&judge);
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetObjectItem(
        cJSON_GetObjectItem(json, "safe"), "bets"), 0)));
    cJSON_Delete(json);

    /* what is not finite is not stored as a number */

    judge.excess = NAN;
    json = judge_print(&judge);
    assert_int_equal(judge_parse(json, &judge.config, &again), -1);
    cJSON_Delete(json);
}


static void
test_judge_refused(void **state)
{
    char            path[32];
    cJSON          *json, *copy, *item;
    judge_t         judge, again;
    unsigned        i;
    judge_config_t  config;

    static const struct {
        const char  *member;
        const char  *value;
    } wrong[] = {
        { "errors", "[]" },
        { "errors", "{\"cash\":-1,\"bets\":[1,2,3,4],\"seen\":1}" },
        { "errors", "{\"cash\":-1,\"bets\":[1,2,3],\"seen\":1,"
                    "\"seen_bad\":1}" },
        { "errors", "{\"cash\":-1,\"bets\":[1,2,3,4,5],\"seen\":1,"
                    "\"seen_bad\":1}" },
        { "errors", "{\"cash\":1e999,\"bets\":[1,2,3,4],\"seen\":1,"
                    "\"seen_bad\":1}" },
        { "errors", "{\"cash\":-1,\"bets\":[1,2,3,4],\"seen\":-1,"
                    "\"seen_bad\":1}" },
        { "safe", "{\"cash\":-1,\"bets\":{}}" },
        { "safe", "{\"cash\":\"\",\"bets\":[1,2,3,4]}" },
        { "ceiling", "null" },
        { "latency", "[]" },
        { "latency", "{}" },
        { "baseline", "[]" },
        { "baseline", "{\"384\":1}" },
        { "baseline", "{\"7\":1,\"7\":1}" },
        { "baseline", "{\"8\":1,\"7\":1}" },
        { "baseline", "{\"07\":1}" },
        { "baseline", "{\"7\":null}" },
        { "baseline", "{\"7\":-1}" },
        { "base_requests", "-1" },
        { "base_errors", "1e999" },
        { "excess", "\"1\"" },
        { "silent", "0.5" },
        { "silent", "-1" },
        { "ticks", "9007199254740994" },
        { "total", "[1,2,3]" },
        { "total", "[1,2,3,4,5]" },
        { "total", "[1,2,3,null]" }
    };

    sample_judge(&judge);
    json = judge_print(&judge);
    assert_int_equal(judge_parse(json, &judge.config, &again), 0);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        copy = cJSON_Duplicate(json, 1);
        item = cJSON_Parse(wrong[i].value);
        assert_non_null(item);
        assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
                        copy, wrong[i].member, item));

        if (judge_parse(copy, &judge.config, &again) != -1) {
            fail_msg("not refused: %s: %s", wrong[i].member, wrong[i].value);
        }

        cJSON_Delete(copy);
    }

    /* nothing may be missing */

    cJSON_ArrayForEach(item, json) {
        copy = cJSON_Duplicate(json, 1);
        snprintf(path, sizeof(path), "%s", item->string);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, path);
        refuse_judge(copy, &judge);
        cJSON_Delete(copy);
    }

    refuse_judge(NULL, &judge);

    /* another config */

    config = judge.config;
    config.max_error_rate = 0;
    assert_int_equal(judge_parse(json, &config, &again), -1);
    config = judge.config;
    config.latency_count = 1;
    assert_int_equal(judge_parse(json, &config, &again), -1);
    cJSON_Delete(json);
}


static void
sample_rollout(rollout_t *rollout)
{
    rollout_init(rollout, "alice", INT64_C(1700000000123));
    rollout->state = ROLLOUT_WAITING;
    rollout->waiting_for = ROLLOUT_WAIT_INCIDENT;
    rollout->baking = true;
    rollout->step = 3;
    rollout->held_ms = 1500;
    rollout->step_requests = UINT64_C(1) << 53;
}


/* Broken text must be refused or read as a whole, never more. */
static void
test_mutations(void **state)
{
    char        *text[2], *copy;
    cJSON       *json;
    size_t       len;
    judge_t      judge, judge_again;
    unsigned     i, n;
    rollout_t    rollout, rollout_again;

    sample_judge(&judge);
    json = judge_print(&judge);
    text[0] = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    sample_rollout(&rollout);
    json = rollout_print(&rollout);
    text[1] = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    seed = 99;

    for (n = 0; n < 20000; n++) {
        len = strlen(text[n % 2]);
        copy = malloc(len + 1);
        memcpy(copy, text[n % 2], len + 1);

        for (i = 0; i <= n % 3; i++) {
            copy[bits() % len] = "0123456789-e.\"{}[]:,xtrue\xff\x01"
                                 [bits() % 28];
        }

        json = cJSON_Parse(copy);

        if (json != NULL && n % 2 == 0
            && judge_parse(json, &judge.config, &judge_again) == 0)
        {
            assert_true(judge_again.baseline[140] >= 0);
            store_judge(&judge_again);
        }

        if (json != NULL && n % 2 == 1
            && rollout_parse(json, &rollout_again) == 0)
        {
            assert_true(rollout_again.step < SPEC_MAX_STEPS);
            assert_true(text_is_clean(rollout_again.reason));
        }

        cJSON_Delete(json);
        free(copy);
    }

    cJSON_free(text[0]);
    cJSON_free(text[1]);
}


static void
test_rollout_refused(void **state)
{
    char       name[32];
    cJSON     *json, *copy, *item;
    unsigned   i;
    rollout_t  rollout, again;

    static const struct {
        const char  *member;
        const char  *value;
    } wrong[] = {
        { "state", "\"none\"" }, { "state", "3" }, { "state", "null" },
        { "state", "\"progressing\"" }, { "state", "\"reverting\"" },
        { "waiting_for", "null" }, { "waiting_for", "\"\"" },
        { "waiting_for", "\"rain\"" }, { "waiting_for", "1" },
        { "baking", "1" }, { "approved", "null" }, { "step", "64" },
        { "step", "-1" }, { "step", "0.5" }, { "entered_ms", "1e300" },
        { "last_ms", "\"1\"" }, { "held_ms", "-1" },
        { "held_ms", "1e999" }, { "step_requests", "-1" },
        { "promoted", "true" }, { "reason", "null" },
        { "begun_ms", "null" }, { "gate", "\"checking\"" }, { "gate", "3" },
        { "gate_serial", "9" }, { "serial", "-1" }, { "retry_ms", "\"\"" },
        { "passed", "2048" }, { "checks", "[]" }, { "checks", "{}" },
        { "rollback", "{\"serial\":1,\"next_ms\":0,"
          "\"result\":\"passed\"}" },
        { "after", "\"never\"" }, { "turn", "\"left\"" },
        { "arms", "{}" }, { "arms", "[\"dead\"]" },
        { "arms", "[\"harm\",\"harm\",\"harm\",\"harm\",\"harm\","
          "\"harm\",\"harm\",\"harm\"]" },
        { "reason", "\"a\\nb\"" }, { "actor", "\"0123456789012345678901234"
          "567890123456789012345678901234567890123\"" }
    };

    sample_rollout(&rollout);
    json = rollout_print(&rollout);
    assert_int_equal(rollout_parse(json, &again), 0);
    assert_memory_equal(&rollout, &again, sizeof(again));

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        copy = cJSON_Duplicate(json, 1);
        assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
                        copy, wrong[i].member, cJSON_Parse(wrong[i].value)));

        if (rollout_parse(copy, &again) != -1) {
            fail_msg("not refused: %s: %s", wrong[i].member, wrong[i].value);
        }

        cJSON_Delete(copy);
    }

    cJSON_ArrayForEach(item, json) {
        snprintf(name, sizeof(name), "%s", item->string);

        if (strstr(" begun_ms gate turn arms checks rollback ", name)) {
            continue;              /* an older canaryd did not write them */
        }

        copy = cJSON_Duplicate(json, 1);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, name);
        assert_int_equal(rollout_parse(copy, &again), -1);
        cJSON_Delete(copy);
    }

    /* what a newer canaryd may have added is no reason to lose a rollout */

    cJSON_AddTrueToObject(json, "future");
    assert_int_equal(rollout_parse(json, &again), 0);
    cJSON_Delete(json);
}


static unsigned  allocations_left;


static void *
scarce_malloc(size_t size)
{
    return allocations_left > 0 ? allocations_left--, malloc(size) : NULL;
}


static cJSON *
print_one(unsigned which, const judge_t *judge, const cJSON *json)
{
    rollout_t       rollout;
    spec_error_t    error;
    judge_result_t  result;
    rollout_spec_t  spec;

    switch (which) {

    case 0:
        return judge_print(judge);

    case 1:
        sample_rollout(&rollout);
        return rollout_print(&rollout);

    case 2:
        judge_result(judge, &result);
        return judge_result_print(&result);

    case 3:
        return judge_run_case(json, &error);

    default:
        memset(&spec, 0, sizeof(spec));
        spec.step_count = 3;
        spec.analysis = judge->config;
        return spec_print(&spec);
    }
}


/* Without memory there is NULL, and no leak (which the sanitizer sees). */
static void
test_no_memory(void **state)
{
    cJSON         *json, *printed;
    judge_t        judge;
    unsigned       which, n;
    cJSON_Hooks    hooks = { scarce_malloc, free };

    sample_judge(&judge);
    json = cJSON_Parse("{\"ticks\":[[9,9,9,0],[9,9,9,0],[9,9,9,0]]}");
    cJSON_InitHooks(&hooks);

    for (which = 0; which < 5; which++) {
        for (n = 0; ; n++) {
            allocations_left = n;
            printed = print_one(which, &judge, json);

            if (printed != NULL) {
                break;
            }
        }

        assert_int_equal(allocations_left, 0);
        assert_true(n > 20);
        cJSON_Delete(printed);
    }

    cJSON_InitHooks(NULL);
    cJSON_Delete(json);
}


static void
test_exact_numbers(void **state)
{
    char      *text;
    cJSON     *json;
    double     d, again;
    int64_t    integer;
    uint64_t   b;
    unsigned   i;

    seed = 5;

    for (i = 0; i < 100000; i++) {
        b = bits();
        memcpy(&d, &b, sizeof(d));

        if (!isfinite(d)) {
            continue;
        }

        if (i % 4 == 0) {
            d = (double) (b >> 11);
        }

        json = value_number(d);
        assert_true(value_read_number(json, &again));
        assert_memory_equal(&d, &again, sizeof(d));

        text = cJSON_PrintUnformatted(json);
        cJSON_Delete(json);
        json = cJSON_Parse(text);
        cJSON_free(text);
        assert_true(value_read_number(json, &again));
        assert_memory_equal(&d, &again, sizeof(d));
        cJSON_Delete(json);
    }

    json = value_number(-INFINITY);
    assert_true(cJSON_IsNull(json));
    cJSON_Delete(json);

    json = cJSON_CreateNumber(NAN);
    assert_false(value_read_number(json, &d));
    assert_false(value_read_integer(json, 0, 9, &integer));
    cJSON_Delete(json);
    assert_false(value_read_number(NULL, &d));
}


static void
test_text(void **state)
{
    char      buf[8];
    unsigned  i;

    static const struct {
        const char  *in;
        const char  *out;
    } table[] = {
        { "", "" }, { "abcdefg", "abcdefg" }, { "abcdefgh", "abcdefg" },
        { "a\nb\tc", "a b c" }, { "\x1b[2J", " [2J" }, { "a\x7f", "a " },
        { "abcdef\xc3\xa4", "abcdef" }, { "abcde\xc3\xa4", "abcde\xc3\xa4" },
        { "abcd\xf0\x9f\x90\xa4", "abcd" },
        { "abc\xf0\x9f\x90\xa4z", "abc\xf0\x9f\x90\xa4" },
        { "\xff\xfe", "??" }, { "\xc3", "?" }, { "a\xe2\x82", "a??" },
        { "\xc0\xaf", "??" }, { "\xed\xa0\x80", "???" },
        { "\xf4\x90\x80\x80", "????" }, { "\xc2\x9b" "2J", " 2J" }
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        text_copy(buf, sizeof(buf), table[i].in);
        assert_string_equal(buf, table[i].out);
        assert_true(text_is_clean(buf));
    }

    assert_string_equal(text_copy(buf, 1, "abc"), "");
    assert_string_equal(text_copy(buf, sizeof(buf), NULL), "");
    assert_string_equal(text_format(buf, sizeof(buf), "%s-%d", "ab", 7),
                        "ab-7");
    assert_false(text_is_clean("a\n"));
    assert_false(text_is_clean("a\x80"));
}


/* A whole that does not fit is cut before, not within, a character. */
static void
test_text_format_cut(void **state)
{
    char      in[3000], buf[2000];
    unsigned  i, n;

    for (i = 0; i < 4; i++) {
        memset(in, 'a', i);
        in[i] = '\0';

        for (n = 0; n < 500; n++) {
            strcat(in, "\xf0\x9f\x90\xa4");
        }

        text_format(buf, sizeof(buf), "%s", in);
        assert_true(text_is_clean(buf));
        assert_null(strchr(buf, '?'));
        assert_true(strlen(buf) > 1000);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_judge_in_mid_case),
        cmocka_unit_test(test_judge_extremes),
        cmocka_unit_test(test_judge_refused),
        cmocka_unit_test(test_rollout_refused),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_exact_numbers),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_format_cut)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_codec", tests, NULL, NULL);
}
