/* What a tick of an upstream saw: counts are summed, judged and recorded, and
 * the machine is told. */

#include <stdlib.h>
#include <string.h>

#include "controller_internal.h"
#include "core/text.h"
#include "tick.h"


/* Whose counts are compared: of a rolling rollout by nodes only those that
 * have the canary.  The others' traffic may be of another kind. */
static bool
drive_counts(const release_t *release, const char *node)
{
    unsigned               i;
    const rollout_spec_t  *spec = &release->spec;

    if (spec->strategy != SPEC_ROLLING || spec->rolling != SPEC_BY_NODES) {
        return true;
    }

    for (i = 0; i <= release->state.step && i < spec->step_count; i++) {
        if (node != NULL && strcmp(spec->targets[i], node) == 0) {
            return true;
        }
    }

    return false;
}


/* All ticks after the evidence's position; it moves on to the last.  target
 * gets what the step's node counted, if there is such a one. */
static void
drive_sum(drive_t *drive, const store_rollout_t *all,
    const release_t *release, evidence_t *evidence, tally_t *sum,
    tally_t *target)
{
    size_t               i;
    const char          *name;
    const store_tick_t  *tick;

    name = rollout_target(&release->spec, &release->state);

    for (i = 0; i < all->tick_count; i++) {
        tick = &all->ticks[i];

        if (!evidence_after(tick->position, evidence->position)) {
            continue;
        }

        text_copy(evidence->position, sizeof(evidence->position),
                  tick->position);

        /* A node that had not heard yet still counted for another rollout. */
        if (tick->rollout == NULL || tick->counts == NULL
            || strcmp(tick->rollout, drive->rollout) != 0
            || !drive_counts(release, tick->node))
        {
            continue;
        }

        if (tally_parse(sum, tick->counts) != 0) {
            drive->controller->stats.errors++;

        } else if (name != NULL && tick->node != NULL
                   && strcmp(tick->node, name) == 0)
        {
            (void) tally_parse(target, tick->counts);
        }
    }
}


static uint64_t
drive_requests(const tally_t *sum, const char *group)
{
    uint64_t             requests;
    unsigned             s;
    const tally_cell_t  *cell;

    requests = 0;

    for (s = 0; s < TALLY_MAX_STRATA; s++) {
        cell = tally_find(sum, group, s);
        requests += cell != NULL ? cell->requests : 0;
    }

    return requests;
}


static bool
drive_seen_stratum(const tally_t *sum, unsigned stratum)
{
    unsigned  g;

    for (g = 0; g < sum->count; g++) {
        if (sum->groups[g].strata[stratum] != NULL) {
            return true;
        }
    }

    return false;
}


/* What the judge gets beside the counts: shares of the strata in which there
 * are any. */
static void
drive_give(tick_t *tick, const release_t *release, evidence_t *evidence,
    const record_t *present, int64_t now_ms)
{
    unsigned         i, s;
    const char      *name;
    evidence_arm_t  *arm;
    tick_group_t    *group;

    for (i = 0; i <= evidence->arm_count; i++) {
        arm = i < evidence->arm_count ? &evidence->arms[i] : NULL;
        name = arm != NULL ? release_arm(release, i) : release->stable;
        group = tick_group(tick, name);

        if (group == NULL) {
            continue;
        }

        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            group->shares[s] = drive_seen_stratum(&tick->counts, s)
                               ? record_share(present, s, name) : 0;
        }

        if (arm == NULL) {
            continue;
        }

        if (arm->first_ms == 0 && drive_requests(&tick->counts, name) > 0) {
            arm->first_ms = now_ms;
        }

        /* New connections and cold caches are slow, and not the version. */
        group->warm = arm->first_ms != 0
                      && now_ms - arm->first_ms >= release->spec.warmup_ms;
    }
}


/* All strata of a group together: for people, and for objectives. */
static const tally_cell_t *
drive_total(const tally_t *sum, const char *group, tally_cell_t *total)
{
    bool                 any;
    unsigned             s, i;
    const tally_cell_t  *cell;

    any = false;
    memset(total, 0, sizeof(tally_cell_t));

    for (s = 0; s < TALLY_MAX_STRATA; s++) {
        cell = tally_find(sum, group, s);

        if (cell == NULL) {
            continue;
        }

        any = true;
        total->requests += cell->requests;
        total->errors += cell->errors;

        for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
            total->latency[i] += cell->latency[i];
        }
    }

    return any ? total : NULL;
}


static void
drive_add_step(tally_cell_t *step, const tally_cell_t *cell)
{
    unsigned  i;

    if (cell == NULL) {
        return;
    }

    step->requests += cell->requests;
    step->errors += cell->errors;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        step->latency[i] += cell->latency[i];
    }
}


/* Returns the number of canary requests that were judged.  settled: all live
 * nodes serve the present record. */
static uint64_t
drive_judge(const release_t *release, evidence_t *evidence,
    const record_t *present, tick_t *tick, bool settled, int64_t now_ms)
{
    uint64_t             requests;
    unsigned             i;
    const char          *name, *stable;
    tally_cell_t         total;
    const tally_cell_t  *cell;

    requests = 0;
    drive_give(tick, release, evidence, present, now_ms);

    for (i = 0; i < evidence->arm_count; i++) {
        name = release_arm(release, i);
        stable = release_baseline(release, i);
        tick_judge(tick, &evidence->arms[i].judge, name, stable);
        requests += drive_requests(&tick->counts, name);

        cell = drive_total(&tick->counts, name, &total);
        traffic_add(&evidence->arms[i].traffic, cell, now_ms);

        if (settled) {
            drive_add_step(&evidence->step, cell);
        }
    }

    cell = drive_total(&tick->counts, release->stable, &total);
    traffic_add(&evidence->stable, cell, now_ms);
    evidence->judged_ms = now_ms;

    return requests;
}


/* What the machine is told; counts are judged meanwhile. */
void
drive_observe(drive_t *drive, const store_rollout_t *all,
    const release_t *release, const record_t *present, evidence_t *evidence,
    drive_seen_t *out, int64_t now, int64_t live)
{
    bool                   settled;
    tick_t                 tick;
    tally_t                target;
    unsigned               i;
    const char            *name;
    controller_t          *controller = drive->controller;
    judge_result_t         result;
    const fleet_t         *fleet = &out->fleet;
    const rollout_spec_t  *spec = &release->spec;
    rollout_observation_t *seen = &out->observation;

    memset(&tick, 0, sizeof(tick_t));
    memset(&target, 0, sizeof(tally_t));
    memset(out, 0, sizeof(drive_seen_t));

    fleet_count(all, now, live, all->route.revision, &out->fleet);
    settled = fleet->live > 0 && fleet->confirmed >= fleet->live;
    name = rollout_target(spec, &release->state);

    drive_sum(drive, all, release, evidence, &tick.counts, &target);

    if (rollout_moving(&release->state)) {
        seen->canary_requests = drive_judge(release, evidence, present, &tick,
                                            settled, now);
        seen->slo = release_slo(&spec->slo, &evidence->step,
                                seen->slo_detail);

        out->judged.at_ms = now;
        out->judged.given = tick_given(&tick);
        out->judged.counts = tally_print(&tick.counts);
    }

    seen->tick_ms = controller->config->tick_ms;
    seen->nodes_live = fleet->live;
    seen->nodes_confirmed = fleet->confirmed;
    seen->nodes_refusing = fleet->refused;
    text_copy(seen->refusing, sizeof(seen->refusing), fleet->refusing);
    text_copy(seen->refusal, sizeof(seen->refusal), fleet->refusal);
    seen->nodes_tripped = spec->guard.on && settled ? fleet->tripped : 0;

    judge_result(&evidence->arms[0].judge, &result);
    seen->verdict = result.verdict;
    seen->log_evidence = result.log_evidence;
    drive->log_evidence = result.log_evidence;

    if (spec->arm_count > 0) {
        seen->verdict = JUDGE_NO_DATA;

        for (i = 0; i < spec->arm_count; i++) {
            judge_result(&evidence->arms[i].judge, &result);
            seen->arms[i].verdict = result.verdict;
            seen->arms[i].log_evidence = result.log_evidence;

            if (release->state.arms[i] == ROLLOUT_ARM_RUNNING
                && seen->verdict == JUDGE_NO_DATA
                && result.verdict != JUDGE_NO_DATA)
            {
                seen->verdict = result.verdict == JUDGE_INCIDENT
                                ? JUDGE_INCIDENT : JUDGE_WATCHING;
            }
        }
    }

    if (name != NULL && spec->rolling == SPEC_BY_NODES) {
        seen->target_away = !fleet_lives(all, now, live, name);

        if (!release->state.baking) {
            seen->canary_requests = drive_requests(&target, spec->canary);
        }

    } else if (name != NULL) {
        seen->nodes_drained = fleet_drained(all, now, live, spec->canary,
                                            name);
    }

    tick_clear(&tick);
    tally_clear(&target);
}


void
drive_seen_free(drive_seen_t *seen)
{
    free((char *) seen->judged.given);
    free((char *) seen->judged.counts);
    memset(seen, 0, sizeof(drive_seen_t));
}
