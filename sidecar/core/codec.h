/*
 * State to JSON and back, and the replay of recorded ticks.  Doubles survive
 * unchanged; minus infinity is null.
 */

#ifndef CORE_CODEC_H
#define CORE_CODEC_H

#include <cjson/cJSON.h>

#include "judge.h"
#include "rollout.h"
#include "spec.h"

/* The caller owns what is returned; NULL: no memory. */
cJSON *judge_print(const judge_t *judge);
/* 0, or -1 where it is not what judge_print() gives; *judge is then
 * undefined.  The config is not part of it and is taken from *config.
 * Unknown members are ignored, here and in rollout_parse(): a newer canaryd
 * may have added them. */
int judge_parse(const cJSON *json, const judge_config_t *config,
    judge_t *judge);

cJSON *rollout_print(const rollout_t *rollout);
int rollout_parse(const cJSON *json, rollout_t *rollout);

/* With the reference's field names: verdict, log_evidence, log_safe, ...
 * Plain numbers, for reading; judge_print() has raw items (see value.h). */
cJSON *judge_result_print(const judge_result_t *result);

/*
 * Runs a case {"config": {..}, "ticks": [[n_c, e_c, n_s, e_s, {hist_c},
 * {hist_s}], ..]} (histograms optional; a "name" and an "expect" are
 * ignored).  A count is at most 10^12, errors at most the requests.  The
 * first harm or budget is final and sets "at"; later rows are only checked.
 * Returns the result, owned by the caller, or NULL with *error.
 */
cJSON *judge_run_case(const cJSON *json, spec_error_t *error);

#endif
