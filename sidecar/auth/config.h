/* The sections auth, jwt and tls of the configuration. */

#ifndef AUTH_CONFIG_H
#define AUTH_CONFIG_H

#include "identity.h"

#define AUTH_PATH_LEN      256
#define AUTH_TEXT_LEN      256
#define AUTH_CLAIM_LEN     64
#define AUTH_MAX_KEYS      4
#define AUTH_MAX_RULES     32

/* Who has the claim has the role. */
typedef struct {
    char             claim[AUTH_TEXT_LEN];     /* a pattern */
    auth_identity_t  identity;                 /* without a name */
} auth_rule_t;

typedef struct {
    unsigned      key_count;
    char          keys[AUTH_MAX_KEYS][AUTH_PATH_LEN];   /* PEM or JWKS */
    char          secret[AUTH_PATH_LEN];                /* for HS256 */
    char          issuer[AUTH_TEXT_LEN];
    char          audience[AUTH_TEXT_LEN];
    int           leeway;                               /* s */
    bool          leeway_set;
    char          name_claim[AUTH_CLAIM_LEN];
    char          role_claim[AUTH_CLAIM_LEN];
    char          upstreams_claim[AUTH_CLAIM_LEN];      /* "": none */
    unsigned      rule_count;      /* 0: the claim is the role's name */
    auth_rule_t   rules[AUTH_MAX_RULES];
} auth_jwt_config_t;

typedef struct {
    char               tokens[AUTH_PATH_LEN];           /* "": none */
    auth_role_t        local;      /* of who comes by a unix socket;
                                      NOBODY: needs a token */
    bool               local_set;
    bool               metrics_open;
    int                failures;   /* a minute that a client may have */
    auth_jwt_config_t  jwt;

    char               certificate[AUTH_PATH_LEN];
    char               key[AUTH_PATH_LEN];
    char               client_ca[AUTH_PATH_LEN];
    char               min_version[8];
    bool               plaintext;  /* tokens may cross a network unencrypted */
} auth_config_t;

/* Tokens of some kind are asked for. */
bool auth_configured(const auth_config_t *config);

#endif
