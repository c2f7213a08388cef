/* simulate: what a spec does to harmless and harmful canaries, offline. */

#include "ctl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate.h"
#include "core/value.h"
#include "lib/yaml.h"

#define SIMULATE_RUNS  200

/* Without a spec: the default steps, but stable keeps a part to the end.
 * Where it has none, nobody can tell an incident from a bad version. */
#define SIMULATE_STEPS                                                       \
    "[{\"weight\":1,\"hold\":\"60s\"},{\"weight\":10,\"hold\":\"2m\"},"        \
    "{\"weight\":50,\"hold\":\"2m\"},{\"weight\":95,\"hold\":\"5m\"}]"

/* Of all runs of a case. */
typedef struct {
    unsigned  reverted;
    unsigned  succeeded;
    unsigned  threshold;
    double    median_s;            /* of those reverted; -1: none */
    double    p95_s;
    double    rule_median_s;
    double    rule_p95_s;
} simulate_sum_t;

static int simulate_spec(const ctl_args_t *args, rollout_spec_t *spec);
static int simulate_case(const simulate_case_t *what,
    const rollout_spec_t *spec, unsigned number, unsigned runs,
    uint64_t seed, simulate_sum_t *sum);
static void simulate_print(const simulate_case_t *what,
    const simulate_sum_t *sum, unsigned runs, bool *headed);
static bool simulate_add(cJSON *list, const simulate_case_t *what,
    const simulate_sum_t *sum, unsigned runs);


int
ctl_simulate(const ctl_args_t *args, const char *command)
{
    int                     rc;
    bool                    found, headed[2];
    char                   *text;
    cJSON                  *json, *list;
    unsigned                i, runs;
    rollout_spec_t          spec;
    simulate_sum_t          sum;
    const simulate_case_t  *what;

    memset(&spec, 0, sizeof(rollout_spec_t));

    rc = simulate_spec(args, &spec);
    if (rc) {
        return rc;
    }

    rc = CTL_FAILED;
    text = NULL;
    found = false;
    headed[0] = false;
    headed[1] = false;
    runs = args->runs ? (unsigned) args->runs : SIMULATE_RUNS;
    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "cases");

    if (cJSON_AddNumberToObject(json, "alpha", spec.analysis.alpha) == NULL
        || cJSON_AddNumberToObject(json, "seed", (double) args->seed) == NULL)
    {
        ctl_error("out of memory");
        goto done;
    }

    for (i = 0; i < simulate_case_count; i++) {
        what = &simulate_cases[i];

        if (args->simulated != NULL
            && strcmp(args->simulated, what->name) != 0)
        {
            continue;
        }

        found = true;

        if (simulate_case(what, &spec, i, runs, (uint64_t) args->seed, &sum)
            || !simulate_add(list, what, &sum, runs))
        {
            ctl_error("out of memory");
            goto done;
        }

        if (!args->json) {
            simulate_print(what, &sum, runs, headed);
        }
    }

    if (!found) {
        ctl_error("--case: there is no \"%.40s\"", args->simulated);
        rc = CTL_USAGE;
        goto done;
    }

    if (args->json) {
        text = cJSON_PrintUnformatted(json);
        printf("%s\n", text ? text : "");

    } else {
        printf("\nthreshold: more than 1 %% of the canary's requests fail in "
               "two full minutes, looked at each minute\n");
    }

    rc = CTL_OK;

done:

    cJSON_free(text);
    cJSON_Delete(json);
    spec_free(&spec);

    return rc;
}


/* The spec of -f and the flags; upstream and canary may be left out. */
static int
simulate_spec(const ctl_args_t *args, rollout_spec_t *spec)
{
    int            rc;
    cJSON         *json;
    spec_error_t   refused;

    json = ctl_spec(args, &rc);
    if (json == NULL) {
        return rc;
    }

    if (!cJSON_HasObjectItem(json, "upstream")) {
        cJSON_AddStringToObject(json, "upstream", "app");
    }

    if (!cJSON_HasObjectItem(json, "canary")) {
        cJSON_AddStringToObject(json, "canary", "canary");
    }

    if (args->file == NULL && !cJSON_HasObjectItem(json, "steps")
        && !cJSON_HasObjectItem(json, "strategy"))
    {
        cJSON_AddItemToObject(json, "steps", cJSON_Parse(SIMULATE_STEPS));
        cJSON_DeleteItemFromObjectCaseSensitive(json, "bake");
        cJSON_AddStringToObject(json, "bake", "0s");
    }

    rc = CTL_OK;

    if (spec_parse(json, spec, &refused) != 0) {
        ctl_error("%s%s%s", refused.field,
                  refused.field[0] != '\0' ? ": " : "", refused.detail);
        rc = CTL_FAILED;

    } else if (spec->strategy != SPEC_CANARY
               && spec->strategy != SPEC_BLUE_GREEN)
    {
        ctl_error("strategy: only canary and blue-green are simulated, "
                  "not %s", spec_strategy_name(spec->strategy));
        spec_free(spec);
        rc = CTL_FAILED;
    }

    cJSON_Delete(json);

    return rc;
}


static int
simulate_compare(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}


/* The q-quantile; sorts.  -1: there are none. */
static double
simulate_quantile(double *seconds, unsigned count, double q)
{
    if (count == 0) {
        return -1.0;
    }

    qsort(seconds, count, sizeof(double), simulate_compare);

    return seconds[(unsigned) fmin(count - 1, floor(q * count))];
}


static int
simulate_case(const simulate_case_t *what, const rollout_spec_t *spec,
    unsigned number, unsigned runs, uint64_t seed, simulate_sum_t *sum)
{
    double              *seconds, *rule;
    unsigned             i;
    simulate_outcome_t   outcome;

    memset(sum, 0, sizeof(*sum));
    seconds = calloc(runs, sizeof(double));
    rule = calloc(runs, sizeof(double));

    if (seconds == NULL || rule == NULL) {
        free(seconds);
        free(rule);
        return -1;
    }

    for (i = 0; i < runs; i++) {
        simulate_run(what, spec, seed * UINT64_C(1000003)
                     + number * UINT64_C(10000019) + i, &outcome);

        sum->succeeded += outcome.succeeded;

        if (outcome.reverted) {
            seconds[sum->reverted++] = outcome.revert_s;
        }

        if (outcome.threshold) {
            rule[sum->threshold++] = outcome.threshold_s;
        }
    }

    sum->median_s = simulate_quantile(seconds, sum->reverted, 0.5);
    sum->p95_s = simulate_quantile(seconds, sum->reverted, 0.95);
    sum->rule_median_s = simulate_quantile(rule, sum->threshold, 0.5);
    sum->rule_p95_s = simulate_quantile(rule, sum->threshold, 0.95);

    free(seconds);
    free(rule);

    return 0;
}


static void
simulate_print(const simulate_case_t *what, const simulate_sum_t *sum,
    unsigned runs, bool *headed)
{
    char  label[160];

    snprintf(label, sizeof(label), "%-12s %s", what->name, what->what);

    if (!headed[what->harmful]) {
        headed[what->harmful] = true;

        if (what->harmful) {
            printf("%s%-56s %8s %8s %8s   %s\n", headed[0] ? "\n" : "",
                   "harmful canary, at a fixed weight", "reverted", "median",
                   "95 %", "threshold: median, 95 %");
        } else {
            printf("%-56s %8s %9s   %s\n", "harmless canary", "reverted",
                   "succeeded", "reverted by threshold");
        }
    }

    if (!what->harmful) {
        printf("%-56s %6.2f %% %7.1f %%   %6.1f %%\n", label,
               100.0 * sum->reverted / runs, 100.0 * sum->succeeded / runs,
               100.0 * sum->threshold / runs);
        return;
    }

    printf("%-56s %6.1f %% ", label, 100.0 * sum->reverted / runs);

    if (sum->reverted > 0) {
        printf("%6.0f s %6.0f s   ", sum->median_s, sum->p95_s);
    } else {
        printf("%8s %8s   ", "-", "-");
    }

    if (sum->threshold > 0) {
        printf("%.0f s, %.0f s\n", sum->rule_median_s, sum->rule_p95_s);
    } else {
        printf("never\n");
    }
}


static cJSON *
simulate_seconds(double seconds)
{
    return seconds < 0.0 ? cJSON_CreateNull() : cJSON_CreateNumber(seconds);
}


static bool
simulate_add(cJSON *list, const simulate_case_t *what,
    const simulate_sum_t *sum, unsigned runs)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    return value_push(list, json)
           && value_put(json, "case", cJSON_CreateString(what->name))
           && value_put(json, "what", cJSON_CreateString(what->what))
           && value_put(json, "harmful", cJSON_CreateBool(what->harmful))
           && value_put(json, "runs", cJSON_CreateNumber(runs))
           && value_put(json, "reverted",
                        cJSON_CreateNumber((double) sum->reverted / runs))
           && value_put(json, "succeeded",
                        cJSON_CreateNumber((double) sum->succeeded / runs))
           && value_put(json, "median_s", simulate_seconds(sum->median_s))
           && value_put(json, "p95_s", simulate_seconds(sum->p95_s))
           && value_put(json, "threshold_reverted",
                        cJSON_CreateNumber((double) sum->threshold / runs))
           && value_put(json, "threshold_median_s",
                        simulate_seconds(sum->rule_median_s))
           && value_put(json, "threshold_p95_s",
                        simulate_seconds(sum->rule_p95_s));
}
