/* Unit tests of core/judge: the vectors of the reference, and what analysis.md
 * promises. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/codec.h"
#include "lib/file.h"

#define VECTORS  "t/data/vectors.json"

static uint64_t  seed;


static double
chance(void)
{
    seed ^= seed >> 12;            /* xorshift64*, Vigna 2016 */
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (double) ((seed * UINT64_C(2685821657736338717)) >> 11)
           / 9007199254740992.0;
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


/* same() of reference.py. */
static bool
same(const cJSON *a, const cJSON *b)
{
    double        x, y;
    const cJSON  *p, *q;

    if (cJSON_IsArray(a) && cJSON_IsArray(b)) {
        q = b->child;

        for (p = a->child; p != NULL && q != NULL; p = p->next) {
            if (!same(p, q)) {
                return false;
            }

            q = q->next;
        }

        return p == NULL && q == NULL;
    }

    if (cJSON_IsString(a) && cJSON_IsString(b)) {
        return strcmp(a->valuestring, b->valuestring) == 0;
    }

    if (cJSON_IsNull(a) && cJSON_IsNull(b)) {
        return true;
    }

    if (a == NULL || b == NULL || cJSON_IsString(a) || cJSON_IsString(b)
        || cJSON_IsNull(a) || cJSON_IsNull(b))
    {
        return false;
    }

    x = a->valuedouble;
    y = b->valuedouble;

    return fabs(x - y) <= fmax(1e-9 * fmax(fabs(x), fabs(y)), 1e-9);
}


static void
test_vectors(void **state)
{
    char          *got_text, *want_text;
    cJSON         *cases, *got;
    unsigned       seen, bad;
    const cJSON   *item, *want, *field;
    spec_error_t   error;

    cases = read_json(VECTORS);
    seen = 0;
    bad = 0;

    cJSON_ArrayForEach(item, cases) {
        got = judge_run_case(item, &error);
        assert_non_null(got);
        want = cJSON_GetObjectItemCaseSensitive(item, "expect");
        seen++;

        assert_int_equal(cJSON_GetArraySize(got), cJSON_GetArraySize(want));

        cJSON_ArrayForEach(field, want) {
            if (same(field, cJSON_GetObjectItemCaseSensitive(got,
                                                             field->string)))
            {
                continue;
            }

            got_text = cJSON_PrintUnformatted(got);
            want_text = cJSON_PrintUnformatted(want);
            print_error("%s: %s: got %s, want %s\n",
                        cJSON_GetObjectItem(item, "name")->valuestring,
                        field->string, got_text, want_text);
            cJSON_free(got_text);
            cJSON_free(want_text);
            bad++;
        }

        cJSON_Delete(got);
    }

    cJSON_Delete(cases);

    assert_true(seen >= 20);
    assert_int_equal(bad, 0);
}


static void
test_refused_cases(void **state)
{
    unsigned      i;
    cJSON        *json;
    spec_error_t  error;

    static const struct {
        const char  *text;
        const char  *field;
        const char  *detail;       /* part of it */
    } cases[] = {
        { "[]", "", "object" },
        { "{}", "ticks", "required" },
        { "{\"ticks\":{}}", "ticks", "list" },
        { "{\"ticks\":[],\"tick\":1}", "tick", "did you mean \"ticks\"" },
        { "{\"ticks\":[],\"ticks\":[]}", "ticks", "once" },
        { "{\"ticks\":[],\"config\":[]}", "config", "object" },
        { "{\"ticks\":[],\"config\":{\"alpa\":1}}", "config.alpa",
          "did you mean \"alpha\"" },
        { "{\"ticks\":[],\"config\":{\"alpha\":0}}", "config.alpha",
          "above 0 and below 1" },
        { "{\"ticks\":[],\"config\":{\"stale_ticks\":0.5}}",
          "config.stale_ticks", "integer from 1" },
        { "{\"ticks\":[],\"config\":{\"latency\":[{\"quantile\":0.5},"
          "{\"quantile\":1}]}}", "config.latency[1].quantile", "below 1" },
        { "{\"ticks\":[7]}", "ticks[0]", "list" },
        { "{\"ticks\":[[1,0,1]]}", "ticks[0]", "list" },
        { "{\"ticks\":[[1,0,1,0,{},{},{}]]}", "ticks[0]", "list" },
        { "{\"ticks\":[[1,0,1,0],[-1,0,1,0]]}", "ticks[1][0]", "from 0" },
        { "{\"ticks\":[[1,0.5,1,0]]}", "ticks[0][1]", "integer" },
        { "{\"ticks\":[[1,0,\"1\",0]]}", "ticks[0][2]", "integer" },
        { "{\"ticks\":[[1,0,1e999,0]]}", "ticks[0][2]", "integer" },
        { "{\"ticks\":[[1,0,1e13,0]]}", "ticks[0][2]", "1000000000000" },
        { "{\"ticks\":[[1,0,null,0]]}", "ticks[0][2]", "integer" },
        { "{\"ticks\":[[1,2,1,0]]}", "ticks[0][1]", "1 requests" },
        { "{\"ticks\":[[1,1,1,2]]}", "ticks[0][3]", "not be above" },
        { "{\"ticks\":[[1,0,1,0,[]]]}", "ticks[0][4]", "object" },
        { "{\"ticks\":[[1,0,1,0,{\"384\":1}]]}", "ticks[0][4].384", "383" },
        { "{\"ticks\":[[1,0,1,0,{},{\"-1\":1}]]}", "ticks[0][5].-1", "383" },
        { "{\"ticks\":[[1,0,1,0,{\"07\":1}]]}", "ticks[0][4].07", "383" },
        { "{\"ticks\":[[1,0,1,0,{\"\":1}]]}", "ticks[0][4]", "383" },
        { "{\"ticks\":[[1,0,1,0,{\"99999999999999999999\":1}]]}",
          "ticks[0][4].99999999999999999999", "383" },
        { "{\"ticks\":[[1,0,1,0,{\"7\":-1}]]}", "ticks[0][4].7", "from 0" },
        { "{\"ticks\":[[1,0,1,0,{\"7\":1,\"7\":1}]]}", "ticks[0][4].7",
          "once" },
        { "{\"ticks\":[[9,9,9,0],[9,9,9,0],[9,9,9,0],[9,9,9,0],[9,9,9,0],"
          "[9,9,9,0],[9,10,9,0]]}", "ticks[6][1]", "above" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json = cJSON_Parse(cases[i].text);
        assert_non_null(json);
        memset(&error, 'x', sizeof(error));

        if (judge_run_case(json, &error) != NULL) {
            fail_msg("not refused: %s", cases[i].text);
        }

        assert_string_equal(error.field, cases[i].field);

        if (strstr(error.detail, cases[i].detail) == NULL) {
            fail_msg("%s: %s", cases[i].text, error.detail);
        }

        cJSON_Delete(json);
    }
}


static void
test_case_without_all(void **state)
{
    cJSON         *json, *got;
    spec_error_t   error;

    json = cJSON_Parse("{\"ticks\":[[10,0,90,1],[0,0,0,0]],"
                       "\"config\":null}");
    got = judge_run_case(json, &error);
    assert_non_null(got);
    assert_string_equal(cJSON_GetObjectItem(got, "verdict")->valuestring,
                        "watching");
    assert_null(cJSON_GetObjectItem(got, "at"));
    cJSON_Delete(got);
    cJSON_Delete(json);
}


static uint64_t
binomial(uint64_t n, double p)
{
    uint64_t  k;

    for (k = 0; n > 0; n--) {
        k += chance() < p;
    }

    return k;
}


/* Bad requests that come in clumps, each on one side. */
static void
clumps(judge_tick_t *tick, double rate, double ratio, unsigned size)
{
    uint64_t  events;

    events = binomial(tick->canary_requests, rate * ratio / size);
    tick->canary_errors = events * size;

    if (tick->canary_errors > tick->canary_requests) {
        tick->canary_errors = tick->canary_requests;
    }

    events = binomial(tick->stable_requests, rate / size);
    tick->stable_errors = events * size;

    if (tick->stable_errors > tick->stable_requests) {
        tick->stable_errors = tick->stable_requests;
    }
}


static void
sample_latency(uint64_t *counts, uint64_t n)
{
    memset(counts, 0, HISTOGRAM_BUCKETS * sizeof(uint64_t));

    while (n-- > 0) {
        counts[histogram_bucket_of((uint64_t) (1000.0
                                               - 2000.0 * log(1 - chance())))]
            ++;
    }
}


/* Runs of the harshest null: rate_c is just what is allowed. */
static unsigned
false_alarms(unsigned runs, unsigned ticks, double rate, unsigned clump,
    bool latency)
{
    unsigned         run, t, alarms;
    uint64_t         slow[2][HISTOGRAM_BUCKETS];
    judge_t          judge;
    judge_tick_t     tick;
    judge_config_t   config;
    judge_result_t   result;

    judge_config_default(&config);
    config.alpha = 0.05;
    alarms = 0;

    for (run = 0; run < runs; run++) {
        judge_init(&judge, &config);

        for (t = 0; t < ticks; t++) {
            memset(&tick, 0, sizeof(tick));
            tick.canary_requests = binomial(60, 0.2);
            tick.stable_requests = binomial(60, 0.8);
            clumps(&tick, rate, 1.25, clump);

            if (latency) {
                sample_latency(slow[0], tick.canary_requests);
                sample_latency(slow[1], tick.stable_requests);
                tick.canary_latency = slow[0];
                tick.stable_latency = slow[1];
            }

            judge_tick(&judge, &tick);
            judge_result(&judge, &result);

            if (result.verdict == JUDGE_HARM) {
                alarms++;
                break;
            }
        }
    }

    return alarms;
}


static void
test_false_alarms(void **state)
{
    seed = 20240611;

    assert_true(false_alarms(200, 300, 0.02, 1, false) <= 10);
    assert_true(false_alarms(200, 300, 0.05, 3, false) <= 10);
    assert_true(false_alarms(200, 300, 0.10, 10, false) <= 10);
    assert_true(false_alarms(60, 150, 0.02, 1, true) <= 3);
}


static unsigned
ticks_to_harm(double rate_s, double rate_c, unsigned limit)
{
    unsigned         t;
    judge_t          judge;
    judge_tick_t     tick;
    judge_config_t   config;
    judge_result_t   result;

    judge_config_default(&config);
    judge_init(&judge, &config);

    for (t = 1; t <= limit; t++) {
        memset(&tick, 0, sizeof(tick));
        tick.canary_requests = binomial(100, 0.1);
        tick.stable_requests = 100 - tick.canary_requests;
        tick.canary_errors = binomial(tick.canary_requests, rate_c);
        tick.stable_errors = binomial(tick.stable_requests, rate_s);

        judge_tick(&judge, &tick);
        judge_result(&judge, &result);

        if (result.verdict == JUDGE_HARM) {
            return t;
        }
    }

    return limit + 1;
}


static void
test_harm_is_found(void **state)
{
    unsigned  run;

    seed = 7;

    for (run = 0; run < 50; run++) {
        assert_true(ticks_to_harm(0.01, 1.0, 10) <= 10);
        assert_true(ticks_to_harm(0.01, 0.2, 30) <= 30);
    }
}


static void
ticks_of(judge_t *judge, unsigned n, uint64_t n_c, uint64_t e_c,
    uint64_t n_s, uint64_t e_s)
{
    judge_tick_t  tick = { n_c, e_c, n_s, e_s, NULL, NULL, false };

    while (n-- > 0) {
        judge_tick(judge, &tick);
    }
}


static judge_verdict_t
verdict_of(const judge_t *judge)
{
    judge_result_t  result;

    judge_result(judge, &result);

    return result.verdict;
}


static void
test_verdicts(void **state)
{
    judge_t         judge;
    judge_config_t  config;

    judge_config_default(&config);
    judge_init(&judge, &config);
    assert_int_equal(verdict_of(&judge), JUDGE_WATCHING);

    ticks_of(&judge, 1, 10, 0, 90, 0);
    assert_int_equal(verdict_of(&judge), JUDGE_WATCHING);

    ticks_of(&judge, 600, 10, 0, 90, 0);
    assert_int_equal(verdict_of(&judge), JUDGE_SAFE);

    ticks_of(&judge, 29, 0, 0, 90, 0);
    assert_int_equal(verdict_of(&judge), JUDGE_SAFE);
    ticks_of(&judge, 1, 0, 0, 90, 0);
    assert_int_equal(verdict_of(&judge), JUDGE_NO_DATA);
    ticks_of(&judge, 1, 1, 0, 90, 0);
    assert_int_equal(verdict_of(&judge), JUDGE_SAFE);

    ticks_of(&judge, 100, 10, 1, 90, 9);
    assert_int_equal(verdict_of(&judge), JUDGE_INCIDENT);

    config.alpha = 1e-12;
    config.max_excess_errors = 20;
    judge_init(&judge, &config);
    ticks_of(&judge, 3, 30, 20, 70, 1);
    assert_int_equal(verdict_of(&judge), JUDGE_BUDGET);

    ticks_of(&judge, 50, 30, 30, 70, 0);
    assert_int_equal(verdict_of(&judge), JUDGE_HARM);
}


/* 20 us against 50 us, and 20 ms against 50 ms. */
static void
test_latency_floor(void **state)
{
    unsigned          i, unit, t;
    judge_t           judge;
    judge_tick_t      tick;
    judge_config_t    config;
    static uint64_t   canary[HISTOGRAM_BUCKETS], stable[HISTOGRAM_BUCKETS];

    for (i = 0; i < 4; i++) {
        unit = i & 1 ? 1000 : 1;

        judge_config_default(&config);
        config.latency_floor_ms = i & 2 ? 1.0 : 0.0;
        judge_init(&judge, &config);

        memset(canary, 0, sizeof(canary));
        memset(stable, 0, sizeof(stable));
        canary[histogram_bucket_of(50 * unit)] = 50;
        stable[histogram_bucket_of(20 * unit)] = 500;

        tick = (judge_tick_t) {
            .canary_requests = 50, .stable_requests = 500,
            .canary_latency = canary, .stable_latency = stable
        };

        for (t = 0; t < 30; t++) {
            judge_tick(&judge, &tick);
        }

        assert_int_equal(verdict_of(&judge),
                         i == 2 ? JUDGE_WATCHING : JUDGE_HARM);
    }
}


/* Twice of nearly nothing is no reason to roll back, however unlikely. */
static void
test_material(void **state)
{
    judge_t         judge;
    judge_config_t  config;
    judge_result_t  result;

    judge_config_default(&config);
    judge_init(&judge, &config);

    ticks_of(&judge, 3, 1, 1, 9999, 0);
    judge_result(&judge, &result);
    assert_true(result.log_errors == 0.0);
    assert_int_equal(result.verdict, JUDGE_WATCHING);

    ticks_of(&judge, 1, 1, 1, 9999, 0);
    judge_result(&judge, &result);
    assert_true(result.log_errors > 10.0);
    assert_int_equal(result.verdict, JUDGE_HARM);
}


static void
test_hostile_ticks(void **state)
{
    judge_t          a, b;
    uint64_t         none[HISTOGRAM_BUCKETS] = { 0 };
    judge_tick_t     tick = { 10, 1, 90, 1, NULL, NULL, false };
    judge_config_t   config;
    judge_result_t   result;

    judge_config_default(&config);
    judge_init(&a, &config);
    judge_init(&b, &config);

    ticks_of(&a, 5, 10, 1, 90, 1);
    tick.canary_latency = none;
    tick.stable_latency = none;

    for (int i = 0; i < 5; i++) {
        judge_tick(&b, &tick);
    }

    assert_memory_equal(&a, &b, sizeof(a));

    /* more errors than requests are as many as requests */

    ticks_of(&a, 1, 10, 99, 90, UINT64_MAX);
    ticks_of(&b, 1, 10, 10, 90, 90);
    assert_memory_equal(&a, &b, sizeof(a));

    /* sums stay exact in JSON */

    ticks_of(&a, 40, UINT64_MAX, 0, UINT64_MAX, 0);
    assert_true(a.total[0] == UINT64_C(1) << 53);
    judge_result(&a, &result);
    assert_true(isfinite(result.log_evidence));
    assert_true(isfinite(result.log_safe));
}


static void
test_odds(void **state)
{
    char      buf[32];
    unsigned  i;

    static const struct {
        double       odds;
        const char  *text;
    } table[] = {
        { 250, "1 : 250" }, { 100, "1 : 100" }, { 99.9, "1 : 99" },
        { 112.7, "1 : 112" }, { 0.67, "1 : 0.67" }, { 1, "1 : 1" },
        { 9.999, "1 : 9.99" }, { 0.5, "1 : 0.5" }, { 0.001, "1 : <0.01" },
        { 0, "1 : <0.01" }, { 123456, "1 : 123456" }, { 1e6, "1 : 10^6" },
        { 3e200, "1 : 10^200" }
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_string_equal(judge_odds(log(table[i].odds), buf, sizeof(buf)),
                            table[i].text);
    }

    assert_string_equal(judge_odds(5000, buf, sizeof(buf)), "1 : 10^2171");
    assert_string_equal(judge_odds(NAN, buf, sizeof(buf)), "1 : <0.01");
    judge_odds(1e308, buf, sizeof(buf));
    judge_odds(INFINITY, buf, sizeof(buf));
    assert_string_equal(judge_verdict_name(JUDGE_NO_DATA), "no_data");
    assert_string_equal(judge_verdict_name(99), "unknown");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_refused_cases),
        cmocka_unit_test(test_case_without_all),
        cmocka_unit_test(test_false_alarms),
        cmocka_unit_test(test_harm_is_found),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_latency_floor),
        cmocka_unit_test(test_material),
        cmocka_unit_test(test_hostile_ticks),
        cmocka_unit_test(test_odds)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_judge", tests, NULL, NULL);
}
