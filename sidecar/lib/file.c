#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *file_drain(int fd, const char *path, size_t max, size_t *len,
    char *error, size_t size);


char *
file_read(const char *path, size_t max, size_t *len, char *error, size_t size)
{
    int  fd;

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

    return file_drain(fd, path, max, len, error, size);
}


char *
file_read_guarded(const char *path, bool secret, size_t max, size_t *len,
    char *error, size_t size)
{
    int           fd;
    struct stat   st;
    const char   *why;

    /* Not to hang on a FIFO. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd == -1) {
        snprintf(error, size, "%.180s: %s", path, strerror(errno));
        return NULL;
    }

    why = NULL;

    if (fstat(fd, &st) == -1) {
        why = strerror(errno);

    } else if (!S_ISREG(st.st_mode)) {
        why = "must be a regular file";

    } else if (st.st_uid != 0 && st.st_uid != geteuid()) {
        why = "must belong to root or to canaryd's user";

    } else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        why = "only its owner may be able to write it: chmod go-w";

    } else if (secret && (st.st_mode & S_IRWXO) != 0) {
        why = "others must not be able to read it: chmod o=";
    }

    if (why != NULL) {
        snprintf(error, size, "%.180s: %s", path, why);
        close(fd);
        return NULL;
    }

    return file_drain(fd, path, max, len, error, size);
}


/* Closes fd, unless it is standard input. */
static char *
file_drain(int fd, const char *path, size_t max, size_t *len, char *error,
    size_t size)
{
    char    *data, *more;
    size_t   used, room;
    ssize_t  n;

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
