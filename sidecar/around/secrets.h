/*
 * What must never be seen: values by their names, from files or the
 * environment.  Specs and other parts of the configuration only name them.
 */

#ifndef SECRETS_H
#define SECRETS_H

#include <cjson/cJSON.h>

#include "core/spec.h"

#define SECRETS_MAX  64
#define SECRET_LEN   1025          /* with NUL */

typedef struct secrets_s  secrets_t;

/* {"NAME": {"file": PATH} | {"env": NAME}}; json NULL is {}.  A file's first
 * line is taken; others may not read it.  NULL: the error. */
secrets_t *secrets_new(const cJSON *json, spec_error_t *error);
/* Overwrites them. */
void secrets_free(secrets_t *secrets);

/* NULL: there is none of that name. */
const char *secrets_get(const secrets_t *secrets, const char *name);

/* Overwrites with '*' each of them in a text that will be shown. */
void secrets_redact(const secrets_t *secrets, char *text);

#endif
