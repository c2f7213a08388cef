#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"

#define STATE_FILE_MAX      (64 * 1024 * 1024)
#define STATE_FILE_HEAD     "nginx-canary-state "
#define STATE_FILE_VERSION  1
#define STATE_FILE_PATH     4096


/* CRC-32 as in zip and Ethernet (IEEE 802.3), as nginx has it. */
static uint32_t
state_file_crc(const char *text, size_t len)
{
    size_t    i;
    uint32_t  crc;
    unsigned  bit;

    crc = 0xffffffff;

    for (i = 0; i < len; i++) {
        crc ^= (unsigned char) text[i];

        for (bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }

    return crc ^ 0xffffffff;
}


cJSON *
state_file_read(const char *path, char *error, size_t size)
{
    int        head;
    char      *text;
    cJSON     *json;
    size_t     len, rest;
    unsigned   version, crc;

    if (access(path, F_OK) == -1 && errno == ENOENT) {
        json = cJSON_CreateObject();
        cJSON_AddObjectToObject(json, "upstreams");
        return json;
    }

    text = file_read(path, STATE_FILE_MAX, &len, error, size);
    if (text == NULL) {
        return NULL;
    }

    json = NULL;
    head = 0;

    if (sscanf(text, STATE_FILE_HEAD "%4u %8x %10zu\n%n", &version, &crc,
               &rest, &head) < 3
        || head == 0 || version != STATE_FILE_VERSION
        || rest != len - (size_t) head
        || state_file_crc(text + head, rest) != crc)
    {
        snprintf(error, size, "%.200s: is no state file, or damaged", path);

    } else {
        json = cJSON_ParseWithLength(text + head, rest);
    }

    free(text);

    if (json == NULL
        || !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(json,
                                                            "upstreams")))
    {
        snprintf(error, size, "%.200s: is no state file, or damaged", path);
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static bool
state_file_put(int fd, const char *text, size_t len)
{
    ssize_t  n;

    while (len > 0) {
        n = write(fd, text, len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return false;
        }

        text += n;
        len -= (size_t) n;
    }

    return true;
}


/* The rename is on disk when the directory is. */
static void
state_file_sync(const char *dir)
{
    int  fd;

    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd != -1) {
        (void) fsync(fd);
        close(fd);
    }
}


int
state_file_write(const char *path, const cJSON *json, char *error,
    size_t size)
{
    int           fd, rc;
    char          temp[STATE_FILE_PATH], dir[STATE_FILE_PATH], head[64];
    char         *body, *slash;
    const char   *what;
    struct stat   st;

    rc = -1;
    fd = -1;
    temp[0] = '\0';
    body = cJSON_PrintUnformatted(json);

    if (body == NULL || strlen(path) >= STATE_FILE_PATH - 32) {
        snprintf(error, size, "%.200s: the path is too long", path);
        goto done;
    }

    strcpy(dir, path);
    slash = strrchr(dir, '/');

    if (slash == NULL) {
        strcpy(dir, ".");

    } else {
        slash[slash == dir] = '\0';
    }

    what = dir;

    /* Workers write there, who are not root: whose it is, nginx knows. */
    if (stat(dir, &st) == -1) {
        goto failed;
    }

    snprintf(temp, sizeof(temp), "%s.seed.%ld", path, (long) getpid());
    what = temp;
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
              0644);

    if (fd == -1) {
        temp[0] = '\0';
        what = path;
        goto failed;
    }

    snprintf(head, sizeof(head), STATE_FILE_HEAD "%d %08" PRIx32 " %zu\n",
             STATE_FILE_VERSION, state_file_crc(body, strlen(body)),
             strlen(body));

    if ((geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) == -1)
        || !state_file_put(fd, head, strlen(head))
        || !state_file_put(fd, body, strlen(body))
        || fsync(fd) == -1 || rename(temp, path) == -1)
    {
        goto failed;
    }

    temp[0] = '\0';
    state_file_sync(dir);
    rc = 0;
    goto done;

failed:

    snprintf(error, size, "%.200s: %s", what, strerror(errno));

done:

    if (fd != -1) {
        close(fd);
    }

    if (temp[0] != '\0') {
        unlink(temp);
    }

    cJSON_free(body);
    return rc;
}
