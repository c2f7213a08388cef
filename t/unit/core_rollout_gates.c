/* Unit tests of core/rollout: gates, and what each strategy does; long: they
 * share one bench. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/codec.h"
#include "core/text.h"

#define TICK   1000
#define START  INT64_C(1700000000000)
#define BIT(gate)  (1u << ROLLOUT_GATE_##gate)

typedef struct {
    rollout_spec_t         spec;
    rollout_t              rollout;
    rollout_observation_t  seen;
    rollout_events_t       events;
    int64_t                now;
    char                   error[ROLLOUT_REASON_LEN];

    rollout_result_t       answers[ROLLOUT_GATE_COUNT];  /* PENDING: none */
    unsigned               asked[ROLLOUT_GATE_COUNT];    /* runs */
    uint64_t               last[ROLLOUT_GATE_COUNT];     /* serial */
} bench_t;


static void
set_up(bench_t *b, const char *members, uint32_t gates)
{
    char          text[1024];
    cJSON        *json;
    unsigned      i;
    spec_error_t  error;

    memset(b, 0, sizeof(*b));
    snprintf(text, sizeof(text), "{\"upstream\":\"app\"%s%s}",
             *members ? "," : "", members);
    json = cJSON_Parse(text);
    assert_non_null(json);

    if (spec_parse(json, &b->spec, &error) != 0) {
        fail_msg("%s: %s", error.field, error.detail);
    }

    cJSON_Delete(json);

    b->spec.gate_set = gates;
    b->now = START;
    b->seen.canary_requests = 5;
    b->seen.tick_ms = TICK;
    b->seen.nodes_live = 2;
    b->seen.nodes_confirmed = 2;
    b->seen.nodes_drained = 2;

    for (i = 0; i < ROLLOUT_GATE_COUNT; i++) {
        b->answers[i] = ROLLOUT_GATE_PASSED;
    }

    rollout_init(&b->rollout, "ci", b->now);
}


/* The executor: answers what is wanted by the table. */
static void
execute(bench_t *b)
{
    unsigned              i, n;
    rollout_want_t        wants[ROLLOUT_MAX_WANTS];
    rollout_gate_seen_t  *seen;

    n = rollout_wants(&b->spec, &b->rollout, wants);
    b->seen.gate_count = n;

    for (i = 0; i < n; i++) {
        seen = &b->seen.gates[i];
        memset(seen, 0, sizeof(*seen));
        seen->gate = wants[i].gate;
        seen->serial = wants[i].serial;
        seen->result = b->answers[wants[i].gate];
        text_copy(seen->detail, sizeof(seen->detail), "it said so");

        if (b->last[wants[i].gate] != wants[i].serial) {
            b->last[wants[i].gate] = wants[i].serial;
            b->asked[wants[i].gate]++;
        }
    }
}


static bool
tick(bench_t *b)
{
    b->now += TICK;
    execute(b);

    return rollout_tick(&b->spec, &b->rollout, &b->seen, b->now, &b->events);
}


/* Ticks until it is in the state; fails after limit. */
static void
until(bench_t *b, rollout_state_t state, unsigned limit)
{
    while (b->rollout.state != state) {
        if (limit-- == 0) {
            fail_msg("is %s, not %s: %s",
                     rollout_state_name(b->rollout.state),
                     rollout_state_name(state), b->rollout.reason);
        }
        tick(b);
    }
}


static void
ticks(bench_t *b, unsigned n)
{
    while (n-- > 0) {
        tick(b);
    }
}


static rollout_routing_t
routing(const bench_t *b)
{
    rollout_routing_t  routing;

    rollout_routing(&b->spec, &b->rollout, &routing);

    return routing;
}


#define CANARY  "\"canary\":\"green\","
#define STEPS   CANARY "\"steps\":[{\"weight\":1,\"hold\":3},"               \
                "{\"weight\":50,\"hold\":2}],\"bake\":2"

#define ALL     (BIT(CONFIRM_START) | BIT(BEFORE_START) | BIT(SMOKE)         \
                 | BIT(EACH_STEP) | BIT(CONFIRM_STEP)                        \
                 | BIT(CONFIRM_PROMOTION) | BIT(ON_SUCCESS) | BIT(ON_REVERT))


static void
test_all_pass(void **state)
{
    bench_t   b;
    unsigned  i;

    set_up(&b, STEPS, ALL);
    until(&b, ROLLOUT_SMOKE, 10);
    assert_false(routing(&b).touch);
    assert_int_equal(b.asked[ROLLOUT_GATE_CONFIRM_START], 1);
    assert_int_equal(b.asked[ROLLOUT_GATE_BEFORE_START], 1);

    until(&b, ROLLOUT_PROGRESSING, 5);
    assert_int_equal(routing(&b).canary_weight, 100);
    until(&b, ROLLOUT_SUCCEEDED, 40);
    assert_true(rollout_active(&b.rollout));   /* its last hook runs */
    assert_true(rollout_ended(&b.rollout));
    assert_true(routing(&b).canary_is_stable);
    ticks(&b, 3);
    assert_false(rollout_active(&b.rollout));
    assert_int_equal(b.rollout.after, ROLLOUT_GATE_PASSED);

    assert_int_equal(b.asked[ROLLOUT_GATE_SMOKE], 1);
    assert_int_equal(b.asked[ROLLOUT_GATE_EACH_STEP], 2);
    assert_int_equal(b.asked[ROLLOUT_GATE_CONFIRM_STEP], 1);
    assert_int_equal(b.asked[ROLLOUT_GATE_CONFIRM_PROMOTION], 1);
    assert_int_equal(b.asked[ROLLOUT_GATE_ON_SUCCESS], 1);
    assert_int_equal(b.asked[ROLLOUT_GATE_ON_REVERT], 0);

    /* without an entry none is asked for */

    set_up(&b, STEPS, 0);
    until(&b, ROLLOUT_SUCCEEDED, 40);
    assert_false(rollout_active(&b.rollout));

    for (i = 0; i < ROLLOUT_GATE_COUNT; i++) {
        assert_int_equal(b.asked[i], 0);
    }
}


static void
test_failed(void **state)
{
    bench_t   b;
    unsigned  i, g;

    static const rollout_gate_t  gates[] = {
        ROLLOUT_GATE_CONFIRM_START, ROLLOUT_GATE_BEFORE_START,
        ROLLOUT_GATE_SMOKE, ROLLOUT_GATE_EACH_STEP, ROLLOUT_GATE_CONFIRM_STEP,
        ROLLOUT_GATE_CONFIRM_PROMOTION
    };

    for (i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
        g = gates[i];
        set_up(&b, STEPS, ALL);
        b.answers[g] = ROLLOUT_GATE_FAILED;
        until(&b, ROLLOUT_REVERTING, 40);
        assert_int_equal(routing(&b).canary_weight, 0);
        assert_non_null(strstr(b.rollout.reason, rollout_gate_name(g)));
        assert_non_null(strstr(b.rollout.reason, "failed: it said so"));

        if (g <= ROLLOUT_GATE_SMOKE) {
            /* no user has seen it */
            assert_int_equal(b.asked[ROLLOUT_GATE_EACH_STEP], 0);
        }

        /* the revert's own hook fails as well: that changes nothing */

        b.answers[ROLLOUT_GATE_ON_REVERT] = ROLLOUT_GATE_FAILED;
        tick(&b);
        assert_int_equal(b.rollout.state, ROLLOUT_ABORTED);
        ticks(&b, 2);
        assert_int_equal(b.asked[ROLLOUT_GATE_ON_REVERT], 1);
        assert_int_equal(b.rollout.after, ROLLOUT_GATE_FAILED);
        assert_false(rollout_active(&b.rollout));
    }
}


static void
test_hold(void **state)
{
    bench_t  b;

    set_up(&b, STEPS, ALL);
    b.answers[ROLLOUT_GATE_CONFIRM_START] = ROLLOUT_GATE_HOLD;
    ticks(&b, 20);
    assert_int_equal(b.rollout.state, ROLLOUT_PENDING);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_GATE);
    assert_true(b.asked[ROLLOUT_GATE_CONFIRM_START] > 2);   /* asked anew */
    assert_true(b.asked[ROLLOUT_GATE_CONFIRM_START] < 6);   /* with pauses */
    assert_non_null(strstr(b.rollout.reason, "confirm-start says: not yet"));

    b.answers[ROLLOUT_GATE_CONFIRM_START] = ROLLOUT_GATE_PASSED;
    b.answers[ROLLOUT_GATE_CONFIRM_STEP] = ROLLOUT_GATE_HOLD;
    until(&b, ROLLOUT_WAITING, 30);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_GATE);
    assert_int_equal(routing(&b).canary_weight, 100);
    ticks(&b, 20);
    assert_int_equal(b.rollout.state, ROLLOUT_WAITING);

    b.answers[ROLLOUT_GATE_CONFIRM_STEP] = ROLLOUT_GATE_PASSED;
    until(&b, ROLLOUT_PROGRESSING, 10);
    assert_int_equal(b.rollout.step, 1);
}


static void
test_hangs(void **state)
{
    bench_t   b;
    unsigned  g;

    /* who never answers delays the rollout, and never an abort */

    for (g = ROLLOUT_GATE_CONFIRM_START; g < ROLLOUT_GATE_COUNT; g++) {
        set_up(&b, STEPS, ALL | BIT(CHECKS) | BIT(ROLLBACK_CHECK));
        b.answers[g] = ROLLOUT_GATE_PENDING;
        ticks(&b, 60);
        assert_true(b.asked[g] <= 1);

        if (g != ROLLOUT_GATE_ON_SUCCESS && g != ROLLOUT_GATE_ROLLBACK_CHECK
            && g != ROLLOUT_GATE_ON_REVERT)
        {
            assert_int_not_equal(b.rollout.state, ROLLOUT_SUCCEEDED);
            assert_int_not_equal(b.rollout.state, ROLLOUT_ABORTED);
        }

        assert_int_equal(rollout_command(&b.spec, &b.rollout, ROLLOUT_ABORT,
                                         "al", "", b.now, &b.events, b.error),
                         0);
        assert_int_equal(routing(&b).canary_weight, 0);
        tick(&b);
        assert_int_equal(b.rollout.state, ROLLOUT_ABORTED);

        /* nor does it stay active for ever */

        b.answers[ROLLOUT_GATE_ON_REVERT] = ROLLOUT_GATE_PENDING;
        ticks(&b, 700);
        assert_false(rollout_active(&b.rollout));
        spec_free(&b.spec);
    }
}


static void
test_checks(void **state)
{
    bench_t  b;

    set_up(&b, STEPS, BIT(CHECKS));
    b.spec.checks_every_ms = 4 * TICK;
    b.answers[ROLLOUT_GATE_CHECKS] = ROLLOUT_GATE_HOLD;
    until(&b, ROLLOUT_WAITING, 20);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_GATE);
    ticks(&b, 20);
    assert_int_equal(b.rollout.state, ROLLOUT_WAITING);
    assert_true(b.asked[ROLLOUT_GATE_CHECKS] > 3);

    b.answers[ROLLOUT_GATE_CHECKS] = ROLLOUT_GATE_PASSED;
    until(&b, ROLLOUT_PROGRESSING, 10);
    assert_int_equal(b.rollout.step, 1);

    /* each step needs a check of its own */

    b.answers[ROLLOUT_GATE_CHECKS] = ROLLOUT_GATE_PENDING;
    ticks(&b, 20);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);
    assert_int_equal(b.rollout.step, 1);

    b.answers[ROLLOUT_GATE_CHECKS] = ROLLOUT_GATE_FAILED;
    until(&b, ROLLOUT_REVERTING, 10);
    assert_non_null(strstr(b.rollout.reason, "checks failed"));

    set_up(&b, STEPS, BIT(ROLLBACK_CHECK));
    ticks(&b, 3);
    b.answers[ROLLOUT_GATE_ROLLBACK_CHECK] = ROLLOUT_GATE_HOLD;
    ticks(&b, 2);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);

    set_up(&b, STEPS, BIT(ROLLBACK_CHECK));
    b.answers[ROLLOUT_GATE_ROLLBACK_CHECK] = ROLLOUT_GATE_FAILED;
    until(&b, ROLLOUT_REVERTING, 6);
}


static void
test_late_answers(void **state)
{
    bench_t  b;

    /* an answer to another run, or of another gate, is none */

    set_up(&b, STEPS, BIT(CONFIRM_START));
    b.now += TICK;
    rollout_tick(&b.spec, &b.rollout, &b.seen, b.now, &b.events);
    b.seen.gate_count = 2;
    b.seen.gates[0].gate = ROLLOUT_GATE_CONFIRM_START;
    b.seen.gates[0].serial = b.rollout.gate_serial + 1;
    b.seen.gates[0].result = ROLLOUT_GATE_PASSED;
    b.seen.gates[1].gate = ROLLOUT_GATE_SMOKE;
    b.seen.gates[1].serial = b.rollout.gate_serial;
    b.seen.gates[1].result = ROLLOUT_GATE_FAILED;
    b.now += TICK;
    assert_false(rollout_tick(&b.spec, &b.rollout, &b.seen, b.now,
                              &b.events));
    assert_int_equal(b.rollout.state, ROLLOUT_PENDING);
}


static void
test_freeze_and_alerts(void **state)
{
    bench_t  b;

    set_up(&b, STEPS, 0);
    b.seen.frozen = true;
    ticks(&b, 5);
    assert_int_equal(b.rollout.state, ROLLOUT_PENDING);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_FREEZE);

    b.seen.frozen = false;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NONE);

    b.seen.frozen = true;
    until(&b, ROLLOUT_WAITING, 10);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_FREEZE);
    ticks(&b, 10);
    assert_int_equal(b.rollout.step, 0);

    b.seen.verdict = JUDGE_HARM;   /* a revert passes */
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_ABORTED);

    set_up(&b, STEPS, 0);
    ticks(&b, 2);
    b.seen.alert = ROLLOUT_ALERT_PAUSE;
    text_copy(b.seen.alert_text, sizeof(b.seen.alert_text), "DiskFull");
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_PAUSED);
    assert_string_equal(b.rollout.reason, "alert: DiskFull");
    assert_false(tick(&b));        /* said once */

    b.seen.alert = ROLLOUT_ALERT_REVERT;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
}


static void
test_slo_and_deadline(void **state)
{
    bench_t  b;

    set_up(&b, STEPS ",\"slo\":{},\"deadline\":30", 0);
    assert_true(b.spec.slo.error_rate == 0.01);
    assert_true(b.spec.slo.p95_ms == 500.0);
    b.seen.slo = ROLLOUT_SLO_UNMET;
    text_copy(b.seen.slo_detail, sizeof(b.seen.slo_detail),
              "p95 is 620 ms, above 500 ms");
    until(&b, ROLLOUT_WAITING, 10);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_SLO);
    assert_non_null(strstr(b.rollout.reason, "p95 is 620 ms"));

    b.seen.slo = ROLLOUT_SLO_MET;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);
    assert_int_equal(b.rollout.step, 1);

    b.seen.slo = ROLLOUT_SLO_UNMET;
    until(&b, ROLLOUT_REVERTING, 40);
    assert_string_equal(b.rollout.reason, "the deadline of 30s is over: p95 "
                                          "is 620 ms, above 500 ms");
    assert_true(b.now - START >= 30 * TICK);

    /* a guard that trips is the end, too */

    set_up(&b, STEPS, 0);
    ticks(&b, 2);
    b.seen.nodes_tripped = 1;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
    assert_non_null(strstr(b.rollout.reason, "guard of 1 node keeps green"));
}


static void
test_blue_green(void **state)
{
    bench_t  b;

    set_up(&b, CANARY "\"strategy\":\"blue-green\",\"holdback\":5,"
           "\"bake\":3", BIT(SMOKE));
    assert_int_equal(b.spec.steps[0].weight, 9500);
    until(&b, ROLLOUT_SMOKE, 3);
    assert_false(routing(&b).touch);
    until(&b, ROLLOUT_BAKING, 5);
    assert_int_equal(routing(&b).canary_weight, 9500);
    assert_false(routing(&b).canary_is_stable);    /* the way back is open */
    assert_true(routing(&b).guarded);
    until(&b, ROLLOUT_SUCCEEDED, 10);
    assert_true(routing(&b).canary_is_stable);
}


static void
test_rolling_nodes(void **state)
{
    bench_t   b;
    unsigned  i;

    set_up(&b, CANARY "\"strategy\":\"rolling\",\"rolling\":{\"by\":\"nodes\""
           ",\"order\":[\"e1\",\"e2\",\"e3\"],\"bake\":4}", 0);
    assert_int_equal(b.spec.bake_ms, 0);
    tick(&b);

    for (i = 0; i < 3; i++) {
        assert_int_equal(b.rollout.step, i);
        assert_int_equal(routing(&b).nodes, i + 1);
        assert_int_equal(routing(&b).canary_weight, 10000);
        assert_string_equal(rollout_target(&b.spec, &b.rollout),
                            b.spec.targets[i]);

        /* it bakes from when its own users are served */

        b.seen.canary_requests = 0;
        ticks(&b, 8);
        assert_int_equal(b.rollout.step, i);
        b.seen.canary_requests = 5;

        if (i < 2) {
            while (b.rollout.step == i) {
                tick(&b);
            }
        }
    }

    until(&b, ROLLOUT_SUCCEEDED, 5);
    assert_int_equal(routing(&b).nodes, 0);
    assert_true(routing(&b).canary_is_stable);

    /* a node that is gone holds it */

    set_up(&b, CANARY "\"strategy\":\"rolling\",\"rolling\":{\"by\":\"nodes\""
           ",\"order\":[\"e1\",\"e2\"],\"bake\":2}", 0);
    tick(&b);
    b.seen.target_away = true;
    ticks(&b, 10);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NODE);
    assert_string_equal(b.rollout.reason, "node e1 is not live");
    b.seen.target_away = false;
    until(&b, ROLLOUT_SUCCEEDED, 20);
}


static void
refuse(bench_t *b, unsigned nodes, const char *first)
{
    b->seen.nodes_live = 3;
    b->seen.nodes_confirmed = 3 - nodes;
    b->seen.nodes_refusing = nodes;
    text_copy(b->seen.refusing, sizeof(b->seen.refusing), first);
    text_copy(b->seen.refusal, sizeof(b->seen.refusal), "status 422, rules");
}


static void
test_refused(void **state)
{
    bench_t  b;

    set_up(&b, CANARY "\"steps\":[{\"weight\":10,\"hold\":2}],\"bake\":2",
           0);
    tick(&b);
    refuse(&b, 1, "e2");

    /* rather than for the traffic, which it may be the cause of */

    b.seen.verdict = JUDGE_NO_DATA;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_WAITING);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NODE);
    assert_string_equal(b.rollout.reason, "node e2 refuses the record, the "
                        "weight is held: status 422, rules");

    /* the words are of now, and nobody is told of each of them */

    refuse(&b, 2, "e1");
    tick(&b);
    assert_string_equal(b.rollout.reason, "node e1 and 1 other refuse the "
                        "record, the weight is held: status 422, rules");
    assert_int_equal(b.events.count, 0);
    refuse(&b, 3, "e1");
    tick(&b);
    assert_non_null(strstr(b.rollout.reason, "and 2 others refuse"));

    memset(b.seen.refusal, 'x', sizeof(b.seen.refusal) - 1);
    tick(&b);
    assert_int_equal(strlen(b.rollout.reason), ROLLOUT_REASON_LEN - 1);

    /* stable itself fails: that comes first */

    b.seen.verdict = JUDGE_INCIDENT;
    tick(&b);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_INCIDENT);
    b.seen.verdict = JUDGE_WATCHING;
    tick(&b);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NODE);
    ticks(&b, 20);
    assert_int_equal(b.rollout.held_ms, 0);

    /* not refused, but not taken either */

    refuse(&b, 1, "e1");
    b.seen.nodes_refusing = 0;
    tick(&b);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NODE);
    assert_non_null(strstr(b.rollout.reason, "and 2 others refuse"));
    refuse(&b, 0, "");
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);
    assert_string_equal(b.rollout.reason,
                        "its nodes are live and take the record");

    /* the bake waits as well, harm does not */

    until(&b, ROLLOUT_BAKING, 20);
    refuse(&b, 1, "e3");
    tick(&b);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NODE);
    refuse(&b, 0, "");
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_BAKING);
    refuse(&b, 1, "e3");
    tick(&b);
    b.seen.verdict = JUDGE_HARM;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
}


static void
test_rolling_servers(void **state)
{
    bench_t  b;

    set_up(&b, CANARY "\"strategy\":\"rolling\",\"rolling\":{\"by\":"
           "\"servers\",\"servers\":[\"s1:80\",\"s2:80\"],\"bake\":3,"
           "\"drain\":6}", BIT(EACH_STEP) | BIT(SMOKE));
    assert_false(b.spec.guard.on);
    b.seen.nodes_drained = 1;
    tick(&b);
    assert_true(routing(&b).keep);
    assert_string_equal(routing(&b).drained, "s1:80");
    ticks(&b, 3);
    assert_int_equal(b.rollout.turn, ROLLOUT_TURN_DRAIN);
    assert_int_equal(b.asked[ROLLOUT_GATE_EACH_STEP], 0);
    assert_int_equal(rollout_command(&b.spec, &b.rollout, ROLLOUT_PROMOTE,
                                     "al", "", b.now, &b.events, b.error),
                     -1);
    assert_string_equal(b.error, "cannot promote: server s1:80 is being "
                                 "worked on");

    b.seen.nodes_drained = 2;
    while (b.rollout.turn != ROLLOUT_TURN_BAKE) {
        assert_string_equal(routing(&b).drained, "s1:80");
        tick(&b);
        assert_int_equal(b.rollout.step, 0);
    }

    assert_null(routing(&b).drained);
    assert_int_equal(b.asked[ROLLOUT_GATE_EACH_STEP], 1);
    assert_int_equal(b.asked[ROLLOUT_GATE_SMOKE], 1);

    while (b.rollout.step == 0) {
        tick(&b);
    }

    /* what still is in flight is waited for, but not for ever */

    b.seen.nodes_drained = 0;
    assert_string_equal(routing(&b).drained, "s2:80");
    ticks(&b, 3);
    assert_int_equal(b.rollout.turn, ROLLOUT_TURN_DRAIN);
    ticks(&b, 6);
    assert_int_not_equal(b.rollout.turn, ROLLOUT_TURN_DRAIN);
    until(&b, ROLLOUT_SUCCEEDED, 20);
    assert_null(routing(&b).drained);
    assert_false(b.rollout.promoted);

    /* a bad one stays out of traffic */

    set_up(&b, CANARY "\"strategy\":\"rolling\",\"rolling\":{\"by\":"
           "\"servers\",\"servers\":[\"s1:80\",\"s2:80\"]}",
           BIT(EACH_STEP) | BIT(SMOKE));
    b.answers[ROLLOUT_GATE_SMOKE] = ROLLOUT_GATE_FAILED;
    until(&b, ROLLOUT_REVERTING, 10);
    assert_string_equal(routing(&b).drained, "s1:80");
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_ABORTED);
    assert_string_equal(routing(&b).drained, "s1:80");
}


static void
test_experiment(void **state)
{
    bench_t  b;

    set_up(&b, "\"strategy\":\"experiment\",\"groups\":{\"green\":10,"
           "\"red\":20,\"grey\":5},\"duration\":8", 0);
    assert_string_equal(b.spec.canary, "green");
    tick(&b);
    assert_int_equal(routing(&b).arms[0], 1000);
    assert_int_equal(routing(&b).arms[1], 2000);
    assert_int_equal(routing(&b).canary_weight, 0);

    ticks(&b, 2);
    b.seen.arms[1].verdict = JUDGE_HARM;
    assert_true(tick(&b));
    assert_string_equal(b.events.list[0].type, "group_out");
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);
    assert_int_equal(routing(&b).arms[0], 1000);
    assert_int_equal(routing(&b).arms[1], 0);
    assert_false(tick(&b));        /* said once */

    b.seen.arms[0].verdict = JUDGE_SAFE;
    b.seen.arms[1].verdict = JUDGE_WATCHING;   /* stays out */
    until(&b, ROLLOUT_SUCCEEDED, 10);
    assert_string_equal(b.rollout.reason, "the experiment is over: green "
                        "safe, red harm, grey undecided");
    assert_int_equal(routing(&b).arms[0], 0);  /* all back to stable */
    assert_int_equal(b.rollout.arms[0], ROLLOUT_ARM_SAFE);

    set_up(&b, "\"strategy\":\"experiment\",\"groups\":{\"green\":10,"
           "\"red\":20},\"on_success\":\"keep\"", 0);
    ticks(&b, 2);
    b.seen.arms[0].verdict = JUDGE_HARM;
    b.seen.arms[1].verdict = JUDGE_BUDGET;
    tick(&b);
    assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
    assert_non_null(strstr(b.rollout.reason, "every group"));
}


static void
test_min_requests(void **state)
{
    bench_t  b;

    set_up(&b, CANARY "\"steps\":[{\"weight\":0,\"rules\":[{\"if\":"
           "{\"country\":[\"NZ\"]},\"weights\":{\"green\":50,\"blue\":50}}],"
           "\"min_requests\":100},{\"weight\":1,\"hold\":1}]", 0);
    tick(&b);
    assert_int_equal(routing(&b).canary_weight, 0);
    assert_non_null(strstr(routing(&b).rules, "NZ"));
    ticks(&b, 19);
    assert_int_equal(b.rollout.step, 0);
    tick(&b);
    assert_int_equal(b.rollout.step, 1);
    assert_null(routing(&b).rules);
    spec_free(&b.spec);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_all_pass),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_late_answers),
        cmocka_unit_test(test_freeze_and_alerts),
        cmocka_unit_test(test_slo_and_deadline),
        cmocka_unit_test(test_blue_green),
        cmocka_unit_test(test_rolling_nodes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rolling_servers),
        cmocka_unit_test(test_experiment),
        cmocka_unit_test(test_min_requests)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_rollout_gates", tests, NULL,
                                       NULL);
}
