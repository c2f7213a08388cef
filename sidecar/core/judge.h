/*
 * The judgement of a canary against stable: betting on harm, tick by tick.
 * All state is in judge_t, which owns nothing outside itself: it may be
 * copied, compared and stored as it is.
 */

#ifndef CORE_JUDGE_H
#define CORE_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

#define JUDGE_MAX_LATENCY   8      /* quantiles judged at most */
#define JUDGE_MAX_BETS      7

typedef enum {
    JUDGE_WATCHING = 0,            /* none of the others yet */
    JUDGE_SAFE,                    /* shown to be safe */
    JUDGE_INCIDENT,                /* stable itself is above the ceiling */
    JUDGE_NO_DATA,                 /* no canary request for stale_ticks */
    JUDGE_BUDGET,                  /* excess errors reached the budget */
    JUDGE_HARM                     /* evidence of harm reached 1/alpha */
} judge_verdict_t;

typedef struct {
    double    quantile;            /* (0, 1) */
    double    tolerance;           /* >= 0; 0.25: 25 % slower is allowed */
} judge_quantile_t;

typedef struct {
    double            alpha;       /* (0, 1) chance of a false rollback */
    double            beta;        /* (0, 1) chance of a false "safe" */
    double            error_tolerance;    /* >= 0 */
    double            error_floor;        /* [0, 1) */
    double            safe_margin;        /* >= 0 */
    double            safe_slack;         /* > 0 */
    double            max_error_rate;     /* [0, 1), 0: no ceiling */
    double            burst;              /* >= 1 */
    double            max_excess_errors;  /* >= 0, 0: no budget */
    double            latency_floor_ms;   /* >= 0: so much slower is nobody's
                                             harm, whatever the quotient */
    unsigned          stale_ticks;        /* >= 1 */
    unsigned          latency_count;
    judge_quantile_t  latency[JUDGE_MAX_LATENCY];
} judge_config_t;

/* What one tick brought, summed over the fleet.  Histograms may be NULL. */
typedef struct {
    uint64_t          canary_requests;
    uint64_t          canary_errors;      /* <= canary_requests */
    uint64_t          stable_requests;
    uint64_t          stable_errors;
    const uint64_t   *canary_latency;     /* [HISTOGRAM_BUCKETS], borrowed */
    const uint64_t   *stable_latency;
    bool              stable_by_chance;   /* of no stable requests: stable has
                                      its share, only nobody came.  Then the
                                      ceiling does not stand in for it */
} judge_tick_t;

/* Log-wealth of a gambler: part cash, the rest spread over bets. */
typedef struct {
    unsigned          count;
    double            cash;
    double            bets[JUDGE_MAX_BETS];
} judge_wealth_t;

typedef struct {
    judge_wealth_t    wealth;
    double            seen;               /* decayed canary requests */
    double            seen_bad;
} judge_harm_t;

typedef struct {
    judge_config_t    config;
    judge_harm_t      errors;
    judge_wealth_t    safe;
    judge_wealth_t    ceiling;            /* unused if no max_error_rate */
    judge_harm_t      latency[JUDGE_MAX_LATENCY];
    double            baseline[HISTOGRAM_BUCKETS];   /* of stable, decayed */
    double            base_requests;      /* decayed */
    double            base_errors;
    double            excess;
    uint64_t          silent;             /* ticks without canary request */
    uint64_t          ticks;
    uint64_t          total[4];           /* n_c, e_c, n_s, e_s */
} judge_t;

typedef struct {
    judge_verdict_t   verdict;
    double            log_evidence;
    double            log_safe;
    double            log_errors;
    bool              has_ceiling;
    double            log_ceiling;
    unsigned          latency_count;
    double            log_latency[JUDGE_MAX_LATENCY];
    double            excess_errors;
    uint64_t          requests[4];        /* n_c, e_c, n_s, e_s */
} judge_result_t;

void judge_config_default(judge_config_t *config);

/* The config must be in the ranges above; core/spec.h checks them. */
void judge_init(judge_t *judge, const judge_config_t *config);

void judge_tick(judge_t *judge, const judge_tick_t *tick);

/* Is it by chance that stable has no requests in a tick?  So where at least
 * half a one was to be expected beside the canary's. */
bool judge_by_chance(uint64_t canary_requests, unsigned canary_weight,
    unsigned stable_weight);

/* The result as of the last tick; may be asked for any number of times.
 * Before the first tick it is watching. */
void judge_result(const judge_t *judge, judge_result_t *result);

/*
 * Canary requests until it is shown to be safe, if errors go on at the rates
 * and with the shares seen so far ("Safe" in docs and analysis: growth of the
 * best bet per canary request).  0: it is; -1: at these rates never.
 */
double judge_needed(const judge_t *judge);

const char *judge_verdict_name(judge_verdict_t verdict);

/* "1 : 250": the odds against the canary for a log evidence; buf >= 32.  They
 * are cut, not rounded, so that what is below a limit is also shown below. */
char *judge_odds(double log_evidence, char *buf, unsigned size);

#endif
