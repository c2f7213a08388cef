/* Keys of clients, and the answers that are kept under them. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

typedef struct {
    store_claim_pt   done;
    void            *arg;
    char            *text;
} store_claim_t;


static void
store_claim_finish(store_op_t *op)
{
    store_claim_t  *claim = op->data;

    claim->done(claim->arg, op->status, claim->text);
}


static void
store_claim_clean(void *data)
{
    free(((store_claim_t *) data)->text);
}


static void
store_claim_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    const char     *text;
    store_claim_t  *claim = op->data;

    text = store_text(reply);

    if (text == NULL) {
        op->status = STORE_ERROR;
        return;
    }

    claim->text = store_copy(text);
}


void
store_claim(store_t *store, const char *upstream, const char *id,
    const char *text, int64_t ttl_ms, store_claim_pt done, void *arg)
{
    char            key[STORE_KEY_LEN], ms[24];
    store_op_t     *op;
    const char     *argv[3];
    store_claim_t  *claim;

    op = store_op_new(store, sizeof(store_claim_t));
    op->reply = store_claim_reply;
    op->finish = store_claim_finish;
    op->clean = store_claim_clean;

    claim = op->data;
    claim->done = done;
    claim->arg = arg;

    store_key(store, key, upstream, "answer:", id);
    snprintf(ms, sizeof(ms), "%" PRId64, ttl_ms);

    argv[0] = key;
    argv[1] = text;
    argv[2] = ms;

    store_op_script(op, SCRIPT_CLAIM, 1, 3, argv);
    store_op_seal(op);
}


void
store_settle(store_t *store, const char *upstream, const char *id,
    const char *text, int64_t ttl_ms)
{
    char         key[STORE_KEY_LEN], ms[24];
    store_op_t  *op;
    const char  *argv[5];

    op = store_op_new(store, 1);
    store_key(store, key, upstream, "answer:", id);
    snprintf(ms, sizeof(ms), "%" PRId64, ttl_ms);

    argv[0] = text != NULL ? "SET" : "DEL";
    argv[1] = key;
    argv[2] = text;
    argv[3] = "PX";
    argv[4] = ms;

    store_op_send(op, text != NULL ? 5 : 2, argv);
    store_op_seal(op);
}
