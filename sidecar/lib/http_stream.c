#include "http_stream.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#define HTTP_STREAM_WRITE  30      /* s in which a reader must take something */

/*
 * When its connection goes, evhttp takes a request that is being worked on
 * from it and leaves it to us; with the connection's end of life at the
 * server's, it is freed with it.
 */
struct http_stream_s {
    struct evhttp_request     *request;
    struct evhttp_connection  *connection;
    size_t                     limit;
    bool                       dropped;
    void                     (*gone)(void *arg);
    void                      *arg;
};

static void http_stream_closed(struct evhttp_connection *connection,
    void *arg);
static struct bufferevent *http_stream_buffer(const http_stream_t *stream);


http_stream_t *
http_stream_new(http_exchange_t *exchange, const char *type, size_t limit,
    void (*gone)(void *arg), void *arg)
{
    http_stream_t      *stream;
    struct evkeyvalq   *headers;

    stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        return NULL;
    }

    stream->request = exchange->request;
    stream->connection = evhttp_request_get_connection(exchange->request);
    stream->limit = limit;
    stream->gone = gone;
    stream->arg = arg;

    headers = evhttp_request_get_output_headers(stream->request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    /* A proxy between must not collect it. */
    evhttp_add_header(headers, "X-Accel-Buffering", "no");

    evhttp_connection_set_closecb(stream->connection, http_stream_closed,
                                  stream);
    return stream;
}


void
http_stream_begin(http_stream_t *stream)
{
    struct timeval  write = { HTTP_STREAM_WRITE, 0 };

    evhttp_send_reply_start(stream->request, 200, "OK");

    /* It has nothing to say, for as long as it likes. */
    bufferevent_set_timeouts(http_stream_buffer(stream), NULL, &write);
}


bool
http_stream_send(http_stream_t *stream, const char *data, size_t len)
{
    int               fd;
    struct evbuffer  *chunk;

    if (stream->dropped) {
        return false;
    }

    if (http_stream_waiting(stream) + len > stream->limit) {
        /* The loop finds it closed, and takes it down where that is safe. */
        stream->dropped = true;
        fd = bufferevent_getfd(http_stream_buffer(stream));
        (void) shutdown(fd, SHUT_RDWR);
        return false;
    }

    chunk = evbuffer_new();

    if (chunk == NULL || evbuffer_add(chunk, data, len) != 0) {
        abort();
    }

    evhttp_send_reply_chunk(stream->request, chunk);
    evbuffer_free(chunk);

    return true;
}


size_t
http_stream_waiting(const http_stream_t *stream)
{
    return evbuffer_get_length(
               bufferevent_get_output(http_stream_buffer(stream)));
}


void
http_stream_end(http_stream_t *stream)
{
    evhttp_connection_set_closecb(stream->connection, NULL, NULL);
    evhttp_send_reply_end(stream->request);
    free(stream);
}


static void
http_stream_closed(struct evhttp_connection *connection, void *arg)
{
    http_stream_t  *stream = arg;

    /* Nobody's any more, if its connection is not: see above. */
    if (evhttp_request_get_connection(stream->request) == NULL) {
        evhttp_request_free(stream->request);
    }

    stream->gone(stream->arg);
    free(stream);
}


static struct bufferevent *
http_stream_buffer(const http_stream_t *stream)
{
    return evhttp_connection_get_bufferevent(stream->connection);
}
