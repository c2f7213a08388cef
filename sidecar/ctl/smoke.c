/* smoke: the rollout's smoke tests, now. */

#include "ctl.h"

#include <string.h>


int
ctl_smoke(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640], a[96], b[96], c[32], d[300];
    double        ms;
    cJSON        *body;
    const cJSON  *item;
    ctl_reply_t   reply;

    rc = ctl_rollout_path(args, "/smoke-tests", path, sizeof(path));
    if (rc) {
        return rc;
    }

    body = cJSON_CreateObject();
    rc = ctl_ask(args, "POST", path, body, &reply);
    cJSON_Delete(body);

    if (rc) {
        goto done;
    }

    print_string(reply.json, "result", "?", c, sizeof(c));
    rc = strcmp(c, "passed") == 0 ? CTL_OK : CTL_FAILED;

    if (args->json) {
        goto done;
    }

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply.json,
                                                              "results"))
    {
        print_string(item, "name", "?", a, sizeof(a));
        print_string(item, "server", "", b, sizeof(b));
        print_string(item, "detail", "", d, sizeof(d));
        ms = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item,
                                                                   "ms"));
        print_state(stdout, print_string(item, "result", "?", c, sizeof(c)),
                    8);
        printf(" %s%s%s", a, b[0] ? " on " : "", b);

        if (ms >= 0) {
            printf("  %.0f ms", ms);
        }

        if (d[0] == '\0') {
            print_string(item, "error", "", d, sizeof(d));
        }

        printf("%s%s\n", d[0] ? "  " : "", d);
    }

    print_string(reply.json, "result", "?", c, sizeof(c));
    print_string(reply.json, "detail", "", d, sizeof(d));
    print_state(stdout, c, 0);
    printf("%s%s\n", d[0] ? ": " : "", d);

done:

    ctl_reply_free(&reply);
    return rc;
}
