/*
 * A rollout's past in at most SERIES_MAX points: what was known at chosen
 * ticks of stable and of each group that is judged.  When it is full every
 * second point goes and the distance doubles, so that a rollout of a week
 * takes as much room as one of minutes.  Pure.
 */

#ifndef SERIES_H
#define SERIES_H

#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/spec.h"
#include "traffic.h"

#define SERIES_MAX       240
#define SERIES_MIN_MS    1000
#define SERIES_NONE      (-1)      /* no traffic to measure */

/* As traffic_t has it at that moment: over the last seconds. */
typedef struct {
    int32_t  rate;                 /* requests in 100 s */
    int32_t  errors;               /* of a million requests; SERIES_NONE */
    int32_t  p50;                  /* us; SERIES_NONE */
    int32_t  p99;
} series_group_t;

/* Of a group that is judged. */
typedef struct {
    int32_t         weight;        /* 0..10000 */
    int32_t         evidence;      /* log of the odds, in 1/1000 */
    int32_t         safe;
    series_group_t  traffic;
} series_arm_t;

typedef struct {
    int64_t         at_ms;
    series_group_t  stable;
    series_arm_t    arms[SPEC_MAX_ARMS];   /* [0] is the canary */
} series_point_t;

typedef struct {
    int64_t         interval_ms;   /* between points; 0: none yet */
    unsigned        arm_count;     /* of each point, 1..SPEC_MAX_ARMS */
    unsigned        count;
    series_point_t  points[SERIES_MAX];
} series_t;

/* An empty one. */
void series_init(series_t *series, unsigned arm_count);

void series_group(series_group_t *group, const traffic_t *traffic);
/* The log of odds as a point has it; bounded. */
int32_t series_log(double log_odds);

/* Keeps the point if the last is an interval ago (or nearly: ticks come a
 * little early) or had other weights; one that is not after the last is
 * dropped. */
void series_add(series_t *series, const series_point_t *point);

/* Lines of integers; to be freed by the caller. */
char *series_text(const series_t *series);
/* What is not such text of so many groups (NULL too) leaves an empty
 * series. */
void series_parse(const char *text, unsigned arm_count, series_t *series);

/* Columns of equal length for the API, of the time, stable and the canary;
 * and those of one group with its weight and evidence.  NULL: no memory. */
cJSON *series_json(const series_t *series);
cJSON *series_arm_json(const series_t *series, unsigned arm);

#endif
