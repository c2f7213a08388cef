/*
 * What the test tools share: addresses, the clock, chance, arguments.
 */

#ifndef TOOL_H
#define TOOL_H

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>


typedef struct {
    struct sockaddr_storage  sa;
    socklen_t                len;
    const char              *path;     /* of a unix socket, or NULL */
} tool_address_t;


_Noreturn static inline void __attribute__((format(printf, 1, 2)))
tool_die(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputc('\n', stderr);

    exit(2);
}


static inline double
tool_now_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}


/* "unix:/path" or an address of 127.0.0.0/8 with a port; else the end. */

static inline void
tool_address(const char *text, tool_address_t *addr)
{
    char                *colon, host[64], *end;
    unsigned long        port;
    struct sockaddr_in  *sin;
    struct sockaddr_un  *sun;

    memset(addr, 0, sizeof(tool_address_t));

    if (strncmp(text, "unix:", 5) == 0) {
        sun = (struct sockaddr_un *) &addr->sa;
        sun->sun_family = AF_UNIX;

        if (strlen(text + 5) >= sizeof(sun->sun_path)) {
            tool_die("the socket's path is too long: %s", text);
        }

        strcpy(sun->sun_path, text + 5);
        addr->path = text + 5;
        addr->len = sizeof(struct sockaddr_un);
        return;
    }

    colon = strrchr(text, ':');

    if (colon == NULL || (size_t) (colon - text) >= sizeof(host)) {
        tool_die("an address is unix:/path or 127.0.0.1:port, not %s", text);
    }

    memcpy(host, text, (size_t) (colon - text));
    host[colon - text] = '\0';

    port = strtoul(colon + 1, &end, 10);

    sin = (struct sockaddr_in *) &addr->sa;
    sin->sin_family = AF_INET;
    sin->sin_port = htons((uint16_t) port);
    addr->len = sizeof(struct sockaddr_in);

    if (inet_pton(AF_INET, host, &sin->sin_addr) != 1
        || (ntohl(sin->sin_addr.s_addr) >> 24) != 127
        || end == colon + 1 || *end != '\0' || port > 65535)
    {
        tool_die("an address is unix:/path or 127.0.0.1:port, not %s", text);
    }
}


static inline double
tool_number(const char *name, const char *text, double min, double max)
{
    char    *end;
    double   value;

    value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        tool_die("%s is a number from %g to %g, not \"%s\"", name, min, max,
                 text);
    }

    return value;
}


/* splitmix64: the same numbers everywhere for the same seed. */

static inline double
tool_random(uint64_t *state)
{
    uint64_t  z;

    z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;

    return (double) (z >> 11) / 9007199254740992.0;
}


/* The end of the header, after its empty line, or NULL. */

static inline char *
tool_header_end(char *buf, size_t len)
{
    char  *end;

    end = memmem(buf, len, "\r\n\r\n", 4);

    return end ? end + 4 : NULL;
}


/*
 * The value of a header field in a NUL-terminated head, copied to buf, or
 * NULL if it is not there.
 */

static inline char *
tool_header(const char *head, const char *name, char *buf, size_t size)
{
    size_t       len, n;
    const char  *line, *end;

    len = strlen(name);

    for (line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;

        if (strncasecmp(line, name, len) != 0 || line[len] != ':') {
            continue;
        }

        line += len + 1;
        line += strspn(line, " \t");

        end = strstr(line, "\r\n");
        n = end ? (size_t) (end - line) : strlen(line);

        if (n >= size) {
            n = size - 1;
        }

        memcpy(buf, line, n);
        buf[n] = '\0';

        return buf;
    }

    return NULL;
}

#endif
