#include "freeze.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "lib/timefmt.h"
#include "store_around.h"

#define FREEZE_MS  500

struct freeze_s {
    store_t       *store;
    settings_t    *settings;
    struct event  *timer;
    bool           asking;
    char          *stop;           /* JSON; NULL: no stop */
    char           why[256];
};


static void
freeze_got(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    freeze_t  *freeze = arg;

    freeze->asking = false;

    /* Who cannot read it keeps what it knew. */
    if (status == STORE_OK) {
        freeze_set(freeze, count > 0 ? texts[0] : NULL);
    }
}


static void
freeze_ask(evutil_socket_t fd, short what, void *arg)
{
    freeze_t  *freeze = arg;

    if (!freeze->asking && store_ready(freeze->store)) {
        freeze->asking = true;
        store_stop_get(freeze->store, freeze_got, freeze);
    }
}


freeze_t *
freeze_new(struct event_base *base, store_t *store, settings_t *settings)
{
    freeze_t        *freeze;
    struct timeval   tv = { FREEZE_MS / 1000, FREEZE_MS % 1000 * 1000 };

    freeze = calloc(1, sizeof(freeze_t));
    if (freeze == NULL) {
        return NULL;
    }

    freeze->store = store;
    freeze->settings = settings;
    freeze->timer = event_new(base, -1, EV_PERSIST, freeze_ask, freeze);

    if (freeze->timer == NULL) {
        free(freeze);
        return NULL;
    }

    event_add(freeze->timer, &tv);

    return freeze;
}


void
freeze_free(freeze_t *freeze)
{
    if (freeze != NULL) {
        event_free(freeze->timer);
        free(freeze->stop);
        free(freeze);
    }
}


void
freeze_set(freeze_t *freeze, const char *stop)
{
    char  *copy;

    copy = stop != NULL ? strdup(stop) : NULL;
    free(freeze->stop);
    freeze->stop = copy;
}


const char *
freeze_why(freeze_t *freeze, const char *upstream)
{
    char                time[TIME_LEN];
    int64_t             until;
    unsigned            i;
    settings_freeze_t  *window;

    if (freeze->stop != NULL) {
        return "the line is stopped";
    }

    for (i = 0; i < freeze->settings->freeze_count; i++) {
        window = &freeze->settings->freezes[i];

        if (!settings_matches(window->upstreams, upstream)) {
            continue;
        }

        until = window_until(&window->window,
                             store_now(freeze->store) / 1000);

        if (until > 0) {
            text_format(freeze->why, sizeof(freeze->why), "frozen until %s"
                        "%s%s", time_format(until * 1000, time, sizeof(time)),
                        window->name[0] ? " by " : "", window->name);
            return freeze->why;
        }
    }

    return NULL;
}


cJSON *
freeze_json(freeze_t *freeze)
{
    char                time[TIME_LEN];
    cJSON              *json, *list, *item;
    int64_t             until;
    unsigned            i;
    settings_freeze_t  *window;

    json = cJSON_CreateObject();
    item = freeze->stop != NULL ? cJSON_Parse(freeze->stop) : NULL;
    cJSON_AddItemToObject(json, "stop", item != NULL ? item
                          : freeze->stop != NULL ? cJSON_CreateTrue()
                                                 : cJSON_CreateNull());
    list = cJSON_AddArrayToObject(json, "windows");

    for (i = 0; i < freeze->settings->freeze_count; i++) {
        window = &freeze->settings->freezes[i];
        until = window_until(&window->window,
                             store_now(freeze->store) / 1000);
        item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", window->name);
        cJSON_AddStringToObject(item, "upstreams", window->upstreams[0]
                                                   ? window->upstreams : "*");

        if (until > 0) {
            cJSON_AddStringToObject(item, "until",
                                    time_format(until * 1000, time,
                                                sizeof(time)));

        } else {
            cJSON_AddNullToObject(item, "until");
        }

        cJSON_AddItemToArray(list, item);
    }

    return json;
}
