/* Whole files, bounded. */

#ifndef LIB_FILE_H
#define LIB_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The content of a file ("-": standard input) of at most max bytes, with a
 * NUL after it, owned by the caller.  NULL: error (at least 256 bytes).
 */
char *file_read(const char *path, size_t max, size_t *len, char *error,
    size_t size);

/*
 * As file_read() of a regular file that only its owner (root or this
 * process's user) may write; and, if it is secret, that nobody but its owner
 * and its group may read.
 */
char *file_read_guarded(const char *path, bool secret, size_t max,
    size_t *len, char *error, size_t size);

#endif
