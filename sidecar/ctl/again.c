/* retry and rollback: a rollout made of an earlier one. */

#include "ctl.h"

#include <string.h>


int
ctl_again(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640];
    cJSON        *body;
    ctl_reply_t   reply;

    if (strcmp(command, "retry") == 0) {
        rc = ctl_rollout_path(args, "/retry", path, sizeof(path));

    } else {
        rc = ctl_upstream_path(args, "/rollback", path, sizeof(path));
    }

    if (rc) {
        return rc;
    }

    body = ctl_words(args);
    if (body == NULL) {
        return CTL_USAGE;
    }

    if (args->version != NULL
        && cJSON_AddStringToObject(body, "version", args->version) == NULL)
    {
        ctl_error("out of memory");
        cJSON_Delete(body);
        return CTL_FAILED;
    }

    rc = ctl_call(args, "POST", path, body, &reply);
    cJSON_Delete(body);

    if (rc) {
        ctl_error("%s", reply.error);

    } else {
        rc = ctl_started(args, &reply);
    }

    ctl_reply_free(&reply);
    return rc;
}
