/* history: the versions that an upstream had. */

#include "ctl.h"

#include <string.h>


int
ctl_history(const ctl_args_t *args, const char *command)
{
    int           rc;
    long          left;
    char          path[640];
    char          a[96], b[96], c[96], d[96], e[32], f[300];
    const cJSON  *item;
    ctl_reply_t   reply;

    rc = ctl_upstream_path(args, "/history", path, sizeof(path));
    if (rc) {
        return rc;
    }

    rc = ctl_ask(args, "GET", path, NULL, &reply);

    if (rc || args->json) {
        goto done;
    }

    printf("%-20s %-24s %-12s %-12s %-16s %s\n", "CREATED", "ID", "GROUP",
           "STATE", "VERSION", "REASON");
    left = args->limit ? args->limit : 20;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply.json,
                                                              "rollouts"))
    {
        if (left-- == 0) {
            break;
        }

        printf("%-20.19s %-24s %-12s ",
               print_string(item, "created", "", e, sizeof(e)),
               print_string(item, "id", "?", a, sizeof(a)),
               print_string(item, "canary", "?", b, sizeof(b)));
        print_state(stdout, print_string(item, "state", "?", c, sizeof(c)),
                    12);
        printf(" %-16s %s\n", print_string(item, "version", "-", d, sizeof(d)),
               print_string(item, "reason", "", f, sizeof(f)));
    }

done:

    ctl_reply_free(&reply);
    return rc;
}
