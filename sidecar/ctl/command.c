/* abort, pause, resume and promote. */

#include "ctl.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "lib/utf8.h"

#define COMMAND_ACTOR  64          /* both with NUL, as the API has it */
#define COMMAND_REASON 201

static cJSON *command_body(const ctl_args_t *args);
static int command_abort(const cJSON *rollout);
static void command_actor(char *actor, size_t size);


int
ctl_command(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640], tail[32], id[96], state[32], reason[300];
    cJSON        *body;
    ctl_reply_t   reply;

    if (args->reason != NULL && strlen(args->reason) >= COMMAND_REASON) {
        ctl_error("--reason: at most %d bytes", COMMAND_REASON - 1);
        return CTL_USAGE;
    }

    snprintf(tail, sizeof(tail), "/%s", command);
    rc = ctl_rollout_path(args, tail, path, sizeof(path));

    if (rc) {
        return rc;
    }

    body = command_body(args);
    if (body == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    rc = ctl_call(args, "POST", path, body, &reply);
    cJSON_Delete(body);

    if (rc) {
        ctl_error("%s", reply.error);
        goto done;
    }

    if (args->json) {
        printf("%s\n", reply.text);
        goto done;
    }

    print_string(reply.json, "id", "?", id, sizeof(id));
    print_string(reply.json, "state", "?", state, sizeof(state));
    print_string(reply.json, "reason", "", reason, sizeof(reason));
    printf("%s %s%s%s\n", id, state, reason[0] ? ": " : "", reason);

    if (strcmp(command, "abort") == 0) {
        rc = command_abort(reply.json);
    }

done:

    ctl_reply_free(&reply);
    return rc;
}


static cJSON *
command_body(const ctl_args_t *args)
{
    char    actor[COMMAND_ACTOR];
    cJSON  *body;

    body = cJSON_CreateObject();
    if (body == NULL) {
        return NULL;
    }

    command_actor(actor, sizeof(actor));

    if (cJSON_AddStringToObject(body, "actor", actor) == NULL
        || (args->reason != NULL
            && cJSON_AddStringToObject(body, "reason", args->reason) == NULL)
        || (args->revision != -1
            && cJSON_AddNumberToObject(body, "revision",
                                       (double) args->revision) == NULL))
    {
        cJSON_Delete(body);
        return NULL;
    }

    return body;
}


/* Has everybody confirmed? */
static int
command_abort(const cJSON *rollout)
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

    printf("%.0f of %.0f nodes confirmed that they serve stable, in "
           "%.1f ms\n", confirmed, nodes, ms);

    if (confirmed < nodes) {
        ctl_error("not all nodes have confirmed yet: see canaryctl status");
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
