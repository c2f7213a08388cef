/*
 * Runs what a rollout's gates ask for: smoke tests, hooks, checks.  Nothing
 * here waits: a run is begun, and asked each tick how it stands.  One that is
 * not wanted any more is dropped, so that an abort waits for none.
 */

#ifndef RUNNER_H
#define RUNNER_H

#include <cjson/cJSON.h>

#include "config.h"
#include "lib/fetch.h"
#include "lib/log.h"
#include "release.h"
#include "around/secrets.h"

typedef struct runner_s  runner_t;

/* A run has ended: its record, as docs/gates.md has it; borrowed. */
typedef void (*runner_ended_pt)(void *arg, const char *upstream,
    const char *rollout, const cJSON *run);
/* Called once, unless the runner is freed first. */
typedef void (*runner_done_pt)(void *arg, unsigned number,
    const cJSON *run);

/* All are borrowed; config may change. */
runner_t *runner_new(log_t *log, fetch_t *fetch, const secrets_t *secrets,
    const config_t *config);
void runner_free(runner_t *runner);
void runner_watch(runner_t *runner, runner_ended_pt ended, void *arg);

/* Begins what the rollout wants and is not under way, drops what it does not
 * want any more, and says in *seen how the wanted ones stand. */
void runner_want(runner_t *runner, const release_t *release,
    rollout_observation_t *seen);
/* Drops all of an upstream: somebody else leads it. */
void runner_drop(runner_t *runner, const char *upstream);

/* The smoke tests once, on demand; number is the caller's, for done; false:
 * the spec has none, or too many runs are under way. */
bool runner_smoke(runner_t *runner, const release_t *release,
    runner_done_pt done, void *arg, unsigned number);

/* Tells a spec's `event` hooks of an event, at most once. */
void runner_event(runner_t *runner, const release_t *release,
    const char *type, const char *detail, const char *key);

/* What is wrong with the spec's names of secrets; 0 or -1. */
int runner_check(const runner_t *runner, const rollout_spec_t *spec,
    spec_error_t *error);

/* Runs that passed, failed, held. */
uint64_t runner_count(const runner_t *runner, rollout_result_t result);

#endif
