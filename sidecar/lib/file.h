/* Whole files, bounded. */

#ifndef LIB_FILE_H
#define LIB_FILE_H

#include <stddef.h>

/*
 * The content of a file ("-": standard input) of at most max bytes, with a
 * NUL after it, owned by the caller.  NULL: error (at least 256 bytes).
 */
char *file_read(const char *path, size_t max, size_t *len, char *error,
    size_t size);

#endif
