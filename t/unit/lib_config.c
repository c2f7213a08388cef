/* The configuration of canaryd; it is no part of the library, so it is
 * compiled in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.c"
#include "config_env.c"
#include "config_keys.c"
#include "redis_tls.c"
#include "config_auth.c"

static char      path[] = "/tmp/lib_config.XXXXXX";
static config_t  c, fresh;


static void
write_file(const char *name, const char *text)
{
    FILE  *file;

    file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}


/* Loads text as the file, with at most two more arguments; what the config had
 * is dropped. */
static int
load(const char *text, const char *flag, const char *value, config_t *config,
    char *error)
{
    int    argc;
    char  *argv[6];

    write_file(path, text);

    argc = 0;
    argv[argc++] = (char *) "canaryd";
    argv[argc++] = (char *) "-c";
    argv[argc++] = path;

    if (flag != NULL) {
        argv[argc++] = (char *) flag;
    }

    if (value != NULL) {
        argv[argc++] = (char *) value;
    }

    argv[argc] = NULL;
    error[0] = '\0';
    config_wipe(config);
    return config_load(argc, argv, config, error, 512);
}


static void
test_defaults(void **state)
{
    char  error[512];

    if (load("node: n\n", NULL, NULL, &c, error)) {
        fail_msg("%s", error);
    }

    assert_string_equal(c.node, "n");
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(c.listen[0], "unix:/run/nginx-canary/canaryd.sock");
    assert_string_equal(c.listen[1], "127.0.0.1:7070");
    assert_string_equal(c.nginx_socket, "/run/nginx-canary/nginx.sock");
    assert_string_equal(c.nginx_url, "http://localhost/canary/");
    assert_true(c.redis_embedded);
    assert_string_equal(c.redis_server, "redis-server");
    assert_string_equal(c.prefix, "canary:");
    assert_int_equal(c.tick_ms, 1000);
    assert_string_equal(c.data_dir, "/var/lib/nginx-canary");
    assert_int_equal(c.log_level, LOG_INFO);
    assert_int_equal(c.log_format, LOG_LOGFMT);
    assert_string_equal(c.file, path);
}


static void
test_values(void **state)
{
    char  error[512];

    static const char  text[] =
        "node: edge-1\n"
        "listen: [unix:/a/b.sock, 'localhost:1', '[::1]:2']\n"
        "nginx: http://127.0.0.1:8080/x\n"
        "redis: redis.example:6379\n"
        "redis_server: /opt/redis\n"
        "prefix: \"p:\"\n"
        "tick: 250ms\n"
        "data_dir: /data\n"
        "log: {format: json, level: warn}\n";

    if (load(text, NULL, NULL, &c, error)) {
        fail_msg("%s", error);
    }

    assert_int_equal(c.listen_count, 3);
    assert_string_equal(c.listen[2], "[::1]:2");
    assert_string_equal(c.nginx_socket, "");
    assert_string_equal(c.nginx_url, "http://127.0.0.1:8080/x/");
    assert_false(c.redis_embedded);
    assert_string_equal(c.redis_host, "redis.example");
    assert_int_equal(c.redis_port, 6379);
    assert_int_equal(c.tick_ms, 250);
    assert_int_equal(c.log_level, LOG_WARN);
    assert_int_equal(c.log_format, LOG_JSON);

    assert_int_equal(load(text, "--redis", "[::1]:7", &c, error), 0);
    assert_string_equal(c.redis_host, "::1");
    assert_int_equal(load(text, "--redis", "unix:/r.sock", &c, error), 0);
    assert_string_equal(c.redis_socket, "/r.sock");
    assert_string_equal(c.redis_host, "");
    assert_int_equal(load(text, "--redis=embedded", NULL, &c, error), 0);
    assert_true(c.redis_embedded);
    assert_string_equal(c.redis_host, "");
    assert_int_equal(load(text, "--nginx", "unix:/n:/", &c, error), 0);
    assert_string_equal(c.nginx_socket, "/n");
    assert_string_equal(c.nginx_url, "http://localhost/");
    assert_int_equal(load(text, "--listen", "unix:/l", &c, error), 0);
    assert_int_equal(c.listen_count, 1);
    assert_string_equal(c.listen[0], "unix:/l");
    assert_string_equal(c.listen[1], "");
    assert_int_equal(load(text, "--log-level", "debug", &c, error), 0);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_int_equal(load("tick: 2", "--node", "z", &c, error), 0);
    assert_int_equal(c.tick_ms, 2000);
    assert_string_equal(c.node, "z");
    assert_int_equal(load("listen: unix:/one", NULL, NULL, &c, error), 0);
    assert_int_equal(c.listen_count, 1);
}


typedef struct {
    const char  *text;
    const char  *flag;
    const char  *value;
    const char  *error;
} refused_t;

static const refused_t  refused[] = {
    { "nodes: x", NULL, NULL, "nodes: unknown key" },
    { "log: {levels: x}", NULL, NULL, "log.levels: unknown key" },
    { "log.level: info", NULL, NULL, "log.level: unknown key" },
    { "log: info", NULL, NULL, "log must be a mapping" },
    { "log: {log: {level: info}}", NULL, NULL, "log.log: unknown key" },
    { "- 1", NULL, NULL, "the file must be a mapping" },
    { "node: 7", NULL, NULL, "node: must be a string" },
    { "node: a b", NULL, NULL, "node: must be 1 to 63" },
    { "node: \"\"", NULL, NULL, "node: must be 1 to 63" },
    { "node: a\nnode: b", NULL, NULL, "line 2: duplicate key" },
    { "listen: []", NULL, NULL, "listen: must have at least one" },
    { "listen: [1]", NULL, NULL, "listen: must be a list of strings" },
    { "listen: {}", NULL, NULL, "listen: must be a list" },
    { "listen: ['7070']", NULL, NULL, "listen: 7070: must be unix:/path" },
    { "listen: ['a:b']", NULL, NULL, "listen: a:b: must be unix:/path" },
    { "listen: ['unix:a']", NULL, NULL,
      "listen: unix:a: the path must be absolute" },
    { "listen: [localhost:1,localhost:1,localhost:1,localhost:1,localhost:1,"
      "localhost:1,localhost:1,localhost:1,localhost:1]", NULL, NULL,
      "listen: at most 8" },
    { "listen: ['0.0.0.0:1']", NULL, NULL,
      "listen: 0.0.0.0:1: without auth.tokens" },
    { "listen: ['[::]:1']", NULL, NULL, "listen: [::]:1: without auth.tokens" },
    { "listen: ['tls:0.0.0.0:1']\ntls: {certificate: /c, key: /k}", NULL,
      NULL, "listen: tls:0.0.0.0:1: without auth.tokens" },
    { "listen: ['0.0.0.0:1']\nauth: {tokens: /t}", NULL, NULL,
      "listen: 0.0.0.0:1: tokens would cross the network unencrypted" },
    { "listen: ['tls:127.0.0.1:1']", NULL, NULL,
      "listen: tls:127.0.0.1:1: needs tls.certificate" },
    { "tls: {certificate: /c}", NULL, NULL, "must be given both" },
    { "tls: {min_version: 1.1}", NULL, NULL, "tls.min_version: must be" },
    { "auth: {tokens: t}", NULL, NULL, "auth.tokens: must be an absolute" },
    { "auth: {unix: none}", NULL, NULL, "nobody is asked" },
    { "jwt: {issuer: i}", NULL, NULL, "nobody is asked" },
    { "auth: {unix: root}", NULL, NULL, "auth.unix: must be none" },
    { "auth: {failures: 0}", NULL, NULL, "auth.failures: must be 1" },
    { "auth: {metrics: on}", NULL, NULL, "auth.metrics: must be" },
    { "jwt: {keys: [/k], issuer: i}", NULL, NULL, "jwt.audience: must be" },
    { "jwt: {roles: [x]}", NULL, NULL, "jwt.roles: must be CLAIM=ROLE" },
    { "jwt: {roles: ['x=root']}", NULL, NULL, "jwt.roles: must be CLAIM" },
    { "jwt: {roles: ['x=viewer a/b']}", NULL, NULL, "jwt.roles: must be" },
    { "jwt: {keys: /k, issuer: i, audience: a, roles: ['x=viewer a'],"
      " upstreams_claim: u}", NULL, NULL,
      "jwt.roles: must not name upstreams" },
    { "jwt: {leeway: 6m}", NULL, NULL, "jwt.leeway: must be" },
    { "nginx: /x", NULL, NULL, "nginx: must be unix:" },
    { "nginx: unix:/x", NULL, NULL, "nginx: must be unix:" },
    { "nginx: unix:/x:y", NULL, NULL, "nginx: must be unix:" },
    { "nginx: http://h", NULL, NULL, "nginx: must be unix:" },
    { "nginx: https://h/", NULL, NULL, "nginx: must be unix:" },
    { "nginx: http://u:p@h/", NULL, NULL, "nginx: must be unix:" },
    { "redis: x", NULL, NULL, "redis: must be embedded" },
    { "redis: x:0", NULL, NULL, "redis: must be embedded" },
    { "redis: x:65536", NULL, NULL, "redis: must be embedded" },
    { "redis: unix:x", NULL, NULL, "redis: must be embedded" },
    { "redis: '[]:1'", NULL, NULL, "redis: must be embedded" },
    { "redis: null", NULL, NULL, "redis: must be a string" },
    { "redis_password_file: /x", NULL, NULL, "redis_password_file: only" },
    { "redis: a:1\nredis_password_file: /nonexistent", NULL, NULL,
      "redis_password_file: /nonexistent: No such file" },
    { "redis: a:1\nredis_password_file: /dev/null", NULL, NULL,
      "first line must be the password" },
    { "redis: {}\nredis_password_file: /x", NULL, NULL,
      "redis_password_file: only" },
    { "redis: {address: x}", NULL, NULL, "redis.address: must be" },
    { "redis: {port: 1}", NULL, NULL, "redis.port: unknown key" },
    { "redis: {user: a, address: 'h:1'}", NULL, NULL,
      "redis.user: needs a redis.password_file" },
    { "redis: {sentinels: ['h:1']}", NULL, NULL, "redis.master: must be" },
    { "redis: {address: 'h:1', master: m}", NULL, NULL,
      "redis.master: must be" },
    { "redis: {sentinels: [h], master: m}", NULL, NULL,
      "redis.sentinels: must be a list of HOST:PORT" },
    { "redis: {address: 'h:1', sentinels: ['h:1'], master: m}", NULL, NULL,
      "redis.sentinels: they name the address" },
    { "redis: {address: 'h:1', tls: maybe}", NULL, NULL,
      "redis.tls: must be true or false" },
    { "redis: {address: 'h:1', ca: /x}", NULL, NULL, "only with TLS" },
    { "redis: {address: 'h:1', ca: x}", NULL, NULL,
      "redis.ca: must be the absolute path" },
    { "prefix: 'a{b}'", NULL, NULL, "prefix: must be" },
    { "prefix: ''", NULL, NULL, "prefix: must be" },
    { "tick: 99ms", NULL, NULL, "tick: must be a duration" },
    { "tick: 61s", NULL, NULL, "tick: must be a duration" },
    { "tick: 0", NULL, NULL, "tick: must be a duration" },
    { "tick: 1e300", NULL, NULL, "tick: must be a duration" },
    { "tick: -1", NULL, NULL, "tick: must be a duration" },
    { "tick: true", NULL, NULL, "tick: must be a duration" },
    { "tick: soon", NULL, NULL, "tick: must be a duration" },
    { "data_dir: x", NULL, NULL, "data_dir: must be an absolute path" },
    { "data_dir: \"/a\\nb\"", NULL, NULL, "data_dir: has a control" },
    { "log: {format: xml}", NULL, NULL, "log.format: must be logfmt" },
    { "log: {level: loud}", NULL, NULL, "log.level: must be debug" },
    { "connections: 15", NULL, NULL, "connections: must be an integer" },
    { "connections: 10001", NULL, NULL, "connections: must be an integer" },
    { "connections: 20.5", NULL, NULL, "connections: must be an integer" },
    { "connections: many", NULL, NULL, "connections: must be an integer" },
    { "retention: 7", NULL, NULL, "retention must be a mapping" },
    { "retention: {count: 0}", NULL, NULL, "retention.count: must be" },
    { "retention: {count: 1.5}", NULL, NULL, "retention.count: must be" },
    { "retention: {count: true}", NULL, NULL, "retention.count: must be" },
    { "retention: {age: 1m}", NULL, NULL, "retention.age: must be" },
    { "retention: {size: 1}", NULL, NULL, "retention.size: unknown key" },
    { "a: [", NULL, NULL, "line 2" },
    { "", "--tick", "1", "--tick: must be a duration" },
    { "", "--tick", NULL, "--tick needs a value" },
    { "", "--nope", NULL, "unknown flag --nope" },
    { "", "-x", NULL, "unknown flag -x" },
    { "", "what", NULL, "unexpected argument \"what\"" },
};


static void
test_refused(void **state)
{
    char              error[512];
    unsigned          i;
    const refused_t  *r;

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        r = &refused[i];

        if (load(r->text, r->flag, r->value, &c, error) != -1
            || strstr(error, r->error) == NULL)
        {
            fail_msg("\"%s\" %s: \"%s\", not \"%s\"", r->text,
                     r->flag ? r->flag : "", error, r->error);
        }
    }
}


/* What a build without TLS says; what one with it does. */
static void
test_tls(void **state)
{
    int       rc;
    char      error[512];

    rc = load("redis: rediss://h:6380", NULL, NULL, &c, error);

    if (!redis_tls_available()) {
        assert_int_equal(rc, -1);
        assert_non_null(strstr(error, "TLS needs hiredis 1.0"));
        return;
    }

    assert_int_equal(rc, 0);
    assert_true(c.redis_tls);
    assert_string_equal(c.redis_host, "h");
    assert_int_equal(c.redis_port, 6380);

    assert_int_equal(load("redis: {address: 'h:1', tls: true, cert: /c}",
                          NULL, NULL, &c, error), -1);
    assert_non_null(strstr(error, "redis.cert: needs redis.key"));
}


static void
test_sentinels(void **state)
{
    char  error[512];

    assert_int_equal(load("redis: {sentinels: ['a:1', '[::1]:2'], "
                          "master: m}", NULL, NULL, &c, error), 0);
    assert_false(c.redis_embedded);
    assert_int_equal(c.sentinel_count, 2);
    assert_string_equal(c.sentinels[0].host, "a");
    assert_string_equal(c.sentinels[1].host, "::1");
    assert_int_equal(c.sentinels[1].port, 2);
    assert_string_equal(c.redis_master, "m");
}


static void
test_auth(void **state)
{
    char  error[512], list[128];

    assert_int_equal(load(
        "listen: ['tls:0.0.0.0:7443', '0.0.0.0:1', 'unix:/x']\n"
        "plaintext: true\n"
        "auth: {tokens: /t, unix: none, metrics: open, failures: 5}\n"
        "jwt: {keys: [/a, /b], issuer: i, audience: a, leeway: 0,\n"
        "      roles: ['repo:x/y:*=operator app,shop-*', 'x=admin']}\n"
        "tls: {certificate: /c, key: /k, min_version: 1.3}\n",
        NULL, NULL, &c, error), 0);

    assert_true(auth_configured(&c.auth));
    assert_true(c.kind[0].tls && c.kind[0].foreign);
    assert_true(!c.kind[1].tls && c.kind[1].foreign);
    assert_true(!c.kind[2].tls && !c.kind[2].foreign);
    assert_int_equal(c.auth.local, AUTH_NOBODY);
    assert_int_equal(c.auth.failures, 5);
    assert_true(c.auth.metrics_open);
    assert_string_equal(c.auth.jwt.keys[1], "/b");
    assert_int_equal(c.auth.jwt.leeway, 0);
    assert_string_equal(c.auth.jwt.role_claim, "canary_role");
    assert_int_equal(c.auth.jwt.rule_count, 2);
    assert_string_equal(c.auth.jwt.rules[0].claim, "repo:x/y:*");
    assert_int_equal(c.auth.jwt.rules[0].identity.role, AUTH_OPERATOR);
    assert_true(c.auth.jwt.rules[0].identity.limited);
    assert_string_equal(c.auth.jwt.rules[0].identity.patterns[1], "shop-*");
    assert_false(c.auth.jwt.rules[1].identity.limited);
    assert_string_equal(c.auth.min_version, "1.3");

    /* That it is asked for at all does not change while it runs. */
    assert_int_equal(load("{}", NULL, NULL, &fresh, error), 0);
    assert_int_equal(fresh.auth.local, AUTH_OPERATOR);
    assert_int_equal(fresh.auth.failures, 10);
    assert_false(auth_configured(&fresh.auth));
    config_apply(&c, &fresh, list, sizeof(list));
    assert_true(auth_configured(&c.auth));
    assert_non_null(strstr(list, "auth, jwt, tls"));
}


static void
test_password(void **state)
{
    char  error[512], secret[64], text[256];

    snprintf(secret, sizeof(secret), "%s.secret", path);
    snprintf(text, sizeof(text), "redis: a:1\nredis_password_file: %s",
             secret);

    write_file(secret, "pass word\n");
    assert_int_equal(load(text, NULL, NULL, &c, error), 0);
    assert_string_equal(c.redis_password, "pass word");
    config_wipe(&c);
    assert_string_equal(c.redis_password, "");
    unlink(secret);
}


static void
test_reload(void **state)
{
    char   error[512], list[128];
    char  *argv[] = { (char *) "canaryd", (char *) "-c", path, NULL };

    assert_int_equal(load("node: a", NULL, NULL, &c, error), 0);
    assert_int_equal(load("node: a", NULL, NULL, &fresh, error), 0);
    assert_false(config_apply(&c, &fresh, list, sizeof(list)));
    assert_string_equal(list, "");

    write_file(path, "node: b\ntick: 2s\nlog: {level: debug}\n"
               "listen: unix:/x\nredis: h:1\nnginx: http://h/\n"
               "prefix: x\ndata_dir: /y\nredis_server: /z\n");
    config_wipe(&fresh);
    assert_int_equal(config_reload(3, argv, &fresh, error, 512), 0);
    assert_true(config_apply(&c, &fresh, list, sizeof(list)));
    assert_string_equal(list, "node, listen, redis, redis_server, prefix, "
                        "data_dir");
    assert_string_equal(c.node, "a");
    assert_int_equal(c.tick_ms, 2000);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_string_equal(c.nginx_url, "http://h/");
    assert_string_equal(c.nginx_socket, "");

    write_file(path, "node: [");
    assert_int_equal(config_reload(3, argv, &fresh, error, 512), -1);
    assert_string_equal(fresh.node, "b");
}


static void
test_example(void **state)
{
    char      error[512];
    char     *argv[] = { (char *) "canaryd", (char *) "-c",
                         (char *) "conf/canaryd.yaml", (char *) "--node",
                         (char *) "n", NULL };

    config_wipe(&c);
    if (config_load(5, argv, &c, error, sizeof(error))) {
        fail_msg("%s", error);
    }
}


static int
setup(void **state)
{
    return mkstemp(path) == -1 ? -1 : 0;
}


static int
teardown(void **state)
{
    config_wipe(&c);
    config_wipe(&fresh);

    return unlink(path);
}


/* The environment wins over the file, a flag over both. */
static void
test_environment(void **state)
{
    char  error[512];

    setenv("CANARYD_TICK", "500ms", 1);
    setenv("CANARYD_LOG__LEVEL", "debug", 1);
    setenv("CANARYD_LISTEN", "[unix:/a.sock, \"127.0.0.1:1234\"]", 1);
    setenv("CANARYD_REDIS", "127.0.0.1:6379", 1);
    setenv("CANARYD_NODE", "", 1);

    assert_int_equal(load("node: a\ntick: 1s\nlog: {format: json}\n"
                          "listen: [unix:/b.sock]\n",
                          NULL, NULL, &c, error), 0);
    assert_string_equal(c.node, "a");
    assert_int_equal(c.tick_ms, 500);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_int_equal(c.log_format, LOG_JSON);
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(c.listen[1], "127.0.0.1:1234");
    assert_string_equal(c.redis_host, "127.0.0.1");

    assert_int_equal(load("", "--tick", "2s", &c, error), 0);
    assert_int_equal(c.tick_ms, 2000);

    setenv("CANARYD_TICK", "soon", 1);
    assert_int_equal(load("", NULL, NULL, &c, error), -1);
    assert_non_null(strstr(error, "the environment: tick: must be"));

    unsetenv("CANARYD_TICK");
    setenv("CANARYD_LOG__LEVEL__X", "1", 1);
    assert_int_equal(load("log: {level: info}\n", NULL, NULL, &c,
                          error), -1);

    unsetenv("CANARYD_LOG__LEVEL__X");
    setenv("CANARYD_LISTEN", "[unix:/a.sock", 1);
    assert_int_equal(load("", NULL, NULL, &c, error), -1);
    assert_non_null(strstr(error, "CANARYD_LISTEN: "));

    setenv("CANARYD_LISTEN", "", 1);
    setenv("CANARYD_NOTHING", "1", 1);
    assert_int_equal(load("", NULL, NULL, &c, error), -1);
    assert_non_null(strstr(error, "nothing: unknown key"));

    unsetenv("CANARYD_NOTHING");
    unsetenv("CANARYD_LISTEN");
    unsetenv("CANARYD_LOG__LEVEL");
    unsetenv("CANARYD_REDIS");
    unsetenv("CANARYD_NODE");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_sentinels),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_environment),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
