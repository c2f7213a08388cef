/*
 * The sections of canaryd's configuration about what surrounds a rollout:
 * secrets, notifications, incidents, alerts, freezes, health.
 */

#ifndef AROUND_SETTINGS_H
#define AROUND_SETTINGS_H

#include <cjson/cJSON.h>

#include "core/spec.h"
#include "core/spec_gates.h"
#include "core/url.h"
#include "secrets.h"

#define SETTINGS_MAX  32           /* of each kind */

typedef struct settings_s  settings_t;

struct settings_s {
    secrets_t  *secrets;           /* owned */
    char        ca_file[256];      /* "": the system's */
};

/* Is it the name of one of these sections? */
bool settings_is_section(const char *name);
/* sections holds those that the file has; NULL: none.  NULL: the error. */
settings_t *settings_new(const cJSON *sections, spec_error_t *error);
void settings_free(settings_t *settings);

#endif
