#include "fleet.h"

#include <string.h>


int
fleet_each(const ctl_args_t *args,
    unsigned (*each)(const ctl_args_t *args, const cJSON *upstream),
    unsigned *bad)
{
    int           rc, found;
    const char   *wanted, *name;
    const cJSON  *upstream;
    ctl_reply_t   reply;

    *bad = 0;
    wanted = ctl_upstream(args, false, &rc);
    if (rc) {
        return rc;
    }

    rc = ctl_call(args, "GET", "/v1/upstreams", NULL, &reply);

    if (rc) {
        ctl_error("%s", reply.error);
        goto done;
    }

    found = 0;

    cJSON_ArrayForEach(upstream, cJSON_GetObjectItemCaseSensitive(
                                     reply.json, "upstreams"))
    {
        name = cJSON_GetStringValue(
                   cJSON_GetObjectItemCaseSensitive(upstream, "upstream"));

        if (name != NULL && (wanted == NULL || strcmp(wanted, name) == 0)) {
            found++;
            *bad += each(args, upstream);
        }
    }

    if (found == 0 && wanted != NULL) {
        ctl_error("no node reports an upstream %.64s; canaryctl weights lists "
                  "them", wanted);
        rc = CTL_FAILED;

    } else if (found == 0) {
        ctl_error("no upstreams yet: is there a canary upstream in "
                  "nginx.conf, and does canaryd reach nginx? canaryctl health "
                  "says");
        rc = CTL_FAILED;
    }

done:

    ctl_reply_free(&reply);
    return rc;
}
