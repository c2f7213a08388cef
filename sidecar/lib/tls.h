/* The server's side of TLS: a certificate, its key, and who may connect. */

#ifndef LIB_TLS_H
#define LIB_TLS_H

#include <stddef.h>

#include <openssl/ssl.h>

typedef struct {
    const char  *certificate;      /* PEM, with its chain */
    const char  *key;              /* PEM; readable by its owner and group */
    const char  *client_ca;        /* PEM; "": clients need no certificate */
    const char  *min_version;      /* "1.2", "1.3"; "": 1.2 */
} tls_options_t;

/* The caller owns it.  NULL: error (at least 512 bytes) names the file. */
SSL_CTX *tls_new(const tls_options_t *options, char *error, size_t size);

#endif
