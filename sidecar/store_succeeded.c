/*
 * What has succeeded where: a sorted set for each upstream, in the slot of
 * its rollouts, so that the commit by which one succeeds writes both or
 * neither.  Whoever asks does not know which upstream it was, and reads all.
 */

#include <stdio.h>
#include <stdlib.h>

#include "store_internal.h"

typedef struct {
    store_has_pt  done;
    void         *arg;
    char          names[2][STORE_SUCCESS_LEN];   /* has; was taken back */
    double        newest;          /* what is known of the version, so far */
    bool          has;
} store_has_t;


void
store_success(char name[STORE_SUCCESS_LEN], bool succeeded,
    const char *environment, const char *version)
{
    snprintf(name, STORE_SUCCESS_LEN, "%c%s %s", succeeded ? '+' : '-',
             environment, version);
}


static void
store_has_send(store_op_t *op, const char *upstream)
{
    char          key[STORE_KEY_LEN];
    const char   *argv[4];
    store_has_t  *has = op->data;

    store_key(op->store, key, upstream, "succeeded", NULL);

    argv[0] = "ZMSCORE";
    argv[1] = key;
    argv[2] = has->names[0];
    argv[3] = has->names[1];

    store_op_send(op, 4, argv);
}


static void
store_has_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    double        at;
    size_t        i;
    const char   *text;
    store_has_t  *has = op->data;

    if (reply->type != REDIS_REPLY_ARRAY || (index > 0
                                             && reply->elements != 2))
    {
        op->status = STORE_ERROR;
        return;
    }

    for (i = 0; i < reply->elements; i++) {
        text = store_text(reply->element[i]);

        if (text == NULL) {
            continue;
        }

        if (index == 0) {
            if (store_name_valid(text)) {
                store_has_send(op, text);
            }
            continue;
        }

        at = strtod(text, NULL);

        /* In doubt it was taken back. */
        if (at > has->newest || (at == has->newest && i == 1)) {
            has->newest = at;
            has->has = i == 0;
        }
    }
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
    const char   *argv[2];
    store_has_t  *has;

    op = store_op_new(store, sizeof(store_has_t));
    op->reply = store_has_reply;
    op->finish = store_has_finish;

    has = op->data;
    has->done = done;
    has->arg = arg;
    store_success(has->names[0], true, environment, version);
    store_success(has->names[1], false, environment, version);

    snprintf(key, sizeof(key), "%supstreams", store->prefix);
    argv[0] = "SMEMBERS";
    argv[1] = key;
    store_op_send(op, 2, argv);
    store_op_seal(op);
}
