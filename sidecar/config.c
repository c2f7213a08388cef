#include "config_keys.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "config_auth.h"
#include "config_env.h"
#include "lib/file.h"
#include "lib/utf8.h"
#include "lib/version.h"
#include "lib/yaml.h"
#include "redis_tls.h"

#define CONFIG_PASSWORD_MAX  4096  /* of the file */

static int config_flags(int argc, char **argv, config_t *config, char *error,
    size_t size);
static int config_file(config_t *config, bool named, char *error,
    size_t size);
static int config_object(config_t *config, const cJSON *json,
    const char *group, char *error, size_t size);
static int config_listen(config_t *config, const config_key_t *key,
    const cJSON *json, char *error, size_t size);
static int config_value(config_t *config, const config_key_t *key,
    const cJSON *json, char *error, size_t size);
static int config_defaults(config_t *config, char *error, size_t size);
static int config_check_redis(const config_t *config, char *error,
    size_t size);
static int config_read_password(config_t *config, char *error, size_t size);
static int config_settings(config_t *config, char *error, size_t size);
static void config_note(char *list, size_t size, bool differs,
    const char *key);
static void config_usage(void);

static const struct option  config_options[] = {
    { "config", required_argument, NULL, 'c' },
    { "test-config", no_argument, NULL, 't' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "node", required_argument, NULL, 'o' },
    { "listen", required_argument, NULL, 'o' },
    { "nginx", required_argument, NULL, 'o' },
    { "redis", required_argument, NULL, 'o' },
    { "prefix", required_argument, NULL, 'o' },
    { "tick", required_argument, NULL, 'o' },
    { "data-dir", required_argument, NULL, 'o' },
    { "log-format", required_argument, NULL, 'o' },
    { "log-level", required_argument, NULL, 'o' },
    { NULL, 0, NULL, 0 }
};


int
config_load(int argc, char **argv, config_t *config, char *error, size_t size)
{
    int          c;
    bool         named, test;
    const char  *file;

    file = CONFIG_FILE;
    named = false;
    test = false;
    optind = 0;                    /* also the second time */
    opterr = 0;

    /* What is asked for comes first, whatever the file says. */
    while ((c = getopt_long(argc, argv, ":c:thV", config_options, NULL))
           != -1)
    {
        switch (c) {

        case 'c':
            file = optarg;
            named = true;
            break;

        case 't':
            test = true;
            break;

        case 'h':
            config_usage();
            return 1;

        case 'V':
            printf("canaryd %s\n", CANARY_VERSION);
            return 1;

        case ':':
            snprintf(error, size, "%.80s needs a value (see --help)",
                     argv[optind - 1]);
            return -1;

        case '?':
            if (optopt != 0 && optopt != 'o') {
                snprintf(error, size, "unknown flag -%c (see --help)",
                         optopt);

            } else {
                snprintf(error, size, "unknown flag %.80s (see --help)",
                         argv[optind - 1]);
            }

            return -1;

        default:
            break;
        }
    }

    if (optind < argc) {
        snprintf(error, size, "unexpected argument \"%.80s\" (see --help)",
                 argv[optind]);
        return -1;
    }

    memset(config, 0, sizeof(*config));
    config->log_level = LOG_INFO;
    config->connections = 256;
    config->retention_count = 100;

    if (config_copy(config->file, sizeof(config->file), file, error, size)
        || config_file(config, named, error, size)
        || config_flags(argc, argv, config, error, size)
        || config_defaults(config, error, size)
        || config_check_redis(config, error, size)
        || config_auth_defaults(config, error, size)
        || config_read_password(config, error, size)
        || config_settings(config, error, size))
    {
        config_wipe(config);
        return -1;
    }

    if (test) {
        printf("configuration ok\n");
        return 1;
    }

    return 0;
}


int
config_reload(int argc, char **argv, config_t *config, char *error,
    size_t size)
{
    int        rc;
    config_t   fresh;

    memset(&fresh, 0, sizeof(fresh));
    rc = config_load(argc, argv, &fresh, error, size);

    if (rc == 0) {
        *config = fresh;
        fresh.sections = NULL;
        fresh.settings = NULL;
    }

    config_wipe(&fresh);
    return rc ? -1 : 0;
}


bool
config_apply(config_t *config, const config_t *fresh, char *list, size_t size)
{
    bool  changed;

    changed = config->tick_ms != fresh->tick_ms
              || config->log_format != fresh->log_format
              || config->log_level != fresh->log_level
              || strcmp(config->nginx_socket, fresh->nginx_socket) != 0
              || strcmp(config->nginx_url, fresh->nginx_url) != 0;

    config->tick_ms = fresh->tick_ms;
    config->log_format = fresh->log_format;
    config->log_level = fresh->log_level;
    memcpy(config->nginx_socket, fresh->nginx_socket,
           sizeof(config->nginx_socket));
    memcpy(config->nginx_url, fresh->nginx_url, sizeof(config->nginx_url));

    list[0] = '\0';

    /* Listeners were opened by what is asked for. */
    if (auth_configured(&config->auth) == auth_configured(&fresh->auth)
        && (config->auth.certificate[0] == '\0')
           == (fresh->auth.certificate[0] == '\0'))
    {
        config->auth = fresh->auth;

    } else {
        config_note(list, size, true, "auth, jwt, tls");
    }

    config_note(list, size, (config->sections == NULL)
                            != (fresh->sections == NULL)
                || (config->sections != NULL
                    && !cJSON_Compare(config->sections, fresh->sections,
                                      true)),
                "what surrounds rollouts");
    config_note(list, size, strcmp(config->node, fresh->node) != 0, "node");
    config_note(list, size, config->listen_count != fresh->listen_count
                || memcmp(config->listen, fresh->listen,
                          sizeof(config->listen)) != 0, "listen");
    config_note(list, size, config->connections != fresh->connections,
                "connections");
    config_note(list, size, config->redis_embedded != fresh->redis_embedded
                || config->redis_port != fresh->redis_port
                || strcmp(config->redis_socket, fresh->redis_socket) != 0
                || strcmp(config->redis_host, fresh->redis_host) != 0
                || strcmp(config->redis_user, fresh->redis_user) != 0
                || strcmp(config->redis_master, fresh->redis_master) != 0
                || strcmp(config->redis_ca, fresh->redis_ca) != 0
                || strcmp(config->redis_cert, fresh->redis_cert) != 0
                || strcmp(config->redis_key, fresh->redis_key) != 0
                || config->redis_tls != fresh->redis_tls
                || config->sentinel_count != fresh->sentinel_count
                || memcmp(config->sentinels, fresh->sentinels,
                          sizeof(config->sentinels)) != 0, "redis");
    config_note(list, size, strcmp(config->redis_password,
                                   fresh->redis_password) != 0,
                "redis_password_file");
    config_note(list, size, strcmp(config->redis_server,
                                   fresh->redis_server) != 0,
                "redis_server");
    config_note(list, size, strcmp(config->prefix, fresh->prefix) != 0,
                "prefix");
    config_note(list, size, strcmp(config->data_dir, fresh->data_dir) != 0,
                "data_dir");
    config_note(list, size, config->retention_ms != fresh->retention_ms
                || config->retention_count != fresh->retention_count,
                "retention");

    return changed;
}


void
config_wipe(config_t *config)
{
    explicit_bzero(config->redis_password, sizeof(config->redis_password));
    cJSON_Delete(config->sections);
    settings_free(config->settings);
    config->sections = NULL;
    config->settings = NULL;
}


static int
config_settings(config_t *config, char *error, size_t size)
{
    spec_error_t  wrong;

    config->settings = settings_new(config->sections, &wrong);

    if (config->settings != NULL) {
        return 0;
    }

    snprintf(error, size, "%.95s: %.300s", wrong.field, wrong.detail);
    return -1;
}


/* The flags that set a key; the others are known to be right. */
static int
config_flags(int argc, char **argv, config_t *config, char *error,
    size_t size)
{
    int                  c, index;
    bool                 listen;
    char                 reason[256];
    const config_key_t  *key;

    listen = false;
    optind = 0;

    while ((c = getopt_long(argc, argv, ":c:thV", config_options, &index))
           != -1)
    {
        if (c != 'o') {
            continue;
        }

        key = config_find(config_options[index].name, true);

        if (key->list && !listen) {
            /* The first takes the place of the file's. */
            listen = true;
            config->listen_count = 0;
            memset(config->listen, 0, sizeof(config->listen));
            memset(config->kind, 0, sizeof(config->kind));
        }

        if (key->set(config, optarg, reason, sizeof(reason))) {
            snprintf(error, size, "--%s: %s", key->flag, reason);
            return -1;
        }
    }

    return 0;
}


static int
config_file(config_t *config, bool named, char *error, size_t size)
{
    int     rc, variables;
    char    reason[512];
    cJSON  *json;

    if (!named && access(config->file, F_OK) == -1 && errno == ENOENT) {
        config->file[0] = '\0';
        json = NULL;

    } else {
        json = yaml_parse_file(config->file, error, size);
        if (json == NULL) {
            return -1;
        }
    }

    if (json == NULL || cJSON_IsNull(json)) {
        cJSON_Delete(json);
        json = cJSON_CreateObject();
    }

    rc = variables = 0;

    if (cJSON_IsObject(json)) {
        variables = config_env(json, environ, error, size);
    }

    if (variables < 0) {
        rc = -1;

    } else if (config_object(config, json, "", reason, sizeof(reason))) {
        snprintf(error, size, "%.200s%s: %.300s",
                 config->file[0] ? config->file : "the environment",
                 config->file[0] && variables ? " and the environment" : "",
                 reason);
        rc = -1;
    }

    cJSON_Delete(json);
    return rc;
}


static int
config_object(config_t *config, const cJSON *json, const char *group,
    char *error, size_t size)
{
    char                 name[96], names[256], reason[300], clean[64];
    const cJSON         *item;
    const config_key_t  *key;

    if (!cJSON_IsObject(json)) {
        snprintf(error, size, "%.*s must be a mapping of keys",
                 group[0] ? (int) strlen(group) - 1 : 8,
                 group[0] ? group : "the file");
        return -1;
    }

    cJSON_ArrayForEach(item, json) {

        if (group[0] == '\0' && settings_is_section(item->string)) {
            if (config->sections == NULL) {
                config->sections = cJSON_CreateObject();
            }

            cJSON_AddItemToObject(config->sections, item->string,
                                  cJSON_Duplicate(item, true));
            continue;
        }

        utf8_clean(item->string, strlen(item->string), clean, sizeof(clean));
        snprintf(name, sizeof(name), "%s%s", group, clean);

        if (group[0] == '\0' && config_is_group(name)
            && (cJSON_IsObject(item) || config_find(name, false) == NULL))
        {
            strcat(name, ".");

            if (config_object(config, item, name, error, size)) {
                return -1;
            }

            continue;
        }

        /* "log.level" as one key is none. */
        key = strchr(item->string, '.') ? NULL : config_find(name, false);

        if (key == NULL) {
            config_names(names, sizeof(names));
            snprintf(error, size, "%s: unknown key; there are %s",
                     name, names);
            return -1;
        }

        if (config_value(config, key, item, reason, sizeof(reason))) {
            snprintf(error, size, "%s: %s", key->key, reason);
            return -1;
        }
    }

    return 0;
}


static int
config_value(config_t *config, const config_key_t *key, const cJSON *json,
    char *error, size_t size)
{
    char  number[32];

    if (key->list && cJSON_IsArray(json)) {
        return config_listen(config, key, json, error, size);
    }

    if (cJSON_IsString(json)) {
        return key->set(config, json->valuestring, error, size);
    }

    if (cJSON_IsBool(json) && key->number == CONFIG_BOOLEAN) {
        return key->set(config, cJSON_IsTrue(json) ? "true" : "false", error,
                        size);
    }

    /* As in a spec, a number is seconds. */
    if (cJSON_IsNumber(json) && key->number == CONFIG_SECONDS
        && json->valuedouble >= 0 && json->valuedouble < 1e8)
    {
        snprintf(number, sizeof(number), "%.0fms", json->valuedouble * 1000);
        return key->set(config, number, error, size);
    }

    if (cJSON_IsNumber(json)
        && (key->number == CONFIG_INTEGER || config_auth_plain(key))
        && json->valuedouble >= 0 && json->valuedouble < 1e9)
    {
        snprintf(number, sizeof(number), "%.15g", json->valuedouble);
        return key->set(config, number, error, size);
    }

    if (cJSON_IsBool(json) && config_auth_plain(key)) {
        return key->set(config, cJSON_IsTrue(json) ? "true" : "false", error,
                        size);
    }

    return config_bad(error, size, key->list
                      ? "must be a list"
                      : key->number == CONFIG_SECONDS
                      ? "must be a duration, as 1s"
                      : key->number == CONFIG_INTEGER
                      ? "must be an integer"
                      : key->number == CONFIG_BOOLEAN
                      ? "must be true or false" : "must be a string");
}


static int
config_listen(config_t *config, const config_key_t *key, const cJSON *json,
    char *error, size_t size)
{
    const cJSON  *item;

    if (cJSON_GetArraySize(json) == 0) {
        return config_bad(error, size, "must have at least one entry");
    }

    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item)) {
            return config_bad(error, size, "must be a list of strings");
        }

        if (key->set(config, item->valuestring, error, size)) {
            return -1;
        }
    }

    return 0;
}


/* Fills what neither the file nor a flag has set. */
static int
config_defaults(config_t *config, char *error, size_t size)
{
    char  host[256], reason[256];

    if (config->node[0] == '\0') {
        if (gethostname(host, sizeof(host)) == -1) {
            host[0] = '\0';
        }

        host[sizeof(host) - 1] = '\0';

        if (config_find("node", false)->set(config, host, reason,
                                            sizeof(reason)))
        {
            snprintf(error, size, "node: the host's name \"%.64s\" cannot "
                     "be used; set node: %s", host, reason);
            return -1;
        }
    }

    if (config->listen_count == 0) {
        strcpy(config->listen[0], "unix:/run/nginx-canary/canaryd.sock");
        strcpy(config->listen[1], "127.0.0.1:7070");
        config->listen_count = 2;
    }

    if (config->nginx_url[0] == '\0') {
        strcpy(config->nginx_socket, "/run/nginx-canary/nginx.sock");
        strcpy(config->nginx_url, "http://localhost/canary/");
    }

    if (config->redis_socket[0] == '\0' && config->redis_host[0] == '\0'
        && config->sentinel_count == 0)
    {
        config->redis_embedded = true;
    }

    if (config->redis_server[0] == '\0') {
        strcpy(config->redis_server, "redis-server");
    }

    if (config->prefix[0] == '\0') {
        strcpy(config->prefix, "canary:");
    }

    if (config->tick_ms == 0) {
        config->tick_ms = 1000;
    }

    if (config->retention_ms == 0) {
        config->retention_ms = INT64_C(90) * 86400 * 1000;
    }

    if (config->data_dir[0] == '\0') {
        strcpy(config->data_dir, "/var/lib/nginx-canary");
    }

    return 0;
}


/* What fits together, and what this build can do. */
static int
config_check_redis(const config_t *config, char *error, size_t size)
{
    bool  fixed;

    fixed = config->redis_embedded || config->redis_host[0] != '\0'
            || config->redis_socket[0] != '\0';

    if (config->sentinel_count > 0 && fixed) {
        return config_bad(error, size, "redis.sentinels: they name the "
                          "address, there must be no other one");
    }

    if ((config->sentinel_count > 0) != (config->redis_master[0] != '\0')) {
        return config_bad(error, size, "redis.master: must be given with "
                          "redis.sentinels, and only with them");
    }

    if (config->redis_user[0] != '\0'
        && config->redis_password_file[0] == '\0')
    {
        return config_bad(error, size, "redis.user: needs a "
                          "redis.password_file");
    }

    if (config->redis_tls && !redis_tls_available()) {
        return config_bad(error, size, "redis: TLS needs hiredis 1.0 or "
                          "newer with libhiredis_ssl (Debian 13), which this "
                          "canaryd was built without: use a unix socket, or "
                          "a tunnel as stunnel");
    }

    if (config->redis_tls && (config->redis_embedded
                              || config->redis_socket[0] != '\0'))
    {
        return config_bad(error, size, "redis.tls: only for HOST:PORT and "
                          "sentinels");
    }

    if (!config->redis_tls && (config->redis_ca[0] != '\0'
                               || config->redis_cert[0] != '\0'
                               || config->redis_key[0] != '\0'))
    {
        return config_bad(error, size, "redis.ca, redis.cert, redis.key: "
                          "only with TLS (rediss://HOST:PORT, or tls: true)");
    }

    if ((config->redis_cert[0] != '\0') != (config->redis_key[0] != '\0')) {
        return config_bad(error, size, "redis.cert: needs redis.key, and the "
                          "other way round");
    }

    return 0;
}


/* The first line of the file. */
static int
config_read_password(config_t *config, char *error, size_t size)
{
    int      rc;
    char    *text, reason[300];
    size_t   len, line;

    if (config->redis_password_file[0] == '\0') {
        return 0;
    }

    if (config->redis_embedded) {
        snprintf(error, size, "redis_password_file: only for a redis of "
                 "your own: set redis: HOST:PORT or unix:/path");
        return -1;
    }

    text = file_read(config->redis_password_file, CONFIG_PASSWORD_MAX, &len,
                     reason, sizeof(reason));
    if (text == NULL) {
        snprintf(error, size, "redis_password_file: %s", reason);
        return -1;
    }

    rc = 0;
    line = strcspn(text, "\r\n");

    if (line == 0 || line >= sizeof(config->redis_password)
        || strlen(text) != len)
    {
        snprintf(error, size, "redis_password_file: %.180s: its first line "
                 "must be the password, at most 255 bytes",
                 config->redis_password_file);
        rc = -1;

    } else {
        memcpy(config->redis_password, text, line);
        config->redis_password[line] = '\0';
    }

    explicit_bzero(text, len);
    free(text);
    return rc;
}


static void
config_note(char *list, size_t size, bool differs, const char *key)
{
    size_t  used;

    if (differs) {
        used = strlen(list);
        snprintf(list + used, size - used, "%s%s", used ? ", " : "", key);
    }
}


static void
config_usage(void)
{
    printf(
        "usage: canaryd [flags]\n"
        "\n"
        "  -c, --config FILE    default " CONFIG_FILE "\n"
        "  -t, --test-config    check the configuration and exit\n"
        "  -h, --help\n"
        "  -V, --version\n"
        "\n"
        "A setting in the environment takes the place of the file's:\n"
        "CANARYD_TICK=500ms, CANARYD_LOG__LEVEL=debug; a flag that of both:\n"
        "\n"
        "  --node NAME          of this nginx; default: the host's name\n"
        "  --listen ADDRESS     unix:/path, 127.0.0.1:PORT or"
        " tls:ADDRESS:PORT;\n"
        "                       repeatable\n"
        "  --nginx ADDRESS      unix:/SOCKET:/PATH/ or http://HOST:PORT/PATH/\n"
        "  --redis ADDRESS      embedded, unix:/path or HOST:PORT\n"
        "  --prefix TEXT        of all keys in Redis; default canary:\n"
        "  --tick DURATION      100ms to 60s; default 1s\n"
        "  --data-dir PATH      default /var/lib/nginx-canary\n"
        "  --log-format FORMAT  logfmt or json\n"
        "  --log-level LEVEL    debug, info, warn or error\n");
}
