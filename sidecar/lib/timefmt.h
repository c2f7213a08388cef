/* Wall-clock time: milliseconds since 1970, and RFC 3339 in UTC. */

#ifndef LIB_TIMEFMT_H
#define LIB_TIMEFMT_H

#include <stddef.h>
#include <stdint.h>

#define TIME_LEN  32               /* of a buffer for time_format() */

int64_t time_now_ms(void);

/* "2026-11-21T07:12:24.123Z"; returns buf; "" if ms is beyond 9999. */
char *time_format(int64_t ms, char *buf, size_t size);

#endif
