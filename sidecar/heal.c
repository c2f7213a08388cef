#include "heal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/text.h"
#include "incident.h"
#include "lib/sign.h"
#include "smoke.h"
#include "store_around.h"

#define HEAL_TICK_MS       100
#define HEAL_LOOK_MS       2000    /* at nginx's servers, and for the role */
#define HEAL_ROLE_MS       6000
#define HEAL_MAX_TARGETS   1024
#define HEAL_MAX_UPSTREAMS 256
#define HEAL_MAX_ANSWER    (4 * 1024 * 1024)

typedef enum {
    TARGET_HEALTHY = 0,
    TARGET_RUNBOOK,                /* a step of it is under way */
    TARGET_CHECKING,               /* it has run: does it help? */
    TARGET_BACKOFF,                /* before it runs again */
    TARGET_UNHEALED                /* a person has been asked */
} target_state_t;

typedef struct {
    heal_t                   *heal;
    const settings_health_t  *health;
    char                      upstream[SPEC_NAME_LEN];
    char                      group[SPEC_NAME_LEN];
    char                      server[SERVER_LEN];
    bool                      seen;      /* by the last look */
    target_state_t            state;
    unsigned                  failures;  /* in a row */
    unsigned                  successes;
    unsigned                  tries;     /* of the runbook */
    unsigned                  step;
    int64_t                   probe_ms;  /* the next one; monotonic */
    int64_t                   next_ms;   /* of a wait or backoff */
    int64_t                   fell_ms;   /* wall; names the keys of hooks */
    fetch_call_t             *probe;
    fetch_call_t             *hook;
    char                      detail[ROLLOUT_REASON_LEN];
} target_t;

typedef struct {
    heal_t        *heal;
    char           name[SPEC_NAME_LEN];
    char           leader[STORE_LEADER_LEN];
    bool           asking;
    int64_t        held_ms;        /* until then, monotonic; 0: not held */
    fetch_call_t  *look;
} watched_t;

struct heal_s {
    log_t             *log;
    store_t           *store;
    agent_t           *agent;
    fetch_t           *fetch;
    const config_t    *config;
    const settings_t  *settings;
    struct event      *timer;
    int64_t            look_ms;
    unsigned           target_count;
    target_t          *targets[HEAL_MAX_TARGETS];
    unsigned           count;
    watched_t         *watched[HEAL_MAX_UPSTREAMS];
};


static void heal_tick(evutil_socket_t fd, short what, void *arg);
static void target_step(target_t *target);


heal_t *
heal_new(struct event_base *base, log_t *log, store_t *store, agent_t *agent,
    fetch_t *fetch, const config_t *config)
{
    heal_t          *heal;
    struct timeval   tv = { 0, HEAL_TICK_MS * 1000 };

    heal = calloc(1, sizeof(heal_t));
    if (heal == NULL) {
        return NULL;
    }

    heal->log = log;
    heal->store = store;
    heal->agent = agent;
    heal->fetch = fetch;
    heal->config = config;
    heal->settings = config->settings;

    if (heal->settings->health_count == 0) {
        return heal;
    }

    heal->timer = event_new(base, -1, EV_PERSIST, heal_tick, heal);

    if (heal->timer == NULL) {
        free(heal);
        return NULL;
    }

    event_add(heal->timer, &tv);

    return heal;
}


static void
target_drop(heal_t *heal, unsigned number)
{
    target_t  *target = heal->targets[number];

    fetch_cancel(target->probe);
    fetch_cancel(target->hook);
    free(target);
    heal->targets[number] = heal->targets[--heal->target_count];
}


void
heal_free(heal_t *heal)
{
    unsigned  i;

    if (heal == NULL) {
        return;
    }

    while (heal->target_count > 0) {
        target_drop(heal, 0);
    }

    for (i = 0; i < heal->count; i++) {
        if (heal->watched[i]->leader[0] != '\0') {
            store_lead_role(heal->store, heal->watched[i]->name, "healer",
                            heal->watched[i]->leader, 0, NULL, NULL);
        }

        fetch_cancel(heal->watched[i]->look);
        free(heal->watched[i]);
    }

    if (heal->timer != NULL) {
        event_free(heal->timer);
    }

    free(heal);
}


unsigned
heal_watched(const heal_t *heal)
{
    return heal->target_count;
}


unsigned
heal_unhealthy(const heal_t *heal)
{
    unsigned  i, n;

    n = 0;

    for (i = 0; i < heal->target_count; i++) {
        n += heal->targets[i]->state != TARGET_HEALTHY;
    }

    return n;
}


/* --- a server --- */

static void
target_say(target_t *target, const char *type, const char *detail)
{
    char     text[ROLLOUT_REASON_LEN], *data;
    cJSON   *json;
    heal_t  *heal = target->heal;

    text_format(text, sizeof(text), "%s of %s: %s", target->server,
                target->group, detail);
    secrets_redact(heal->settings->secrets, text);
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "group", target->group);
    cJSON_AddStringToObject(json, "server", target->server);
    cJSON_AddNumberToObject(json, "tries", target->tries);
    data = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    store_say(heal->store, target->upstream, type, "", "canaryd", text, data);
    log_warn(heal->log, type, LOG_S("upstream", target->upstream),
             LOG_S("group", target->group), LOG_S("server", target->server),
             LOG_S("detail", text));
    free(data);
}


static void
target_escalate(target_t *target)
{
    char            key[INCIDENT_KEY_LEN], title[ROLLOUT_REASON_LEN];
    incident_new_t  incident;

    target->state = TARGET_UNHEALED;
    target_say(target, "unhealed", target->detail);

    text_format(key, sizeof(key), "server:%s:%s", target->group,
                target->server);
    text_format(title, sizeof(title), "%s of %s is not healed after %u tries:"
                " %s", target->server, target->group, target->tries,
                target->detail);

    memset(&incident, 0, sizeof(incident_new_t));
    incident.upstream = target->upstream;
    incident.kind = INCIDENT_SERVER;
    incident.key = key;
    incident.severity = SEVERITY_ERROR;
    incident.rollout = "";
    incident.actor = "canaryd";
    incident.title = title;
    incident_open(target->heal->store, target->heal->settings, &incident,
                  NULL, NULL);
}


static void
target_try(target_t *target)
{
    if (target->tries >= target->health->tries
        || target->health->step_count == 0)
    {
        target_escalate(target);
        return;
    }

    target->tries++;
    target->step = 0;
    target->state = TARGET_RUNBOOK;
    target_step(target);
}


static void
target_hooked(void *arg, const fetch_result_t *result)
{
    char       detail[ROLLOUT_REASON_LEN];
    target_t  *target = arg;

    target->hook = NULL;

    if (!fetch_ok(result)) {
        /* The check afterwards says whether that matters. */
        text_format(detail, sizeof(detail), "the runbook's hook failed: %s "
                    "(status %ld)", result->error, result->status);
        target_say(target, "runbook", detail);
    }

    target->step++;
    target_step(target);
}


static void
target_hook(target_t *target, const settings_step_t *step)
{
    char             key[320], headers[3][400], hex[SIGN_LEN], *body;
    cJSON           *json;
    int64_t          seconds;
    const char      *list[4] = { NULL }, *secret;
    fetch_request_t  request;

    text_format(key, sizeof(key), "heal-%s-%s-%lld-%u-%u", target->upstream,
                target->server, (long long) target->fell_ms, target->tries,
                target->step);
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "hook", "heal");
    cJSON_AddStringToObject(json, "key", key);
    cJSON_AddStringToObject(json, "upstream", target->upstream);
    cJSON_AddStringToObject(json, "group", target->group);
    cJSON_AddStringToObject(json, "server", target->server);
    cJSON_AddNumberToObject(json, "try", target->tries);
    cJSON_AddStringToObject(json, "detail", target->detail);
    body = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    seconds = clock_wall_ms() / 1000;
    text_format(headers[0], sizeof(headers[0]), "Idempotency-Key: %s", key);
    text_format(headers[1], sizeof(headers[1]), "X-Canary-Timestamp: %lld",
                (long long) seconds);
    list[0] = headers[0];
    list[1] = headers[1];
    secret = secrets_get(target->heal->settings->secrets, step->secret);

    if (secret != NULL) {
        sign_body(secret, seconds, body, hex);
        text_format(headers[2], sizeof(headers[2]),
                    "X-Canary-Signature: sha256=%s", hex);
        list[2] = headers[2];
    }

    memset(&request, 0, sizeof(fetch_request_t));
    request.url = step->url;
    request.body = body;
    request.headers = list;
    request.timeout_ms = step->ms;
    request.max_response = 65536;
    target->hook = fetch_start(target->heal->fetch, &request, target_hooked,
                               target);
    free(body);
}


/* The step at hand, or the check after the last one. */
static void
target_step(target_t *target)
{
    const settings_step_t  *step;

    if (target->step == target->health->step_count) {
        target->state = TARGET_CHECKING;
        target->failures = 0;
        target->successes = 0;
        target->probe_ms = 0;
        return;
    }

    step = &target->health->steps[target->step];

    if (step->kind == RUNBOOK_HOOK) {
        target_hook(target, step);

    } else {
        target->next_ms = clock_mono_ms() + step->ms;
    }
}


static void
target_failed(target_t *target)
{
    unsigned  i;
    int64_t   pause;

    target->successes = 0;
    target->failures++;

    if (target->failures < target->health->fall) {
        return;
    }

    if (target->state == TARGET_HEALTHY) {
        target->tries = 0;
        target->fell_ms = clock_wall_ms();
        target_say(target, "unhealthy", target->detail);
        target_try(target);

    } else if (target->state == TARGET_CHECKING) {
        if (target->tries >= target->health->tries) {
            target_escalate(target);
            return;
        }

        pause = target->health->backoff_ms;

        for (i = 1; i < target->tries && pause < 3600000; i++) {
            pause *= 2;
        }

        target->state = TARGET_BACKOFF;
        target->next_ms = clock_mono_ms() + pause;
    }
}


static void
target_probed(void *arg, const fetch_result_t *result)
{
    char       detail[ROLLOUT_REASON_LEN];
    target_t  *target = arg;

    target->probe = NULL;

    if (!smoke_passes(&target->health->probe, target->server, result, detail))
    {
        text_copy(target->detail, sizeof(target->detail), detail);
        target_failed(target);
        return;
    }

    target->failures = 0;
    target->successes++;

    if (target->state != TARGET_HEALTHY
        && target->state != TARGET_RUNBOOK
        && target->successes >= target->health->rise)
    {
        target->state = TARGET_HEALTHY;
        target_say(target, "healed", "it answers again");
    }
}


static void
target_tick(target_t *target, int64_t now)
{
    if (target->state == TARGET_BACKOFF && now >= target->next_ms) {
        target_try(target);

    } else if (target->state == TARGET_RUNBOOK && target->hook == NULL
               && target->step < target->health->step_count
               && target->health->steps[target->step].kind == RUNBOOK_WAIT
               && now >= target->next_ms)
    {
        target->step++;
        target_step(target);
    }

    if (target->probe == NULL && now >= target->probe_ms
        && target->state != TARGET_RUNBOOK)
    {
        target->probe_ms = now + target->health->interval_ms;
        target->probe = smoke_send(target->heal->fetch,
                                   &target->health->probe, target->server,
                                   target_probed, target);
    }
}


/* --- which servers --- */

static void
heal_add(watched_t *watched, const settings_health_t *health,
    const char *group, const char *server)
{
    heal_t    *heal = watched->heal;
    unsigned   i;
    target_t  *target;

    for (i = 0; i < heal->target_count; i++) {
        target = heal->targets[i];

        if (target->health == health && strcmp(target->server, server) == 0
            && strcmp(target->upstream, watched->name) == 0
            && strcmp(target->group, group) == 0)
        {
            target->seen = true;
            return;
        }
    }

    if (heal->target_count == HEAL_MAX_TARGETS) {
        return;
    }

    target = calloc(1, sizeof(target_t));
    if (target == NULL) {
        abort();
    }

    target->heal = heal;
    target->health = health;
    target->seen = true;
    text_copy(target->upstream, sizeof(target->upstream), watched->name);
    text_copy(target->group, sizeof(target->group), group);
    text_copy(target->server, sizeof(target->server), server);
    heal->targets[heal->target_count++] = target;
}


static void
heal_group(watched_t *watched, const cJSON *group)
{
    unsigned                  i;
    const cJSON              *server, *address, *down, *drain;
    const settings_t         *settings = watched->heal->settings;
    const settings_health_t  *health;

    cJSON_ArrayForEach(server,
                       cJSON_GetObjectItemCaseSensitive(group, "servers"))
    {
        address = cJSON_GetObjectItemCaseSensitive(server, "address");
        down = cJSON_GetObjectItemCaseSensitive(server, "down");
        drain = cJSON_GetObjectItemCaseSensitive(server, "drain");

        /* What somebody took out on purpose is nobody's patient. */
        if (!cJSON_IsString(address) || !url_is_server(address->valuestring)
            || cJSON_IsTrue(down) || cJSON_IsTrue(drain))
        {
            continue;
        }

        for (i = 0; i < settings->health_count; i++) {
            health = &settings->health[i];

            if (health->probe.server_count == 0
                && settings_matches(health->upstreams, watched->name)
                && settings_matches(health->groups, group->string))
            {
                heal_add(watched, health, group->string,
                         address->valuestring);
            }
        }
    }
}


static void
heal_looked(void *arg, const fetch_result_t *result)
{
    cJSON                    *json;
    unsigned                  i, k;
    watched_t                *watched = arg;
    const cJSON              *group;
    const settings_t         *settings = watched->heal->settings;
    const settings_health_t  *health;

    watched->look = NULL;
    json = fetch_ok(result) ? cJSON_Parse(result->body) : NULL;

    if (json == NULL) {
        return;
    }

    for (i = 0; i < watched->heal->target_count; i++) {
        if (strcmp(watched->heal->targets[i]->upstream, watched->name) == 0) {
            watched->heal->targets[i]->seen = false;
        }
    }

    cJSON_ArrayForEach(group,
                       cJSON_GetObjectItemCaseSensitive(json, "groups"))
    {
        heal_group(watched, group);
    }

    for (i = 0; i < settings->health_count; i++) {
        health = &settings->health[i];

        for (k = 0; k < health->probe.server_count
                    && settings_matches(health->upstreams, watched->name);
             k++)
        {
            heal_add(watched, health, health->groups[0] ? health->groups
                     : "servers", health->probe.servers[k]);
        }
    }

    for (i = watched->heal->target_count; i-- > 0; ) {
        if (strcmp(watched->heal->targets[i]->upstream, watched->name) == 0
            && !watched->heal->targets[i]->seen)
        {
            target_drop(watched->heal, i);
        }
    }

    cJSON_Delete(json);
}


static void
heal_led(void *arg, store_status_t status, bool held, const char *leader,
    int64_t left_ms)
{
    watched_t  *watched = arg;

    watched->asking = false;

    if (status == STORE_OK) {
        text_copy(watched->leader, sizeof(watched->leader),
                  held ? leader : "");
        watched->held_ms = held ? clock_mono_ms() + HEAL_ROLE_MS : 0;
    }
}


static watched_t *
heal_find(heal_t *heal, const char *name)
{
    unsigned    i;
    watched_t  *watched;

    for (i = 0; i < heal->count; i++) {
        if (strcmp(heal->watched[i]->name, name) == 0) {
            return heal->watched[i];
        }
    }

    if (heal->count == HEAL_MAX_UPSTREAMS) {
        return NULL;
    }

    watched = calloc(1, sizeof(watched_t));
    if (watched == NULL) {
        abort();
    }

    watched->heal = heal;
    text_copy(watched->name, sizeof(watched->name), name);
    heal->watched[heal->count++] = watched;

    return watched;
}


static bool
heal_wants(const heal_t *heal, const char *upstream)
{
    unsigned  i;

    for (i = 0; i < heal->settings->health_count; i++) {
        if (settings_matches(heal->settings->health[i].upstreams, upstream)) {
            return true;
        }
    }

    return false;
}


static void
heal_look(heal_t *heal)
{
    char             url[CONFIG_TEXT_LEN + SPEC_NAME_LEN + 16];
    unsigned         i;
    watched_t       *watched;
    const char      *name;
    const config_t  *config = heal->config;
    fetch_request_t  request;

    for (i = 0; agent_upstream(heal->agent, i, &name) != NULL; i++) {
        if (!heal_wants(heal, name)
            || (watched = heal_find(heal, name)) == NULL)
        {
            continue;
        }

        if (!watched->asking && store_ready(heal->store)) {
            watched->asking = true;
            store_lead_role(heal->store, name, "healer", watched->leader,
                            HEAL_ROLE_MS, heal_led, watched);
        }

        if (watched->held_ms == 0 || watched->look != NULL) {
            continue;
        }

        memset(&request, 0, sizeof(fetch_request_t));
        text_format(url, sizeof(url), "%supstreams/%s", config->nginx_url,
                    name);
        request.url = url;
        request.socket_path = config->nginx_socket[0] != '\0'
                              ? config->nginx_socket : NULL;
        request.timeout_ms = HEAL_LOOK_MS;
        request.max_response = HEAL_MAX_ANSWER;
        watched->look = fetch_start(heal->fetch, &request, heal_looked,
                                    watched);
    }
}


static void
heal_tick(evutil_socket_t fd, short what, void *arg)
{
    heal_t     *heal = arg;
    int64_t     now;
    unsigned    i;
    watched_t  *watched;

    now = clock_mono_ms();

    if (now >= heal->look_ms) {
        heal->look_ms = now + HEAL_LOOK_MS;
        heal_look(heal);
    }

    for (i = heal->target_count; i-- > 0; ) {
        watched = heal_find(heal, heal->targets[i]->upstream);

        if (watched == NULL || watched->held_ms < now) {
            /* Somebody else may have it by now. */
            target_drop(heal, i);

        } else {
            target_tick(heal->targets[i], now);
        }
    }
}
