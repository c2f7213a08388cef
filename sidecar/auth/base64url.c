#include "base64url.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>


int
base64url_decode(const char *text, size_t len, unsigned char *out,
    size_t size)
{
    int          bits;
    size_t       i, used;
    uint32_t     value;
    const char  *at;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    if (len % 4 == 1 || len > INT_MAX) {
        return -1;
    }

    bits = 0;
    used = 0;
    value = 0;

    for (i = 0; i < len; i++) {
        at = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

        if (at == NULL) {
            return -1;
        }

        value = (value << 6 | (uint32_t) (at - digits)) & 0xffffff;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;

            if (used == size) {
                return -1;
            }

            out[used++] = (unsigned char) (value >> bits);
        }
    }

    /* What is left over must be 0: one text for one value. */
    return (value & ((1u << bits) - 1)) == 0 ? (int) used : -1;
}
