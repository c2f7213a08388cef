#include "ctl.h"

#include <string.h>

#include "core/spec.h"
#include "lib/yaml.h"

static int start_check(const cJSON *json);
static int start_merge(cJSON *spec, const cJSON *flags);


int
ctl_start(const ctl_args_t *args, const char *command)
{
    int           rc;
    cJSON        *spec;
    ctl_reply_t   reply;

    if (args->file == NULL && args->spec->child == NULL) {
        ctl_error("start what? give -f SPEC.yaml, or --upstream and "
                  "--canary");
        return CTL_USAGE;
    }

    spec = ctl_spec(args, &rc);
    if (spec == NULL) {
        return rc;
    }

    if (args->dry) {
        rc = start_check(spec);
        cJSON_Delete(spec);
        return rc;
    }

    rc = ctl_call(args, "POST", "/v1/rollouts", spec, &reply);
    cJSON_Delete(spec);

    if (rc) {
        ctl_error("%s", reply.error);
        goto done;
    }

    rc = ctl_started(args, &reply);

done:

    ctl_reply_free(&reply);
    return rc;
}


int
ctl_started(const ctl_args_t *args, const ctl_reply_t *reply)
{
    char  id[96], upstream[96], canary[96], path[640], name[512];

    print_string(reply->json, "id", "", id, sizeof(id));

    if (args->json) {
        printf("%s\n", reply->text);

    } else {
        print_string(reply->json, "upstream", "?", upstream,
                     sizeof(upstream));
        print_string(reply->json, "canary", "?", canary, sizeof(canary));
        printf("%s started: canary %s of upstream %s\n", id, canary,
               upstream);
    }

    if (!args->wait) {
        return CTL_OK;
    }

    if (ctl_escape(id, name, sizeof(name)) == NULL) {
        return CTL_FAILED;
    }

    snprintf(path, sizeof(path), "/v1/rollouts/%s", name);
    return ctl_follow(args, path);
}


cJSON *
ctl_spec(const ctl_args_t *args, int *rc)
{
    char         error[256];
    cJSON       *spec;
    const char  *strategy;

    *rc = CTL_FAILED;

    if (args->file != NULL) {
        spec = yaml_parse_file(args->file, error, sizeof(error));

        if (spec == NULL) {
            ctl_error("%s", error);
            return NULL;
        }

        if (!cJSON_IsObject(spec)) {
            ctl_error("%.100s: a spec is a mapping, as \"upstream: app\"",
                      args->file);
            cJSON_Delete(spec);
            return NULL;
        }

    } else {
        spec = cJSON_CreateObject();
    }

    if (spec == NULL || start_merge(spec, args->spec)) {
        ctl_error("out of memory");
        cJSON_Delete(spec);
        return NULL;
    }

    /* By nodes, all of them, is what there is to say without a file. */
    strategy = cJSON_GetStringValue(
                   cJSON_GetObjectItemCaseSensitive(spec, "strategy"));

    if (strategy != NULL && strcmp(strategy, "rolling") == 0
        && !cJSON_HasObjectItem(spec, "rolling"))
    {
        cJSON_AddObjectToObject(spec, "rolling");
    }

    return spec;
}


static int
start_check(const cJSON *json)
{
    char            *text;
    cJSON           *whole;
    spec_error_t     refused;
    rollout_spec_t   spec;

    if (spec_parse(json, &spec, &refused) != 0) {
        ctl_error("%s%s%s", refused.field,
                  refused.field[0] != '\0' ? ": " : "", refused.detail);
        return CTL_FAILED;
    }

    whole = spec_print(&spec);
    text = cJSON_PrintUnformatted(whole);
    printf("%s\n", text != NULL ? text : "");
    cJSON_free(text);
    cJSON_Delete(whole);
    spec_free(&spec);
    return CTL_OK;
}


static int
start_merge(cJSON *spec, const cJSON *flags)
{
    cJSON        *there, *copy;
    const cJSON  *flag;

    cJSON_ArrayForEach(flag, flags) {
        there = cJSON_GetObjectItemCaseSensitive(spec, flag->string);

        if (cJSON_IsObject(flag) && cJSON_IsObject(there)) {
            if (start_merge(there, flag)) {
                return -1;
            }

            continue;
        }

        copy = cJSON_Duplicate(flag, 1);
        if (copy == NULL) {
            return -1;
        }

        cJSON_DeleteItemFromObjectCaseSensitive(spec, flag->string);
        cJSON_AddItemToObject(spec, flag->string, copy);
    }

    return 0;
}
