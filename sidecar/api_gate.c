/*
 * Before a handler runs: who asks, whether the route and the upstream are
 * for them, and for a change: once per Idempotency-Key, and with a line in
 * the log that says who did what.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>
#include <openssl/evp.h>

#include "api_internal.h"
#include "core/text.h"
#include "lib/http_gate.h"

#define GATE_DAY_MS      (24 * 60 * 60 * 1000)
#define GATE_PENDING_MS  60000     /* a handler that never answers */
#define GATE_KEY_MAX     128
#define GATE_DIGEST_LEN  65        /* hexadecimal, with NUL */
#define GATE_KEPT_MAX    (1024 * 1024)

/* A request on its way to the handler, and from there to the answer. */
typedef struct {
    api_t            *api;
    http_held_t      *held;        /* while somebody is asked */
    http_peer_t       peer;
    auth_identity_t   who;
    const char       *method;
    char              path[200];
    char              upstream[SPEC_NAME_LEN];   /* "": none is named */
    char              said[ROLLOUT_ACTOR_LEN];   /* the body's actor */
    char              claim[GATE_DIGEST_LEN];    /* "": no key was given */
    char              digest[GATE_DIGEST_LEN];   /* of the body */
} gate_t;


static void gate_late(void *arg, const auth_result_t *result);
static void gate_known(gate_t *gate, http_exchange_t *exchange,
    const auth_result_t *result);
static bool gate_permits(gate_t *gate, http_exchange_t *exchange);
static void gate_change(gate_t *gate, http_exchange_t *exchange);
static bool gate_key(gate_t *gate, http_exchange_t *exchange,
    const char *key);
static void gate_claimed(void *arg, store_status_t status, const char *text);
static void gate_replay(gate_t *gate, http_exchange_t *exchange,
    const char *text);
static void gate_run(gate_t *gate, http_exchange_t *exchange);
static void gate_answered(void *arg, struct evhttp_request *request,
    int status, const char *type, const char *text, size_t len);
static void gate_keep(gate_t *gate, struct evhttp_request *request,
    int status, const char *type, const char *text, size_t len);
static void gate_audit(const gate_t *gate, int status, const char *what);
static void gate_digest(char digest[GATE_DIGEST_LEN], const char *text,
    size_t len);
static const char *gate_header(const http_exchange_t *exchange,
    const char *name);


void
api_gate(void *arg, http_exchange_t *exchange)
{
    bool             proxied;
    api_t           *api = arg;
    gate_t          *gate;
    auth_role_t      needed;
    auth_result_t    result;

    needed = auth_needed(api->auth, exchange->route->role);

    if (needed == AUTH_OPEN) {
        http_run(exchange);
        return;
    }

    gate = calloc(1, sizeof(*gate));
    if (gate == NULL) {
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        return;
    }

    gate->api = api;
    gate->method = http_method(exchange->request);
    text_copy(gate->path, sizeof(gate->path),
              evhttp_uri_get_path(evhttp_request_get_evhttp_uri(
                                      exchange->request)));
    http_peer(exchange->request, &gate->peer);

    proxied = gate_header(exchange, "X-Forwarded-For") != NULL
              || gate_header(exchange, "Forwarded") != NULL
              || gate_header(exchange, "Via") != NULL;

    if (auth_check(api->auth, &gate->peer,
                   gate_header(exchange, "Authorization"), proxied, &result,
                   gate_late, gate))
    {
        gate_known(gate, exchange, &result);
        return;
    }

    gate->held = http_hold(exchange);
}


static void
gate_late(void *arg, const auth_result_t *result)
{
    gate_t           *gate = arg;
    http_exchange_t   exchange;

    if (gate->held == NULL || !http_unhold(gate->held, &exchange)) {
        free(gate);
        return;
    }

    gate_known(gate, &exchange, result);
}


static void
gate_known(gate_t *gate, http_exchange_t *exchange,
    const auth_result_t *result)
{
    struct evkeyvalq  *headers;

    if (result->status != 200) {
        headers = evhttp_request_get_output_headers(exchange->request);

        if (result->status == 401) {
            evhttp_add_header(headers, "WWW-Authenticate", result->invalid
                              ? "Bearer realm=\"canaryd\", "
                                "error=\"invalid_token\""
                              : "Bearer realm=\"canaryd\"");

        } else if (result->status == 429) {
            evhttp_add_header(headers, "Retry-After", "60");
        }

        http_answer_problem(exchange->request, result->status, NULL,
                            result->detail, NULL);
        free(gate);
        return;
    }

    gate->who = result->identity;

    if (!gate_permits(gate, exchange)) {
        free(gate);
        return;
    }

    if (strcmp(gate->method, "GET") != 0 && strcmp(gate->method, "HEAD") != 0)
    {
        gate_change(gate, exchange);
        return;
    }

    exchange->who = &gate->who;
    http_run(exchange);
    free(gate);
}


/* Sets gate->upstream; false: it is answered. */
static bool
gate_permits(gate_t *gate, http_exchange_t *exchange)
{
    char          detail[API_DETAIL_LEN];
    cJSON        *body;
    auth_role_t   needed;
    const char   *text;

    needed = auth_needed(gate->api->auth, exchange->route->role);

    if (needed == AUTH_NOBODY || gate->who.role < needed) {
        text_format(detail, sizeof(detail), "this takes the role %s, and %s "
                    "has %s", auth_role_name(needed),
                    gate->who.name[0] != '\0' ? gate->who.name
                                              : "who gives no token",
                    auth_role_name(gate->who.role));
        goto refused;
    }

    switch (exchange->route->scope) {

    case API_ROLLOUT:
        if (release_upstream(exchange->params[0], gate->upstream) != 0) {
            gate->upstream[0] = '\0';
        }
        break;

    case API_UPSTREAM:
        text_copy(gate->upstream, sizeof(gate->upstream),
                  exchange->params[0]);
        break;

    case API_BODY:
        if (!http_body(exchange)) {
            return false;
        }

        body = api_json(exchange);
        text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body,
                                                               "upstream"));
        if (text != NULL && store_name_valid(text)) {
            text_copy(gate->upstream, sizeof(gate->upstream), text);
        }

        cJSON_Delete(body);
        break;

    case API_WHOLE:
        if (gate->who.limited) {
            text_format(detail, sizeof(detail), "this is about all upstreams,"
                        " and %s is limited to some", gate->who.name);
            goto refused;
        }
        break;

    default:
        break;
    }

    /* Without one there is none to protect: the handler says what is wrong
     * with the name. */
    if (gate->upstream[0] != '\0' && !auth_may(&gate->who, gate->upstream)) {
        text_format(detail, sizeof(detail), "%s is limited to other upstreams"
                    " than %s", gate->who.name, gate->upstream);
        goto refused;
    }

    return true;

refused:

    gate_audit(gate, 403, "refused");
    http_answer_problem(exchange->request, 403, NULL, detail, NULL);

    return false;
}


static void
gate_change(gate_t *gate, http_exchange_t *exchange)
{
    char         pending[GATE_DIGEST_LEN + 32];
    cJSON       *body;
    const char  *key, *said;

    if (!http_body(exchange)) {
        free(gate);
        return;
    }

    body = api_json(exchange);
    said = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body,
                                                                 "actor"));
    text_copy(gate->said, sizeof(gate->said), said);
    cJSON_Delete(body);

    key = gate_header(exchange, "Idempotency-Key");

    if (key == NULL) {
        gate_run(gate, exchange);
        return;
    }

    if (!gate_key(gate, exchange, key)) {
        free(gate);
        return;
    }

    gate->held = http_hold(exchange);
    if (gate->held == NULL) {
        free(gate);
        return;
    }

    text_format(pending, sizeof(pending), "{\"body\":\"%s\"}", gate->digest);
    store_claim(gate->api->store, gate->upstream, gate->claim, pending,
                GATE_PENDING_MS, gate_claimed, gate);
}


/* The key is everybody's own, and of one path. */
static bool
gate_key(gate_t *gate, http_exchange_t *exchange, const char *key)
{
    char    text[AUTH_NAME_LEN + 200 + GATE_KEY_MAX + 32];
    size_t  len;

    len = strlen(key);

    if (len == 0 || len > GATE_KEY_MAX || !text_is_clean(key)) {
        http_answer_problem(exchange->request, 400, "Idempotency-Key",
                            "must be 1 to 128 characters", NULL);
        return false;
    }

    text_format(text, sizeof(text), "%s %s %s %s", gate->who.name,
                gate->method, gate->path, key);
    gate_digest(gate->claim, text, strlen(text));
    gate_digest(gate->digest, exchange->body, exchange->body_len);

    return true;
}


static void
gate_claimed(void *arg, store_status_t status, const char *text)
{
    gate_t           *gate = arg;
    http_exchange_t   exchange;

    if (!http_unhold(gate->held, &exchange)) {
        if (status == STORE_OK && text[0] == '\0') {
            store_settle(gate->api->store, gate->upstream, gate->claim, NULL,
                         0);
        }

        free(gate);
        return;
    }

    if (status != STORE_OK) {
        http_answer_problem(exchange.request, 503, NULL, "Redis does not "
                            "answer, where the keys of requests are kept",
                            NULL);
        free(gate);
        return;
    }

    if (text[0] == '\0') {
        gate_run(gate, &exchange);
        return;
    }

    gate_replay(gate, &exchange, text);
    free(gate);
}


static void
gate_replay(gate_t *gate, http_exchange_t *exchange, const char *text)
{
    cJSON              *kept;
    const char         *digest, *type, *location, *answer;
    const cJSON        *status;
    struct evkeyvalq   *headers;

    kept = cJSON_Parse(text);
    digest = cJSON_GetStringValue(cJSON_GetObjectItem(kept, "body"));
    type = cJSON_GetStringValue(cJSON_GetObjectItem(kept, "type"));
    answer = cJSON_GetStringValue(cJSON_GetObjectItem(kept, "text"));
    location = cJSON_GetStringValue(cJSON_GetObjectItem(kept, "location"));
    status = cJSON_GetObjectItem(kept, "status");

    if (digest == NULL || strcmp(digest, gate->digest) != 0) {
        http_answer_problem(exchange->request, 422, "Idempotency-Key",
                            "was used with another body", NULL);

    } else if (!cJSON_IsNumber(status) || type == NULL || answer == NULL) {
        http_answer_problem(exchange->request, 409, "Idempotency-Key",
                            "its first request is being worked on", NULL);

    } else {
        headers = evhttp_request_get_output_headers(exchange->request);
        evhttp_add_header(headers, "Idempotency-Replayed", "true");

        if (location != NULL) {
            evhttp_add_header(headers, "Location", location);
        }

        gate_audit(gate, status->valueint, "repeated");
        http_answer_text(exchange->request, status->valueint, type, answer,
                         strlen(answer));
    }

    cJSON_Delete(kept);
}


/* The answer frees the gate. */
static void
gate_run(gate_t *gate, http_exchange_t *exchange)
{
    auth_identity_t  who;

    who = gate->who;

    if (!http_tap(exchange, gate_answered, gate)) {
        http_answer_problem(exchange->request, 503, NULL, "out of memory",
                            NULL);
        free(gate);
        return;
    }

    exchange->who = &who;
    http_run(exchange);
}


static void
gate_answered(void *arg, struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len)
{
    gate_t  *gate = arg;

    gate_audit(gate, status, status == 0 ? "unanswered" : status < 300
                             ? "done" : "failed");

    if (gate->claim[0] != '\0' && status != 0) {
        gate_keep(gate, request, status, type, text, len);
    }

    free(gate);
}


/* What was not done may be tried again under the same key. */
static void
gate_keep(gate_t *gate, struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len)
{
    char        *print;
    cJSON       *kept;
    const char  *location;

    print = NULL;

    if (status < 300 && len <= GATE_KEPT_MAX) {
        location = evhttp_find_header(
                       evhttp_request_get_output_headers(request),
                       "Location");

        kept = cJSON_CreateObject();
        cJSON_AddStringToObject(kept, "body", gate->digest);
        cJSON_AddNumberToObject(kept, "status", status);
        cJSON_AddStringToObject(kept, "type", type);
        cJSON_AddStringToObject(kept, "text", text);

        if (location != NULL) {
            cJSON_AddStringToObject(kept, "location", location);
        }

        print = cJSON_PrintUnformatted(kept);
        cJSON_Delete(kept);
    }

    store_settle(gate->api->store, gate->upstream, gate->claim, print,
                 GATE_DAY_MS);
    cJSON_free(print);
}


static void
gate_audit(const gate_t *gate, int status, const char *what)
{
    log_info(gate->api->log, "audit", LOG_S("outcome", what),
             LOG_S("actor", gate->who.name[0] != '\0' ? gate->who.name
                            : gate->said[0] != '\0' ? gate->said : "api"),
             LOG_S("on_behalf_of", gate->who.name[0] != '\0' ? gate->said
                                                             : ""),
             LOG_S("role", auth_role_name(gate->who.role)),
             LOG_S("client", gate->peer.text),
             LOG_S("method", gate->method), LOG_S("path", gate->path),
             LOG_S("upstream", gate->upstream), LOG_I("status", status));
}


static void
gate_digest(char digest[GATE_DIGEST_LEN], const char *text, size_t len)
{
    unsigned       i;
    unsigned char  hash[32];

    if (EVP_Digest(text, len, hash, NULL, EVP_sha256(), NULL) != 1) {
        abort();
    }

    for (i = 0; i < sizeof(hash); i++) {
        text_format(digest + 2 * i, 3, "%02x", hash[i]);
    }
}


static const char *
gate_header(const http_exchange_t *exchange, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(
                                  exchange->request), name);
}
