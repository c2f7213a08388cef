/* The two clocks, in milliseconds and microseconds. */

#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>


static inline int64_t
clock_us(clockid_t id)
{
    struct timespec  ts;

    clock_gettime(id, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* For intervals: never goes back. */
static inline int64_t
clock_mono_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}


/* Since 1970. */
static inline int64_t
clock_wall_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

#endif
