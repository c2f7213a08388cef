/* The series of a rollout: thinned out, and read back as it was. */

#include "../../sidecar/series.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define START  INT64_C(1763710344000)


static series_point_t
point_of(int64_t at_ms, int32_t weight)
{
    series_point_t  point;

    memset(&point, 0, sizeof(point));
    point.at_ms = at_ms;
    point.arms[0].weight = weight;
    point.arms[0].evidence = -1234;
    point.stable.rate = 5;
    point.arms[0].traffic.errors = SERIES_NONE;

    return point;
}


static void
add(series_t *series, int64_t at_ms, int32_t weight)
{
    series_point_t  point = point_of(at_ms, weight);

    series_add(series, &point);
}


static void
bounded(void **state)
{
    unsigned  i, ticks;
    series_t  series = { .arm_count = 1 };

    (void) state;

    /* A week of seconds. */
    for (ticks = 0; ticks < 7 * 86400; ticks++) {
        add(&series, START + ticks * 1000, 100);
        assert_true(series.count <= SERIES_MAX);
    }

    assert_true(series.count > SERIES_MAX / 3);
    assert_int_equal(series.points[0].at_ms, START);

    for (i = 1; i < series.count; i++) {
        assert_true(series.points[i].at_ms - series.points[i - 1].at_ms
                    >= series.interval_ms * 9 / 10);
    }

    /* What is newest is not older than an interval. */
    assert_true(START + ticks * 1000 - series.points[series.count - 1].at_ms
                <= series.interval_ms);
}


static void
changes(void **state)
{
    series_t  series = { .arm_count = 1 };

    (void) state;

    add(&series, START, 100);
    add(&series, START + 200, 100);
    assert_int_equal(series.count, 1);
    add(&series, START + 400, 500);
    assert_int_equal(series.count, 2);
    add(&series, START + 400, 0);
    assert_int_equal(series.count, 2);
    add(&series, START - 5000, 0);
    assert_int_equal(series.count, 2);
    add(&series, START + 1399, 500);
    assert_int_equal(series.count, 3);
}


static void
as_text(void **state)
{
    char            *text;
    unsigned         i, n, arms;
    series_t         series, read;
    series_point_t   point;

    (void) state;

    for (arms = 1; arms <= SPEC_MAX_ARMS; arms++) {
        series_init(&series, arms);

        for (i = 0; i < 300; i++) {
            point = point_of(START + i * 1000, (int32_t) i);
            point.stable.p50 = INT32_MIN;      /* the longest that there is */

            for (n = 1; n < arms; n++) {
                point.arms[n] = (series_arm_t) { (int32_t) (n * 100),
                    INT32_MIN, INT32_MIN, { INT32_MIN, SERIES_NONE,
                    INT32_MIN, (int32_t) i } };
            }

            series_add(&series, &point);
        }

        text = series_text(&series);
        series_parse(text, arms, &read);
        assert_int_equal(read.count, series.count);
        assert_int_equal(read.arm_count, arms);
        assert_int_equal(read.interval_ms, series.interval_ms);
        assert_memory_equal(read.points, series.points,
                            series.count * sizeof(series_point_t));

        /* not that of another experiment */
        series_parse(text, arms % SPEC_MAX_ARMS + 1, &read);
        assert_int_equal(read.count, 0);
        free(text);
    }
}


/* A change of any group's weight is seen. */
static void
each_weight(void **state)
{
    series_t        series;
    series_point_t  point;

    (void) state;

    series_init(&series, 3);
    point = point_of(START, 100);
    point.arms[2].weight = 300;
    series_add(&series, &point);
    point.at_ms += 200;
    series_add(&series, &point);
    assert_int_equal(series.count, 1);
    point.arms[2].weight = 0;
    series_add(&series, &point);
    assert_int_equal(series.count, 2);
    assert_int_equal(series.points[0].arms[2].weight, 300);
    assert_int_equal(series.points[1].arms[2].weight, 0);
}


static void
refused(void **state)
{
    size_t      i;
    series_t    series;

    static const char *const  texts[] = {
        NULL, "", "1000", "x\n", "-5\n", "1000\n1 2 3\n",
        "1000\n1 2 3 4 5 6 7 8 9 10 11 12",
        "1000\n1 2 3 4 5 6 7 8 9 10 11 12 13\n",
        "1000\n1 2 3 4 5 6 7 8 9 10 11 99999999999\n",
        "1000\n1 2 3 4 5 6 7 8 9 10 11 12\n1 2 3 4 5 6 7 8 9 10 11 12\n",
        "1000\n99999999999999999999999 2 3 4 5 6 7 8 9 10 11 12\n",
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        series_parse(texts[i], 1, &series);
        assert_int_equal(series.count, 0);
        assert_int_equal(series.interval_ms, 0);
    }
}


static void
odd_numbers(void **state)
{
    traffic_t       traffic;
    series_group_t  group;

    (void) state;

    assert_int_equal(series_log(-INFINITY), -1000000000);
    assert_int_equal(series_log(NAN), -1000000000);
    assert_int_equal(series_log(1e300), 1000000000);
    assert_int_equal(series_log(4.6052), 4605);

    memset(&traffic, 0, sizeof(traffic));
    series_group(&group, &traffic);
    assert_int_equal(group.rate, 0);
    assert_int_equal(group.errors, SERIES_NONE);
    assert_int_equal(group.p99, SERIES_NONE);

    traffic.seconds = 2.0;
    traffic.requests = 10.0;
    traffic.errors = 1.0;
    traffic.latency[0] = 10.0;
    series_group(&group, &traffic);
    assert_int_equal(group.rate, 500);
    assert_int_equal(group.errors, 100000);
    assert_int_equal(group.p50, 1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(bounded),
        cmocka_unit_test(changes),
        cmocka_unit_test(as_text),
        cmocka_unit_test(each_weight),
        cmocka_unit_test(refused),
        cmocka_unit_test(odd_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
