/* What of auth/ stands alone: patterns, names, base64url, the limit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/base64url.h"
#include "auth/identity.h"
#include "auth/limit.h"

#define FAILURES  10


static void
test_patterns(void **state)
{
    char             many[128];
    unsigned         i;
    auth_identity_t  who;

    static const char *const  bad[] = {
        "", ",", "a,", ",a", "a b", "a/b", "a;b", "{a}", "a\\b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    memset(&who, 0, sizeof(who));
    assert_true(auth_may(&who, "app"));
    assert_true(auth_may(&who, ""));

    assert_int_equal(auth_patterns(&who, "app,shop-*,x[0-9]"), 0);
    assert_true(auth_may(&who, "app"));
    assert_true(auth_may(&who, "shop-"));
    assert_true(auth_may(&who, "shop-eu.west"));
    assert_true(auth_may(&who, "x7"));
    assert_false(auth_may(&who, "x77"));
    assert_false(auth_may(&who, "App"));
    assert_false(auth_may(&who, "apps"));
    assert_false(auth_may(&who, "shop"));
    assert_false(auth_may(&who, ""));

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&who, 0, sizeof(who));
        assert_int_equal(auth_patterns(&who, bad[i]), -1);
        /* Who was to be limited never ends up without limits. */
        assert_true(who.limited);
    }

    memset(&who, 0, sizeof(who));
    memset(many, 'a', sizeof(many));

    for (i = 1; i < 34; i += 2) {
        many[i] = ',';
    }

    many[31] = '\0';
    assert_int_equal(auth_patterns(&who, many), 0);
    assert_int_equal(who.pattern_count, AUTH_MAX_PATTERNS);
    assert_int_equal(auth_patterns(&who, "b"), -1);
}


static void
test_roles(void **state)
{
    assert_int_equal(auth_role("viewer"), AUTH_VIEWER);
    assert_int_equal(auth_role("admin"), AUTH_ADMIN);
    assert_int_equal(auth_role("open"), AUTH_NOBODY);
    assert_int_equal(auth_role("watch"), AUTH_NOBODY);
    assert_int_equal(auth_role("nobody"), AUTH_NOBODY);
    assert_int_equal(auth_role(""), AUTH_NOBODY);
    assert_true(AUTH_NOBODY < AUTH_VIEWER && AUTH_VIEWER < AUTH_OPERATOR
                && AUTH_OPERATOR < AUTH_ADMIN);

    assert_true(auth_name_valid("ci@acme"));
    assert_false(auth_name_valid(""));
    assert_false(auth_name_valid("a b"));
    assert_false(auth_name_valid("a\nb"));
    assert_false(auth_name_valid("a\"b"));
    assert_false(auth_name_valid("\xc3\xa4"));
}


static void
test_base64url(void **state)
{
    unsigned       i;
    unsigned char  out[8];

    static const struct {
        const char  *text;
        int          len;
        const char  *bytes;
    } cases[] = {
        { "", 0, "" }, { "Zg", 1, "f" }, { "Zm8", 2, "fo" },
        { "Zm9v", 3, "foo" }, { "Zm9vYg", 4, "foob" }, { "-_8", 2, "\xfb\xff" },
        /* not of this alphabet, padded, cut, or another text for the same */
        { "+/8", -1, "" }, { "Zg==", -1, "" }, { "Z", -1, "" },
        { "Zh", -1, "" }, { "Zm9", -1, "" }, { "Zm 8", -1, "" },
        /* longer than there is room */
        { "Zm9vYmFyYmF6", -1, "" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(base64url_decode(cases[i].text,
                                          strlen(cases[i].text), out,
                                          sizeof(out)), cases[i].len);

        if (cases[i].len > 0) {
            assert_memory_equal(out, cases[i].bytes, cases[i].len);
        }
    }

    assert_int_equal(base64url_decode("Zg\0A", 4, out, sizeof(out)), -1);
}


static void
test_limit(void **state)
{
    int            i;
    int64_t        now;
    auth_limit_t  *limit;

    limit = auth_limit_new();
    assert_non_null(limit);
    now = 1000;

    for (i = 1; i <= FAILURES; i++) {
        assert_false(auth_limit_reached(limit, "a", FAILURES, now));
        assert_int_equal(auth_limit_failed(limit, "a", FAILURES, now),
                         i == FAILURES);
    }

    assert_true(auth_limit_reached(limit, "a", FAILURES, now));
    assert_false(auth_limit_reached(limit, "b", FAILURES, now));

    /* More of them do not make it last longer, nor say so again. */
    for (i = 0; i < 1000; i++) {
        assert_false(auth_limit_failed(limit, "a", FAILURES, now));
    }

    now += 5999;
    assert_true(auth_limit_reached(limit, "a", FAILURES, now));
    now += 2;
    assert_false(auth_limit_reached(limit, "a", FAILURES, now));
    assert_true(auth_limit_failed(limit, "a", FAILURES, now));

    now += 60000;

    for (i = 1; i < FAILURES; i++) {
        auth_limit_failed(limit, "a", FAILURES, now);
        assert_false(auth_limit_reached(limit, "a", FAILURES, now));
    }

    auth_limit_free(limit);
}


/* As many clients as may come: the table stays as it is, and who failed just
 * now is known. */
static void
test_limit_bounded(void **state)
{
    int            i, k;
    char           client[64];
    auth_limit_t  *limit;

    limit = auth_limit_new();
    assert_non_null(limit);

    for (i = 0; i < 200000; i++) {
        snprintf(client, sizeof(client), "192.0.2.%d:%d", i % 256, i);

        for (k = 0; k < 2; k++) {
            auth_limit_failed(limit, client, 2, i);
        }

        assert_true(auth_limit_reached(limit, client, 2, i));
    }

    auth_limit_free(limit);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_limit_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
