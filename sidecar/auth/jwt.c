#include "jwt.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <jwt.h>
#include <openssl/err.h>

#include "base64url.h"

#define JWT_HEADER_MAX  2048
#define JWT_TRIES       4          /* signatures, at 0.4 ms of the loop each */
#define JWT_PREFIX      "jwt:"     /* of names */

static const char *jwt_header(const char *token, auth_alg_t *alg, char *id,
    size_t size);
static cJSON *jwt_claims(const auth_keys_t *keys, const char *token,
    auth_alg_t alg, const char *id);
static const char *jwt_times(const auth_jwt_config_t *config,
    const cJSON *claims, int64_t now_ms);
static bool jwt_time(const cJSON *claims, const char *name, double *time);
static bool jwt_has(const cJSON *claim, const char *text);
static const char *jwt_identity(const auth_jwt_config_t *config,
    const cJSON *claims, auth_identity_t *identity);
static void jwt_role(const auth_jwt_config_t *config, const char *claim,
    auth_identity_t *identity);
static bool jwt_upstreams(const cJSON *claim, auth_identity_t *identity);
static const char *jwt_string(const cJSON *json, const char *name);

static const struct {
    const char  *name;
    jwt_alg_t    alg;
} jwt_algs[] = {
    [AUTH_HS256] = { "HS256", JWT_ALG_HS256 },
    [AUTH_RS256] = { "RS256", JWT_ALG_RS256 },
    [AUTH_ES256] = { "ES256", JWT_ALG_ES256 },
};


bool
auth_jwt_is(const char *token)
{
    const char  *dot;

    dot = strchr(token, '.');
    dot = dot != NULL ? strchr(dot + 1, '.') : NULL;

    return dot != NULL && strchr(dot + 1, '.') == NULL;
}


const char *
auth_jwt_check(const auth_jwt_config_t *config, const auth_keys_t *keys,
    const char *token, int64_t now_ms, auth_identity_t *identity)
{
    char         id[AUTH_KEY_ID_LEN];
    cJSON       *claims;
    auth_alg_t   alg;
    const char  *why, *issuer;

    why = jwt_header(token, &alg, id, sizeof(id));
    if (why != NULL) {
        return why;
    }

    claims = jwt_claims(keys, token, alg, id);
    ERR_clear_error();

    if (claims == NULL) {
        return "the token's signature is of no known key";
    }

    issuer = jwt_string(claims, "iss");

    if (issuer == NULL || strcmp(issuer, config->issuer) != 0) {
        why = "the token is of another issuer";

    } else if (!jwt_has(cJSON_GetObjectItemCaseSensitive(claims, "aud"),
                        config->audience))
    {
        why = "the token is for another audience";

    } else {
        why = jwt_times(config, claims, now_ms);
    }

    if (why == NULL) {
        why = jwt_identity(config, claims, identity);
    }

    cJSON_Delete(claims);

    return why;
}


/* What the token says of itself, which is only used to choose the key. */
static const char *
jwt_header(const char *token, auth_alg_t *alg, char *id, size_t size)
{
    int            len;
    char           text[JWT_HEADER_MAX];
    cJSON         *header;
    const char    *why, *name, *kid;

    len = base64url_decode(token, strcspn(token, "."),
                           (unsigned char *) text, sizeof(text) - 1);
    if (len < 0 || strlen(token) > AUTH_JWT_MAX) {
        return "the token is malformed";
    }

    text[len] = '\0';
    header = cJSON_Parse(text);
    name = jwt_string(header, "alg");
    kid = jwt_string(header, "kid");
    why = NULL;
    id[0] = '\0';

    if (name == NULL || cJSON_GetObjectItemCaseSensitive(header, "crit")
                        != NULL)
    {
        why = "the token is malformed";

    } else if (kid != NULL && strlen(kid) >= size) {
        why = "the token's signature is of no known key";

    } else if (strcmp(name, "HS256") == 0) {
        *alg = AUTH_HS256;

    } else if (strcmp(name, "RS256") == 0) {
        *alg = AUTH_RS256;

    } else if (strcmp(name, "ES256") == 0) {
        *alg = AUTH_ES256;

    } else {
        why = "the token's algorithm must be HS256, RS256 or ES256";
    }

    if (why == NULL && kid != NULL) {
        strcpy(id, kid);
    }

    cJSON_Delete(header);

    return why;
}


/* Of a token that one of the keys for alg verifies; else NULL.  A token that
 * does not name its key must be of one of the first ones. */
static cJSON *
jwt_claims(const auth_keys_t *keys, const char *token, auth_alg_t alg,
    const char *id)
{
    char              *text;
    cJSON             *claims;
    jwt_t             *jwt;
    unsigned           i, tries;
    const auth_key_t  *key;

    tries = 0;

    for (i = 0; i < keys->count && tries < JWT_TRIES; i++) {
        key = &keys->keys[i];

        if (key->alg != alg
            || (id[0] != '\0' && key->id[0] != '\0'
                && strcmp(key->id, id) != 0))
        {
            continue;
        }

        jwt = NULL;
        tries++;

        if (jwt_decode(&jwt, token, (const unsigned char *) key->data,
                       (int) key->len) != 0)
        {
            continue;
        }

        claims = NULL;

        /* libjwt reads the header by itself: it must have found the same. */
        if (jwt_get_alg(jwt) == jwt_algs[alg].alg) {
            text = jwt_get_grants_json(jwt, NULL);
            claims = text != NULL ? cJSON_Parse(text) : NULL;
            free(text);
        }

        jwt_free(jwt);

        return claims;
    }

    return NULL;
}


static const char *
jwt_times(const auth_jwt_config_t *config, const cJSON *claims,
    int64_t now_ms)
{
    double  now, at;

    now = (double) now_ms / 1000;

    if (!jwt_time(claims, "exp", &at) || isinf(at)) {
        return "the token has no time of expiry";
    }

    if (now >= at + config->leeway) {
        return "the token has expired";
    }

    if (!jwt_time(claims, "nbf", &at) || now < at - config->leeway) {
        return "the token is not valid yet";
    }

    return NULL;
}


/* Missing: -inf.  False: it is no number. */
static bool
jwt_time(const cJSON *claims, const char *name, double *time)
{
    const cJSON  *claim;

    claim = cJSON_GetObjectItemCaseSensitive(claims, name);
    *time = cJSON_IsNumber(claim) ? claim->valuedouble : -INFINITY;

    return claim == NULL || cJSON_IsNumber(claim);
}


/* A string, or a list that has it. */
static bool
jwt_has(const cJSON *claim, const char *text)
{
    const cJSON  *item;

    if (cJSON_IsString(claim)) {
        return strcmp(claim->valuestring, text) == 0;
    }

    if (cJSON_IsArray(claim)) {
        cJSON_ArrayForEach(item, claim) {
            if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0)
            {
                return true;
            }
        }
    }

    return false;
}


static const char *
jwt_identity(const auth_jwt_config_t *config, const cJSON *claims,
    auth_identity_t *identity)
{
    size_t        i, len, prefix;
    const char   *name;
    const cJSON  *claim, *item;

    memset(identity, 0, sizeof(*identity));

    claim = cJSON_GetObjectItemCaseSensitive(claims, config->role_claim);

    if (cJSON_IsString(claim)) {
        jwt_role(config, claim->valuestring, identity);

    } else if (cJSON_IsArray(claim)) {
        cJSON_ArrayForEach(item, claim) {
            if (cJSON_IsString(item)) {
                jwt_role(config, item->valuestring, identity);
            }
        }
    }

    if (identity->role == AUTH_NOBODY) {
        return "the token gives no role here";
    }

    if (config->upstreams_claim[0] != '\0'
        && !jwt_upstreams(cJSON_GetObjectItemCaseSensitive(claims,
                              config->upstreams_claim), identity))
    {
        return "the token names no upstreams";
    }

    name = jwt_string(claims, config->name_claim);

    if (name == NULL || name[0] == '\0') {
        return "the token says not who it is of";
    }

    /* Nobody is taken for who has a token or comes by the socket.  A long one
     * keeps its end, which tells more: ...:ref:refs/heads/main */
    strcpy(identity->name, JWT_PREFIX);
    prefix = strlen(JWT_PREFIX);
    len = strlen(name);
    name += len >= AUTH_NAME_LEN - prefix
            ? len - (AUTH_NAME_LEN - prefix - 1) : 0;

    for (i = 0; name[i] != '\0'; i++) {
        identity->name[prefix + i] = name[i] > ' ' && name[i] <= '~'
                                     ? name[i] : '_';
    }

    return NULL;
}


/* The highest of all that are given; the first of the same. */
static void
jwt_role(const auth_jwt_config_t *config, const char *claim,
    auth_identity_t *identity)
{
    unsigned  i;

    if (config->rule_count == 0 && auth_role(claim) > identity->role) {
        identity->role = auth_role(claim);
    }

    for (i = 0; i < config->rule_count; i++) {
        if (config->rules[i].identity.role > identity->role
            && fnmatch(config->rules[i].claim, claim, 0) == 0)
        {
            *identity = config->rules[i].identity;
        }
    }
}


/* A list, or names with commas.  Rules have no limits of their own then. */
static bool
jwt_upstreams(const cJSON *claim, auth_identity_t *identity)
{
    const cJSON      *item;
    auth_identity_t   given;

    memset(&given, 0, sizeof(given));

    if (cJSON_IsString(claim)) {
        if (auth_patterns(&given, claim->valuestring) != 0) {
            return false;
        }

    } else if (cJSON_IsArray(claim)) {
        cJSON_ArrayForEach(item, claim) {
            if (!cJSON_IsString(item)
                || auth_patterns(&given, item->valuestring) != 0)
            {
                return false;
            }
        }
    }

    if (given.pattern_count == 0) {
        return false;
    }

    identity->limited = true;
    identity->pattern_count = given.pattern_count;
    memcpy(identity->patterns, given.patterns, sizeof(given.patterns));

    return true;
}


static const char *
jwt_string(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}
