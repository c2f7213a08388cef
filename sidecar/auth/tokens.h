/*
 * The file of bearer tokens.  A line is
 *
 *   NAME ROLE HASH [upstreams=PATTERN,...] [expires=2027-01-31[T10:00:00Z]]
 *
 * HASH is sha256:HEX of the whole token, or an argon2 hash as argon2(1) -e
 * prints it.  A token is NAME.SECRET: the name finds the line, so that one
 * attempt costs one hash.
 */

#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "identity.h"

#define AUTH_TOKEN_MAX   1024      /* bytes of a token */
#define AUTH_ARGON2_LEN  256

typedef struct auth_tokens_s  auth_tokens_t;

typedef struct {
    auth_identity_t  identity;
    int64_t          expires_ms;   /* 0: never */
    bool             argon2;
    unsigned char    sha256[32];
    char             hash[AUTH_ARGON2_LEN];    /* of argon2 */
    /* A keyed hash of the token that was verified: see auth.c. */
    bool             seen;
    unsigned char    mark[32];
} auth_token_t;

/* NULL: error (at least 512 bytes) names the file and the line. */
auth_tokens_t *auth_tokens_load(const char *path, char *error, size_t size);
void auth_tokens_free(auth_tokens_t *tokens);
unsigned auth_tokens_count(const auth_tokens_t *tokens);

/* The line that a token's name leads to, or NULL. */
auth_token_t *auth_tokens_find(auth_tokens_t *tokens, const char *token);

/* In constant time; false for argon2. */
bool auth_token_sha256(const auth_token_t *line, const char *token);

#endif
