/*
 * What has succeeded where: a sorted set for each environment, version by
 * time.  It is written after the commit that it tells of, which has keys of
 * another slot; a success that is lost in between has to be repeated.
 */

#include <inttypes.h>
#include <stdio.h>

#include "store_internal.h"

#define SUCCEEDED_KEPT  "-1001"    /* rank of the newest that is too many */

typedef struct {
    store_has_pt  done;
    void         *arg;
    bool          has;
} store_has_t;


static void
store_succeeded_key(const store_t *store, char key[STORE_KEY_LEN],
    const char *environment)
{
    snprintf(key, STORE_KEY_LEN, "%ssucceeded:%s", store->prefix,
             environment);
}


static void
store_has_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    store_has_t  *has = op->data;

    has->has = reply->type != REDIS_REPLY_NIL;
}


static void
store_has_finish(store_op_t *op)
{
    store_has_t  *has = op->data;

    has->done(has->arg, op->status, op->status == STORE_OK && has->has);
}


void
store_has_succeeded(store_t *store, const char *environment,
    const char *version, store_has_pt done, void *arg)
{
    char          key[STORE_KEY_LEN];
    store_op_t   *op;
    const char   *argv[3];
    store_has_t  *has;

    op = store_op_new(store, sizeof(store_has_t));
    op->reply = store_has_reply;
    op->finish = store_has_finish;

    has = op->data;
    has->done = done;
    has->arg = arg;

    store_succeeded_key(store, key, environment);
    argv[0] = "ZSCORE";
    argv[1] = key;
    argv[2] = version;

    store_op_send(op, 3, argv);
    store_op_seal(op);
}


static void
store_succeed_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    /* void */
}


static void
store_succeed_finish(store_op_t *op)
{
    /* void */
}


void
store_succeed(store_t *store, const char *environment, const char *version,
    bool succeeded)
{
    char         key[STORE_KEY_LEN], now[24];
    store_op_t  *op;
    const char  *argv[4];

    op = store_op_new(store, 1);
    op->reply = store_succeed_reply;
    op->finish = store_succeed_finish;

    store_succeeded_key(store, key, environment);
    snprintf(now, sizeof(now), "%" PRId64, store_now(store));

    if (succeeded) {
        argv[0] = "ZADD";
        argv[1] = key;
        argv[2] = now;
        argv[3] = version;
        store_op_send(op, 4, argv);

        argv[0] = "ZREMRANGEBYRANK";
        argv[2] = "0";
        argv[3] = SUCCEEDED_KEPT;
        store_op_send(op, 4, argv);

    } else {
        argv[0] = "ZREM";
        argv[1] = key;
        argv[2] = version;
        store_op_send(op, 3, argv);
    }

    store_op_seal(op);
}
