/* Bounded, clean text. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define WHOLE_LEN  1024            /* longer results of text_format are cut */


/*
 * Length of the well-formed UTF-8 sequence at p, 0 if there is none.  The
 * terminating NUL is no continuation byte, so nothing is read behind it.
 */
static size_t
sequence(const unsigned char *p)
{
    size_t         i, len;
    unsigned char  min, max;

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] < 0xc2 || p[0] > 0xf4) {
        return 0;
    }

    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    /* overlong forms, surrogates, and what is above U+10FFFF (RFC 3629) */

    min = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    max = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

    if (p[1] < min || p[1] > max) {
        return 0;
    }

    for (i = 2; i < len; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }

    return len;
}


/* C0, DEL and C1 (which terminals obey as well). */
static bool
is_control(const unsigned char *p)
{
    return p[0] < 0x20 || p[0] == 0x7f
           || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}


char *
text_copy(char *dst, size_t size, const char *text)
{
    char                 *out, *last;
    size_t                len;
    const unsigned char  *p;

    out = dst;
    last = dst + size - 1;

    for (p = (const unsigned char *) (text ? text : ""); *p; ) {
        len = sequence(p);

        if (len == 0 || is_control(p)) {
            if (out == last) {
                break;
            }

            *out++ = len ? ' ' : '?';
            p += len ? len : 1;
            continue;
        }

        if (len > (size_t) (last - out)) {
            break;
        }

        memcpy(out, p, len);
        out += len;
        p += len;
    }

    *out = '\0';

    return dst;
}


/* Takes away the beginning of a character at the very end. */
static void
trim(char *text)
{
    size_t  i, len;

    len = strlen(text);

    for (i = 1; i <= 3 && i <= len; i++) {
        if (((unsigned char) text[len - i] & 0xc0) == 0xc0) {
            if (!sequence((const unsigned char *) text + len - i)) {
                text[len - i] = '\0';
            }

            return;
        }
    }
}


char *
text_format(char *dst, size_t size, const char *format, ...)
{
    int      n;
    char     whole[WHOLE_LEN];
    va_list  args;

    va_start(args, format);
    n = vsnprintf(whole, sizeof(whole), format, args);
    va_end(args);

    if (n < 0) {
        whole[0] = '\0';
    } else if ((size_t) n >= sizeof(whole)) {
        trim(whole);
    }

    return text_copy(dst, size, whole);
}


bool
text_is_clean(const char *text)
{
    size_t                len;
    const unsigned char  *p;

    for (p = (const unsigned char *) text; *p; p += len) {
        len = sequence(p);

        if (len == 0 || is_control(p)) {
            return false;
        }
    }

    return true;
}
