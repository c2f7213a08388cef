/*
 * What is told of who asks: the Authorization header with tokens and JWTs,
 * the file of tokens, keys.  The first byte chooses.
 */

#include "fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/jwt.h"
#include "auth/keys.h"
#include "auth/tokens.h"

static char                path[64];
static auth_t             *auth;
static auth_config_t       config;
static struct event_base  *base;


static void
fuzz_file(const uint8_t *data, size_t size)
{
    int  fd;

    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    fuzz_check(fd != -1 && write(fd, data, size) == (ssize_t) size);
    close(fd);
}


static void
fuzz_end(void)
{
    unlink(path);
    auth_free(auth);
    event_base_free(base);
}


static void
fuzz_done(void *arg, const auth_result_t *result)
{
    fuzz_check(result->status != 200);
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char  error[512];

    static const char  secret[] = "0123456789abcdef0123456789abcdef";

    snprintf(path, sizeof(path), "/tmp/fuzz_auth.%ld", (long) getpid());
    atexit(fuzz_end);

    base = event_base_new();
    strcpy(config.jwt.secret, path);
    strcpy(config.jwt.issuer, "i");
    strcpy(config.jwt.audience, "a");
    strcpy(config.jwt.role_claim, "role");
    strcpy(config.jwt.name_claim, "sub");
    strcpy(config.jwt.upstreams_claim, "up");
    config.failures = 10;
    fuzz_file((const uint8_t *) secret, sizeof(secret) - 1);

    auth = auth_new(base, NULL, &config, error, sizeof(error));
    fuzz_check(auth != NULL);

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                *text, error[512];
    uint8_t              what;
    http_peer_t          peer;
    auth_keys_t         *keys;
    auth_config_t        file;
    auth_result_t        result;
    auth_tokens_t       *tokens;

    if (size == 0) {
        return 0;
    }

    what = data[0];
    text = fuzz_text(data + 1, size - 1);
    memset(&file, 0, sizeof(file));
    error[0] = '\0';

    switch (what % 3) {

    case 0:
        memset(&peer, 0, sizeof(peer));
        strcpy(peer.key, "192.0.2.1");

        /* Nobody knows how to sign here: nothing may be right. */
        if (auth_check(auth, &peer, text, false, &result, fuzz_done, NULL)) {
            fuzz_check(result.status == 401 || result.status == 429);
            fuzz_check(result.detail[0] != '\0');
        }
        break;

    case 1:
        fuzz_file(data + 1, size - 1);
        tokens = auth_tokens_load(path, error, sizeof(error));
        fuzz_check((tokens == NULL) == (error[0] != '\0'));

        if (tokens != NULL) {
            fuzz_check(auth_tokens_find(tokens, "") == NULL);
            auth_tokens_free(tokens);
        }
        break;

    default:
        fuzz_file(data + 1, size - 1);
        file.jwt.key_count = 1;
        strcpy(file.jwt.keys[0], path);
        keys = auth_keys_load(&file.jwt, error, sizeof(error));
        fuzz_check((keys == NULL) == (error[0] != '\0'));
        auth_keys_free(keys);
        break;
    }

    free(text);

    return 0;
}
