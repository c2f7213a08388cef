/* The store as a whole: setup of the connections, messages, the clock. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "store_internal.h"

#define STORE_BEAT_MS  1000


static void store_beat(evutil_socket_t fd, short what, void *arg);
static void store_message(redisAsyncContext *context, void *data, void *arg);


/* Nothing sensible is left to do without memory; the lease ends what is under
 * way, and whoever supervises canaryd starts it again. */
void *
store_alloc(size_t size)
{
    void  *p;

    p = calloc(1, size > 0 ? size : 1);
    if (p == NULL) {
        abort();
    }

    return p;
}


char *
store_copy(const char *text)
{
    size_t  len;
    char   *copy;

    if (text == NULL) {
        return NULL;
    }

    len = strlen(text) + 1;
    copy = store_alloc(len);
    memcpy(copy, text, len);

    return copy;
}


void
store_key(const store_t *store, char key[STORE_KEY_LEN],
    const char *upstream, const char *what, const char *id)
{
    snprintf(key, STORE_KEY_LEN, "%s{%s}:%s%s", store->prefix, upstream,
             what, id != NULL ? id : "");
}


const char *
store_text(const redisReply *reply)
{
    if (reply != NULL && (reply->type == REDIS_REPLY_STRING
                          || reply->type == REDIS_REPLY_STATUS))
    {
        return reply->str;
    }

    return NULL;
}


uint64_t
store_number(const redisReply *reply)
{
    char               *end;
    const char         *text;
    unsigned long long  value;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        return reply->integer > 0 ? (uint64_t) reply->integer : 0;
    }

    text = store_text(reply);
    if (text == NULL || !isdigit((unsigned char) text[0])) {
        return 0;
    }

    value = strtoull(text, &end, 10);

    /* What a double holds exactly: JSON and Lua must carry it. */
    return *end == '\0' && value <= (1ULL << 53) ? value : 0;
}


store_t *
store_new(struct event_base *base, log_t *log, const store_options_t *options)
{
    char            text[STORE_KEY_LEN];
    store_t        *store;
    unsigned        i;
    struct timeval  beat = { STORE_BEAT_MS / 1000,
                             STORE_BEAT_MS % 1000 * 1000 };

    static const char *const  channels[3] = { "changes", "confirms", "beat:" };

    store = calloc(1, sizeof(store_t));
    if (store == NULL) {
        return NULL;
    }

    store->base = base;
    store->log = log;
    store->socket = store_copy(options->socket);
    store->host = store_copy(options->host);
    store->port = options->port;
    store->user = store_copy(options->user);
    store->password = store_copy(options->password);
    store->tls = options->tls;
    store->master = store_copy(options->master);
    store->sentinel_count = options->sentinel_count;

    if (options->sentinel_count > 0) {
        memcpy(store->sentinels, options->sentinels,
               options->sentinel_count * sizeof(config_peer_t));
    }

    store->prefix = store_copy(options->prefix);
    store->node = store_copy(options->node);
    store->keep_count = options->keep_count;
    store->keep_ms = options->keep_ms;

    for (i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "%s%s%s", store->prefix, channels[i],
                 i == 2 ? store->node : "");
        store->channels[i] = store_copy(text);
    }

    store->commands.store = store;
    store->commands.name = "commands";
    store->messages.store = store;
    store->messages.name = "messages";
    store->messages.subscriber = true;

    store->beat = event_new(base, -1, EV_PERSIST, store_beat, store);
    store->ender = event_new(base, -1, 0, store_op_ender, store);

    if (store->beat == NULL || store->ender == NULL) {
        store_free(store);
        return NULL;
    }

    event_add(store->beat, &beat);
    store_link_start(&store->commands);
    store_link_start(&store->messages);

    return store;
}


void
store_free(store_t *store)
{
    unsigned     i;
    store_op_t  *op;

    if (store == NULL) {
        return;
    }

    /* Replies that come by the teardown find no one. */
    store->freeing = true;

    store_link_free(&store->commands);
    store_link_free(&store->messages);

    while (store->ops != NULL || store->ended != NULL) {
        op = store->ops != NULL ? store->ops : store->ended;
        store_op_end(op);
    }

    if (store->dns != NULL) {
        evdns_base_free(store->dns, 1);
        /* What is cancelled is called back by the loop. */
        event_base_loop(store->base, EVLOOP_NONBLOCK);
    }

    if (store->beat != NULL) {
        event_free(store->beat);
    }

    if (store->ender != NULL) {
        event_free(store->ender);
    }

    if (store->password != NULL) {
        explicit_bzero(store->password, strlen(store->password));
    }

    for (i = 0; i < 3; i++) {
        free(store->channels[i]);
    }

    free(store->socket);
    free(store->host);
    free(store->user);
    free(store->master);
    free(store->password);
    free(store->prefix);
    free(store->node);
    free(store);
}


int
store_listen(store_t *store, const store_listener_t *listener)
{
    if (store->listener_count == STORE_MAX_LISTENERS) {
        return -1;
    }

    store->listeners[store->listener_count++] = *listener;

    return 0;
}


bool
store_ready(const store_t *store)
{
    return store->commands.state == LINK_READY;
}


bool
store_hears(const store_t *store)
{
    return store->messages.state == LINK_READY;
}


uint64_t
store_errors(const store_t *store)
{
    return store->errors;
}


uint64_t
store_reconnects(const store_t *store)
{
    return store->reconnects;
}


int64_t
store_now(const store_t *store)
{
    return clock_wall_ms() + store->clock_offset_ms;
}


/* --- setup, beat, messages --- */

static void
store_setup_finish(store_op_t *op)
{
    unsigned       i;
    store_t       *store = op->store;
    store_link_t  *link = &store->commands;

    if (link->state != LINK_SETUP) {
        return;
    }

    if (op->status != STORE_OK) {
        store_link_close(link, op->status == STORE_ERROR
                               ? "refused the first commands, or is no "
                                 "master" : "lost");
        return;
    }

    store_link_ready(link);
    store_beat(-1, 0, store);

    for (i = 0; i < store->listener_count; i++) {
        if (store->listeners[i].ready != NULL) {
            store->listeners[i].ready(store->listeners[i].arg);
        }
    }
}


/* What is sent before the scripts. */
typedef struct {
    bool  auth;
    bool  role;
} store_setup_t;


/* By the answer to HELLO: names and values in turns. */
static bool
store_is_master(const redisReply *reply)
{
    size_t       i;
    const char  *name, *value;

    for (i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements;
         i += 2)
    {
        name = store_text(reply->element[i]);
        value = store_text(reply->element[i + 1]);

        if (name != NULL && value != NULL && strcmp(name, "role") == 0) {
            return strcmp(value, "master") == 0;
        }
    }

    return false;
}


static void
store_setup_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    const char     *text = store_text(reply);
    store_setup_t  *setup = op->data;

    if (setup->auth) {
        if (index == 0) {
            return;
        }
        index--;
    }

    if (setup->role) {
        if (index == 0) {
            if (!store_is_master(reply)) {
                op->status = STORE_ERROR;
            }
            return;
        }
        index--;
    }

    if (index >= SCRIPT_COUNT || text == NULL
        || strlen(text) != STORE_SHA_LEN - 1)
    {
        op->status = STORE_ERROR;
        return;
    }

    memcpy(op->store->sha[index], text, STORE_SHA_LEN);
}


static void
store_subscribe_auth(redisAsyncContext *context, void *data, void *arg)
{
    store_t     *store = arg;
    redisReply  *reply = data;

    if (!store->freeing && reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        store_link_close(&store->messages, "the password was refused");
    }
}


void
store_link_setup(store_link_t *link)
{
    int             i, n, rc;
    store_t        *store = link->store;
    store_op_t     *op;
    const char     *argv[4];
    store_setup_t  *setup;

    /* "AUTH password", or "AUTH user password" */
    n = 0;
    argv[n++] = "AUTH";

    if (store->user[0] != '\0') {
        argv[n++] = store->user;
    }

    argv[n++] = store->password;

    if (link->subscriber) {
        store->subscribed = 0;
        rc = REDIS_OK;

        if (store->password[0] != '\0') {
            rc = redisAsyncCommandArgv(link->context, store_subscribe_auth,
                                       store, n, argv, NULL);
        }

        if (rc == REDIS_OK) {
            rc = redisAsyncCommand(link->context, store_message, store,
                                   "SUBSCRIBE %s %s %s", store->channels[0],
                                   store->channels[1], store->channels[2]);
        }

        if (rc != REDIS_OK) {
            store_link_close(link, "lost");
        }

        return;
    }

    op = store_op_new(store, sizeof(store_setup_t));
    op->reply = store_setup_reply;
    op->finish = store_setup_finish;
    setup = op->data;

    if (store->password[0] != '\0') {
        setup->auth = true;
        store_op_send(op, n, argv);
    }

    /* A sentinel may know less than the server itself.  ROLE and INFO say it
     * as well, but are not for every user. */
    if (store->sentinel_count > 0) {
        setup->role = true;
        argv[0] = "HELLO";
        store_op_send(op, 1, argv);
    }

    for (i = 0; i < SCRIPT_COUNT; i++) {
        argv[0] = "SCRIPT";
        argv[1] = "LOAD";
        argv[2] = script_text(i);
        store_op_send(op, 3, argv);
    }

    store_op_seal(op);
}


/* data: when TIME was sent. */
static void
store_beat_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    store_t  *store = op->store;
    int64_t   now, redis, offset, *sent = op->data;

    if (index != 0) {
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        op->status = STORE_ERROR;
        return;
    }

    now = clock_wall_ms();
    redis = (int64_t) (store_number(reply->element[0]) * 1000
                       + store_number(reply->element[1]) / 1000);
    offset = redis - (*sent + now) / 2;

    /* What the way there and back may explain is no difference: the clock
     * should not jitter. */
    if (redis > 0
        && (llabs(offset - store->clock_offset_ms) > now - *sent + 20))
    {
        store->clock_offset_ms = llabs(offset) <= now - *sent + 20 ? 0
                                                                   : offset;
        log_debug(store->log, "clock differs from the clock of redis",
                  LOG_I("milliseconds", store->clock_offset_ms));
    }
}


/* Two things in one: commands are answered, messages come through. */
static void
store_beat(evutil_socket_t fd, short what, void *arg)
{
    int64_t     *sent;
    store_t     *store = arg;
    store_op_t  *op;
    const char  *argv[3];

    if (!store_ready(store)) {
        return;
    }

    op = store_op_new(store, sizeof(int64_t));
    op->reply = store_beat_reply;
    sent = op->data;
    *sent = clock_wall_ms();

    argv[0] = "TIME";
    store_op_send(op, 1, argv);

    argv[0] = "PUBLISH";
    argv[1] = store->channels[2];
    argv[2] = "";
    store_op_send(op, 3, argv);

    store_op_seal(op);
}


/* "upstream revision" or "upstream revision node" */
static void
store_dispatch(store_t *store, bool confirm, const char *text)
{
    char                upstream[64], node[64], extra;
    unsigned            i;
    unsigned long long  revision;
    store_listener_t   *listener;

    node[0] = '\0';

    if (confirm) {
        if (sscanf(text, "%63s %16llu %63s%c", upstream, &revision, node,
                   &extra) != 3)
        {
            return;
        }

    } else if (sscanf(text, "%63s %16llu%c", upstream, &revision, &extra)
               != 2)
    {
        return;
    }

    if (!store_name_valid(upstream)) {
        return;
    }

    for (i = 0; i < store->listener_count; i++) {
        listener = &store->listeners[i];

        if (confirm && listener->confirm != NULL) {
            listener->confirm(listener->arg, upstream, revision, node);
        }

        if (!confirm && listener->change != NULL) {
            listener->change(listener->arg, upstream, revision);
        }
    }
}


static void
store_message(redisAsyncContext *context, void *data, void *arg)
{
    store_t       *store = arg;
    redisReply    *reply = data;
    const char    *kind, *channel, *text;
    store_link_t  *link;

    if (store->freeing || reply == NULL) {
        return;
    }

    link = &store->messages;

    if (reply->type == REDIS_REPLY_ERROR) {
        store_link_close(link, reply->str);
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return;
    }

    link->heard_ms = clock_mono_ms();
    kind = store_text(reply->element[0]);
    channel = store_text(reply->element[1]);
    text = store_text(reply->element[2]);

    if (kind == NULL || channel == NULL) {
        return;
    }

    if (strcmp(kind, "subscribe") == 0) {
        store->subscribed++;

        if (store->subscribed == 3 && link->state == LINK_SETUP) {
            store_link_ready(link);
        }
        return;
    }

    if (strcmp(kind, "message") != 0 || text == NULL) {
        return;
    }

    if (strcmp(channel, store->channels[0]) == 0) {
        store_dispatch(store, false, text);

    } else if (strcmp(channel, store->channels[1]) == 0) {
        store_dispatch(store, true, text);
    }
}
