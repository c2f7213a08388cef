/* An external check: a number or a word that somebody else knows.  Whoever
 * does not answer neither reverts nor advances anything. */

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "core/text.h"
#include "runner_internal.h"


static void
check_answer(void *arg, const fetch_result_t *answer)
{
    char                  detail[ROLLOUT_REASON_LEN];
    cJSON                *line;
    run_job_t            *job = arg;
    rollout_result_t      result;
    const gates_check_t  *check;

    check = &job->run->release.spec.gates->checks[job->index];

    if (answer->status == 0) {
        result = ROLLOUT_GATE_HOLD;
        text_format(detail, sizeof(detail), "%s: %s", check->name,
                    answer->error);

    } else {
        result = gates_read(check, answer->status, answer->body, detail);
    }

    secrets_redact(job->run->runner->secrets, detail);
    line = run_line(job->run, check->name, result, answer);

    if (line != NULL) {
        cJSON_AddStringToObject(line, "detail", detail);
    }

    run_judge(job->run, result, detail);
    run_job_done(job);
}


void
check_start(run_job_t *job)
{
    char                  url[URL_LEN * 8], bearer[SECRET_LEN + 32];
    char                 *query;
    const char           *secret, *headers[2] = { NULL, NULL };
    fetch_request_t       request;
    const gates_check_t  *check;

    check = &job->run->release.spec.gates->checks[job->index];
    text_copy(url, sizeof(url), check->url);

    if (check->kind == GATES_PROMETHEUS) {
        query = evhttp_uriencode(check->query, -1, 0);
        if (query == NULL) {
            abort();
        }

        text_format(url, sizeof(url), "%s%sapi/v1/query?query=%s", check->url,
                    check->url[strlen(check->url) - 1] == '/' ? "" : "/",
                    query);
        free(query);
    }

    secret = secrets_get(job->run->runner->secrets, check->secret);

    if (secret != NULL) {
        text_format(bearer, sizeof(bearer), "Authorization: Bearer %s",
                    secret);
        headers[0] = bearer;
    }

    memset(&request, 0, sizeof(fetch_request_t));
    request.url = url;
    request.headers = headers;
    request.timeout_ms = check->timeout_ms;
    request.max_response = RUNNER_MAX_ANSWER;
    job->call = fetch_start(job->run->runner->fetch, &request, check_answer,
                            job);
    explicit_bzero(bearer, sizeof(bearer));
}
