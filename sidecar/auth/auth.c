#include "auth.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "clock.h"
#include "jwt.h"
#include "keys.h"
#include "lib/timefmt.h"
#include "limit.h"
#include "tokens.h"
#include "user.h"
#include "worker.h"

struct auth_s {
    log_t           *log;
    auth_config_t    config;
    auth_tokens_t   *tokens;       /* NULL: none are configured */
    auth_keys_t     *keys;         /* NULL: no JWTs are */
    auth_limit_t    *limit;
    auth_worker_t   *worker;
    unsigned         generation;   /* of the files */
    uint64_t         failed;
    unsigned char    key[32];      /* of the marks; of this process */
};

/* A token that the worker looks at. */
typedef struct {
    auth_t          *auth;
    auth_done_t      done;
    void            *arg;
    unsigned         generation;
    auth_token_t    *line;         /* valid in its generation only */
    http_peer_t      peer;
    unsigned char    mark[32];
} auth_job_t;

static int auth_load(auth_t *auth, const auth_config_t *config, char *error,
    size_t size);
static bool auth_owner(const http_peer_t *peer);
static void auth_local(auth_t *auth, const http_peer_t *peer,
    auth_result_t *result);
static bool auth_line(auth_t *auth, const http_peer_t *peer,
    const char *token, auth_result_t *result, auth_done_t done, void *arg);
static void auth_verified(void *arg, bool valid);
static void auth_dropped(void *arg);
static void auth_grant(auth_result_t *result, const auth_token_t *line);
static void auth_refuse(auth_t *auth, const http_peer_t *peer,
    const char *why, auth_result_t *result);
static void auth_missing(auth_result_t *result);
static void auth_mark(const auth_t *auth, const char *token,
    unsigned char mark[32]);


auth_t *
auth_new(struct event_base *base, log_t *log, const auth_config_t *config,
    char *error, size_t size)
{
    auth_t  *auth;

    auth = calloc(1, sizeof(*auth));

    if (auth == NULL || RAND_bytes(auth->key, sizeof(auth->key)) != 1) {
        snprintf(error, size, "auth: out of memory");
        free(auth);
        return NULL;
    }

    auth->log = log;
    auth->limit = auth_limit_new();
    auth->worker = auth_worker_new(base);

    if (auth->limit == NULL || auth->worker == NULL) {
        snprintf(error, size, "auth: cannot start a thread");
        auth_free(auth);
        return NULL;
    }

    if (auth_load(auth, config, error, size) != 0) {
        auth_free(auth);
        return NULL;
    }

    return auth;
}


void
auth_free(auth_t *auth)
{
    if (auth == NULL) {
        return;
    }

    auth_worker_free(auth->worker, auth_dropped);
    auth_limit_free(auth->limit);
    auth_tokens_free(auth->tokens);
    auth_keys_free(auth->keys);
    OPENSSL_cleanse(auth->key, sizeof(auth->key));
    free(auth);
}


int
auth_reload(auth_t *auth, const auth_config_t *config, char *error,
    size_t size)
{
    return auth_load(auth, config, error, size);
}


static int
auth_load(auth_t *auth, const auth_config_t *config, char *error, size_t size)
{
    auth_keys_t    *keys;
    auth_tokens_t  *tokens;

    tokens = NULL;
    keys = NULL;

    if (config->tokens[0] != '\0') {
        tokens = auth_tokens_load(config->tokens, error, size);
        if (tokens == NULL) {
            return -1;
        }
    }

    if (config->jwt.key_count > 0 || config->jwt.secret[0] != '\0') {
        keys = auth_keys_load(&config->jwt, error, size);
        if (keys == NULL) {
            auth_tokens_free(tokens);
            return -1;
        }
    }

    auth_tokens_free(auth->tokens);
    auth_keys_free(auth->keys);
    auth->tokens = tokens;
    auth->keys = keys;
    auth->config = *config;
    auth->generation++;

    if (auth_configured(config)) {
        log_info(auth->log, "who may is loaded",
                 LOG_I("tokens", tokens != NULL ? auth_tokens_count(tokens)
                                                : 0),
                 LOG_I("jwt_keys", keys != NULL ? keys->count : 0));
    }

    return 0;
}


uint64_t
auth_failed(const auth_t *auth)
{
    return auth->failed;
}


auth_role_t
auth_needed(const auth_t *auth, auth_role_t role)
{
    if (role != AUTH_WATCH) {
        return role;
    }

    return auth->config.metrics_open ? AUTH_OPEN : AUTH_VIEWER;
}


bool
auth_check(auth_t *auth, const http_peer_t *peer, const char *authorization,
    bool proxied, auth_result_t *result, auth_done_t done, void *arg)
{
    size_t       len;
    const char  *token, *why;

    memset(result, 0, sizeof(*result));
    result->status = 200;
    result->detail = "";

    if (!auth_configured(&auth->config)) {
        /* Without a name: nobody was asked for it. */
        result->identity.role = !proxied && auth_owner(peer)
                                ? AUTH_ADMIN : AUTH_OPERATOR;
        return true;
    }

    if (authorization == NULL) {
        if (peer->local && !proxied) {
            auth_local(auth, peer, result);

        } else {
            auth_missing(result);
        }

        return true;
    }

    if (strncasecmp(authorization, "Bearer ", 7) != 0) {
        auth_missing(result);
        result->detail = "the scheme of Authorization must be Bearer";
        return true;
    }

    token = authorization + 7;
    token += strspn(token, " ");
    len = strlen(token);

    if (len > AUTH_JWT_MAX || strpbrk(token, " \t") != NULL) {
        auth_refuse(auth, peer, "the token is malformed", result);
        return true;
    }

    if (!auth_jwt_is(token)) {
        return auth_line(auth, peer, token, result, done, arg);
    }

    why = auth->keys != NULL
          ? auth_jwt_check(&auth->config.jwt, auth->keys, token,
                           time_now_ms(), &result->identity)
          : "no keys for JWTs are configured";

    if (why != NULL) {
        auth_refuse(auth, peer, why, result);
    }

    return true;
}


/* Who could change canaryd itself anyway. */
static bool
auth_owner(const http_peer_t *peer)
{
    return peer->local && peer->known
           && (peer->uid == 0 || peer->uid == geteuid());
}


/* By the kernel's word. */
static void
auth_local(auth_t *auth, const http_peer_t *peer, auth_result_t *result)
{
    auth_identity_t  *who = &result->identity;

    if (!peer->known || auth->config.local == AUTH_NOBODY) {
        auth_missing(result);
        return;
    }

    who->role = auth_owner(peer) ? AUTH_ADMIN : auth->config.local;
    user_name(peer->uid, who->name, sizeof(who->name));
}


/* As auth_check(), of a token of the file. */
static bool
auth_line(auth_t *auth, const http_peer_t *peer, const char *token,
    auth_result_t *result, auth_done_t done, void *arg)
{
    auth_job_t     *job;
    auth_token_t   *line;
    unsigned char   mark[32];

    line = auth->tokens != NULL && strlen(token) < AUTH_TOKEN_MAX
           ? auth_tokens_find(auth->tokens, token) : NULL;

    if (line == NULL) {
        auth_refuse(auth, peer, "the token is not known", result);
        return true;
    }

    if (!line->argon2) {
        if (auth_token_sha256(line, token)) {
            auth_grant(result, line);

        } else {
            auth_refuse(auth, peer, "the token is not known", result);
        }

        return true;
    }

    auth_mark(auth, token, mark);

    if (line->seen && CRYPTO_memcmp(line->mark, mark, sizeof(mark)) == 0) {
        auth_grant(result, line);
        return true;
    }

    if (auth_limit_reached(auth->limit, peer->key, auth->config.failures,
                           clock_mono_ms()))
    {
        auth_refuse(auth, peer, "the token was not looked at", result);
        return true;
    }

    job = calloc(1, sizeof(*job));

    if (job != NULL) {
        job->auth = auth;
        job->done = done;
        job->arg = arg;
        job->generation = auth->generation;
        job->line = line;
        job->peer = *peer;
        memcpy(job->mark, mark, sizeof(mark));

        if (auth_worker_verify(auth->worker, line->hash, token,
                               auth_verified, job))
        {
            return false;
        }
    }

    free(job);
    result->status = 503;
    result->detail = "too many tokens wait to be verified: try again";

    return true;
}


static void
auth_verified(void *arg, bool valid)
{
    auth_t         *auth;
    auth_job_t     *job = arg;
    auth_result_t   result;

    auth = job->auth;
    memset(&result, 0, sizeof(result));

    if (job->generation != auth->generation) {
        result.status = 503;
        result.detail = "the tokens were just reloaded: try again";

    } else if (valid) {
        job->line->seen = true;
        memcpy(job->line->mark, job->mark, sizeof(job->mark));
        auth_grant(&result, job->line);

    } else {
        auth_refuse(auth, &job->peer, "the token is not known", &result);
    }

    job->done(job->arg, &result);
    free(job);
}


static void
auth_dropped(void *arg)
{
    auth_job_t     *job = arg;
    auth_result_t   result;

    memset(&result, 0, sizeof(result));
    result.status = 503;
    result.detail = "canaryd stops";
    job->done(job->arg, &result);
    free(job);
}


static void
auth_grant(auth_result_t *result, const auth_token_t *line)
{
    if (line->expires_ms != 0 && time_now_ms() > line->expires_ms) {
        memset(result, 0, sizeof(*result));
        result->status = 401;
        result->invalid = true;
        result->detail = "the token has expired";
        return;
    }

    result->status = 200;
    result->detail = "";
    result->identity = line->identity;
}


/* A token that is none: told, counted, and from the limit on no more than
 * that.  What is right is never refused for what others tried: an abort must
 * get through from an address that many share. */
static void
auth_refuse(auth_t *auth, const http_peer_t *peer, const char *why,
    auth_result_t *result)
{
    int      most = auth->config.failures;
    int64_t  now = clock_mono_ms();

    memset(&result->identity, 0, sizeof(result->identity));
    result->invalid = true;
    auth->failed++;

    if (auth_limit_reached(auth->limit, peer->key, most, now)) {
        result->status = 429;
        result->detail = "too many tokens that are none came from this "
                         "address: wait a minute";
        auth_limit_failed(auth->limit, peer->key, most, now);
        return;
    }

    result->status = 401;
    result->detail = why;

    log_warn(auth->log, "login failed", LOG_S("client", peer->text),
             LOG_S("why", why));

    if (auth_limit_failed(auth->limit, peer->key, most, now)) {
        log_warn(auth->log, "too many failed logins: more of this client "
                 "are refused unseen and not logged",
                 LOG_S("client", peer->text));
    }
}


static void
auth_missing(auth_result_t *result)
{
    memset(&result->identity, 0, sizeof(result->identity));
    result->status = 401;
    result->detail = "a token is needed: Authorization: Bearer TOKEN";
}


/* Of a token that argon2 found right, so that it need not be asked again:
 * of no use to who reads the memory without the key, nor after a restart. */
static void
auth_mark(const auth_t *auth, const char *token, unsigned char mark[32])
{
    unsigned  len;

    if (HMAC(EVP_sha256(), auth->key, sizeof(auth->key),
             (const unsigned char *) token, strlen(token), mark, &len)
        == NULL)
    {
        abort();
    }
}
