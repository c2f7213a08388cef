/* Freeze windows: what is read, and what they cover, also over a change to
 * summer time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "around/window.h"


static int
read_window(const char *text, window_t *window)
{
    int           rc;
    cJSON        *json;
    spec_error_t  error;

    json = cJSON_Parse(text);
    assert_non_null(json);
    rc = window_read(json, "w", window, &error);
    cJSON_Delete(json);

    return rc;
}


static void
test_from_to(void **state)
{
    window_t  w;

    assert_int_equal(read_window("{\"from\":\"2026-12-24T18:00\",\"to\":"
                                 "\"2026-12-27T06:00:30\"}", &w), 0);
    assert_int_equal(w.from_s, 1798135200);
    assert_int_equal(window_until(&w, 1798135199), 0);
    assert_int_equal(window_until(&w, 1798135200), w.to_s);
    assert_int_equal(window_until(&w, w.to_s - 1), w.to_s);
    assert_int_equal(window_until(&w, w.to_s), 0);

    assert_int_equal(read_window("{\"from\":\"2026-12-24T18:00\",\"to\":"
                                 "\"2026-12-25T18:00\",\"zone\":"
                                 "\"Europe/Berlin\"}", &w), 0);
    assert_int_equal(w.from_s, 1798135200 - 3600);
}


static void
test_cron(void **state)
{
    window_t  w;

    /* Friday 18:00 to Monday 08:00 in Berlin; 2026-03-27 is a Friday, and
     * summer time begins on the 29th */

    assert_int_equal(read_window("{\"cron\":\"0 18 * * 5\",\"for\":\"61h\","
                                 "\"zone\":\"Europe/Berlin\"}", &w), 0);
    assert_int_equal(window_until(&w, 1774630799), 0);   /* 17:59:59 */
    assert_int_equal(window_until(&w, 1774630800), 1774630800 + 61 * 3600);
    assert_int_equal(window_until(&w, 1774630800 + 60 * 3600),
                     1774630800 + 61 * 3600);
    assert_int_equal(window_until(&w, 1774630800 + 61 * 3600), 0);

    /* a week later 18:00 is an hour earlier in UTC */

    assert_int_equal(window_until(&w, 1774630800 + 7 * 86400 - 3601), 0);
    assert_true(window_until(&w, 1774630800 + 7 * 86400 - 3600) > 0);

    /* lists, ranges, steps; both days limited: one is enough */

    assert_int_equal(read_window("{\"cron\":\"*/15,7 9-17 1 * 1-5\",\"for\":"
                                 "\"1m\"}", &w), 0);
    assert_true(window_until(&w, 1782896400) > 0);       /* Wed 1st, 09:00 */
    assert_true(window_until(&w, 1782896400 + 7 * 60) > 0);
    assert_int_equal(window_until(&w, 1782896400 + 8 * 60), 0);
    assert_int_equal(window_until(&w, 1782896400 - 3600), 0);
    assert_true(window_until(&w, 1785574800) > 0);       /* Sat 1st, 09:00 */
    assert_int_equal(window_until(&w, 1785574800 + 86400), 0);   /* Sunday */
}


static void
test_refused(void **state)
{
    window_t  w;
    unsigned  i;

    static const char *const  cases[] = {
        "{}", "{\"from\":\"2026-01-01T00:00\"}",
        "{\"from\":\"2026-01-01\",\"to\":\"2026-01-02\"}",
        "{\"from\":\"2026-01-02T00:00\",\"to\":\"2026-01-02T00:00\"}",
        "{\"cron\":\"* * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"* * * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"60 * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"5-1 * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"*/0 * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"1, * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"x * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"* * 0 * *\",\"for\":\"1h\"}",
        "{\"cron\":\"* * * * 8\",\"for\":\"1h\"}",
        "{\"cron\":\"99999999999999999999 * * * *\",\"for\":\"1h\"}",
        "{\"cron\":\"* * * * *\",\"for\":\"15d\"}",
        "{\"cron\":\"* * * * *\"}",
        "{\"cron\":\"* * * * *\",\"for\":\"1h\",\"to\":\"x\"}",
        "{\"cron\":\"* * * * *\",\"for\":\"1h\",\"zone\":\"../../etc/x\"}",
        "{\"cron\":\"* * * * *\",\"for\":\"1h\",\"zone\":\"Nowhere\"}",
        "{\"cron\":\"* * * * *\",\"for\":\"1h\",\"zone\":\"\"}",
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (read_window(cases[i], &w) == 0) {
            fail_msg("%s", cases[i]);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_from_to),
        cmocka_unit_test(test_cron),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
