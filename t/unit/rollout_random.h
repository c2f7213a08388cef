/* Random specs, what is seen of them, and an executor that answers gates: for
 * core_rollout_walk.c. */

#ifndef ROLLOUT_RANDOM_TEST_H
#define ROLLOUT_RANDOM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/codec.h"
#include "core/text.h"
#include "decision.h"

#define TICK        1000
#define START       INT64_C(1700000000000)
#define REVISION    41             /* that is there when it begins */
#define STRATEGIES  5              /* rolling counts twice */
#define MAX_LOG     512

/* What came to a rollout, to be replayed, and what it said to that. */
typedef struct {
    bool                   is_command;
    rollout_command_t      command;
    rollout_observation_t  seen;
    int64_t                now;
    rollout_events_t       events;
} entry_t;

typedef struct {
    rollout_spec_t         spec;
    rollout_spec_t         read;       /* the same, out of its JSON */
    unsigned               strategy;
    rollout_t              rollout;
    rollout_observation_t  seen;
    rollout_events_t       events;
    int64_t                now;

    release_t              release;    /* borrows the spec */
    record_t               record;     /* that nodes are to serve */
    record_t               wanted;
    record_t               after;

    uint64_t               fresh;      /* canary requests of this step, or
                                          bake, served by all nodes */
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


/* Neighbours have nothing in common (splitmix64). */
static void
seed_with(uint64_t number)
{
    seed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
    seed ^= seed >> 31;
    seed += seed == 0;
}


static bool
by_servers(const rollout_spec_t *spec)
{
    return spec->strategy == SPEC_ROLLING && spec->rolling == SPEC_BY_SERVERS;
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
random_spec(bench_t *b, unsigned strategy)
{
    char           plan[1024], text[2048];
    cJSON         *json;
    spec_error_t   error;

    spec_free(&b->spec);
    spec_free(&b->read);
    b->strategy = strategy;

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

    json = spec_print(&b->spec);
    assert_int_equal(spec_parse(json, &b->read, &error), 0);
    cJSON_Delete(json);
    b->read.gate_set = b->spec.gate_set;
    b->read.checks_every_ms = b->spec.checks_every_ms;
}


/* A rollout at its beginning; stable has all. */
static void
begin(bench_t *b)
{
    static const char  id[] = "app-0123456789";

    b->now = START;
    rollout_init(&b->rollout, "ci", b->now);
    b->fresh = 0;
    b->highest = 0;
    b->running_count = 0;
    b->log_count = 0;

    memset(&b->record, 0, sizeof(b->record));
    b->record.revision = REVISION;
    text_copy(b->record.stable, sizeof(b->record.stable), "blue");
    record_add_group(&b->record, "blue", SPEC_WEIGHT_ALL);

    memset(&b->release, 0, sizeof(b->release));
    text_copy(b->release.id, sizeof(b->release.id), id);
    text_copy(b->release.stable, sizeof(b->release.stable), "blue");
    b->release.spec = b->spec;
    b->release.revision = REVISION;
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
        snprintf(seen->detail, sizeof(seen->detail), "run %u",
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
    strcpy(b->seen.refusing, "edge-1");
    strcpy(b->seen.refusal, "status 422");
    b->seen.nodes_drained = below(b->seen.nodes_live + 1);
    b->seen.nodes_tripped = below(700) == 0;
    b->seen.target_away = b->spec.strategy == SPEC_ROLLING
                          && b->spec.rolling == SPEC_BY_NODES
                          && below(15) == 0;
    b->seen.slo = below(12) ? ROLLOUT_SLO_MET : 1 + below(2);
    strcpy(b->seen.slo_detail, "p95");
    b->seen.frozen = below(15) == 0;
    b->seen.alert = below(300) ? ROLLOUT_ALERT_NONE : 1 + below(2);
    strcpy(b->seen.alert_text, "HighErrors");
    b->seen.tick_ms = TICK;
    b->now += below(20) ? (int64_t) below(3 * TICK)
                        : (int64_t) below(100000) - 50000;
    execute(b);
}

#endif
