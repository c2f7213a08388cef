#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HTTP_BACKLOG  128

static int http_listen_unix(const char *path, http_listen_t *sock,
    char *error, size_t size);
static int http_listen_stale(const struct sockaddr_un *sun, char *error,
    size_t size);
static int http_listen_resolve(const char *address, struct addrinfo **list,
    char *error, size_t size);
static int http_listen_tcp(const char *address, http_listen_t *sock,
    char *error, size_t size);
static int http_listen_split(const char *address, char *host, size_t size,
    const char **port);
static bool http_listen_loopback(const struct sockaddr *sa);


int
http_listen_open(const char *address, http_listen_t *sock, char *error,
    size_t size)
{
    memset(sock, 0, sizeof(*sock));
    sock->fd = -1;

    if (strncmp(address, "unix:", 5) == 0) {
        return http_listen_unix(address + 5, sock, error, size);
    }

    if (strncmp(address, "tls:", 4) == 0) {
        address += 4;
    }

    return http_listen_tcp(address, sock, error, size);
}


int
http_listen_check(const char *address, http_kind_t *kind, char *error,
    size_t size)
{
    struct addrinfo     *list;
    struct sockaddr_un   sun;

    memset(kind, 0, sizeof(*kind));

    if (strncmp(address, "unix:", 5) == 0) {

        if (address[5] != '/'
            || strlen(address + 5) >= sizeof(sun.sun_path))
        {
            snprintf(error, size, "%.120s: the path must be absolute and "
                     "shorter than %zu bytes", address,
                     sizeof(sun.sun_path));
            return -1;
        }

        return 0;
    }

    if (strncmp(address, "tls:", 4) == 0) {
        address += 4;
        kind->tls = true;
    }

    if (http_listen_resolve(address, &list, error, size) != 0) {
        return -1;
    }

    kind->foreign = !http_listen_loopback(list->ai_addr);
    freeaddrinfo(list);

    return 0;
}


void
http_listen_unlink(const http_listen_t *sock)
{
    struct stat  now;

    if (sock->path[0] != '\0' && lstat(sock->path, &now) == 0
        && now.st_dev == sock->stat.st_dev
        && now.st_ino == sock->stat.st_ino)
    {
        unlink(sock->path);
    }
}


static int
http_listen_unix(const char *path, http_listen_t *sock, char *error,
    size_t size)
{
    int                  fd, rc;
    mode_t               mask;
    struct sockaddr_un   sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;

    if (path[0] != '/' || strlen(path) >= sizeof(sun.sun_path)) {
        snprintf(error, size, "unix:%.120s: the path must be absolute and "
                 "shorter than %zu bytes", path, sizeof(sun.sun_path));
        return -1;
    }

    strcpy(sun.sun_path, path);

    if (http_listen_stale(&sun, error, size)) {
        return -1;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        snprintf(error, size, "socket(): %s", strerror(errno));
        return -1;
    }

    /* Born with its mode: a chmod() would come late. */
    mask = umask(0117);
    rc = bind(fd, (struct sockaddr *) &sun, sizeof(sun));
    umask(mask);

    if (rc == -1) {
        snprintf(error, size, "unix:%s: %s%s", path, strerror(errno),
                 errno == ENOENT ? "; make its directory first" : "");
        close(fd);
        return -1;
    }

    if (lstat(path, &sock->stat) == -1 || listen(fd, HTTP_BACKLOG) == -1) {
        snprintf(error, size, "unix:%s: %s", path, strerror(errno));
        unlink(path);
        close(fd);
        return -1;
    }

    strcpy(sock->path, path);
    sock->fd = fd;
    return 0;
}


/* Makes room for a new socket: 0 if nobody answers on an old one. */
static int
http_listen_stale(const struct sockaddr_un *sun, char *error, size_t size)
{
    int          fd, rc;
    struct stat  st;

    if (lstat(sun->sun_path, &st) == -1) {
        return 0;                  /* bind() tells if there is more to it */
    }

    if (!S_ISSOCK(st.st_mode)) {
        snprintf(error, size, "unix:%s: exists and is not a socket",
                 sun->sun_path);
        return -1;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        snprintf(error, size, "socket(): %s", strerror(errno));
        return -1;
    }

    rc = connect(fd, (const struct sockaddr *) sun, sizeof(*sun));
    rc = rc == 0 ? 0 : errno;
    close(fd);

    if (rc == ECONNREFUSED) {
        unlink(sun->sun_path);
        return 0;
    }

    /* Connected, or EAGAIN: its backlog is full. */
    if (rc == 0 || rc == EAGAIN) {
        snprintf(error, size, "unix:%s: in use, another canaryd answers "
                 "there", sun->sun_path);

    } else {
        snprintf(error, size, "unix:%s: %s", sun->sun_path, strerror(rc));
    }

    return -1;
}


/* An address and port, or -1 with the error; free with freeaddrinfo. */
static int
http_listen_resolve(const char *address, struct addrinfo **list, char *error,
    size_t size)
{
    char              host[64];
    const char       *port;
    struct addrinfo   hints;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST;

    /* No name is looked up: that could take long, or not know this one. */
    if (http_listen_split(address, host, sizeof(host), &port)
        || getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                       port, &hints, list)
           != 0)
    {
        snprintf(error, size, "%.120s: must be unix:/path, 127.0.0.1:PORT, "
                 "[::1]:PORT, localhost:PORT or tls:ADDRESS:PORT", address);
        return -1;
    }

    return 0;
}


static int
http_listen_tcp(const char *address, http_listen_t *sock, char *error,
    size_t size)
{
    int                       fd, on;
    socklen_t                 len;
    struct addrinfo          *ai;
    struct sockaddr_storage   bound;

    if (http_listen_resolve(address, &ai, error, size) != 0) {
        return -1;
    }

    on = 1;
    len = sizeof(bound);
    memset(&bound, 0, len);

    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || bind(fd, ai->ai_addr, ai->ai_addrlen) == -1
        || listen(fd, HTTP_BACKLOG) == -1
        || getsockname(fd, (struct sockaddr *) &bound, &len) == -1)
    {
        snprintf(error, size, "%.120s: %s", address, strerror(errno));
        goto failed;
    }

    sock->port = bound.ss_family == AF_INET
                 ? ntohs(((struct sockaddr_in *) &bound)->sin_port)
                 : ntohs(((struct sockaddr_in6 *) &bound)->sin6_port);
    sock->fd = fd;
    freeaddrinfo(ai);
    return 0;

failed:

    if (fd != -1) {
        close(fd);
    }

    freeaddrinfo(ai);
    return -1;
}


/* "[::1]:7070" to "::1" and "7070". */
static int
http_listen_split(const char *address, char *host, size_t size,
    const char **port)
{
    char        *end;
    long         number;
    size_t       len;
    const char  *colon;

    colon = strrchr(address, ':');
    if (colon == NULL || colon[1] < '0' || colon[1] > '9') {
        return -1;
    }

    errno = 0;
    number = strtol(colon + 1, &end, 10);

    if (*end != '\0' || errno != 0 || number > 65535) {
        return -1;
    }

    len = (size_t) (colon - address);

    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;

    } else if (memchr(address, ':', len) != NULL) {
        return -1;                 /* IPv6 needs the brackets */
    }

    if (len == 0 || len >= size) {
        return -1;
    }

    memcpy(host, address, len);
    host[len] = '\0';
    *port = colon + 1;
    return 0;
}


static bool
http_listen_loopback(const struct sockaddr *sa)
{
    const struct sockaddr_in   *sin;
    const struct sockaddr_in6  *sin6;

    if (sa->sa_family == AF_INET) {
        sin = (const struct sockaddr_in *) (const void *) sa;
        return ntohl(sin->sin_addr.s_addr) >> 24 == 127;
    }

    if (sa->sa_family == AF_INET6) {
        sin6 = (const struct sockaddr_in6 *) (const void *) sa;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
    }

    return false;
}
