/*
 * The parser of HTTP/1.1 answers, fed as the bytes come.
 */

#ifndef LOAD_ANSWER_H
#define LOAD_ANSWER_H

#include "tool.h"

#define ANSWER_INPUT  65536


typedef enum {
    ANSWER_LENGTH = 0,
    ANSWER_CHUNKED,
    ANSWER_UNTIL_CLOSE
} answer_framing_t;


typedef struct {
    bool                 headed;       /* the head is complete */
    bool                 close;        /* the connection ends with it */
    bool                 in_chunk;
    unsigned             status;
    answer_framing_t     framing;
    uint64_t             left;         /* bytes of the body or the chunk */
    char                 backend[64];  /* X-Backend, or "" */
    size_t               len;
    char                 in[ANSWER_INPUT + 1];
} answer_t;


/* For the next answer on the same connection. */

static inline void
answer_begin(answer_t *a)
{
    memset(a, 0, offsetof(answer_t, in));
}


static inline void
answer_drop(answer_t *a, size_t n)
{
    memmove(a->in, a->in + n, a->len - n);
    a->len -= n;
}


/* Takes a head of n bytes; false: it is none. */

static inline bool
answer_head(answer_t *a, size_t n, bool to_head)
{
    char  value[128], saved;

    saved = a->in[n];
    a->in[n] = '\0';

    if (strncmp(a->in, "HTTP/1.", 7) != 0) {
        return false;
    }

    a->status = (unsigned) atoi(a->in + 9);

    if (a->status < 200 || a->status > 599) {
        a->status = 0;
        return false;
    }

    a->headed = true;
    a->close = (a->in[7] == '0');

    tool_header(a->in, "X-Backend", a->backend, sizeof(a->backend));

    if (tool_header(a->in, "Connection", value, sizeof(value))) {
        a->close = (strcasecmp(value, "close") == 0);
    }

    if (to_head || a->status == 204 || a->status == 304) {
        a->framing = ANSWER_LENGTH;

    } else if (tool_header(a->in, "Transfer-Encoding", value,
                           sizeof(value)))
    {
        a->framing = ANSWER_CHUNKED;

    } else if (tool_header(a->in, "Content-Length", value, sizeof(value))) {
        a->framing = ANSWER_LENGTH;
        a->left = strtoull(value, NULL, 10);

    } else {
        a->framing = ANSWER_UNTIL_CLOSE;
        a->close = true;
    }

    a->in[n] = saved;

    return true;
}


static inline int
answer_chunks(answer_t *a)
{
    char    *eol;
    size_t   n;

    for ( ;; ) {
        if (a->in_chunk) {
            n = a->left < a->len ? (size_t) a->left : a->len;
            answer_drop(a, n);
            a->left -= n;

            if (a->left) {
                return 0;
            }

            a->in_chunk = false;
        }

        eol = memmem(a->in, a->len, "\r\n", 2);

        if (eol == NULL) {
            return a->len > 64 ? -1 : 0;
        }

        *eol = '\0';
        a->left = strtoull(a->in, NULL, 16);
        *eol = '\r';

        if (a->left == 0) {
            return memmem(a->in, a->len, "\r\n\r\n", 4) ? 1 : 0;
        }

        answer_drop(a, (size_t) (eol - a->in) + 2);

        a->left += 2;
        a->in_chunk = true;
    }
}


/* 1: the answer is whole, 0: not yet, -1: it is none. */

static inline int
answer_parse(answer_t *a, bool to_head)
{
    char    *end;
    size_t   n;

    if (!a->headed) {
        end = tool_header_end(a->in, a->len);

        if (end == NULL) {
            return a->len == ANSWER_INPUT ? -1 : 0;
        }

        n = (size_t) (end - a->in);

        if (!answer_head(a, n, to_head)) {
            return -1;
        }

        answer_drop(a, n);
    }

    switch (a->framing) {

    case ANSWER_LENGTH:
        n = a->left < a->len ? (size_t) a->left : a->len;
        a->left -= n;
        answer_drop(a, n);
        return a->left == 0;

    case ANSWER_CHUNKED:
        return answer_chunks(a);

    default: /* ANSWER_UNTIL_CLOSE */
        a->len = 0;
        return 0;
    }
}

#endif
