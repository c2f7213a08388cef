/*
 * Latency histogram: 16 sub-buckets per octave, so that a bucket is at most
 * 1/16 of its value wide.  The module counts in the same buckets.
 */

#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS  384

/* Bucket of a latency in microseconds; 2^27 us and more fall in the last. */
unsigned histogram_bucket_of(uint64_t us);

/*
 * Smallest latency (us) that falls in the bucket.  The upper edge is
 * histogram_lower_edge(index + 1); index may be HISTOGRAM_BUCKETS.
 */
uint64_t histogram_lower_edge(unsigned index);

/*
 * Upper edge (us) of the bucket that holds the q-quantile, 0 < q <= 1, of
 * possibly decayed counts; -1 where there is nothing counted.
 */
double histogram_quantile(const double counts[HISTOGRAM_BUCKETS], double q);

#endif
