/* One upstream's tick: lead, read, judge, commit. */

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "controller_internal.h"
#include "core/text.h"
#include "decision.h"
#include "fleet.h"

#define DRIVE_LEAD_MS    2500
#define DRIVE_LATE_MS    5         /* after which a lead has run out for sure */
#define DRIVE_BROKEN_MS  30000
#define DRIVE_FAILURES   3
#define DRIVE_TRIES      10


static void drive_led(void *arg, store_status_t status, bool held,
    const char *leader, int64_t left_ms);
static void drive_read(drive_t *drive);
static void drive_got(void *arg, store_status_t status,
    const store_rollout_t *all);
static void drive_written(void *arg, store_status_t status,
    const store_result_t *result);


static int64_t
drive_lead_ms(const drive_t *drive)
{
    int64_t  px;

    px = (int64_t) drive->controller->config->tick_ms * 5 / 2;

    return px < DRIVE_LEAD_MS ? DRIVE_LEAD_MS : px;
}


void
drive_begin(drive_t *drive)
{
    drive->busy = true;
    store_lead(drive->controller->store, drive->upstream, drive->leader,
               drive_lead_ms(drive), drive_led, drive);
}


/* What a commit under way was made upon is checked by Redis: a new token may
 * take the place of one that ran out just now. */
static void
drive_renewed(void *arg, store_status_t status, bool held,
    const char *leader, int64_t left_ms)
{
    drive_t  *drive = arg;

    if (status == STORE_OK && held && drive->held) {
        text_copy(drive->leader, sizeof(drive->leader), leader);
    }
}


void
drive_renew(drive_t *drive)
{
    if (drive->held) {
        store_lead(drive->controller->store, drive->upstream, drive->leader,
                   drive_lead_ms(drive), drive_renewed, drive);
    }
}


static void
drive_led(void *arg, store_status_t status, bool held, const char *leader,
    int64_t left_ms)
{
    drive_t       *drive = arg;
    controller_t  *controller = drive->controller;

    drive->busy = false;

    if (status != STORE_OK || controller->stopped) {
        /* The lead may have been given meanwhile; what is stored of it stays
         * valid or runs out by itself. */
        if (controller->stopped && status == STORE_OK && held) {
            store_lead(controller->store, drive->upstream, leader, 0, NULL,
                       NULL);
        }
        return;
    }

    if (held && strcmp(drive->leader, leader) != 0) {
        log_info(controller->log, "leads", LOG_S("upstream", drive->upstream),
                 LOG_S("rollout", drive->rollout), LOG_S("leader", leader));

    } else if (!held && drive->held) {
        log_warn(controller->log, "lost the lead",
                 LOG_S("upstream", drive->upstream), LOG_S("to", leader));
    }

    drive->held = held;
    text_copy(drive->leader, sizeof(drive->leader), held ? leader : "");

    if (!held) {
        drive->judged = false;
        runner_drop(controller->around->runner, drive->upstream);

        /* If it is not renewed, not a tick is to be lost. */
        if (left_ms > 0) {
            controller_nudge_in(controller, drive->upstream,
                                left_ms + DRIVE_LATE_MS);
        }
        return;
    }

    drive->busy = true;
    drive->tries = 0;
    drive_read(drive);
}


static void
drive_read(drive_t *drive)
{
    store_rollout(drive->controller->store, drive->upstream, drive->rollout,
                  drive->position, drive_got, drive);
}


/* What cannot be judged is not led: the lease then ends the canary. */
static void
drive_fail(drive_t *drive, const char *error)
{
    controller_t  *controller = drive->controller;

    controller->stats.errors++;

    drive->failures = 0;
    drive->broken_ms = clock_mono_ms() + DRIVE_BROKEN_MS;
    log_error(controller->log, "rollout cannot be driven",
              LOG_S("upstream", drive->upstream),
              LOG_S("rollout", drive->rollout), LOG_S("error", error));

    store_lead(controller->store, drive->upstream, drive->leader, 0, NULL,
               NULL);
    drive->held = false;
    drive->leader[0] = '\0';
}


/* Who is the leader and can neither read nor write must not stay it. */
static void
drive_refused(drive_t *drive)
{
    if (++drive->failures >= DRIVE_FAILURES && drive->held) {
        drive_fail(drive, "redis refuses to read or write it");
    }
}


static void
drive_commit(drive_t *drive, const store_rollout_t *all, release_t *release,
    decision_t *decision, const store_judged_t *judged,
    const rollout_events_t *events)
{
    char            *doc, *evidence_json, *data;
    unsigned         i;
    record_t         wanted;
    store_event_t    list[ROLLOUT_MAX_EVENTS];
    store_commit_t   commit;
    controller_t    *controller = drive->controller;

    memset(&commit, 0, sizeof(store_commit_t));
    data = NULL;
    free(drive->record);
    drive->record = NULL;
    drive->writing = 0;

    if (release_route(release, decision->present, &wanted)) {
        decision->wanted = &wanted;
        drive->writing = wanted.revision;
        drive->record = record_text(&wanted);
        commit.revision = wanted.revision;
        commit.record = drive->record;
    }

    release->updated_ms = store_now(controller->store);

    if (rollout_ended(&release->state) && release->finished_ms == 0) {
        release->finished_ms = release->updated_ms;
    }

    if (events->count > 0) {
        decision->release = release;
        data = decision_text(decision);
    }

    for (i = 0; i < events->count; i++) {
        list[i].type = events->list[i].type;
        list[i].detail = events->list[i].detail;
        list[i].data = data;
    }

    drive->events = *events;

    doc = release_text(release);
    evidence_json = evidence_text(decision->evidence);

    commit.upstream = drive->upstream;
    commit.rollout = drive->rollout;
    commit.seq = all->seq;
    commit.leader = drive->leader;
    commit.doc = doc;
    commit.evidence = evidence_json;
    commit.active = rollout_active(&release->state);
    commit.actor = release->state.actor;
    commit.judged = judged;
    commit.event_count = events->count;
    commit.events = list;

    release_success(release, decision->before, &commit);
    drive->judged = true;
    drive->state = release->state.state;

    store_commit(controller->store, &commit, drive_written, drive);

    free(doc);
    free(evidence_json);
    free(data);
}


/*
 * The release, its state as it was found, and what has to be said about that
 * before anything else.
 * Whoever changed the route and is not this rollout is a node whose record
 * was written back: then Redis lost the newest state.  0, or -1 if there is
 * nothing to go on from.
 */
static int
drive_check(drive_t *drive, const store_rollout_t *all,
    const record_t *present, release_t *release, rollout_t *before,
    rollout_events_t *events)
{
    char         error[ROLLOUT_REASON_LEN];
    const char  *why;

    why = NULL;

    if (release_parse(all->doc, release) != 0
        || strcmp(release->spec.upstream, drive->upstream) != 0)
    {
        if (release_rebuild(release, drive->rollout, drive->upstream, present)
            != 0)
        {
            return -1;
        }

        drive->controller->stats.errors++;
        why = "redis lost the state of this rollout";

    } else if (all->route.revision != release->revision) {
        why = "redis lost the newest state of this rollout";
    }

    *before = release->state;

    if (why != NULL) {
        (void) rollout_command(&release->spec, &release->state, ROLLOUT_ABORT,
                               "canaryd", why,
                               store_now(drive->controller->store), events,
                               error);
        release->revision = all->route.revision;
    }

    return 0;
}


/* The release is read and the drive is its leader: judge, move on, write. */
static void
drive_release(drive_t *drive, const store_rollout_t *all, release_t *release,
    decision_t *decision, rollout_events_t *events, int64_t now, int64_t live)
{
    bool           baking;
    unsigned       step;
    evidence_t     evidence;
    controller_t  *controller = drive->controller;
    drive_seen_t   seen;

    if (evidence_parse(all->evidence, release, &evidence) != 0) {
        /* All that was counted for it and is still there is judged anew. */
        controller->stats.errors++;
        log_error(controller->log, "evidence is damaged: judged anew",
                  LOG_S("rollout", drive->rollout));
        evidence_init(&evidence, release);
    }

    if (strcmp(evidence.position, drive->position) != 0) {
        /* The first tick as the leader: read again from where it is. */
        strcpy(drive->position, evidence.position);
        drive->busy = true;
        drive_read(drive);
        return;
    }

    controller->stats.ticks++;
    step = release->state.step;
    baking = release->state.baking;

    drive_observe(drive, all, release, decision->present, &evidence, &seen,
                  now, live);
    around_observe(controller->around, release, now, &seen.observation);

    /* Not in the tick of an abort by drive_check(): it needs a record. */
    if (events->count == 0) {
        (void) rollout_tick(&release->spec, &release->state,
                            &seen.observation, now, events);
    }

    if (release->state.step != step || release->state.baking != baking
        || !rollout_moving(&release->state))
    {
        memset(&evidence.step, 0, sizeof(tally_cell_t));
    }

    evidence_sample(&evidence, release, now);

    decision->evidence = &evidence;
    decision->fleet = &seen.fleet;
    decision->leader = drive->leader;

    strcpy(drive->judged_to, evidence.position);
    drive->busy = true;
    drive_commit(drive, all, release, decision,
                 seen.judged.counts != NULL ? &seen.judged : NULL, events);
    drive_seen_free(&seen);
}


static void
drive_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    int64_t            now, live;
    drive_t           *drive = arg;
    record_t           present;
    release_t          release;
    rollout_t          before;
    decision_t         decision;
    controller_t      *controller = drive->controller;
    rollout_events_t   events;

    drive->busy = false;

    if (status == STORE_ERROR) {
        drive_refused(drive);
    }

    if (status != STORE_OK || controller->stopped || !drive->held
        || all->route.rollout == NULL
        || strcmp(all->route.rollout, drive->rollout) != 0
        || !all->route.active)
    {
        return;
    }

    now = store_now(controller->store);
    live = record_live_ms(controller->config->tick_ms);
    memset(&events, 0, sizeof(rollout_events_t));
    memset(&decision, 0, sizeof(decision_t));

    if (!fleet_record(all, now, live, &present)) {
        /* No node, no record: nothing can be begun. */
        return;
    }

    if (drive_check(drive, all, &present, &release, &before, &events) != 0) {
        drive_fail(drive, "its document and the record are damaged");
        return;
    }

    decision.before = &before;
    decision.present = &present;

    drive_release(drive, all, &release, &decision, &events, now, live);
    release_free(&release);
}


static void
drive_written(void *arg, store_status_t status, const store_result_t *result)
{
    drive_t          *drive = arg;
    unsigned          i;
    controller_t     *controller = drive->controller;
    rollout_event_t  *event;

    drive->busy = false;

    if (status != STORE_OK || result->outcome != STORE_DONE) {
        /* Whatever is in Redis now is read again: by the next tick, or, where
         * a command came first, at once, so that commands cannot keep the
         * judge from its work. */
        controller->stats.conflicts += status == STORE_OK;
        drive->judged = false;

        if (status == STORE_OK && result->outcome == STORE_CONFLICT_SEQ
            && ++drive->tries < DRIVE_TRIES && !controller->stopped)
        {
            drive->busy = true;
            drive_read(drive);
        }

        if (status == STORE_ERROR) {
            drive_refused(drive);
        }
        return;
    }

    drive->failures = 0;
    strcpy(drive->position, drive->judged_to);

    for (i = 0; i < drive->events.count; i++) {
        event = &drive->events.list[i];

        log_info(controller->log, "rollout",
                 LOG_S("upstream", drive->upstream),
                 LOG_S("rollout", drive->rollout), LOG_S("event", event->type),
                 LOG_S("detail", event->detail));
    }

    if (drive->writing > 0) {
        agent_apply(controller->agent, drive->upstream, drive->writing,
                    drive->record);
    }
}
