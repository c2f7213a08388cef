/*
 * What a tick gives to the judge: summed counts, and of each group whether
 * its latency is judged and what share of the traffic it has.  The controller
 * judges it and records it; who replays it judges the same.  Pure.
 */

#ifndef TICK_H
#define TICK_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/judge.h"
#include "tally.h"

typedef struct {
    char          name[SPEC_NAME_LEN];
    bool          warm;            /* its latency is judged */
    unsigned      shares[TALLY_MAX_STRATA];   /* 0..10000 */
} tick_group_t;

typedef struct {
    tally_t       counts;          /* owned: tick_clear() */
    unsigned      group_count;
    tick_group_t  groups[TALLY_MAX_GROUPS];
} tick_t;                          /* zeroed: empty */

void tick_clear(tick_t *tick);

/* The group of that name, added if it is not there; NULL if there is no room
 * or the name is empty. */
tick_group_t *tick_group(tick_t *tick, const char *name);

/* One group against stable: a bet for each stratum. */
void tick_judge(const tick_t *tick, judge_t *judge, const char *canary,
    const char *stable);

/*
 * {"warm": {"green": true}, "shares": {"green": [10, 50]}}: all but the
 * counts, shares in percent, one for each stratum, zeros at the end left out.
 * The caller owns it; never NULL.
 */
char *tick_given(const tick_t *tick);

/* From that with "groups" as in GET upstreams/app of nginx, into an empty
 * tick.  0, or -1 if it is not that. */
int tick_read(tick_t *tick, const cJSON *json);

#endif
