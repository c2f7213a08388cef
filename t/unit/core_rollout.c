/* Unit tests of core/rollout; long: they share one fleet that is played. */

#include <math.h>
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

/* A rollout under test with what a controller has around it. */
typedef struct {
    rollout_spec_t         spec;
    rollout_t              rollout;
    rollout_observation_t  seen;
    rollout_events_t       events;
    int64_t                now;
    char                   error[ROLLOUT_REASON_LEN];
} bench_t;


static void
set_up(bench_t *bench, const char *members)
{
    char          text[1024];
    cJSON        *json;
    spec_error_t  error;

    memset(bench, 0, sizeof(*bench));
    snprintf(text, sizeof(text), "{\"upstream\":\"app\",\"canary\":\"green\""
             "%s%s}", *members ? "," : "", members);
    json = cJSON_Parse(text);
    assert_non_null(json);

    if (spec_parse(json, &bench->spec, &error) != 0) {
        fail_msg("%s: %s", error.field, error.detail);
    }

    cJSON_Delete(json);

    bench->now = START;
    bench->seen.verdict = JUDGE_WATCHING;
    bench->seen.canary_requests = 5;
    bench->seen.tick_ms = TICK;
    bench->seen.nodes_live = 2;
    bench->seen.nodes_confirmed = 2;

    rollout_init(&bench->rollout, "ci", bench->now);
}


static bool
tick(bench_t *bench)
{
    bench->now += TICK;

    return rollout_tick(&bench->spec, &bench->rollout, &bench->seen,
                        bench->now, &bench->events);
}


/* Ticks until something happens; at most limit.  Returns how many. */
static unsigned
ticks_until(bench_t *bench, unsigned limit)
{
    unsigned  n;

    for (n = 1; n <= limit; n++) {
        if (tick(bench)) {
            return n;
        }
    }

    return limit + 1;
}


static int
command(bench_t *bench, rollout_command_t command)
{
    return rollout_command(&bench->spec, &bench->rollout, command, "alice",
                           "because", bench->now, &bench->events,
                           bench->error);
}


static unsigned
weight(const bench_t *bench)
{
    rollout_routing_t  routing;

    rollout_routing(&bench->spec, &bench->rollout, &routing);

    return routing.canary_weight;
}


static void
expect(const bench_t *bench, rollout_state_t state, unsigned step,
    const char *event)
{
    assert_string_equal(rollout_state_name(bench->rollout.state),
                        rollout_state_name(state));
    assert_int_equal(bench->rollout.step, step);
    assert_int_equal(bench->events.count, 1);
    assert_string_equal(bench->events.list[0].type, event);
    assert_true(bench->rollout.entered_ms == bench->now);
}


#define STEPS  "\"steps\":[{\"weight\":1,\"hold\":3},"                       \
               "{\"weight\":10,\"hold\":5,\"approval\":true},"               \
               "{\"weight\":50,\"hold\":2}],\"bake\":4"


static void
test_happy_path(void **state)
{
    bench_t            b;
    rollout_routing_t  routing;

    set_up(&b, STEPS);
    assert_int_equal(b.rollout.state, ROLLOUT_PENDING);
    assert_string_equal(b.rollout.actor, "ci");
    rollout_routing(&b.spec, &b.rollout, &routing);
    assert_false(routing.touch);

    b.seen.nodes_live = 0;
    b.seen.nodes_confirmed = 0;
    assert_int_equal(ticks_until(&b, 100), 101);
    b.seen.nodes_live = 2;

    assert_true(tick(&b));
    expect(&b, ROLLOUT_PROGRESSING, 0, "started");
    assert_string_equal(b.rollout.reason, "step 1 of 3, 1 % to green: "
                                          "the rollout has begun");
    assert_string_equal(b.rollout.actor, "canaryd");
    rollout_routing(&b.spec, &b.rollout, &routing);
    assert_true(routing.touch && routing.leased);
    assert_false(routing.canary_is_stable);
    assert_int_equal(routing.canary_weight, 100);

    /* nothing counts before all live nodes serve the weight */

    assert_int_equal(ticks_until(&b, 50), 51);
    b.seen.nodes_confirmed = 1;
    assert_int_equal(ticks_until(&b, 50), 51);
    assert_int_equal(b.rollout.held_ms, 0);
    assert_int_equal(b.rollout.step_requests, 0);

    b.seen.nodes_live = 1;         /* the other node died */
    assert_int_equal(ticks_until(&b, 50), 3);
    expect(&b, ROLLOUT_PROGRESSING, 1, "step");
    assert_string_equal(b.events.list[0].detail,
                        "step 2 of 3, 10 % to green: the hold of 3s is over");
    assert_int_equal(weight(&b), 1000);

    assert_int_equal(ticks_until(&b, 50), 5);
    expect(&b, ROLLOUT_WAITING, 1, "waiting");
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_APPROVAL);
    assert_int_equal(weight(&b), 1000);
    assert_int_equal(ticks_until(&b, 500), 501);

    assert_int_equal(command(&b, ROLLOUT_PROMOTE), 0);
    expect(&b, ROLLOUT_PROGRESSING, 2, "step");
    assert_string_equal(b.rollout.actor, "alice");
    assert_string_equal(b.rollout.reason, "step 3 of 3, 50 % to green: "
                                          "promoted by alice: because");

    assert_int_equal(ticks_until(&b, 50), 2);
    expect(&b, ROLLOUT_BAKING, 2, "baking");
    assert_string_equal(b.rollout.reason, "baking for 4s at 50 %: the hold "
                                          "of 2s is over");
    assert_int_equal(weight(&b), 5000);

    assert_int_equal(ticks_until(&b, 50), 4);
    expect(&b, ROLLOUT_SUCCEEDED, 2, "succeeded");
    assert_true(b.rollout.promoted);
    assert_false(rollout_active(&b.rollout));
    rollout_routing(&b.spec, &b.rollout, &routing);
    assert_int_equal(routing.canary_weight, 10000);
    assert_true(routing.canary_is_stable && routing.touch);
    assert_false(routing.leased);

    b.seen.verdict = JUDGE_HARM;
    assert_int_equal(ticks_until(&b, 50), 51);
    assert_int_equal(b.rollout.state, ROLLOUT_SUCCEEDED);
}


static void
test_keep_and_no_bake(void **state)
{
    bench_t            b;
    rollout_routing_t  routing;

    set_up(&b, "\"steps\":[{\"weight\":25}],\"bake\":0,"
               "\"on_success\":\"keep\"");
    assert_true(tick(&b));
    assert_true(tick(&b));
    expect(&b, ROLLOUT_SUCCEEDED, 0, "succeeded");
    assert_false(b.rollout.promoted);
    assert_string_equal(b.rollout.reason, "done, green keeps 25 %: the hold "
                                          "of 0s is over");
    rollout_routing(&b.spec, &b.rollout, &routing);
    assert_int_equal(routing.canary_weight, 2500);
    assert_false(routing.canary_is_stable);
    assert_false(routing.leased);
}


static void
test_evidence_ramp(void **state)
{
    bench_t  b;

    set_up(&b, STEPS ",\"ramp\":\"evidence\"");
    tick(&b);
    b.seen.verdict = JUDGE_SAFE;
    assert_true(tick(&b));
    expect(&b, ROLLOUT_PROGRESSING, 1, "step");
    assert_non_null(strstr(b.rollout.reason, "shown to be safe"));

    assert_true(tick(&b));         /* approval is asked for all the same */
    expect(&b, ROLLOUT_WAITING, 1, "waiting");
    command(&b, ROLLOUT_PROMOTE);

    b.seen.verdict = JUDGE_WATCHING;
    assert_int_equal(ticks_until(&b, 50), 2);
    expect(&b, ROLLOUT_BAKING, 2, "baking");

    b.seen.verdict = JUDGE_SAFE;   /* a bake is time, not evidence */
    assert_int_equal(ticks_until(&b, 50), 4);
    expect(&b, ROLLOUT_SUCCEEDED, 2, "succeeded");

    set_up(&b, STEPS);             /* the clock does not care */
    tick(&b);
    b.seen.verdict = JUDGE_SAFE;
    assert_int_equal(ticks_until(&b, 50), 3);
}


static void
test_never_without_traffic(void **state)
{
    bench_t  b;

    set_up(&b, STEPS ",\"ramp\":\"evidence\"");
    b.seen.canary_requests = 0;
    tick(&b);
    b.seen.verdict = JUDGE_SAFE;
    assert_int_equal(ticks_until(&b, 100), 101);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);
    assert_int_equal(b.rollout.step, 0);
}


static void
test_bake_needs_traffic(void **state)
{
    bench_t  b;

    set_up(&b, "\"steps\":[{\"weight\":100}],\"bake\":4");
    tick(&b);
    assert_true(tick(&b));
    expect(&b, ROLLOUT_BAKING, 0, "baking");

    b.seen.canary_requests = 0;
    assert_int_equal(ticks_until(&b, 100), 101);
    b.seen.canary_requests = 1;
    assert_true(tick(&b));
    expect(&b, ROLLOUT_SUCCEEDED, 0, "succeeded");
}


/* Brings a rollout (of STEPS) into a state by ways that users have. */
static void
bring(bench_t *b, rollout_state_t state)
{
    set_up(b, STEPS);

    if (state == ROLLOUT_PENDING) {
        return;
    }

    if (state == ROLLOUT_SMOKE) {
        b->spec.gate_set = 1u << ROLLOUT_GATE_SMOKE;
    }

    tick(b);

    switch (state) {

    case ROLLOUT_PAUSED:
        assert_int_equal(command(b, ROLLOUT_PAUSE), 0);
        break;

    case ROLLOUT_WAITING:
        b->seen.verdict = JUDGE_NO_DATA;
        assert_true(tick(b));
        break;

    case ROLLOUT_BAKING:
    case ROLLOUT_SUCCEEDED:
        while (b->rollout.state != state) {
            assert_int_equal(command(b, ROLLOUT_PROMOTE), 0);
        }

        break;

    case ROLLOUT_REVERTING:
    case ROLLOUT_ABORTED:
        assert_int_equal(command(b, ROLLOUT_ABORT), 0);

        if (state == ROLLOUT_ABORTED) {
            assert_true(tick(b));
        }

        break;

    default:
        break;
    }

    assert_int_equal(b->rollout.state, state);
}


#define NO  -1


static void
test_commands(void **state)
{
    int        rc;
    bench_t    b;
    unsigned   s, c;
    rollout_t  before;

    /* state: what abort, pause, resume, promote, and full lead to */

    enum { PRO = ROLLOUT_PROGRESSING, PAU = ROLLOUT_PAUSED,
           REV = ROLLOUT_REVERTING, SUC = ROLLOUT_SUCCEEDED };
    static const int  table[][5] = {
        [ROLLOUT_PENDING] = { REV, NO, NO, NO, NO },
        [ROLLOUT_SMOKE] = { REV, NO, NO, NO, NO },
        [ROLLOUT_PROGRESSING] = { REV, PAU, NO, PRO, SUC },
        [ROLLOUT_PAUSED] = { REV, NO, PRO, PRO, SUC },
        [ROLLOUT_WAITING] = { REV, PAU, NO, PRO, SUC },
        [ROLLOUT_BAKING] = { REV, PAU, NO, SUC, SUC },
        [ROLLOUT_REVERTING] = { REV, NO, NO, NO, NO },
        [ROLLOUT_SUCCEEDED] = { REV, NO, NO, NO, NO },
        [ROLLOUT_ABORTED] = { ROLLOUT_ABORTED, NO, NO, NO, NO }
    };

    for (s = ROLLOUT_PENDING; s <= ROLLOUT_ABORTED; s++) {
        for (c = ROLLOUT_ABORT; c <= ROLLOUT_PROMOTE_FULL; c++) {
            bring(&b, s);
            before = b.rollout;
            b.now += 7;
            rc = command(&b, c);

            if (table[s][c] == NO) {
                assert_int_equal(rc, -1);
                assert_int_equal(b.events.count, 0);
                assert_memory_equal(&before, &b.rollout, sizeof(before));
                assert_int_equal(strncmp(b.error, "cannot ", 7), 0);
                continue;
            }

            assert_int_equal(rc, 0);
            assert_int_equal(b.rollout.state, table[s][c]);

            if (c == ROLLOUT_ABORT && (s == ROLLOUT_REVERTING
                                       || s == ROLLOUT_ABORTED))
            {
                assert_int_equal(b.events.count, 0);
                assert_memory_equal(&before, &b.rollout, sizeof(before));
                continue;
            }

            assert_int_equal(b.events.count, 1);
            assert_string_equal(b.rollout.actor, "alice");
            assert_true(b.rollout.entered_ms == b.now);
            assert_non_null(strstr(b.rollout.reason, "by alice: because"));
            assert_int_equal(b.rollout.step, c == ROLLOUT_PROMOTE_FULL
                             ? b.spec.step_count - 1
                             : s > ROLLOUT_SMOKE && c == ROLLOUT_PROMOTE
                               && s != ROLLOUT_BAKING
                             ? before.step + 1 : before.step);
        }
    }

    bring(&b, ROLLOUT_PENDING);
    assert_int_equal(command(&b, 9), -1);
    command(&b, ROLLOUT_RESUME);
    assert_string_equal(b.error, "cannot resume: the rollout has not begun "
                                 "yet, only a paused one can be resumed");
}


static void
test_abort_from_everywhere(void **state)
{
    bench_t            b;
    unsigned           s;
    rollout_routing_t  routing;

    for (s = ROLLOUT_PENDING; s <= ROLLOUT_ABORTED; s++) {
        bring(&b, s);
        assert_int_equal(command(&b, ROLLOUT_ABORT), 0);

        rollout_routing(&b.spec, &b.rollout, &routing);
        assert_int_equal(routing.canary_weight, 0);
        assert_true(routing.touch);
        assert_false(routing.canary_is_stable);
        assert_false(b.rollout.promoted);

        if (s != ROLLOUT_ABORTED) {
            b.seen.nodes_confirmed = 1;
            assert_false(tick(&b));
            assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
            assert_true(rollout_active(&b.rollout));

            b.seen.nodes_confirmed = 2;
            assert_true(tick(&b));
            assert_string_equal(b.events.list[0].type, "aborted");
        }

        assert_int_equal(b.rollout.state, ROLLOUT_ABORTED);
        assert_string_equal(b.rollout.reason, "aborted by alice: because");
        assert_int_equal(weight(&b), 0);
        assert_false(rollout_active(&b.rollout));
        assert_false(tick(&b));
    }

    /* nobody left to ask: their leases bring the dead nodes back */

    bring(&b, ROLLOUT_REVERTING);
    b.seen.nodes_live = 0;
    b.seen.nodes_confirmed = 0;
    assert_true(tick(&b));
    assert_int_equal(b.rollout.state, ROLLOUT_ABORTED);
}


static void
test_harm_from_everywhere(void **state)
{
    bench_t   b;
    unsigned  s;

    for (s = ROLLOUT_PENDING; s <= ROLLOUT_BAKING; s++) {
        bring(&b, s);
        b.seen.verdict = JUDGE_HARM;
        b.seen.log_evidence = log(112.5);
        b.seen.nodes_confirmed = 0;
        assert_true(tick(&b));
        assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
        assert_string_equal(b.events.list[0].type, "reverting");
        assert_string_equal(b.rollout.reason, "evidence of harm reached "
                            "1 : 112 against green (limit 1 : 100)");
        assert_string_equal(b.rollout.actor, "canaryd");
        assert_int_equal(weight(&b), 0);

        bring(&b, s);
        b.seen.verdict = JUDGE_BUDGET;
        b.spec.analysis.max_excess_errors = 50;
        assert_true(tick(&b));
        assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
        assert_non_null(strstr(b.rollout.reason, "the budget of 50"));
    }

    /* what the nodes do meanwhile does not take it back */

    b.seen.verdict = JUDGE_SAFE;
    b.seen.nodes_confirmed = 0;
    assert_int_equal(ticks_until(&b, 20), 21);
    assert_int_equal(b.rollout.state, ROLLOUT_REVERTING);
    b.seen.nodes_confirmed = 2;
    assert_true(tick(&b));
    assert_non_null(strstr(b.events.list[0].detail, "confirmed by 2 live "
                                                    "nodes: excess errors"));
    assert_non_null(strstr(b.rollout.reason, "excess errors"));
}


static void
test_waiting(void **state)
{
    bench_t  b;

    set_up(&b, STEPS);
    tick(&b);
    tick(&b);
    assert_int_equal(b.rollout.held_ms, TICK);

    b.seen.verdict = JUDGE_NO_DATA;
    b.seen.canary_requests = 0;
    assert_true(tick(&b));
    expect(&b, ROLLOUT_WAITING, 0, "waiting");
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NO_DATA);
    assert_non_null(strstr(b.rollout.reason, "30 ticks"));
    assert_int_equal(weight(&b), 100);
    assert_int_equal(ticks_until(&b, 20), 21);

    b.seen.verdict = JUDGE_INCIDENT;
    b.seen.canary_requests = 5;
    assert_true(tick(&b));
    expect(&b, ROLLOUT_WAITING, 0, "waiting");
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_INCIDENT);
    assert_non_null(strstr(b.rollout.reason, "more than 5 %"));

    b.seen.verdict = JUDGE_WATCHING;
    assert_true(tick(&b));
    expect(&b, ROLLOUT_PROGRESSING, 0, "resumed");
    assert_int_equal(b.rollout.held_ms, TICK);
    assert_int_equal(ticks_until(&b, 20), 2);
    expect(&b, ROLLOUT_PROGRESSING, 1, "step");

    /* an approval that is waited for stays so */

    assert_int_equal(ticks_until(&b, 20), 5);
    b.seen.verdict = JUDGE_INCIDENT;
    assert_int_equal(ticks_until(&b, 20), 21);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_APPROVAL);

    /* a person may go on past it */

    assert_int_equal(command(&b, ROLLOUT_PROMOTE), 0);
    expect(&b, ROLLOUT_PROGRESSING, 2, "step");
    assert_true(tick(&b));
    expect(&b, ROLLOUT_WAITING, 2, "waiting");
    assert_int_equal(command(&b, ROLLOUT_PROMOTE), 0);
    expect(&b, ROLLOUT_BAKING, 2, "baking");

    /* and from a bake back to the bake */

    assert_true(tick(&b));
    expect(&b, ROLLOUT_WAITING, 2, "waiting");
    b.seen.verdict = JUDGE_WATCHING;
    assert_true(tick(&b));
    expect(&b, ROLLOUT_BAKING, 2, "resumed");

    b.seen.verdict = JUDGE_NO_DATA;
    assert_true(tick(&b));
    assert_int_equal(command(&b, ROLLOUT_PROMOTE), 0);
    expect(&b, ROLLOUT_SUCCEEDED, 2, "succeeded");
}


static void
test_pause(void **state)
{
    bench_t  b;

    bring(&b, ROLLOUT_PROGRESSING);
    tick(&b);
    assert_int_equal(command(&b, ROLLOUT_PAUSE), 0);
    assert_string_equal(b.events.list[0].type, "paused");
    assert_int_equal(weight(&b), 100);
    assert_int_equal(ticks_until(&b, 100), 101);
    b.seen.verdict = JUDGE_NO_DATA;
    assert_int_equal(ticks_until(&b, 100), 101);
    assert_int_equal(b.rollout.held_ms, TICK);

    b.seen.verdict = JUDGE_WATCHING;
    assert_int_equal(command(&b, ROLLOUT_RESUME), 0);
    assert_string_equal(b.events.list[0].type, "resumed");
    assert_int_equal(ticks_until(&b, 20), 2);
    expect(&b, ROLLOUT_PROGRESSING, 1, "step");

    bring(&b, ROLLOUT_BAKING);
    assert_int_equal(command(&b, ROLLOUT_PAUSE), 0);
    assert_int_equal(command(&b, ROLLOUT_RESUME), 0);
    assert_int_equal(b.rollout.state, ROLLOUT_BAKING);
    assert_int_equal(command(&b, ROLLOUT_PAUSE), 0);
    assert_int_equal(command(&b, ROLLOUT_PROMOTE), 0);
    assert_int_equal(b.rollout.state, ROLLOUT_SUCCEEDED);

    /* a pause in a wait for approval: it is asked for again */

    bring(&b, ROLLOUT_PROGRESSING);
    command(&b, ROLLOUT_PROMOTE);
    assert_int_equal(ticks_until(&b, 20), 5);
    assert_int_equal(command(&b, ROLLOUT_PAUSE), 0);
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_NONE);
    assert_int_equal(command(&b, ROLLOUT_RESUME), 0);
    assert_true(tick(&b));
    assert_int_equal(b.rollout.waiting_for, ROLLOUT_WAIT_APPROVAL);
}


static void
test_clock_jumps(void **state)
{
    bench_t  b;

    set_up(&b, "\"steps\":[{\"weight\":1,\"hold\":\"10s\"}]");
    tick(&b);

    b.now += INT64_C(3600000);     /* a controller that slept */
    tick(&b);
    assert_int_equal(b.rollout.held_ms, 3 * TICK);

    b.now -= INT64_C(86400000);    /* a clock that was set back */
    assert_false(tick(&b));
    assert_int_equal(b.rollout.held_ms, 3 * TICK);
    assert_false(tick(&b));
    assert_int_equal(b.rollout.held_ms, 4 * TICK);

    rollout_tick(&b.spec, &b.rollout, &b.seen, INT64_MIN, &b.events);
    assert_int_equal(b.rollout.held_ms, 4 * TICK);
    rollout_tick(&b.spec, &b.rollout, &b.seen, INT64_MAX, &b.events);
    assert_int_equal(b.rollout.held_ms, 7 * TICK);

    b.seen.tick_ms = -5;
    rollout_tick(&b.spec, &b.rollout, &b.seen, 0, &b.events);
    rollout_tick(&b.spec, &b.rollout, &b.seen, 99, &b.events);
    assert_int_equal(b.rollout.held_ms, 7 * TICK);
    assert_int_equal(b.rollout.state, ROLLOUT_PROGRESSING);

    b.seen.canary_requests = UINT64_MAX;
    tick(&b);
    tick(&b);
    assert_true(b.rollout.step_requests == UINT64_C(1) << 53);
}


static void
test_texts_are_bounded(void **state)
{
    char      error[ROLLOUT_REASON_LEN], reason[1500], actor[300];
    bench_t   b;
    unsigned  i;

    for (i = 0; i < 4; i++) {
        memset(reason, 0, sizeof(reason));
        memset(actor, 0, sizeof(actor));
        memset(reason, 'a', i);
        memset(actor, 'a', i);

        while (strlen(reason) < 1400) {
            strcat(reason, "\xf0\x9f\x90\xa4");
        }

        while (strlen(actor) < 250) {
            strcat(actor, "\xf0\x9f\x90\xa4");
        }

        bring(&b, ROLLOUT_PROGRESSING);
        assert_int_equal(rollout_command(&b.spec, &b.rollout,
                                         ROLLOUT_PROMOTE, actor, reason,
                                         b.now, &b.events, error), 0);
        assert_true(text_is_clean(b.rollout.reason));
        assert_true(text_is_clean(b.rollout.actor));
        assert_true(strlen(b.rollout.reason) >= ROLLOUT_REASON_LEN - 4);
        assert_null(strchr(b.rollout.reason, '?'));
        assert_null(strchr(b.rollout.actor, '?'));
        assert_string_equal(b.rollout.reason, b.events.list[0].detail);
    }

    bring(&b, ROLLOUT_PROGRESSING);
    assert_int_equal(rollout_command(&b.spec, &b.rollout, ROLLOUT_ABORT, NULL,
                                     NULL, b.now, &b.events, error), 0);
    assert_string_equal(b.rollout.reason, "aborted by unknown");
    assert_string_equal(b.rollout.actor, "unknown");

    bring(&b, ROLLOUT_PROGRESSING);
    assert_int_equal(rollout_command(&b.spec, &b.rollout, ROLLOUT_ABORT, "x",
                                     "%s%n\r\n", b.now, &b.events, error), 0);
    assert_string_equal(b.rollout.reason, "aborted by x: %s%n  ");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_happy_path),
        cmocka_unit_test(test_keep_and_no_bake),
        cmocka_unit_test(test_evidence_ramp),
        cmocka_unit_test(test_never_without_traffic),
        cmocka_unit_test(test_bake_needs_traffic),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_abort_from_everywhere),
        cmocka_unit_test(test_harm_from_everywhere),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_texts_are_bounded)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("core_rollout", tests, NULL, NULL);
}
