#include "redis_tls.h"

#include <stdio.h>

#ifdef HAVE_HIREDIS_SSL

#include <arpa/inet.h>
#include <stdlib.h>

#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct redis_tls_s {
    SSL_CTX  *context;
};


bool
redis_tls_available(void)
{
    return true;
}


redis_tls_t *
redis_tls_new(const char *ca, const char *cert, const char *key, char *error,
    size_t size)
{
    redis_tls_t  *tls;
    const char   *what;

    what = "out of memory";
    tls = calloc(1, sizeof(redis_tls_t));

    if (tls == NULL) {
        goto failed;
    }

    tls->context = SSL_CTX_new(TLS_client_method());

    if (tls->context == NULL) {
        goto failed;
    }

    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);

    what = ca;

    if (ca[0] != '\0'
        ? SSL_CTX_load_verify_locations(tls->context, ca, NULL) != 1
        : SSL_CTX_set_default_verify_paths(tls->context) != 1)
    {
        goto failed;
    }

    what = cert;

    if (cert[0] != '\0'
        && SSL_CTX_use_certificate_chain_file(tls->context, cert) != 1)
    {
        goto failed;
    }

    what = key;

    if (key[0] != '\0'
        && SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM)
           != 1)
    {
        goto failed;
    }

    return tls;

failed:

    snprintf(error, size, "%.150s: %.80s", what,
             ERR_reason_error_string(ERR_peek_error()) != NULL
             ? ERR_reason_error_string(ERR_peek_error()) : "failed");
    ERR_clear_error();
    redis_tls_free(tls);
    return NULL;
}


void
redis_tls_free(redis_tls_t *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        free(tls);
    }
}


int
redis_tls_start(redis_tls_t *tls, redisContext *context, const char *host)
{
    SSL            *ssl;
    unsigned char   addr[sizeof(struct in6_addr)];

    ssl = SSL_new(tls->context);
    if (ssl == NULL) {
        return -1;
    }

    if (inet_pton(AF_INET, host, addr) == 1
        || inet_pton(AF_INET6, host, addr) == 1)
    {
        if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1) {
            goto failed;
        }

    } else if (SSL_set1_host(ssl, host) != 1
               || SSL_set_tlsext_host_name(ssl, host) != 1)
    {
        goto failed;
    }

    /* It is hiredis' from then on. */
    if (redisInitiateSSL(context, ssl) == REDIS_OK) {
        return 0;
    }

failed:

    SSL_free(ssl);
    return -1;
}

#else


bool
redis_tls_available(void)
{
    return false;
}


redis_tls_t *
redis_tls_new(const char *ca, const char *cert, const char *key, char *error,
    size_t size)
{
    snprintf(error, size, "built without it");
    return NULL;
}


void
redis_tls_free(redis_tls_t *tls)
{
    /* void */
}


int
redis_tls_start(redis_tls_t *tls, redisContext *context, const char *host)
{
    return -1;
}

#endif
