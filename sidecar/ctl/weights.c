/* weights: what share each group is to have, and what it has. */

#include "fleet.h"

#include <math.h>
#include <string.h>

#include "lib/utf8.h"

static unsigned weights_each(const ctl_args_t *args, const cJSON *upstream);
static void weights_print(const cJSON *upstream, const cJSON *measured);
static void weights_json(const cJSON *upstream, const cJSON *measured);


int
ctl_weights(const ctl_args_t *args, const char *command)
{
    int       rc;
    unsigned  bad;

    if (!args->json) {
        printf("%-20s %-16s %-7s %9s %9s\n", "UPSTREAM", "GROUP", "ROLE",
               "INTENDED", "MEASURED");
    }

    rc = fleet_each(args, weights_each, &bad);
    return rc ? rc : bad ? CTL_FAILED : CTL_OK;
}


/* Measured is what the rollout that is under way has judged. */
static unsigned
weights_each(const ctl_args_t *args, const cJSON *upstream)
{
    int           rc;
    char          path[640], name[512];
    const char   *id;
    const cJSON  *measured;
    ctl_reply_t   reply;

    memset(&reply, 0, sizeof(reply));
    rc = 0;
    measured = NULL;
    id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(upstream,
                                                               "rollout"));

    if (id != NULL
        && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(upstream, "active"))
        && ctl_escape(id, name, sizeof(name)) != NULL)
    {
        snprintf(path, sizeof(path), "/v1/rollouts/%s", name);
        rc = ctl_call(args, "GET", path, NULL, &reply);

        if (rc) {
            ctl_error("%s", reply.error);

        } else {
            measured = cJSON_GetObjectItemCaseSensitive(reply.json,
                                                        "measured_weights");
        }
    }

    if (args->json) {
        weights_json(upstream, measured);

    } else {
        weights_print(upstream, measured);
    }

    ctl_reply_free(&reply);
    return rc != 0;
}


static void
weights_print(const cJSON *upstream, const cJSON *measured)
{
    char          name[96], stable[96], group[96], share[32];
    double        value;
    const cJSON  *item;

    print_string(upstream, "upstream", "?", name, sizeof(name));
    print_string(upstream, "stable", "", stable, sizeof(stable));

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(upstream,
                                                              "groups"))
    {
        if (item->string == NULL || !cJSON_IsNumber(item)) {
            continue;
        }

        utf8_clean(item->string, strlen(item->string), group, sizeof(group));
        value = cJSON_GetNumberValue(
                    cJSON_GetObjectItemCaseSensitive(measured, item->string));
        snprintf(share, sizeof(share), isfinite(value) ? "%.1f %%" : "-",
                 value);
        printf("%-20s %-16s %-7s %7g %% %9s\n", name, group,
               strcmp(group, stable) == 0 ? "stable" : "-", item->valuedouble,
               share);
    }
}


/* A line for each upstream. */
static void
weights_json(const cJSON *upstream, const cJSON *measured)
{
    char   *text;
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "upstream", cJSON_Duplicate(
        cJSON_GetObjectItemCaseSensitive(upstream, "upstream"), 1));
    cJSON_AddItemToObject(json, "stable", cJSON_Duplicate(
        cJSON_GetObjectItemCaseSensitive(upstream, "stable"), 1));
    cJSON_AddItemToObject(json, "intended", cJSON_Duplicate(
        cJSON_GetObjectItemCaseSensitive(upstream, "groups"), 1));
    cJSON_AddItemToObject(json, "measured",
                          measured != NULL ? cJSON_Duplicate(measured, 1)
                                           : cJSON_CreateNull());
    text = cJSON_PrintUnformatted(json);

    if (text != NULL) {
        printf("%s\n", text);
    }

    cJSON_free(text);
    cJSON_Delete(json);
}
