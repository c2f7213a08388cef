/*
 * The judgement: analysis.md says why it is right, reference.py is what it
 * must equal.  Wealth is kept as its logarithm; Ville (1939) bounds the
 * chance that the wealth of a fair game ever reaches 1/alpha by alpha.
 */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "judge.h"

#define CASH_SHARE          (1.0 / 1000.0)   /* of the cash, bet per tick */
#define SEEN_HALF_LIFE      120.0            /* ticks */
#define BASELINE_HALF_LIFE  60.0
#define BASELINE_MIN        200.0            /* decayed stable samples */
#define MAX_COUNT           (UINT64_C(1) << 53)

#define count_of(a)  (sizeof(a) / sizeof((a)[0]))

/* Kelly fractions of the bets on harm. */
static const double  fractions[] = { 0.05, 0.15, 0.4, 0.9 };
static const double  ratios_safe[] = { 0.0, 0.25, 0.5, 0.75 };
static const double  ratios_ceiling[] = { 1.25, 1.6, 2.5, 5.0, 10.0, 30.0,
                                          100.0 };


static double
log_add(double x, double y)
{
    double  t;

    if (x < y) {
        t = x;
        x = y;
        y = t;
    }

    return y == -INFINITY ? x : x + log1p(exp(y - x));
}


static double
decay(double half_life)
{
    return pow(2.0, -1.0 / half_life);
}


static void
wealth_init(judge_wealth_t *wealth, unsigned count)
{
    unsigned  i;

    wealth->count = count;
    wealth->cash = log(0.5);

    for (i = 0; i < count; i++) {
        wealth->bets[i] = log(0.5 / count);
    }
}


/*
 * growth is NULL for a tick that says nothing; cash moves in any case, so
 * that harm which begins late is found (Herbster & Warmuth 1998).
 */
static void
wealth_grow(judge_wealth_t *wealth, const double *growth)
{
    double    moved;
    unsigned  i;

    moved = wealth->cash + log(CASH_SHARE / wealth->count);
    wealth->cash += log1p(-CASH_SHARE);

    for (i = 0; i < wealth->count; i++) {
        if (growth != NULL) {
            wealth->bets[i] += growth[i];
        }

        wealth->bets[i] = log_add(wealth->bets[i], moved);
    }
}


static double
wealth_log(const judge_wealth_t *wealth)
{
    double    total;
    unsigned  i;

    total = wealth->cash;

    for (i = 0; i < wealth->count; i++) {
        total = log_add(total, wealth->bets[i]);
    }

    return total;
}


/*
 * The bet on "the canary did it" at fair odds, "Harm" in analysis.md: under
 * the null the canary's share x of the bad requests is at most fair.
 */
static void
harm_update(judge_harm_t *harm, double ratio, double n_c, double bad_c,
    double n_s, double bad_s)
{
    double    growth[count_of(fractions)], fair, x, keep;
    unsigned  i;

    if (n_c > 0 && n_s > 0 && bad_c + bad_s > 0) {
        fair = ratio * n_c / (ratio * n_c + n_s);
        x = bad_c / (bad_c + bad_s);

        for (i = 0; i < count_of(fractions); i++) {
            growth[i] = log1p(fractions[i] * (x / fair - 1.0));
        }

        wealth_grow(&harm->wealth, growth);

    } else {
        wealth_grow(&harm->wealth, NULL);
    }

    keep = decay(SEEN_HALF_LIFE);
    harm->seen = harm->seen * keep + n_c;
    harm->seen_bad = harm->seen_bad * keep + bad_c;
}


/* Above the floor by more than chance (3 sigma) and three requests? */
static bool
harm_material(const judge_harm_t *harm, double floor)
{
    double  expected;

    expected = floor * harm->seen;

    return harm->seen_bad > expected + 3.0 * sqrt(expected) + 3.0;
}


static double
harm_log(const judge_harm_t *harm, double floor)
{
    double  w;

    w = wealth_log(&harm->wealth);

    return harm_material(harm, floor) ? w : fmin(w, 0.0);
}


/* Log growth of a bet with the factor a for every bad request. */
static double
poisson_growth(double n, double bad, double a, double rate, double burst)
{
    double  won;

    if (a == 0.0 && bad > 0) {
        return -INFINITY;
    }

    won = bad > 0 ? bad * log(a) : 0.0;

    return (won + n * rate * (1.0 - a)) / burst;
}


/* Null: the canary's rate is at most max_error_rate; see "Ceiling".  A tick
 * in which nobody happened to go to stable must not open it: an incident that
 * hits both sides would look like harm. */
static void
ceiling_update(judge_t *judge, double n_c, double bad_c, double n_s,
    bool by_chance)
{
    double                 growth[count_of(ratios_ceiling)];
    unsigned               i;
    const judge_config_t  *config = &judge->config;

    if (!(n_c > 0 && n_s == 0) || by_chance) {
        wealth_grow(&judge->ceiling, NULL);
        return;
    }

    for (i = 0; i < count_of(ratios_ceiling); i++) {
        growth[i] = poisson_growth(n_c, bad_c, ratios_ceiling[i],
                                   config->max_error_rate, config->burst);
    }

    wealth_grow(&judge->ceiling, growth);
}


/* Null: the canary's rate is at least (1 + margin) stable's + slack; see
 * "Safe" for why the p_s terms cancel and for the division by burst. */
static void
safe_update(judge_t *judge, double n_c, double bad_c, double n_s,
    double bad_s)
{
    double                 growth[count_of(ratios_safe)], q, x, a, b;
    unsigned               i;
    const judge_config_t  *config = &judge->config;

    if (!(n_c > 0)) {
        wealth_grow(&judge->safe, NULL);
        return;
    }

    x = (1.0 + config->safe_margin) * n_c;

    for (i = 0; i < count_of(ratios_safe); i++) {
        q = ratios_safe[i];
        a = n_s > 0 ? q * (x + n_s) / (q * x + n_s) : q;
        b = n_s > 0 ? (x + n_s) / (q * x + n_s) : 1.0;

        growth[i] = poisson_growth(n_c, bad_c, a, config->safe_slack,
                                   config->burst);

        if (bad_s > 0) {
            growth[i] += bad_s * log(b) / config->burst;
        }
    }

    wealth_grow(&judge->safe, growth);
}


/* Requests of a histogram at or above an edge; all of them for edge 0. */
static double
count_above(const uint64_t *counts, double edge)
{
    uint64_t  n;
    unsigned  i;

    n = 0;

    for (i = 0; counts != NULL && i < HISTOGRAM_BUCKETS; i++) {
        if ((double) histogram_lower_edge(i) >= edge) {
            n += counts[i];
        }
    }

    return (double) n;
}


/*
 * Slow is what is slower than stable's quantile of earlier ticks; see
 * "Latency, the same bet".  The baseline must not hold this tick yet: the
 * threshold has to be known before the bet.
 */
static void
latency_update(judge_t *judge, unsigned k, const judge_tick_t *tick)
{
    double                   edge, limit, total;
    unsigned                 i;
    const judge_quantile_t  *quantile = &judge->config.latency[k];

    total = 0.0;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += judge->baseline[i];
    }

    if (total < BASELINE_MIN) {
        return;
    }

    edge = histogram_quantile(judge->baseline, quantile->quantile);

    /* A wider limit only makes the null hypothesis larger. */
    limit = fmax((1.0 + quantile->tolerance) * edge,
                 edge + 1000.0 * judge->config.latency_floor_ms);

    harm_update(&judge->latency[k], 1.0,
                count_above(tick->canary_latency, 0.0),
                count_above(tick->canary_latency, limit),
                count_above(tick->stable_latency, 0.0),
                count_above(tick->stable_latency, edge));
}


static void
baseline_update(judge_t *judge, const judge_tick_t *tick, double n_s,
    double bad_s)
{
    double    keep;
    unsigned  i;

    keep = decay(BASELINE_HALF_LIFE);

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        judge->baseline[i] *= keep;

        if (tick->stable_latency != NULL) {
            judge->baseline[i] += (double) tick->stable_latency[i];
        }
    }

    judge->base_requests = judge->base_requests * keep + n_s;
    judge->base_errors = judge->base_errors * keep + bad_s;
}


/* Sums stay where a double, and so JSON, holds them exactly. */
static uint64_t
add_count(uint64_t sum, uint64_t n)
{
    return n > MAX_COUNT - sum ? MAX_COUNT : sum + n;
}


static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}


void
judge_config_default(judge_config_t *config)
{
    memset(config, 0, sizeof(judge_config_t));

    config->alpha = 0.01;
    config->beta = 0.05;
    config->error_tolerance = 0.25;
    config->error_floor = 0.001;
    config->safe_margin = 0.5;
    config->safe_slack = 0.005;
    config->max_error_rate = 0.05;
    config->burst = 3.0;
    config->max_excess_errors = 0.0;
    config->latency_floor_ms = 0.0;
    config->stale_ticks = 30;
    config->latency_count = 2;
    config->latency[0].quantile = 0.5;
    config->latency[0].tolerance = 0.25;
    config->latency[1].quantile = 0.99;
    config->latency[1].tolerance = 0.25;
}


void
judge_init(judge_t *judge, const judge_config_t *config)
{
    unsigned  i;

    memset(judge, 0, sizeof(judge_t));

    judge->config = *config;

    wealth_init(&judge->errors.wealth, count_of(fractions));
    wealth_init(&judge->safe, count_of(ratios_safe));

    if (config->max_error_rate > 0) {
        wealth_init(&judge->ceiling, count_of(ratios_ceiling));
    }

    for (i = 0; i < config->latency_count; i++) {
        wealth_init(&judge->latency[i].wealth, count_of(fractions));
    }
}


bool
judge_by_chance(uint64_t canary_requests, unsigned canary_weight,
    unsigned stable_weight)
{
    return canary_weight > 0
           && (double) canary_requests * stable_weight
              >= 0.5 * canary_weight;
}


void
judge_tick(judge_t *judge, const judge_tick_t *tick)
{
    double    n_c, bad_c, n_s, bad_s;
    unsigned  i;
    uint64_t  count[4];

    /* more errors than requests would be a caller's fault: no evidence */

    count[0] = tick->canary_requests;
    count[1] = least(tick->canary_errors, tick->canary_requests);
    count[2] = tick->stable_requests;
    count[3] = least(tick->stable_errors, tick->stable_requests);

    n_c = (double) count[0];
    bad_c = (double) count[1];
    n_s = (double) count[2];
    bad_s = (double) count[3];

    harm_update(&judge->errors, 1.0 + judge->config.error_tolerance, n_c,
                bad_c, n_s, bad_s);
    safe_update(judge, n_c, bad_c, n_s, bad_s);

    if (judge->config.max_error_rate > 0) {
        ceiling_update(judge, n_c, bad_c, n_s, tick->stable_by_chance);
    }

    for (i = 0; i < judge->config.latency_count; i++) {
        latency_update(judge, i, tick);
    }

    baseline_update(judge, tick, n_s, bad_s);

    if (judge->base_requests > 0) {
        judge->excess += bad_c
                         - n_c * judge->base_errors / judge->base_requests;
    }

    judge->silent = count[0] ? 0 : add_count(judge->silent, 1);
    judge->ticks = add_count(judge->ticks, 1);

    for (i = 0; i < 4; i++) {
        judge->total[i] = add_count(judge->total[i], count[i]);
    }
}


/* The mean of e-values is an e-value under any dependence. */
static double
evidence(const judge_t *judge, judge_result_t *result)
{
    double    sum;
    unsigned  i, n;

    sum = log_add(-INFINITY, result->log_errors);
    n = 1;

    if (result->has_ceiling) {
        sum = log_add(sum, result->log_ceiling);
        n++;
    }

    for (i = 0; i < result->latency_count; i++) {
        sum = log_add(sum, result->log_latency[i]);
        n++;
    }

    return sum - log(n);
}


static judge_verdict_t
verdict(const judge_t *judge, const judge_result_t *result)
{
    const judge_config_t  *config = &judge->config;

    if (result->log_evidence >= -log(config->alpha)) {
        return JUDGE_HARM;
    }

    if (config->max_excess_errors > 0
        && judge->excess >= config->max_excess_errors)
    {
        return JUDGE_BUDGET;
    }

    if (judge->silent >= config->stale_ticks) {
        return JUDGE_NO_DATA;
    }

    if (config->max_error_rate > 0 && judge->base_requests > 0
        && judge->base_errors / judge->base_requests
           > config->max_error_rate)
    {
        return JUDGE_INCIDENT;
    }

    if (result->log_safe >= -log(config->beta)) {
        return JUDGE_SAFE;
    }

    return JUDGE_WATCHING;
}


void
judge_result(const judge_t *judge, judge_result_t *result)
{
    unsigned               i;
    const judge_config_t  *config = &judge->config;

    memset(result, 0, sizeof(judge_result_t));

    result->log_errors = harm_log(&judge->errors, config->error_floor);
    result->log_safe = wealth_log(&judge->safe);
    result->has_ceiling = config->max_error_rate > 0;

    if (result->has_ceiling) {
        result->log_ceiling = wealth_log(&judge->ceiling);
    }

    result->latency_count = config->latency_count;

    for (i = 0; i < config->latency_count; i++) {
        result->log_latency[i] = harm_log(&judge->latency[i],
                                          1.0 - config->latency[i].quantile);
    }

    result->excess_errors = judge->excess;
    memcpy(result->requests, judge->total, sizeof(result->requests));

    result->log_evidence = evidence(judge, result);
    result->verdict = verdict(judge, result);
}


/*
 * With e_c = p_c n_c and e_s = p_s n_s, a bet grows for each canary request by
 * (p_c ln A + p_s (n_s / n_c) ln B + slack (1 - A)) / burst.
 */
double
judge_needed(const judge_t *judge)
{
    double                 n_c, n_s, p_c, p_s, x, q, a, b, growth, limit;
    double                 needed, best;
    unsigned               i;
    const judge_config_t  *config = &judge->config;

    limit = -log(config->beta);

    if (wealth_log(&judge->safe) >= limit) {
        return 0.0;
    }

    n_c = (double) judge->total[0];
    n_s = (double) judge->total[2];

    if (!(n_c > 0)) {
        return -1.0;
    }

    p_c = (double) judge->total[1] / n_c;
    p_s = n_s > 0 ? (double) judge->total[3] / n_s : 0.0;
    x = (1.0 + config->safe_margin) * n_c;
    best = -1.0;

    for (i = 0; i < count_of(ratios_safe); i++) {
        q = ratios_safe[i];
        a = n_s > 0 ? q * (x + n_s) / (q * x + n_s) : q;
        b = n_s > 0 ? (x + n_s) / (q * x + n_s) : 1.0;

        growth = poisson_growth(1.0, p_c, a, config->safe_slack,
                                config->burst)
                 + p_s * n_s / n_c * log(b) / config->burst;

        if (!(growth > 0.0) || judge->safe.bets[i] == -INFINITY) {
            continue;
        }

        needed = (limit - judge->safe.bets[i]) / growth;

        if (needed >= 0.0 && (best < 0.0 || needed < best)) {
            best = needed;
        }
    }

    return best;
}


const char *
judge_verdict_name(judge_verdict_t verdict)
{
    static const char *const  names[] = {
        "watching", "safe", "incident", "no_data", "budget", "harm"
    };

    return (unsigned) verdict < count_of(names) ? names[verdict] : "unknown";
}


/* Cut, not rounded: odds below the limit must not look like the limit.  The
 * nudge gives back what exp(log(x)) may lose. */
static double
cut(double x, double digits)
{
    return floor(x * digits * (1.0 + 1e-9)) / digits;
}


char *
judge_odds(double log_evidence, char *buf, unsigned size)
{
    double  odds;

    odds = exp(log_evidence);

    if (!(odds >= 0.01)) {
        snprintf(buf, size, "1 : <0.01");

    } else if (odds < 10.0) {
        snprintf(buf, size, "1 : %g", cut(odds, 100.0));

    } else if (odds < 1e6 * (1.0 - 1e-9)) {
        snprintf(buf, size, "1 : %.0f", cut(odds, 1.0));

    } else {
        snprintf(buf, size, "1 : 10^%.0f",
                 floor(log_evidence / log(10.0) + 1e-9));
    }

    return buf;
}
