#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/codec.h"
#include "core/text.h"
#include "core/value.h"
#include "lib/timefmt.h"
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

    return rc;
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
        return -1;
    }

    text_copy(release->id, sizeof(release->id), id);
    text_copy(release->stable, sizeof(release->stable), present->stable);
    rollout_init(&release->state, "canaryd", 0);
    release->revision = present->revision;

    return 0;
}


void
evidence_init(evidence_t *evidence, const release_t *release)
{
    memset(evidence, 0, sizeof(evidence_t));
    judge_init(&evidence->judge, &release->spec.analysis);
    strcpy(evidence->position, "0-0");
}


char *
evidence_text(const evidence_t *evidence)
{
    char   *series;
    cJSON  *json;

    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "position", evidence->position);
    cJSON_AddNumberToObject(json, "judged", (double) evidence->judged_ms);
    cJSON_AddNumberToObject(json, "first", (double) evidence->first_ms);
    cJSON_AddItemToObject(json, "judge", judge_print(&evidence->judge));
    cJSON_AddItemToObject(json, "stable", traffic_print(&evidence->stable));
    cJSON_AddItemToObject(json, "canary", traffic_print(&evidence->canary));

    series = series_text(&evidence->series);
    cJSON_AddStringToObject(json, "series", series);
    free(series);

    return release_print(json);
}


void
evidence_sample(evidence_t *evidence, const release_t *release,
    int64_t now_ms)
{
    judge_result_t     result;
    series_point_t     point;
    rollout_routing_t  routing;

    rollout_routing(&release->spec, &release->state, &routing);
    judge_result(&evidence->judge, &result);

    point.at_ms = now_ms;
    point.weight = routing.touch ? (int32_t) routing.canary_weight : 0;
    point.evidence = series_log(result.log_evidence);
    point.safe = series_log(result.log_safe);
    series_group(&point.stable, &evidence->stable);
    series_group(&point.canary, &evidence->canary);

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


int
evidence_parse(const char *text, const release_t *release,
    evidence_t *evidence)
{
    int           rc;
    cJSON        *json;
    uint64_t      ms, number;
    const cJSON  *position;

    memset(evidence, 0, sizeof(evidence_t));

    if (text == NULL || strlen(text) > RELEASE_MAX_TEXT) {
        return -1;
    }

    rc = -1;
    json = cJSON_Parse(text);
    position = cJSON_GetObjectItemCaseSensitive(json, "position");

    if (!cJSON_IsString(position)
        || strlen(position->valuestring) >= STORE_POSITION_LEN
        || evidence_position(position->valuestring, &ms, &number) != 0
        || !release_number(json, "judged", &evidence->judged_ms)
        || !release_number(json, "first", &evidence->first_ms)
        || judge_parse(cJSON_GetObjectItemCaseSensitive(json, "judge"),
                       &release->spec.analysis, &evidence->judge) != 0)
    {
        goto done;
    }

    strcpy(evidence->position, position->valuestring);
    traffic_parse(cJSON_GetObjectItemCaseSensitive(json, "stable"),
                  &evidence->stable);
    traffic_parse(cJSON_GetObjectItemCaseSensitive(json, "canary"),
                  &evidence->canary);
    series_parse(cJSON_GetStringValue(
                     cJSON_GetObjectItemCaseSensitive(json, "series")),
                 &evidence->series);
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

    record_route(wanted, release->stable, release->spec.canary, release->id,
                 release->spec.lease_ms, &routing);

    if (record_same(wanted, present)) {
        return false;
    }

    wanted->revision = present->revision + 1;
    release->revision = wanted->revision;

    return true;
}


/* --- for people --- */

static void
release_time(cJSON *json, const char *name, int64_t ms)
{
    char  text[TIME_LEN];

    if (ms <= 0) {
        cJSON_AddNullToObject(json, name);
        return;
    }

    cJSON_AddStringToObject(json, name, time_format(ms, text, sizeof(text)));
}


static cJSON *
release_judgement(const evidence_t *evidence)
{
    char            odds[32];
    cJSON          *json;
    judge_result_t  result;

    if (evidence == NULL || evidence->judge.ticks == 0) {
        return cJSON_CreateNull();
    }

    judge_result(&evidence->judge, &result);
    json = judge_result_print(&result);

    cJSON_AddStringToObject(json, "odds", judge_odds(result.log_evidence,
                                                     odds, sizeof(odds)));
    cJSON_AddNumberToObject(json, "ticks", (double) evidence->judge.ticks);

    return json;
}


/* The time that the state's clock has to reach, or 0. */
static int64_t
release_hold(const release_t *release)
{
    if (release->state.baking) {
        return release->spec.bake_ms;
    }

    if (release->state.step < release->spec.step_count) {
        return release->spec.steps[release->state.step].hold_ms;
    }

    return 0;
}


cJSON *
release_json(const release_t *release, const evidence_t *evidence,
    const record_t *present, unsigned live, unsigned confirmed)
{
    cJSON            *json, *weights, *traffic, *nodes;
    unsigned          i;
    const rollout_t  *state = &release->state;

    json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "id", release->id);
    cJSON_AddStringToObject(json, "upstream", release->spec.upstream);
    cJSON_AddStringToObject(json, "canary", release->spec.canary);
    cJSON_AddStringToObject(json, "stable", release->stable);
    cJSON_AddStringToObject(json, "version", release->spec.version);
    cJSON_AddStringToObject(json, "state", rollout_state_name(state->state));

    if (state->waiting_for == ROLLOUT_WAIT_NONE) {
        cJSON_AddNullToObject(json, "waiting_for");

    } else {
        cJSON_AddStringToObject(json, "waiting_for",
                                rollout_wait_name(state->waiting_for));
    }

    cJSON_AddNumberToObject(json, "step", state->step);
    cJSON_AddNumberToObject(json, "steps", release->spec.step_count);
    cJSON_AddNumberToObject(json, "step_held_ms", (double) state->held_ms);
    cJSON_AddNumberToObject(json, "step_hold_ms",
                            (double) release_hold(release));
    cJSON_AddStringToObject(json, "reason", state->reason);
    cJSON_AddStringToObject(json, "actor", state->actor);

    cJSON_AddNumberToObject(json, "revision", (double) present->revision);
    weights = cJSON_AddObjectToObject(json, "weights");

    for (i = 0; i < present->group_count; i++) {
        cJSON_AddNumberToObject(weights, present->groups[i].name,
                                present->groups[i].weight / 100.0);
    }

    release_time(json, "created", release->created_ms);
    release_time(json, "updated", release->updated_ms);
    release_time(json, "entered", state->entered_ms);
    release_time(json, "finished", release->finished_ms);

    cJSON_AddItemToObject(json, "judgement", release_judgement(evidence));

    traffic = cJSON_AddObjectToObject(json, "traffic");

    cJSON_AddItemToObject(traffic, release->stable,
                          evidence != NULL
                          ? traffic_summary(&evidence->stable)
                          : cJSON_CreateNull());
    cJSON_AddItemToObject(traffic, release->spec.canary,
                          evidence != NULL
                          ? traffic_summary(&evidence->canary)
                          : cJSON_CreateNull());

    nodes = cJSON_AddObjectToObject(json, "nodes");
    cJSON_AddNumberToObject(nodes, "live", live);
    cJSON_AddNumberToObject(nodes, "confirmed", confirmed);

    cJSON_AddItemToObject(json, "spec", spec_print(&release->spec));

    return json;
}
