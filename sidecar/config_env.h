/* Settings from the environment, for containers. */

#ifndef CONFIG_ENV_H
#define CONFIG_ENV_H

#include <stddef.h>

#include <cjson/cJSON.h>

/*
 * Lays the variables CANARYD_KEY over the object of the file: CANARYD_TICK is
 * "tick", CANARYD_LOG__LEVEL is "log.level"; lists and mappings are YAML,
 * "[a, b]"; an empty value is none.  env is as environ; json stays the
 * caller's.
 *
 * Returns the number of variables, or -1 with error naming the one that is
 * wrong.
 */
int config_env(cJSON *json, char *const *env, char *error, size_t size);

#endif
