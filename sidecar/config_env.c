#include "config_env.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/yaml.h"

#define ENV_PREFIX     "CANARYD_"
#define ENV_NAME_LEN   96
#define ENV_VALUE_LEN  65536

static int env_set(cJSON *json, const char *name, const char *value,
    char *error, size_t size);
static cJSON *env_value(const char *text, char *error, size_t size);


int
config_env(cJSON *json, char *const *env, char *error, size_t size)
{
    int          count;
    char         name[ENV_NAME_LEN], reason[256];
    size_t       i, len;
    const char  *p, *value;

    count = 0;

    for (/* void */; *env != NULL; env++) {
        if (strncmp(*env, ENV_PREFIX, strlen(ENV_PREFIX)) != 0) {
            continue;
        }

        p = *env + strlen(ENV_PREFIX);
        value = strchr(p, '=');

        /* A file of variables has all of them, many without a value. */
        if (value == NULL || value[1] == '\0') {
            continue;
        }

        len = value++ - p;

        if (len == 0 || len >= sizeof(name)) {
            snprintf(error, size, ENV_PREFIX "%.*s: no such setting",
                     len > 64 ? 64 : (int) len, p);
            return -1;
        }

        for (i = 0; i < len; i++) {
            name[i] = (char) tolower((unsigned char) p[i]);
        }

        name[len] = '\0';

        if (env_set(json, name, value, reason, sizeof(reason)) != 0) {
            snprintf(error, size, ENV_PREFIX "%.*s: %s", (int) len, p,
                     reason);
            return -1;
        }

        count++;
    }

    return count;
}


/* name is changed on the way: "log__level" is the level of the log. */
static int
env_set(cJSON *json, const char *name, const char *value, char *error,
    size_t size)
{
    char         part[ENV_NAME_LEN];
    cJSON       *item;
    size_t       len;
    const char  *end;

    while ((end = strstr(name, "__")) != NULL) {
        len = end - name;
        memcpy(part, name, len);
        part[len] = '\0';

        item = cJSON_GetObjectItemCaseSensitive(json, part);

        if (item == NULL) {
            item = cJSON_AddObjectToObject(json, part);

        } else if (!cJSON_IsObject(item)) {
            snprintf(error, size, "%s has no settings of its own", part);
            return -1;
        }

        json = item;
        name = end + 2;
    }

    item = env_value(value, error, size);
    if (item == NULL) {
        return -1;
    }

    cJSON_DeleteItemFromObjectCaseSensitive(json, name);
    cJSON_AddItemToObject(json, name, item);

    return 0;
}


/* What is not meant as a list or a mapping and is no number or boolean is
 * taken as it stands: no address and no path needs quotes. */
static cJSON *
env_value(const char *text, char *error, size_t size)
{
    bool    nested;
    cJSON  *json;
    size_t  len;

    len = strlen(text);

    if (len > ENV_VALUE_LEN) {
        snprintf(error, size, "is longer than %d bytes", ENV_VALUE_LEN);
        return NULL;
    }

    nested = (text[0] == '[' || text[0] == '{');
    json = yaml_parse(text, len, error, size);

    if (nested || cJSON_IsNumber(json) || cJSON_IsBool(json)) {
        return json;
    }

    cJSON_Delete(json);
    return cJSON_CreateString(text);
}
