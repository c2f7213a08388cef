/* GET /v1/rollouts/{id}/series: what charts are drawn from. */

#include <math.h>
#include <string.h>

#include "api_internal.h"
#include "core/value.h"

/* Four buckets of the histogram together: 4 of each octave are shown. */
#define LATENCY_JOIN  4
#define LATENCY_BINS  (HISTOGRAM_BUCKETS / LATENCY_JOIN)


static double
api_bin_edge(unsigned bin)
{
    return (double) histogram_lower_edge(bin * LATENCY_JOIN) / 1000.0;
}


/* Shares of the requests that were timed; false if there are none. */
static bool
api_bins(const traffic_t *traffic, double bins[LATENCY_BINS])
{
    double    total;
    unsigned  i;

    total = 0.0;
    memset(bins, 0, LATENCY_BINS * sizeof(double));

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        bins[i / LATENCY_JOIN] += traffic->latency[i];
        total += traffic->latency[i];
    }

    for (i = 0; i < LATENCY_BINS && total > 0.0; i++) {
        bins[i] = round(bins[i] / total * 1e5) / 1e5;
    }

    return total > 0.0;
}


/* The bins of one group within those that are shown. */
static bool
api_put_bins(cJSON *json, const char *name, const double bins[LATENCY_BINS],
    unsigned first, unsigned last)
{
    cJSON     *list;
    unsigned   i;

    list = cJSON_AddArrayToObject(json, name);

    for (i = first; i < last; i++) {
        if (!value_push(list, cJSON_CreateNumber(bins[i]))) {
            return false;
        }
    }

    return true;
}


static cJSON *
api_latency(const evidence_t *evidence, const release_t *release)
{
    cJSON     *json, *groups;
    double     edges[2][LATENCY_BINS], bins[1 + SPEC_MAX_ARMS][LATENCY_BINS];
    unsigned   i, n, first, last;

    (void) api_bins(&evidence->stable, bins[0]);

    for (n = 0; n < evidence->arm_count; n++) {
        (void) api_bins(&evidence->arms[n].traffic, bins[n + 1]);
    }

    first = LATENCY_BINS;
    last = 0;

    for (i = 0; i < LATENCY_BINS; i++) {
        edges[0][i] = api_bin_edge(i);
        edges[1][i] = api_bin_edge(i + 1);

        for (n = 0; n <= evidence->arm_count; n++) {
            if (bins[n][i] > 0.0) {
                first = first < i ? first : i;
                last = i + 1;
            }
        }
    }

    json = cJSON_CreateObject();

    if (!api_put_bins(json, "from_ms", edges[0], first, last)
        || !api_put_bins(json, "to_ms", edges[1], first, last)
        || !api_put_bins(json, "stable", bins[0], first, last)
        || !api_put_bins(json, "canary", bins[1], first, last))
    {
        goto no_memory;
    }

    if (release->spec.arm_count > 0) {
        groups = cJSON_AddObjectToObject(json, "groups");

        for (n = 0; n < evidence->arm_count; n++) {
            if (!api_put_bins(groups, release_arm(release, n), bins[n + 1],
                              first, last))
            {
                goto no_memory;
            }
        }
    }

    return json;

no_memory:

    cJSON_Delete(json);

    return NULL;
}


/* With each group of an experiment by its name. */
static cJSON *
api_points(const evidence_t *evidence, const release_t *release)
{
    cJSON     *json, *groups;
    unsigned   i;

    json = series_json(&evidence->series);

    if (json == NULL || release->spec.arm_count == 0) {
        return json;
    }

    groups = cJSON_AddObjectToObject(json, "groups");

    for (i = 0; i < evidence->arm_count; i++) {
        if (!value_put(groups, release_arm(release, i),
                       series_arm_json(&evidence->series, i)))
        {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static void
api_series_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    cJSON            *json;
    release_t         release;
    evidence_t        evidence;
    api_job_t        *job = arg;
    judge_config_t    analysis;

    if (status != STORE_OK) {
        api_job_store(job, status);
        return;
    }

    if (all->doc == NULL) {
        api_job_problem(job, 404, NULL, "no such rollout", NULL);
        return;
    }

    if (release_parse(all->doc, &release) != 0) {
        api_job_problem(job, 500, NULL, "the rollout's document is damaged",
                        NULL);
        return;
    }

    if (evidence_parse(all->evidence, &release, &evidence) != 0) {
        evidence_init(&evidence, &release);
    }

    spec_arm_analysis(&release.spec, &analysis);
    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "id", release.id);
    cJSON_AddStringToObject(json, "stable_group", release.stable);
    cJSON_AddStringToObject(json, "canary_group", release.spec.canary);
    cJSON_AddNumberToObject(json, "interval_ms",
                            (double) evidence.series.interval_ms);
    cJSON_AddNumberToObject(json, "harm_at", -log(analysis.alpha));
    cJSON_AddNumberToObject(json, "safe_at", -log(analysis.beta));

    if (!value_put(json, "series", api_points(&evidence, &release))
        || !value_put(json, "latency", api_latency(&evidence, &release)))
    {
        cJSON_Delete(json);
        api_job_problem(job, 503, NULL, "out of memory", NULL);

    } else {
        api_job_json(job, 200, json);
    }

    release_free(&release);
}


void
api_series(void *arg, http_exchange_t *exchange)
{
    api_read_rollout(arg, exchange, api_series_got);
}
