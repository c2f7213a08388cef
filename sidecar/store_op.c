/* Operations: commands sent together, whose replies are one result. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "store_internal.h"


static void store_op_reply(redisAsyncContext *context, void *reply,
    void *data);
static void store_op_count(store_op_t *op);


static void
store_op_link(store_op_t **list, store_op_t *op)
{
    op->list = list;
    op->prev = NULL;
    op->next = *list;

    if (op->next != NULL) {
        op->next->prev = op;
    }

    *list = op;
}


static void
store_op_unlink(store_op_t *op)
{
    if (op->prev != NULL) {
        op->prev->next = op->next;

    } else {
        *op->list = op->next;
    }

    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
}


store_op_t *
store_op_new(store_t *store, size_t data_size)
{
    store_op_t  *op;

    op = store_alloc(sizeof(store_op_t));
    op->store = store;
    op->data = store_alloc(data_size);
    store_op_link(&store->ops, op);

    return op;
}


static void
store_op_submit(store_op_t *op, int rc)
{
    store_link_t  *link = &op->store->commands;

    if (rc != REDIS_OK) {
        op->status = STORE_AWAY;
        return;
    }

    if (link->waiting == 0) {
        link->heard_ms = clock_mono_ms();
    }

    link->waiting++;
    op->sent++;
}


static bool
store_op_usable(store_op_t *op)
{
    store_link_t  *link = &op->store->commands;

    if (op->status == STORE_OK && link->context != NULL
        && (link->state == LINK_READY || link->state == LINK_SETUP))
    {
        return true;
    }

    if (op->status == STORE_OK) {
        op->status = STORE_AWAY;
    }

    return false;
}


void
store_op_send(store_op_t *op, int argc, const char **argv)
{
    if (store_op_usable(op)) {
        store_op_submit(op, redisAsyncCommandArgv(op->store->commands.context,
                                                  store_op_reply, op, argc,
                                                  argv, NULL));
    }
}


void
store_op_script(store_op_t *op, script_t script, int keys, int argc,
    const char **argv)
{
    int           i, rc;
    char          count[16], *command;
    const char  **all;

    if (!store_op_usable(op)) {
        return;
    }

    snprintf(count, sizeof(count), "%d", keys);

    all = store_alloc((size_t) (argc + 3) * sizeof(char *));
    all[0] = "EVAL";
    all[1] = script_text(script);
    all[2] = count;

    for (i = 0; i < argc; i++) {
        all[i + 3] = argv[i];
    }

    rc = redisFormatCommandArgv(&command, argc + 3, all, NULL);
    if (rc < 0) {
        abort();
    }

    op->eval = command;
    op->eval_len = rc;

    all[0] = "EVALSHA";
    all[1] = op->store->sha[script];
    store_op_send(op, argc + 3, all);

    free(all);
}


void
store_op_seal(store_op_t *op)
{
    struct timeval  now = { 0, 0 };

    op->sealed = true;

    if (op->got == op->sent) {
        /* Nothing was sent; the caller must not be called back from inside
         * its call. */
        store_op_unlink(op);
        store_op_link(&op->store->ended, op);
        event_add(op->store->ender, &now);
    }
}


void
store_op_ender(evutil_socket_t fd, short what, void *arg)
{
    bool         last;
    store_t     *store = arg;
    store_op_t  *op, *prev, *newest;

    newest = store->ended;
    op = newest;

    while (op != NULL && op->next != NULL) {
        op = op->next;             /* to the oldest */
    }

    /* In the order in which they came; what they add, before the newest,
     * waits for a turn.  Nobody else ends one of these. */
    for (last = false; op != NULL && !last; op = prev) {
        last = op == newest;
        prev = op->prev;
        store_op_end(op);
    }

    if (store->ended != NULL) {
        struct timeval  now = { 0, 0 };

        event_add(store->ender, &now);
    }
}


void
store_op_end(store_op_t *op)
{
    store_t  *store = op->store;

    store_op_unlink(op);

    if (op->status != STORE_OK) {
        store->errors++;
    }

    if (!store->freeing && op->finish != NULL) {
        op->finish(op);
    }

    if (op->clean != NULL) {
        op->clean(op->data);
    }

    if (op->eval != NULL) {
        redisFreeCommand(op->eval);
    }

    free(op->data);
    free(op);
}


static void
store_op_reply(redisAsyncContext *context, void *data, void *arg)
{
    store_op_t    *op = arg;
    redisReply    *reply = data;
    store_link_t  *link;
    store_t       *store = op->store;

    if (store->freeing) {
        return;
    }

    link = &store->commands;

    if (reply == NULL) {
        op->status = STORE_AWAY;
        store_op_count(op);
        return;
    }

    if (link->waiting > 0) {
        link->waiting--;
    }

    link->heard_ms = clock_mono_ms();

    if (reply->type != REDIS_REPLY_ERROR) {
        if (op->status == STORE_OK && op->reply != NULL) {
            op->reply(op, op->got, reply);
        }

        store_op_count(op);
        return;
    }

    if (op->eval != NULL && strncmp(reply->str, "NOSCRIPT", 8) == 0
        && link->context != NULL && link->state == LINK_READY)
    {
        op->sent--;
        store_op_submit(op, redisAsyncFormattedCommand(link->context,
                                store_op_reply, op, op->eval,
                                (size_t) op->eval_len));
        redisFreeCommand(op->eval);
        op->eval = NULL;

        if (op->sealed && op->got == op->sent) {
            store_op_end(op);
        }
        return;
    }

    if (link->state == LINK_SETUP) {
        op->status = STORE_ERROR;
        store_link_close(link, reply->str);

    } else if (op->status == STORE_OK) {
        op->status = STORE_ERROR;
        log_warn(store->log, "redis refused a command",
                 LOG_S("error", reply->str));
    }

    /* No master any more: perhaps the address leads to the new one. */
    if (strncmp(reply->str, "READONLY", 8) == 0
        || strncmp(reply->str, "MASTERDOWN", 10) == 0)
    {
        store_link_close(link, reply->str);
    }

    store_op_count(op);
}


static void
store_op_count(store_op_t *op)
{
    op->got++;

    if (op->sealed && op->got == op->sent) {
        store_op_end(op);
    }
}
