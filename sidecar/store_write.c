/* Calls that change something: each is one script. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define STORE_NUMBER_LEN         24
/* Of a rollout that is kept, on the average. */
#define STORE_EVENTS_A_ROLLOUT   50
/* Of one rollout: almost three hours with a tick a second, some 10 MB. */
#define STORE_RECORDED_KEPT      "10000"
/* Versions that have succeeded, or were taken back, of an upstream. */
#define STORE_SUCCEEDED_KEPT     "1000"


/* --- lead --- */

typedef struct {
    store_lead_pt  done;
    void          *arg;
    bool           held;
    int64_t        left_ms;
    char           leader[STORE_LEADER_LEN];
} store_lead_t;


static void
store_lead_finish(store_op_t *op)
{
    store_lead_t  *lead = op->data;

    lead->done(lead->arg, op->status, op->status == STORE_OK && lead->held,
               lead->leader, lead->left_ms);
}


static void
store_lead_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    const char    *held, *leader;
    store_lead_t  *lead = op->data;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        op->status = STORE_ERROR;
        return;
    }

    held = store_text(reply->element[0]);
    leader = store_text(reply->element[1]);

    if (held == NULL || leader == NULL
        || strlen(leader) >= sizeof(lead->leader))
    {
        op->status = STORE_ERROR;
        return;
    }

    lead->held = strcmp(held, "1") == 0;
    lead->left_ms = (int64_t) store_number(reply->element[2]);
    strcpy(lead->leader, leader);
}


static void
store_lead_ignore(void *arg, store_status_t status, bool held,
    const char *leader, int64_t left_ms)
{
    /* void */
}


static void
store_lead_keys(store_t *store, char keys[2][STORE_KEY_LEN],
    const char *leader, int64_t px, store_lead_pt done, void *arg)
{
    char           ms[STORE_NUMBER_LEN];
    store_op_t    *op;
    const char    *argv[5];
    store_lead_t  *lead;

    op = store_op_new(store, sizeof(store_lead_t));
    op->reply = store_lead_reply;
    op->finish = store_lead_finish;

    lead = op->data;
    lead->done = done != NULL ? done : store_lead_ignore;
    lead->arg = arg;

    snprintf(ms, sizeof(ms), "%" PRId64, px);

    argv[0] = keys[0];
    argv[1] = keys[1];
    argv[2] = store->node;
    argv[3] = leader;
    argv[4] = ms;

    store_op_script(op, SCRIPT_LEAD, 2, 5, argv);
    store_op_seal(op);
}


void
store_lead(store_t *store, const char *upstream, const char *leader,
    int64_t px, store_lead_pt done, void *arg)
{
    char  keys[2][STORE_KEY_LEN];

    store_key(store, keys[0], upstream, "leader", NULL);
    store_key(store, keys[1], upstream, "fence", NULL);
    store_lead_keys(store, keys, leader, px, done, arg);
}


void
store_lead_role(store_t *store, const char *upstream, const char *role,
    const char *leader, int64_t px, store_lead_pt done, void *arg)
{
    char  keys[2][STORE_KEY_LEN];

    store_key(store, keys[0], upstream, role, NULL);
    store_key(store, keys[1], upstream, role, ":fence");
    store_lead_keys(store, keys, leader, px, done, arg);
}


/* --- what gives {outcome, seq, revision, rollout} --- */

typedef struct {
    store_result_pt  done;
    void            *arg;
    store_result_t   result;
    char             rollout[STORE_KEY_LEN];
} store_change_t;


static void
store_change_finish(store_op_t *op)
{
    store_change_t  *change = op->data;

    change->done(change->arg, op->status, &change->result);
}


static void
store_change_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    size_t           i;
    const char      *outcome, *rollout;
    store_change_t  *change = op->data;

    static const struct {
        const char       *name;
        store_outcome_t   outcome;
    } outcomes[] = {
        { "ok", STORE_DONE },
        { "seq", STORE_CONFLICT_SEQ },
        { "leader", STORE_CONFLICT_LEADER },
        { "revision", STORE_CONFLICT_REVISION },
        { "active", STORE_CONFLICT_ACTIVE },
        { "node", STORE_CONFLICT_NODE },
    };

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) {
        op->status = STORE_ERROR;
        return;
    }

    outcome = store_text(reply->element[0]);
    rollout = store_text(reply->element[3]);

    change->result.seq = store_number(reply->element[1]);
    change->result.revision = store_number(reply->element[2]);

    if (rollout != NULL && strlen(rollout) < sizeof(change->rollout)) {
        strcpy(change->rollout, rollout);
        change->result.rollout = change->rollout;
    }

    for (i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (outcome != NULL && strcmp(outcome, outcomes[i].name) == 0) {
            change->result.outcome = outcomes[i].outcome;
            return;
        }
    }

    op->status = STORE_ERROR;
}


static store_op_t *
store_change_new(store_t *store, store_result_pt done, void *arg)
{
    store_op_t      *op;
    store_change_t  *change;

    op = store_op_new(store, sizeof(store_change_t));
    op->reply = store_change_reply;
    op->finish = store_change_finish;

    change = op->data;
    change->done = done;
    change->arg = arg;

    return op;
}


static const char *
store_print(char buf[STORE_NUMBER_LEN], uint64_t value)
{
    snprintf(buf, STORE_NUMBER_LEN, "%" PRIu64, value);

    return buf;
}


static const char *
store_print_events(const store_t *store, char buf[STORE_NUMBER_LEN])
{
    return store_print(buf, (uint64_t) store->keep_count
                            * STORE_EVENTS_A_ROLLOUT);
}


void
store_create(store_t *store, const store_create_t *create,
    store_result_pt done, void *arg)
{
    char         keys[5][STORE_KEY_LEN], prefixes[2][STORE_KEY_LEN];
    char         numbers[5][STORE_NUMBER_LEN];
    unsigned     i;
    store_op_t  *op;
    const char  *argv[19];

    op = store_change_new(store, done, arg);

    store_key(store, keys[0], create->upstream, "route", NULL);
    store_key(store, keys[1], create->upstream, "rollout:", create->rollout);
    store_key(store, keys[2], create->upstream, "rollouts", NULL);
    store_key(store, keys[3], create->upstream, "ticks", NULL);
    store_key(store, keys[4], create->upstream, "events", NULL);
    store_key(store, prefixes[0], create->upstream, "rollout:", NULL);
    store_key(store, prefixes[1], create->upstream, "recorded:", NULL);

    for (i = 0; i < 5; i++) {
        argv[i] = keys[i];
    }

    argv[5] = create->upstream;
    argv[6] = create->rollout;
    argv[7] = store_print(numbers[0], create->revision);
    argv[8] = create->doc;
    argv[9] = create->evidence;
    argv[10] = store_print(numbers[1], (uint64_t) store_now(store));
    argv[11] = create->actor;
    argv[12] = store->channels[0];
    argv[13] = prefixes[0];
    argv[14] = prefixes[1];
    argv[15] = store_print(numbers[2], store->keep_count);
    argv[16] = store_print_events(store, numbers[3]);
    argv[17] = store_print(numbers[4], (uint64_t) store->keep_ms);
    argv[18] = create->data;

    store_op_script(op, SCRIPT_CREATE, 5, 19, argv);
    store_op_seal(op);
}


void
store_commit(store_t *store, const store_commit_t *commit,
    store_result_pt done, void *arg)
{
    int                    n;
    char                   keys[6][STORE_KEY_LEN];
    char                   numbers[6][STORE_NUMBER_LEN];
    char                   success[STORE_SUCCESS_LEN];
    unsigned               i;
    store_op_t            *op;
    const char            *argv[26 + 3 * STORE_MAX_EVENTS];
    const store_judged_t  *judged = commit->judged;

    op = store_change_new(store, done, arg);

    store_key(store, keys[0], commit->upstream, "route", NULL);
    store_key(store, keys[1], commit->upstream, "rollout:", commit->rollout);
    store_key(store, keys[2], commit->upstream, "events", NULL);
    store_key(store, keys[3], commit->upstream, "leader", NULL);
    store_key(store, keys[4], commit->upstream, "recorded:", commit->rollout);
    store_key(store, keys[5], commit->upstream, "succeeded", NULL);

    for (n = 0; n < 6; n++) {
        argv[n] = keys[n];
    }

    success[0] = '\0';

    if (commit->environment != NULL) {
        store_success(success, !commit->taken_back, commit->environment,
                      commit->version);
    }

    argv[n++] = commit->upstream;
    argv[n++] = commit->rollout;
    argv[n++] = store_print(numbers[0], commit->seq);
    argv[n++] = commit->leader != NULL ? commit->leader : "";
    argv[n++] = commit->doc;
    argv[n++] = commit->evidence != NULL ? commit->evidence : "";
    argv[n++] = store_print(numbers[1], commit->revision);
    argv[n++] = commit->revision > 0 ? commit->record : "";
    argv[n++] = commit->active ? "1" : "0";
    argv[n++] = store_print(numbers[2], (uint64_t) store_now(store));
    argv[n++] = commit->actor;
    argv[n++] = store->channels[0];
    argv[n++] = store_print_events(store, numbers[3]);
    argv[n++] = store_print(numbers[4], (uint64_t) store->keep_ms);
    argv[n++] = STORE_RECORDED_KEPT;
    argv[n++] = store_print(numbers[5], judged != NULL
                                        ? (uint64_t) judged->at_ms : 0);
    argv[n++] = judged != NULL ? judged->given : "";
    argv[n++] = judged != NULL ? judged->counts : "";
    argv[n++] = success;
    argv[n++] = STORE_SUCCEEDED_KEPT;

    for (i = 0; i < commit->event_count && i < STORE_MAX_EVENTS; i++) {
        argv[n++] = commit->events[i].type;
        argv[n++] = commit->events[i].detail;
        argv[n++] = commit->events[i].data != NULL ? commit->events[i].data
                                                   : "";
    }

    store_op_script(op, SCRIPT_COMMIT, 6, n, argv);
    store_op_seal(op);
}


static void
store_adopt_mode(store_t *store, const char *mode, const char *upstream,
    uint64_t revision, const char *record, uint64_t after_revision,
    const char *after, int64_t live_ms, store_result_pt done, void *arg)
{
    char         keys[3][STORE_KEY_LEN], prefix[STORE_KEY_LEN];
    char         numbers[5][STORE_NUMBER_LEN];
    store_op_t  *op;
    const char  *argv[15];

    op = store_change_new(store, done, arg);

    store_key(store, keys[0], upstream, "route", NULL);
    store_key(store, keys[1], upstream, "events", NULL);
    store_key(store, keys[2], upstream, "nodes", NULL);
    store_key(store, prefix, upstream, "rollout:", NULL);

    argv[0] = keys[0];
    argv[1] = keys[1];
    argv[2] = keys[2];
    argv[3] = upstream;
    argv[4] = mode;
    argv[5] = store_print(numbers[0], revision);
    argv[6] = record != NULL ? record : "";
    argv[7] = store_print(numbers[1], after_revision);
    argv[8] = after != NULL ? after : "";
    argv[9] = store_print(numbers[2], (uint64_t) store_now(store));
    argv[10] = store_print(numbers[3], (uint64_t) live_ms);
    argv[11] = store->channels[0];
    argv[12] = prefix;
    argv[13] = store->node;
    argv[14] = store_print_events(store, numbers[4]);

    store_op_script(op, SCRIPT_ADOPT, 3, 15, argv);
    store_op_seal(op);
}


void
store_adopt(store_t *store, const char *upstream, uint64_t revision,
    const char *record, uint64_t revert_revision, const char *revert,
    int64_t live_ms, store_result_pt done, void *arg)
{
    store_adopt_mode(store, "adopt", upstream, revision, record,
                     revert_revision, revert, live_ms, done, arg);
}


void
store_republish(store_t *store, const char *upstream, uint64_t revision,
    const char *record, store_result_pt done, void *arg)
{
    store_adopt_mode(store, "again", upstream, revision, NULL, revision + 1,
                     record, 0, done, arg);
}
