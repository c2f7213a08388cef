/* Commands to a rollout: read, decide, commit, and again on a conflict. */

#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "clock.h"
#include "core/text.h"
#include "core/value.h"
#include "decision.h"
#include "fleet.h"

#define API_CONFIRM_MS  2000

typedef struct {
    char  node[64];
    bool  confirmed;
} command_node_t;

typedef struct {
    api_job_t           job;
    rollout_command_t   command;
    bool                approves;      /* PROMOTE, but only an approval */
    char                upstream[SPEC_NAME_LEN];
    char                id[RELEASE_ID_LEN];
    char                actor[ROLLOUT_ACTOR_LEN];
    char                reason[API_REASON_LEN];
    bool                expects;   /* the client named the revision */
    uint64_t            revision;
    unsigned            tries;
    int64_t             begun_us;

    release_t           release;
    evidence_t          evidence;
    bool                evident;
    record_t            present;   /* with what is being committed */
    fleet_t             fleet;
    char               *record;    /* NULL: the record stays */

    bool                committed;
    unsigned            node_count;
    unsigned            confirmed;
    command_node_t     *nodes;     /* the live ones */
    struct event       *timer;
} command_job_t;


static void api_command_read(command_job_t *command);
static void api_command_got(void *arg, store_status_t status,
    const store_rollout_t *all);
static void api_command_decide(command_job_t *command,
    const store_rollout_t *all);
static void api_command_done(void *arg, store_status_t status,
    const store_result_t *result);
static void api_command_settled(command_job_t *command);
static void api_command_confirm(api_job_t *job, const char *upstream,
    uint64_t revision, const char *node);
static void api_command_timeout(evutil_socket_t fd, short what, void *arg);
static void api_command_late(void *arg, store_status_t status,
    const store_rollout_t *all);


static void
api_command_clean(api_job_t *job)
{
    command_job_t  *command = (command_job_t *) job;

    if (command->timer != NULL) {
        event_free(command->timer);
    }

    free(command->record);
    free(command->nodes);
    release_free(&command->release);
}


/* A text of at most size - 1 bytes; false: it is answered. */
static bool
api_command_text(http_exchange_t *exchange, const cJSON *body,
    const char *name, char *text, size_t size)
{
    char          detail[64];
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(body, name);

    if (item == NULL || cJSON_IsNull(item)) {
        return true;
    }

    if (!cJSON_IsString(item) || strlen(item->valuestring) >= size
        || !text_is_clean(item->valuestring))
    {
        text_format(detail, sizeof(detail), "must be a text of at most %zu "
                    "bytes without control characters", size - 1);
        http_answer_problem(exchange->request, 422, name, detail, NULL);
        return false;
    }

    text_copy(text, size, item->valuestring);

    return true;
}


static bool
api_command_parse(http_exchange_t *exchange, const cJSON *body,
    command_job_t *command)
{
    int64_t       revision;
    const cJSON  *item;

    static const char *const  fields[] = {
        "reason", "actor", "revision", NULL
    };
    static const char *const  abort_fields[] = { "reason", "actor", NULL };
    static const char *const  promote_fields[] = {
        "reason", "actor", "revision", "full", NULL
    };

    if (!api_check_fields(exchange, body,
                          command->command == ROLLOUT_ABORT ? abort_fields
                          : command->command == ROLLOUT_PROMOTE
                            && !command->approves ? promote_fields : fields)
        || !api_command_text(exchange, body, "reason", command->reason,
                             sizeof(command->reason))
        || !api_command_text(exchange, body, "actor", command->actor,
                             sizeof(command->actor)))
    {
        return false;
    }

    item = cJSON_GetObjectItemCaseSensitive(body, "full");

    if (item != NULL && !cJSON_IsBool(item) && !cJSON_IsNull(item)) {
        http_answer_problem(exchange->request, 422, "full",
                            "must be true or false", NULL);
        return false;
    }

    if (cJSON_IsTrue(item)) {
        command->command = ROLLOUT_PROMOTE_FULL;
    }

    item = cJSON_GetObjectItemCaseSensitive(body, "revision");

    if (item == NULL || cJSON_IsNull(item)) {
        return true;
    }

    if (!value_read_integer(item, 0, VALUE_MAX_INT, &revision)) {
        http_answer_problem(exchange->request, 422, "revision",
                            "must be an integer not below 0", NULL);
        return false;
    }

    command->expects = true;
    command->revision = (uint64_t) revision;

    return true;
}


static void
api_command(api_t *api, http_exchange_t *exchange, rollout_command_t what,
    bool approves)
{
    bool            parsed;
    cJSON          *body;
    command_job_t  *command, given;

    memset(&given, 0, sizeof(command_job_t));
    given.command = what;
    given.approves = approves;
    given.begun_us = clock_us(CLOCK_MONOTONIC);

    if (!api_id(exchange, given.upstream)) {
        return;
    }

    text_copy(given.id, sizeof(given.id), exchange->params[0]);

    body = api_body(exchange);
    if (body == NULL) {
        return;
    }

    parsed = api_command_parse(exchange, body, &given);
    cJSON_Delete(body);

    if (!parsed) {
        return;
    }

    command = api_job_new(api, exchange, sizeof(command_job_t));
    if (command == NULL) {
        return;
    }

    text_copy(given.actor, sizeof(given.actor),
              api_actor(exchange->who, given.actor));
    given.job = command->job;
    *command = given;
    command->job.clean = api_command_clean;

    if (what == ROLLOUT_ABORT) {
        command->job.confirm = api_command_confirm;
        command->timer = event_new(api->base, -1, 0, api_command_timeout,
                                   command);
    }

    api_command_read(command);
}


void
api_abort(void *arg, http_exchange_t *exchange)
{
    api_command(arg, exchange, ROLLOUT_ABORT, false);
}


void
api_pause(void *arg, http_exchange_t *exchange)
{
    api_command(arg, exchange, ROLLOUT_PAUSE, false);
}


void
api_resume(void *arg, http_exchange_t *exchange)
{
    api_command(arg, exchange, ROLLOUT_RESUME, false);
}


void
api_promote(void *arg, http_exchange_t *exchange)
{
    api_command(arg, exchange, ROLLOUT_PROMOTE, false);
}


void
api_approve(void *arg, http_exchange_t *exchange)
{
    api_command(arg, exchange, ROLLOUT_PROMOTE, true);
}


static void
api_command_read(command_job_t *command)
{
    store_rollout(command->job.api->store, command->upstream, command->id,
                  NULL, api_command_got, command);
}


/* An abort must be possible whatever became of the document. */
static bool
api_command_rebuild(command_job_t *command, const store_rollout_t *all)
{
    api_t     *api = command->job.api;
    record_t   present;

    return command->command == ROLLOUT_ABORT && all->route.active
           && strcmp(all->route.rollout, command->id) == 0
           && fleet_record(all, store_now(api->store), api_live_ms(api),
                           &present)
           && release_rebuild(&command->release, command->id,
                              command->upstream, &present) == 0;
}


/* False: it is answered. */
static bool
api_command_check(command_job_t *command, const store_rollout_t *all)
{
    cJSON  *extra;

    release_free(&command->release);

    if (release_parse(all->doc, &command->release) != 0
        && !api_command_rebuild(command, all))
    {
        if (all->doc == NULL) {
            api_job_problem(&command->job, 404, NULL, "no such rollout",
                            NULL);
            return false;
        }

        api_job_problem(&command->job, 500, NULL,
                        "the rollout's document is damaged", NULL);
        return false;
    }

    if (command->expects && command->revision != all->route.revision) {
        extra = cJSON_CreateObject();
        cJSON_AddNumberToObject(extra, "revision",
                                (double) all->route.revision);
        api_job_problem(&command->job, 409, "revision", "the record of the "
                        "upstream has another revision by now", extra);
        return false;
    }

    if (all->route.rollout != NULL
        && strcmp(all->route.rollout, command->id) == 0)
    {
        return true;
    }

    /* An earlier one: what it did is over, only an abort of what is aborted
     * changes nothing and may be repeated. */
    if (command->command == ROLLOUT_ABORT
        && command->release.state.state == ROLLOUT_ABORTED)
    {
        return true;
    }

    extra = cJSON_CreateObject();
    cJSON_AddStringToObject(extra, "rollout", all->route.rollout != NULL
                                              ? all->route.rollout : "");
    api_job_problem(&command->job, 409, NULL, "a later rollout of the "
                    "upstream has taken its place", extra);

    return false;
}


/* Who has to confirm: the live nodes, and those that do already. */
static void
api_command_nodes(command_job_t *command, const store_rollout_t *all)
{
    bool             live;
    api_t           *api = command->job.api;
    size_t           i;
    record_node_t    node;
    command_node_t  *entry;

    free(command->nodes);
    command->nodes = calloc(all->node_count + 1, sizeof(command_node_t));
    command->node_count = 0;
    command->confirmed = 0;

    if (command->nodes == NULL) {
        return;
    }

    for (i = 0; i < all->node_count; i++) {
        if (!fleet_node(&all->nodes[i], store_now(api->store),
                        api_live_ms(api), &node, &live)
            || !live)
        {
            continue;
        }

        entry = &command->nodes[command->node_count++];
        text_copy(entry->node, sizeof(entry->node), all->nodes[i].node);
        entry->confirmed = node.record.revision >= command->present.revision;
        command->confirmed += entry->confirmed;
    }
}


static void
api_command_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    command_job_t  *command = arg;

    if (status != STORE_OK) {
        api_job_store(&command->job, status);
        return;
    }

    if (api_command_check(command, all)) {
        api_command_decide(command, all);
    }
}


static void
api_command_decide(command_job_t *command, const store_rollout_t *all)
{
    char               error[ROLLOUT_REASON_LEN], *doc, *data;
    bool               known;
    api_t             *api = command->job.api;
    int64_t            now;
    record_t           present, wanted;
    unsigned           i;
    rollout_t          before;
    release_t         *release = &command->release;
    decision_t         decision;
    store_event_t      list[ROLLOUT_MAX_EVENTS];
    store_commit_t     commit;
    rollout_events_t   events;

    now = store_now(api->store);
    memset(&commit, 0, sizeof(store_commit_t));
    free(command->record);
    command->record = NULL;

    command->evident = evidence_parse(all->evidence, release,
                                      &command->evidence) == 0;
    known = fleet_record(all, now, api_live_ms(api), &command->present);

    if (!known) {
        memset(&command->present, 0, sizeof(record_t));
        command->present.revision = all->route.revision;
    }

    memset(&events, 0, sizeof(rollout_events_t));
    if (command->approves
        && (release->state.state != ROLLOUT_WAITING
            || release->state.waiting_for != ROLLOUT_WAIT_APPROVAL))
    {
        api_job_problem(&command->job, 409, NULL, "the rollout does not wait "
                        "for an approval", NULL);
        return;
    }

    memset(&decision, 0, sizeof(decision_t));
    before = release->state;
    present = command->present;

    if (rollout_command(&release->spec, &release->state, command->command,
                        command->actor, command->reason, now, &events, error)
        != 0)
    {
        api_job_problem(&command->job, 409, NULL, error, NULL);
        return;
    }

    if (events.count == 0) {
        /* Nothing changed: reverting or aborted as it is. */
        api_command_nodes(command, all);
        fleet_count(all, now, api_live_ms(api), command->present.revision,
                    &command->fleet);
        api_command_settled(command);
        return;
    }

    if (known && release_route(release, &command->present, &wanted)) {
        decision.wanted = &wanted;
        command->present = wanted;
        command->record = record_text(&wanted);
        commit.revision = wanted.revision;
        commit.record = command->record;
    }

    release->updated_ms = now;
    release->finished_ms = rollout_ended(&release->state) ? now : 0;

    fleet_count(all, now, api_live_ms(api), command->present.revision,
                &command->fleet);
    api_command_nodes(command, all);

    decision.release = release;
    decision.before = &before;
    decision.evidence = command->evident ? &command->evidence : NULL;
    decision.present = known ? &present : NULL;
    decision.fleet = &command->fleet;
    data = decision_text(&decision);

    for (i = 0; i < events.count; i++) {
        list[i].type = events.list[i].type;
        list[i].detail = events.list[i].detail;
        list[i].data = data;
    }

    doc = release_text(release);

    commit.upstream = command->upstream;
    commit.rollout = command->id;
    commit.seq = all->seq;
    commit.doc = doc;
    commit.active = rollout_active(&release->state);
    commit.actor = command->actor;
    commit.event_count = events.count;
    commit.events = list;
    release_success(release, &before, &commit);

    store_commit(api->store, &commit, api_command_done, command);

    free(doc);
    free(data);
}


static void
api_command_done(void *arg, store_status_t status,
    const store_result_t *result)
{
    api_t          *api;
    command_job_t  *command = arg;

    api = command->job.api;

    if (status != STORE_OK) {
        api_job_store(&command->job, status);
        return;
    }

    if (result->outcome != STORE_DONE) {
        if (++command->tries < API_TRIES) {
            api_command_read(command);
            return;
        }

        api_job_problem(&command->job, 409, NULL,
                        "the rollout keeps changing: try again", NULL);
        return;
    }

    log_info(api->log, "command", LOG_S("upstream", command->upstream),
             LOG_S("rollout", command->id),
             LOG_S("command", rollout_command_name(command->command)),
             LOG_S("actor", command->actor),
             LOG_S("reason", command->reason));

    command->committed = true;

    if (command->record != NULL) {
        agent_apply(api->agent, command->upstream, command->present.revision,
                    command->record);
    }

    api_command_settled(command);
}


/* --- the answer --- */

static void
api_command_answer(command_job_t *command)
{
    cJSON    *json, *abort;
    int64_t   us;

    json = release_json(&command->release,
                        command->evident ? &command->evidence : NULL,
                        &command->present, &command->fleet);

    if (command->command == ROLLOUT_ABORT) {
        us = clock_us(CLOCK_MONOTONIC) - command->begun_us;
        abort = cJSON_AddObjectToObject(json, "abort");

        cJSON_AddNumberToObject(abort, "nodes", command->fleet.live);
        cJSON_AddNumberToObject(abort, "confirmed",
                                command->fleet.confirmed);
        cJSON_AddNumberToObject(abort, "milliseconds",
                                (double) (us / 10) / 100.0);

        controller_nudge(command->job.api->controller, command->upstream);
    }

    api_job_json(&command->job, 200, json);
}


/* It is written, or nothing was to be written: an abort waits for nodes. */
static void
api_command_settled(command_job_t *command)
{
    struct timeval  limit = { API_CONFIRM_MS / 1000,
                              API_CONFIRM_MS % 1000 * 1000 };

    command->committed = true;

    if (command->command != ROLLOUT_ABORT || command->timer == NULL
        || command->confirmed == command->node_count)
    {
        if (command->command == ROLLOUT_ABORT) {
            command->fleet.live = command->node_count;
            command->fleet.confirmed = command->confirmed;
        }

        api_command_answer(command);
        return;
    }

    event_add(command->timer, &limit);
}


/* Before the commit is answered, too: a node may be faster than that. */
static void
api_command_confirm(api_job_t *job, const char *upstream, uint64_t revision,
    const char *node)
{
    unsigned        i;
    command_job_t  *command = (command_job_t *) job;

    if (revision < command->present.revision
        || strcmp(upstream, command->upstream) != 0)
    {
        return;
    }

    for (i = 0; i < command->node_count; i++) {
        if (!command->nodes[i].confirmed
            && strcmp(command->nodes[i].node, node) == 0)
        {
            command->nodes[i].confirmed = true;
            command->confirmed++;
        }
    }

    if (command->committed && command->confirmed == command->node_count) {
        command->fleet.live = command->node_count;
        command->fleet.confirmed = command->confirmed;
        api_command_answer(command);
    }
}


/* Messages may have been lost: what the nodes reported decides. */
static void
api_command_timeout(evutil_socket_t fd, short what, void *arg)
{
    command_job_t  *command = arg;

    command->job.confirm = NULL;
    store_rollout(command->job.api->store, command->upstream, command->id,
                  NULL, api_command_late, command);
}


static void
api_command_late(void *arg, store_status_t status, const store_rollout_t *all)
{
    api_t          *api;
    unsigned        i, k;
    record_node_t   node;
    command_job_t  *command = arg;

    api = command->job.api;

    for (i = 0; status == STORE_OK && i < all->node_count; i++) {
        if (!fleet_node(&all->nodes[i], 0, 0, &node, NULL)
            || node.record.revision < command->present.revision)
        {
            continue;
        }

        for (k = 0; k < command->node_count; k++) {
            if (!command->nodes[k].confirmed
                && strcmp(command->nodes[k].node, all->nodes[i].node) == 0)
            {
                command->nodes[k].confirmed = true;
                command->confirmed++;
            }
        }
    }

    log_warn(api->log, "not every node has confirmed the abort",
             LOG_S("rollout", command->id),
             LOG_I("nodes", command->node_count),
             LOG_I("confirmed", command->confirmed));

    command->fleet.live = command->node_count;
    command->fleet.confirmed = command->confirmed;
    api_command_answer(command);
}
