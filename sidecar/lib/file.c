#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


char *
file_read(const char *path, size_t max, size_t *len, char *error, size_t size)
{
    int      fd;
    char    *data, *more;
    size_t   used, room;
    ssize_t  n;

    if (strcmp(path, "-") == 0) {
        fd = STDIN_FILENO;
        path = "standard input";

    } else {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd == -1) {
            snprintf(error, size, "%s: %s", path, strerror(errno));
            return NULL;
        }
    }

    used = 0;
    room = 0;
    data = NULL;

    for ( ;; ) {
        if (used == room) {
            /* One more than max, to see that there is more. */
            room = room ? room * 2 : 4096;
            room = room > max + 1 ? max + 1 : room;

            more = realloc(data, room + 1);
            if (more == NULL) {
                snprintf(error, size, "%s: out of memory", path);
                goto failed;
            }

            data = more;
        }

        n = read(fd, data + used, room - used);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            snprintf(error, size, "%s: %s", path, strerror(errno));
            goto failed;
        }

        if (n == 0) {
            break;
        }

        used += (size_t) n;

        if (used > max) {
            snprintf(error, size, "%s: larger than %zu KiB", path,
                     max / 1024);
            goto failed;
        }
    }

    if (fd != STDIN_FILENO) {
        close(fd);
    }

    data[used] = '\0';
    *len = used;
    return data;

failed:

    if (fd != STDIN_FILENO) {
        close(fd);
    }

    free(data);
    return NULL;
}
