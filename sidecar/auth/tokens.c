#include "tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/file.h"

#define TOKENS_FILE_MAX    (1024 * 1024)
#define TOKENS_MAX         4096
#define TOKENS_SECRET_MIN  32      /* of what is hashed fast */
#define TOKENS_ARGON2_M    262144  /* KiB that a line may ask for */
#define TOKENS_ARGON2_T    16
#define TOKENS_ARGON2_P    8

struct auth_tokens_s {
    unsigned       count;
    unsigned       room;
    auth_token_t  *lines;
};

static int tokens_line(auth_tokens_t *tokens, char *text, const char **why);
static int tokens_hash(auth_token_t *line, const char *text,
    const char **why);
static int tokens_expires(auth_token_t *line, const char *text);


auth_tokens_t *
auth_tokens_load(const char *path, char *error, size_t size)
{
    char           *text, *at, *end, reason[300];
    size_t          len;
    unsigned        number;
    const char     *why;
    auth_tokens_t  *tokens;

    text = file_read_guarded(path, true, TOKENS_FILE_MAX, &len, reason,
                             sizeof(reason));
    if (text == NULL) {
        snprintf(error, size, "auth.tokens: %s", reason);
        return NULL;
    }

    number = 0;
    why = "out of memory";
    tokens = calloc(1, sizeof(*tokens));

    if (tokens == NULL) {
        goto failed;
    }

    if (strlen(text) != len) {
        why = "has a NUL byte";
        goto failed;
    }

    for (at = text; *at != '\0'; at = end) {
        number++;
        end = at + strcspn(at, "\n");

        if (*end != '\0') {
            *end++ = '\0';
        }

        if (tokens_line(tokens, at, &why) != 0) {
            goto failed;
        }
    }

    OPENSSL_cleanse(text, len);
    free(text);

    return tokens;

failed:

    /* The line itself is not quoted: somebody may have put the token in. */
    snprintf(error, size, "auth.tokens: %.180s: line %u: %.200s", path,
             number, why);
    OPENSSL_cleanse(text, len);
    free(text);
    auth_tokens_free(tokens);

    return NULL;
}


void
auth_tokens_free(auth_tokens_t *tokens)
{
    if (tokens != NULL) {
        free(tokens->lines);
        free(tokens);
    }
}


unsigned
auth_tokens_count(const auth_tokens_t *tokens)
{
    return tokens->count;
}


auth_token_t *
auth_tokens_find(auth_tokens_t *tokens, const char *token)
{
    size_t        len;
    unsigned      i;
    const char   *dot;

    dot = strrchr(token, '.');
    len = dot != NULL ? (size_t) (dot - token) : 0;

    if (len == 0 || len >= AUTH_NAME_LEN) {
        return NULL;
    }

    for (i = 0; i < tokens->count; i++) {
        if (strncmp(tokens->lines[i].identity.name, token, len) == 0
            && tokens->lines[i].identity.name[len] == '\0')
        {
            return &tokens->lines[i];
        }
    }

    return NULL;
}


bool
auth_token_sha256(const auth_token_t *line, const char *token)
{
    const char     *secret;
    unsigned char   hash[32];

    secret = strrchr(token, '.');

    /* What could be guessed must be hashed slowly. */
    if (line->argon2 || secret == NULL
        || strlen(secret + 1) < TOKENS_SECRET_MIN
        || EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL)
           != 1)
    {
        return false;
    }

    return CRYPTO_memcmp(hash, line->sha256, sizeof(hash)) == 0;
}


static int
tokens_line(auth_tokens_t *tokens, char *text, const char **why)
{
    char          *save, *name, *role, *hash, *more;
    unsigned       i;
    auth_token_t  *line, *lines;

    name = strtok_r(text, " \t\r", &save);

    if (name == NULL || name[0] == '#') {
        return 0;
    }

    role = strtok_r(NULL, " \t\r", &save);
    hash = strtok_r(NULL, " \t\r", &save);

    if (role == NULL || hash == NULL) {
        *why = "must be NAME ROLE HASH, then upstreams= and expires= where "
               "they are wanted";
        return -1;
    }

    if (tokens->count == TOKENS_MAX) {
        *why = "more than 4096 tokens";
        return -1;
    }

    if (tokens->count == tokens->room) {
        tokens->room = tokens->room * 2 + 8;
        lines = realloc(tokens->lines, tokens->room * sizeof(*lines));
        if (lines == NULL) {
            *why = "out of memory";
            return -1;
        }

        tokens->lines = lines;
    }

    line = &tokens->lines[tokens->count];
    memset(line, 0, sizeof(*line));

    /* "unix:" begins the names of users. */
    if (!auth_name_valid(name) || strpbrk(name, ".:") != NULL) {
        *why = "the name must be 1 to 63 letters, digits and signs, without "
               "'.', ':' and quotes";
        return -1;
    }

    for (i = 0; i < tokens->count; i++) {
        if (strcmp(tokens->lines[i].identity.name, name) == 0) {
            *why = "the name is given twice";
            return -1;
        }
    }

    strcpy(line->identity.name, name);
    line->identity.role = auth_role(role);

    if (line->identity.role == AUTH_NOBODY) {
        *why = "the role must be viewer, operator or admin";
        return -1;
    }

    if (tokens_hash(line, hash, why) != 0) {
        return -1;
    }

    while ((more = strtok_r(NULL, " \t\r", &save)) != NULL) {

        if (strncmp(more, "upstreams=", 10) == 0
            && !line->identity.limited
            && auth_patterns(&line->identity, more + 10) == 0)
        {
            continue;
        }

        if (strncmp(more, "expires=", 8) == 0 && line->expires_ms == 0
            && tokens_expires(line, more + 8) == 0)
        {
            continue;
        }

        *why = "after the hash there may be upstreams=PATTERN,... (at most "
               "16) and expires=2027-01-31 or 2027-01-31T10:00:00Z";
        return -1;
    }

    tokens->count++;

    return 0;
}


static int
tokens_hash(auth_token_t *line, const char *text, const char **why)
{
    int       n;
    char      kind[4];
    size_t    i;
    unsigned  m, t, p, byte;

    if (strncmp(text, "sha256:", 7) == 0) {
        text += 7;

        if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64) {
            *why = "sha256: must be followed by 64 digits of 0-9a-f";
            return -1;
        }

        for (i = 0; i < 32; i++) {
            sscanf(text + 2 * i, "%2x", &byte);
            line->sha256[i] = (unsigned char) byte;
        }

        return 0;
    }

    n = 0;

    if (sscanf(text, "$argon2%2[id]$v=%*u$m=%u,t=%u,p=%u$%n", kind, &m, &t,
               &p, &n) != 4
        || n == 0 || strlen(text) >= sizeof(line->hash))
    {
        *why = "the hash must be sha256:HEX or $argon2id$v=19$...";
        return -1;
    }

    if (m > TOKENS_ARGON2_M || t > TOKENS_ARGON2_T || p > TOKENS_ARGON2_P) {
        *why = "the argon2 hash asks for more than m=262144, t=16 or p=8";
        return -1;
    }

    line->argon2 = true;
    strcpy(line->hash, text);

    return 0;
}


/* A day ends with it. */
static int
tokens_expires(auth_token_t *line, const char *text)
{
    time_t      when;
    struct tm   tm;
    const char  *end;

    memset(&tm, 0, sizeof(tm));

    end = strptime(text, "%Y-%m-%d", &tm);

    if (end == NULL) {
        return -1;
    }

    if (*end == '\0') {
        tm.tm_hour = 23;
        tm.tm_min = 59;
        tm.tm_sec = 59;

    } else {
        end = strptime(end, "T%H:%M:%SZ", &tm);

        if (end == NULL || *end != '\0') {
            return -1;
        }
    }

    when = timegm(&tm);

    if (when <= 0) {
        return -1;
    }

    line->expires_ms = (int64_t) when * 1000;

    return 0;
}
