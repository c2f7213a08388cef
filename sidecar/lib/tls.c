#include "tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "file.h"

#define TLS_FILE_MAX  (64 * 1024)

static int tls_key(SSL_CTX *tls, const char *path, char *error, size_t size);
static int tls_password(char *buf, int size, int rwflag, void *arg);
static void tls_error(const char *what, const char *path, char *error,
    size_t size);


SSL_CTX *
tls_new(const tls_options_t *options, char *error, size_t size)
{
    int       version;
    SSL_CTX  *tls;

    ERR_clear_error();

    tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL) {
        snprintf(error, size, "tls: out of memory");
        return NULL;
    }

    version = strcmp(options->min_version, "1.3") == 0 ? TLS1_3_VERSION
                                                       : TLS1_2_VERSION;

    SSL_CTX_set_min_proto_version(tls, version);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
                             | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_default_passwd_cb(tls, tls_password);

    if (SSL_CTX_use_certificate_chain_file(tls, options->certificate) != 1) {
        tls_error("tls.certificate", options->certificate, error, size);
        goto failed;
    }

    if (tls_key(tls, options->key, error, size) != 0) {
        goto failed;
    }

    if (SSL_CTX_check_private_key(tls) != 1) {
        snprintf(error, size, "tls.key: %.180s is not the key of "
                 "tls.certificate", options->key);
        goto failed;
    }

    if (options->client_ca[0] != '\0') {
        if (SSL_CTX_load_verify_locations(tls, options->client_ca, NULL)
            != 1)
        {
            tls_error("tls.client_ca", options->client_ca, error, size);
            goto failed;
        }

        SSL_CTX_set_client_CA_list(tls,
                               SSL_load_client_CA_file(options->client_ca));
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER
                                | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);

        /* Needed for resumption where clients are verified. */
        SSL_CTX_set_session_id_context(tls, (const unsigned char *) "canary",
                                       6);
    }

    return tls;

failed:

    SSL_CTX_free(tls);
    ERR_clear_error();

    return NULL;
}


static int
tls_key(SSL_CTX *tls, const char *path, char *error, size_t size)
{
    int        rc;
    BIO       *bio;
    char      *text, reason[300];
    size_t     len;
    EVP_PKEY  *key;

    text = file_read_guarded(path, true, TLS_FILE_MAX, &len, reason,
                             sizeof(reason));
    if (text == NULL) {
        snprintf(error, size, "tls.key: %s", reason);
        return -1;
    }

    rc = -1;
    key = NULL;
    bio = BIO_new_mem_buf(text, (int) len);

    if (bio != NULL) {
        key = PEM_read_bio_PrivateKey(bio, NULL, tls_password, NULL);
    }

    if (key == NULL || SSL_CTX_use_PrivateKey(tls, key) != 1) {
        tls_error("tls.key", path, error, size);

    } else {
        rc = 0;
    }

    EVP_PKEY_free(key);
    BIO_free(bio);
    OPENSSL_cleanse(text, len);
    free(text);

    return rc;
}


/* Nobody is there to ask. */
static int
tls_password(char *buf, int size, int rwflag, void *arg)
{
    return 0;
}


static void
tls_error(const char *what, const char *path, char *error, size_t size)
{
    const char  *reason;

    reason = ERR_reason_error_string(ERR_peek_error());
    snprintf(error, size, "%s: %.180s: %.120s", what, path,
             reason != NULL ? reason : "cannot be used");
}
