#include "incident_watch.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "incident.h"
#include "store_around.h"

#define WATCH_MS  3000

typedef struct {
    incident_watch_t  *watch;
    char               upstream[SPEC_NAME_LEN];
    bool               known;
    unsigned           open;
    unsigned           acknowledged;
} watched_t;

struct incident_watch_s {
    store_t           *store;
    const settings_t  *settings;
    struct event      *timer;
    bool               naming;     /* the names are awaited */
    unsigned           pending;    /* answers that next waits for */
    unsigned           next_count;
    watched_t         *next;       /* is being read */
    unsigned           count;
    watched_t         *now;        /* was read last */
};


static void watch_tick(evutil_socket_t fd, short what, void *arg);


incident_watch_t *
incident_watch_new(struct event_base *base, store_t *store,
    const settings_t *settings)
{
    struct timeval     tv = { WATCH_MS / 1000, WATCH_MS % 1000 * 1000 };
    incident_watch_t  *watch;

    watch = calloc(1, sizeof(incident_watch_t));
    if (watch == NULL) {
        return NULL;
    }

    watch->store = store;
    watch->settings = settings;
    watch->timer = event_new(base, -1, EV_PERSIST, watch_tick, watch);

    if (watch->timer == NULL) {
        free(watch);
        return NULL;
    }

    event_add(watch->timer, &tv);

    return watch;
}


/* store_free() follows, so that no answer comes any more. */
void
incident_watch_free(incident_watch_t *watch)
{
    if (watch == NULL) {
        return;
    }

    event_free(watch->timer);
    free(watch->next);
    free(watch->now);
    free(watch);
}


static void
watch_take(incident_watch_t *watch)
{
    free(watch->now);
    watch->now = watch->next;
    watch->count = watch->next_count;
    watch->next = NULL;
    watch->next_count = 0;
}


static void
watch_incident(watched_t *watched, const char *text)
{
    char               error[128];
    cJSON             *doc;
    const char        *state;
    incident_watch_t  *watch = watched->watch;

    doc = cJSON_Parse(text);
    state = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(doc, "state"));

    if (state != NULL) {
        watched->open += strcmp(state, "open") == 0;
        watched->acknowledged += strcmp(state, "acknowledged") == 0;
    }

    if (doc != NULL && incident_due(watch->settings, doc,
                                    store_now(watch->store)))
    {
        /* Of several canaryds one is the first, the others are told that it
         * has changed. */
        (void) incident_change(watch->store, text, INCIDENT_ESCALATE,
                               "canaryd", "nobody has acknowledged it", NULL,
                               NULL, error);
    }

    cJSON_Delete(doc);
}


static void
watch_got(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    size_t             i;
    watched_t         *watched = arg;
    incident_watch_t  *watch = watched->watch;

    watched->known = status == STORE_OK;

    for (i = 0; i < count; i++) {
        watch_incident(watched, texts[i]);
    }

    if (--watch->pending == 0) {
        watch_take(watch);
    }
}


static void
watch_names(void *arg, store_status_t status, size_t count,
    const char *const *names)
{
    size_t             i;
    incident_watch_t  *watch = arg;

    watch->naming = false;

    if (status != STORE_OK || count == 0) {
        watch_take(watch);
        return;
    }

    watch->next = calloc(count, sizeof(watched_t));
    if (watch->next == NULL) {
        abort();
    }

    watch->next_count = (unsigned) count;
    watch->pending = watch->next_count;

    for (i = 0; i < count; i++) {
        watch->next[i].watch = watch;
        text_copy(watch->next[i].upstream, SPEC_NAME_LEN, names[i]);
        store_incidents_open(watch->store, names[i], watch_got,
                             &watch->next[i]);
    }
}


static void
watch_tick(evutil_socket_t fd, short what, void *arg)
{
    incident_watch_t  *watch = arg;

    if (!watch->naming && watch->pending == 0) {
        watch->naming = true;
        store_names(watch->store, watch_names, watch);
    }
}


bool
incident_watch_counts(const incident_watch_t *watch, unsigned number,
    incident_counts_t *counts)
{
    unsigned          i;
    const watched_t  *watched;

    for (i = 0; i < watch->count; i++) {
        watched = &watch->now[i];

        if (!watched->known || number-- > 0) {
            continue;
        }

        counts->upstream = watched->upstream;
        counts->open = watched->open;
        counts->acknowledged = watched->acknowledged;

        return true;
    }

    return false;
}
