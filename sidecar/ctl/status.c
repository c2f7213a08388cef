/* status and list: what there is. */

#include "ctl.h"

#include <string.h>

static int status_one(const ctl_args_t *args);
static int status_all(const ctl_args_t *args);
static int status_rollout(const ctl_args_t *args, const char *id);


int
ctl_status(const ctl_args_t *args, const char *command)
{
    return args->count > 0 || args->upstream != NULL ? status_one(args)
                                                     : status_all(args);
}


int
ctl_list(const ctl_args_t *args, const char *command)
{
    int           rc, n;
    char          path[1200], upstream[512], state[512];
    ctl_reply_t   reply;

    if (ctl_escape(args->upstream ? args->upstream : "", upstream,
                   sizeof(upstream)) == NULL
        || ctl_escape(args->state ? args->state : "", state, sizeof(state))
           == NULL)
    {
        ctl_error("--upstream or --state is too long");
        return CTL_USAGE;
    }

    n = snprintf(path, sizeof(path), "/v1/rollouts?limit=%ld",
                 args->limit ? args->limit : 20);

    if (upstream[0] != '\0') {
        n += snprintf(path + n, sizeof(path) - (size_t) n, "&upstream=%s",
                      upstream);
    }

    if (state[0] != '\0') {
        snprintf(path + n, sizeof(path) - (size_t) n, "&state=%s", state);
    }

    rc = ctl_ask(args, "GET", path, NULL, &reply);

    if (rc == 0 && !args->json) {
        print_list(stdout, cJSON_GetObjectItemCaseSensitive(reply.json,
                                                            "rollouts"));
    }

    ctl_reply_free(&reply);
    return rc;
}


static int
status_one(const ctl_args_t *args)
{
    int           rc;
    char          path[640];
    ctl_reply_t   reply;

    rc = ctl_rollout_path(args, "", path, sizeof(path));
    if (rc) {
        return rc;
    }

    rc = ctl_ask(args, "GET", path, NULL, &reply);

    if (rc) {
        goto done;
    }

    if (!args->json) {
        print_rollout(stdout, reply.json);
    }

    rc = ctl_outcome(reply.json);

done:

    ctl_reply_free(&reply);
    return rc;
}


/* Every upstream with its latest rollout. */
static int
status_all(const ctl_args_t *args)
{
    int           rc;
    char          id[96];
    bool          first;
    ctl_reply_t   reply;
    const cJSON  *list, *upstream;

    rc = ctl_ask(args, "GET", "/v1/upstreams", NULL, &reply);

    if (rc || args->json) {
        goto done;
    }

    list = cJSON_GetObjectItemCaseSensitive(reply.json, "upstreams");

    if (cJSON_GetArraySize(list) == 0) {
        printf("no upstreams yet: is there a canary upstream in nginx.conf, "
               "and does canaryd reach nginx?\n");
    }

    first = true;

    cJSON_ArrayForEach(upstream, list) {

        if (!first) {
            putchar('\n');
        }

        first = false;
        print_string(upstream, "rollout", "", id, sizeof(id));

        if (id[0] == '\0') {
            print_upstream(stdout, upstream);

        } else if (status_rollout(args, id)) {
            rc = CTL_FAILED;
        }
    }

done:

    ctl_reply_free(&reply);
    return rc;
}


static int
status_rollout(const ctl_args_t *args, const char *id)
{
    int           rc;
    char          path[640], name[512];
    ctl_reply_t   reply;

    if (ctl_escape(id, name, sizeof(name)) == NULL) {
        return CTL_FAILED;
    }

    snprintf(path, sizeof(path), "/v1/rollouts/%s", name);
    rc = ctl_call(args, "GET", path, NULL, &reply);

    if (rc) {
        ctl_error("%s: %s", id, reply.error);

    } else {
        print_rollout(stdout, reply.json);
    }

    ctl_reply_free(&reply);
    return rc;
}
