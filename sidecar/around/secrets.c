#include "secrets.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/spec_fields.h"
#include "core/text.h"
#include "lib/file.h"

#define SECRET_SHORTEST  8         /* shorter ones are in every text */

typedef struct {
    char  name[SPEC_NAME_LEN];
    char  value[SECRET_LEN];
} secret_t;

struct secrets_s {
    unsigned  count;
    secret_t  list[SECRETS_MAX];
};

static const char *const  secret_fields[] = { "file", "env", NULL };


static int
secrets_file(secret_t *secret, const char *path, const char *field,
    spec_error_t *error)
{
    char         *text, reason[256];
    size_t        len, line;
    struct stat   st;

    text = file_read(path, 65536, &len, reason, sizeof(reason));
    if (text == NULL) {
        return spec_fail(error, "secrets", field, "%s", reason);
    }

    line = strcspn(text, "\r\n");

    if (stat(path, &st) == 0 && (st.st_mode & S_IROTH)) {
        explicit_bzero(text, len);
        free(text);
        return spec_fail(error, "secrets", field, "others may read %s: "
                         "chmod o-r", path);
    }

    if (line > 0 && line < SECRET_LEN && strlen(text) == len) {
        memcpy(secret->value, text, line);
    }

    explicit_bzero(text, len);
    free(text);

    return secret->value[0] != '\0' ? 0
           : spec_fail(error, "secrets", field, "the first line of %s must "
                       "be the secret, at most %d bytes", path,
                       SECRET_LEN - 1);
}


secrets_t *
secrets_new(const cJSON *json, spec_error_t *error)
{
    secret_t     *secret;
    secrets_t    *secrets;
    const char   *value;
    const cJSON  *item, *file, *env;

    secrets = calloc(1, sizeof(secrets_t));
    if (secrets == NULL) {
        abort();
    }

    if (json != NULL && !cJSON_IsObject(json)) {
        spec_fail(error, "secrets", "", "must be a mapping of names");
        goto failed;
    }

    cJSON_ArrayForEach(item, json) {
        if (secrets->count == SECRETS_MAX || !spec_is_name(item->string)) {
            spec_fail(error, "secrets", item->string, "must be one of at "
                      "most %d names of letters, digits, '.', '_' and '-'",
                      SECRETS_MAX);
            goto failed;
        }

        secret = &secrets->list[secrets->count++];
        text_copy(secret->name, sizeof(secret->name), item->string);
        file = cJSON_GetObjectItemCaseSensitive(item, "file");
        env = cJSON_GetObjectItemCaseSensitive(item, "env");

        if (spec_check_object(item, "secrets", secret_fields, error) != 0) {
            goto failed;
        }

        if (cJSON_IsString(file) == cJSON_IsString(env)) {
            spec_fail(error, "secrets", item->string,
                      "must have a file or an env");
            goto failed;
        }

        if (cJSON_IsString(file)) {
            if (secrets_file(secret, file->valuestring, item->string, error)
                != 0)
            {
                goto failed;
            }

            continue;
        }

        value = getenv(env->valuestring);

        if (value == NULL || value[0] == '\0'
            || strlen(value) >= SECRET_LEN)
        {
            spec_fail(error, "secrets", item->string, "the environment has "
                      "no such variable, or it is too long");
            goto failed;
        }

        memcpy(secret->value, value, strlen(value));
    }

    return secrets;

failed:

    secrets_free(secrets);

    return NULL;
}


void
secrets_free(secrets_t *secrets)
{
    if (secrets != NULL) {
        explicit_bzero(secrets, sizeof(secrets_t));
        free(secrets);
    }
}


const char *
secrets_get(const secrets_t *secrets, const char *name)
{
    unsigned  i;

    for (i = 0; i < secrets->count; i++) {
        if (strcmp(secrets->list[i].name, name) == 0) {
            return secrets->list[i].value;
        }
    }

    return NULL;
}


void
secrets_redact(const secrets_t *secrets, char *text)
{
    char      *at;
    size_t     len;
    unsigned   i;

    for (i = 0; i < secrets->count; i++) {
        len = strlen(secrets->list[i].value);

        if (len < SECRET_SHORTEST) {
            continue;
        }

        while ((at = strstr(text, secrets->list[i].value)) != NULL) {
            memset(at, '*', len);
        }
    }
}
