/* Listening sockets on loopback addresses and unix sockets. */

#ifndef LIB_HTTP_LISTEN_H
#define LIB_HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

typedef struct {
    int           fd;              /* non-blocking, listening */
    int           port;            /* 0: a unix socket */
    char          path[108];       /* of the unix socket */
    struct stat   stat;            /* of its file */
} http_listen_t;

/* See http_server_listen(); 0, or -1 with the error. */
int http_listen_open(const char *address, http_listen_t *listen, char *error,
    size_t size);

typedef struct {
    bool  tls;
    bool  foreign;                 /* others than this machine may come */
} http_kind_t;

/* The same checks without opening anything. */
int http_listen_check(const char *address, http_kind_t *kind, char *error,
    size_t size);

/* Unlinks the socket's file, if it is still the one that was made. */
void http_listen_unlink(const http_listen_t *listen);

#endif
