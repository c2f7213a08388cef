/* A smoke test: one request to one server of the canary group. */

#include "smoke.h"

#include <string.h>

#include "core/text.h"
#include "runner_internal.h"

#define SMOKE_MAX_ANSWER  (1024 * 1024)


fetch_call_t *
smoke_send(fetch_t *fetch, const gates_smoke_t *smoke, const char *server,
    fetch_done_pt done, void *arg)
{
    bool              local;
    char              url[SERVER_LEN + GATES_TEXT_LEN + 16];
    unsigned          i;
    const char       *headers[GATES_MAX_HEADERS + 1];
    fetch_request_t   request;

    local = strncmp(server, "unix:", 5) == 0;

    for (i = 0; i < smoke->header_count; i++) {
        headers[i] = smoke->headers[i];
    }

    headers[i] = NULL;
    text_format(url, sizeof(url), "http://%s%s", local ? "localhost" : server,
                smoke->path);

    memset(&request, 0, sizeof(fetch_request_t));
    request.method = smoke->method;
    request.url = url;
    request.socket_path = local ? server + 5 : NULL;
    request.headers = headers;
    request.timeout_ms = smoke->timeout_ms;
    request.max_response = SMOKE_MAX_ANSWER;

    return fetch_start(fetch, &request, done, arg);
}


bool
smoke_passes(const gates_smoke_t *smoke, const char *server,
    const fetch_result_t *answer, char *detail)
{
    detail[0] = '\0';

    if (answer->status == 0) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s on %s: %s", smoke->name,
                    server, answer->error);

    } else if (answer->status != smoke->status) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s on %s: status %ld, not "
                    "%d", smoke->name, server, answer->status, smoke->status);

    } else if (smoke->contains[0] != '\0'
               && memmem(answer->body, answer->body_len, smoke->contains,
                         strlen(smoke->contains)) == NULL)
    {
        text_format(detail, ROLLOUT_REASON_LEN, "%s on %s: the body does not "
                    "contain \"%s\"", smoke->name, server, smoke->contains);

    } else if (smoke->max_ms > 0 && answer->ms > smoke->max_ms) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s on %s: took %lld ms, "
                    "more than %lld", smoke->name, server,
                    (long long) answer->ms, (long long) smoke->max_ms);
    }

    return detail[0] == '\0';
}


static void
smoke_answer(void *arg, const fetch_result_t *answer)
{
    char                  detail[ROLLOUT_REASON_LEN];
    cJSON                *line;
    run_job_t            *job = arg;
    rollout_result_t      result;
    const gates_smoke_t  *smoke;

    smoke = &job->run->release.spec.gates->smoke[job->index];
    result = smoke_passes(smoke, job->server, answer, detail)
             ? ROLLOUT_GATE_PASSED : ROLLOUT_GATE_FAILED;
    line = run_line(job->run, smoke->name, result, answer);

    if (line != NULL) {
        cJSON_AddStringToObject(line, "server", job->server);
        cJSON_AddStringToObject(line, "detail", detail);
    }

    run_judge(job->run, result, detail);
    run_job_done(job);
}


void
smoke_start(run_job_t *job)
{
    job->call = smoke_send(job->run->runner->fetch,
                           &job->run->release.spec.gates->smoke[job->index],
                           job->server, smoke_answer, job);
}
