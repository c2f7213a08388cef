/*
 * Answers without an end: server-sent events.  What is sent is buffered for
 * a reader up to a limit; one that is slower than that is dropped.
 */

#ifndef LIB_HTTP_STREAM_H
#define LIB_HTTP_STREAM_H

#include "http_server.h"

typedef struct http_stream_s  http_stream_t;

/*
 * An answer of a type, not begun yet.  gone(arg) is called once, from the
 * loop and never from inside a call of these functions, when the reader has
 * left or was dropped; the stream is then invalid.  The server's end ends
 * all streams with that call, too.  NULL: no memory, answered with 503.
 */
http_stream_t *http_stream_new(http_exchange_t *exchange, const char *type,
    size_t limit, void (*gone)(void *arg), void *arg);

/* Sends the head: 200. */
void http_stream_begin(http_stream_t *stream);

/* False: the reader is too slow and is being dropped; gone() will be called
 * and nothing more is sent. */
bool http_stream_send(http_stream_t *stream, const char *data, size_t len);

/* Bytes that the reader has not taken yet. */
size_t http_stream_waiting(const http_stream_t *stream);

/* Ends the answer; gone() is not called, the stream is invalid. */
void http_stream_end(http_stream_t *stream);

#endif
