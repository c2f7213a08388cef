/* The token that goes with requests: where it comes from, where it may go. */

#include "ctl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"

#define SECRET_MAX  8192           /* of a token */

static int secret_read(ctl_args_t *args, const char *path);
static bool secret_loopback(const char *host, size_t len);


int
ctl_secret(ctl_args_t *args)
{
    size_t       len;
    const char  *text;

    if (args->token != NULL) {
        goto check;
    }

    if (args->token_file != NULL) {
        if (secret_read(args, args->token_file) != 0) {
            return CTL_FAILED;
        }

        goto check;
    }

    text = getenv("CANARY_TOKEN");

    if (text != NULL && text[0] != '\0') {
        args->token = strdup(text);
        if (args->token == NULL) {
            ctl_error("out of memory");
            return CTL_FAILED;
        }

        goto check;
    }

    text = getenv("CANARY_TOKEN_FILE");

    if (text == NULL || text[0] == '\0') {
        return 0;
    }

    if (secret_read(args, text) != 0) {
        return CTL_FAILED;
    }

check:

    len = strlen(args->token);

    if (len == 0 || len > SECRET_MAX
        || strspn(args->token, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789!#$%&'*+-./:;=?@^_`|~") != len)
    {
        ctl_error("the token is empty, too long, or has characters that no "
                  "token has");
        return CTL_USAGE;
    }

    return 0;
}


bool
ctl_secret_safe(const ctl_args_t *args, char *why, size_t size)
{
    size_t       len;
    const char  *host, *at;

    if (args->insecure || strncmp(args->server, "http://", 7) != 0) {
        return true;
    }

    host = args->server + 7;
    len = strcspn(host, "/");
    at = memrchr(host, '@', len);

    if (at != NULL) {
        len -= (size_t) (at + 1 - host);
        host = at + 1;
    }

    if (host[0] == '[') {
        host++;
        len = strcspn(host, "]");

    } else {
        len = len < strcspn(host, ":") ? len : strcspn(host, ":");
    }

    if (secret_loopback(host, len)) {
        return true;
    }

    snprintf(why, size, "the token would cross the network unencrypted: use "
             "https://, or --insecure if you mean it");
    return false;
}


void
ctl_secret_free(ctl_args_t *args)
{
    if (args->token != NULL) {
        explicit_bzero(args->token, strlen(args->token));
        free(args->token);
        args->token = NULL;
    }
}


/* The first line. */
static int
secret_read(ctl_args_t *args, const char *path)
{
    char    error[300];
    size_t  len;

    args->token = file_read(path, SECRET_MAX, &len, error, sizeof(error));

    if (args->token == NULL) {
        ctl_error("--token-file: %s", error);
        return -1;
    }

    args->token[strcspn(args->token, "\r\n")] = '\0';
    return 0;
}


/* A name could lead anywhere, but for this one. */
static bool
secret_loopback(const char *host, size_t len)
{
    char              name[64];
    struct in_addr    in;
    struct in6_addr   in6;

    if (len >= sizeof(name)) {
        return false;
    }

    memcpy(name, host, len);
    name[len] = '\0';

    if (strcmp(name, "localhost") == 0) {
        return true;
    }

    if (inet_pton(AF_INET, name, &in) == 1) {
        return ntohl(in.s_addr) >> 24 == 127;
    }

    return inet_pton(AF_INET6, name, &in6) == 1
           && IN6_IS_ADDR_LOOPBACK(&in6);
}
