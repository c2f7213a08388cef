/* The keys that JWTs are verified with: PEM, certificates, JWKS, a secret. */

#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include <stddef.h>

#include "config.h"

#define AUTH_KEY_ID_LEN   128
#define AUTH_KEYS_LOADED  64

typedef enum { AUTH_HS256 = 0, AUTH_RS256, AUTH_ES256 } auth_alg_t;

typedef struct {
    auth_alg_t   alg;              /* the only one that it is good for */
    char         id[AUTH_KEY_ID_LEN];      /* "kid"; "": none */
    char        *data;             /* PEM, or the secret */
    size_t       len;
} auth_key_t;

typedef struct {
    unsigned     count;
    auth_key_t   keys[AUTH_KEYS_LOADED];
} auth_keys_t;

/* What jwt.keys and jwt.secret name; NULL: error (at least 512 bytes). */
auth_keys_t *auth_keys_load(const auth_jwt_config_t *config, char *error,
    size_t size);
void auth_keys_free(auth_keys_t *keys);

#endif
