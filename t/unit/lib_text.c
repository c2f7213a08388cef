/* log, yaml, utf8, timefmt, file */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/timefmt.h"
#include "lib/utf8.h"
#include "lib/yaml.h"


/* ------------------------------------------------------------------ yaml */

typedef struct {
    const char  *yaml;
    const char  *json;             /* NULL: refused, with */
    const char  *error;            /* this in the error */
} yaml_case_t;

static const yaml_case_t  yaml_cases[] = {
    { "a: 1", "{\"a\":1}", NULL },
    { "a: 1.50\nb: .5\nc: 1.\nd: -2e3\ne: +7",
      "{\"a\":1.5,\"b\":0.5,\"c\":1,\"d\":-2000,\"e\":7}", NULL },
    { "a: 010\nb: 0o17\nc: 0xff", "{\"a\":10,\"b\":15,\"c\":255}", NULL },
    { "a: yes\nb: on\nc: No", "{\"a\":\"yes\",\"b\":\"on\",\"c\":\"No\"}",
      NULL },
    { "a: true\nb: FALSE\nc: ~\nd:\ne: null",
      "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}", NULL },
    { "a: '1'\nb: \"true\"\nc: 'x'",
      "{\"a\":\"1\",\"b\":\"true\",\"c\":\"x\"}", NULL },
    { "a: 1_000\nb: 1:30\nc: 60s\nd: v1.2.3\ne: 1.2.3\nf: 1e\ng: 2026-01-02",
      "{\"a\":\"1_000\",\"b\":\"1:30\",\"c\":\"60s\",\"d\":\"v1.2.3\","
      "\"e\":\"1.2.3\",\"f\":\"1e\",\"g\":\"2026-01-02\"}", NULL },
    { "- 1\n- [2, {b: c}]\n", "[1,[2,{\"b\":\"c\"}]]", NULL },
    { "{\"a\": [1, \"x\", null, {\"b\": false}]}",
      "{\"a\":[1,\"x\",null,{\"b\":false}]}", NULL },
    { "a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}", NULL },
    { "168: 1\n169: 2", "{\"168\":1,\"169\":2}", NULL },
    { "", "null", NULL },
    { "# nothing\n", "null", NULL },
    { "---\na: 1\n...\n", "{\"a\":1}", NULL },
    { "A: 1\na: 2", "{\"A\":1,\"a\":2}", NULL },
    { "a: -", NULL, "line 1" },
    { "a: 900719925474099", "{\"a\":900719925474099}", NULL },

    { "a: 1\nb: 2\na: 3", NULL, "line 3: duplicate key: \"a\"" },
    { "a: {x: 1, x: 2}", NULL, "duplicate key" },
    { "a: &x 1\nb: *x", NULL, "anchors" },
    { "b: *x", NULL, "aliases" },
    { "a: !!str 1", NULL, "tags" },
    { "a: !foo {b: 1}", NULL, "tags" },
    { "a: ! 1", NULL, "tags" },
    { "? [a]\n: 1", NULL, "key" },
    { "a: .nan", NULL, "line 1: not a finite" },
    { "\na: -.Inf", NULL, "line 2: not a finite" },
    { "a: 1e999", NULL, "too large" },
    { "a: 12345678901234567890", NULL, "too large" },
    { "a: 0xfffffffffffffffffff", NULL, "too large" },
    { "a: 1\n--- \nb: 2", NULL, "second document" },
    { "a: [1, 2", NULL, "line 2" },
    { "a: \"x\\0y\"", NULL, "NUL" },
    { "\"a\\0b\": 1", NULL, "NUL" },
    { "\ta: 1", NULL, "line 1" },
    { "a: \xff\xfe", NULL, "byte" },
    { "a: 1\n b: 2", NULL, "line 2" },
    { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
      NULL, "too deep" },
    { "\"\\e[31m\": 1\n\"\\e[31m\": 1", NULL, "\"?[31m\"" },
};


static void
test_yaml(void **state)
{
    char                *text, error[256];
    cJSON               *json;
    unsigned             i;
    const yaml_case_t   *c;

    for (i = 0; i < sizeof(yaml_cases) / sizeof(yaml_cases[0]); i++) {
        c = &yaml_cases[i];
        error[0] = '\0';
        json = yaml_parse(c->yaml, strlen(c->yaml), error, sizeof(error));

        if (c->json == NULL) {
            if (json != NULL || strstr(error, c->error) == NULL) {
                fail_msg("%s: \"%s\", not \"%s\"", c->yaml, error, c->error);
            }

            continue;
        }

        if (json == NULL) {
            fail_msg("%s: %s", c->yaml, error);
        }

        text = cJSON_PrintUnformatted(json);
        assert_string_equal(text, c->json);
        cJSON_free(text);
        cJSON_Delete(json);
    }
}


static void
test_yaml_bounds(void **state)
{
    char    *text, error[256];
    cJSON   *json;
    size_t   i, used, size;

    size = 256 * 1024 + 1;
    text = malloc(size + 1);
    assert_non_null(text);

    /* 32 levels are allowed. */
    memset(text, '[', 32);
    memset(text + 32, ']', 32);
    json = yaml_parse(text, 64, error, sizeof(error));
    assert_non_null(json);
    cJSON_Delete(json);

    memset(text, '[', size);
    assert_null(yaml_parse(text, size - 1, error, sizeof(error)));
    assert_non_null(strstr(error, "too deep"));
    assert_null(yaml_parse(text, size, error, sizeof(error)));
    assert_non_null(strstr(error, "larger than 256 KiB"));

    for (i = 0, used = 0; i < 1001; i++) {
        used += (size_t) sprintf(text + used, "k%zu: 1\n", i);
    }

    assert_null(yaml_parse(text, used, error, sizeof(error)));
    assert_non_null(strstr(error, "too many keys"));

    free(text);
}


/* No prefix and no broken byte of a good text may crash or leak. */
static void
test_yaml_broken(void **state)
{
    char         copy[512], error[256];
    size_t       len, i;
    unsigned     k;

    static const char  text[] =
        "upstream: app\nsteps: [ {weight: 1, hold: 60s}, {weight: 100} ]\n"
        "analysis:\n  alpha: 0.01\n  latency:\n    - quantile: 0.99\n"
        "      tolerance: \"0.25\"\nversion: 'v1'\n";
    static const char  bytes[] = "\0\xff\"'[{:&*!-\n\t";

    len = sizeof(text) - 1;

    for (i = 0; i < len; i++) {
        cJSON_Delete(yaml_parse(text, i, error, sizeof(error)));

        for (k = 0; k < sizeof(bytes) - 1; k++) {
            memcpy(copy, text, len);
            copy[i] = bytes[k];
            cJSON_Delete(yaml_parse(copy, len, error, sizeof(error)));
        }
    }
}


static void
test_yaml_file(void **state)
{
    char    error[256], *text;
    cJSON  *json;
    size_t  len;

    assert_null(yaml_parse_file("/nonexistent/x.yaml", error,
                                sizeof(error)));
    assert_non_null(strstr(error, "/nonexistent/x.yaml: No such file"));
    assert_null(yaml_parse_file("t", error, sizeof(error)));
    assert_non_null(strstr(error, "directory"));
    assert_null(yaml_parse_file("/dev/zero", error, sizeof(error)));
    assert_non_null(strstr(error, "larger than 256 KiB"));

    json = yaml_parse_file("/dev/null", error, sizeof(error));
    assert_true(cJSON_IsNull(json));
    cJSON_Delete(json);

    text = file_read("/dev/null", 0, &len, error, sizeof(error));
    assert_non_null(text);
    assert_int_equal(len, 0);
    free(text);
}


/* ------------------------------------------------------------------- log */

static int  log_pipe[2];

static char *
log_line(char *buf, size_t size)
{
    ssize_t  n;

    n = read(log_pipe[0], buf, size - 1);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_true(buf[n - 1] == '\n');
    assert_null(memchr(buf, '\n', (size_t) n - 1));
    return buf;
}


static void
test_log(void **state)
{
    char         line[16384];
    log_t       *log;
    cJSON       *json;
    const char  *at;

    static const char  evil[] =
        "a\"b\\c\nd\te\x1b[31m\x7f\xc2\x85\xff\xe2\x80\xa8\xc3\xa9";

    assert_int_equal(pipe(log_pipe), 0);
    log = log_new(log_pipe[1], LOG_LOGFMT, LOG_INFO);
    assert_non_null(log);

    log_debug(log, "below the level");
    log_info(log, "record applied", LOG_S("upstream", "app"),
             LOG_I("revision", -7), LOG_F("rate", 0.25),
             LOG_S("empty", NULL), LOG_F("nan", NAN));
    log_line(line, sizeof(line));

    assert_memory_equal(line, "ts=2", 4);
    at = strchr(line, ' ');
    assert_string_equal(at, " level=info msg=\"record applied\" "
                        "upstream=app revision=-7 rate=0.25 empty=\"\" "
                        "nan=null\n");

    log_error(log, "x", LOG_S("v", evil), LOG_S("eq", "a=b"));
    log_line(line, sizeof(line));
    at = strchr(line, ' ');
    assert_string_equal(at, " level=error msg=x v=\"a\\\"b\\\\c\\nd\\te"
                        "\\u001b[31m\\u007f\\u0085\\ufffd\\u2028\xc3\xa9\" "
                        "eq=\"a=b\"\n");

    log_set(log, LOG_JSON, LOG_DEBUG);
    log_debug(log, "x", LOG_S("v", evil), LOG_I("n", INT64_MIN),
              LOG_F("inf", INFINITY));
    log_line(line, sizeof(line));
    json = cJSON_Parse(line);
    assert_non_null(json);
    assert_string_equal(cJSON_GetObjectItem(json, "level")->valuestring,
                        "debug");
    assert_string_equal(cJSON_GetObjectItem(json, "msg")->valuestring, "x");
    assert_string_equal(cJSON_GetObjectItem(json, "v")->valuestring,
                        "a\"b\\c\nd\te\x1b[31m\x7f\xc2\x85\xef\xbf\xbd"
                        "\xe2\x80\xa8\xc3\xa9");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "inf")));
    cJSON_Delete(json);

    log_write(NULL, LOG_ERROR, "nowhere", NULL);
    log_free(log);
}


static void
test_log_bounds(void **state)
{
    char   *big, line[16384];
    log_t  *log;
    cJSON  *json;

    big = malloc(100001);
    assert_non_null(big);
    memset(big, '\x01', 100000);
    big[100000] = '\0';

    log = log_new(log_pipe[1], LOG_JSON, LOG_INFO);
    assert_non_null(log);

    log_info(log, "big", LOG_S("a", big));
    json = cJSON_Parse(log_line(line, sizeof(line)));
    assert_non_null(json);
    assert_null(cJSON_GetObjectItem(json, "truncated"));
    assert_non_null(cJSON_GetObjectItem(json, "a"));
    cJSON_Delete(json);

    log_info(log, "big", LOG_S("a", big), LOG_S("b", big), LOG_S("c", big),
             LOG_S("d", big), LOG_S("e", big));
    assert_true(strlen(log_line(line, sizeof(line))) <= 8192);
    json = cJSON_Parse(line);
    assert_non_null(json);
    assert_non_null(cJSON_GetObjectItem(json, "truncated"));
    assert_null(cJSON_GetObjectItem(json, "e"));
    cJSON_Delete(json);

    log_set(log, LOG_LOGFMT, LOG_INFO);
    memset(big, 'x', 100000);
    log_info(log, big, LOG_S("b", big), LOG_S("c", big), LOG_S("d", big),
             LOG_S("e", big));
    log_line(line, sizeof(line));
    assert_non_null(strstr(line, " truncated=1\n"));

    log_free(log);
    free(big);
}


static void
test_names(void **state)
{
    log_level_t   level;
    log_format_t  format;

    assert_int_equal(log_level_parse("warn", &level), 0);
    assert_int_equal(level, LOG_WARN);
    assert_int_equal(log_level_parse("warning", &level), -1);
    assert_int_equal(log_format_parse("json", &format), 0);
    assert_int_equal(format, LOG_JSON);
    assert_int_equal(log_format_parse("", &format), -1);
}


/* ------------------------------------------------------------------ time */

static void
test_time(void **state)
{
    char  buf[TIME_LEN];

    assert_string_equal(time_format(0, buf, sizeof(buf)),
                        "1970-01-01T00:00:00.000Z");
    assert_string_equal(time_format(-1, buf, sizeof(buf)),
                        "1969-12-31T23:59:59.999Z");
    assert_string_equal(time_format(1795245144123, buf, sizeof(buf)),
                        "2026-11-21T07:12:24.123Z");
    assert_string_equal(time_format(INT64_MAX, buf, sizeof(buf)), "");
    assert_string_equal(time_format(INT64_MIN, buf, sizeof(buf)), "");
    assert_string_equal(time_format(253402300800000, buf, sizeof(buf)), "");
    assert_true(time_now_ms() > 1700000000000);
}


static void
test_utf8(void **state)
{
    char      buf[16];
    unsigned  i, code;

    static const char *const  bad[] = {
        "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82",
        "\xff",
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(utf8_decode((const unsigned char *) bad[i],
                                     strlen(bad[i]), &code), 0);
    }

    assert_int_equal(utf8_decode((const unsigned char *) "\xf0\x9f\x98\x80",
                                 4, &code), 4);
    assert_int_equal(code, 0x1f600);

    assert_string_equal(utf8_clean("a\x1b\xffz\xe2\x80\xae", 7, buf, 16),
                        "a??z?");
    assert_string_equal(utf8_clean("\xc3\xa9\xc3\xa9", 4, buf, 4),
                        "\xc3\xa9");
    assert_string_equal(utf8_clean("abc", 3, buf, 1), "");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_yaml_bounds),
        cmocka_unit_test(test_yaml_broken),
        cmocka_unit_test(test_yaml_file),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_bounds),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_utf8),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
