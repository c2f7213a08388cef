/*
 * Many short random walks through core/rollout, over all strategies, with
 * gates answered by a simulated executor: whatever comes, it must keep its
 * promises, and so must the records that canaryd makes of it.
 */

#include "rollout_stream.h"

/* Each with a seed of its own, which is its number; some have the same spec.
 * Sanitizers take ten times as long. */
#ifndef SEQUENCES
#ifdef __SANITIZE_ADDRESS__
#define SEQUENCES   10000
#else
#define SEQUENCES   100000
#endif
#endif

#define SAME_SPEC   4
#define IN_JSON     50             /* one of so many is stored and read back,
                                      and has data with its events */
#define ENOUGH      (SEQUENCES / 500)

static unsigned  sequence;
static unsigned  events_seen;


/* --- the promises --- */

static void
store_and_load(rollout_t *rollout, rollout_t *again)
{
    char   *text;
    cJSON  *json;

    json = rollout_print(rollout);
    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    json = cJSON_Parse(text);

    if (rollout_parse(json, again) != 0) {
        fail_msg("not read: %s", text);
    }

    cJSON_free(text);
    cJSON_Delete(json);
}


/* All members, and nothing of what is behind the ends of texts. */
static void
assert_same(const rollout_t *a, const rollout_t *b)
{
    char   *text[2];
    cJSON  *json[2];

    json[0] = rollout_print(a);
    json[1] = rollout_print(b);
    text[0] = cJSON_PrintUnformatted(json[0]);
    text[1] = cJSON_PrintUnformatted(json[1]);
    assert_string_equal(text[0], text[1]);

    cJSON_free(text[0]);
    cJSON_free(text[1]);
    cJSON_Delete(json[0]);
    cJSON_Delete(json[1]);
}


static void
check_stored(bench_t *b)
{
    rollout_t  again;

    store_and_load(&b->rollout, &again);
    assert_same(&again, &b->rollout);
    assert_int_equal(again.begun_ms, b->rollout.begun_ms);
    assert_int_equal(again.state, b->rollout.state);
}


static void
check_routing(const bench_t *b)
{
    unsigned            i, sum;
    rollout_state_t     state = b->rollout.state;
    rollout_routing_t   routing;
    const spec_step_t  *step = &b->spec.steps[b->rollout.step];

    rollout_routing(&b->spec, &b->rollout, &routing);
    sum = 0;

    for (i = 0; i < b->spec.arm_count; i++) {
        assert_true(routing.arms[i] == 0
                    || routing.arms[i] == b->spec.arms[i].weight);
        sum += routing.arms[i];
    }

    assert_true(sum < SPEC_WEIGHT_ALL);

    if (state == ROLLOUT_PENDING || state == ROLLOUT_SMOKE) {
        assert_false(routing.touch);
        assert_int_equal(routing.canary_weight + sum, 0);
        return;
    }

    assert_true(routing.touch);
    assert_int_equal(routing.keep, by_servers(&b->spec));

    if (routing.keep) {
        assert_int_equal(routing.canary_weight, 0);
        assert_true(routing.drains && !routing.canary_is_stable);
        return;
    }

    if (state == ROLLOUT_REVERTING || state == ROLLOUT_ABORTED) {
        assert_int_equal(routing.canary_weight + sum, 0);
        assert_false(routing.leased || routing.canary_is_stable);
        assert_true(routing.rules == NULL && routing.nodes == 0);
        return;
    }

    if (routing.canary_is_stable) {
        assert_int_equal(state, ROLLOUT_SUCCEEDED);
        assert_int_equal(b->spec.on_success, SPEC_PROMOTE);
        assert_int_equal(routing.canary_weight, SPEC_WEIGHT_ALL);
        return;
    }

    assert_int_equal(routing.leased, state != ROLLOUT_SUCCEEDED);

    if (b->spec.arm_count == 0) {
        assert_int_equal(routing.canary_weight, step->weight);
        assert_ptr_equal(routing.rules, step->rules);
    }

    if (b->spec.strategy == SPEC_ROLLING) {
        assert_int_equal(routing.nodes, b->rollout.step + 1);
    }
}


/* What must hold between any two states, however one became the other. */
static void
check_change(const bench_t *b, const rollout_t *old, const entry_t *entry)
{
    bool                aborted;
    rollout_routing_t   was, is;
    const rollout_t    *new = &b->rollout;

    aborted = entry->is_command && entry->command == ROLLOUT_ABORT;

    assert_true(new->step < b->spec.step_count);
    assert_true(new->step == old->step || new->step == old->step + 1
                || (entry->is_command
                    && entry->command == ROLLOUT_PROMOTE_FULL
                    && new->state == ROLLOUT_SUCCEEDED));
    assert_true(new->serial >= old->serial);

    if (new->state != ROLLOUT_PENDING) {
        assert_int_equal(new->waiting_for != ROLLOUT_WAIT_NONE,
                         new->state == ROLLOUT_WAITING);
    }

    /* traffic moves only with an event that says why */

    if (b->events.count == 0) {
        assert_int_equal(new->state, old->state);
        assert_int_equal(new->step, old->step);

        if (new->waiting_for != ROLLOUT_WAIT_NODE) {
            assert_string_equal(new->reason, old->reason);
        }

        memset(&was, 0, sizeof(was));
        memset(&is, 0, sizeof(is));
        rollout_routing(&b->spec, old, &was);
        rollout_routing(&b->spec, new, &is);
        assert_memory_equal(&was, &is, sizeof(is));
    }

    if (!entry->is_command && b->seen.nodes_refusing > 0
        && rollout_moving(old))
    {
        assert_int_equal(new->step, old->step);
        assert_int_equal(new->baking && !old->baking, 0);
        assert_int_not_equal(new->state, ROLLOUT_SUCCEEDED);
    }

    /* what has ended stays as it is, but for its last hook and an abort */

    if (rollout_ended(old) && !(old->state == ROLLOUT_SUCCEEDED && aborted)) {
        assert_int_equal(new->state, old->state);
        assert_string_equal(new->reason, old->reason);

        if (!rollout_active(old)) {
            assert_memory_equal(old, new, sizeof(*old));
        }
    }

    if (old->state == ROLLOUT_REVERTING) {
        assert_true(new->state == ROLLOUT_REVERTING
                    || new->state == ROLLOUT_ABORTED);
    }
}


/* What the canary got while all nodes served this step, by the tick that may
 * end it; nothing of a step before. */
static void
count_fresh(bench_t *b, const rollout_t *old)
{
    if (rollout_moving(old) && b->seen.nodes_live > 0 && !b->seen.target_away
        && b->seen.nodes_confirmed >= b->seen.nodes_live)
    {
        b->fresh += b->seen.canary_requests;
    }
}


static void
forget_fresh(bench_t *b, const rollout_t *old)
{
    const rollout_t  *new = &b->rollout;

    if (new->step != old->step || new->baking != old->baking
        || new->turn != old->turn || !rollout_moving(old))
    {
        b->fresh = 0;
    }
}


static void
check_tick(const bench_t *b, const rollout_t *old)
{
    bool              advanced, started;
    uint32_t          passed;
    const rollout_t  *new = &b->rollout;

    if (b->seen.verdict >= JUDGE_BUDGET && !rollout_ended(old)
        && old->state != ROLLOUT_REVERTING)
    {
        assert_int_equal(new->state, ROLLOUT_REVERTING);
        return;
    }

    started = !rollout_moving(old) && rollout_moving(new);
    advanced = new->step > old->step
               || (new->baking && !old->baking)
               || (new->state == ROLLOUT_SUCCEEDED
                   && old->state != ROLLOUT_SUCCEEDED);

    if (started || advanced) {
        assert_false(b->seen.frozen);
        assert_true(b->seen.nodes_live > 0);
        assert_int_equal(b->seen.alert & ROLLOUT_ALERT_REVERT, 0);
    }

    if (started) {
        passed = new->passed & b->spec.gate_set;
        assert_true(passed & 1u << ROLLOUT_GATE_CONFIRM_START
                    || !(b->spec.gate_set
                         & 1u << ROLLOUT_GATE_CONFIRM_START));
        assert_true(passed & 1u << ROLLOUT_GATE_BEFORE_START
                    || !(b->spec.gate_set & 1u << ROLLOUT_GATE_BEFORE_START));
        assert_true(by_servers(&b->spec)
                    || passed & 1u << ROLLOUT_GATE_SMOKE
                    || !(b->spec.gate_set & 1u << ROLLOUT_GATE_SMOKE));
    }

    if (!advanced) {
        return;
    }

    assert_true(rollout_moving(old) && old->state != ROLLOUT_PAUSED
                && old->waiting_for != ROLLOUT_WAIT_APPROVAL);
    assert_true(b->seen.verdict == JUDGE_WATCHING
                || b->seen.verdict == JUDGE_SAFE
                || by_servers(&b->spec));
    assert_true(b->seen.nodes_confirmed >= b->seen.nodes_live);
    assert_int_equal(b->seen.slo, ROLLOUT_SLO_MET);
    assert_true(!b->seen.target_away || old->baking);

    if (b->spec.gate_set & 1u << ROLLOUT_GATE_CHECKS) {
        assert_true(old->checks.result == ROLLOUT_GATE_PASSED
                    || old->checks.serial != 0);
    }

    /* nobody advances without fresh traffic of this very step */

    if (!by_servers(&b->spec) || old->baking || b->spec.rolling_bake_ms > 0) {
        assert_true(b->fresh >= (old->baking ? 1
                                 : b->spec.steps[old->step].min_requests));
    }

    if (!old->baking) {
        assert_true(!b->spec.steps[old->step].approval || old->approved);
    }
}


/* --- what is written of it --- */

/* All that the core said is in the stream, with the revision that it led to;
 * some of it with its data. */
static void
tell(bench_t *b, view_t *view, const rollout_t *old, bool data)
{
    bool         moved;
    char        *text;
    unsigned     i;
    uint64_t     revision;
    decision_t   decision;

    b->release.state = b->rollout;
    revision = b->record.revision;
    moved = release_route(&b->release, &b->record, &b->wanted);

    /* no record without an event, and each is the next one */

    assert_true(!moved || b->events.count > 0);
    assert_int_equal(b->wanted.revision, revision + moved);
    assert_int_equal(b->release.revision, b->wanted.revision);

    if (data && b->events.count > 0) {
        memset(&decision, 0, sizeof(decision));
        decision.release = &b->release;
        decision.before = old;
        decision.present = &b->record;
        decision.wanted = moved ? &b->wanted : NULL;
        text = decision_text(&decision);
        view_data(view, text);
        free(text);
    }

    if (moved) {
        b->record = b->wanted;
    }

    for (i = 0; i < b->events.count; i++) {
        view_event(view, &b->spec, &b->events.list[i], b->rollout.actor);
        view->revision = b->wanted.revision;
    }

    view_check(view, &b->spec, &b->rollout, &b->record);
}


/* Stable has all, without a lease that could run out or a rule beside it. */
static void
check_stable(const record_t *record)
{
    unsigned  i;

    assert_string_equal(record->stable, "blue");

    for (i = 0; i < record->group_count; i++) {
        assert_int_equal(record->groups[i].weight,
                         strcmp(record->groups[i].name, "blue") == 0
                         ? SPEC_WEIGHT_ALL : 0);
    }

    assert_false(record_has_canary(record));
    assert_false(record->guard.on);
    assert_int_equal(record->lease_ms, 0);
    assert_string_equal(record->rules, "");
    assert_string_equal(record->nodes, "");
}


/* A node does not confirm, whatever else there is and comes. */
static void
check_unconfirmed(const bench_t *b, rollout_t *copy,
    rollout_observation_t *seen, int64_t *now)
{
    char               error[ROLLOUT_REASON_LEN];
    rollout_t          before = *copy;
    rollout_events_t   events;

    seen->verdict = below(JUDGE_BUDGET + 1);
    seen->nodes_live = 1 + below(3);
    seen->nodes_confirmed = below(seen->nodes_live);
    seen->nodes_refusing = below(2);
    seen->nodes_tripped = below(2);
    seen->frozen = below(2);
    seen->alert = below(3);
    seen->gate_count = below(2) ? b->seen.gate_count : 0;
    *now += (int64_t) below(7200000) - 60000;

    if (below(4) == 0) {
        assert_int_equal(rollout_command(&b->spec, copy,
                                         ROLLOUT_PAUSE + below(4), "eve", "",
                                         *now, &events, error), -1);
        assert_int_equal(events.count, 0);
    }

    assert_false(rollout_tick(&b->spec, copy, seen, *now, &events));
    assert_int_equal(copy->state, ROLLOUT_REVERTING);
    before.last_ms = copy->last_ms;
    assert_memory_equal(&before, copy, sizeof(before));
}


/*
 * From here an abort must reach stable.  The first record after it has all
 * traffic there, before any node has confirmed anything; it is the last one,
 * and the end comes with the tick in which no live node lacks it.
 */
static void
check_abort(bench_t *b)
{
    char                   error[ROLLOUT_REASON_LEN];
    bool                   moved;
    int64_t                now = b->now;
    unsigned               i;
    uint64_t               revision = b->release.revision;
    rollout_t              copy = b->rollout;
    rollout_events_t       events;
    rollout_observation_t  seen = b->seen;

    assert_int_equal(rollout_command(&b->spec, &copy, ROLLOUT_ABORT, "bob",
                                     "", now, &events, error), 0);
    b->release.state = copy;
    moved = release_route(&b->release, &b->record, &b->wanted);
    check_stable(&b->wanted);
    assert_true(moved || !record_has_canary(&b->record));
    assert_int_equal(b->wanted.revision, b->record.revision + moved);

    if (copy.state != ROLLOUT_ABORTED) {
        assert_int_equal(copy.state, ROLLOUT_REVERTING);

        for (i = below(below(32) ? 3 : 300); i > 0; i--) {
            check_unconfirmed(b, &copy, &seen, &now);
        }

        /* they confirm, or who did not is not there any more */

        seen.nodes_live = below(3);
        seen.nodes_confirmed = seen.nodes_live;
        assert_true(rollout_tick(&b->spec, &copy, &seen, now + 1, &events));
        assert_string_equal(events.list[0].type, "aborted");
        b->release.state = copy;
        assert_false(release_route(&b->release, &b->wanted, &b->after));
    }

    assert_int_equal(copy.state, ROLLOUT_ABORTED);
    b->release.revision = revision;
}


/* --- the walk --- */

static void
act(const rollout_spec_t *spec, rollout_t *rollout, const entry_t *entry,
    rollout_events_t *events)
{
    char  error[ROLLOUT_REASON_LEN];

    if (entry->is_command) {
        rollout_command(spec, rollout, entry->command, "alice", "because",
                        entry->now, events, error);
    } else {
        rollout_tick(spec, rollout, &entry->seen, entry->now, events);
    }
}


/* What was recorded leads to the same state and the same events, also when
 * the controller changes and goes on from what is stored. */
static void
check_replay(const bench_t *b, bool stored)
{
    unsigned           i, k;
    rollout_t          rollout, again;
    rollout_events_t   events;

    rollout_init(&rollout, "ci", START);

    for (i = 0; i < b->log_count; i++) {
        act(&b->read, &rollout, &b->log[i], &events);
        assert_int_equal(events.count, b->log[i].events.count);

        for (k = 0; k < events.count; k++) {
            assert_string_equal(events.list[k].type,
                                b->log[i].events.list[k].type);
            assert_string_equal(events.list[k].detail,
                                b->log[i].events.list[k].detail);
        }

        if (stored && i % 5 == 0) {
            store_and_load(&rollout, &again);
            rollout = again;
        }
    }

    if (stored) {
        assert_same(&rollout, &b->rollout);
    } else {
        assert_memory_equal(&rollout, &b->rollout, sizeof(rollout));
    }
}


/* One event, and all that must hold after it. */
static void
step(bench_t *b, view_t *view, bool in_json)
{
    entry_t    *entry = &b->log[b->log_count++];
    rollout_t   old = b->rollout;

    random_observation(b);
    entry->is_command = below(20) == 0;
    entry->command = below(10) ? ROLLOUT_PAUSE + below(4) : ROLLOUT_ABORT;
    entry->seen = b->seen;
    entry->now = b->now;

    act(&b->spec, &b->rollout, entry, &b->events);
    entry->events = b->events;
    check_change(b, &old, entry);

    if (!entry->is_command) {
        count_fresh(b, &old);
        check_tick(b, &old);
    }

    forget_fresh(b, &old);
    check_routing(b);
    assert_true(text_is_clean(b->rollout.reason));

    if (b->events.count > 0 || b->log_count % 16 == 0) {
        tell(b, view, &old, in_json);
        check_abort(b);

        if (in_json) {
            check_stored(b);
        }
    }
}


static void
test_random_walk(void **state)
{
    bool       in_json;
    view_t     view = { 0 };
    bench_t   *b = *state;
    unsigned   i, length, ends[STRATEGIES][ROLLOUT_ABORTED + 1] = { 0 };
    unsigned   states[ROLLOUT_ABORTED + 1] = { 0 };
    unsigned   waits[ROLLOUT_WAIT_NODE + 1] = { 0 };

    for (sequence = 0; sequence < SEQUENCES; sequence++) {
        seed_with(sequence);

        if (sequence % SAME_SPEC == 0) {
            random_spec(b, sequence / SAME_SPEC % STRATEGIES);
        }

        in_json = sequence % IN_JSON == 0;
        length = 1 + below(below(8) ? 40 : MAX_LOG);
        begin(b);
        view_begin(&view);

        while (b->log_count < length
               && (rollout_active(&b->rollout) || below(4)))
        {
            states[b->rollout.state]++;
            waits[b->rollout.waiting_for]++;
            step(b, &view, in_json);
        }

        events_seen += b->log_count;
        ends[b->strategy][b->rollout.state]++;
        check_replay(b, in_json);
    }

    /* the walks were everywhere */

    for (i = 0; i <= ROLLOUT_ABORTED; i++) {
        assert_true(states[i] > ENOUGH);
    }

    for (i = 0; i <= ROLLOUT_WAIT_NODE; i++) {
        assert_true(waits[i] > ENOUGH);
    }

    for (i = 0; i < STRATEGIES; i++) {
        assert_true(ends[i][ROLLOUT_SUCCEEDED] > ENOUGH);
        assert_true(ends[i][ROLLOUT_ABORTED] > ENOUGH);
    }

    for (i = 0; i < TOLD_COUNT; i++) {
        assert_true(told[i] > ENOUGH);
    }

    assert_true(b->runs > SEQUENCES / 10);
    cJSON_Delete(view.data_weights);
}


static int
set_up(void **state)
{
    *state = calloc(1, sizeof(bench_t));

    return *state != NULL ? 0 : -1;
}


/* Also after a failure: which sequence it was. */
static int
tear_down(void **state)
{
    bench_t  *b = *state;

    print_message("# %u of %u sequences, %u events\n", sequence, SEQUENCES,
                  events_seen);
    spec_free(&b->spec);
    spec_free(&b->read);
    free(b);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_random_walk, set_up, tear_down)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_rollout_walk", tests, NULL,
                                       NULL);
}
