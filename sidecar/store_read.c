/*
 * Calls that only read, and a node's report.  long: they are alike, and few
 * lines each.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define STORE_MAX_UPSTREAMS  256
#define STORE_MAX_NODES      1024
#define STORE_TICKS_READ     "2000"
#define STORE_TICKS_KEPT     "20000"


static void
store_route_copy(store_route_t *route, const redisReply *reply)
{
    const char  *active;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) {
        return;
    }

    active = store_text(reply->element[3]);

    route->revision = store_number(reply->element[0]);
    route->record = store_copy(store_text(reply->element[1]));
    route->rollout = store_copy(store_text(reply->element[2]));
    route->active = active != NULL && strcmp(active, "1") == 0
                    && route->rollout != NULL;
}


static void
store_route_clean(store_route_t *route)
{
    free((char *) route->upstream);
    free((char *) route->record);
    free((char *) route->rollout);
}


static void
store_send_route(store_op_t *op, const char *upstream)
{
    char         key[STORE_KEY_LEN];
    const char  *argv[6];

    store_key(op->store, key, upstream, "route", NULL);

    argv[0] = "HMGET";
    argv[1] = key;
    argv[2] = "revision";
    argv[3] = "record";
    argv[4] = "rollout";
    argv[5] = "active";

    store_op_send(op, 6, argv);
}


static void
store_send2(store_op_t *op, const char *command, const char *key)
{
    const char  *argv[2] = { command, key };

    store_op_send(op, 2, argv);
}


/* --- routes --- */

typedef struct {
    store_routes_pt  done;
    void            *arg;
    size_t           count;
    store_route_t    routes[STORE_MAX_UPSTREAMS];
} store_routes_t;


static void
store_routes_clean(void *data)
{
    size_t           i;
    store_routes_t  *all = data;

    for (i = 0; i < all->count; i++) {
        store_route_clean(&all->routes[i]);
    }
}


static void
store_routes_finish(store_op_t *op)
{
    store_routes_t  *all = op->data;

    all->done(all->arg, op->status, op->status == STORE_OK ? all->count : 0,
              all->routes);
}


static int
store_routes_compare(const void *a, const void *b)
{
    return strcmp(((const store_route_t *) a)->upstream,
                  ((const store_route_t *) b)->upstream);
}


static void
store_routes_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    size_t           i;
    const char      *name;
    store_routes_t  *all = op->data;

    if (index > 0) {
        if (index <= all->count) {
            store_route_copy(&all->routes[index - 1], reply);
        }
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        op->status = STORE_ERROR;

    } else {
        for (i = 0; i < reply->elements && all->count < STORE_MAX_UPSTREAMS;
             i++)
        {
            name = store_text(reply->element[i]);

            if (name != NULL && store_name_valid(name)) {
                all->routes[all->count++].upstream = store_copy(name);
            }
        }

        qsort(all->routes, all->count, sizeof(store_route_t),
              store_routes_compare);

        for (i = 0; i < all->count; i++) {
            store_send_route(op, all->routes[i].upstream);
        }
    }

    /* The reply at hand is counted after this returns. */
    op->sealed = true;
}


void
store_routes(store_t *store, store_routes_pt done, void *arg)
{
    char             key[STORE_KEY_LEN];
    store_op_t      *op;
    store_routes_t  *all;

    op = store_op_new(store, sizeof(store_routes_t));
    op->reply = store_routes_reply;
    op->finish = store_routes_finish;
    op->clean = store_routes_clean;

    all = op->data;
    all->done = done;
    all->arg = arg;

    snprintf(key, sizeof(key), "%supstreams", store->prefix);
    store_send2(op, "SMEMBERS", key);

    store_op_seal(op);
}


/* --- names --- */

typedef struct {
    store_names_pt   done;
    void            *arg;
    size_t           count;
    char            *names[STORE_MAX_UPSTREAMS];
} store_names_t;


static void
store_names_clean(void *data)
{
    size_t          i;
    store_names_t  *list = data;

    for (i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
}


static void
store_names_finish(store_op_t *op)
{
    store_names_t  *list = op->data;

    list->done(list->arg, op->status, list->count,
               (const char *const *) list->names);
}


static void
store_names_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    size_t          i;
    const char     *name;
    store_names_t  *list = op->data;

    if (reply->type != REDIS_REPLY_ARRAY) {
        op->status = STORE_ERROR;
        return;
    }

    for (i = 0; i < reply->elements && list->count < STORE_MAX_UPSTREAMS; i++)
    {
        name = store_text(reply->element[i]);

        if (name != NULL && store_name_valid(name)) {
            list->names[list->count++] = store_copy(name);
        }
    }
}


void
store_names(store_t *store, store_names_pt done, void *arg)
{
    char            key[STORE_KEY_LEN];
    store_op_t     *op;
    store_names_t  *list;

    op = store_op_new(store, sizeof(store_names_t));
    op->reply = store_names_reply;
    op->finish = store_names_finish;
    op->clean = store_names_clean;

    list = op->data;
    list->done = done;
    list->arg = arg;

    snprintf(key, sizeof(key), "%supstreams", store->prefix);
    store_send2(op, "SMEMBERS", key);

    store_op_seal(op);
}


/* --- one route, and the report of a node --- */

typedef struct {
    store_report_pt  done;
    void            *arg;
    unsigned         skip;         /* replies to the writes before */
    store_route_t    route;
    bool             led;
} store_report_t;


static void
store_report_clean(void *data)
{
    store_report_t  *report = data;

    store_route_clean(&report->route);
}


static void
store_report_finish(store_op_t *op)
{
    store_report_t  *report = op->data;

    report->done(report->arg, op->status, &report->route, report->led);
}


static void
store_report_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    store_report_t  *report = op->data;

    if (index == report->skip) {
        store_route_copy(&report->route, reply);

    } else if (index == report->skip + 1) {
        report->led = store_text(reply) != NULL;
    }
}


static store_op_t *
store_report_new(store_t *store, const char *upstream, store_report_pt done,
    void *arg)
{
    store_op_t      *op;
    store_report_t  *report;

    op = store_op_new(store, sizeof(store_report_t));
    op->reply = store_report_reply;
    op->finish = store_report_finish;
    op->clean = store_report_clean;

    report = op->data;
    report->done = done;
    report->arg = arg;
    report->route.upstream = store_copy(upstream);

    return op;
}


void
store_route(store_t *store, const char *upstream, store_report_pt done,
    void *arg)
{
    store_op_t  *op;

    op = store_report_new(store, upstream, done, arg);
    store_send_route(op, upstream);
    store_op_seal(op);
}


static void
store_send_info(store_op_t *op, const char *upstream, const char *info)
{
    char         key[STORE_KEY_LEN];
    const char  *argv[4];

    store_key(op->store, key, upstream, "nodes", NULL);

    argv[0] = "HSET";
    argv[1] = key;
    argv[2] = op->store->node;
    argv[3] = info;

    store_op_send(op, 4, argv);
}


void
store_report(store_t *store, const char *upstream, const char *info,
    const char *rollout, const char *counts, store_report_pt done, void *arg)
{
    char             key[STORE_KEY_LEN];
    store_op_t      *op;
    const char      *argv[12];
    store_report_t  *report;

    op = store_report_new(store, upstream, done, arg);
    report = op->data;

    snprintf(key, sizeof(key), "%supstreams", store->prefix);
    argv[0] = "SADD";
    argv[1] = key;
    argv[2] = upstream;
    store_op_send(op, 3, argv);

    store_send_info(op, upstream, info);
    report->skip = 2;

    if (counts != NULL) {
        store_key(store, key, upstream, "ticks", NULL);
        argv[0] = "XADD";
        argv[1] = key;
        argv[2] = "MAXLEN";
        argv[3] = "~";
        argv[4] = STORE_TICKS_KEPT;
        argv[5] = "*";
        argv[6] = "node";
        argv[7] = store->node;
        argv[8] = "rollout";
        argv[9] = rollout;
        argv[10] = "counts";
        argv[11] = counts;
        store_op_send(op, 12, argv);
        report->skip++;
    }

    store_send_route(op, upstream);

    store_key(store, key, upstream, "leader", NULL);
    store_send2(op, "GET", key);

    store_op_seal(op);
}


void
store_confirm(store_t *store, const char *upstream, uint64_t revision,
    const char *info)
{
    char         text[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[3];

    op = store_op_new(store, 0);

    /* First the hash: who is woken by the message may read it. */
    store_send_info(op, upstream, info);

    snprintf(text, sizeof(text), "%s %llu %s", upstream,
             (unsigned long long) revision, store->node);
    argv[0] = "PUBLISH";
    argv[1] = store->channels[1];
    argv[2] = text;
    store_op_send(op, 3, argv);

    store_op_seal(op);
}


/* --- a rollout with all that belongs to it --- */

typedef struct {
    store_rollout_pt  done;
    void             *arg;
    bool              with_rollout;
    store_rollout_t   rollout;
} store_read_t;


static void
store_read_clean(void *data)
{
    size_t         i;
    store_read_t  *read = data;

    store_route_clean(&read->rollout.route);
    free((char *) read->rollout.doc);
    free((char *) read->rollout.evidence);
    free((char *) read->rollout.leader);

    for (i = 0; i < read->rollout.node_count; i++) {
        free((char *) read->rollout.nodes[i].node);
        free((char *) read->rollout.nodes[i].info);
    }

    for (i = 0; i < read->rollout.tick_count; i++) {
        free((char *) read->rollout.ticks[i].position);
        free((char *) read->rollout.ticks[i].node);
        free((char *) read->rollout.ticks[i].rollout);
        free((char *) read->rollout.ticks[i].counts);
    }

    free((store_node_t *) read->rollout.nodes);
    free((store_tick_t *) read->rollout.ticks);
}


static void
store_read_finish(store_op_t *op)
{
    store_read_t  *read = op->data;

    read->done(read->arg, op->status,
               op->status == STORE_OK ? &read->rollout : NULL);
}


static void
store_read_nodes(store_rollout_t *rollout, const redisReply *reply)
{
    size_t         i;
    const char    *node, *info;
    store_node_t  *nodes;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) {
        return;
    }

    nodes = store_alloc(reply->elements / 2 * sizeof(store_node_t));
    rollout->nodes = nodes;

    for (i = 0; i + 1 < reply->elements; i += 2) {
        node = store_text(reply->element[i]);
        info = store_text(reply->element[i + 1]);

        if (node != NULL && info != NULL && store_name_valid(node)
            && rollout->node_count < STORE_MAX_NODES)
        {
            nodes[rollout->node_count].node = store_copy(node);
            nodes[rollout->node_count++].info = store_copy(info);
        }
    }
}


/* [[key, [[position, [field, value, ...]], ...]]], or nil */
static void
store_read_ticks(store_rollout_t *rollout, const redisReply *reply)
{
    size_t             i, k;
    const char        *name, *value, *position;
    store_tick_t      *ticks, *tick;
    const redisReply  *entries, *entry, *fields;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1
        || reply->element[0]->type != REDIS_REPLY_ARRAY
        || reply->element[0]->elements != 2)
    {
        return;
    }

    entries = reply->element[0]->element[1];

    if (entries->type != REDIS_REPLY_ARRAY) {
        return;
    }

    ticks = store_alloc(entries->elements * sizeof(store_tick_t));
    rollout->ticks = ticks;

    for (i = 0; i < entries->elements; i++) {
        entry = entries->element[i];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) {
            continue;
        }

        position = store_text(entry->element[0]);
        fields = entry->element[1];

        if (position == NULL || strlen(position) >= STORE_POSITION_LEN) {
            continue;
        }

        tick = &ticks[rollout->tick_count++];
        tick->position = store_copy(position);

        for (k = 0; fields->type == REDIS_REPLY_ARRAY
                    && k + 1 < fields->elements; k += 2)
        {
            name = store_text(fields->element[k]);
            value = store_text(fields->element[k + 1]);

            if (name == NULL || value == NULL) {
                continue;
            }

            if (strcmp(name, "rollout") == 0 && tick->rollout == NULL) {
                tick->rollout = store_copy(value);

            } else if (strcmp(name, "node") == 0 && tick->node == NULL) {
                tick->node = store_copy(value);

            } else if (strcmp(name, "counts") == 0 && tick->counts == NULL) {
                tick->counts = store_copy(value);
            }
        }
    }
}


static void
store_read_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    store_read_t     *read = op->data;
    store_rollout_t  *rollout = &read->rollout;

    if (index == 0) {
        store_route_copy(&rollout->route, reply);

    } else if (index == 1) {
        store_read_nodes(rollout, reply);

    } else if (index == 2) {
        rollout->leader = store_copy(store_text(reply));

    } else if (index == 3) {
        if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3) {
            rollout->seq = store_number(reply->element[0]);
            rollout->doc = store_copy(store_text(reply->element[1]));
            rollout->evidence = store_copy(store_text(reply->element[2]));
        }

    } else if (index == 4) {
        store_read_ticks(rollout, reply);
    }
}


void
store_rollout(store_t *store, const char *upstream, const char *rollout,
    const char *position, store_rollout_pt done, void *arg)
{
    char           key[STORE_KEY_LEN];
    store_op_t    *op;
    const char    *argv[6];
    store_read_t  *read;

    op = store_op_new(store, sizeof(store_read_t));
    op->reply = store_read_reply;
    op->finish = store_read_finish;
    op->clean = store_read_clean;

    read = op->data;
    read->done = done;
    read->arg = arg;
    read->rollout.route.upstream = store_copy(upstream);

    store_send_route(op, upstream);

    store_key(store, key, upstream, "nodes", NULL);
    store_send2(op, "HGETALL", key);

    store_key(store, key, upstream, "leader", NULL);
    store_send2(op, "GET", key);

    if (rollout != NULL) {
        store_key(store, key, upstream, "rollout:", rollout);
        argv[0] = "HMGET";
        argv[1] = key;
        argv[2] = "seq";
        argv[3] = "doc";
        argv[4] = "evidence";
        store_op_send(op, 5, argv);
    }

    if (rollout != NULL && position != NULL) {
        store_key(store, key, upstream, "ticks", NULL);
        argv[0] = "XREAD";
        argv[1] = "COUNT";
        argv[2] = STORE_TICKS_READ;
        argv[3] = "STREAMS";
        argv[4] = key;
        argv[5] = position;
        store_op_send(op, 6, argv);
    }

    store_op_seal(op);
}


/* --- ids --- */

typedef struct {
    store_ids_pt   done;
    void          *arg;
    size_t         count;
    char         **ids;
    int64_t       *created_ms;
} store_ids_t;


static void
store_ids_clean(void *data)
{
    size_t        i;
    store_ids_t  *list = data;

    for (i = 0; i < list->count; i++) {
        free(list->ids[i]);
    }

    free(list->ids);
    free(list->created_ms);
}


static void
store_ids_finish(store_op_t *op)
{
    store_ids_t  *list = op->data;

    list->done(list->arg, op->status, list->count,
               (const char *const *) list->ids, list->created_ms);
}


static void
store_ids_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    size_t        i;
    const char   *id;
    store_ids_t  *list = op->data;

    if (reply->type != REDIS_REPLY_ARRAY) {
        op->status = STORE_ERROR;
        return;
    }

    list->ids = store_alloc(reply->elements * sizeof(char *));
    list->created_ms = store_alloc(reply->elements * sizeof(int64_t));

    for (i = 0; i + 1 < reply->elements; i += 2) {
        id = store_text(reply->element[i]);

        if (id != NULL) {
            list->created_ms[list->count] = (int64_t)
                                          store_number(reply->element[i + 1]);
            list->ids[list->count++] = store_copy(id);
        }
    }
}


void
store_ids(store_t *store, const char *upstream, unsigned limit,
    store_ids_pt done, void *arg)
{
    char          key[STORE_KEY_LEN], last[16];
    store_op_t   *op;
    const char   *argv[5];
    store_ids_t  *list;

    op = store_op_new(store, sizeof(store_ids_t));
    op->reply = store_ids_reply;
    op->finish = store_ids_finish;
    op->clean = store_ids_clean;

    list = op->data;
    list->done = done;
    list->arg = arg;

    store_key(store, key, upstream, "rollouts", NULL);
    snprintf(last, sizeof(last), "%u", limit > 0 ? limit - 1 : 0);

    argv[0] = "ZREVRANGE";
    argv[1] = key;
    argv[2] = "0";
    argv[3] = last;
    argv[4] = "WITHSCORES";
    store_op_send(op, 5, argv);

    store_op_seal(op);
}
