/* What the two readers of the settings share. */

#ifndef SETTINGS_READ_H
#define SETTINGS_READ_H

#include "settings.h"

const cJSON *settings_member(const cJSON *json, const char *name);
/* A text that fits, where the field is there. */
int settings_text(const cJSON *json, const char *prefix, const char *field,
    char *value, size_t size, spec_error_t *error);
/* The name of a secret that there is. */
int settings_secret(const settings_t *settings, const cJSON *json,
    const char *prefix, const char *field, char *name, spec_error_t *error);
/* The length of a list, 0 where it is not there. */
int settings_list(const cJSON *json, const char *prefix, const char *field,
    unsigned max, unsigned *count, spec_error_t *error);

/* settings_rules.c */
int settings_read_alerts(settings_t *settings, const cJSON *json,
    spec_error_t *error);
int settings_read_freeze(settings_t *settings, const cJSON *json,
    spec_error_t *error);
int settings_read_health(settings_t *settings, const cJSON *json,
    spec_error_t *error);

#endif
