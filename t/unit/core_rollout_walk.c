/* A long random walk through core/rollout: whatever comes, it must keep its
 * promises. */

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
random_spec(bench_t *b)
{
    char      members[512];
    size_t    len;
    unsigned  i, n, w;

    n = 1 + below(4);
    w = 1;
    len = (size_t) snprintf(members, sizeof(members), "\"bake\":%u,"
                            "\"ramp\":\"%s\",\"on_success\":\"%s\","
                            "\"steps\":[", below(2) * below(6),
                            below(2) ? "clock" : "evidence",
                            below(2) ? "keep" : "promote");

    for (i = 0; i < n; i++) {
        w += below(30);
        w = w > 100 ? 100 : w;
        len += (size_t) snprintf(members + len, sizeof(members) - len,
                                 "%s{\"weight\":%u,\"hold\":%u,"
                                 "\"approval\":%s}", i ? "," : "", w,
                                 below(5), below(3) ? "false" : "true");
    }

    strcat(members, "]");
    set_up(b, members);
}


static void
random_observation(bench_t *b)
{
    unsigned  v;

    v = below(300);
    b->seen.verdict = v == 0 ? JUDGE_HARM : v == 1 ? JUDGE_BUDGET
                      : v < 20 ? JUDGE_NO_DATA : v < 40 ? JUDGE_INCIDENT
                      : v < 120 ? JUDGE_SAFE : JUDGE_WATCHING;
    b->seen.log_evidence = below(2000) / 10.0 - 100.0;
    b->seen.canary_requests = below(2) ? below(10) : 0;
    b->seen.nodes_live = below(8) ? 2 : below(4);
    b->seen.nodes_confirmed = below(5) ? b->seen.nodes_live
                                       : below(b->seen.nodes_live + 1);
    b->seen.tick_ms = TICK;
    b->now += below(20) ? (int64_t) below(3 * TICK)
                        : (int64_t) below(100000) - 50000;
}


static void
check_stored(const bench_t *b)
{
    char       *text;
    cJSON      *json;
    rollout_t   again;

    json = rollout_print(&b->rollout);
    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    json = cJSON_Parse(text);
    cJSON_free(text);
    assert_int_equal(rollout_parse(json, &again), 0);
    cJSON_Delete(json);

    assert_int_equal(again.state, b->rollout.state);
    assert_int_equal(again.waiting_for, b->rollout.waiting_for);
    assert_int_equal(again.baking, b->rollout.baking);
    assert_int_equal(again.approved, b->rollout.approved);
    assert_int_equal(again.step, b->rollout.step);
    assert_true(again.entered_ms == b->rollout.entered_ms);
    assert_true(again.last_ms == b->rollout.last_ms);
    assert_true(again.held_ms == b->rollout.held_ms);
    assert_true(again.step_requests == b->rollout.step_requests);
    assert_int_equal(again.promoted, b->rollout.promoted);
    assert_string_equal(again.reason, b->rollout.reason);
    assert_string_equal(again.actor, b->rollout.actor);
}


static void
check_routing(const bench_t *b)
{
    rollout_routing_t  routing;

    rollout_routing(&b->spec, &b->rollout, &routing);

    switch (b->rollout.state) {

    case ROLLOUT_PENDING:
        assert_false(routing.touch);
        assert_int_equal(routing.canary_weight, 0);
        break;

    case ROLLOUT_REVERTING:
    case ROLLOUT_ABORTED:
        assert_true(routing.touch);
        assert_int_equal(routing.canary_weight, 0);
        assert_false(routing.leased || routing.canary_is_stable);
        break;

    case ROLLOUT_SUCCEEDED:
        assert_int_equal(routing.canary_is_stable,
                         b->spec.on_success == SPEC_PROMOTE);
        assert_int_equal(routing.canary_weight, routing.canary_is_stable
                         ? 10000 : b->spec.steps[b->rollout.step].weight);
        assert_false(routing.leased);
        break;

    default:
        assert_true(routing.touch && routing.leased);
        assert_false(routing.canary_is_stable);
        assert_int_equal(routing.canary_weight,
                         b->spec.steps[b->rollout.step].weight);
    }
}


/* What must hold between any two states, however one became the other. */
static void
check_change(const bench_t *b, const rollout_t *old, bool changed,
    bool aborted)
{
    const rollout_t  *new = &b->rollout;

    assert_true(new->step < b->spec.step_count);
    assert_true(new->step == old->step || new->step == old->step + 1);
    assert_int_equal(new->waiting_for != ROLLOUT_WAIT_NONE,
                     new->state == ROLLOUT_WAITING);
    assert_int_equal(changed, b->events.count > 0);

    if (!changed) {
        assert_int_equal(new->state, old->state);
        assert_int_equal(new->step, old->step);
        assert_string_equal(new->reason, old->reason);
    }

    if (old->state == ROLLOUT_ABORTED) {
        assert_memory_equal(old, new, sizeof(*old));
    }

    if (old->state == ROLLOUT_SUCCEEDED && !aborted) {
        assert_memory_equal(old, new, sizeof(*old));
    }

    if (old->state == ROLLOUT_REVERTING) {
        assert_true(new->state == ROLLOUT_REVERTING
                    || new->state == ROLLOUT_ABORTED);
    }
}


static void
check_tick(const bench_t *b, const rollout_t *old)
{
    bool              advanced;
    const rollout_t  *new = &b->rollout;

    if (b->seen.verdict >= JUDGE_BUDGET && rollout_active(old)
        && old->state != ROLLOUT_REVERTING)
    {
        assert_int_equal(new->state, ROLLOUT_REVERTING);
        return;
    }

    advanced = new->step > old->step
               || (new->baking && !old->baking)
               || (new->state == ROLLOUT_SUCCEEDED
                   && old->state != ROLLOUT_SUCCEEDED);

    if (!advanced) {
        return;
    }

    assert_true(old->state == ROLLOUT_PROGRESSING
                || old->state == ROLLOUT_BAKING);
    assert_true(b->seen.verdict == JUDGE_WATCHING
                || b->seen.verdict == JUDGE_SAFE);
    assert_true(old->step_requests + b->seen.canary_requests > 0);
    assert_true(b->seen.nodes_live > 0);
    assert_true(b->seen.nodes_confirmed >= b->seen.nodes_live);

    if (!old->baking) {
        assert_false(b->spec.steps[old->step].approval);
    }
}


static void
test_random_walk(void **state)
{
    int        rc;
    bool       changed;
    bench_t    b;
    unsigned   i, c, ended[ROLLOUT_ABORTED + 1] = { 0 };
    rollout_t  old;

    seed = 42;
    random_spec(&b);

    for (i = 0; i < 100000; i++) {
        ended[b.rollout.state]++;

        if (!rollout_active(&b.rollout) && below(10) == 0) {
            random_spec(&b);
        }

        old = b.rollout;
        random_observation(&b);

        if (below(12) == 0) {
            c = below(8) ? ROLLOUT_PAUSE + below(3) : ROLLOUT_ABORT;
            rc = command(&b, c);
            check_change(&b, &old, b.events.count > 0, c == ROLLOUT_ABORT);
            assert_true(rc == 0 || c != ROLLOUT_ABORT);

            if (c == ROLLOUT_ABORT) {
                assert_int_equal(weight(&b), 0);
            }

        } else {
            changed = tick(&b);
            check_change(&b, &old, changed, false);
            check_tick(&b, &old);
        }

        check_routing(&b);
        assert_true(text_is_clean(b.rollout.reason));

        if (b.events.count > 0 || i % 8 == 0) {
            check_stored(&b);
        }
    }

    for (i = 0; i <= ROLLOUT_ABORTED; i++) {
        assert_true(ended[i] > 100);   /* the walk was everywhere */
    }
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
