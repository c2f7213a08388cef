/* Unit tests of core/histogram. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/histogram.h"


static void
test_known_edges(void **state)
{
    assert_int_equal(histogram_bucket_of(0), 0);
    assert_int_equal(histogram_bucket_of(15), 15);
    assert_int_equal(histogram_bucket_of(16), 16);
    assert_int_equal(histogram_bucket_of(31), 31);
    assert_int_equal(histogram_bucket_of(32), 32);
    assert_int_equal(histogram_bucket_of(33), 32);
    assert_int_equal(histogram_bucket_of(34), 33);
    assert_int_equal(histogram_bucket_of((1u << 27) - 1), 383);
    assert_int_equal(histogram_bucket_of(1u << 27), 383);
    assert_int_equal(histogram_bucket_of(UINT64_MAX), 383);

    assert_int_equal(histogram_lower_edge(0), 0);
    assert_int_equal(histogram_lower_edge(15), 15);
    assert_int_equal(histogram_lower_edge(16), 16);
    assert_int_equal(histogram_lower_edge(33), 34);
    assert_int_equal(histogram_lower_edge(384), 1u << 27);
    assert_int_equal(histogram_lower_edge(UINT32_MAX), 1u << 27);
}


static void
test_every_bucket(void **state)
{
    unsigned  i;
    uint64_t  low, high;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        low = histogram_lower_edge(i);
        high = histogram_lower_edge(i + 1);

        assert_true(low < high);
        assert_int_equal(histogram_bucket_of(low), i);
        assert_int_equal(histogram_bucket_of(high - 1), i);
        assert_true(i < 16 || (high - low) * 16 <= low);
    }
}


static void
test_quantile(void **state)
{
    double  counts[HISTOGRAM_BUCKETS];

    memset(counts, 0, sizeof(counts));
    assert_true(histogram_quantile(counts, 0.5) == -1.0);

    counts[10] = 0.25;
    assert_true(histogram_quantile(counts, 0.01) == 11.0);
    assert_true(histogram_quantile(counts, 1.0) == 11.0);

    counts[10] = 99.0;
    counts[100] = 1.0;
    assert_true(histogram_quantile(counts, 0.99) == 11.0);
    assert_true(histogram_quantile(counts, 0.991)
                == (double) histogram_lower_edge(101));

    counts[383] = 1000.0;
    assert_true(histogram_quantile(counts, 0.5) == (double) (1u << 27));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_known_edges),
        cmocka_unit_test(test_every_bucket),
        cmocka_unit_test(test_quantile)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_histogram", tests, NULL, NULL);
}
