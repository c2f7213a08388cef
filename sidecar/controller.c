/* Which upstreams have an active rollout, and what is known of them. */

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "controller_internal.h"
#include "core/text.h"

#define CONTROLLER_NUDGE_MS  5


static void controller_tick(evutil_socket_t fd, short what, void *arg);
static void controller_nudged(evutil_socket_t fd, short what, void *arg);
static void controller_routes(void *arg, store_status_t status, size_t count,
    const store_route_t *routes);


controller_t *
controller_new(struct event_base *base, log_t *log, store_t *store,
    agent_t *agent, around_t *around, const config_t *config)
{
    controller_t  *controller;

    controller = calloc(1, sizeof(controller_t));
    if (controller == NULL) {
        return NULL;
    }

    controller->base = base;
    controller->log = log;
    controller->store = store;
    controller->agent = agent;
    controller->around = around;
    controller->config = config;
    controller->timer = event_new(base, -1, EV_PERSIST, controller_tick,
                                  controller);
    controller->nudge = event_new(base, -1, 0, controller_nudged, controller);

    if (controller->timer == NULL || controller->nudge == NULL) {
        controller_free(controller);
        return NULL;
    }

    controller_reload(controller);

    return controller;
}


void
controller_stop(controller_t *controller)
{
    unsigned   i;
    drive_t   *drive;

    controller->stopped = true;
    event_del(controller->timer);
    event_del(controller->nudge);

    for (i = 0; i < controller->count; i++) {
        drive = controller->drives[i];

        if (drive->held && store_ready(controller->store)) {
            store_lead(controller->store, drive->upstream, drive->leader, 0,
                       NULL, NULL);
            drive->held = false;
        }
    }
}


void
controller_free(controller_t *controller)
{
    unsigned  i;

    if (controller == NULL) {
        return;
    }

    if (controller->timer != NULL) {
        event_free(controller->timer);
    }

    if (controller->nudge != NULL) {
        event_free(controller->nudge);
    }

    for (i = 0; i < controller->count; i++) {
        free(controller->drives[i]->record);
        free(controller->drives[i]);
    }

    free(controller);
}


void
controller_reload(controller_t *controller)
{
    int             ms = controller->config->tick_ms;
    struct timeval  tv = { ms / 1000, ms % 1000 * 1000 };

    event_add(controller->timer, &tv);
}


/* --- which upstreams --- */

static void
controller_look(controller_t *controller, bool nudging)
{
    if (controller->looking || controller->stopped
        || !store_ready(controller->store))
    {
        return;
    }

    controller->looking = true;
    controller->nudging = nudging;
    store_routes(controller->store, controller_routes, controller);
}


static void
controller_tick(evutil_socket_t fd, short what, void *arg)
{
    controller_look(arg, false);
}


static void
controller_nudged(evutil_socket_t fd, short what, void *arg)
{
    controller_look(arg, true);
}


static drive_t *
controller_drive(controller_t *controller, const char *upstream)
{
    unsigned   i;
    drive_t   *drive;

    for (i = 0; i < controller->count; i++) {
        if (strcmp(controller->drives[i]->upstream, upstream) == 0) {
            return controller->drives[i];
        }
    }

    if (controller->count == CONTROLLER_MAX_DRIVES) {
        return NULL;
    }

    drive = calloc(1, sizeof(drive_t));
    if (drive == NULL) {
        return NULL;
    }

    drive->controller = controller;
    text_copy(drive->upstream, sizeof(drive->upstream), upstream);
    controller->drives[controller->count++] = drive;

    return drive;
}


/* The timer is for the first one that is due. */
static void
controller_nudge_arm(controller_t *controller)
{
    int64_t         first, ms;
    unsigned        i;
    struct timeval  tv;

    first = 0;

    for (i = 0; i < controller->count; i++) {
        ms = controller->drives[i]->nudge_ms;

        if (ms > 0 && !controller->drives[i]->busy
            && (first == 0 || ms < first))
        {
            first = ms;
        }
    }

    if (first == 0 || controller->stopped) {
        return;
    }

    ms = first - clock_mono_ms();
    ms = ms < CONTROLLER_NUDGE_MS ? CONTROLLER_NUDGE_MS : ms;
    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;
    event_add(controller->nudge, &tv);
}


void
controller_nudge_in(controller_t *controller, const char *upstream,
    int64_t ms)
{
    drive_t  *drive;

    drive = controller_drive(controller, upstream);

    if (drive != NULL) {
        drive->nudge_ms = clock_mono_ms() + ms;
        controller_nudge_arm(controller);
    }
}


void
controller_nudge(controller_t *controller, const char *upstream)
{
    controller_nudge_in(controller, upstream, CONTROLLER_NUDGE_MS);
}


static void
controller_routes(void *arg, store_status_t status, size_t count,
    const store_route_t *routes)
{
    size_t         i;
    int64_t        now;
    drive_t       *drive;
    controller_t  *controller = arg;

    controller->looking = false;
    now = clock_mono_ms();

    if (status != STORE_OK || controller->stopped) {
        return;
    }

    for (i = 0; i < controller->count; i++) {
        controller->drives[i]->active = false;
    }

    for (i = 0; i < count; i++) {
        if (!routes[i].active || strlen(routes[i].rollout) >= RELEASE_ID_LEN)
        {
            continue;
        }

        drive = controller_drive(controller, routes[i].upstream);
        if (drive == NULL) {
            continue;
        }

        drive->active = true;

        if (drive->busy && !controller->nudging) {
            drive_renew(drive);
        }

        if (drive->busy
            || (controller->nudging && (drive->nudge_ms == 0
                                        || drive->nudge_ms > now)))
        {
            continue;
        }

        drive->nudge_ms = 0;

        if (strcmp(drive->rollout, routes[i].rollout) != 0) {
            strcpy(drive->rollout, routes[i].rollout);
            strcpy(drive->position, "0-0");
            drive->judged = false;
            drive->failures = 0;
            drive->broken_ms = 0;
        }

        if (now >= drive->broken_ms) {
            drive_begin(drive);
        }
    }

    for (i = 0; i < controller->count; i++) {
        drive = controller->drives[i];

        if (drive->active) {
            continue;
        }

        drive->nudge_ms = 0;

        if (drive->held && !drive->busy) {
            store_lead(controller->store, drive->upstream, drive->leader, 0,
                       NULL, NULL);
            drive->held = false;
            drive->leader[0] = '\0';
        }
    }

    controller_nudge_arm(controller);
}


/* --- what others want to know --- */

const controller_stats_t *
controller_stats(const controller_t *controller)
{
    return &controller->stats;
}


bool
controller_view(const controller_t *controller, unsigned number,
    controller_view_t *view)
{
    unsigned        i;
    const drive_t  *drive;

    for (i = 0; i < controller->count; i++) {
        drive = controller->drives[i];

        if (!drive->active || number-- > 0) {
            continue;
        }

        view->upstream = drive->upstream;
        view->rollout = drive->rollout;
        view->leader = drive->held;
        view->judged = drive->held && drive->judged;
        view->state = drive->state;
        view->log_evidence = drive->log_evidence;

        return true;
    }

    return false;
}
