/* base64url without padding: RFC 4648, 5. */

#ifndef AUTH_BASE64URL_H
#define AUTH_BASE64URL_H

#include <stddef.h>

/* The length; -1: it is none, or longer than size. */
int base64url_decode(const char *text, size_t len, unsigned char *out,
    size_t size);

#endif
