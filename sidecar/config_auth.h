/* The keys of the sections auth, jwt and tls. */

#ifndef CONFIG_AUTH_H
#define CONFIG_AUTH_H

#include "config_keys.h"

int config_set_tokens(config_t *config, const char *text, char *error,
    size_t size);
int config_set_unix(config_t *config, const char *text, char *error,
    size_t size);
int config_set_metrics(config_t *config, const char *text, char *error,
    size_t size);
int config_set_failures(config_t *config, const char *text, char *error,
    size_t size);
int config_add_jwt_key(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_secret(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_issuer(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_audience(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_leeway(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_name(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_role(config_t *config, const char *text, char *error,
    size_t size);
int config_add_jwt_rule(config_t *config, const char *text, char *error,
    size_t size);
int config_set_jwt_upstreams(config_t *config, const char *text, char *error,
    size_t size);
int config_set_certificate(config_t *config, const char *text, char *error,
    size_t size);
int config_set_tls_key(config_t *config, const char *text, char *error,
    size_t size);
int config_set_client_ca(config_t *config, const char *text, char *error,
    size_t size);
int config_set_min_version(config_t *config, const char *text, char *error,
    size_t size);
int config_set_plaintext(config_t *config, const char *text, char *error,
    size_t size);

/* Is a number or a bool the same to it as its text? */
bool config_auth_plain(const config_key_t *key);

/* Fills in defaults and checks what only fits together; 0 or -1. */
int config_auth_defaults(config_t *config, char *error, size_t size);

#endif
