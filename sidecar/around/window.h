/* Times in which nothing is started or moved on.  Pure but for the time
 * zone, which the system's database knows. */

#ifndef AROUND_WINDOW_H
#define AROUND_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/spec.h"

#define WINDOW_ZONE_LEN  64

typedef struct {
    bool      cron;
    char      zone[WINDOW_ZONE_LEN];
    int64_t   from_s;              /* since 1970; not of cron */
    int64_t   to_s;
    uint64_t  minutes;             /* bit sets of a cron line */
    uint32_t  hours;
    uint32_t  days;                /* of the month, from bit 1 */
    uint32_t  months;              /* from bit 1 */
    uint32_t  weekdays;            /* 0: Sunday */
    bool      any_day;             /* "*" as day of the month */
    bool      any_weekday;
    int64_t   for_s;               /* of cron: how long it lasts */
    int64_t   known_s;             /* cache: the minute that was asked for */
    int64_t   until_s;             /* and the end of the window then, or 0 */
} window_t;

/* {"from", "to"} ("2026-12-24T18:00") or {"cron": "0 18 * * 5", "for":
 * "62h"}, and "zone" (UTC).  0 or -1 with the error; prefix names it. */
int window_read(const cJSON *json, const char *prefix, window_t *window,
    spec_error_t *error);

/* When it ends, in seconds since 1970, or 0 if now is not in it. */
int64_t window_until(window_t *window, int64_t now_s);

#endif
