/* What surrounds rollouts in Redis. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_around.h"
#include "store_internal.h"

#define HERALD_COUNT     "16"
#define HERALD_IDLE      "60000"
#define INCIDENTS_KEPT   "200"
#define GATES_KEPT       "-64"
#define GATES_MS         "7776000000"

typedef struct {
    store_texts_pt    done;
    void             *arg;
    size_t            count;
    char            **texts;
    uint64_t         *changes;     /* one more, if "ok" comes; NULL */
} texts_t;


static void
texts_clean(void *data)
{
    size_t    i;
    texts_t  *texts = data;

    for (i = 0; i < texts->count; i++) {
        free(texts->texts[i]);
    }

    free(texts->texts);
}


static void
texts_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    size_t    i;
    texts_t  *texts = op->data;

    if (index > 0) {
        return;
    }

    if (reply->type == REDIS_REPLY_STRING) {
        texts->texts = store_alloc(sizeof(char *));
        texts->texts[texts->count++] = store_copy(reply->str);
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    texts->texts = store_alloc(reply->elements * sizeof(char *));

    for (i = 0; i < reply->elements; i++) {
        texts->texts[texts->count++] = store_copy(
            store_text(reply->element[i]) != NULL
            ? store_text(reply->element[i]) : "");
    }
}


static void
texts_finish(store_op_t *op)
{
    texts_t  *texts = op->data;

    if (texts->changes != NULL && op->status == STORE_OK && texts->count > 0
        && strcmp(texts->texts[0], "ok") == 0)
    {
        (*texts->changes)++;
    }

    if (texts->done != NULL) {
        texts->done(texts->arg, op->status,
                    op->status == STORE_OK ? texts->count : 0,
                    (const char *const *) texts->texts);
    }
}


static store_op_t *
texts_new(store_t *store, store_texts_pt done, void *arg)
{
    texts_t     *texts;
    store_op_t  *op;

    op = store_op_new(store, sizeof(texts_t));
    op->reply = texts_reply;
    op->finish = texts_finish;
    op->clean = texts_clean;
    texts = op->data;
    texts->done = done;
    texts->arg = arg;

    return op;
}


void
store_herald(store_t *store, const char *upstream, store_texts_pt done,
    void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[4] = { key, store->node, HERALD_COUNT, HERALD_IDLE };

    op = texts_new(store, done, arg);
    store_key(store, key, upstream, "events", NULL);
    store_op_script(op, SCRIPT_HERALD, 1, 4, argv);
    store_op_seal(op);
}


void
store_heralded(store_t *store, const char *upstream, const char *position)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[4] = { "XACK", key, "herald", position };

    op = texts_new(store, NULL, NULL);
    store_key(store, key, upstream, "events", NULL);
    store_op_send(op, 4, argv);
    store_op_seal(op);
}


void
store_say(store_t *store, const char *upstream, const char *type,
    const char *rollout, const char *actor, const char *detail,
    const char *data)
{
    char         key[STORE_KEY_LEN], now[32];
    store_op_t  *op;
    const char  *argv[17] = {
        "XADD", key, "*", "at", now, "type", type, "rollout", rollout,
        "revision", "0", "actor", actor, "detail", detail, "data",
        data != NULL ? data : ""
    };

    op = texts_new(store, NULL, NULL);
    store_key(store, key, upstream, "events", NULL);
    snprintf(now, sizeof(now), "%" PRId64, store_now(store));
    store_op_send(op, 17, argv);
    store_op_seal(op);
}


const char *
store_incident_change_name(store_incident_change_t change)
{
    static const char *const  names[STORE_INCIDENT_CHANGES] = {
        "opened", "acknowledged", "resolved", "escalated"
    };

    return names[change];
}


uint64_t
store_incident_changes(const store_t *store, store_incident_change_t change)
{
    return store->incidents[change];
}


void
store_incident_put(store_t *store, const store_incident_t *incident,
    store_texts_pt done, void *arg)
{
    char         keys[4][STORE_KEY_LEN], now[32], type[32];
    texts_t     *texts;
    unsigned     i;
    store_op_t  *op;
    const char  *argv[17];

    static const char *const  names[4] = {
        "incidents", "incidents:times", "incidents:open", "events"
    };

    for (i = 0; i < 4; i++) {
        store_key(store, keys[i], incident->upstream, names[i], NULL);
        argv[i] = keys[i];
    }

    snprintf(now, sizeof(now), "%" PRId64, store_now(store));

    snprintf(type, sizeof(type), "incident-%s",
             store_incident_change_name(incident->change));

    argv[4] = incident->was == NULL ? "open" : "change";
    argv[5] = incident->id;
    argv[6] = incident->key;
    argv[7] = incident->was != NULL ? incident->was : "";
    argv[8] = incident->doc;
    argv[9] = incident->change == STORE_INCIDENT_RESOLVED ? "1" : "0";
    argv[10] = now;
    argv[11] = INCIDENTS_KEPT;
    argv[12] = type;
    argv[13] = incident->rollout;
    argv[14] = incident->actor;
    argv[15] = incident->detail;
    argv[16] = incident->doc;

    op = texts_new(store, done, arg);
    texts = op->data;
    texts->changes = &store->incidents[incident->change];
    store_op_script(op, SCRIPT_INCIDENT, 4, 17, argv);
    store_op_seal(op);
}


void
store_incident_get(store_t *store, const char *upstream, const char *id,
    store_texts_pt done, void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[3] = { "HGET", key, id };

    op = texts_new(store, done, arg);
    store_key(store, key, upstream, "incidents", NULL);
    store_op_send(op, 3, argv);
    store_op_seal(op);
}


void
store_incidents(store_t *store, const char *upstream, store_texts_pt done,
    void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[2] = { "HVALS", key };

    op = texts_new(store, done, arg);
    store_key(store, key, upstream, "incidents", NULL);
    store_op_send(op, 2, argv);
    store_op_seal(op);
}


typedef struct {
    texts_t  texts;
    char     key[STORE_KEY_LEN];   /* of the documents */
} open_t;


/* First the ids, then their documents. */
static void
store_open_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    size_t        i;
    open_t       *open = op->data;
    const char  **argv;

    if (index > 0) {
        texts_reply(op, 0, reply);
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return;
    }

    argv = store_alloc((reply->elements + 2) * sizeof(char *));
    argv[0] = "HMGET";
    argv[1] = open->key;

    for (i = 0; i < reply->elements; i++) {
        argv[i + 2] = store_text(reply->element[i]);

        if (argv[i + 2] == NULL) {
            argv[i + 2] = "";
        }
    }

    store_op_send(op, (int) reply->elements + 2, argv);
    free(argv);
}


void
store_incidents_open(store_t *store, const char *upstream,
    store_texts_pt done, void *arg)
{
    char         key[STORE_KEY_LEN];
    open_t      *open;
    store_op_t  *op;
    const char  *argv[2] = { "HVALS", key };

    op = store_op_new(store, sizeof(open_t));
    op->reply = store_open_reply;
    op->finish = texts_finish;
    op->clean = texts_clean;
    open = op->data;
    open->texts.done = done;
    open->texts.arg = arg;

    store_key(store, key, upstream, "incidents:open", NULL);
    store_key(store, open->key, upstream, "incidents", NULL);
    store_op_send(op, 2, argv);
    store_op_seal(op);
}


void
store_gate_put(store_t *store, const char *upstream, const char *rollout,
    const char *run)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *push[3] = { "RPUSH", key, run };
    const char  *trim[4] = { "LTRIM", key, GATES_KEPT, "-1" };
    const char  *expire[3] = { "PEXPIRE", key, GATES_MS };

    op = texts_new(store, NULL, NULL);
    store_key(store, key, upstream, "gates:", rollout);
    store_op_send(op, 3, push);
    store_op_send(op, 4, trim);
    store_op_send(op, 3, expire);
    store_op_seal(op);
}


void
store_gate_list(store_t *store, const char *upstream, const char *rollout,
    store_texts_pt done, void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[4] = { "LRANGE", key, "0", "-1" };

    op = texts_new(store, done, arg);
    store_key(store, key, upstream, "gates:", rollout);
    store_op_send(op, 4, argv);
    store_op_seal(op);
}


void
store_stop_put(store_t *store, const char *text, store_texts_pt done,
    void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[3] = { text != NULL ? "SET" : "DEL", key, text };

    op = texts_new(store, done, arg);
    snprintf(key, sizeof(key), "%sstop", store->prefix);
    store_op_send(op, text != NULL ? 3 : 2, argv);
    store_op_seal(op);
}


void
store_stop_get(store_t *store, store_texts_pt done, void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[2] = { "GET", key };

    op = texts_new(store, done, arg);
    snprintf(key, sizeof(key), "%sstop", store->prefix);
    store_op_send(op, 2, argv);
    store_op_seal(op);
}
