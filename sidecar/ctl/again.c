/* retry and rollback: a rollout made of an earlier one. */

#include "ctl.h"

#include <string.h>


int
ctl_again(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640], name[512];
    cJSON        *body;
    const char   *upstream;
    ctl_reply_t   reply;

    if (strcmp(command, "retry") == 0) {
        rc = ctl_rollout_path(args, "/retry", path, sizeof(path));
        if (rc) {
            return rc;
        }

    } else {
        upstream = ctl_upstream(args, true, &rc);
        if (rc) {
            return rc;
        }

        if (ctl_escape(upstream, name, sizeof(name)) == NULL) {
            ctl_error("the name of the upstream is too long");
            return CTL_USAGE;
        }

        snprintf(path, sizeof(path), "/v1/upstreams/%s/rollback", name);
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
