/*
 * What others run for a rollout, as its spec asks for it: smoke tests, hooks
 * and checks.  Secrets are only named here; canaryd's configuration has them.
 */

#ifndef CORE_SPEC_GATES_H
#define CORE_SPEC_GATES_H

#include "rollout.h"
#include "spec.h"
#include "url.h"

#define GATES_MAX          16      /* of each kind */
#define GATES_MAX_HEADERS  8       /* of a smoke test */
#define GATES_MAX_SERVERS  16      /* named by a smoke test */
#define GATES_TEXT_LEN     256     /* with NUL */

#define GATES_ON_EVENT  ROLLOUT_GATE_COUNT   /* of a hook: every event */

typedef struct {
    char      name[SPEC_NAME_LEN];
    char      method[16];
    char      path[GATES_TEXT_LEN];
    unsigned  header_count;
    char      headers[GATES_MAX_HEADERS][GATES_TEXT_LEN];  /* "Name: value" */
    int       status;              /* 100..599 */
    char      contains[GATES_TEXT_LEN];    /* in the body; "": anything */
    int64_t   timeout_ms;
    int64_t   max_ms;              /* 0: as long as the timeout */
    unsigned  server_count;        /* 0: those that nginx names */
    char      servers[GATES_MAX_SERVERS][SERVER_LEN];
} gates_smoke_t;

typedef struct {
    rollout_gate_t  on;            /* or GATES_ON_EVENT */
    char            url[URL_LEN];
    int64_t         timeout_ms;
    unsigned        retries;
    char            secret[SPEC_NAME_LEN];     /* its name; "": not signed */
} gates_hook_t;

typedef enum {
    GATES_PROMETHEUS = 0,
    GATES_HTTP
} gates_check_kind_t;

typedef struct {
    char                name[SPEC_NAME_LEN];
    gates_check_kind_t  kind;
    char                url[URL_LEN];      /* of Prometheus: without /api */
    char                query[GATES_TEXT_LEN * 4];     /* PROMETHEUS */
    char                path[GATES_TEXT_LEN];  /* HTTP: "data.items.0.ok" */
    char                secret[SPEC_NAME_LEN]; /* bearer token; "": none */
    bool                has_min;
    bool                has_max;
    double              min;
    double              max;
    char                equals[GATES_TEXT_LEN];    /* HTTP; JSON text of a
                                                      scalar; "": not so */
    int64_t             timeout_ms;
} gates_check_t;

struct spec_gates_s {
    unsigned        smoke_count;
    gates_smoke_t  *smoke;         /* each owned; NULL where none */
    unsigned        hook_count;
    gates_hook_t   *hooks;
    unsigned        check_count;
    gates_check_t  *checks;
};

/* Reads "smoke", "hooks", "checks" and "checks_every" of the spec's object
 * into spec->gates, gate_set and checks_every_ms.  0, or -1 with the error;
 * spec_free() frees what was read. */
int spec_read_gates(const cJSON *json, rollout_spec_t *spec,
    spec_error_t *error);
/* Puts them into the spec's object; false: no memory. */
bool spec_put_gates(cJSON *json, const rollout_spec_t *spec);
void spec_gates_free(spec_gates_t *gates);

/* One smoke test with its defaults, also of a health check; prefix names it
 * in errors. */
int spec_read_smoke(const cJSON *json, const char *prefix,
    gates_smoke_t *smoke, spec_error_t *error);

/*
 * The value at a path ("data.items.0.ok") of a JSON document; NULL if it
 * leads nowhere.
 */
const cJSON *gates_at(const cJSON *json, const char *path);

/* Does the value satisfy the check?  PASSED, FAILED, or HOLD where it is no
 * number although one is wanted.  detail of ROLLOUT_REASON_LEN bytes. */
rollout_result_t gates_judge(const gates_check_t *check, const cJSON *value,
    char *detail);

/* What the answer of a check's server says; body need not be JSON.  As
 * above, and HOLD for everything that is no answer to the question. */
rollout_result_t gates_read(const gates_check_t *check, long status,
    const char *body, char *detail);

#endif
