/* Streams as they are read: events, and ticks that were judged. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define STORE_MAX_FIELDS  8


bool
store_position_valid(const char *position)
{
    unsigned  i, digits;

    for (i = 0; i < 2; i++) {
        for (digits = 0; isdigit((unsigned char) *position); digits++) {
            position++;
        }

        if (digits == 0 || digits > 15
            || *position != (i == 0 ? '-' : '\0'))
        {
            return false;
        }

        position++;
    }

    return true;
}


/* --- what both kinds of stream have in common --- */

typedef struct {
    store_entries_pt    entries_done;      /* one of the two */
    store_recorded_pt   recorded_done;
    void               *arg;
    size_t              count;
    store_entry_t      *entries;
    store_recorded_t   *recorded;
    char               *text;              /* all strings of the list */
} store_list_t;

typedef struct {
    const char  *name;
    const char  *value;
} store_field_t;


static const char *
store_field(const store_field_t *fields, size_t count, const char *name)
{
    size_t  i;

    for (i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return fields[i].value;
        }
    }

    return "";
}


static uint64_t
store_field_number(const store_field_t *fields, size_t count,
    const char *name)
{
    redisReply  reply;

    memset(&reply, 0, sizeof(redisReply));
    reply.type = REDIS_REPLY_STRING;
    reply.str = (char *) store_field(fields, count, name);

    return store_number(&reply);
}


static char *
store_keep(char **text, const redisReply *reply)
{
    char  *copy = *text;

    memcpy(copy, reply->str, (size_t) reply->len + 1);
    *text += reply->len + 1;

    return copy;
}


/* The room that the strings of [[position, [field, value, ...]], ...] take,
 * of all entries that are well formed. */
static size_t
store_list_size(const redisReply *reply)
{
    size_t             i, k, size;
    const redisReply  *entry, *fields;

    size = 0;

    for (i = 0; i < reply->elements; i++) {
        entry = reply->element[i];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) {
            continue;
        }

        fields = entry->element[1];
        size += (size_t) entry->element[0]->len + 1;

        for (k = 0; fields->type == REDIS_REPLY_ARRAY && k < fields->elements;
             k++)
        {
            size += (size_t) fields->element[k]->len + 1;
        }
    }

    return size;
}


static void
store_list_add(store_list_t *list, char *position,
    const store_field_t *fields, size_t count)
{
    store_entry_t     *entry;
    store_recorded_t  *tick;

    if (list->recorded != NULL) {
        tick = &list->recorded[list->count++];
        tick->position = position;
        tick->judged.at_ms = (int64_t) store_field_number(fields, count,
                                                          "at");
        tick->judged.given = store_field(fields, count, "given");
        tick->judged.counts = store_field(fields, count, "counts");
        return;
    }

    entry = &list->entries[list->count++];
    entry->position = position;
    entry->at_ms = (int64_t) store_field_number(fields, count, "at");
    entry->type = store_field(fields, count, "type");
    entry->rollout = store_field(fields, count, "rollout");
    entry->revision = store_field_number(fields, count, "revision");
    entry->actor = store_field(fields, count, "actor");
    entry->detail = store_field(fields, count, "detail");
    entry->data = store_field(fields, count, "data");
}


static void
store_list_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    char              *text, *position;
    size_t             i, k, n;
    store_list_t      *list = op->data;
    store_field_t      fields[STORE_MAX_FIELDS];
    const redisReply  *entry, *all;

    if (reply->type != REDIS_REPLY_ARRAY) {
        op->status = STORE_ERROR;
        return;
    }

    list->text = store_alloc(store_list_size(reply));
    text = list->text;

    if (list->recorded_done != NULL) {
        list->recorded = store_alloc(reply->elements
                                     * sizeof(store_recorded_t));
    } else {
        list->entries = store_alloc(reply->elements * sizeof(store_entry_t));
    }

    for (i = 0; i < reply->elements; i++) {
        entry = reply->element[i];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
            || store_text(entry->element[0]) == NULL
            || entry->element[0]->len >= STORE_POSITION_LEN)
        {
            continue;
        }

        position = store_keep(&text, entry->element[0]);
        all = entry->element[1];
        n = 0;

        for (k = 0; all->type == REDIS_REPLY_ARRAY && k + 1 < all->elements
                    && n < STORE_MAX_FIELDS; k += 2)
        {
            if (store_text(all->element[k]) != NULL
                && store_text(all->element[k + 1]) != NULL)
            {
                fields[n].name = store_keep(&text, all->element[k]);
                fields[n++].value = store_keep(&text, all->element[k + 1]);
            }
        }

        store_list_add(list, position, fields, n);
    }
}


static void
store_list_finish(store_op_t *op)
{
    size_t         count;
    store_list_t  *list = op->data;

    count = op->status == STORE_OK ? list->count : 0;

    if (list->recorded_done != NULL) {
        list->recorded_done(list->arg, op->status, count, list->recorded);

    } else {
        list->entries_done(list->arg, op->status, count, list->entries);
    }
}


static void
store_list_clean(void *data)
{
    store_list_t  *list = data;

    free(list->entries);
    free(list->recorded);
    free(list->text);
}


static store_op_t *
store_list_new(store_t *store, void *arg)
{
    store_op_t    *op;
    store_list_t  *list;

    op = store_op_new(store, sizeof(store_list_t));
    op->reply = store_list_reply;
    op->finish = store_list_finish;
    op->clean = store_list_clean;

    list = op->data;
    list->arg = arg;

    return op;
}


static void
store_list_send(store_op_t *op, const char *key, const char *after,
    unsigned limit)
{
    char         from[STORE_POSITION_LEN + 1], count[16];
    const char  *argv[6];

    snprintf(from, sizeof(from), "%s%s", after[0] != '\0' ? "(" : "-", after);
    snprintf(count, sizeof(count), "%u", limit);

    argv[0] = "XRANGE";
    argv[1] = key;
    argv[2] = from;
    argv[3] = "+";
    argv[4] = "COUNT";
    argv[5] = count;

    store_op_send(op, 6, argv);
    store_op_seal(op);
}


void
store_events(store_t *store, const char *upstream, const char *after,
    unsigned limit, store_entries_pt done, void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;

    op = store_list_new(store, arg);
    ((store_list_t *) op->data)->entries_done = done;

    store_key(store, key, upstream, "events", NULL);
    store_list_send(op, key, after, limit);
}


void
store_recorded(store_t *store, const char *upstream, const char *rollout,
    const char *after, unsigned limit, store_recorded_pt done, void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;

    op = store_list_new(store, arg);
    ((store_list_t *) op->data)->recorded_done = done;

    store_key(store, key, upstream, "recorded:", rollout);
    store_list_send(op, key, after, limit);
}


void
store_last_event(store_t *store, const char *upstream, store_entries_pt done,
    void *arg)
{
    char         key[STORE_KEY_LEN];
    store_op_t  *op;
    const char  *argv[6] = { "XREVRANGE", key, "+", "-", "COUNT", "1" };

    op = store_list_new(store, arg);
    ((store_list_t *) op->data)->entries_done = done;

    store_key(store, key, upstream, "events", NULL);
    store_op_send(op, 6, argv);
    store_op_seal(op);
}


/* --- is an event kept? --- */

typedef struct {
    store_kept_pt   done;
    void           *arg;
    bool            kept;
    char            oldest[STORE_POSITION_LEN];    /* "": no entry */
} store_kept_t;


/* First the entry that is asked for, then the oldest one. */
static void
store_kept_reply(store_op_t *op, unsigned index, const redisReply *reply)
{
    const char        *position;
    store_kept_t      *kept = op->data;
    const redisReply  *entry;

    if (reply->type != REDIS_REPLY_ARRAY) {
        op->status = STORE_ERROR;
        return;
    }

    if (index == 0) {
        kept->kept = reply->elements > 0;
        return;
    }

    entry = reply->elements > 0 ? reply->element[0] : NULL;
    position = entry != NULL && entry->type == REDIS_REPLY_ARRAY
               && entry->elements > 0 ? store_text(entry->element[0]) : NULL;

    if (position != NULL && strlen(position) < sizeof(kept->oldest)) {
        strcpy(kept->oldest, position);
    }
}


static void
store_kept_finish(store_op_t *op)
{
    store_kept_t  *kept = op->data;

    kept->done(kept->arg, op->status, kept->kept,
               kept->oldest[0] != '\0' ? kept->oldest : NULL);
}


void
store_event_kept(store_t *store, const char *upstream, const char *position,
    store_kept_pt done, void *arg)
{
    char           key[STORE_KEY_LEN];
    store_op_t    *op;
    store_kept_t  *kept;
    const char    *at[6] = { "XRANGE", key, position, position, "COUNT",
                             "1" };
    const char    *first[6] = { "XRANGE", key, "-", "+", "COUNT", "1" };

    op = store_op_new(store, sizeof(store_kept_t));
    op->reply = store_kept_reply;
    op->finish = store_kept_finish;

    kept = op->data;
    kept->done = done;
    kept->arg = arg;

    store_key(store, key, upstream, "events", NULL);
    store_op_send(op, 6, at);
    store_op_send(op, 6, first);
    store_op_seal(op);
}
