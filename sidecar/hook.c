/*
 * A hook: somebody is told, or asked.  The same run, also of another leader,
 * has the same Idempotency-Key: it is sent at least once.
 */

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/text.h"
#include "lib/sign.h"
#include "runner_internal.h"


static bool
hook_asks(rollout_gate_t gate)
{
    return gate == ROLLOUT_GATE_CONFIRM_START
           || gate == ROLLOUT_GATE_CONFIRM_STEP
           || gate == ROLLOUT_GATE_CONFIRM_PROMOTION
           || gate == ROLLOUT_GATE_ROLLBACK_CHECK;
}


static void
hook_answer(void *arg, const fetch_result_t *answer)
{
    char                 detail[ROLLOUT_REASON_LEN];
    run_t               *run;
    cJSON               *line;
    run_job_t           *job = arg;
    rollout_result_t     result;
    const gates_hook_t  *hook;

    run = job->run;
    hook = &run->release.spec.gates->hooks[job->index];

    if (hook->secret[0] != '\0'
        && secrets_get(run->runner->secrets, hook->secret) == NULL)
    {
        /* It was not sent, see hook_start(). */
        result = ROLLOUT_GATE_FAILED;
        text_format(detail, sizeof(detail), "%s: this canaryd has no secret "
                    "%s", hook->url, hook->secret);

    } else if (fetch_ok(answer)) {
        result = ROLLOUT_GATE_PASSED;
        detail[0] = '\0';

    } else {
        /* A question that is not answered is not a no. */
        result = hook_asks(run->gate) && answer->status != 403
                 ? ROLLOUT_GATE_HOLD : ROLLOUT_GATE_FAILED;

        if (answer->status == 0) {
            text_format(detail, sizeof(detail), "%s: %s", hook->url,
                        answer->error);

        } else {
            text_format(detail, sizeof(detail), "%s answered with status "
                        "%ld", hook->url, answer->status);
        }
    }

    secrets_redact(run->runner->secrets, detail);
    line = run_line(run, hook->url, result, answer);

    if (line != NULL) {
        cJSON_AddStringToObject(line, "detail", detail);
    }

    run_judge(run, result, detail);
    run_job_done(job);
}


static char *
hook_body(const run_t *run, const char *name, const char *key)
{
    char              *text;
    cJSON             *json;
    const rollout_t   *state = &run->release.state;
    rollout_routing_t  routing;

    const rollout_spec_t  *spec = &run->release.spec;

    rollout_routing(spec, state, &routing);
    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "hook", name);
    cJSON_AddStringToObject(json, "key", key);
    cJSON_AddStringToObject(json, "rollout", run->release.id);
    cJSON_AddStringToObject(json, "upstream", spec->upstream);
    cJSON_AddStringToObject(json, "canary", spec->canary);
    cJSON_AddStringToObject(json, "stable", run->release.stable);
    cJSON_AddStringToObject(json, "version", spec->version);
    cJSON_AddStringToObject(json, "environment", spec->environment);
    cJSON_AddStringToObject(json, "commit", spec->commit);
    cJSON_AddStringToObject(json, "build", spec->build);
    cJSON_AddStringToObject(json, "ticket", spec->ticket);
    cJSON_AddStringToObject(json, "state", rollout_state_name(state->state));
    cJSON_AddNumberToObject(json, "step", state->step);
    cJSON_AddNumberToObject(json, "steps", spec->step_count);
    cJSON_AddNumberToObject(json, "weight", routing.canary_weight / 100.0);

    if (rollout_target(spec, state) != NULL) {
        cJSON_AddStringToObject(json, "target", rollout_target(spec, state));
    }

    if (run->gate == GATES_ON_EVENT) {
        cJSON_AddStringToObject(json, "event", run->type);
    }

    cJSON_AddStringToObject(json, "reason", state->reason);
    cJSON_AddStringToObject(json, "actor", state->actor);

    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    return text;
}


void
hook_start(run_job_t *job)
{
    char                 key[160], headers[4][192], hex[SIGN_LEN], *body;
    run_t               *run = job->run;
    int64_t              seconds;
    const char          *name, *secret, *list[5];
    fetch_request_t      request;
    const gates_hook_t  *hook;

    hook = &run->release.spec.gates->hooks[job->index];
    name = run->gate == GATES_ON_EVENT ? "event"
                                       : rollout_gate_name(run->gate);
    text_format(key, sizeof(key), "%s-%u", run->key, job->index);
    body = hook_body(run, name, key);
    seconds = clock_wall_ms() / 1000;

    text_format(headers[0], sizeof(headers[0]), "Idempotency-Key: %s", key);
    text_format(headers[1], sizeof(headers[1]), "X-Canary-Hook: %s", name);
    text_format(headers[2], sizeof(headers[2]), "X-Canary-Timestamp: %lld",
                (long long) seconds);
    list[0] = headers[0];
    list[1] = headers[1];
    list[2] = headers[2];
    list[3] = NULL;
    list[4] = NULL;

    secret = secrets_get(run->runner->secrets, hook->secret);

    if (secret != NULL) {
        sign_body(secret, seconds, body, hex);
        text_format(headers[3], sizeof(headers[3]),
                    "X-Canary-Signature: sha256=%s", hex);
        list[3] = headers[3];
    }

    /* Unsigned it would be refused, or worse, trusted. */
    memset(&request, 0, sizeof(fetch_request_t));
    request.url = hook->secret[0] != '\0' && secret == NULL ? ""
                                                            : hook->url;
    request.headers = list;
    request.body = body;
    request.timeout_ms = hook->timeout_ms;
    request.max_response = RUNNER_MAX_ANSWER;
    request.retries = hook->retries;
    request.backoff_ms = RUNNER_BACKOFF_MS;
    job->call = fetch_start(run->runner->fetch, &request, hook_answer, job);

    free(body);
}
