#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/codec.h"
#include "core/text.h"
#include "core/value.h"
#include "release.h"

#define RELEASE_MAX_TEXT  (1024 * 1024)


void
release_new_id(char id[RELEASE_ID_LEN], const char *upstream)
{
    unsigned char  random[5];

    if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        abort();
    }

    snprintf(id, RELEASE_ID_LEN, "%.63s-%02x%02x%02x%02x%02x", upstream,
             random[0], random[1], random[2], random[3], random[4]);
}


int
release_upstream(const char *id, char upstream[SPEC_NAME_LEN])
{
    size_t  i, len;

    len = strlen(id);

    if (len <= RELEASE_TAG_LEN + 1 || len >= RELEASE_ID_LEN
        || len - RELEASE_TAG_LEN - 1 >= SPEC_NAME_LEN)
    {
        return -1;
    }

    for (i = len - RELEASE_TAG_LEN; i < len; i++) {
        if (!isdigit((unsigned char) id[i]) && (id[i] < 'a' || id[i] > 'f')) {
            return -1;
        }
    }

    len -= RELEASE_TAG_LEN + 1;

    if (id[len] != '-') {
        return -1;
    }

    memcpy(upstream, id, len);
    upstream[len] = '\0';

    return store_name_valid(upstream) ? 0 : -1;
}


/* Takes the json; never NULL. */
static char *
release_print(cJSON *json)
{
    char  *text;

    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (text == NULL) {
        abort();
    }

    return text;
}


char *
release_text(const release_t *release)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "id", release->id);
    cJSON_AddStringToObject(json, "stable", release->stable);
    cJSON_AddNumberToObject(json, "revision", (double) release->revision);
    cJSON_AddNumberToObject(json, "created", (double) release->created_ms);
    cJSON_AddNumberToObject(json, "updated", (double) release->updated_ms);
    cJSON_AddNumberToObject(json, "finished", (double) release->finished_ms);
    cJSON_AddItemToObject(json, "spec", spec_print(&release->spec));
    cJSON_AddItemToObject(json, "state", rollout_print(&release->state));

    return release_print(json);
}


static bool
release_number(const cJSON *json, const char *name, int64_t *value)
{
    return value_read_integer(cJSON_GetObjectItemCaseSensitive(json, name),
                              0, VALUE_MAX_INT, value);
}


int
release_parse(const char *text, release_t *release)
{
    int           rc;
    cJSON        *json;
    int64_t       revision;
    const cJSON  *id, *stable, *spec, *state;
    spec_error_t  error;

    memset(release, 0, sizeof(release_t));

    if (text == NULL || strlen(text) > RELEASE_MAX_TEXT) {
        return -1;
    }

    rc = -1;
    json = cJSON_Parse(text);

    id = cJSON_GetObjectItemCaseSensitive(json, "id");
    stable = cJSON_GetObjectItemCaseSensitive(json, "stable");
    spec = cJSON_GetObjectItemCaseSensitive(json, "spec");
    state = cJSON_GetObjectItemCaseSensitive(json, "state");

    if (!cJSON_IsString(id) || strlen(id->valuestring) >= RELEASE_ID_LEN
        || !cJSON_IsString(stable) || !store_name_valid(stable->valuestring)
        || !release_number(json, "revision", &revision)
        || !release_number(json, "created", &release->created_ms)
        || !release_number(json, "updated", &release->updated_ms)
        || !release_number(json, "finished", &release->finished_ms)
        || spec_parse(spec, &release->spec, &error) != 0
        || rollout_parse(state, &release->state) != 0)
    {
        goto done;
    }

    strcpy(release->id, id->valuestring);
    strcpy(release->stable, stable->valuestring);
    release->revision = (uint64_t) revision;
    rc = 0;

done:

    cJSON_Delete(json);

    if (rc != 0) {
        release_free(release);
    }

    return rc;
}


void
release_free(release_t *release)
{
    spec_free(&release->spec);
    memset(release, 0, sizeof(release_t));
}


int
release_rebuild(release_t *release, const char *id, const char *upstream,
    const record_t *present)
{
    int            rc;
    cJSON         *json;
    unsigned       i;
    const char    *canary;
    spec_error_t   error;

    memset(release, 0, sizeof(release_t));
    canary = present->canary;

    for (i = 0; i < present->group_count && canary[0] == '\0'; i++) {
        if (strcmp(present->groups[i].name, present->stable) != 0) {
            canary = present->groups[i].name;
        }
    }

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "upstream", upstream);
    cJSON_AddStringToObject(json, "canary", canary);
    rc = spec_parse(json, &release->spec, &error);
    cJSON_Delete(json);

    if (rc != 0 || !store_name_valid(present->stable)) {
        release_free(release);
        return -1;
    }

    text_copy(release->id, sizeof(release->id), id);
    text_copy(release->stable, sizeof(release->stable), present->stable);
    rollout_init(&release->state, "canaryd", 0);
    release->revision = present->revision;

    return 0;
}


const char *
release_arm(const release_t *release, unsigned number)
{
    if (release->spec.arm_count > 0) {
        return number < release->spec.arm_count
               ? release->spec.arms[number].name : "";
    }

    return number == 0 ? release->spec.canary : "";
}


const char *
release_baseline(const release_t *release, unsigned number)
{
    return strcmp(release->stable, release_arm(release, number)) == 0
           ? "" : release->stable;
}


/* q-quantile in ms; -1 where there is none. */
static double
release_quantile(const tally_cell_t *cell, double q)
{
    double    counts[HISTOGRAM_BUCKETS], us;
    unsigned  i;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counts[i] = (double) cell->latency[i];
    }

    us = histogram_quantile(counts, q);

    return us < 0.0 ? -1.0 : us / 1000.0;
}


rollout_slo_t
release_slo(const spec_slo_t *slo, const tally_cell_t *step, char *detail)
{
    double    rate, ms;
    unsigned  i;

    const struct {
        const char  *name;
        double       q, limit;
    } latency[] = {
        { "p50", 0.5, slo->p50_ms }, { "p95", 0.95, slo->p95_ms },
        { "p99", 0.99, slo->p99_ms }
    };

    detail[0] = '\0';

    if (slo->min_requests == 0) {
        return ROLLOUT_SLO_MET;
    }

    if (step->requests < slo->min_requests) {
        snprintf(detail, ROLLOUT_REASON_LEN, "%llu of %llu requests that are "
                 "needed to say", (unsigned long long) step->requests,
                 (unsigned long long) slo->min_requests);
        return ROLLOUT_SLO_FEW;
    }

    rate = (double) step->errors / (double) step->requests;

    if (slo->error_rate > 0.0 && rate > slo->error_rate) {
        snprintf(detail, ROLLOUT_REASON_LEN, "%.3g %% errors, above %.3g %%",
                 rate * 100.0, slo->error_rate * 100.0);
        return ROLLOUT_SLO_UNMET;
    }

    for (i = 0; i < sizeof(latency) / sizeof(latency[0]); i++) {
        ms = release_quantile(step, latency[i].q);

        if (latency[i].limit > 0.0 && ms > latency[i].limit) {
            snprintf(detail, ROLLOUT_REASON_LEN, "%s is %.4g ms, above %.4g "
                     "ms", latency[i].name, ms, latency[i].limit);
            return ROLLOUT_SLO_UNMET;
        }
    }

    return ROLLOUT_SLO_MET;
}


void
release_success(const release_t *release, const rollout_t *before,
    store_commit_t *commit)
{
    bool  had, has;

    had = before->state == ROLLOUT_SUCCEEDED;
    has = release->state.state == ROLLOUT_SUCCEEDED;

    if (had == has || release->spec.arm_count > 0
        || release->spec.version[0] == '\0'
        || release->spec.environment[0] == '\0')
    {
        return;
    }

    commit->environment = release->spec.environment;
    commit->version = release->spec.version;
    commit->taken_back = had;
}


void
evidence_init(evidence_t *evidence, const release_t *release)
{
    unsigned        i;
    judge_config_t  config;

    memset(evidence, 0, sizeof(evidence_t));
    spec_arm_analysis(&release->spec, &config);
    evidence->arm_count = release->spec.arm_count > 0
                          ? release->spec.arm_count : 1;

    for (i = 0; i < evidence->arm_count; i++) {
        judge_init(&evidence->arms[i].judge, &config);
    }

    series_init(&evidence->series, evidence->arm_count);
    strcpy(evidence->position, "0-0");
}


static void
evidence_put_arm(cJSON *json, const evidence_arm_t *arm)
{
    cJSON_AddNumberToObject(json, "first", (double) arm->first_ms);
    cJSON_AddItemToObject(json, "judge", judge_print(&arm->judge));
    cJSON_AddItemToObject(json, "canary", traffic_print(&arm->traffic));
}


static void
evidence_put_step(cJSON *json, const tally_cell_t *cell)
{
    char       name[16];
    cJSON     *step, *latency;
    unsigned   i;

    step = cJSON_AddObjectToObject(json, "step");
    cJSON_AddNumberToObject(step, "requests", (double) cell->requests);
    cJSON_AddNumberToObject(step, "errors", (double) cell->errors);
    latency = cJSON_AddObjectToObject(step, "latency");

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (cell->latency[i] > 0) {
            snprintf(name, sizeof(name), "%u", i);
            cJSON_AddNumberToObject(latency, name,
                                    (double) cell->latency[i]);
        }
    }
}


char *
evidence_text(const evidence_t *evidence)
{
    char      *series;
    cJSON     *json, *list, *arm;
    unsigned   i;

    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "position", evidence->position);
    cJSON_AddNumberToObject(json, "judged", (double) evidence->judged_ms);
    cJSON_AddItemToObject(json, "stable", traffic_print(&evidence->stable));
    evidence_put_arm(json, &evidence->arms[0]);

    if (evidence->step.requests > 0) {
        evidence_put_step(json, &evidence->step);
    }

    if (evidence->arm_count > 1) {
        list = cJSON_AddArrayToObject(json, "others");

        for (i = 1; i < evidence->arm_count; i++) {
            arm = cJSON_CreateObject();
            evidence_put_arm(arm, &evidence->arms[i]);
            cJSON_AddItemToArray(list, arm);
        }
    }

    series = series_text(&evidence->series);
    cJSON_AddStringToObject(json, "series", series);
    free(series);

    return release_print(json);
}


void
evidence_sample(evidence_t *evidence, const release_t *release,
    int64_t now_ms)
{
    unsigned           i;
    series_arm_t      *arm;
    judge_result_t     result;
    series_point_t     point;
    rollout_routing_t  routing;

    rollout_routing(&release->spec, &release->state, &routing);
    memset(&point, 0, sizeof(series_point_t));
    point.at_ms = now_ms;
    series_group(&point.stable, &evidence->stable);

    for (i = 0; i < evidence->arm_count; i++) {
        arm = &point.arms[i];
        judge_result(&evidence->arms[i].judge, &result);

        arm->weight = !routing.touch ? 0
                      : release->spec.arm_count > 0
                        ? (int32_t) routing.arms[i]
                        : (int32_t) routing.canary_weight;
        arm->evidence = series_log(result.log_evidence);
        arm->safe = series_log(result.log_safe);
        series_group(&arm->traffic, &evidence->arms[i].traffic);
    }

    series_add(&evidence->series, &point);
}


/* "milliseconds-number"; -1 if it is not that. */
static int
evidence_position(const char *text, uint64_t *ms, uint64_t *number)
{
    char                extra;
    unsigned long long  a, b;

    if (!isdigit((unsigned char) text[0])
        || sscanf(text, "%20llu-%20llu%c", &a, &b, &extra) != 2
        || a > VALUE_MAX_INT || b > VALUE_MAX_INT)
    {
        return -1;
    }

    *ms = a;
    *number = b;

    return 0;
}


bool
evidence_after(const char *a, const char *b)
{
    uint64_t  a_ms, a_number, b_ms, b_number;

    if (evidence_position(a, &a_ms, &a_number) != 0) {
        return false;
    }

    if (evidence_position(b, &b_ms, &b_number) != 0) {
        return true;
    }

    return a_ms > b_ms || (a_ms == b_ms && a_number > b_number);
}


static int
evidence_read_arm(const cJSON *json, const judge_config_t *config,
    evidence_arm_t *arm)
{
    if (!release_number(json, "first", &arm->first_ms)
        || judge_parse(cJSON_GetObjectItemCaseSensitive(json, "judge"),
                       config, &arm->judge) != 0)
    {
        return -1;
    }

    traffic_parse(cJSON_GetObjectItemCaseSensitive(json, "canary"),
                  &arm->traffic);

    return 0;
}


/* What is not understood counts as nothing: objectives are then asked for
 * over the rest of the step. */
static void
evidence_read_step(const cJSON *json, tally_cell_t *cell)
{
    char          *end;
    int64_t        n, e, count;
    const cJSON   *item;
    unsigned long  index;

    if (!release_number(json, "requests", &n)
        || !release_number(json, "errors", &e) || e > n)
    {
        return;
    }

    cell->requests = (uint64_t) n;
    cell->errors = (uint64_t) e;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json,
                                                              "latency"))
    {
        index = item->string != NULL ? strtoul(item->string, &end, 10)
                                     : HISTOGRAM_BUCKETS;

        if (index < HISTOGRAM_BUCKETS && *end == '\0'
            && value_read_integer(item, 0, VALUE_MAX_INT, &count))
        {
            cell->latency[index] = (uint64_t) count;
        }
    }
}


int
evidence_parse(const char *text, const release_t *release,
    evidence_t *evidence)
{
    int             rc;
    cJSON          *json;
    uint64_t        ms, number;
    unsigned        i;
    const cJSON    *position, *others;
    judge_config_t  config;

    memset(evidence, 0, sizeof(evidence_t));

    if (text == NULL || strlen(text) > RELEASE_MAX_TEXT) {
        return -1;
    }

    rc = -1;
    json = cJSON_Parse(text);
    position = cJSON_GetObjectItemCaseSensitive(json, "position");
    others = cJSON_GetObjectItemCaseSensitive(json, "others");
    spec_arm_analysis(&release->spec, &config);
    evidence->arm_count = release->spec.arm_count > 0
                          ? release->spec.arm_count : 1;

    if (!cJSON_IsString(position)
        || strlen(position->valuestring) >= STORE_POSITION_LEN
        || evidence_position(position->valuestring, &ms, &number) != 0
        || !release_number(json, "judged", &evidence->judged_ms)
        || evidence_read_arm(json, &config, &evidence->arms[0]) != 0
        || cJSON_GetArraySize(others) != (int) evidence->arm_count - 1)
    {
        goto done;
    }

    for (i = 1; i < evidence->arm_count; i++) {
        if (evidence_read_arm(cJSON_GetArrayItem(others, (int) i - 1),
                              &config, &evidence->arms[i]) != 0)
        {
            goto done;
        }
    }

    strcpy(evidence->position, position->valuestring);
    traffic_parse(cJSON_GetObjectItemCaseSensitive(json, "stable"),
                  &evidence->stable);
    evidence_read_step(cJSON_GetObjectItemCaseSensitive(json, "step"),
                       &evidence->step);
    series_parse(cJSON_GetStringValue(
                     cJSON_GetObjectItemCaseSensitive(json, "series")),
                 evidence->arm_count, &evidence->series);
    rc = 0;

done:

    cJSON_Delete(json);

    return rc;
}


bool
release_route(release_t *release, const record_t *present, record_t *wanted)
{
    rollout_routing_t  routing;

    *wanted = *present;
    rollout_routing(&release->spec, &release->state, &routing);

    if (!routing.touch) {
        return false;
    }

    record_route(wanted, &release->spec, release->stable, release->id,
                 &routing);

    if (record_equal(wanted, present)) {
        return false;
    }

    wanted->revision = present->revision + 1;
    release->revision = wanted->revision;

    return true;
}
