/*
 * Long random walks through core/rollout, over all strategies, with gates
 * answered by a simulated executor: whatever comes, it must keep its promises.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/codec.h"
#include "core/text.h"

#define TICK     1000
#define START    INT64_C(1700000000000)
#define EVENTS   200000
#define MAX_LOG  4096

/* What came to a rollout, to be replayed. */
typedef struct {
    bool                   is_command;
    rollout_command_t      command;
    rollout_observation_t  seen;
    int64_t                now;
} entry_t;

typedef struct {
    rollout_spec_t         spec;
    rollout_t              rollout;
    rollout_observation_t  seen;
    rollout_events_t       events;
    int64_t                now;
    char                   error[ROLLOUT_REASON_LEN];

    uint64_t               highest;    /* serial that was ever wanted */
    unsigned               runs;       /* of all gates */
    rollout_want_t         running[ROLLOUT_MAX_WANTS];
    unsigned               running_count;

    unsigned               log_count;
    entry_t                log[MAX_LOG];
} bench_t;

static uint64_t  seed;


static unsigned
below(unsigned n)
{
    seed ^= seed >> 12;            /* xorshift64*, Vigna 2016 */
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (unsigned) ((seed * UINT64_C(2685821657736338717)) >> 33) % n;
}


static void
parse(rollout_spec_t *spec, const char *text)
{
    cJSON         *json;
    spec_error_t   error;

    json = cJSON_Parse(text);
    assert_non_null(json);

    if (spec_parse(json, spec, &error) != 0) {
        fail_msg("%s: %s in %s", error.field, error.detail, text);
    }

    cJSON_Delete(json);
}


/* --- specs --- */

static void
canary_steps(char *text, size_t size)
{
    size_t    len;
    unsigned  i, n, w;

    n = 1 + below(4);
    w = 1;
    len = (size_t) snprintf(text, size, ",\"steps\":[");

    for (i = 0; i < n; i++) {
        w += below(30);
        w = w > 100 ? 100 : w;
        len += (size_t) snprintf(text + len, size - len,
                                 "%s{\"weight\":%u,\"hold\":%u,"
                                 "\"approval\":%s,\"min_requests\":%u%s}",
                                 i ? "," : "", w, below(5),
                                 below(3) ? "false" : "true",
                                 1 + below(2) * below(30),
                                 below(4) ? "" : ",\"rules\":[{\"if\":"
                                 "{\"country\":[\"NZ\"]},\"weights\":"
                                 "{\"green\":50,\"blue\":50}}]");
    }

    snprintf(text + len, size - len, "]");
}


static void
random_spec(bench_t *b)
{
    char      plan[1024], text[2048];
    unsigned  strategy;

    spec_free(&b->spec);

    strategy = below(5);

    switch (strategy) {

    case 0:
        canary_steps(plan, sizeof(plan));
        break;

    case 1:
        snprintf(plan, sizeof(plan), ",\"strategy\":\"blue-green\","
                 "\"holdback\":%u", below(2) * 5);
        break;

    case 2:
        snprintf(plan, sizeof(plan), ",\"strategy\":\"rolling\",\"rolling\":"
                 "{\"by\":\"nodes\",\"order\":[\"a\",\"b\",\"c\"],\"bake\":"
                 "%u},\"holdback\":%u", below(4), below(2) * 7);
        break;

    case 3:
        snprintf(plan, sizeof(plan), ",\"strategy\":\"rolling\",\"rolling\":"
                 "{\"by\":\"servers\",\"servers\":[\"s1:80\",\"s2:80\"],"
                 "\"bake\":%u,\"drain\":%u}", below(4), below(6));
        break;

    default:
        snprintf(plan, sizeof(plan), ",\"strategy\":\"experiment\",\"groups\":"
                 "{\"green\":10,\"red\":20,\"grey\":5},\"duration\":%u",
                 2 + below(30));
        break;
    }

    snprintf(text, sizeof(text), "{\"upstream\":\"app\",\"canary\":\"green\","
             "\"warmup\":0,\"ramp\":\"%s\",\"on_success\":\"%s\","
             "\"deadline\":%u%s%s}",
             below(2) ? "clock" : "evidence",
             below(2) ? "keep" : strategy < 4 ? "promote" : "stable",
             below(4) ? 0 : 20 + below(100),
             strategy < 4 && below(2) ? below(2) ? ",\"bake\":0"
                                                 : ",\"bake\":3" : "",
             plan);

    parse(&b->spec, text);
    b->spec.gate_set = below(2) ? 0 : below(1u << ROLLOUT_GATE_COUNT) & ~1u;
    b->spec.checks_every_ms = below(2) * 3000;

    rollout_init(&b->rollout, "ci", b->now);
    b->highest = 0;
    b->running_count = 0;
    b->log_count = 0;
}


/* --- the executor --- */

/* Runs what is wanted, and answers some time. */
static void
execute(bench_t *b)
{
    unsigned              i, k, n, r;
    uint64_t              highest = b->highest;
    rollout_want_t        wants[ROLLOUT_MAX_WANTS];
    rollout_gate_seen_t  *seen;

    n = rollout_wants(&b->spec, &b->rollout, wants);
    assert_true(n <= ROLLOUT_MAX_WANTS);

    for (i = 0; i < n; i++) {
        assert_true(wants[i].gate != ROLLOUT_GATE_NONE);
        assert_true(b->spec.gate_set & (1u << wants[i].gate));

        for (k = 0; k < b->running_count; k++) {
            if (b->running[k].serial == wants[i].serial) {
                assert_int_equal(b->running[k].gate, wants[i].gate);
                break;
            }
        }

        if (k == b->running_count) {
            /* a new run has a serial that never was before */
            assert_true(wants[i].serial > highest);
            b->highest = wants[i].serial > b->highest ? wants[i].serial
                                                      : b->highest;
            b->runs++;
        }
    }

    memcpy(b->running, wants, sizeof(wants));
    b->running_count = n;
    b->seen.gate_count = 0;

    for (i = 0; i < n; i++) {
        seen = &b->seen.gates[b->seen.gate_count++];
        memset(seen, 0, sizeof(*seen));
        seen->gate = wants[i].gate;
        seen->serial = wants[i].serial;
        r = below(40);
        seen->result = r == 0 ? ROLLOUT_GATE_FAILED
                       : r < 5 ? ROLLOUT_GATE_HOLD
                       : r < 20 ? ROLLOUT_GATE_PASSED : ROLLOUT_GATE_PENDING;
        text_format(seen->detail, sizeof(seen->detail), "run %u",
                    (unsigned) wants[i].serial);

        if (below(30) == 0) {
            seen->serial--;        /* an answer that comes too late */
        }
    }
}


static judge_verdict_t
random_verdict(void)
{
    unsigned  v;

    v = below(400);

    return v == 0 ? JUDGE_HARM : v == 1 ? JUDGE_BUDGET
           : v < 20 ? JUDGE_NO_DATA : v < 40 ? JUDGE_INCIDENT
           : v < 160 ? JUDGE_SAFE : JUDGE_WATCHING;
}


static void
random_observation(bench_t *b)
{
    unsigned  i;

    memset(&b->seen, 0, sizeof(b->seen));

    b->seen.verdict = random_verdict();

    if (b->spec.arm_count > 0 && b->seen.verdict >= JUDGE_BUDGET) {
        b->seen.verdict = JUDGE_WATCHING;
    }

    for (i = 0; i < b->spec.arm_count; i++) {
        b->seen.arms[i].verdict = random_verdict();
    }

    b->seen.log_evidence = below(2000) / 10.0 - 100.0;
    b->seen.canary_requests = below(2) ? below(10) : 0;
    b->seen.nodes_live = below(8) ? 2 : below(4);
    b->seen.nodes_confirmed = below(5) ? b->seen.nodes_live
                                       : below(b->seen.nodes_live + 1);
    b->seen.nodes_refusing = below(3) == 0 ? b->seen.nodes_live
                                             - b->seen.nodes_confirmed : 0;
    text_copy(b->seen.refusing, sizeof(b->seen.refusing), "edge-1");
    text_copy(b->seen.refusal, sizeof(b->seen.refusal), "status 422");
    b->seen.nodes_drained = below(b->seen.nodes_live + 1);
    b->seen.nodes_tripped = below(700) == 0;
    b->seen.target_away = b->spec.strategy == SPEC_ROLLING
                          && b->spec.rolling == SPEC_BY_NODES
                          && below(15) == 0;
    b->seen.slo = below(12) ? ROLLOUT_SLO_MET : 1 + below(2);
    text_copy(b->seen.slo_detail, sizeof(b->seen.slo_detail), "p95");
    b->seen.frozen = below(15) == 0;
    b->seen.alert = below(300) ? ROLLOUT_ALERT_NONE : 1 + below(2);
    text_copy(b->seen.alert_text, sizeof(b->seen.alert_text), "HighErrors");
    b->seen.tick_ms = TICK;
    b->now += below(20) ? (int64_t) below(3 * TICK)
                        : (int64_t) below(100000) - 50000;
    execute(b);
}


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


static bool
by_servers(const rollout_spec_t *spec)
{
    return spec->strategy == SPEC_ROLLING && spec->rolling == SPEC_BY_SERVERS;
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
        assert_true(old->step_requests + b->seen.canary_requests
                    >= (old->baking ? 1
                                    : b->spec.steps[old->step].min_requests));
    }

    if (!old->baking) {
        assert_true(!b->spec.steps[old->step].approval || old->approved);
    }
}


/* From here an abort must reach stable, whatever gates do not answer. */
static void
check_abort(const bench_t *b)
{
    char                   error[ROLLOUT_REASON_LEN];
    rollout_t              copy = b->rollout;
    rollout_events_t       events;
    rollout_routing_t      routing;
    rollout_observation_t  seen = b->seen;

    assert_int_equal(rollout_command(&b->spec, &copy, ROLLOUT_ABORT, "bob",
                                     "", b->now, &events, error), 0);
    rollout_routing(&b->spec, &copy, &routing);
    assert_int_equal(routing.canary_weight, 0);

    if (copy.state != ROLLOUT_ABORTED) {
        seen.gate_count = 0;
        seen.frozen = true;
        seen.nodes_confirmed = seen.nodes_live;
        assert_int_equal(copy.state, ROLLOUT_REVERTING);
        assert_true(rollout_tick(&b->spec, &copy, &seen, b->now + 1,
                                 &events));
    }

    assert_int_equal(copy.state, ROLLOUT_ABORTED);
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


/* What was recorded leads to the same state, also when the controller
 * changes and goes on from what is stored. */
static void
check_replay(const bench_t *b)
{
    cJSON             *json;
    unsigned           i;
    rollout_t          rollout, again;
    spec_error_t       error;
    rollout_spec_t     spec;
    rollout_events_t   events;

    if (b->log_count == 0 || b->log_count == MAX_LOG) {
        return;
    }

    json = spec_print(&b->spec);
    assert_int_equal(spec_parse(json, &spec, &error), 0);
    cJSON_Delete(json);
    spec.gate_set = b->spec.gate_set;
    spec.checks_every_ms = b->spec.checks_every_ms;

    rollout_init(&rollout, "ci", b->log[0].now);

    for (i = 1; i < b->log_count; i++) {
        act(&spec, &rollout, &b->log[i], &events);

        if (i % 5 == 0) {
            store_and_load(&rollout, &again);
            rollout = again;
        }
    }

    assert_same(&rollout, &b->rollout);
    spec_free(&spec);
}


static void
test_random_walk(void **state)
{
    bench_t   *b;
    entry_t    entry;
    unsigned   i, ended[ROLLOUT_ABORTED + 1] = { 0 };
    unsigned   waits[ROLLOUT_WAIT_NODE + 1] = { 0 };
    rollout_t  old;

    b = calloc(1, sizeof(bench_t));
    seed = 42;
    b->now = START;
    random_spec(b);
    b->log[b->log_count++].now = b->now;

    for (i = 0; i < EVENTS; i++) {
        ended[b->rollout.state]++;
        waits[b->rollout.waiting_for]++;

        if ((!rollout_active(&b->rollout) && below(10) == 0)
            || b->log_count == MAX_LOG)
        {
            check_replay(b);
            random_spec(b);
            b->log[b->log_count++].now = b->now;
        }

        old = b->rollout;
        random_observation(b);
        memset(&entry, 0, sizeof(entry));
        entry.is_command = below(20) == 0;
        entry.command = below(10) ? ROLLOUT_PAUSE + below(4) : ROLLOUT_ABORT;
        entry.seen = b->seen;
        entry.now = b->now;
        b->log[b->log_count++] = entry;

        act(&b->spec, &b->rollout, &entry, &b->events);
        check_change(b, &old, &entry);

        if (!entry.is_command) {
            check_tick(b, &old);
        }

        check_routing(b);
        assert_true(text_is_clean(b->rollout.reason));

        if (b->events.count > 0 || i % 8 == 0) {
            check_stored(b);
            check_abort(b);
        }
    }

    for (i = 0; i <= ROLLOUT_ABORTED; i++) {
        assert_true(ended[i] > 100);   /* the walk was everywhere */
    }

    for (i = 0; i <= ROLLOUT_WAIT_NODE; i++) {
        assert_true(waits[i] > 100);
    }

    assert_true(b->runs > 1000);
    spec_free(&b->spec);
    free(b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_random_walk)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_rollout_walk", tests, NULL,
                                       NULL);
}
