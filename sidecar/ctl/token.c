/* Makes a token: the secret goes to a file, its hash is printed. */

#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <argon2.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define TOKEN_SECRET  32           /* bytes */
#define TOKEN_LEN     128
#define TOKEN_HASH    256

static int token_check(const ctl_args_t *args, const char *name);
static int token_hash(const char *kind, const char *token,
    char hash[TOKEN_HASH]);
static int token_write(const char *path, const char *token);


int
ctl_token(const ctl_args_t *args, const char *command)
{
    int             rc;
    char            token[TOKEN_LEN], hash[TOKEN_HASH], digits[64];
    size_t          i;
    const char     *name;
    unsigned char   secret[TOKEN_SECRET];

    name = args->count > 0 ? args->values[0] : "";
    rc = token_check(args, name);

    if (rc != 0) {
        return rc;
    }

    rc = CTL_FAILED;

    if (RAND_bytes(secret, sizeof(secret)) != 1) {
        ctl_error("no random numbers");
        return rc;
    }

    EVP_EncodeBlock((unsigned char *) digits, secret, sizeof(secret));

    /* base64url, without padding */
    for (i = 0; digits[i] != '\0' && digits[i] != '='; i++) {
        digits[i] = digits[i] == '+' ? '-' : digits[i] == '/' ? '_'
                    : digits[i];
    }

    digits[i] = '\0';
    snprintf(token, sizeof(token), "%s.%s", name, digits);

    if (token_hash(args->hash, token, hash) == 0
        && token_write(args->token_file, token) == 0)
    {
        printf("%s %s %s%s%s%s%s\n", name, args->role, hash,
               args->upstreams != NULL ? " upstreams=" : "",
               args->upstreams != NULL ? args->upstreams : "",
               args->expires != NULL ? " expires=" : "",
               args->expires != NULL ? args->expires : "");
        rc = CTL_OK;
    }

    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(digits, sizeof(digits));
    explicit_bzero(token, sizeof(token));

    return rc;
}


/* What canaryd would refuse in the line. */
static int
token_check(const ctl_args_t *args, const char *name)
{
    size_t  len;

    len = strlen(name);

    if (len == 0 || len > 63
        || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_@+-") != len)
    {
        ctl_error("token: whose is it? NAME must be 1 to 63 of letters, "
                  "digits, '_', '@', '+' and '-'");
        return CTL_USAGE;
    }

    if (args->role == NULL
        || (strcmp(args->role, "viewer") != 0
            && strcmp(args->role, "operator") != 0
            && strcmp(args->role, "admin") != 0))
    {
        ctl_error("--role: must be viewer, operator or admin");
        return CTL_USAGE;
    }

    if (args->token_file == NULL) {
        ctl_error("--token-file: must name a new file for the token, which "
                  "is never printed");
        return CTL_USAGE;
    }

    if ((args->upstreams != NULL
         && strpbrk(args->upstreams, " \t\r\n") != NULL)
        || (args->expires != NULL
            && args->expires[strspn(args->expires, "0123456789-:TZ")]
               != '\0'))
    {
        ctl_error("--upstreams: must be PATTERN,...; --expires: must be a "
                  "date, as 2027-01-31");
        return CTL_USAGE;
    }

    if (args->hash != NULL && strcmp(args->hash, "sha256") != 0
        && strcmp(args->hash, "argon2") != 0)
    {
        ctl_error("--hash: must be sha256 or argon2");
        return CTL_USAGE;
    }

    return 0;
}


static int
token_hash(const char *kind, const char *token, char hash[TOKEN_HASH])
{
    unsigned       i;
    unsigned char  salt[16], digest[32];

    if (kind == NULL || strcmp(kind, "sha256") == 0) {
        if (EVP_Digest(token, strlen(token), digest, NULL, EVP_sha256(),
                       NULL) != 1)
        {
            ctl_error("out of memory");
            return -1;
        }

        strcpy(hash, "sha256:");

        for (i = 0; i < sizeof(digest); i++) {
            snprintf(hash + 7 + 2 * i, 3, "%02x", digest[i]);
        }

        return 0;
    }

    /* 64 MiB, 3 passes: RFC 9106, 4, the second choice with less threads. */
    if (RAND_bytes(salt, sizeof(salt)) != 1
        || argon2id_hash_encoded(3, 65536, 1, token, strlen(token), salt,
                                 sizeof(salt), 32, hash, TOKEN_HASH)
           != ARGON2_OK)
    {
        ctl_error("out of memory");
        return -1;
    }

    return 0;
}


static int
token_write(const char *path, const char *token)
{
    int     fd, rc;
    char    line[TOKEN_LEN + 1];
    size_t  len;

    len = (size_t) snprintf(line, sizeof(line), "%s\n", token);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd == -1) {
        ctl_error("--token-file: %.200s: %s", path, strerror(errno));
        explicit_bzero(line, sizeof(line));
        return -1;
    }

    rc = write(fd, line, len) == (ssize_t) len ? 0 : -1;
    explicit_bzero(line, sizeof(line));

    if (close(fd) != 0 || rc != 0) {
        ctl_error("--token-file: %.200s: cannot be written", path);
        unlink(path);
        return -1;
    }

    return 0;
}
