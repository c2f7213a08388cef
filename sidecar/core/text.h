/*
 * Bounded text: never longer than its buffer, always NUL-terminated, always
 * valid UTF-8 without control characters, so that it may go into JSON, a log
 * line or a terminal.
 */

#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Copies what fits of text (NULL: ""), never half a character; control
 * characters become spaces, broken UTF-8 becomes '?'.  Returns dst. */
char *text_copy(char *dst, size_t size, const char *text);

/* As snprintf(), with the same care of the result. */
char *text_format(char *dst, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Is it as text_copy() would leave it? */
bool text_is_clean(const char *text);

#endif
