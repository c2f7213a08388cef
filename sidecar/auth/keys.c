#include "keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base64url.h"
#include "lib/file.h"

#define KEYS_FILE_MAX    (256 * 1024)
#define KEYS_SECRET_MIN  32        /* bytes: RFC 7518, 3.2 */
#define KEYS_RSA_MIN     2048      /* bits: RFC 7518, 3.3 */
#define KEYS_NUMBER_MAX  1024      /* bytes of a number of a JWK */

static const char *keys_secret(auth_keys_t *keys, char *text, size_t len);
static const char *keys_file(auth_keys_t *keys, const char *text,
    size_t len);
static const char *keys_jwks(auth_keys_t *keys, const char *text);
static EVP_PKEY *keys_jwk(const cJSON *jwk);
static EVP_PKEY *keys_rsa(const cJSON *jwk);
static EVP_PKEY *keys_ec(const cJSON *jwk);
static int keys_number(const cJSON *jwk, const char *name,
    unsigned char *out, size_t size);
static EVP_PKEY *keys_build(const char *type, OSSL_PARAM_BLD *build);
static const char *keys_pem(auth_keys_t *keys, const char *text, size_t len);
static const char *keys_add(auth_keys_t *keys, EVP_PKEY *key,
    const char *id);


auth_keys_t *
auth_keys_load(const auth_jwt_config_t *config, char *error, size_t size)
{
    char         *text, reason[300];
    size_t        len;
    unsigned      i;
    const char   *why, *path, *name;
    auth_keys_t  *keys;

    keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        snprintf(error, size, "jwt: out of memory");
        return NULL;
    }

    for (i = 0; i <= config->key_count; i++) {
        /* The secret comes last. */
        name = i < config->key_count ? "jwt.keys" : "jwt.secret";
        path = i < config->key_count ? config->keys[i] : config->secret;

        if (path[0] == '\0') {
            continue;
        }

        text = file_read_guarded(path, i == config->key_count, KEYS_FILE_MAX,
                                 &len, reason, sizeof(reason));
        if (text == NULL) {
            snprintf(error, size, "%s: %s", name, reason);
            goto failed;
        }

        why = i < config->key_count ? keys_file(keys, text, len)
                                    : keys_secret(keys, text, len);

        OPENSSL_cleanse(text, len);
        free(text);

        if (why != NULL) {
            snprintf(error, size, "%s: %.180s: %s", name, path, why);
            goto failed;
        }
    }

    ERR_clear_error();
    return keys;

failed:

    ERR_clear_error();
    auth_keys_free(keys);
    return NULL;
}


void
auth_keys_free(auth_keys_t *keys)
{
    unsigned  i;

    if (keys == NULL) {
        return;
    }

    for (i = 0; i < keys->count; i++) {
        OPENSSL_cleanse(keys->keys[i].data, keys->keys[i].len);
        free(keys->keys[i].data);
    }

    free(keys);
}


/* The first line, or all of it where it is binary. */
static const char *
keys_secret(auth_keys_t *keys, char *text, size_t len)
{
    auth_key_t  *key;

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }

    if (len < KEYS_SECRET_MIN) {
        return "a secret for HS256 must have at least 32 bytes";
    }

    if (keys->count == AUTH_KEYS_LOADED) {
        return "more than 64 keys";
    }

    key = &keys->keys[keys->count];
    key->alg = AUTH_HS256;
    key->data = malloc(len + 1);

    if (key->data == NULL) {
        return "out of memory";
    }

    memcpy(key->data, text, len);
    key->data[len] = '\0';
    key->len = len;
    keys->count++;

    return NULL;
}


static const char *
keys_file(auth_keys_t *keys, const char *text, size_t len)
{
    if (strlen(text) != len) {
        return "must be PEM or a JWKS";
    }

    return text[strspn(text, " \t\r\n")] == '{' ? keys_jwks(keys, text)
                                                : keys_pem(keys, text, len);
}


/* {"keys": [..]}; what is of another kind is passed over. */
static const char *
keys_jwks(auth_keys_t *keys, const char *text)
{
    cJSON        *json;
    EVP_PKEY     *key;
    unsigned      before;
    const char   *why, *id;
    const cJSON  *list, *jwk;

    json = cJSON_Parse(text);
    list = cJSON_GetObjectItemCaseSensitive(json, "keys");

    if (!cJSON_IsArray(list)) {
        cJSON_Delete(json);
        return "is not a JWKS: {\"keys\": [...]}";
    }

    why = NULL;
    before = keys->count;

    cJSON_ArrayForEach(jwk, list) {
        key = keys_jwk(jwk);

        if (key == NULL) {
            continue;
        }

        id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk,
                                                                   "kid"));
        why = keys_add(keys, key, id);
        EVP_PKEY_free(key);

        if (why != NULL) {
            break;
        }
    }

    cJSON_Delete(json);

    return why == NULL && keys->count == before
           ? "has no RSA or P-256 key to verify signatures with" : why;
}


static EVP_PKEY *
keys_jwk(const cJSON *jwk)
{
    const char  *kty, *use, *alg;

    kty = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, "kty"));
    use = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, "use"));
    alg = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, "alg"));

    if (kty == NULL || (use != NULL && strcmp(use, "sig") != 0)) {
        return NULL;
    }

    if (strcmp(kty, "RSA") == 0
        && (alg == NULL || strcmp(alg, "RS256") == 0))
    {
        return keys_rsa(jwk);
    }

    if (strcmp(kty, "EC") == 0 && (alg == NULL || strcmp(alg, "ES256") == 0))
    {
        return keys_ec(jwk);
    }

    return NULL;
}


static EVP_PKEY *
keys_rsa(const cJSON *jwk)
{
    int              n_len, e_len;
    BIGNUM          *n, *e;
    EVP_PKEY        *key;
    OSSL_PARAM_BLD  *build;
    unsigned char    n_bytes[KEYS_NUMBER_MAX], e_bytes[16];

    n_len = keys_number(jwk, "n", n_bytes, sizeof(n_bytes));
    e_len = keys_number(jwk, "e", e_bytes, sizeof(e_bytes));

    if (n_len <= 0 || e_len <= 0) {
        return NULL;
    }

    key = NULL;
    n = BN_bin2bn(n_bytes, n_len, NULL);
    e = BN_bin2bn(e_bytes, e_len, NULL);
    build = OSSL_PARAM_BLD_new();

    if (n != NULL && e != NULL && build != NULL
        && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1
        && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
    {
        key = keys_build("RSA", build);
    }

    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);

    return key;
}


static EVP_PKEY *
keys_ec(const cJSON *jwk)
{
    EVP_PKEY        *key;
    const char      *crv;
    OSSL_PARAM_BLD  *build;
    unsigned char    point[65];    /* uncompressed: 4, x, y */

    crv = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, "crv"));
    point[0] = 4;

    if (crv == NULL || strcmp(crv, "P-256") != 0
        || keys_number(jwk, "x", point + 1, 32) != 32
        || keys_number(jwk, "y", point + 33, 32) != 32)
    {
        return NULL;
    }

    key = NULL;
    build = OSSL_PARAM_BLD_new();

    if (build != NULL
        && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME,
                                           "prime256v1", 0) == 1
        && OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY,
                                            point, sizeof(point)) == 1)
    {
        key = keys_build("EC", build);
    }

    OSSL_PARAM_BLD_free(build);

    return key;
}


/* Its length; -1: there is none, or it does not fit. */
static int
keys_number(const cJSON *jwk, const char *name, unsigned char *out,
    size_t size)
{
    const char  *text;

    text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, name));

    return text != NULL ? base64url_decode(text, strlen(text), out, size)
                        : -1;
}


static EVP_PKEY *
keys_build(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY      *key;
    OSSL_PARAM    *params;
    EVP_PKEY_CTX  *ctx;

    key = NULL;
    params = OSSL_PARAM_BLD_to_param(build);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
    {
        key = NULL;
    }

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);

    return key;
}


static const char *
keys_pem(auth_keys_t *keys, const char *text, size_t len)
{
    BIO         *bio;
    X509        *x509;
    EVP_PKEY    *key;
    const char  *why;

    if (strstr(text, "PRIVATE KEY") != NULL) {
        return "holds a private key: the public one is enough";
    }

    bio = BIO_new_mem_buf(text, (int) len);
    if (bio == NULL) {
        return "out of memory";
    }

    if (strstr(text, "BEGIN CERTIFICATE") != NULL) {
        x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        key = x509 != NULL ? X509_get_pubkey(x509) : NULL;
        X509_free(x509);

    } else {
        key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    }

    BIO_free(bio);

    if (key == NULL) {
        return "must be a public key or a certificate as PEM, or a JWKS";
    }

    why = keys_add(keys, key, NULL);
    EVP_PKEY_free(key);

    return why;
}


static const char *
keys_add(auth_keys_t *keys, EVP_PKEY *pkey, const char *id)
{
    int          bits;
    BIO         *bio;
    char        *data, group[64];
    long         len;
    auth_key_t  *key;

    if (keys->count == AUTH_KEYS_LOADED) {
        return "more than 64 keys";
    }

    if (id != NULL && strlen(id) >= AUTH_KEY_ID_LEN) {
        return "a kid is longer than 127 bytes";
    }

    key = &keys->keys[keys->count];
    bits = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_is_a(pkey, "RSA")) {
        if (bits < KEYS_RSA_MIN || bits > 8 * KEYS_NUMBER_MAX) {
            return "an RSA key must have 2048 to 8192 bits";
        }

        key->alg = AUTH_RS256;

    } else if (EVP_PKEY_is_a(pkey, "EC")
               && EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL)
                  == 1
               && strcmp(group, "prime256v1") == 0)
    {
        key->alg = AUTH_ES256;

    } else {
        return "a key must be RSA, or EC of the curve P-256";
    }

    bio = BIO_new(BIO_s_mem());

    if (bio == NULL || PEM_write_bio_PUBKEY(bio, pkey) != 1) {
        BIO_free(bio);
        return "out of memory";
    }

    len = BIO_get_mem_data(bio, &data);
    key->data = malloc((size_t) len + 1);

    if (key->data == NULL) {
        BIO_free(bio);
        return "out of memory";
    }

    memcpy(key->data, data, (size_t) len);
    key->data[len] = '\0';
    key->len = (size_t) len;
    strcpy(key->id, id != NULL ? id : "");
    keys->count++;
    BIO_free(bio);

    return NULL;
}
