/* Lists of rollouts and of upstreams. */

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "api_internal.h"
#include "core/text.h"
#include "fleet.h"
#include "lib/timefmt.h"

#define API_LIMIT      20
#define API_LIMIT_MAX  100

typedef struct list_job_s  list_job_t;

typedef struct {
    list_job_t  *list;
    char         upstream[SPEC_NAME_LEN];
    char         id[RELEASE_ID_LEN];
    int64_t      created_ms;
    cJSON       *json;             /* NULL: it is gone meanwhile */
} list_item_t;

struct list_job_s {
    api_job_t       job;
    bool            upstreams;     /* these are listed, not rollouts */
    bool            active;
    char            upstream[SPEC_NAME_LEN];     /* "": all */
    char            unknown[32];   /* parameter */
    unsigned        limit;
    unsigned        waiting;
    store_status_t  status;
    size_t          count;
    size_t          room;
    list_item_t    *items;
};


static void api_list_routes(void *arg, store_status_t status, size_t count,
    const store_route_t *routes);
static void api_list_ids(void *arg, store_status_t status, size_t count,
    const char *const *ids, const int64_t *created_ms);
static void api_list_read(list_job_t *list);
static void api_list_got(void *arg, store_status_t status,
    const store_rollout_t *all);


static void
api_list_clean(api_job_t *job)
{
    size_t       i;
    list_job_t  *list = (list_job_t *) job;

    for (i = 0; i < list->count; i++) {
        cJSON_Delete(list->items[i].json);
    }

    free(list->items);
}


static void
api_list_add(list_job_t *list, const char *upstream, const char *id,
    int64_t created_ms)
{
    list_item_t  *items;

    if (list->count == list->room) {
        list->room = list->room * 2 + 16;
        items = realloc(list->items, list->room * sizeof(list_item_t));
        if (items == NULL) {
            abort();
        }
        list->items = items;
    }

    items = &list->items[list->count++];
    memset(items, 0, sizeof(list_item_t));
    items->list = list;
    text_copy(items->upstream, sizeof(items->upstream), upstream);
    text_copy(items->id, sizeof(items->id), id);
    items->created_ms = created_ms;
}


/* NULL, or the name of the parameter that is wrong with *why. */
static const char *
api_list_query(list_job_t *list, struct evkeyvalq *query, const char **why)
{
    char             *end;
    unsigned long     limit;
    struct evkeyval  *item;

    for (item = query->tqh_first; item != NULL; item = item->next.tqe_next) {
        if (strcmp(item->key, "upstream") == 0) {
            if (!store_name_valid(item->value)) {
                *why = "is no name of an upstream";
                return "upstream";
            }
            text_copy(list->upstream, sizeof(list->upstream), item->value);

        } else if (strcmp(item->key, "state") == 0) {
            if (strcmp(item->value, "active") != 0) {
                *why = "must be \"active\"";
                return "state";
            }
            list->active = true;

        } else if (strcmp(item->key, "limit") == 0) {
            limit = strtoul(item->value, &end, 10);
            if (end == item->value || *end != '\0' || limit < 1
                || limit > API_LIMIT_MAX)
            {
                *why = "must be an integer from 1 to 100";
                return "limit";
            }
            list->limit = (unsigned) limit;

        } else {
            *why = "there is no such parameter; known are upstream, state "
                   "and limit";
            text_copy(list->unknown, sizeof(list->unknown), item->key);
            return list->unknown;
        }
    }

    return NULL;
}


void
api_list(void *arg, http_exchange_t *exchange)
{
    api_t            *api = arg;
    const char       *field, *why;
    list_job_t       *list;
    struct evkeyvalq  query;

    list = api_job_new(api, exchange, sizeof(list_job_t));
    if (list == NULL) {
        return;
    }

    list->job.clean = api_list_clean;
    list->limit = API_LIMIT;

    if (evhttp_parse_query_str(exchange->query, &query) != 0) {
        api_job_problem(&list->job, 422, "query", "is not understood", NULL);
        return;
    }

    field = api_list_query(list, &query, &why);
    evhttp_clear_headers(&query);

    if (field != NULL) {
        api_job_problem(&list->job, 422, field, why, NULL);
        return;
    }

    store_routes(api->store, api_list_routes, list);
}


void
api_upstreams(void *arg, http_exchange_t *exchange)
{
    api_t       *api = arg;
    list_job_t  *list;

    list = api_job_new(api, exchange, sizeof(list_job_t));
    if (list == NULL) {
        return;
    }

    list->job.clean = api_list_clean;
    list->upstreams = true;
    store_routes(api->store, api_list_routes, list);
}


static void
api_list_routes(void *arg, store_status_t status, size_t count,
    const store_route_t *routes)
{
    size_t       i;
    list_job_t  *list = arg;

    if (status != STORE_OK) {
        api_job_store(&list->job, status);
        return;
    }

    for (i = 0; i < count; i++) {
        if (!auth_may(&list->job.who, routes[i].upstream)) {
            continue;
        }

        if (list->upstreams) {
            api_list_add(list, routes[i].upstream,
                         routes[i].rollout != NULL ? routes[i].rollout : "",
                         0);
            continue;
        }

        if (list->upstream[0] != '\0'
            && strcmp(list->upstream, routes[i].upstream) != 0)
        {
            continue;
        }

        if (!list->active) {
            list->waiting++;
            store_ids(list->job.api->store, routes[i].upstream, list->limit,
                      api_list_ids, list);

        } else if (routes[i].active) {
            api_list_add(list, routes[i].upstream, routes[i].rollout, 0);
        }
    }

    if (list->waiting == 0) {
        api_list_read(list);
    }
}


static void
api_list_ids(void *arg, store_status_t status, size_t count,
    const char *const *ids, const int64_t *created_ms)
{
    char         upstream[SPEC_NAME_LEN];
    size_t       i;
    list_job_t  *list = arg;

    if (status != STORE_OK) {
        list->status = status;
        count = 0;
    }

    for (i = 0; i < count; i++) {
        if (release_upstream(ids[i], upstream) == 0) {
            api_list_add(list, upstream, ids[i], created_ms[i]);
        }
    }

    if (--list->waiting == 0) {
        api_list_read(list);
    }
}


static int
api_list_compare(const void *a, const void *b)
{
    const list_item_t  *x = a, *y = b;

    if (x->created_ms != y->created_ms) {
        return x->created_ms < y->created_ms ? 1 : -1;
    }

    return strcmp(x->id, y->id);
}


static void
api_list_answer(list_job_t *list)
{
    cJSON   *json, *array;
    size_t   i;

    if (list->status != STORE_OK) {
        api_job_store(&list->job, list->status);
        return;
    }

    if (list->active && list->count > 0) {
        /* Only now it is known when they were created. */
        qsort(list->items, list->count, sizeof(list_item_t),
              api_list_compare);
    }

    json = cJSON_CreateObject();
    array = cJSON_AddArrayToObject(json, list->upstreams ? "upstreams"
                                                         : "rollouts");

    for (i = 0; i < list->count; i++) {
        if (list->items[i].json != NULL
            && (list->upstreams || i < list->limit))
        {
            cJSON_AddItemToArray(array, list->items[i].json);
            list->items[i].json = NULL;
        }
    }

    api_job_json(&list->job, 200, json);
}


static void
api_list_read(list_job_t *list)
{
    size_t        i;
    list_item_t  *item;

    if (!list->upstreams && !list->active) {
        if (list->count > 0) {
            qsort(list->items, list->count, sizeof(list_item_t),
                  api_list_compare);
        }

        if (list->count > list->limit) {
            list->count = list->limit;
        }
    }

    if (list->status != STORE_OK || list->count == 0) {
        api_list_answer(list);
        return;
    }

    list->waiting = (unsigned) list->count;

    for (i = 0; i < list->count; i++) {
        item = &list->items[i];
        store_rollout(list->job.api->store, item->upstream,
                      list->upstreams ? NULL : item->id, NULL, api_list_got,
                      item);
    }
}


/* all are the groups of all nodes together. */
static cJSON *
api_node(const store_rollout_t *upstream, const record_t *all,
    const record_node_t *node, const char *name, bool live)
{
    char      seen[TIME_LEN];
    cJSON    *json, *groups, *missing;
    unsigned  i;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "node", name);
    cJSON_AddNumberToObject(json, "revision",
                            (double) node->record.revision);
    cJSON_AddStringToObject(json, "seen",
                            time_format(node->at_ms, seen, sizeof(seen)));
    cJSON_AddBoolToObject(json, "live", live);
    cJSON_AddBoolToObject(json, "lapsed", node->lapsed);
    cJSON_AddBoolToObject(json, "behind",
                          node->record.revision < upstream->route.revision);
    cJSON_AddStringToObject(json, "boot", node->boot);
    groups = cJSON_AddArrayToObject(json, "groups");

    for (i = 0; i < node->record.group_count; i++) {
        cJSON_AddItemToArray(groups, cJSON_CreateString(
                                         node->record.groups[i].name));
    }

    missing = cJSON_CreateArray();

    for (i = 0; i < all->group_count; i++) {
        if (record_group(&node->record, all->groups[i].name) == NULL) {
            cJSON_AddItemToArray(missing,
                                 cJSON_CreateString(all->groups[i].name));
        }
    }

    if (cJSON_GetArraySize(missing) > 0) {
        cJSON_AddItemToObject(json, "missing", missing);

    } else {
        cJSON_Delete(missing);
    }

    if (node->error[0] != '\0') {
        cJSON_AddStringToObject(json, "error", node->error);
    }

    return json;
}


static cJSON *
api_upstream(const api_t *api, const store_rollout_t *all)
{
    bool           live;
    cJSON         *json, *groups, *nodes;
    size_t         i;
    int64_t        now;
    record_t       record;
    record_node_t  node;

    now = store_now(api->store);

    if (!fleet_record(all, now, api_live_ms(api), &record)) {
        memset(&record, 0, sizeof(record_t));
        record.revision = all->route.revision;
    }

    api_complete(api, all, &record);

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "upstream", all->route.upstream);
    groups = cJSON_AddObjectToObject(json, "groups");

    for (i = 0; i < record.group_count; i++) {
        cJSON_AddNumberToObject(groups, record.groups[i].name,
                                record.groups[i].weight / 100.0);
    }

    if (record.stable[0] != '\0') {
        cJSON_AddStringToObject(json, "stable", record.stable);

    } else {
        cJSON_AddNullToObject(json, "stable");
    }

    cJSON_AddNumberToObject(json, "revision", (double) all->route.revision);

    if (all->route.rollout != NULL) {
        cJSON_AddStringToObject(json, "rollout", all->route.rollout);

    } else {
        cJSON_AddNullToObject(json, "rollout");
    }

    cJSON_AddBoolToObject(json, "active", all->route.active);
    nodes = cJSON_AddArrayToObject(json, "nodes");

    for (i = 0; i < all->node_count; i++) {
        if (fleet_node(&all->nodes[i], now, api_live_ms(api), &node, &live))
        {
            cJSON_AddItemToArray(nodes, api_node(all, &record, &node,
                                                 all->nodes[i].node, live));
        }
    }

    return json;
}


static void
api_list_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    cJSON        *created;
    release_t     release;
    list_item_t  *item = arg;
    list_job_t   *list = item->list;

    if (status != STORE_OK) {
        list->status = status;

    } else if (list->upstreams) {
        item->json = api_upstream(list->job.api, all);

    } else if (all->doc != NULL) {
        item->json = api_rollout(list->job.api, all);
        created = cJSON_GetObjectItemCaseSensitive(item->json, "created");

        if (created != NULL && release_parse(all->doc, &release) == 0) {
            item->created_ms = release.created_ms;
            release_free(&release);
        }
    }

    if (--list->waiting == 0) {
        api_list_answer(list);
    }
}
