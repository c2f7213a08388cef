#include "utf8.h"

#include <stdbool.h>
#include <string.h>


static bool  utf8_shown(unsigned code);


unsigned
utf8_decode(const unsigned char *p, size_t left, unsigned *code)
{
    unsigned               i, len;
    static const unsigned  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
        *code = p[0] & 0x1f;

    } else if ((p[0] & 0xf0) == 0xe0) {
        len = 3;
        *code = p[0] & 0x0f;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        *code = p[0] & 0x07;

    } else {
        return 0;
    }

    if (left < len) {
        return 0;
    }

    for (i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        *code = *code << 6 | (p[i] & 0x3f);
    }

    /* Overlong forms, surrogates, beyond Unicode. */
    if (*code < least[len] || *code > 0x10ffff
        || (*code >= 0xd800 && *code <= 0xdfff))
    {
        return 0;
    }

    return len;
}


char *
utf8_clean(const char *text, size_t len, char *buf, size_t size)
{
    size_t                i, used;
    unsigned              n, code;
    const unsigned char  *p;

    if (size == 0) {
        return buf;
    }

    used = 0;
    p = (const unsigned char *) text;

    for (i = 0; i < len; i += n) {
        n = utf8_decode(p + i, len - i, &code);

        if (n == 0 || !utf8_shown(code)) {
            if (used + 1 >= size) {
                break;
            }

            buf[used++] = '?';
            n = n ? n : 1;
            continue;
        }

        if (used + n >= size) {
            break;
        }

        memcpy(buf + used, p + i, n);
        used += n;
    }

    buf[used] = '\0';
    return buf;
}


static bool
utf8_shown(unsigned code)
{
    return !(code < 0x20 || (code >= 0x7f && code < 0xa0)
             || (code >= 0x2028 && code <= 0x202e)
             || (code >= 0x2066 && code <= 0x2069));
}
