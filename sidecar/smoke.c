/* A smoke test: one request to one server of the canary group. */

#include <string.h>

#include "core/text.h"
#include "runner_internal.h"


static void
smoke_answer(void *arg, const fetch_result_t *answer)
{
    char                  detail[ROLLOUT_REASON_LEN];
    cJSON                *line;
    run_job_t            *job = arg;
    rollout_result_t      result;
    const gates_smoke_t  *smoke;

    smoke = &job->run->release.spec.gates->smoke[job->index];
    result = ROLLOUT_GATE_FAILED;

    if (answer->status == 0) {
        text_format(detail, sizeof(detail), "%s on %s: %s", smoke->name,
                    job->server, answer->error);

    } else if (answer->status != smoke->status) {
        text_format(detail, sizeof(detail), "%s on %s: status %ld, not %d",
                    smoke->name, job->server, answer->status, smoke->status);

    } else if (smoke->contains[0] != '\0'
               && memmem(answer->body, answer->body_len, smoke->contains,
                         strlen(smoke->contains)) == NULL)
    {
        text_format(detail, sizeof(detail), "%s on %s: the body does not "
                    "contain \"%s\"", smoke->name, job->server,
                    smoke->contains);

    } else if (smoke->max_ms > 0 && answer->ms > smoke->max_ms) {
        text_format(detail, sizeof(detail), "%s on %s: took %lld ms, more "
                    "than %lld", smoke->name, job->server,
                    (long long) answer->ms, (long long) smoke->max_ms);

    } else {
        result = ROLLOUT_GATE_PASSED;
        detail[0] = '\0';
    }

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
    bool                  local;
    char                  url[SERVER_LEN + GATES_TEXT_LEN + 16];
    unsigned              i;
    const char           *headers[GATES_MAX_HEADERS + 1];
    fetch_request_t       request;
    const gates_smoke_t  *smoke;

    smoke = &job->run->release.spec.gates->smoke[job->index];
    local = strncmp(job->server, "unix:", 5) == 0;

    for (i = 0; i < smoke->header_count; i++) {
        headers[i] = smoke->headers[i];
    }

    headers[i] = NULL;
    text_format(url, sizeof(url), "http://%s%s",
                local ? "localhost" : job->server, smoke->path);

    memset(&request, 0, sizeof(fetch_request_t));
    request.method = smoke->method;
    request.url = url;
    request.socket_path = local ? job->server + 5 : NULL;
    request.headers = headers;
    request.timeout_ms = smoke->timeout_ms;
    request.max_response = RUNNER_MAX_ANSWER;
    job->call = fetch_start(job->run->runner->fetch, &request, smoke_answer,
                            job);
}
