#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/text.h"
#include "lib/timefmt.h"
#include "runner_internal.h"

#define RUNNER_MAX_RUNS      256
#define RUNNER_AT_ONCE       8
#define RUNNER_SERVERS_MS    2000
#define RUNNER_MAX_DETAIL    512   /* lines of a record */

static void run_servers(void *arg, const fetch_result_t *result);
static void run_next(run_t *run);
static void run_end(run_t *run);


runner_t *
runner_new(log_t *log, fetch_t *fetch, const secrets_t *secrets,
    const config_t *config)
{
    runner_t  *runner;

    runner = calloc(1, sizeof(runner_t));

    if (runner != NULL) {
        runner->log = log;
        runner->fetch = fetch;
        runner->secrets = secrets;
        runner->config = config;
    }

    return runner;
}


void
runner_watch(runner_t *runner, runner_ended_pt ended, void *arg)
{
    runner->ended = ended;
    runner->arg = arg;
}


uint64_t
runner_count(const runner_t *runner, rollout_result_t result)
{
    return runner->counts[result];
}


static void
run_free(run_t *run)
{
    unsigned   i;
    run_t    **link;

    for (link = &run->runner->runs; *link != run; link = &(*link)->next) {
        /* to it */
    }

    *link = run->next;
    run->runner->count--;
    fetch_cancel(run->asking);

    for (i = 0; i < run->job_count; i++) {
        fetch_cancel(run->jobs[i].call);
    }

    spec_free(&run->release.spec);
    cJSON_Delete(run->record);
    free(run->jobs);
    free(run);
}


void
runner_free(runner_t *runner)
{
    if (runner == NULL) {
        return;
    }

    while (runner->runs != NULL) {
        run_free(runner->runs);
    }

    free(runner);
}


/* --- a run --- */

static void
run_add(run_t *run, unsigned index, const char *server)
{
    run_job_t  *job;

    if (run->job_count < RUNNER_MAX_JOBS) {
        job = &run->jobs[run->job_count++];
        job->run = run;
        job->index = index;
        job->server = server;
    }
}


static void
run_smoke_jobs(run_t *run)
{
    unsigned             i, k;
    const char          *target;
    const gates_smoke_t *smoke;
    const spec_gates_t  *gates = run->release.spec.gates;

    target = run->release.spec.strategy == SPEC_ROLLING
             && run->release.spec.rolling == SPEC_BY_SERVERS
             ? rollout_target(&run->release.spec, &run->release.state)
             : NULL;

    for (i = 0; i < gates->smoke_count; i++) {
        smoke = &gates->smoke[i];

        if (target != NULL) {
            run_add(run, i, target);
            continue;
        }

        for (k = 0; k < smoke->server_count; k++) {
            run_add(run, i, smoke->servers[k]);
        }

        for (k = 0; smoke->server_count == 0 && k < run->server_count; k++) {
            run_add(run, i, run->servers[k]);
        }

        if (smoke->server_count == 0 && run->server_count == 0) {
            /* What was not tested has not passed. */
            run_judge(run, ROLLOUT_GATE_FAILED, "no server of the canary "
                      "group is known: it needs a `zone` in nginx.conf, or "
                      "the test needs `servers`");
        }
    }
}


static bool
run_asks_servers(const run_t *run)
{
    unsigned             i;
    const spec_gates_t  *gates = run->release.spec.gates;

    if (run->release.spec.strategy == SPEC_ROLLING
        && run->release.spec.rolling == SPEC_BY_SERVERS)
    {
        return false;
    }

    for (i = 0; i < gates->smoke_count; i++) {
        if (gates->smoke[i].server_count == 0) {
            return true;
        }
    }

    return false;
}


static void
run_begin(run_t *run)
{
    char                 url[CONFIG_TEXT_LEN + SPEC_NAME_LEN + 16];
    unsigned             i;
    fetch_request_t      request;
    const config_t      *config = run->runner->config;
    const spec_gates_t  *gates = run->release.spec.gates;

    run->jobs = calloc(RUNNER_MAX_JOBS, sizeof(run_job_t));
    if (run->jobs == NULL) {
        abort();
    }

    if (run->gate == ROLLOUT_GATE_SMOKE) {
        run->at_once = RUNNER_AT_ONCE;

        if (run_asks_servers(run)) {
            memset(&request, 0, sizeof(fetch_request_t));
            text_format(url, sizeof(url), "%supstreams/%s",
                        config->nginx_url, run->release.spec.upstream);
            request.url = url;
            request.socket_path = config->nginx_socket[0] != '\0'
                                  ? config->nginx_socket : NULL;
            request.timeout_ms = RUNNER_SERVERS_MS;
            request.max_response = 4 * RUNNER_MAX_ANSWER;
            run->asking = fetch_start(run->runner->fetch, &request,
                                      run_servers, run);
            return;
        }

        run_smoke_jobs(run);

    } else if (run->gate == ROLLOUT_GATE_CHECKS) {
        run->at_once = RUNNER_AT_ONCE;

        for (i = 0; i < gates->check_count; i++) {
            run_add(run, i, NULL);
        }

    } else {
        /* One after the other, in their order. */
        run->at_once = 1;

        for (i = 0; i < gates->hook_count; i++) {
            if (gates->hooks[i].on == run->gate) {
                run_add(run, i, NULL);
            }
        }
    }

    run_next(run);
}


/* groups.G.servers of nginx's answer */
static void
run_servers(void *arg, const fetch_result_t *result)
{
    cJSON        *json;
    run_t        *run = arg;
    const cJSON  *list, *server, *address, *down;

    run->asking = NULL;
    json = fetch_ok(result) ? cJSON_Parse(result->body) : NULL;
    list = cJSON_GetObjectItemCaseSensitive(json, "groups");
    list = cJSON_GetObjectItemCaseSensitive(list, run->release.spec.canary);
    list = cJSON_GetObjectItemCaseSensitive(list, "servers");

    cJSON_ArrayForEach(server, list) {
        address = cJSON_GetObjectItemCaseSensitive(server, "address");
        down = cJSON_GetObjectItemCaseSensitive(server, "down");

        if (cJSON_IsString(address) && !cJSON_IsTrue(down)
            && url_is_server(address->valuestring)
            && run->server_count < RUNNER_MAX_SERVERS)
        {
            text_copy(run->servers[run->server_count++], SERVER_LEN,
                      address->valuestring);
        }
    }

    cJSON_Delete(json);
    run_smoke_jobs(run);
    run_next(run);
}


static void
run_next(run_t *run)
{
    run_job_t  *job;

    while (run->open < run->at_once && run->begun < run->job_count
           && (run->at_once > 1 || run->result == ROLLOUT_GATE_PASSED))
    {
        job = &run->jobs[run->begun++];
        run->open++;

        if (run->gate == ROLLOUT_GATE_SMOKE) {
            smoke_start(job);

        } else if (run->gate == ROLLOUT_GATE_CHECKS) {
            check_start(job);

        } else {
            hook_start(job);
        }
    }

    if (run->open == 0) {
        run_end(run);
    }
}


void
run_job_done(run_job_t *job)
{
    run_t  *run = job->run;

    job->call = NULL;
    run->open--;
    run_next(run);
}


void
run_judge(run_t *run, rollout_result_t result, const char *detail)
{
    static const unsigned  rank[] = { 0, 1, 3, 2 };

    if (rank[result] > rank[run->result]) {
        run->result = result;
        text_copy(run->detail, sizeof(run->detail), detail);
        secrets_redact(run->runner->secrets, run->detail);
    }
}


cJSON *
run_line(run_t *run, const char *name, rollout_result_t result,
    const fetch_result_t *answer)
{
    char    error[ROLLOUT_REASON_LEN];
    cJSON  *line;

    line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "name", name);
    cJSON_AddStringToObject(line, "result", rollout_result_name(result));
    cJSON_AddNumberToObject(line, "ms", (double) answer->ms);
    cJSON_AddNumberToObject(line, "status", (double) answer->status);
    cJSON_AddNumberToObject(line, "tries", answer->tries);

    if (answer->error[0] != '\0') {
        text_copy(error, sizeof(error), answer->error);
        secrets_redact(run->runner->secrets, error);
        cJSON_AddStringToObject(line, "error", error);
    }

    if (cJSON_GetArraySize(run->results) < RUNNER_MAX_DETAIL) {
        cJSON_AddItemToArray(run->results, line);
        return line;
    }

    cJSON_Delete(line);

    return NULL;
}


static void
run_end(run_t *run)
{
    char       text[TIME_LEN];
    runner_t  *runner = run->runner;

    run->ended = true;
    runner->counts[run->result]++;

    if (run->result == ROLLOUT_GATE_PASSED && run->detail[0] == '\0'
        && run->job_count > 0)
    {
        text_format(run->detail, sizeof(run->detail), "%u of %u",
                    run->begun, run->job_count);
    }

    cJSON_AddStringToObject(run->record, "gate",
                            run->gate == GATES_ON_EVENT ? "event"
                            : rollout_gate_name(run->gate));
    cJSON_AddNumberToObject(run->record, "serial", (double) run->serial);
    cJSON_AddStringToObject(run->record, "begun",
                            time_format(run->begun_ms, text, sizeof(text)));
    cJSON_AddNumberToObject(run->record, "ms",
                            (double) (clock_wall_ms() - run->begun_ms));
    cJSON_AddStringToObject(run->record, "result",
                            rollout_result_name(run->result));
    cJSON_AddStringToObject(run->record, "detail", run->detail);

    log_info(runner->log, "gate", LOG_S("rollout", run->release.id),
             LOG_S("gate", run->gate == GATES_ON_EVENT ? "event"
                           : rollout_gate_name(run->gate)),
             LOG_S("result", rollout_result_name(run->result)),
             LOG_S("detail", run->detail));

    if (runner->ended != NULL && run->gate != GATES_ON_EVENT) {
        runner->ended(runner->arg, run->release.spec.upstream,
                      run->release.id, run->record);
    }

    if (run->done != NULL) {
        run->done(run->done_arg, run->number, run->record);
    }

    /* What the machine wants waits for the tick that asks. */
    if (run->serial == 0) {
        run_free(run);
    }
}


static run_t *
run_new(runner_t *runner, const release_t *release, rollout_gate_t gate,
    uint64_t serial)
{
    int            rc;
    cJSON         *spec;
    run_t         *run;
    spec_error_t   error;

    if (runner->count >= RUNNER_MAX_RUNS) {
        return NULL;
    }

    run = calloc(1, sizeof(run_t));
    if (run == NULL) {
        abort();
    }

    run->runner = runner;
    run->release = *release;
    spec = spec_print(&release->spec);
    rc = spec_parse(spec, &run->release.spec, &error);
    cJSON_Delete(spec);

    if (rc != 0) {
        free(run);
        return NULL;
    }

    run->gate = gate;
    run->serial = serial;
    run->result = ROLLOUT_GATE_PASSED;
    run->begun_ms = clock_wall_ms();
    run->record = cJSON_CreateObject();
    run->results = cJSON_AddArrayToObject(run->record, "results");
    text_format(run->key, sizeof(run->key), "%s-%llu", release->id,
                (unsigned long long) serial);
    run->next = runner->runs;
    runner->runs = run;
    runner->count++;

    return run;
}


/* --- for rollouts --- */

void
runner_want(runner_t *runner, const release_t *release,
    rollout_observation_t *seen)
{
    run_t                *run, *next;
    unsigned              i, count;
    rollout_want_t        wants[ROLLOUT_MAX_WANTS];
    rollout_gate_seen_t  *gate;

    count = rollout_wants(&release->spec, &release->state, wants);

    for (run = runner->runs; run != NULL; run = next) {
        next = run->next;

        if (run->serial == 0
            || strcmp(run->release.spec.upstream, release->spec.upstream)
               != 0)
        {
            continue;
        }

        for (i = 0; i < count; i++) {
            if (run->gate == wants[i].gate && run->serial == wants[i].serial
                && strcmp(run->release.id, release->id) == 0)
            {
                break;
            }
        }

        if (i == count) {
            run_free(run);
        }
    }

    for (i = 0; i < count; i++) {
        for (run = runner->runs; run != NULL; run = run->next) {
            if (run->gate == wants[i].gate && run->serial == wants[i].serial
                && strcmp(run->release.id, release->id) == 0)
            {
                break;
            }
        }

        if (run == NULL) {
            run = release->spec.gates != NULL
                  ? run_new(runner, release, wants[i].gate, wants[i].serial)
                  : NULL;

            if (run == NULL) {
                continue;              /* the next tick tries again */
            }

            run_begin(run);
        }

        if (run->ended) {
            gate = &seen->gates[seen->gate_count++];
            gate->gate = run->gate;
            gate->serial = run->serial;
            gate->result = run->result;
            text_copy(gate->detail, sizeof(gate->detail), run->detail);
        }
    }
}


void
runner_drop(runner_t *runner, const char *upstream)
{
    run_t  *run, *next;

    for (run = runner->runs; run != NULL; run = next) {
        next = run->next;

        if (run->serial != 0
            && strcmp(run->release.spec.upstream, upstream) == 0)
        {
            run_free(run);
        }
    }
}


bool
runner_smoke(runner_t *runner, const release_t *release, runner_done_pt done,
    void *arg, unsigned number)
{
    run_t  *run;

    if (release->spec.gates == NULL || release->spec.gates->smoke_count == 0)
    {
        return false;
    }

    run = run_new(runner, release, ROLLOUT_GATE_SMOKE, 0);
    if (run == NULL) {
        return false;
    }

    run->done = done;
    run->done_arg = arg;
    run->number = number;
    run_begin(run);

    return true;
}


void
runner_event(runner_t *runner, const release_t *release, const char *type,
    const char *detail, const char *key)
{
    run_t     *run;
    unsigned   i;

    for (i = 0; release->spec.gates != NULL
                && i < release->spec.gates->hook_count; i++)
    {
        if (release->spec.gates->hooks[i].on == GATES_ON_EVENT) {
            break;
        }
    }

    if (release->spec.gates == NULL || i == release->spec.gates->hook_count) {
        return;
    }

    run = run_new(runner, release, GATES_ON_EVENT, 0);
    if (run == NULL) {
        return;
    }

    text_copy(run->type, sizeof(run->type), type);
    text_copy(run->release.state.reason, sizeof(run->release.state.reason),
              detail);
    text_copy(run->key, sizeof(run->key), key);
    run_begin(run);
}


int
runner_check(const runner_t *runner, const rollout_spec_t *spec,
    spec_error_t *error)
{
    unsigned             i;
    const char          *name, *kind;
    const spec_gates_t  *gates = spec->gates;

    for (i = 0; gates != NULL && i < gates->hook_count + gates->check_count;
         i++)
    {
        kind = i < gates->hook_count ? "hooks" : "checks";
        name = i < gates->hook_count
               ? gates->hooks[i].secret
               : gates->checks[i - gates->hook_count].secret;

        if (name[0] != '\0' && secrets_get(runner->secrets, name) == NULL) {
            text_format(error->field, sizeof(error->field), "%s[%u].secret",
                        kind, i < gates->hook_count ? i
                              : i - gates->hook_count);
            text_copy(error->detail, sizeof(error->detail), "is none of the "
                      "secrets in this canaryd's configuration");
            return -1;
        }
    }

    return 0;
}
