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

#define SPEC_MAX_STEPS   32        /* that a user may give */
#define SPEC_MAX_STAGES  64        /* nodes or servers of a rolling rollout */
#define SPEC_MAX_ARMS    7         /* groups of an experiment */
#define SPEC_MAX_RULES   16        /* of a step */
#define SPEC_RULES_LEN   4096      /* a step's rules as JSON, with NUL */
#define SPEC_NAME_LEN    64        /* upstream and group names, with NUL */
#define SPEC_TEXT_LEN    128       /* version and the like, with NUL */
#define SPEC_TARGET_LEN  128       /* a node or a server, with NUL */
#define SPEC_WEIGHT_ALL  10000     /* weights are in units of 0.01 % */

typedef enum {
    SPEC_CANARY = 0,
    SPEC_BLUE_GREEN,
    SPEC_ROLLING,
    SPEC_EXPERIMENT
} spec_strategy_t;

typedef enum {
    SPEC_BY_NODES = 0,             /* one edge node after the other */
    SPEC_BY_SERVERS                /* one server of the group after another */
} spec_rolling_t;

typedef enum {
    SPEC_RAMP_CLOCK = 0,           /* each hold in full */
    SPEC_RAMP_EVIDENCE             /* on as soon as the verdict is safe */
} spec_ramp_t;

typedef enum {
    SPEC_PROMOTE = 0,              /* the canary becomes stable: all traffic,
                                      whatever the last step's weight is */
    SPEC_KEEP,                     /* weights stay as they are */
    SPEC_STABLE                    /* all traffic back to stable: the default
                                      and only with an experiment */
} spec_success_t;

typedef struct {
    unsigned         weight;       /* 0..10000; 0 only with rules */
    int64_t          hold_ms;      /* >= 0 */
    bool             approval;     /* wait for `promote` after the hold */
    uint64_t         min_requests; /* judged ones, before it goes on; >= 1 */
    char            *rules;        /* JSON list for the routing record,
                                      owned; NULL: none */
} spec_step_t;

/* One of the groups that an experiment compares with stable. */
typedef struct {
    char             name[SPEC_NAME_LEN];
    unsigned         weight;       /* 1..10000, all together below 10000 */
} spec_arm_t;

/* Objectives over the step; 0: none. */
typedef struct {
    double           error_rate;   /* (0, 1) */
    double           p50_ms;
    double           p95_ms;
    double           p99_ms;
    uint64_t         min_requests; /* before that they are not met */
} spec_slo_t;

/* The node's own seat belt, in the routing record. */
typedef struct {
    bool             on;
    unsigned         failures;     /* 1..1000000 */
    double           ratio;        /* 0.01..1 */
    int64_t          window_ms;    /* 100..3600000 */
} spec_guard_t;

/* Smoke tests, hooks and checks: core/spec_gates.h. */
typedef struct spec_gates_s  spec_gates_t;

/*
 * Owns what it points to: a parsed one is given to spec_free() once, and a
 * copy by assignment borrows from it.
 */
typedef struct {
    char             upstream[SPEC_NAME_LEN];
    char             canary[SPEC_NAME_LEN];   /* of an experiment: the first
                                                 of its groups */
    char             version[SPEC_TEXT_LEN];
    char             environment[SPEC_NAME_LEN];   /* "": none */
    char             commit[SPEC_TEXT_LEN];
    char             build[SPEC_TEXT_LEN];
    char             ticket[SPEC_TEXT_LEN];
    char             promotion_from[SPEC_NAME_LEN];  /* environment where the
                                                 version must have succeeded;
                                                 "": anywhere */
    spec_strategy_t  strategy;
    unsigned         step_count;   /* 1..SPEC_MAX_STAGES; 0 only in a rolling
                                      one by nodes without an order, see
                                      spec_set_targets() */
    spec_step_t      steps[SPEC_MAX_STAGES];  /* weights never decrease; of a
                                                 rolling one: one a target;
                                                 of an experiment: one */
    spec_rolling_t   rolling;      /* the next three only if ROLLING */
    int64_t          rolling_bake_ms;  /* after each target */
    int64_t          drain_ms;     /* longest wait for requests in flight */
    char             targets[SPEC_MAX_STAGES][SPEC_TARGET_LEN];  /* nodes or
                                                 servers, [step_count] */
    unsigned         arm_count;    /* 0 unless EXPERIMENT */
    spec_arm_t       arms[SPEC_MAX_ARMS];
    unsigned         holdback;     /* 0..9900: stays on stable at the end of
                                      blue-green, and on each rolled node */
    spec_slo_t       slo;
    int64_t          deadline_ms;  /* of the whole rollout; 0: none */
    spec_guard_t     guard;
    uint32_t         gate_set;     /* 1 << ROLLOUT_GATE_..: those that have
                                      an entry; others are never asked for */
    int64_t          checks_every_ms;  /* between two CHECKS; 0: 30 s */
    spec_gates_t    *gates;        /* the entries, owned; NULL: none */
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
 * Returns 0, or -1 with the error filled in and *spec empty.  json stays the
 * caller's.
 */
int spec_parse(const cJSON *json, rollout_spec_t *spec, spec_error_t *error);
/* Frees what it owns, not itself; it is empty then.  A zeroed one may be
 * freed, too. */
void spec_free(rollout_spec_t *spec);

/* The nodes of a rolling rollout that names none: count of them, 1 to
 * SPEC_MAX_STAGES, each shorter than SPEC_TARGET_LEN. */
void spec_set_targets(rollout_spec_t *spec, unsigned count,
    const char *const *names);

/* The number-th group that the spec names beside stable: canary, groups of
 * the experiment, groups of rules (which may also be stable, and come more
 * than once).  field says where.  NULL: there are no more. */
const char *spec_group(const rollout_spec_t *spec, unsigned number,
    char name[SPEC_NAME_LEN], char field[SPEC_TEXT_LEN]);

/* The judge's config for a group of an experiment (alpha divided by the
 * number of groups), or for the canary. */
void spec_arm_analysis(const rollout_spec_t *spec, judge_config_t *config);

/* The whole spec with its defaults as JSON; the caller owns it; NULL: no
 * memory.  spec_parse(spec_print(x)) is x. */
cJSON *spec_print(const rollout_spec_t *spec);

/* Parses the judge's config object ("analysis", or "config" of a case) over
 * the values already in *config. prefix names it in errors.  The names are
 * those of judge_config_t; a quantile's tolerance is 0.25 if absent. */
int spec_parse_analysis(const cJSON *json, const char *prefix,
    judge_config_t *config, spec_error_t *error);
cJSON *spec_print_analysis(const judge_config_t *config);

const char *spec_strategy_name(spec_strategy_t strategy);

/* "250ms", "60s", "2m", "1h", "1d" to ms; -1 if it is none of these, or of
 * more than ten digits. */
int64_t spec_parse_duration(const char *text);
/* The shortest such text; buf of at least 32 bytes. */
char *spec_print_duration(int64_t ms, char *buf, unsigned size);
/* Adds it as a member; false if there is no memory. */
bool spec_put_duration(cJSON *json, const char *name, int64_t ms);

#endif
