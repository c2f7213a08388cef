/* HMAC-SHA256 of what is sent, so that the receiver knows who sent it. */

#ifndef LIB_SIGN_H
#define LIB_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define SIGN_LEN  65               /* hex digits and NUL */

/* Of "SECONDS.BODY" under the secret; SECONDS since 1970 bind it to a time. */
void sign_body(const char *secret, int64_t seconds, const char *body,
    char hex[SIGN_LEN]);

#endif
