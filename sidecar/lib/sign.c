#include "sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>


void
sign_body(const char *secret, int64_t seconds, const char *body,
    char hex[SIGN_LEN])
{
    char           *text;
    size_t          size;
    unsigned        i, len;
    unsigned char   digest[EVP_MAX_MD_SIZE];

    size = strlen(body) + 32;
    text = malloc(size);
    if (text == NULL) {
        abort();
    }

    snprintf(text, size, "%" PRId64 ".%s", seconds, body);

    if (HMAC(EVP_sha256(), secret, (int) strlen(secret),
             (const unsigned char *) text, strlen(text), digest, &len)
        == NULL)
    {
        abort();
    }

    for (i = 0; i < len && i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }

    free(text);
}
