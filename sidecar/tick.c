#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "core/value.h"
#include "tick.h"


void
tick_clear(tick_t *tick)
{
    tally_clear(&tick->counts);
    memset(tick, 0, sizeof(tick_t));
}


static const tick_group_t *
tick_find(const tick_t *tick, const char *name)
{
    unsigned  i;

    for (i = 0; i < tick->group_count; i++) {
        if (strcmp(tick->groups[i].name, name) == 0) {
            return &tick->groups[i];
        }
    }

    return NULL;
}


tick_group_t *
tick_group(tick_t *tick, const char *name)
{
    tick_group_t  *group;

    group = (tick_group_t *) tick_find(tick, name);

    if (group != NULL || name[0] == '\0' || strlen(name) >= SPEC_NAME_LEN
        || tick->group_count == TALLY_MAX_GROUPS)
    {
        return group;
    }

    group = &tick->groups[tick->group_count++];
    memset(group, 0, sizeof(tick_group_t));
    text_copy(group->name, sizeof(group->name), name);

    return group;
}


static void
tick_judge_stratum(judge_t *judge, const tally_cell_t *canary,
    const tally_cell_t *stable, bool warm, unsigned canary_share,
    unsigned stable_share)
{
    judge_tick_t  bet;

    memset(&bet, 0, sizeof(judge_tick_t));

    if (canary != NULL) {
        bet.canary_requests = canary->requests;
        bet.canary_errors = canary->errors;
        bet.canary_latency = warm ? canary->latency : NULL;
    }

    if (stable != NULL) {
        bet.stable_requests = stable->requests;
        bet.stable_errors = stable->errors;
        bet.stable_latency = stable->latency;
    }

    bet.stable_by_chance = bet.stable_requests == 0
                           && judge_by_chance(bet.canary_requests,
                                              canary_share, stable_share);

    judge_tick(judge, &bet);
}


void
tick_judge(const tick_t *tick, judge_t *judge, const char *canary,
    const char *stable)
{
    bool                 any, has, warm;
    unsigned             s, turn;
    const tick_group_t  *groups[2];
    const tally_cell_t  *cells[2];

    groups[0] = tick_find(tick, canary);
    groups[1] = tick_find(tick, stable);
    warm = groups[0] != NULL && groups[0]->warm;
    any = false;

    /* One bet after the other on the same wealth; strata where nobody got
     * the canary come first, so that they do not look like silence. */
    for (turn = 0; turn < 2; turn++) {
        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            cells[0] = tally_find(&tick->counts, canary, s);
            cells[1] = tally_find(&tick->counts, stable, s);
            has = cells[0] != NULL && cells[0]->requests > 0;

            if ((cells[0] == NULL && cells[1] == NULL) || has != (turn == 1))
            {
                continue;
            }

            tick_judge_stratum(judge, cells[0], cells[1], warm,
                               groups[0] != NULL ? groups[0]->shares[s] : 0,
                               groups[1] != NULL ? groups[1]->shares[s] : 0);
            any = true;
        }
    }

    if (!any) {
        tick_judge_stratum(judge, NULL, NULL, warm, 0, 0);
    }
}


char *
tick_given(const tick_t *tick)
{
    char                *text;
    cJSON               *json, *warm, *shares, *list;
    unsigned             i, s, count;
    const tick_group_t  *group;

    json = cJSON_CreateObject();
    warm = cJSON_AddObjectToObject(json, "warm");
    shares = cJSON_AddObjectToObject(json, "shares");

    for (i = 0; i < tick->group_count; i++) {
        group = &tick->groups[i];

        if (group->warm) {
            cJSON_AddTrueToObject(warm, group->name);
        }

        list = cJSON_AddArrayToObject(shares, group->name);

        for (count = TALLY_MAX_STRATA;
             count > 0 && group->shares[count - 1] == 0; count--)
        {
            /* void */
        }

        for (s = 0; s < count; s++) {
            cJSON_AddItemToArray(list,
                cJSON_CreateNumber(group->shares[s] / 100.0));
        }
    }

    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (text == NULL) {
        abort();
    }

    return text;
}


static int
tick_read_shares(tick_group_t *group, const cJSON *list)
{
    double        percent;
    unsigned      s;
    const cJSON  *item;

    if (group == NULL || !cJSON_IsArray(list)) {
        return -1;
    }

    s = 0;

    cJSON_ArrayForEach(item, list) {
        if (s == TALLY_MAX_STRATA || !value_read_number(item, &percent)
            || percent < 0.0 || percent > 100.0)
        {
            return -1;
        }

        group->shares[s++] = (unsigned) lround(percent * 100.0);
    }

    return 0;
}


int
tick_read(tick_t *tick, const cJSON *json)
{
    tally_t        read, none;
    const cJSON   *warm, *shares, *list;
    tick_group_t  *group;

    memset(&read, 0, sizeof(tally_t));
    memset(&none, 0, sizeof(tally_t));

    warm = cJSON_GetObjectItemCaseSensitive(json, "warm");
    shares = cJSON_GetObjectItemCaseSensitive(json, "shares");

    if (!cJSON_IsObject(warm) || !cJSON_IsObject(shares)
        || tally_read(&read, cJSON_GetObjectItemCaseSensitive(json, "groups"))
           != 0)
    {
        return -1;
    }

    /* also sees to it that no group has more errors than requests */
    (void) tally_subtract(&tick->counts, &read, &none);
    tally_clear(&read);

    cJSON_ArrayForEach(list, shares) {
        group = tick_group(tick, list->string);

        if (tick_read_shares(group, list) != 0) {
            tick_clear(tick);
            return -1;
        }

        group->warm = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(warm,
                                       group->name));
    }

    return 0;
}
