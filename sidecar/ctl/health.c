/* health: GET /health. */

#include "ctl.h"

#include <string.h>

#include "lib/utf8.h"


int
ctl_health(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          a[96], b[64], name[64], detail[300];
    const cJSON  *item;
    ctl_reply_t   reply;

    rc = ctl_ask(args, "GET", "/health", NULL, &reply);

    if (rc) {
        goto done;
    }

    print_string(reply.json, "status", "?", a, sizeof(a));
    rc = strcmp(a, "ok") == 0 ? CTL_OK : CTL_FAILED;

    if (args->json) {
        goto done;
    }

    print_state(stdout, a, 9);
    printf(" canaryd on %s, version %s\n",
           print_string(reply.json, "node", "?", name, sizeof(name)),
           print_string(reply.json, "version", "?", b, sizeof(b)));

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply.json,
                                                              "components"))
    {
        if (item->string == NULL) {
            continue;
        }

        utf8_clean(item->string, strlen(item->string), name, sizeof(name));
        print_state(stdout, print_string(item, "status", "?", b, sizeof(b)),
                    9);
        print_string(item, "detail", "", detail, sizeof(detail));
        printf(" %s%s%s\n", name, detail[0] ? ": " : "", detail);
    }

done:

    ctl_reply_free(&reply);
    return rc;
}
