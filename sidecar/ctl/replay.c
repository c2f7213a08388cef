/* replay: judge a past rollout again, from the ticks that were recorded. */

#include "ctl.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec.h"
#include "core/judge.h"
#include "core/spec.h"
#include "core/value.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"
#include "tick.h"

/* The canary, or one group of an experiment. */
typedef struct {
    judge_t       judge;
    int64_t       harm_ms;         /* when it would revert, or be taken out;
                                      0: never */
    uint64_t      harm_tick;
    int64_t       safe_ms;
    uint64_t      safe_tick;
} replay_arm_t;

typedef struct {
    replay_arm_t  arms[SPEC_MAX_ARMS];
} replay_side_t;

typedef struct {
    rollout_spec_t  spec;          /* owned */
    char            stable[SPEC_NAME_LEN];
    unsigned        arm_count;     /* >= 1 */
    judge_config_t  config;        /* of the other side */
    bool            other;
    replay_side_t   sides[2];      /* as it was, and with the config */
    double          judged;        /* ticks, as the rollout has it */
    int64_t         first_ms;
    int64_t         last_ms;
} replay_t;

static int replay_config(const ctl_args_t *args, replay_t *replay);
static void replay_init(replay_t *replay, unsigned side,
    const judge_config_t *config);
static int replay_page(replay_t *replay, const cJSON *json, bool first,
    const ctl_args_t *args);
static void replay_tick(replay_t *replay, const cJSON *json);
static void replay_step(replay_arm_t *arm, int64_t at_ms);
static const char *replay_name(const replay_t *replay, unsigned arm);
static cJSON *replay_json(const replay_t *replay, unsigned side);
static void replay_print(const char *name, const replay_t *replay,
    unsigned side);
static bool replay_reverts(const replay_t *replay, unsigned side);


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

    rc = replay_reverts(replay, replay->other ? 1 : 0) ? CTL_REVERTED
                                                       : CTL_OK;

    if (args->json) {
        json = cJSON_CreateObject();
        cJSON_AddNumberToObject(json, "ticks",
                                (double) replay->sides[0].arms[0].judge
                                             .ticks);
        cJSON_AddNumberToObject(json, "judged", replay->judged);
        cJSON_AddItemToObject(json, "recorded", replay_json(replay, 0));

        if (replay->other) {
            cJSON_AddItemToObject(json, "replayed", replay_json(replay, 1));
        }

        text = cJSON_PrintUnformatted(json);
        printf("%s\n", text != NULL ? text : "");
        cJSON_free(text);
        cJSON_Delete(json);
        goto done;
    }

    printf("%.0f ticks are recorded of the %.0f that were judged",
           (double) replay->sides[0].arms[0].judge.ticks, replay->judged);

    if (replay->first_ms > 0) {
        printf(", from %s to %s",
               time_format(replay->first_ms, from, sizeof(from)),
               time_format(replay->last_ms, to, sizeof(to)));
    }

    putchar('\n');
    replay_print("as it was", replay, 0);

    if (replay->other) {
        replay_print(args->config, replay, 1);
    }

done:

    spec_free(&replay->spec);
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


static void
replay_init(replay_t *replay, unsigned side, const judge_config_t *config)
{
    unsigned        i;
    judge_config_t  arm;
    rollout_spec_t  spec;

    spec = replay->spec;           /* borrows */
    spec.analysis = *config;
    spec_arm_analysis(&spec, &arm);

    for (i = 0; i < replay->arm_count; i++) {
        judge_init(&replay->sides[side].arms[i].judge, &arm);
    }
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

        replay->arm_count = replay->spec.arm_count > 0
                            ? replay->spec.arm_count : 1;
        replay_init(replay, 0, &replay->spec.analysis);
        replay_init(replay, 1, &replay->config);
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


/* As the controller does it. */
static void
replay_tick(replay_t *replay, const cJSON *json)
{
    int64_t        at_ms;
    unsigned       i, side;
    tick_t         tick;
    const char    *name, *stable;
    replay_arm_t  *arm;

    memset(&tick, 0, sizeof(tick_t));

    if (!value_read_integer(cJSON_GetObjectItemCaseSensitive(json, "at"), 0,
                            VALUE_MAX_INT, &at_ms)
        || tick_read(&tick, json) != 0)
    {
        return;
    }

    if (replay->first_ms == 0) {
        replay->first_ms = at_ms;
    }

    replay->last_ms = at_ms;

    for (i = 0; i < replay->arm_count; i++) {
        name = replay_name(replay, i);
        stable = strcmp(name, replay->stable) == 0 ? "" : replay->stable;

        for (side = 0; side < 2; side++) {
            arm = &replay->sides[side].arms[i];
            tick_judge(&tick, &arm->judge, name, stable);
            replay_step(arm, at_ms);
        }
    }

    tick_clear(&tick);
}


static void
replay_step(replay_arm_t *arm, int64_t at_ms)
{
    judge_result_t  result;

    judge_result(&arm->judge, &result);

    if ((result.verdict == JUDGE_HARM || result.verdict == JUDGE_BUDGET)
        && arm->harm_ms == 0)
    {
        arm->harm_ms = at_ms;
        arm->harm_tick = arm->judge.ticks;
    }

    if (result.verdict == JUDGE_SAFE && arm->safe_ms == 0) {
        arm->safe_ms = at_ms;
        arm->safe_tick = arm->judge.ticks;
    }
}


static const char *
replay_name(const replay_t *replay, unsigned arm)
{
    return replay->spec.arm_count > 0 ? replay->spec.arms[arm].name
                                      : replay->spec.canary;
}


/* An experiment does when all of its groups are taken out. */
static bool
replay_reverts(const replay_t *replay, unsigned side)
{
    unsigned  i;

    for (i = 0; i < replay->arm_count; i++) {
        if (replay->sides[side].arms[i].harm_ms == 0) {
            return false;
        }
    }

    return true;
}


static cJSON *
replay_arm_json(const replay_arm_t *arm)
{
    cJSON           *json;
    judge_result_t   result;

    judge_result(&arm->judge, &result);
    json = judge_result_print(&result);

    if (arm->harm_ms > 0) {
        cJSON_AddNumberToObject(json, "harm_at", (double) arm->harm_tick);
    }

    if (arm->safe_ms > 0) {
        cJSON_AddNumberToObject(json, "safe_at", (double) arm->safe_tick);
    }

    return json;
}


/* Of an experiment: {"groups": {"green": {...}, ...}}. */
static cJSON *
replay_json(const replay_t *replay, unsigned side)
{
    cJSON     *json, *groups;
    unsigned   i;

    if (replay->spec.arm_count == 0) {
        return replay_arm_json(&replay->sides[side].arms[0]);
    }

    json = cJSON_CreateObject();
    groups = cJSON_AddObjectToObject(json, "groups");

    for (i = 0; i < replay->arm_count; i++) {
        cJSON_AddItemToObject(groups, replay_name(replay, i),
                              replay_arm_json(&replay->sides[side].arms[i]));
    }

    return json;
}


static void
replay_print(const char *name, const replay_t *replay, unsigned side)
{
    char                 odds[32], limit[32], at[TIME_LEN];
    unsigned             i;
    const replay_arm_t  *arm;
    judge_result_t       result;

    for (i = 0; i < replay->arm_count; i++) {
        arm = &replay->sides[side].arms[i];
        judge_result(&arm->judge, &result);

        printf("%s: %s %s, evidence of harm %s (limit %s), %.0f of %.0f "
               "requests failed\n", name, replay_name(replay, i),
               judge_verdict_name(result.verdict),
               judge_odds(result.log_evidence, odds, sizeof(odds)),
               judge_odds(-log(arm->judge.config.alpha), limit,
                          sizeof(limit)),
               (double) result.requests[1], (double) result.requests[0]);

        if (arm->harm_ms > 0) {
            printf("  %s at tick %.0f, %s\n",
                   replay->spec.arm_count > 0 ? "is taken out" : "reverts",
                   (double) arm->harm_tick,
                   time_format(arm->harm_ms, at, sizeof(at)));
        }

        if (arm->safe_ms > 0) {
            printf("  shown to be safe at tick %.0f, %s\n",
                   (double) arm->safe_tick,
                   time_format(arm->safe_ms, at, sizeof(at)));
        }
    }
}
