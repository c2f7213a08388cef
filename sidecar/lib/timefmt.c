#include "timefmt.h"

#include <stdio.h>
#include <time.h>


int64_t
time_now_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


char *
time_format(int64_t ms, char *buf, size_t size)
{
    int        fraction;
    time_t     seconds;
    struct tm  tm;

    if (size == 0) {
        return buf;
    }

    buf[0] = '\0';

    /* Before 1970 the remainder is negative: round down. */
    fraction = (int) (ms % 1000);
    seconds = (time_t) (ms / 1000);

    if (fraction < 0) {
        fraction += 1000;
        seconds--;
    }

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900
        || tm.tm_year > 9999 - 1900)
    {
        return buf;
    }

    snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, fraction);
    return buf;
}
