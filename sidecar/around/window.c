#include "window.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/spec_fields.h"
#include "core/text.h"

#define WINDOW_MAX_FOR  (14 * 86400)

/* The one place that sets TZ: in a buffer that stays in the environment, so
 * that a thread which reads the environment never sees it move. */
static char  window_tz[WINDOW_ZONE_LEN + 4] = "TZ=UTC";
static bool  window_ready;


static void
window_zone(const char *zone)
{
    if (!window_ready) {
        putenv(window_tz);
        window_ready = true;
    }

    text_copy(window_tz + 3, WINDOW_ZONE_LEN, zone);
    tzset();
}


static bool
window_zone_known(const char *zone)
{
    char    path[128];
    size_t  i;

    for (i = 0; zone[i] != '\0'; i++) {
        if (!isalnum((unsigned char) zone[i])
            && strchr("/_+-", zone[i]) == NULL)
        {
            return false;
        }
    }

    if (strcmp(zone, "UTC") == 0) {
        return true;
    }

    snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);

    return i > 0 && i < WINDOW_ZONE_LEN && isalpha((unsigned char) zone[0])
           && access(path, R_OK) == 0;
}


/* One field of a cron line: "*", "a", "a-b", "*" or a range with "/n", lists
 * of these; *text moves on.  0 if it is none. */
static uint64_t
window_field(const char **text, unsigned min, unsigned max)
{
    char         *end;
    uint64_t      set;
    unsigned long from, to, step, i;

    set = 0;

    do {
        step = 1;

        if (**text == '*') {
            (*text)++;
            from = min;
            to = max;

        } else {
            if (!isdigit((unsigned char) **text)) {
                return 0;
            }

            from = strtoul(*text, &end, 10);
            to = from;
            *text = end;

            if (**text == '-') {
                (*text)++;

                if (!isdigit((unsigned char) **text)) {
                    return 0;
                }

                to = strtoul(*text, &end, 10);
                *text = end;
            }
        }

        if (**text == '/') {
            (*text)++;
            step = strtoul(*text, &end, 10);

            if (end == *text || step == 0 || step > max) {
                return 0;
            }

            *text = end;
        }

        if (from < min || to > max || from > to) {
            return 0;
        }

        for (i = from; i <= to; i += step) {
            set |= UINT64_C(1) << i;
        }

        if (**text != ',') {
            break;
        }

        (*text)++;

    } while (**text != '\0');

    if (**text != '\0' && **text != ' ') {
        return 0;
    }

    while (**text == ' ') {
        (*text)++;
    }

    return set;
}


static bool
window_cron(window_t *window, const char *text)
{
    window->minutes = window_field(&text, 0, 59);
    window->hours = (uint32_t) window_field(&text, 0, 23);
    window->any_day = *text == '*';
    window->days = (uint32_t) window_field(&text, 1, 31);
    window->months = (uint32_t) window_field(&text, 1, 12);
    window->any_weekday = *text == '*';
    window->weekdays = (uint32_t) window_field(&text, 0, 7);

    if (window->weekdays & 1 << 7) {
        window->weekdays |= 1;
    }

    return window->minutes && window->hours && window->days && window->months
           && window->weekdays && *text == '\0';
}


/* "2026-12-24T18:00" or with seconds, in the zone that is set; -1. */
static int64_t
window_time(const char *text)
{
    char        *end;
    time_t       when;
    struct tm    tm;

    memset(&tm, 0, sizeof(tm));
    end = strptime(text, "%Y-%m-%dT%H:%M", &tm);

    if (end != NULL && *end == ':') {
        end = strptime(end, ":%S", &tm);
    }

    if (end == NULL || *end != '\0') {
        return -1;
    }

    tm.tm_isdst = -1;
    when = mktime(&tm);

    return when > 0 ? (int64_t) when : -1;
}


int
window_read(const cJSON *json, const char *prefix, window_t *window,
    spec_error_t *error)
{
    int64_t       length;
    const cJSON  *cron, *from, *to, *zone;

    memset(window, 0, sizeof(window_t));
    text_copy(window->zone, sizeof(window->zone), "UTC");

    cron = cJSON_GetObjectItemCaseSensitive(json, "cron");
    from = cJSON_GetObjectItemCaseSensitive(json, "from");
    to = cJSON_GetObjectItemCaseSensitive(json, "to");
    zone = cJSON_GetObjectItemCaseSensitive(json, "zone");

    if (zone != NULL) {
        if (!cJSON_IsString(zone) || !window_zone_known(zone->valuestring)) {
            return spec_fail(error, prefix, "zone", "must be a time zone of "
                             "this system, such as \"Europe/Berlin\"");
        }

        text_copy(window->zone, sizeof(window->zone), zone->valuestring);
    }

    if (cron != NULL) {
        length = 0;
        window->cron = true;

        if (!cJSON_IsString(cron) || !window_cron(window, cron->valuestring))
        {
            return spec_fail(error, prefix, "cron", "must be five fields: "
                             "minute, hour, day, month, weekday, such as "
                             "\"0 18 * * 5\"");
        }

        if (from != NULL || to != NULL) {
            return spec_fail(error, prefix, "from", "and to are not for a "
                             "window with cron");
        }

        if (spec_read_duration(json, prefix, "for", 60000,
                               WINDOW_MAX_FOR * INT64_C(1000), &length, error)
            != 0)
        {
            return -1;
        }

        if (length == 0) {
            return spec_fail(error, prefix, "for", "is required with cron: "
                             "how long it lasts");
        }

        window->for_s = length / 1000;

        return 0;
    }

    window_zone(window->zone);
    window->from_s = cJSON_IsString(from) ? window_time(from->valuestring)
                                          : -1;
    window->to_s = cJSON_IsString(to) ? window_time(to->valuestring) : -1;
    window_zone("UTC");

    if (window->from_s < 0) {
        return spec_fail(error, prefix, "from", "must be a time such as "
                         "\"2026-12-24T18:00\" (or have a cron)");
    }

    if (window->to_s <= window->from_s) {
        return spec_fail(error, prefix, "to", "must be a time after from");
    }

    return 0;
}


static bool
window_begins(const window_t *window, const struct tm *tm)
{
    bool  day, weekday;

    day = (window->days >> tm->tm_mday & 1) != 0;
    weekday = (window->weekdays >> tm->tm_wday & 1) != 0;

    /* as cron has it: if both are limited, one of them is enough */

    if (!window->any_day && !window->any_weekday) {
        day = day || weekday;

    } else {
        day = day && weekday;
    }

    return day && (window->minutes >> tm->tm_min & 1)
           && (window->hours >> tm->tm_hour & 1)
           && (window->months >> (tm->tm_mon + 1) & 1);
}


int64_t
window_until(window_t *window, int64_t now_s)
{
    time_t     at;
    int64_t    minute;
    struct tm  tm;

    if (!window->cron) {
        return now_s >= window->from_s && now_s < window->to_s ? window->to_s
                                                               : 0;
    }

    minute = now_s - now_s % 60;

    if (minute == window->known_s) {
        return window->until_s > now_s ? window->until_s : 0;
    }

    window->known_s = minute;
    window->until_s = 0;
    window_zone(window->zone);

    /* The latest begin that is not over. */
    for (at = (time_t) minute; at > (time_t) (now_s - window->for_s);
         at -= 60)
    {
        if (localtime_r(&at, &tm) != NULL && window_begins(window, &tm)) {
            window->until_s = at + window->for_s;
            break;
        }
    }

    window_zone("UTC");

    return window->until_s > now_s ? window->until_s : 0;
}
