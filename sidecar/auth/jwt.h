/*
 * JSON Web Tokens by libjwt.  The algorithm is that of the key, never what
 * the token says: a token that names another, or none, is refused.
 */

#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "keys.h"

#define AUTH_JWT_MAX  8192         /* bytes of a token */

/* A token of three parts is taken for one. */
bool auth_jwt_is(const char *token);

/* NULL, and *identity is set; or what is wrong (static). */
const char *auth_jwt_check(const auth_jwt_config_t *config,
    const auth_keys_t *keys, const char *token, int64_t now_ms,
    auth_identity_t *identity);

#endif
