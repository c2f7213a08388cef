/* What the runner shares with the kinds of gates. */

#ifndef RUNNER_INTERNAL_H
#define RUNNER_INTERNAL_H

#include "core/spec_gates.h"
#include "lib/http_client.h"
#include "runner.h"

#define RUNNER_MAX_JOBS      1024  /* of a run */
#define RUNNER_MAX_SERVERS   64
#define RUNNER_MAX_ANSWER    (1024 * 1024)
#define RUNNER_BACKOFF_MS    500

typedef struct run_s  run_t;

/* One request of a run. */
typedef struct {
    run_t         *run;
    unsigned       index;          /* of the spec's entry */
    const char    *server;         /* of a smoke test; run->servers has it */
    fetch_call_t  *call;           /* NULL: not begun, or ended */
} run_job_t;

struct run_s {
    runner_t          *runner;
    run_t             *next;
    release_t          release;    /* with a spec of its own */
    rollout_gate_t     gate;       /* GATES_ON_EVENT: an event */
    uint64_t           serial;     /* 0: on demand */
    char               key[RELEASE_ID_LEN + 64];   /* of idempotency */
    bool               wanted;
    bool               ended;
    rollout_result_t   result;
    char               detail[ROLLOUT_REASON_LEN];
    int64_t            begun_ms;   /* wall */
    char               type[32];   /* of an event */
    cJSON             *record;
    cJSON             *results;    /* in record */
    fetch_call_t      *asking;     /* nginx for the servers */

    unsigned           server_count;
    char               servers[RUNNER_MAX_SERVERS][SERVER_LEN];

    unsigned           job_count;
    unsigned           begun;      /* jobs */
    unsigned           open;       /* begun and not ended */
    unsigned           at_once;
    run_job_t         *jobs;

    runner_done_pt     done;
    void              *done_arg;
    unsigned           number;
};

struct runner_s {
    log_t             *log;
    fetch_t           *fetch;
    const secrets_t   *secrets;
    const config_t    *config;
    run_t             *runs;
    unsigned           count;
    uint64_t           counts[4];
    runner_ended_pt    ended;
    void              *arg;
};

/* Takes the worse of two results; the first detail of the worst is kept. */
void run_judge(run_t *run, rollout_result_t result, const char *detail);
/* A line of the record; the caller may add to it. */
cJSON *run_line(run_t *run, const char *name, rollout_result_t result,
    const fetch_result_t *answer);
/* A job has been judged. */
void run_job_done(run_job_t *job);

/* Each begins a job, and judges its answer. */
void smoke_start(run_job_t *job);
void hook_start(run_job_t *job);
void check_start(run_job_t *job);

#endif
