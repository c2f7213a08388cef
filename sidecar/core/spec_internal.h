/* What the files that read a spec share with each other. */

#ifndef CORE_SPEC_INTERNAL_H
#define CORE_SPEC_INTERNAL_H

#include "spec_fields.h"

#define SPEC_SECOND    INT64_C(1000)
#define SPEC_MINUTE    (60 * SPEC_SECOND)
#define SPEC_HOUR      (60 * SPEC_MINUTE)
#define SPEC_MAX_HOLD  (30 * 24 * SPEC_HOUR)

#define SPEC_MAX_REQUESTS  INT64_C(1000000000000)

/* spec_plan.c: the strategy and what it goes by: steps, targets or arms. */
int spec_read_plan(const cJSON *json, rollout_spec_t *spec,
    spec_error_t *error);

/* spec_rules.c: a step's rules, checked; *text is the caller's, NULL for an
 * empty list.  *judged: some are judged, and give the canary weight. */
int spec_read_rules(const cJSON *json, const char *path, const char *canary,
    char **text, bool *judged, spec_error_t *error);

#endif
