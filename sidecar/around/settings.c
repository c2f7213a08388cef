#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "core/spec_fields.h"
#include "core/text.h"

static const char *const  settings_sections[] = {
    "secrets", "ca_file", NULL
};


bool
settings_is_section(const char *name)
{
    unsigned  i;

    for (i = 0; settings_sections[i] != NULL; i++) {
        if (strcmp(settings_sections[i], name) == 0) {
            return true;
        }
    }

    return false;
}


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


settings_t *
settings_new(const cJSON *sections, spec_error_t *error)
{
    settings_t   *settings;
    const cJSON  *ca;

    settings = calloc(1, sizeof(settings_t));
    if (settings == NULL) {
        abort();
    }

    memset(error, 0, sizeof(spec_error_t));
    ca = member(sections, "ca_file");

    if (ca != NULL) {
        if (!cJSON_IsString(ca) || ca->valuestring[0] != '/'
            || strlen(ca->valuestring) >= sizeof(settings->ca_file))
        {
            spec_fail(error, "", "ca_file", "must be an absolute path");
            goto failed;
        }

        text_copy(settings->ca_file, sizeof(settings->ca_file),
                  ca->valuestring);
    }

    settings->secrets = secrets_new(member(sections, "secrets"), error);

    if (settings->secrets == NULL) {
        goto failed;
    }

    return settings;

failed:

    settings_free(settings);

    return NULL;
}


void
settings_free(settings_t *settings)
{
    if (settings == NULL) {
        return;
    }

    secrets_free(settings->secrets);
    free(settings);
}
