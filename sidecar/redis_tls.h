/*
 * TLS to Redis, where hiredis has it (1.0 and later, with libhiredis_ssl).
 * Certificates are verified, and that they are of the host.
 */

#ifndef REDIS_TLS_H
#define REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

typedef struct redis_tls_s  redis_tls_t;

/* Was it built with that? */
bool redis_tls_available(void);

/* Files; ca "": those of the system, cert and key "": none.  NULL: error (at
 * least 256 bytes). */
redis_tls_t *redis_tls_new(const char *ca, const char *cert, const char *key,
    char *error, size_t size);
void redis_tls_free(redis_tls_t *tls);

/* A connection that was just begun goes on with TLS, to host.  0 or -1. */
int redis_tls_start(redis_tls_t *tls, redisContext *context,
    const char *host);

#endif
