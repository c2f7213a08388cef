/* lint: a spec or canaryd's configuration, offline. */

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "core/spec.h"
#include "lib/yaml.h"

#define LINT_ERROR  512

static int lint_spec(const cJSON *json, char *error, size_t size);
static int lint_config(const char *path, char *error, size_t size);
static void lint_say(const ctl_args_t *args, const char *kind,
    const char *error);


int
ctl_lint(const ctl_args_t *args, const char *command)
{
    int          rc;
    bool         spec;
    char         error[LINT_ERROR];
    cJSON       *json;
    const char  *path;

    if (args->count != 1) {
        ctl_error("lint what? give the FILE of a spec or of canaryd's "
                  "configuration, or - for standard input");
        return CTL_USAGE;
    }

    path = args->values[0];
    json = yaml_parse_file(path, error, sizeof(error));

    if (json == NULL) {
        lint_say(args, "file", error);
        return CTL_FAILED;
    }

    spec = args->as != NULL
           ? strcmp(args->as, "spec") == 0
           : cJSON_HasObjectItem(json, "upstream")
             || cJSON_HasObjectItem(json, "steps")
             || cJSON_HasObjectItem(json, "canary")
             || cJSON_HasObjectItem(json, "strategy");

    /* A file of comments alone is a configuration without settings. */
    if (!cJSON_IsObject(json) && (spec || !cJSON_IsNull(json))) {
        snprintf(error, sizeof(error), "must be a mapping, as \"%s\"",
                 spec ? "upstream: app" : "node: edge-1");
        rc = -1;

    } else if (spec) {
        rc = lint_spec(json, error, sizeof(error));

    } else if (strcmp(path, "-") == 0) {
        ctl_error("canaryd's configuration is read from a file: give its "
                  "name; of a spec say --as spec");
        cJSON_Delete(json);
        return CTL_USAGE;

    } else {
        rc = lint_config(path, error, sizeof(error));
    }

    cJSON_Delete(json);
    lint_say(args, spec ? "spec" : "config", rc == 0 ? NULL : error);
    return rc == 0 ? CTL_OK : CTL_FAILED;
}


static int
lint_spec(const cJSON *json, char *error, size_t size)
{
    spec_error_t     refused;
    rollout_spec_t   spec;

    if (spec_parse(json, &spec, &refused) != 0) {
        snprintf(error, size, "%s%s%s", refused.field,
                 refused.field[0] != '\0' ? ": " : "", refused.detail);
        return -1;
    }

    spec_free(&spec);
    return 0;
}


static int
lint_config(const char *path, char *error, size_t size)
{
    int        rc;
    config_t   config;
    char      *argv[] = { (char *) "canaryd", (char *) "--config",
                          (char *) path, NULL };

    rc = config_load(3, argv, &config, error, size);

    if (rc == 0) {
        config_wipe(&config);
    }

    return rc;
}


static void
lint_say(const ctl_args_t *args, const char *kind, const char *error)
{
    char   *text;
    cJSON  *json;

    if (!args->json) {
        if (error != NULL) {
            ctl_error("%.200s: %s", args->values[0], error);

        } else {
            printf("%s: good (%s)\n", args->values[0],
                   strcmp(kind, "spec") == 0 ? "a spec"
                                             : "canaryd's configuration");
        }

        return;
    }

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", args->values[0]);
    cJSON_AddStringToObject(json, "kind", kind);
    cJSON_AddBoolToObject(json, "ok", error == NULL);

    if (error != NULL) {
        cJSON_AddStringToObject(json, "error", error);
    }

    text = cJSON_PrintUnformatted(json);

    if (text != NULL) {
        printf("%s\n", text);
    }

    cJSON_free(text);
    cJSON_Delete(json);
}
