/*
 * Targets of libFuzzer.  Each gets bytes from outside as they could come, and
 * checks what must hold of whatever is accepted: it is printed, read again,
 * and is the same.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define fuzz_check(condition)                                                \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                         \
        }                                                                    \
    } while (0)

/* A copy with a NUL, to be freed. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
    char  *text;

    text = malloc(size + 1);
    fuzz_check(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';

    return text;
}

#endif
