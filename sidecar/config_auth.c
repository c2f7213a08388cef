#include "config_auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/spec.h"

#define CONFIG_FAILURES_MAX  1000
#define CONFIG_LEEWAY_MAX    300   /* s */

static int config_path(char *to, size_t room, const char *text, char *error,
    size_t size);
static int config_text(char *to, size_t room, const char *text, char *error,
    size_t size);


int
config_set_tokens(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_path(config->auth.tokens, sizeof(config->auth.tokens),
                       text, error, size);
}


int
config_set_unix(config_t *config, const char *text, char *error, size_t size)
{
    config->auth.local = auth_role(text);
    config->auth.local_set = true;

    return config->auth.local != AUTH_NOBODY || strcmp(text, "none") == 0
           ? 0 : config_bad(error, size,
                            "must be none, viewer, operator or admin");
}


int
config_set_metrics(config_t *config, const char *text, char *error,
    size_t size)
{
    config->auth.metrics_open = strcmp(text, "open") == 0;

    return config->auth.metrics_open || strcmp(text, "viewer") == 0
           ? 0 : config_bad(error, size, "must be viewer or open");
}


int
config_set_failures(config_t *config, const char *text, char *error,
    size_t size)
{
    char  *end;
    long   number;

    number = strtol(text, &end, 10);

    if (*end != '\0' || end == text || number < 1
        || number > CONFIG_FAILURES_MAX)
    {
        return config_bad(error, size, "must be 1 to 1000, a minute");
    }

    config->auth.failures = (int) number;
    return 0;
}


int
config_add_jwt_key(config_t *config, const char *text, char *error,
    size_t size)
{
    auth_jwt_config_t  *jwt = &config->auth.jwt;

    if (jwt->key_count == AUTH_MAX_KEYS) {
        return config_bad(error, size, "at most 4 files");
    }

    return config_path(jwt->keys[jwt->key_count++], AUTH_PATH_LEN, text,
                       error, size);
}


int
config_set_jwt_secret(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_path(config->auth.jwt.secret, AUTH_PATH_LEN, text, error,
                       size);
}


int
config_set_jwt_issuer(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_text(config->auth.jwt.issuer, AUTH_TEXT_LEN, text, error,
                       size);
}


int
config_set_jwt_audience(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_text(config->auth.jwt.audience, AUTH_TEXT_LEN, text, error,
                       size);
}


int
config_set_jwt_leeway(config_t *config, const char *text, char *error,
    size_t size)
{
    int64_t  ms;

    ms = spec_parse_duration(text);

    if (ms < 0 || ms > CONFIG_LEEWAY_MAX * 1000) {
        return config_bad(error, size, "must be a duration up to 5m");
    }

    config->auth.jwt.leeway = (int) (ms / 1000);
    config->auth.jwt.leeway_set = true;
    return 0;
}


int
config_set_jwt_name(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_text(config->auth.jwt.name_claim, AUTH_CLAIM_LEN, text,
                       error, size);
}


int
config_set_jwt_role(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_text(config->auth.jwt.role_claim, AUTH_CLAIM_LEN, text,
                       error, size);
}


/* "PATTERN=ROLE" or "PATTERN=ROLE UPSTREAM,UPSTREAM" */
int
config_add_jwt_rule(config_t *config, const char *text, char *error,
    size_t size)
{
    char                role[16];
    size_t              len, skip;
    const char         *at;
    auth_rule_t        *rule;
    auth_jwt_config_t  *jwt = &config->auth.jwt;

    if (jwt->rule_count == AUTH_MAX_RULES) {
        return config_bad(error, size, "at most 32 of them");
    }

    rule = &jwt->rules[jwt->rule_count];
    memset(rule, 0, sizeof(*rule));
    at = strrchr(text, '=');
    len = at != NULL ? (size_t) (at - text) : 0;

    if (len == 0 || len >= sizeof(rule->claim)) {
        goto bad;
    }

    memcpy(rule->claim, text, len);
    at++;
    skip = strcspn(at, " ");

    if (skip >= sizeof(role)) {
        goto bad;
    }

    memcpy(role, at, skip);
    role[skip] = '\0';
    rule->identity.role = auth_role(role);
    at += skip + strspn(at + skip, " ");

    if (rule->identity.role == AUTH_NOBODY
        || (*at != '\0' && auth_patterns(&rule->identity, at) != 0))
    {
        goto bad;
    }

    jwt->rule_count++;
    return 0;

bad:

    return config_bad(error, size, "must be CLAIM=ROLE or \"CLAIM=ROLE "
                      "UPSTREAM,...\", where ROLE is viewer, operator or "
                      "admin");
}


int
config_set_jwt_upstreams(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_text(config->auth.jwt.upstreams_claim, AUTH_CLAIM_LEN,
                       text, error, size);
}


int
config_set_certificate(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_path(config->auth.certificate, AUTH_PATH_LEN, text, error,
                       size);
}


int
config_set_tls_key(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_path(config->auth.key, AUTH_PATH_LEN, text, error, size);
}


int
config_set_client_ca(config_t *config, const char *text, char *error,
    size_t size)
{
    return config_path(config->auth.client_ca, AUTH_PATH_LEN, text, error,
                       size);
}


int
config_set_min_version(config_t *config, const char *text, char *error,
    size_t size)
{
    if (strcmp(text, "1.2") != 0 && strcmp(text, "1.3") != 0) {
        return config_bad(error, size, "must be \"1.2\" or \"1.3\"");
    }

    strcpy(config->auth.min_version, text);
    return 0;
}


int
config_set_plaintext(config_t *config, const char *text, char *error,
    size_t size)
{
    config->auth.plaintext = strcmp(text, "true") == 0;

    return config->auth.plaintext || strcmp(text, "false") == 0
           ? 0 : config_bad(error, size, "must be true or false");
}


bool
config_auth_plain(const config_key_t *key)
{
    return key->set == config_set_failures
           || key->set == config_set_min_version
           || key->set == config_set_plaintext;
}


int
config_auth_defaults(config_t *config, char *error, size_t size)
{
    bool                tls;
    unsigned            i;
    auth_config_t      *auth = &config->auth;
    auth_jwt_config_t  *jwt = &auth->jwt;

    if (!auth_configured(auth)
        && (auth->local_set || jwt->issuer[0] != '\0'
            || jwt->audience[0] != '\0' || jwt->rule_count > 0))
    {
        return config_bad(error, size, "auth and jwt: nobody is asked for "
                          "anything without auth.tokens, jwt.keys or "
                          "jwt.secret");
    }

    auth->local = auth->local_set ? auth->local : AUTH_OPERATOR;
    auth->failures = auth->failures ? auth->failures : 10;
    jwt->leeway = jwt->leeway_set ? jwt->leeway : 30;

    if (jwt->name_claim[0] == '\0') {
        strcpy(jwt->name_claim, "sub");
    }

    if (jwt->role_claim[0] == '\0') {
        strcpy(jwt->role_claim, "canary_role");
    }

    if ((jwt->key_count > 0 || jwt->secret[0] != '\0')
        && (jwt->issuer[0] == '\0' || jwt->audience[0] == '\0'))
    {
        return config_bad(error, size, "jwt.issuer and jwt.audience: must be "
                          "given with jwt.keys or jwt.secret: a token for "
                          "somebody else must not work here");
    }

    for (i = 0; i < jwt->rule_count; i++) {
        if (jwt->rules[i].identity.limited
            && jwt->upstreams_claim[0] != '\0')
        {
            return config_bad(error, size, "jwt.roles: must not name "
                              "upstreams where jwt.upstreams_claim does");
        }
    }

    if ((auth->certificate[0] == '\0') != (auth->key[0] == '\0')) {
        return config_bad(error, size, "tls.certificate and tls.key: must "
                          "be given both");
    }

    tls = auth->certificate[0] != '\0';

    for (i = 0; i < config->listen_count; i++) {

        if (config->kind[i].tls && !tls) {
            snprintf(error, size, "listen: %.120s: needs tls.certificate and "
                     "tls.key", config->listen[i]);
            return -1;
        }

        if (!config->kind[i].foreign) {
            continue;
        }

        if (!auth_configured(auth)) {
            snprintf(error, size, "listen: %.120s: without auth.tokens, "
                     "jwt.keys or jwt.secret only loopback addresses and "
                     "unix sockets", config->listen[i]);
            return -1;
        }

        if (!config->kind[i].tls && !auth->plaintext) {
            snprintf(error, size, "listen: %.120s: tokens would cross the "
                     "network unencrypted: write tls:%.100s, or plaintext: "
                     "true", config->listen[i], config->listen[i]);
            return -1;
        }
    }

    return 0;
}


/* The file is read later, by who needs it. */
static int
config_path(char *to, size_t room, const char *text, char *error, size_t size)
{
    if (text[0] != '/') {
        return config_bad(error, size, "must be an absolute path");
    }

    return config_copy(to, room, text, error, size);
}


static int
config_text(char *to, size_t room, const char *text, char *error, size_t size)
{
    if (text[0] == '\0') {
        return config_bad(error, size, "must not be empty");
    }

    return config_copy(to, room, text, error, size);
}
