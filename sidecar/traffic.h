/*
 * What a group's traffic is like at present: counts that halve every ten
 * seconds.  Pure; for people, not for the judge.
 */

#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/histogram.h"
#include "tally.h"

/* What is left of a request after about a minute is forgotten. */
#define TRAFFIC_NOTHING  0.01

typedef struct {
    int64_t  at_ms;                /* of the last addition; 0: none yet */
    double   seconds;              /* decayed time that the counts are of */
    double   requests;
    double   errors;
    double   latency[HISTOGRAM_BUCKETS];
} traffic_t;                       /* zeroed: empty */

/* What came until now; the cell may be NULL: nothing. */
void traffic_add(traffic_t *traffic, const tally_cell_t *cell,
    int64_t now_ms);

/* Requests a second; 0 where nothing is known. */
double traffic_rate(const traffic_t *traffic);

/* {"requests_per_second", "error_rate", "p50_ms", "p95_ms", "p99_ms"}; null
 * where there were no requests.  NULL: no memory. */
cJSON *traffic_summary(const traffic_t *traffic);

/* For the store.  An invalid json leaves an empty traffic. */
cJSON *traffic_print(const traffic_t *traffic);
void traffic_parse(const cJSON *json, traffic_t *traffic);

#endif
