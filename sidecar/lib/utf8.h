/* Text from outside: UTF-8, and what is safe to show. */

#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stddef.h>

/*
 * Bytes of the UTF-8 character at p (left bytes remain, >= 1), its code
 * point in *code; 0 if there is no valid one.
 */
unsigned utf8_decode(const unsigned char *p, size_t left, unsigned *code);

/*
 * A copy for people's eyes: control characters, what redirects text, and
 * invalid UTF-8 become '?'; cut (at a character) to fit.  Returns buf.
 */
char *utf8_clean(const char *text, size_t len, char *buf, size_t size);

#endif
