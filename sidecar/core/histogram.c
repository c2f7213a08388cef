/* Buckets of the latency histogram; same layout as analysis/reference.py. */

#include "histogram.h"

#define SUB_BITS  4
#define SUB       (1u << SUB_BITS)
#define MAX_EXP   26


unsigned
histogram_bucket_of(uint64_t us)
{
    unsigned  shift;

    if (us >= (UINT64_C(1) << (MAX_EXP + 1))) {
        us = (UINT64_C(1) << (MAX_EXP + 1)) - 1;
    }

    if (us < SUB) {
        return (unsigned) us;
    }

    shift = 63 - (unsigned) __builtin_clzll(us) - SUB_BITS;

    return SUB * shift + (unsigned) (us >> shift);
}


uint64_t
histogram_lower_edge(unsigned index)
{
    if (index < SUB) {
        return index;
    }

    if (index > HISTOGRAM_BUCKETS) {
        index = HISTOGRAM_BUCKETS;
    }

    return (uint64_t) (index % SUB + SUB) << (index / SUB - 1);
}


double
histogram_quantile(const double counts[HISTOGRAM_BUCKETS], double q)
{
    double    total, seen, target;
    unsigned  i;

    total = 0.0;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += counts[i];
    }

    if (!(total > 0.0)) {
        return -1.0;
    }

    seen = 0.0;
    target = q * total;

    /* the last bucket is what is left, whatever the rounding of the sums */

    for (i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += counts[i];

        if (seen >= target) {
            break;
        }
    }

    return (double) histogram_lower_edge(i + 1);
}
