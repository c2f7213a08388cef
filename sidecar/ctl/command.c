/* abort, pause, resume, promote and approve. */

#include "ctl.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "lib/utf8.h"

#define COMMAND_ACTOR  64          /* both with NUL, as the API has it */
#define COMMAND_REASON 201

static int command_abort(const ctl_args_t *args, const cJSON *rollout);
static void command_actor(char *actor, size_t size);


int
ctl_command(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640], tail[32], id[96], state[32], reason[300];
    char         *end;
    cJSON        *body;
    ctl_reply_t   reply;

    snprintf(tail, sizeof(tail), "/%s", command);
    rc = ctl_rollout_path(args, tail, path, sizeof(path));

    if (rc) {
        return rc;
    }

    body = ctl_words(args);
    if (body == NULL) {
        return CTL_USAGE;
    }

    if ((args->revision != -1
         && cJSON_AddNumberToObject(body, "revision",
                                    (double) args->revision) == NULL)
        || (args->full && cJSON_AddTrueToObject(body, "full") == NULL))
    {
        cJSON_Delete(body);
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    rc = ctl_ask(args, "POST", path, body, &reply);
    cJSON_Delete(body);

    if (rc) {
        goto done;
    }

    if (!args->json) {
        print_string(reply.json, "id", "?", id, sizeof(id));
        print_string(reply.json, "state", "?", state, sizeof(state));
        print_string(reply.json, "reason", "", reason, sizeof(reason));
        printf("%s ", id);
        print_state(stdout, state, 0);
        printf("%s%s\n", reason[0] ? ": " : "", reason);
    }

    if (strcmp(command, "abort") == 0) {
        rc = command_abort(args, reply.json);
    }

    if (rc == CTL_OK && args->wait) {
        end = strrchr(path, '/');
        *end = '\0';
        rc = ctl_follow(args, path);

        /* Taken back is what was asked for. */
        if (strcmp(command, "abort") == 0 && rc == CTL_REVERTED) {
            rc = CTL_OK;
        }
    }

done:

    ctl_reply_free(&reply);
    return rc;
}


cJSON *
ctl_words(const ctl_args_t *args)
{
    char    actor[COMMAND_ACTOR];
    cJSON  *body;

    if (args->reason != NULL && strlen(args->reason) >= COMMAND_REASON) {
        ctl_error("--reason: at most %d bytes", COMMAND_REASON - 1);
        return NULL;
    }

    body = cJSON_CreateObject();
    command_actor(actor, sizeof(actor));

    if (cJSON_AddStringToObject(body, "actor", actor) == NULL
        || (args->reason != NULL
            && cJSON_AddStringToObject(body, "reason", args->reason) == NULL))
    {
        ctl_error("out of memory");
        cJSON_Delete(body);
        return NULL;
    }

    return body;
}


/* Has everybody confirmed? */
static int
command_abort(const ctl_args_t *args, const cJSON *rollout)
{
    double        nodes, confirmed, ms;
    const cJSON  *report;

    report = cJSON_GetObjectItemCaseSensitive(rollout, "abort");

    if (!cJSON_IsObject(report)) {
        return CTL_OK;
    }

    nodes = cJSON_GetNumberValue(
                cJSON_GetObjectItemCaseSensitive(report, "nodes"));
    confirmed = cJSON_GetNumberValue(
                    cJSON_GetObjectItemCaseSensitive(report, "confirmed"));
    ms = cJSON_GetNumberValue(
             cJSON_GetObjectItemCaseSensitive(report, "milliseconds"));

    if (!args->json) {
        printf("%.0f of %.0f nodes confirmed that they serve stable, in "
               "%.1f ms\n", confirmed, nodes, ms);
    }

    if (confirmed < nodes && !args->wait) {
        ctl_error("not all nodes have confirmed yet: canaryctl nodes says "
                  "which");
        return CTL_FAILED;
    }

    return CTL_OK;
}


/* user@host */
static void
command_actor(char *actor, size_t size)
{
    char            text[512], host[256];
    struct passwd  *user;

    if (gethostname(host, sizeof(host)) == -1) {
        host[0] = '\0';
    }

    host[sizeof(host) - 1] = '\0';
    user = getpwuid(geteuid());

    if (user != NULL) {
        snprintf(text, sizeof(text), "%.200s@%s", user->pw_name, host);

    } else {
        snprintf(text, sizeof(text), "%ld@%s", (long) geteuid(), host);
    }

    utf8_clean(text, strlen(text), actor, size);
}
