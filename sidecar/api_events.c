/* What happened and why: events, explanations, recorded ticks. */

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "api_internal.h"
#include "core/text.h"
#include "event.h"
#include "explain.h"
#include "feed.h"
#include "fleet.h"
#include "tally.h"

#define API_EVENTS_LIMIT    100    /* if no other is asked for */
#define API_EVENTS_MAX      1000
#define API_TICKS_MAX       2000
#define API_PAGE            500    /* entries that are read at once */
#define API_PAGES           100
#define API_CLOCKS_MS       5000   /* by which clocks may have differed */

typedef enum {
    API_EVENTS,
    API_EXPLAIN,
    API_TICKS
} api_what_t;

typedef struct {
    api_job_t    job;
    api_what_t   what;
    char         upstream[SPEC_NAME_LEN];
    char         id[RELEASE_ID_LEN];
    char         after[STORE_POSITION_LEN];
    unsigned     limit;
    unsigned     pages;
    unsigned     count;
    cJSON       *list;             /* owned */

    release_t    release;
    evidence_t   evidence;
    bool         evident;
    bool         known;            /* present is */
    record_t     present;
    fleet_t      fleet;
    char         leader[STORE_LEADER_LEN];
} events_job_t;

/* Parameters of a query; NULL where they are not taken. */
typedef struct {
    char      *upstream;
    char      *after;              /* an event's id, or a position */
    size_t     after_size;
    unsigned  *limit;
    unsigned   limit_max;
} api_query_t;


static void api_events_got(void *arg, store_status_t status,
    const store_rollout_t *all);
static void api_events_read(events_job_t *events);
static void api_events_page(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries);
static void api_ticks_page(void *arg, store_status_t status, size_t count,
    const store_recorded_t *ticks);


/* --- queries --- */

/* NULL, or what is wrong with it. */
static const char *
api_query_item(const api_query_t *query, const struct evkeyval *item,
    char *detail, size_t size)
{
    char           *end;
    unsigned long   number;

    if (query->upstream != NULL && strcmp(item->key, "upstream") == 0) {
        if (!store_name_valid(item->value)) {
            return "is no name of an upstream";
        }
        text_copy(query->upstream, SPEC_NAME_LEN, item->value);
        return NULL;
    }

    if (query->after != NULL && strcmp(item->key, "after") == 0) {
        if (strlen(item->value) >= query->after_size) {
            return "is too long";
        }
        text_copy(query->after, query->after_size, item->value);
        return NULL;
    }

    if (query->limit != NULL && strcmp(item->key, "limit") == 0) {
        number = strtoul(item->value, &end, 10);
        if (end == item->value || *end != '\0' || number < 1
            || number > query->limit_max)
        {
            text_format(detail, size, "must be an integer from 1 to %u",
                        query->limit_max);
            return detail;
        }
        *query->limit = (unsigned) number;
        return NULL;
    }

    return "there is no such parameter";
}


/* False: it is answered. */
static bool
api_query(http_exchange_t *exchange, const api_query_t *query)
{
    char              detail[64], name[32];
    const char       *why;
    struct evkeyval  *item;
    struct evkeyvalq  list;

    if (evhttp_parse_query_str(exchange->query, &list) != 0) {
        http_answer_problem(exchange->request, 422, "query",
                            "is not understood", NULL);
        return false;
    }

    why = NULL;
    name[0] = '\0';

    for (item = list.tqh_first; item != NULL && why == NULL;
         item = item->next.tqe_next)
    {
        why = api_query_item(query, item, detail, sizeof(detail));
        text_copy(name, sizeof(name), item->key);
    }

    evhttp_clear_headers(&list);

    if (why != NULL) {
        http_answer_problem(exchange->request, 422, name, why, NULL);
        return false;
    }

    return true;
}


/* --- GET /v1/events --- */

/* False: it is answered.  field is where last came from. */
static bool
api_stream_last(http_exchange_t *exchange, const char *field,
    const char *last)
{
    char  name[SPEC_NAME_LEN], position[STORE_POSITION_LEN];

    if (last[0] == '\0' || event_id_parse(last, name, position) == 0) {
        return true;
    }

    http_answer_problem(exchange->request, 422, field, "must be the id of an "
                        "event, as app/1700000000000-0", NULL);

    return false;
}


void
api_stream(void *arg, http_exchange_t *exchange)
{
    char         upstream[SPEC_NAME_LEN], after[EVENT_ID_LEN];
    api_t       *api = arg;
    const char  *last;
    api_query_t  query = { .upstream = upstream, .after = after,
                           .after_size = sizeof(after) };

    upstream[0] = '\0';
    after[0] = '\0';

    if (!api_query(exchange, &query)
        || !api_stream_last(exchange, "after", after))
    {
        return;
    }

    /* What a browser sends when it comes again is newer than what it asked
     * for at first. */
    last = evhttp_find_header(
               evhttp_request_get_input_headers(exchange->request),
               "Last-Event-ID");

    if (last == NULL || last[0] == '\0') {
        last = after;

    } else if (!api_stream_last(exchange, "Last-Event-ID", last)) {
        return;
    }

    if (evhttp_request_get_command(exchange->request) == EVHTTP_REQ_HEAD) {
        http_answer_text(exchange->request, 200, "text/event-stream", "", 0);
        return;
    }

    feed_open(api->feed, exchange, exchange->who, upstream, last);
}


/* --- of one rollout --- */

static void
api_events_clean(api_job_t *job)
{
    events_job_t  *events = (events_job_t *) job;

    cJSON_Delete(events->list);
    release_free(&events->release);
}


static void
api_events_begin(api_t *api, http_exchange_t *exchange, api_what_t what)
{
    unsigned       limit;
    char           upstream[SPEC_NAME_LEN], after[STORE_POSITION_LEN];
    events_job_t  *events;
    api_query_t    query = { .after = after, .after_size = sizeof(after),
                             .limit = &limit };

    after[0] = '\0';
    limit = what == API_EVENTS ? API_EVENTS_LIMIT
            : what == API_TICKS ? API_TICKS_MAX : API_EVENTS_MAX;
    query.limit_max = what == API_TICKS ? API_TICKS_MAX : API_EVENTS_MAX;

    if (what == API_EXPLAIN) {
        query.after = NULL;
        query.limit = NULL;
    }

    if (!api_id(exchange, upstream) || !api_query(exchange, &query)) {
        return;
    }

    if (after[0] != '\0' && !store_position_valid(after)) {
        http_answer_problem(exchange->request, 422, "after", "must be what "
                            "an earlier answer had as next", NULL);
        return;
    }

    events = api_job_new(api, exchange, sizeof(events_job_t));
    if (events == NULL) {
        return;
    }

    events->job.clean = api_events_clean;
    events->what = what;
    events->limit = limit;
    events->list = cJSON_CreateArray();
    strcpy(events->upstream, upstream);
    strcpy(events->after, after);
    text_copy(events->id, sizeof(events->id), exchange->params[0]);

    store_rollout(api->store, upstream, events->id, NULL, api_events_got,
                  events);
}


void
api_events(void *arg, http_exchange_t *exchange)
{
    api_events_begin(arg, exchange, API_EVENTS);
}


void
api_explain(void *arg, http_exchange_t *exchange)
{
    api_events_begin(arg, exchange, API_EXPLAIN);
}


void
api_ticks(void *arg, http_exchange_t *exchange)
{
    api_events_begin(arg, exchange, API_TICKS);
}


static void
api_events_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    api_t         *api;
    int64_t        now;
    events_job_t  *events = arg;

    api = events->job.api;

    if (status != STORE_OK) {
        api_job_store(&events->job, status);
        return;
    }

    if (all->doc == NULL) {
        api_job_problem(&events->job, 404, NULL, "no such rollout", NULL);
        return;
    }

    if (release_parse(all->doc, &events->release) != 0) {
        api_job_problem(&events->job, 500, NULL,
                        "the rollout's document is damaged", NULL);
        return;
    }

    now = store_now(api->store);
    events->evident = evidence_parse(all->evidence, &events->release,
                                     &events->evidence) == 0;
    events->known = fleet_record(all, now, api_live_ms(api),
                                 &events->present);
    fleet_count(all, now, api_live_ms(api), all->route.revision,
                &events->fleet);
    text_copy(events->leader, sizeof(events->leader), all->leader);

    if (events->what == API_TICKS) {
        store_recorded(api->store, events->upstream, events->id,
                       events->after, events->limit, api_ticks_page, events);
        return;
    }

    if (events->after[0] == '\0'
        && events->release.created_ms > API_CLOCKS_MS)
    {
        text_format(events->after, sizeof(events->after), "%lld-0",
                    (long long) (events->release.created_ms
                                 - API_CLOCKS_MS));
    }

    api_events_read(events);
}


static void
api_events_read(events_job_t *events)
{
    events->pages++;
    store_events(events->job.api->store, events->upstream, events->after,
                 API_PAGE, api_events_page, events);
}


/* next: NULL if there is no more. */
static void
api_events_answer(events_job_t *events, const char *next)
{
    cJSON       *json;
    decision_t   now;

    if (events->what == API_EXPLAIN) {
        memset(&now, 0, sizeof(decision_t));
        now.release = &events->release;
        now.evidence = events->evident ? &events->evidence : NULL;
        now.present = events->known ? &events->present : NULL;
        now.fleet = &events->fleet;
        now.leader = events->leader[0] != '\0' ? events->leader : NULL;

        json = explain_json(&now, events->list);

    } else {
        json = cJSON_CreateObject();
        cJSON_AddItemToObject(json, "events", events->list);

        if (next != NULL) {
            cJSON_AddStringToObject(json, "next", next);

        } else {
            cJSON_AddNullToObject(json, "next");
        }
    }

    events->list = NULL;
    api_job_json(&events->job, 200, json);
}


static void
api_events_page(void *arg, store_status_t status, size_t count,
    const store_entry_t *entries)
{
    size_t         i;
    events_job_t  *events = arg;

    if (status != STORE_OK) {
        api_job_store(&events->job, status);
        return;
    }

    for (i = 0; i < count; i++) {
        if (events->count == events->limit) {
            api_events_answer(events, events->after);
            return;
        }

        text_copy(events->after, sizeof(events->after), entries[i].position);

        if (strcmp(entries[i].rollout, events->id) == 0) {
            cJSON_AddItemToArray(events->list, event_json(events->upstream,
                                                          &entries[i]));
            events->count++;
        }
    }

    if (count == API_PAGE && events->pages < API_PAGES) {
        api_events_read(events);
        return;
    }

    api_events_answer(events, count == API_PAGE ? events->after : NULL);
}


/* --- recorded ticks --- */

/* {"163": 4, ...} */
static cJSON *
api_histogram(const tally_cell_t *cell)
{
    char      name[8];
    cJSON    *json;
    unsigned  i;

    json = cJSON_CreateObject();

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (cell->latency[i] > 0) {
            text_format(name, sizeof(name), "%u", i);
            cJSON_AddNumberToObject(json, name, (double) cell->latency[i]);
        }
    }

    return json;
}


/* {"green": {"strata": [{"requests", "errors", "latency_us"}, ...]}}: as in
 * nginx's API. */
static cJSON *
api_tally(const tally_t *tally)
{
    cJSON               *json, *group, *strata, *item;
    unsigned             g, s;
    const tally_cell_t  *cell;

    json = cJSON_CreateObject();

    for (g = 0; g < tally->count; g++) {
        group = cJSON_AddObjectToObject(json, tally->groups[g].name);
        strata = cJSON_AddArrayToObject(group, "strata");

        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            cell = tally->groups[g].strata[s];

            if (cell == NULL) {
                cJSON_AddItemToArray(strata, cJSON_CreateNull());
                continue;
            }

            item = cJSON_CreateObject();
            cJSON_AddNumberToObject(item, "requests",
                                    (double) cell->requests);
            cJSON_AddNumberToObject(item, "errors", (double) cell->errors);
            cJSON_AddItemToObject(item, "latency_us", api_histogram(cell));
            cJSON_AddItemToArray(strata, item);
        }
    }

    return json;
}


static void
api_ticks_page(void *arg, store_status_t status, size_t count,
    const store_recorded_t *ticks)
{
    cJSON         *json, *tick;
    size_t         i;
    tally_t        tally;
    events_job_t  *events = arg;

    if (status != STORE_OK) {
        api_job_store(&events->job, status);
        return;
    }

    for (i = 0; i < count; i++) {
        memset(&tally, 0, sizeof(tally_t));

        if (tally_parse(&tally, ticks[i].judged.counts) != 0) {
            continue;
        }

        tick = cJSON_Parse(ticks[i].judged.given);

        if (!cJSON_IsObject(tick)) {
            cJSON_Delete(tick);
            tally_clear(&tally);
            continue;
        }

        cJSON_AddNumberToObject(tick, "at", (double) ticks[i].judged.at_ms);
        cJSON_AddItemToObject(tick, "groups", api_tally(&tally));
        cJSON_AddItemToArray(events->list, tick);
        tally_clear(&tally);
    }

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", events->id);
    cJSON_AddStringToObject(json, "stable", events->release.stable);
    cJSON_AddItemToObject(json, "spec", spec_print(&events->release.spec));
    cJSON_AddNumberToObject(json, "judged", events->evident
                            ? (double) events->evidence.arms[0].judge.ticks
                            : 0);
    cJSON_AddItemToObject(json, "ticks", events->list);
    events->list = NULL;

    if (count == events->limit) {
        cJSON_AddStringToObject(json, "next", ticks[count - 1].position);

    } else {
        cJSON_AddNullToObject(json, "next");
    }

    api_job_json(&events->job, 200, json);
}
