/*
 * A simulated fleet and clock around judge and rollout: what a spec does to
 * harmless and to harmful canaries.  The same seed gives the same outcome on
 * every machine.
 */

#ifndef CORE_SIMULATE_H
#define CORE_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "spec.h"

#define SIMULATE_NODES  3

/* One kind of traffic and of canary.  Rates are of requests that fail. */
typedef struct {
    const char  *name;
    const char  *what;             /* for people */
    bool         harmful;
    double       rps;              /* of the whole fleet */
    double       weight;           /* percent, one step; 0: the spec's own
                                      steps */
    double       stable_rate;
    double       canary_rate;
    unsigned     burst;            /* bad requests come so many at once */
    bool         incidents;        /* both sides fail in 30 % of requests for
                                      30 s, every 5 minutes or so */
    bool         drift;            /* rate and traffic go up and down as over
                                      a day, by a factor of 4 and 3 */
    double       slower;           /* quotient of latencies; 0: not counted */
    double       late_s;           /* the harm begins so late */
    double       limit_s;          /* the simulation ends then */
} simulate_case_t;

/* How one rollout ended. */
typedef struct {
    bool         reverted;
    bool         succeeded;
    double       revert_s;         /* since the harm, or the canary's first
                                      traffic, began */
    bool         threshold;        /* the rule beside it would have reverted */
    double       threshold_s;
} simulate_outcome_t;

/* All of them, the harmless first. */
extern const simulate_case_t  simulate_cases[];
extern const unsigned         simulate_case_count;

/*
 * One rollout.  The rule beside it looks once a minute: more than 1 % of the
 * canary's requests failed, for the second time: back.
 */
void simulate_run(const simulate_case_t *what, const rollout_spec_t *spec,
    uint64_t seed, simulate_outcome_t *outcome);

#endif
