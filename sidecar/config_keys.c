#include "config_keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_auth.h"
#include "core/spec.h"

#define CONFIG_TICK_MIN  100
#define CONFIG_TICK_MAX  60000

/* Open connections of a TCP address. */
#define CONFIG_CONNECTIONS_MIN  16
#define CONFIG_CONNECTIONS_MAX  10000

/* Of what is kept of rollouts. */
#define CONFIG_COUNT_MAX  10000
#define CONFIG_AGE_MIN    (INT64_C(3600) * 1000)
#define CONFIG_AGE_MAX    (INT64_C(365) * 86400 * 1000)

static int config_set_node(config_t *config, const char *text, char *error,
    size_t size);
static int config_add_listen(config_t *config, const char *text, char *error,
    size_t size);
static int config_set_connections(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_nginx(config_t *config, const char *text, char *error,
    size_t size);
static int config_set_redis(config_t *config, const char *text, char *error,
    size_t size);
static int config_set_password_file(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_server(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_prefix(config_t *config, const char *text, char *error,
    size_t size);
static int config_set_tick(config_t *config, const char *text, char *error,
    size_t size);
static int config_set_data_dir(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_log_format(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_log_level(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_retention_count(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_retention_age(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_user(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_tls(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_ca(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_cert(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_key(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_redis_master(config_t *config, const char *text,
    char *error, size_t size);
static int config_add_sentinel(config_t *config, const char *text,
    char *error, size_t size);
static int config_set_path(char *to, const char *text, char *error,
    size_t size);
static int config_peer(const char *text, config_peer_t *peer);
static bool config_plain(const char *text);
static int config_port(const char *text);

static const config_key_t  config_keys[] = {
    { "node", "node", config_set_node, false, CONFIG_NO_NUMBER },
    { "listen", "listen", config_add_listen, true, CONFIG_NO_NUMBER },
    { "connections", NULL, config_set_connections, false, CONFIG_INTEGER },
    { "nginx", "nginx", config_set_nginx, false, CONFIG_NO_NUMBER },
    { "redis", "redis", config_set_redis, false, CONFIG_NO_NUMBER },
    { "redis_password_file", NULL, config_set_password_file, false,
      CONFIG_NO_NUMBER },
    { "redis_server", NULL, config_set_redis_server, false,
      CONFIG_NO_NUMBER },
    { "prefix", "prefix", config_set_prefix, false, CONFIG_NO_NUMBER },
    { "tick", "tick", config_set_tick, false, CONFIG_SECONDS },
    { "data_dir", "data-dir", config_set_data_dir, false, CONFIG_NO_NUMBER },
    { "log.format", "log-format", config_set_log_format, false,
      CONFIG_NO_NUMBER },
    { "log.level", "log-level", config_set_log_level, false,
      CONFIG_NO_NUMBER },
    { "retention.age", NULL, config_set_retention_age, false,
      CONFIG_SECONDS },
    { "retention.count", NULL, config_set_retention_count, false,
      CONFIG_INTEGER },
    { "redis.address", NULL, config_set_redis, false, CONFIG_NO_NUMBER },
    { "redis.user", NULL, config_set_redis_user, false, CONFIG_NO_NUMBER },
    { "redis.password_file", NULL, config_set_password_file, false,
      CONFIG_NO_NUMBER },
    { "redis.tls", NULL, config_set_redis_tls, false, CONFIG_BOOLEAN },
    { "redis.ca", NULL, config_set_redis_ca, false, CONFIG_NO_NUMBER },
    { "redis.cert", NULL, config_set_redis_cert, false, CONFIG_NO_NUMBER },
    { "redis.key", NULL, config_set_redis_key, false, CONFIG_NO_NUMBER },
    { "redis.sentinels", NULL, config_add_sentinel, true, CONFIG_NO_NUMBER },
    { "redis.master", NULL, config_set_redis_master, false,
      CONFIG_NO_NUMBER },
    { "auth.tokens", NULL, config_set_tokens, false, CONFIG_NO_NUMBER },
    { "auth.unix", NULL, config_set_unix, false, CONFIG_NO_NUMBER },
    { "auth.metrics", NULL, config_set_metrics, false, CONFIG_NO_NUMBER },
    { "auth.failures", NULL, config_set_failures, false, CONFIG_NO_NUMBER },
    { "jwt.keys", NULL, config_add_jwt_key, true, CONFIG_NO_NUMBER },
    { "jwt.secret", NULL, config_set_jwt_secret, false, CONFIG_NO_NUMBER },
    { "jwt.issuer", NULL, config_set_jwt_issuer, false, CONFIG_NO_NUMBER },
    { "jwt.audience", NULL, config_set_jwt_audience, false, CONFIG_NO_NUMBER },
    { "jwt.leeway", NULL, config_set_jwt_leeway, false, CONFIG_SECONDS },
    { "jwt.name_claim", NULL, config_set_jwt_name, false, CONFIG_NO_NUMBER },
    { "jwt.role_claim", NULL, config_set_jwt_role, false, CONFIG_NO_NUMBER },
    { "jwt.roles", NULL, config_add_jwt_rule, true, CONFIG_NO_NUMBER },
    { "jwt.upstreams_claim", NULL, config_set_jwt_upstreams, false,
      CONFIG_NO_NUMBER },
    { "tls.certificate", NULL, config_set_certificate, false,
      CONFIG_NO_NUMBER },
    { "tls.key", NULL, config_set_tls_key, false, CONFIG_NO_NUMBER },
    { "tls.client_ca", NULL, config_set_client_ca, false, CONFIG_NO_NUMBER },
    { "tls.min_version", NULL, config_set_min_version, false,
      CONFIG_NO_NUMBER },
    { "plaintext", NULL, config_set_plaintext, false, CONFIG_NO_NUMBER },
    { NULL, NULL, NULL, false, CONFIG_NO_NUMBER }
};


bool
config_is_group(const char *name)
{
    size_t               len;
    const config_key_t  *key;

    len = strlen(name);

    for (key = config_keys; key->key != NULL; key++) {
        if (strncmp(key->key, name, len) == 0 && key->key[len] == '.') {
            return true;
        }
    }

    return false;
}


const config_key_t *
config_find(const char *name, bool flag)
{
    const char          *is;
    const config_key_t  *key;

    for (key = config_keys; key->key != NULL; key++) {
        is = flag ? key->flag : key->key;

        if (is != NULL && strcmp(is, name) == 0) {
            return key;
        }
    }

    return NULL;
}


void
config_names(char *list, size_t size)
{
    size_t               len, used;
    const char          *last;
    const config_key_t  *key;

    list[0] = '\0';
    used = 0;
    last = "";

    for (key = config_keys; key->key != NULL && used < size; key++) {
        len = strcspn(key->key, ".");

        /* Of a group only its name; keys of one follow each other. */
        if (key->key[len] == '.' && strncmp(key->key, last, len + 1) == 0) {
            continue;
        }

        used += (size_t) snprintf(list + used, size - used, "%s%.*s%s",
                                  used > 0 ? ", " : "", (int) len, key->key,
                                  key->key[len] == '.' ? ".*" : "");
        last = key->key;
    }
}


int
config_bad(char *error, size_t size, const char *want)
{
    snprintf(error, size, "%s", want);
    return -1;
}


int
config_copy(char *to, size_t room, const char *text, char *error, size_t size)
{
    size_t  i;

    for (i = 0; text[i] != '\0'; i++) {
        if (iscntrl((unsigned char) text[i])) {
            return config_bad(error, size, "has a control character");
        }
    }

    if (i >= room) {
        snprintf(error, size, "is longer than %zu bytes", room - 1);
        return -1;
    }

    memcpy(to, text, i + 1);
    return 0;
}


static int
config_set_node(config_t *config, const char *text, char *error, size_t size)
{
    size_t  len;

    len = strlen(text);

    if (len == 0 || len >= sizeof(config->node)
        || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                  "0123456789._-") != len)
    {
        return config_bad(error, size, "must be 1 to 63 letters, digits, "
                          "'.', '_' or '-'");
    }

    strcpy(config->node, text);
    return 0;
}


static int
config_add_listen(config_t *config, const char *text, char *error,
    size_t size)
{
    if (config->listen_count == CONFIG_MAX_LISTEN) {
        return config_bad(error, size, "at most 8 addresses");
    }

    if (!config_plain(text)) {
        return config_bad(error, size, "must be unix:/path, 127.0.0.1:PORT, "
                          "[::1]:PORT, localhost:PORT or tls:ADDRESS:PORT");
    }

    if (http_listen_check(text, &config->kind[config->listen_count], error,
                          size)
        != 0)
    {
        return -1;
    }

    return config_copy(config->listen[config->listen_count++],
                       CONFIG_TEXT_LEN, text, error, size);
}


static int
config_set_connections(config_t *config, const char *text, char *error,
    size_t size)
{
    long   count;
    char  *end;

    count = strtol(text, &end, 10);

    if (end == text || *end != '\0' || count < CONFIG_CONNECTIONS_MIN
        || count > CONFIG_CONNECTIONS_MAX)
    {
        return config_bad(error, size, "must be an integer from 16 to 10000");
    }

    config->connections = (unsigned) count;
    return 0;
}


static int
config_set_nginx(config_t *config, const char *text, char *error, size_t size)
{
    int          n;
    char         path[CONFIG_SOCKET_LEN];
    size_t       len;
    const char  *colon, *slash;

    len = strlen(text);

    if (!config_plain(text) || len == 0 || strpbrk(text, "?#@") != NULL) {
        goto bad;
    }

    path[0] = '\0';

    if (strncmp(text, "unix:/", 6) == 0) {
        text += 5;
        colon = strchr(text, ':');

        if (colon == NULL || colon[1] != '/'
            || (size_t) (colon - text) >= sizeof(path))
        {
            goto bad;
        }

        memcpy(path, text, (size_t) (colon - text));
        path[colon - text] = '\0';

        n = snprintf(config->nginx_url, sizeof(config->nginx_url),
                     "http://localhost%s%s", colon + 1,
                     text[strlen(text) - 1] == '/' ? "" : "/");

    } else if (strncmp(text, "http://", 7) == 0 && text[7] != '/') {
        slash = strchr(text + 7, '/');

        if (slash == NULL) {
            goto bad;
        }

        n = snprintf(config->nginx_url, sizeof(config->nginx_url), "%s%s",
                     text, text[len - 1] == '/' ? "" : "/");

    } else {
        goto bad;
    }

    if (n < 0 || (size_t) n >= sizeof(config->nginx_url)) {
        return config_bad(error, size, "is too long");
    }

    strcpy(config->nginx_socket, path);
    return 0;

bad:

    return config_bad(error, size, "must be unix:/SOCKET:/PATH/ or "
                      "http://HOST:PORT/PATH/, where canary_api is");
}


static int
config_set_redis(config_t *config, const char *text, char *error, size_t size)
{
    config_peer_t  peer;

    config->redis_embedded = false;
    config->redis_tls = false;
    config->redis_socket[0] = '\0';
    config->redis_host[0] = '\0';
    config->redis_port = 0;

    if (strcmp(text, "embedded") == 0) {
        config->redis_embedded = true;
        return 0;
    }

    if (strncmp(text, "unix:/", 6) == 0 && config_plain(text)) {
        return config_copy(config->redis_socket,
                           sizeof(config->redis_socket), text + 5, error,
                           size);
    }

    if (strncmp(text, "redis://", 8) == 0) {
        text += 8;

    } else if (strncmp(text, "rediss://", 9) == 0) {
        text += 9;
        config->redis_tls = true;
    }

    if (config_peer(text, &peer) != 0) {
        return config_bad(error, size, "must be embedded, unix:/path, "
                          "HOST:PORT or rediss://HOST:PORT");
    }

    strcpy(config->redis_host, peer.host);
    config->redis_port = peer.port;
    return 0;
}


static int
config_add_sentinel(config_t *config, const char *text, char *error,
    size_t size)
{
    if (config->sentinel_count == CONFIG_MAX_SENTINELS) {
        return config_bad(error, size, "at most 8 addresses");
    }

    if (config_peer(text, &config->sentinels[config->sentinel_count]) != 0) {
        return config_bad(error, size, "must be a list of HOST:PORT");
    }

    config->sentinel_count++;
    return 0;
}


static int
config_set_redis_user(config_t *config, const char *text, char *error,
    size_t size)
{
    if (text[0] == '\0' || !config_plain(text)) {
        return config_bad(error, size, "must be the name of a user");
    }

    return config_copy(config->redis_user, sizeof(config->redis_user), text,
                       error, size);
}


static int
config_set_redis_master(config_t *config, const char *text, char *error,
    size_t size)
{
    if (text[0] == '\0' || !config_plain(text)) {
        return config_bad(error, size, "must be a master's name");
    }

    return config_copy(config->redis_master, sizeof(config->redis_master),
                       text, error, size);
}


static int
config_set_redis_tls(config_t *config, const char *text, char *error,
    size_t size)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        return config_bad(error, size, "must be true or false");
    }

    config->redis_tls = strcmp(text, "true") == 0;
    return 0;
}


static int
config_set_redis_ca(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_set_path(config->redis_ca, text, error, size);
}


static int
config_set_redis_cert(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_set_path(config->redis_cert, text, error, size);
}


static int
config_set_redis_key(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_set_path(config->redis_key, text, error, size);
}


static int
config_set_path(char *to, const char *text, char *error, size_t size)
{
    if (text[0] != '/') {
        return config_bad(error, size, "must be the absolute path of a file");
    }

    return config_copy(to, CONFIG_TEXT_LEN, text, error, size);
}


static int
config_set_password_file(config_t *config, const char *text, char *error,
    size_t size)
{
    if (text[0] == '\0') {
        return config_bad(error, size, "must be the path of a file");
    }

    return config_copy(config->redis_password_file,
                       sizeof(config->redis_password_file), text, error,
                       size);
}


static int
config_set_redis_server(config_t *config, const char *text, char *error,
    size_t size)
{
    if (text[0] == '\0') {
        return config_bad(error, size, "must be the path of redis-server");
    }

    return config_copy(config->redis_server, sizeof(config->redis_server),
                       text, error, size);
}


static int
config_set_prefix(config_t *config, const char *text, char *error,
    size_t size)
{
    /* Braces would be the hash tag in the place of the upstream's. */
    if (!config_plain(text) || text[0] == '\0'
        || strlen(text) >= sizeof(config->prefix)
        || strpbrk(text, "{}*?[]\\") != NULL)
    {
        return config_bad(error, size, "must be 1 to 32 characters without "
                          "spaces and {}*?[]\\");
    }

    strcpy(config->prefix, text);
    return 0;
}


static int
config_set_tick(config_t *config, const char *text, char *error, size_t size)
{
    int64_t  ms;

    ms = spec_parse_duration(text);

    if (ms < CONFIG_TICK_MIN || ms > CONFIG_TICK_MAX) {
        return config_bad(error, size, "must be a duration from 100ms to "
                          "60s");
    }

    config->tick_ms = (int) ms;
    return 0;
}


static int
config_set_data_dir(config_t *config, const char *text, char *error,
    size_t size)
{
    if (text[0] != '/') {
        return config_bad(error, size, "must be an absolute path");
    }

    return config_copy(config->data_dir, sizeof(config->data_dir), text,
                       error, size);
}


static int
config_set_log_format(config_t *config, const char *text, char *error,
    size_t size)
{
    return log_format_parse(text, &config->log_format) == 0 ? 0
           : config_bad(error, size, "must be logfmt or json");
}


static int
config_set_log_level(config_t *config, const char *text, char *error,
    size_t size)
{
    return log_level_parse(text, &config->log_level) == 0 ? 0
           : config_bad(error, size, "must be debug, info, warn or error");
}


static int
config_set_retention_count(config_t *config, const char *text, char *error,
    size_t size)
{
    long   count;
    char  *end;

    count = strtol(text, &end, 10);

    if (end == text || *end != '\0' || count < 1 || count > CONFIG_COUNT_MAX)
    {
        return config_bad(error, size, "must be an integer from 1 to 10000");
    }

    config->retention_count = (unsigned) count;
    return 0;
}


static int
config_set_retention_age(config_t *config, const char *text, char *error,
    size_t size)
{
    int64_t  ms;

    ms = spec_parse_duration(text);

    if (ms < CONFIG_AGE_MIN || ms > CONFIG_AGE_MAX) {
        return config_bad(error, size, "must be a duration from 1h to 365d");
    }

    config->retention_ms = ms;
    return 0;
}


/* Visible ASCII only? */
static bool
config_plain(const char *text)
{
    for ( /* void */ ; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }

    return true;
}


/* HOST:PORT, [IPV6]:PORT; 0 or -1. */
static int
config_peer(const char *text, config_peer_t *peer)
{
    size_t       len;
    const char  *colon;

    colon = strrchr(text, ':');
    len = colon != NULL ? (size_t) (colon - text) : 0;

    if (!config_plain(text) || len == 0 || len >= sizeof(peer->host)) {
        return -1;
    }

    peer->port = config_port(colon + 1);

    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }

    if (peer->port <= 0 || len == 0 || memchr(text, '/', len) != NULL) {
        return -1;
    }

    memcpy(peer->host, text, len);
    peer->host[len] = '\0';
    return 0;
}


static int
config_port(const char *text)
{
    int     port;
    size_t  len;

    len = strspn(text, "0123456789");

    if (len == 0 || len > 5 || text[len] != '\0') {
        return -1;
    }

    port = atoi(text);
    return port <= 65535 ? port : -1;
}
