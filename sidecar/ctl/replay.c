/* replay: judge a past rollout again, from the ticks that were recorded. */

#include "ctl.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec.h"
#include "core/histogram.h"
#include "core/judge.h"
#include "core/spec.h"
#include "core/value.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

#define REPLAY_STRATA  4

typedef struct {
    judge_t       judge;
    int64_t       harm_ms;         /* when it would revert; 0: never */
    uint64_t      harm_tick;
    int64_t       safe_ms;
    uint64_t      safe_tick;
} replay_side_t;

typedef struct {
    rollout_spec_t  spec;
    char            stable[SPEC_NAME_LEN];
    judge_config_t  config;        /* of the other side */
    bool            other;
    replay_side_t   sides[2];      /* as it was, and with the config */
    double          judged;        /* ticks, as the rollout has it */
    int64_t         first_ms;
    int64_t         last_ms;
} replay_t;

static int replay_config(const ctl_args_t *args, replay_t *replay);
static int replay_page(replay_t *replay, const cJSON *json, bool first,
    const ctl_args_t *args);
static void replay_tick(replay_t *replay, const cJSON *tick);
static void replay_step(replay_side_t *side, judge_tick_t *ticks,
    unsigned count, int64_t at_ms);
static bool replay_cell(const cJSON *groups, const char *name, int stratum,
    uint64_t *requests, uint64_t *errors, uint64_t *latency);
static cJSON *replay_json(const replay_side_t *side);
static void replay_print(const char *name, const replay_side_t *side);
static bool replay_reverts(const replay_side_t *side);


int
ctl_replay(const ctl_args_t *args, const char *command)
{
    int            rc;
    bool           first;
    char           path[640], page[800], next[64], from[TIME_LEN];
    char           to[TIME_LEN], *text;
    cJSON         *json;
    replay_t      *replay;
    ctl_reply_t    reply;

    rc = ctl_rollout_path(args, "/ticks", path, sizeof(path));
    if (rc) {
        return rc;
    }

    replay = calloc(1, sizeof(replay_t));
    if (replay == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    next[0] = '\0';
    first = true;

    do {
        snprintf(page, sizeof(page), "%s%s%s", path,
                 next[0] != '\0' ? "?after=" : "", next);
        rc = ctl_call(args, "GET", page, NULL, &reply);

        if (rc) {
            ctl_error("%s", reply.error);

        } else {
            rc = replay_page(replay, reply.json, first, args);
        }

        first = false;
        print_string(reply.json, "next", "", next, sizeof(next));
        ctl_reply_free(&reply);

        if (rc) {
            goto done;
        }

    } while (next[0] != '\0');

    rc = replay_reverts(&replay->sides[replay->other ? 1 : 0])
         ? CTL_REVERTED : CTL_OK;

    if (args->json) {
        json = cJSON_CreateObject();
        cJSON_AddNumberToObject(json, "ticks",
                                (double) replay->sides[0].judge.ticks);
        cJSON_AddNumberToObject(json, "judged", replay->judged);
        cJSON_AddItemToObject(json, "recorded",
                              replay_json(&replay->sides[0]));

        if (replay->other) {
            cJSON_AddItemToObject(json, "replayed",
                                  replay_json(&replay->sides[1]));
        }

        text = cJSON_PrintUnformatted(json);
        printf("%s\n", text != NULL ? text : "");
        cJSON_free(text);
        cJSON_Delete(json);
        goto done;
    }

    printf("%.0f ticks are recorded of the %.0f that were judged",
           (double) replay->sides[0].judge.ticks, replay->judged);

    if (replay->first_ms > 0) {
        printf(", from %s to %s",
               time_format(replay->first_ms, from, sizeof(from)),
               time_format(replay->last_ms, to, sizeof(to)));
    }

    putchar('\n');
    replay_print("as it was", &replay->sides[0]);

    if (replay->other) {
        replay_print(args->config, &replay->sides[1]);
    }

done:

    free(replay);
    return rc;
}


/* The "analysis" of a YAML file, over the rollout's own. */
static int
replay_config(const ctl_args_t *args, replay_t *replay)
{
    int            rc;
    char           error[256];
    cJSON         *json;
    const cJSON   *analysis;
    spec_error_t   refused;

    json = yaml_parse_file(args->config, error, sizeof(error));
    if (json == NULL) {
        ctl_error("%s", error);
        return CTL_FAILED;
    }

    rc = CTL_FAILED;
    analysis = cJSON_GetObjectItemCaseSensitive(json, "analysis");

    if (analysis == NULL) {
        ctl_error("%.100s: has no analysis, as \"analysis: {alpha: 0.05}\"",
                  args->config);

    } else if (spec_parse_analysis(analysis, "analysis", &replay->config,
                                   &refused) != 0)
    {
        ctl_error("%.100s: %s: %s", args->config, refused.field,
                  refused.detail);

    } else {
        replay->other = true;
        rc = 0;
    }

    cJSON_Delete(json);
    return rc;
}


static int
replay_page(replay_t *replay, const cJSON *json, bool first,
    const ctl_args_t *args)
{
    int            rc;
    const cJSON   *tick;
    spec_error_t   refused;

    if (first) {
        if (spec_parse(cJSON_GetObjectItemCaseSensitive(json, "spec"),
                       &replay->spec, &refused) != 0)
        {
            ctl_error("the rollout's spec is not understood: is canaryd of "
                      "another version?");
            return CTL_FAILED;
        }

        print_string(json, "stable", "", replay->stable,
                     sizeof(replay->stable));
        replay->config = replay->spec.analysis;

        if (args->config != NULL) {
            rc = replay_config(args, replay);
            if (rc) {
                return rc;
            }
        }

        judge_init(&replay->sides[0].judge, &replay->spec.analysis);
        judge_init(&replay->sides[1].judge, &replay->config);
        (void) value_read_number(cJSON_GetObjectItemCaseSensitive(json,
                                                                  "judged"),
                                 &replay->judged);
    }

    cJSON_ArrayForEach(tick, cJSON_GetObjectItemCaseSensitive(json, "ticks"))
    {
        replay_tick(replay, tick);
    }

    return 0;
}


/* One bet for each stratum, as the controller does it. */
static void
replay_tick(replay_t *replay, const cJSON *tick)
{
    bool           warm, canary, stable;
    int64_t        at_ms;
    unsigned       s, count;
    uint64_t       latency[2][REPLAY_STRATA][HISTOGRAM_BUCKETS];
    const cJSON   *groups;
    judge_tick_t   ticks[REPLAY_STRATA], *t;

    memset(ticks, 0, sizeof(ticks));
    memset(latency, 0, sizeof(latency));

    if (!value_read_integer(cJSON_GetObjectItemCaseSensitive(tick, "at"), 0,
                            VALUE_MAX_INT, &at_ms))
    {
        return;
    }

    warm = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(tick, "warm"));
    groups = cJSON_GetObjectItemCaseSensitive(tick, "groups");
    count = 0;

    for (s = 0; s < REPLAY_STRATA; s++) {
        t = &ticks[count];
        canary = replay_cell(groups, replay->spec.canary, (int) s,
                             &t->canary_requests, &t->canary_errors,
                             latency[0][s]);
        stable = replay_cell(groups, replay->stable, (int) s,
                             &t->stable_requests, &t->stable_errors,
                             latency[1][s]);

        if (canary && warm) {
            t->canary_latency = latency[0][s];
        }

        if (stable) {
            t->stable_latency = latency[1][s];
        }

        count += canary || stable;
    }

    if (count == 0) {
        count = 1;
    }

    if (replay->first_ms == 0) {
        replay->first_ms = at_ms;
    }

    replay->last_ms = at_ms;
    replay_step(&replay->sides[0], ticks, count, at_ms);
    replay_step(&replay->sides[1], ticks, count, at_ms);
}


static void
replay_step(replay_side_t *side, judge_tick_t *ticks, unsigned count,
    int64_t at_ms)
{
    unsigned        i;
    judge_result_t  result;

    for (i = 0; i < count; i++) {
        judge_tick(&side->judge, &ticks[i]);
    }

    judge_result(&side->judge, &result);

    if ((result.verdict == JUDGE_HARM || result.verdict == JUDGE_BUDGET)
        && side->harm_ms == 0)
    {
        side->harm_ms = at_ms;
        side->harm_tick = side->judge.ticks;
    }

    if (result.verdict == JUDGE_SAFE && side->safe_ms == 0) {
        side->safe_ms = at_ms;
        side->safe_tick = side->judge.ticks;
    }
}


static bool
replay_cell(const cJSON *groups, const char *name, int stratum,
    uint64_t *requests, uint64_t *errors, uint64_t *latency)
{
    char          *end;
    int64_t        value[2];
    const cJSON   *cell, *item;
    unsigned long  index;

    cell = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(groups, name),
                              stratum);

    if (!value_read_integer(cJSON_GetObjectItemCaseSensitive(cell,
                                                             "requests"),
                            0, VALUE_MAX_INT, &value[0])
        || !value_read_integer(cJSON_GetObjectItemCaseSensitive(cell,
                                                                "errors"),
                               0, value[0], &value[1]))
    {
        return false;
    }

    *requests = (uint64_t) value[0];
    *errors = (uint64_t) value[1];

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(cell,
                                                              "latency_us"))
    {
        index = strtoul(item->string, &end, 10);

        if (*end == '\0' && index < HISTOGRAM_BUCKETS
            && value_read_integer(item, 0, VALUE_MAX_INT, &value[0]))
        {
            latency[index] = (uint64_t) value[0];
        }
    }

    return true;
}


static bool
replay_reverts(const replay_side_t *side)
{
    return side->harm_ms > 0;
}


static cJSON *
replay_json(const replay_side_t *side)
{
    cJSON           *json;
    judge_result_t   result;

    judge_result(&side->judge, &result);
    json = judge_result_print(&result);

    if (side->harm_ms > 0) {
        cJSON_AddNumberToObject(json, "harm_at", (double) side->harm_tick);
    }

    if (side->safe_ms > 0) {
        cJSON_AddNumberToObject(json, "safe_at", (double) side->safe_tick);
    }

    return json;
}


static void
replay_print(const char *name, const replay_side_t *side)
{
    char            odds[32], limit[32], at[TIME_LEN];
    judge_result_t  result;

    judge_result(&side->judge, &result);

    printf("%s: %s, evidence of harm %s (limit %s), %.0f of %.0f requests "
           "of the canary failed\n", name,
           judge_verdict_name(result.verdict),
           judge_odds(result.log_evidence, odds, sizeof(odds)),
           judge_odds(-log(side->judge.config.alpha), limit, sizeof(limit)),
           (double) result.requests[1], (double) result.requests[0]);

    if (side->harm_ms > 0) {
        printf("  reverts at tick %.0f, %s\n", (double) side->harm_tick,
               time_format(side->harm_ms, at, sizeof(at)));
    }

    if (side->safe_ms > 0) {
        printf("  shown to be safe at tick %.0f, %s\n",
               (double) side->safe_tick,
               time_format(side->safe_ms, at, sizeof(at)));
    }
}
