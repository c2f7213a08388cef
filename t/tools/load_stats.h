/*
 * What load counts of each backend.
 */

#ifndef LOAD_STATS_H
#define LOAD_STATS_H

#include "tool.h"

#define LOAD_STATUSES  600
#define LOAD_BUCKETS   512             /* of the latency, 16 to the octave */


typedef struct {
    char                 name[64];
    uint64_t             requests;
    uint64_t             status[LOAD_STATUSES];
    uint64_t             bad;
    uint64_t             errors;
    uint64_t             slow;
    uint64_t             latency[LOAD_BUCKETS];
    double               first_ms;
    double               last_ms;
    double               first_bad_ms;
    double               last_bad_ms;
} load_backend_t;


static inline unsigned
load_bucket(double ms)
{
    double  bucket;

    bucket = 16 * log2(fmax(ms * 1000, 1));

    return bucket >= LOAD_BUCKETS - 1 ? LOAD_BUCKETS - 1 : (unsigned) bucket;
}


static inline double
load_quantile(const load_backend_t *b, double q)
{
    uint64_t  total, sum;
    unsigned  i;

    for (i = 0, total = 0; i < LOAD_BUCKETS; i++) {
        total += b->latency[i];
    }

    for (i = 0, sum = 0; i < LOAD_BUCKETS; i++) {
        sum += b->latency[i];

        if (total && (double) sum >= q * (double) total) {
            return exp2((i + 0.5) / 16) / 1000;
        }
    }

    return 0;
}


static inline void
load_print_backend(const load_backend_t *b)
{
    unsigned     i;
    const char  *comma;

    printf("\"requests\": %lu, \"bad\": %lu, \"slow\": %lu, "
           "\"errors\": %lu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"first_ms\": %.3f, \"last_ms\": %.3f, "
           "\"first_bad_ms\": %.3f, \"last_bad_ms\": %.3f, \"status\": {",
           b->requests, b->bad, b->slow, b->errors, load_quantile(b, 0.5),
           load_quantile(b, 0.99), b->first_ms, b->last_ms, b->first_bad_ms,
           b->last_bad_ms);

    for (i = 0, comma = ""; i < LOAD_STATUSES; i++) {
        if (b->status[i]) {
            printf("%s\"%u\": %lu", comma, i, b->status[i]);
            comma = ", ";
        }
    }

    printf("}");
}


/* status 0: there was no whole answer; limit 0: nothing is slow. */

static inline void
load_count(load_backend_t *b, unsigned status, double ms, double limit,
    double now)
{
    bool  slow;

    slow = limit > 0 && ms > limit;

    b->requests++;
    b->slow += slow;
    b->latency[load_bucket(ms)]++;

    if (status) {
        b->status[status]++;

    } else {
        b->errors++;
    }

    if (b->first_ms == 0) {
        b->first_ms = now;
    }

    b->last_ms = now;

    if (status >= 500 || slow || !status) {
        b->bad++;
        b->last_bad_ms = now;

        if (b->first_bad_ms == 0) {
            b->first_bad_ms = now;
        }
    }
}

#endif
