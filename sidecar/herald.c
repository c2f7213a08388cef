#include "herald.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "incident.h"
#include "store_around.h"

#define HERALD_MS            1000
#define HERALD_MAX_ENTRIES   256
#define HERALD_MAX_LOOKS     1024

typedef struct entry_s  entry_t;
typedef struct look_s   look_t;

/* An event in work. */
struct entry_s {
    herald_t  *herald;
    entry_t   *next;
    char       upstream[SPEC_NAME_LEN];
    char       position[STORE_POSITION_LEN];
    char       type[32];
    char       rollout[RELEASE_ID_LEN];
    char       detail[ROLLOUT_REASON_LEN];
    unsigned   pending;
};

/* An upstream that is being read. */
struct look_s {
    herald_t  *herald;
    look_t    *next;
    char       upstream[SPEC_NAME_LEN];
};

struct herald_s {
    log_t             *log;
    store_t           *store;
    const settings_t  *settings;
    notify_t          *notify;
    runner_t          *runner;
    const char        *node;
    struct event      *timer;
    bool               listing;
    look_t            *looks;      /* answers awaited */
    entry_t           *entries;
    unsigned           count;
};


static void herald_tick(evutil_socket_t fd, short what, void *arg);


herald_t *
herald_new(struct event_base *base, log_t *log, store_t *store,
    const settings_t *settings, notify_t *notify, runner_t *runner,
    const char *node)
{
    herald_t        *herald;
    struct timeval   tv = { HERALD_MS / 1000, HERALD_MS % 1000 * 1000 };

    herald = calloc(1, sizeof(herald_t));
    if (herald == NULL) {
        return NULL;
    }

    herald->log = log;
    herald->store = store;
    herald->settings = settings;
    herald->notify = notify;
    herald->runner = runner;
    herald->node = node;
    herald->timer = event_new(base, -1, EV_PERSIST, herald_tick, herald);

    if (herald->timer == NULL) {
        free(herald);
        return NULL;
    }

    event_add(herald->timer, &tv);

    return herald;
}


static void
look_done(look_t *look)
{
    look_t  **link;

    for (link = &look->herald->looks; *link != look; link = &(*link)->next) {
        /* to it */
    }

    *link = look->next;
    free(look);
}


/* store_free() follows, so that no answer comes any more. */
void
herald_free(herald_t *herald)
{
    entry_t  *entry;

    if (herald == NULL) {
        return;
    }

    while ((entry = herald->entries) != NULL) {
        herald->entries = entry->next;
        free(entry);
    }

    while (herald->looks != NULL) {
        look_done(herald->looks);
    }

    event_free(herald->timer);
    free(herald);
}


/* --- what follows from an event --- */

static void
entry_done(void *arg)
{
    entry_t    *entry = arg, **link;
    herald_t   *herald = entry->herald;

    if (--entry->pending > 0) {
        return;
    }

    store_heralded(herald->store, entry->upstream, entry->position);

    for (link = &herald->entries; *link != entry; link = &(*link)->next) {
        /* to it */
    }

    *link = entry->next;
    herald->count--;
    free(entry);
}


static void
entry_opened(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    entry_done(arg);
}


/* Its rollout, for the hooks of its spec. */
static void
entry_rollout(void *arg, store_status_t status, const store_rollout_t *all)
{
    char        key[RELEASE_ID_LEN + STORE_POSITION_LEN];
    entry_t    *entry = arg;
    release_t   release;

    if (status == STORE_OK && all->doc != NULL
        && release_parse(all->doc, &release) == 0)
    {
        text_format(key, sizeof(key), "%s-%s", entry->rollout,
                    entry->position);
        runner_event(entry->herald->runner, &release, entry->type,
                     entry->detail, key);
        release_free(&release);
    }

    entry_done(entry);
}


static void
herald_incident(entry_t *entry, const char *actor)
{
    char            key[INCIDENT_KEY_LEN];
    herald_t       *herald = entry->herald;
    incident_new_t  incident;

    memset(&incident, 0, sizeof(incident_new_t));
    incident.kind = strstr(entry->detail, "guard") != NULL
                    ? INCIDENT_GUARD : INCIDENT_REVERT;
    text_format(key, sizeof(key), "revert:%s", entry->rollout);
    incident.upstream = entry->upstream;
    incident.key = key;
    incident.severity = SEVERITY_ERROR;
    incident.rollout = entry->rollout;
    incident.actor = actor;
    incident.title = entry->detail;

    entry->pending++;
    incident_open(herald->store, herald->settings, &incident, entry_opened,
                  entry);
}


static bool
herald_routes(const settings_route_t *route, const message_t *message)
{
    unsigned  i;

    if (message->severity < route->severity
        || !settings_matches(route->upstreams, message->upstream))
    {
        return false;
    }

    for (i = 0; i < route->event_count; i++) {
        if (settings_matches(route->events[i], message->event)) {
            return true;
        }
    }

    return route->event_count == 0;
}


static void
herald_tell(entry_t *entry, const message_t *message, unsigned channel)
{
    /* It counts before, since it may be done at any time after. */
    entry->pending++;

    if (!notify_send(entry->herald->notify, channel, message, entry_done,
                     entry))
    {
        entry->pending--;
    }
}


static void
herald_notify(entry_t *entry, message_t *message, const char *data)
{
    cJSON                   *doc;
    unsigned                 i, k, s;
    const cJSON             *item;
    const settings_t        *settings = entry->herald->settings;
    const settings_level_t  *level;

    doc = strncmp(message->event, "incident-", 9) == 0 ? cJSON_Parse(data)
                                                       : NULL;
    level = NULL;

    if (doc != NULL) {
        item = cJSON_GetObjectItemCaseSensitive(doc, "id");
        message->incident = cJSON_IsString(item) ? item->valuestring : "";
        item = cJSON_GetObjectItemCaseSensitive(doc, "runbook");
        message->runbook = cJSON_IsString(item) ? item->valuestring : "";
        item = cJSON_GetObjectItemCaseSensitive(doc, "severity");

        for (s = SEVERITY_INFO; s <= SEVERITY_CRITICAL; s++) {
            if (cJSON_IsString(item)
                && strcmp(item->valuestring, severity_name(s)) == 0)
            {
                message->severity = s;
            }
        }

        item = cJSON_GetObjectItemCaseSensitive(doc, "level");

        if (strcmp(message->event, "incident-escalated") == 0
            && cJSON_IsNumber(item) && item->valuedouble >= 1
            && item->valuedouble <= settings->level_count)
        {
            message->severity = SEVERITY_CRITICAL;
            level = &settings->levels[(unsigned) item->valuedouble - 1];
        }
    }

    for (i = 0; level != NULL && i < level->channel_count; i++) {
        herald_tell(entry, message, level->channels[i]);
    }

    /* Who was paged wants to hear that it is over. */
    if (strcmp(message->event, "incident-acknowledged") == 0
        || strcmp(message->event, "incident-resolved") == 0)
    {
        item = cJSON_GetObjectItemCaseSensitive(doc, "level");

        for (k = 0; cJSON_IsNumber(item) && k < settings->level_count
                    && k < item->valuedouble; k++)
        {
            for (i = 0; i < settings->levels[k].channel_count; i++) {
                herald_tell(entry, message, settings->levels[k].channels[i]);
            }
        }
    }

    for (i = 0; i < settings->route_count; i++) {
        if (!herald_routes(&settings->routes[i], message)) {
            continue;
        }

        for (k = 0; k < settings->routes[i].channel_count; k++) {
            herald_tell(entry, message, settings->routes[i].channels[k]);
        }
    }

    cJSON_Delete(doc);
}


static void
herald_entry(herald_t *herald, const char *upstream,
    const char *const fields[STORE_HERALD_FIELDS])
{
    entry_t    *entry;
    message_t   message;

    for (entry = herald->entries; entry != NULL; entry = entry->next) {
        if (strcmp(entry->upstream, upstream) == 0
            && strcmp(entry->position, fields[0]) == 0)
        {
            /* Still in work. */
            return;
        }
    }

    entry = calloc(1, sizeof(entry_t));
    if (entry == NULL) {
        abort();
    }

    entry->herald = herald;
    entry->pending = 1;
    text_copy(entry->upstream, sizeof(entry->upstream), upstream);
    text_copy(entry->position, sizeof(entry->position), fields[0]);
    text_copy(entry->type, sizeof(entry->type), fields[2]);
    text_copy(entry->rollout, sizeof(entry->rollout), fields[3]);
    text_copy(entry->detail, sizeof(entry->detail), fields[6]);
    entry->next = herald->entries;
    herald->entries = entry;
    herald->count++;

    memset(&message, 0, sizeof(message_t));
    message.position = entry->position;
    message.upstream = entry->upstream;
    message.event = entry->type;
    message.severity = message_severity(entry->type);
    message.rollout = entry->rollout;
    message.actor = fields[5];
    message.detail = entry->detail;
    message.incident = "";
    message.runbook = "";
    message.node = herald->node;
    message.at_ms = strtoll(fields[1], NULL, 10);

    if (strcmp(entry->type, "reverting") == 0 && entry->rollout[0] != '\0') {
        herald_incident(entry, message.actor);
    }

    herald_notify(entry, &message, fields[7]);

    if (entry->rollout[0] != '\0'
        && strncmp(entry->type, "incident-", 9) != 0)
    {
        entry->pending++;
        store_rollout(herald->store, entry->upstream, entry->rollout, NULL,
                      entry_rollout, entry);
    }

    entry_done(entry);
}


/* --- reading --- */

static void
herald_events(void *arg, store_status_t status, size_t count,
    const char *const *texts)
{
    size_t     i;
    look_t    *look = arg;
    herald_t  *herald = look->herald;

    for (i = 0; i + STORE_HERALD_FIELDS <= count; i += STORE_HERALD_FIELDS) {
        herald_entry(herald, look->upstream, texts + i);
    }

    look_done(look);
}


static look_t *
herald_look(herald_t *herald, const char *upstream)
{
    look_t  *look;

    look = calloc(1, sizeof(look_t));
    if (look == NULL) {
        abort();
    }

    look->herald = herald;
    text_copy(look->upstream, sizeof(look->upstream), upstream);
    look->next = herald->looks;
    herald->looks = look;

    return look;
}


static void
herald_routes_got(void *arg, store_status_t status, size_t count,
    const store_route_t *routes)
{
    size_t     i;
    herald_t  *herald = arg;

    herald->listing = false;

    for (i = 0; status == STORE_OK && i < count && i < HERALD_MAX_LOOKS; i++)
    {
        store_herald(herald->store, routes[i].upstream, herald_events,
                     herald_look(herald, routes[i].upstream));
    }
}


static void
herald_tick(evutil_socket_t fd, short what, void *arg)
{
    herald_t  *herald = arg;

    /* What cannot be sent yet stays in Redis. */
    if (herald->looks != NULL || herald->listing || !store_ready(herald->store)
        || !notify_ready(herald->notify)
        || herald->count >= HERALD_MAX_ENTRIES)
    {
        return;
    }

    herald->listing = true;
    store_routes(herald->store, herald_routes_got, herald);
}
