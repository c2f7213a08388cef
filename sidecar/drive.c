/* One upstream's tick: lead, read, judge, commit. */

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "controller_internal.h"
#include "core/text.h"
#include "decision.h"
#include "fleet.h"
#include "tally.h"

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


/* All ticks after the evidence's position; it moves on to the last. */
static void
drive_sum(drive_t *drive, const store_rollout_t *all, evidence_t *evidence,
    tally_t *sum)
{
    size_t               i;
    const store_tick_t  *tick;

    for (i = 0; i < all->tick_count; i++) {
        tick = &all->ticks[i];

        if (!evidence_after(tick->position, evidence->position)) {
            continue;
        }

        text_copy(evidence->position, sizeof(evidence->position),
                  tick->position);

        /* A node that had not heard yet still counted for another rollout. */
        if (tick->rollout == NULL || tick->counts == NULL
            || strcmp(tick->rollout, drive->rollout) != 0)
        {
            continue;
        }

        if (tally_parse(sum, tick->counts) != 0) {
            drive->controller->stats.errors++;
        }
    }
}


static void
drive_judge_stratum(evidence_t *evidence, const tally_cell_t *canary,
    const tally_cell_t *stable, bool warm)
{
    judge_tick_t  tick;

    memset(&tick, 0, sizeof(judge_tick_t));

    if (canary != NULL) {
        tick.canary_requests = canary->requests;
        tick.canary_errors = canary->errors;
        tick.canary_latency = warm ? canary->latency : NULL;
    }

    if (stable != NULL) {
        tick.stable_requests = stable->requests;
        tick.stable_errors = stable->errors;
        tick.stable_latency = stable->latency;
    }

    judge_tick(&evidence->judge, &tick);
}


/* New connections and cold caches are slow, and not the version. */
static bool
drive_warm(const release_t *release, const evidence_t *evidence,
    int64_t now_ms)
{
    return evidence->first_ms != 0
           && now_ms - evidence->first_ms >= release->spec.warmup_ms;
}


/* Returns the number of canary requests that were judged. */
static uint64_t
drive_judge(const release_t *release, evidence_t *evidence,
    const tally_t *sum, int64_t now_ms)
{
    bool                 any, warm;
    uint64_t             requests;
    unsigned             s;
    const tally_cell_t  *canary, *stable;

    any = false;
    requests = 0;

    for (s = 0; s < TALLY_MAX_STRATA && evidence->first_ms == 0; s++) {
        canary = tally_find(sum, release->spec.canary, s);

        if (canary != NULL && canary->requests > 0) {
            evidence->first_ms = now_ms;
        }
    }

    warm = drive_warm(release, evidence, now_ms);

    /* One bet after the other on the same wealth. */
    for (s = 0; s < TALLY_MAX_STRATA; s++) {
        canary = tally_find(sum, release->spec.canary, s);
        stable = tally_find(sum, release->stable, s);

        if (canary == NULL && stable == NULL) {
            continue;
        }

        drive_judge_stratum(evidence, canary, stable, warm);
        requests += canary != NULL ? canary->requests : 0;
        any = true;
    }

    if (!any) {
        drive_judge_stratum(evidence, NULL, NULL, warm);
    }

    /* For people the default stratum is enough. */
    traffic_add(&evidence->canary, tally_find(sum, release->spec.canary, 0),
                now_ms);
    traffic_add(&evidence->stable, tally_find(sum, release->stable, 0),
                now_ms);
    evidence->judged_ms = now_ms;

    return requests;
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

    if (!rollout_active(&release->state) && release->finished_ms == 0) {
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


static void
drive_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    fleet_t                 fleet;
    int64_t                 now, live;
    tally_t                 sum;
    drive_t                *drive = arg;
    record_t                present;
    release_t               release;
    rollout_t               before;
    decision_t              decision;
    evidence_t              evidence;
    controller_t           *controller = drive->controller;
    judge_result_t          result;
    store_judged_t          judged;
    rollout_events_t        events;
    rollout_observation_t   seen;

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

    if (!fleet_record(all, now, live, &present)) {
        /* No node, no record: nothing can be begun. */
        return;
    }

    if (drive_check(drive, all, &present, &release, &before, &events) != 0) {
        drive_fail(drive, "its document and the record are damaged");
        return;
    }

    if (evidence_parse(all->evidence, &release, &evidence) != 0) {
        /* All that was counted for it and is still there is judged anew. */
        controller->stats.errors++;
        log_error(controller->log, "evidence is damaged: judged anew",
                  LOG_S("rollout", drive->rollout));
        evidence_init(&evidence, &release);
    }

    if (strcmp(evidence.position, drive->position) != 0) {
        /* The first tick as the leader: read again from where it is. */
        strcpy(drive->position, evidence.position);
        drive->busy = true;
        drive_read(drive);
        return;
    }

    controller->stats.ticks++;
    memset(&sum, 0, sizeof(tally_t));
    memset(&seen, 0, sizeof(rollout_observation_t));

    drive_sum(drive, all, &evidence, &sum);

    memset(&judged, 0, sizeof(store_judged_t));

    if (release.state.state != ROLLOUT_PENDING
        && release.state.state != ROLLOUT_REVERTING)
    {
        seen.canary_requests = drive_judge(&release, &evidence, &sum, now);

        judged.at_ms = now;
        judged.warm = drive_warm(&release, &evidence, now);
        judged.counts = tally_print(&sum);
    }

    tally_clear(&sum);

    judge_result(&evidence.judge, &result);
    fleet_count(all, now, live, all->route.revision, &fleet);

    seen.verdict = result.verdict;
    seen.log_evidence = result.log_evidence;
    seen.tick_ms = controller->config->tick_ms;
    seen.nodes_live = fleet.live;
    seen.nodes_confirmed = fleet.confirmed;
    drive->log_evidence = result.log_evidence;

    /* Not in the tick of an abort by drive_check(): it needs a record. */
    if (events.count == 0) {
        (void) rollout_tick(&release.spec, &release.state, &seen, now,
                            &events);
    }

    evidence_sample(&evidence, &release, now);
    memset(&decision, 0, sizeof(decision_t));
    decision.before = &before;
    decision.evidence = &evidence;
    decision.present = &present;
    decision.fleet = &fleet;
    decision.leader = drive->leader;

    strcpy(drive->judged_to, evidence.position);
    drive->busy = true;
    drive_commit(drive, all, &release, &decision,
                 judged.counts != NULL ? &judged : NULL, &events);

    free((char *) judged.counts);
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
