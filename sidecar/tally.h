/*
 * What was counted for each group and stratum of an upstream: read from
 * nginx's API, subtracted, carried through Redis as text, summed up.  Pure.
 */

#ifndef TALLY_H
#define TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/histogram.h"
#include "core/spec.h"

#define TALLY_MAX_GROUPS  8
#define TALLY_MAX_STRATA  4

typedef struct {
    uint64_t       requests;
    uint64_t       errors;         /* <= requests, also of a difference */
    uint64_t       latency[HISTOGRAM_BUCKETS];
} tally_cell_t;

typedef struct {
    char           name[SPEC_NAME_LEN];
    tally_cell_t  *strata[TALLY_MAX_STRATA];     /* owned; NULL: nothing */
} tally_group_t;

typedef struct {
    unsigned       count;
    tally_group_t  groups[TALLY_MAX_GROUPS];
} tally_t;                         /* zeroed: empty */

void tally_clear(tally_t *tally);

/* From the "groups" of GET upstreams/app, into an empty tally.  0, or -1 if
 * it is not that. */
int tally_read(tally_t *tally, const cJSON *groups);

/*
 * fresh - base into the empty delta.  False if a counter went backwards:
 * then there is nothing to be said about the time between, and delta is
 * empty.  What is missing in base counts from zero.
 */
bool tally_subtract(tally_t *delta, const tally_t *fresh,
    const tally_t *base);

bool tally_is_empty(const tally_t *tally);

/*
 * As text of lines "group stratum requests errors index:count,...", zeros
 * left out.  The caller frees it.
 */
char *tally_print(const tally_t *tally);

/* Adds such text to the tally, as far as it has room for groups; 0, or -1 if
 * it is not such text: the tally is unchanged then. */
int tally_parse(tally_t *tally, const char *text);

/* NULL if nothing was counted. */
const tally_cell_t *tally_find(const tally_t *tally, const char *group,
    unsigned stratum);

#endif
