/* A simulated fleet: traffic by random numbers, weights as nodes have them. */

#include <math.h>
#include <string.h>

#include "judge.h"
#include "rollout.h"
#include "simulate.h"

#define TICK_MS         1000
#define START_MS        INT64_C(1700000000000)
#define THRESHOLD_RATE  0.01
#define THRESHOLD_FAILS 2
#define MINUTE          60
#define DAY             86400.0
#define LAG             20         /* one tick in so many a node hears late */
#define LATENCIES       24         /* buckets that stand for all */
#define LATENCY_FIRST   (16 * 10)  /* about 1 ms */
#define LATENCY_SPREAD  0.5        /* sigma of the lognormal */
#define PI              3.14159265358979323846

#define count_of(a)  (sizeof(a) / sizeof((a)[0]))

const simulate_case_t  simulate_cases[] = {
    { "independent", "1 % errors on both sides", false, 100, 0, .01, .01, 1,
      false, false, 0, 0, 1200 },
    { "rare", "0.1 % errors on both sides", false, 300, 0, .001, .001, 1,
      false, false, 0, 0, 1200 },
    { "bursts-10", "1 % errors, 10 at once", false, 100, 0, .01, .01, 10,
      false, false, 0, 0, 1200 },
    { "bursts-50", "1 % errors, 50 at once", false, 100, 0, .01, .01, 50,
      false, false, 0, 0, 1200 },
    { "incidents", "1 %, and 30 % on both sides for a while", false, 100, 0,
      .01, .01, 3, true, false, 0, 0, 2400 },
    { "drift", "0.5 to 2 %, traffic 1 to 3, as over a day", false, 100, 0,
      .01, .01, 3, false, true, 0, 0, 1200 },
    { "latency", "equal latency, 1 % errors", false, 100, 0, .01, .01, 1,
      false, false, 1.0, 0, 1200 },

    { "dead", "1 % -> 100 %", true, 100, 10, .01, 1.0, 1, false, false, 0, 0,
      3600 },
    { "20", "1 % -> 20 %", true, 100, 10, .01, .2, 1, false, false, 0, 0,
      3600 },
    { "5", "1 % -> 5 %", true, 100, 10, .01, .05, 1, false, false, 0, 0,
      3600 },
    { "2", "1 % -> 2 %", true, 100, 10, .01, .02, 1, false, false, 0, 0,
      3600 },
    { "rare-5", "0.1 % -> 5 %", true, 100, 10, .001, .05, 1, false, false, 0,
      0, 3600 },
    { "busy", "0.5 % -> 2.5 %, 1000 rps", true, 1000, 5, .005, .025, 1, false,
      false, 0, 0, 3600 },
    { "quiet", "1 % -> 100 %, 10 rps", true, 10, 10, .01, 1.0, 1, false,
      false, 0, 0, 3600 },
    { "late", "1 % -> 5 %, after 20 min", true, 100, 10, .01, .05, 1, false,
      false, 0, 1200, 4800 },
    { "slow", "twice as slow", true, 100, 10, .01, .01, 1, false, false, 2.0,
      0, 3600 }
};

const unsigned  simulate_case_count = count_of(simulate_cases);

typedef struct {
    uint64_t                state;      /* of the random numbers */
    const simulate_case_t  *what;
    double                  phase;      /* of drift and incidents */
    double                  incident_until;
    unsigned                weights[SIMULATE_NODES];   /* that nodes serve */
    double                  slow[2][LATENCIES];        /* shares */
    uint64_t                latency[2][HISTOGRAM_BUCKETS];
    uint64_t                counts[4];  /* n_c, e_c, n_s, e_s of the tick */
} fleet_t;


/* --- random numbers --- */

static double
uniform(fleet_t *fleet)
{
    uint64_t  z;

    /* splitmix64, Steele, Lea, Flood 2014 */

    z = fleet->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;

    return ((double) (z >> 11) + 0.5) / 9007199254740992.0;
}


static uint64_t
poisson(fleet_t *fleet, double mean)
{
    double    x, limit;
    uint64_t  n;

    if (mean <= 0.0) {
        return 0;
    }

    if (mean > 60.0) {             /* nearly normal (Box & Muller 1958) */
        x = sqrt(-2.0 * log(uniform(fleet)))
            * cos(2.0 * PI * uniform(fleet));
        x = floor(mean + sqrt(mean) * x + 0.5);

        return x > 0.0 ? (uint64_t) x : 0;
    }

    limit = exp(-mean);
    n = 0;

    for (x = uniform(fleet); x > limit; x *= uniform(fleet)) {
        n++;
    }

    return n;
}


/* --- traffic --- */

/* Shares of the latency buckets for a lognormal around 4 ms x slower. */
static void
spread(double *shares, double slower)
{
    double    edge, below, sum;
    unsigned  i;

    sum = 0.0;

    for (i = 0; i < LATENCIES; i++) {
        edge = (double) histogram_lower_edge(LATENCY_FIRST + 4 * (i + 1));
        below = 0.5 * erfc(-(log(edge) - log(4000.0 * slower))
                           / LATENCY_SPREAD / sqrt(2.0));
        shares[i] = i + 1 < LATENCIES ? below - sum : 1.0 - sum;
        sum += shares[i];
    }
}


static void
count(fleet_t *fleet, unsigned side, double mean, double rate)
{
    double                  burst;
    uint64_t                good, bad;
    unsigned                i;
    const simulate_case_t  *what = fleet->what;

    burst = what->burst;
    good = poisson(fleet, mean * (1.0 - rate));
    bad = (uint64_t) burst * poisson(fleet, mean * rate / burst);

    fleet->counts[2 * side] += good + bad;
    fleet->counts[2 * side + 1] += bad;

    for (i = 0; what->slower > 0.0 && i < LATENCIES; i++) {
        fleet->latency[side][LATENCY_FIRST + 4 * i]
            += poisson(fleet, mean * (1.0 - rate) * fleet->slow[side][i]);
    }
}


/* Both sides fail, whoever serves. */
static double
incident(fleet_t *fleet, double at_s)
{
    if (!fleet->what->incidents) {
        return 0.0;
    }

    if (at_s >= fleet->incident_until + 30.0
        && uniform(fleet) < 1.0 / 300.0)
    {
        fleet->incident_until = at_s + 30.0;
    }

    return at_s < fleet->incident_until ? 0.3 : 0.0;
}


static void
traffic(fleet_t *fleet, double at_s)
{
    double                  day, rps, canary, stable, share;
    unsigned                i;
    const simulate_case_t  *what = fleet->what;

    memset(fleet->counts, 0, sizeof(fleet->counts));

    if (what->slower > 0.0) {
        memset(fleet->latency, 0, sizeof(fleet->latency));
    }

    day = what->drift ? sin(2.0 * PI * (at_s / DAY + fleet->phase)) : 0.0;
    rps = what->rps * (what->drift ? 2.0 + day : 1.0);
    stable = what->stable_rate * exp2(day);
    canary = at_s < what->late_s ? stable : what->canary_rate * exp2(day);

    share = incident(fleet, at_s);
    stable = fmax(stable, share);
    canary = fmax(canary, share);

    for (i = 0; i < SIMULATE_NODES; i++) {
        share = fleet->weights[i] / 10000.0;
        count(fleet, 0, rps / SIMULATE_NODES * share, canary);
        count(fleet, 1, rps / SIMULATE_NODES * (1.0 - share), stable);
    }
}


/* --- the rule beside it --- */

typedef struct {
    uint64_t  requests;
    uint64_t  errors;
    unsigned  seconds;
    unsigned  fails;
} rule_t;


/* True: it takes the canary back now. */
static bool
rule_tick(rule_t *rule, const uint64_t *counts)
{
    bool  fails;

    rule->requests += counts[0];
    rule->errors += counts[1];

    if (++rule->seconds < MINUTE) {
        return false;
    }

    fails = rule->requests > 0
            && (double) rule->errors / (double) rule->requests
               > THRESHOLD_RATE;
    rule->fails += fails;
    rule->requests = 0;
    rule->errors = 0;
    rule->seconds = 0;

    return fails && rule->fails == THRESHOLD_FAILS;
}


/* --- a rollout --- */

static unsigned
wanted_weight(const rollout_spec_t *spec, const rollout_t *rollout)
{
    rollout_routing_t  routing;

    rollout_routing(spec, rollout, &routing);

    return routing.canary_weight;
}


/* Nodes take over what is wanted, now and then one a tick late. */
static unsigned
confirm(fleet_t *fleet, unsigned weight)
{
    unsigned  i, confirmed;

    confirmed = 0;

    for (i = 0; i < SIMULATE_NODES; i++) {
        if (fleet->weights[i] != weight
            && uniform(fleet) < 1.0 - 1.0 / LAG)
        {
            fleet->weights[i] = weight;
        }

        confirmed += fleet->weights[i] == weight;
    }

    return confirmed;
}


static void
observe(fleet_t *fleet, const rollout_spec_t *spec, judge_t *judge,
    rollout_observation_t *seen, unsigned weight, double canary_s)
{
    bool            warm;
    judge_tick_t    tick;
    judge_result_t  result;

    warm = canary_s * 1000.0 >= (double) spec->warmup_ms
           && fleet->what->slower > 0.0;

    memset(&tick, 0, sizeof(tick));
    tick.canary_requests = fleet->counts[0];
    tick.canary_errors = fleet->counts[1];
    tick.stable_requests = fleet->counts[2];
    tick.stable_errors = fleet->counts[3];
    tick.stable_by_chance = tick.stable_requests == 0
                            && judge_by_chance(tick.canary_requests, weight,
                                               SPEC_WEIGHT_ALL - weight);
    tick.canary_latency = warm ? fleet->latency[0] : NULL;
    tick.stable_latency = fleet->what->slower > 0.0 ? fleet->latency[1]
                                                    : NULL;
    judge_tick(judge, &tick);
    judge_result(judge, &result);

    seen->verdict = result.verdict;
    seen->log_evidence = result.log_evidence;
    seen->canary_requests = fleet->counts[0];
}


/* The spec with one step that lasts, for a case of a fixed weight. */
static void
fix_weight(rollout_spec_t *spec, double weight, double limit_s)
{
    spec->step_count = 1;
    spec->steps[0].weight = (unsigned) (weight * 100.0);
    spec->steps[0].hold_ms = (int64_t) (limit_s * 2000.0);
    spec->steps[0].approval = false;
    spec->steps[0].rules = NULL;
    spec->steps[0].min_requests = 1;
}


void
simulate_run(const simulate_case_t *what, const rollout_spec_t *given,
    uint64_t seed, simulate_outcome_t *outcome)
{
    double                 at_s, since_s, begun_s;
    rule_t                 rule;
    fleet_t                fleet;
    int64_t                now;
    judge_t                judge;
    unsigned               confirmed;
    rollout_t              rollout;
    rollout_spec_t         spec;
    rollout_events_t       events;
    rollout_observation_t  seen;

    memset(outcome, 0, sizeof(*outcome));
    memset(&fleet, 0, sizeof(fleet));
    memset(&rule, 0, sizeof(rule));
    memset(&seen, 0, sizeof(seen));

    spec = *given;                 /* borrows its rules */
    if (what->weight > 0.0) {
        fix_weight(&spec, what->weight, what->limit_s);
    }

    fleet.state = seed;
    fleet.what = what;
    fleet.phase = uniform(&fleet);
    fleet.incident_until = -1e9;
    spread(fleet.slow[0], what->slower > 0.0 ? what->slower : 1.0);
    spread(fleet.slow[1], 1.0);

    now = START_MS;
    begun_s = -1.0;
    judge_init(&judge, &spec.analysis);
    rollout_init(&rollout, "simulation", now);
    seen.tick_ms = TICK_MS;
    seen.nodes_live = SIMULATE_NODES;

    for (at_s = 0.0; at_s < what->limit_s; at_s += 1.0) {
        now += TICK_MS;

        /* what is counted before it is seen that all have the weight */
        traffic(&fleet, at_s);
        confirmed = outcome->reverted ? SIMULATE_NODES
                    : confirm(&fleet, wanted_weight(&spec, &rollout));

        if (begun_s < 0.0 && fleet.counts[0] > 0) {
            begun_s = at_s;
        }

        since_s = at_s + 1.0 - fmax(begun_s, what->late_s);
        seen.nodes_confirmed = confirmed;

        if (rollout_moving(&rollout)) {
            observe(&fleet, &spec, &judge, &seen,
                    wanted_weight(&spec, &rollout),
                    begun_s < 0.0 ? 0.0 : at_s - begun_s);
        }

        if (!outcome->reverted) {
            rollout_tick(&spec, &rollout, &seen, now, &events);
        }

        if (rollout.state == ROLLOUT_REVERTING && !outcome->reverted) {
            outcome->reverted = true;
            outcome->revert_s = since_s;
        }

        if (begun_s >= 0.0 && at_s >= what->late_s && !outcome->threshold
            && rule_tick(&rule, fleet.counts))
        {
            outcome->threshold = true;
            outcome->threshold_s = since_s;
        }

        if (rollout.state == ROLLOUT_SUCCEEDED) {
            outcome->succeeded = true;
            break;
        }

        /* the rule goes on with the traffic that the canary would have */
        if (outcome->reverted && (outcome->threshold
                                  || since_s > 10.0 * MINUTE))
        {
            break;
        }
    }
}
