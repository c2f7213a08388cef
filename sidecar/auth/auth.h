/*
 * Who asks: bearer tokens from a file, JWTs, and the peer of a unix socket.
 * Where nothing is configured everybody is an operator (root and canaryd's
 * own user by a unix socket: admin), as only this machine can connect then.
 */

#ifndef AUTH_H
#define AUTH_H

#include <event2/event.h>

#include "config.h"
#include "lib/http_gate.h"
#include "lib/log.h"

typedef struct auth_s  auth_t;

typedef struct {
    int              status;       /* 200, 401, 429 or 503 */
    const char      *detail;       /* static; for the client */
    bool             invalid;      /* a token was given and is none */
    auth_identity_t  identity;
} auth_result_t;

typedef void (*auth_done_t)(void *arg, const auth_result_t *result);

/* base and log are borrowed, config is copied.  NULL: error (at least 512
 * bytes) names the key or the file. */
auth_t *auth_new(struct event_base *base, log_t *log,
    const auth_config_t *config, char *error, size_t size);
/* Checks under way end with 503: their callbacks are called from here. */
void auth_free(auth_t *auth);

/* All files once more; -1: nothing has changed. */
int auth_reload(auth_t *auth, const auth_config_t *config, char *error,
    size_t size);

/* Tokens that were none, since the start. */
uint64_t auth_failed(const auth_t *auth);

/* What `role` of a route comes to. */
auth_role_t auth_needed(const auth_t *auth, auth_role_t role);

/*
 * authorization is the header's value or NULL; proxied: the request says
 * that it came by a proxy.  True: *result is set; false: done is called
 * later, from the loop, with it.
 */
bool auth_check(auth_t *auth, const http_peer_t *peer,
    const char *authorization, bool proxied, auth_result_t *result,
    auth_done_t done, void *arg);

#endif
