/*
 * The rollout spec: what a user asks for, validated and with its defaults
 * filled in.
 */

#ifndef CORE_SPEC_H
#define CORE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "judge.h"

#define SPEC_MAX_STEPS   32
#define SPEC_NAME_LEN    64        /* upstream and group names, with NUL */
#define SPEC_TEXT_LEN    128       /* version, with NUL */
#define SPEC_WEIGHT_ALL  10000     /* weights are in units of 0.01 % */

typedef enum {
    SPEC_CANARY = 0,
    SPEC_BLUE_GREEN
} spec_strategy_t;

typedef enum {
    SPEC_RAMP_CLOCK = 0,           /* each hold in full */
    SPEC_RAMP_EVIDENCE             /* on as soon as the verdict is safe */
} spec_ramp_t;

typedef enum {
    SPEC_PROMOTE = 0,              /* the canary becomes stable: all traffic,
                                      whatever the last step's weight is */
    SPEC_KEEP                      /* weights stay as they are */
} spec_success_t;

typedef struct {
    unsigned         weight;       /* 1..10000 */
    int64_t          hold_ms;      /* >= 0 */
    bool             approval;     /* wait for `promote` after the hold */
} spec_step_t;

typedef struct {
    char             upstream[SPEC_NAME_LEN];
    char             canary[SPEC_NAME_LEN];
    char             version[SPEC_TEXT_LEN];
    spec_strategy_t  strategy;
    unsigned         step_count;   /* 1..SPEC_MAX_STEPS */
    spec_step_t      steps[SPEC_MAX_STEPS];   /* weights never decrease */
    spec_ramp_t      ramp;
    int64_t          bake_ms;
    int64_t          warmup_ms;    /* latency is not judged so long after the
                                      canary's first request */
    judge_config_t   analysis;
    int64_t          lease_ms;     /* 1000..3600000 */
    spec_success_t   on_success;
} rollout_spec_t;

/* Where and why an input was refused. */
typedef struct {
    char             field[96];    /* "steps[2].weight", "" for the whole */
    char             detail[256];  /* what is wrong and what would be right */
} spec_error_t;

/*
 * Parses a spec; unknown fields are errors.  Durations are strings
 * ("250ms", "60s", "2m", "1h") or numbers of seconds, at most 30 days.  What
 * is absent has the default of docs/rest-api.md; a step's hold is then 0.
 * Returns 0, or -1 with the error filled in and *spec undefined.  json stays
 * the caller's.
 */
int spec_parse(const cJSON *json, rollout_spec_t *spec, spec_error_t *error);

/* The whole spec with its defaults as JSON; the caller owns it; NULL: no
 * memory.  spec_parse(spec_print(x)) is x. */
cJSON *spec_print(const rollout_spec_t *spec);

/* Parses the judge's config object ("analysis", or "config" of a case) over
 * the values already in *config. prefix names it in errors.  The names are
 * those of judge_config_t; a quantile's tolerance is 0.25 if absent. */
int spec_parse_analysis(const cJSON *json, const char *prefix,
    judge_config_t *config, spec_error_t *error);
cJSON *spec_print_analysis(const judge_config_t *config);

/* "250ms", "60s", "2m", "1h", "1d" to ms; -1 if it is none of these, or of
 * more than ten digits. */
int64_t spec_parse_duration(const char *text);
/* The shortest such text; buf of at least 32 bytes. */
char *spec_print_duration(int64_t ms, char *buf, unsigned size);

#endif
