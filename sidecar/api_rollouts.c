/* A rollout is created or shown. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "api_create.h"
#include "core/text.h"
#include "decision.h"
#include "fleet.h"


/* --- POST /v1/rollouts --- */

static void api_create_promotes(void *arg, store_status_t status, bool has);
static void api_create_read(create_job_t *create);
static void api_create_got(void *arg, store_status_t status,
    const store_rollout_t *all);
static void api_create_done(void *arg, store_status_t status,
    const store_result_t *result);
static void api_create_unknown(void *arg, store_status_t status,
    size_t count, const store_route_t *routes);


static void
api_create_clean(api_job_t *job)
{
    create_job_t  *create = (create_job_t *) job;

    free(create->evidence);
    cJSON_Delete(create->list);
    spec_free(&create->spec);      /* the release borrows */
}


void
api_create(void *arg, http_exchange_t *exchange)
{
    int              rc;
    char             detail[API_DETAIL_LEN], text[2][32];
    api_t           *api = arg;
    cJSON           *body;
    spec_error_t     error;
    create_job_t    *create;
    rollout_spec_t   spec;

    body = api_body(exchange);
    if (body == NULL) {
        return;
    }

    rc = spec_parse(body, &spec, &error);
    cJSON_Delete(body);

    if (rc != 0) {
        http_answer_problem(exchange->request, 422, error.field, error.detail,
                            NULL);
        return;
    }

    if (runner_check(api->around->runner, &spec, &error) != 0) {
        http_answer_problem(exchange->request, 422, error.field, error.detail,
                            NULL);
        spec_free(&spec);
        return;
    }

    /* It is renewed once a tick; one that is late must not end it. */
    if (spec.lease_ms < 2 * (int64_t) api->config->tick_ms) {
        text_format(detail, sizeof(detail), "must be at least %s: it is "
                    "renewed every %s",
                    spec_print_duration(2 * (int64_t) api->config->tick_ms,
                                        text[0], sizeof(text[0])),
                    spec_print_duration(api->config->tick_ms, text[1],
                                        sizeof(text[1])));
        http_answer_problem(exchange->request, 422, "lease", detail, NULL);
        spec_free(&spec);
        return;
    }

    create = api_create_new(api, exchange);
    if (create == NULL) {
        spec_free(&spec);
        return;
    }

    create->spec = spec;
    api_create_begin(create);
}


create_job_t *
api_create_new(api_t *api, http_exchange_t *exchange)
{
    create_job_t  *create;

    create = api_job_new(api, exchange, sizeof(create_job_t));

    if (create != NULL) {
        create->job.clean = api_create_clean;
    }

    return create;
}


void
api_create_begin(create_job_t *create)
{
    api_t           *api = create->job.api;
    rollout_spec_t  *spec = &create->spec;

    if (spec->promotion_from[0] != '\0') {
        store_has_succeeded(api->store, spec->promotion_from, spec->version,
                            api_create_promotes, create);
        return;
    }

    api_create_read(create);
}


static void
api_create_promotes(void *arg, store_status_t status, bool has)
{
    char           detail[API_DETAIL_LEN];
    create_job_t  *create = arg;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    if (!has) {
        text_format(detail, sizeof(detail), "version %s has not succeeded in "
                    "%s", create->spec.version, create->spec.promotion_from);
        api_job_problem(&create->job, 409, "promotion", detail, NULL);
        return;
    }

    api_create_read(create);
}


static void
api_create_read(create_job_t *create)
{
    store_rollout(create->job.api->store, create->spec.upstream, NULL, NULL,
                  api_create_got, create);
}


static void
api_problem_busy(api_job_t *job, const char *rollout)
{
    char    detail[RELEASE_ID_LEN + 64];
    cJSON  *extra;

    rollout = rollout != NULL ? rollout : "";
    extra = cJSON_CreateObject();
    cJSON_AddStringToObject(extra, "rollout", rollout);

    text_format(detail, sizeof(detail), "rollout %s of this upstream is "
                "active", rollout);
    api_job_problem(job, 409, "upstream", detail, extra);
}


/* 409 if other nodes have it, 422 if it is known nowhere. */
static void
api_create_lacks(create_job_t *create, const char *group, const char *field,
    const char *node, const record_t *record, bool elsewhere)
{
    char       detail[API_DETAIL_LEN];
    cJSON     *extra;
    size_t     len;
    unsigned   k;

    len = (size_t) snprintf(detail, sizeof(detail), "%s is no group of %s on "
                            "%s; its groups are", group,
                            create->spec.upstream, node);

    for (k = 0; k < record->group_count && len < sizeof(detail); k++) {
        len += (size_t) snprintf(detail + len, sizeof(detail) - len, "%s %s",
                                 k > 0 ? "," : "", record->groups[k].name);
    }

    if (!elsewhere) {
        api_job_problem(&create->job, 422, field, detail, NULL);
        return;
    }

    extra = cJSON_CreateObject();
    cJSON_AddStringToObject(extra, "node", node);
    cJSON_AddStringToObject(extra, "group", group);
    api_job_problem(&create->job, 409, field, detail, extra);
}


/* Is the group one of every live node?  If not it is answered. */
static bool
api_create_group(create_job_t *create, const store_rollout_t *all,
    const char *group, const char *field)
{
    bool            live, elsewhere;
    size_t          i;
    const char     *name;
    record_node_t   node, lacks;

    name = NULL;
    elsewhere = false;

    for (i = 0; i < all->node_count; i++) {
        if (!fleet_node(&all->nodes[i], store_now(create->job.api->store),
                        api_live_ms(create->job.api), &node, &live)
            || !live)
        {
            continue;
        }

        if (record_group(&node.record, group) != NULL) {
            elsewhere = true;

        } else if (name == NULL) {
            name = all->nodes[i].node;
            lacks = node;
        }
    }

    if (name != NULL) {
        api_create_lacks(create, group, field, name, &lacks.record,
                         elsewhere);
        return false;
    }

    return true;
}


static int
api_create_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}


/* How many nodes are live; of them the names, sorted, of at most
 * SPEC_MAX_STAGES. */
static size_t
api_create_live(create_job_t *create, const store_rollout_t *all,
    const char *names[SPEC_MAX_STAGES])
{
    bool            live;
    size_t          i, count;
    record_node_t   node;

    count = 0;

    for (i = 0; i < all->node_count; i++) {
        if (!fleet_node(&all->nodes[i], store_now(create->job.api->store),
                        api_live_ms(create->job.api), &node, &live)
            || !live)
        {
            continue;
        }

        if (count < SPEC_MAX_STAGES) {
            names[count] = all->nodes[i].node;
        }

        count++;
    }

    qsort(names, count < SPEC_MAX_STAGES ? count : SPEC_MAX_STAGES,
          sizeof(names[0]), api_create_compare);

    return count;
}


static bool
api_create_knows(const store_rollout_t *all, const char *node)
{
    size_t  i;

    for (i = 0; i < all->node_count; i++) {
        if (strcmp(all->nodes[i].node, node) == 0) {
            return true;
        }
    }

    return false;
}


/* 409 if it is away at present, 422 if no node ever had that name. */
static void
api_create_away(create_job_t *create, const store_rollout_t *all,
    const char *node, const char *field)
{
    bool         known;
    char         detail[API_DETAIL_LEN];
    cJSON       *extra;
    size_t       i, len, count;
    const char  *names[SPEC_MAX_STAGES];

    known = api_create_knows(all, node);
    len = (size_t) snprintf(detail, sizeof(detail), known
                            ? "node %s of %s is not live: start it, or leave "
                              "it out; live are"
                            : "%s is no node of %s; live are",
                            node, create->spec.upstream);

    count = api_create_live(create, all, names);

    for (i = 0; i < count && i < SPEC_MAX_STAGES && len < sizeof(detail);
         i++)
    {
        len += (size_t) snprintf(detail + len, sizeof(detail) - len, "%s %s",
                                 i > 0 ? "," : "", names[i]);
    }

    extra = cJSON_CreateObject();
    cJSON_AddStringToObject(extra, "node", node);
    api_job_problem(&create->job, known ? 409 : 422, field, detail, extra);
}


/* A node of the order that is not live would be waited for, maybe for ever.
 * False: there is one, and it is answered. */
static bool
api_create_nodes(create_job_t *create, const store_rollout_t *all)
{
    char                   field[SPEC_TEXT_LEN];
    int64_t                now;
    unsigned               i;
    const rollout_spec_t  *spec = &create->spec;

    if (spec->strategy != SPEC_ROLLING || spec->rolling != SPEC_BY_NODES) {
        return true;
    }

    now = store_now(create->job.api->store);

    for (i = 0; i < spec->step_count; i++) {
        if (!fleet_lives(all, now, api_live_ms(create->job.api),
                         spec->targets[i]))
        {
            snprintf(field, sizeof(field), "rolling.order[%u]", i);
            api_create_away(create, all, spec->targets[i], field);
            return false;
        }
    }

    return true;
}


/* All that the spec names has to be there.  If not it is answered. */
static bool
api_create_check(create_job_t *create, const store_rollout_t *all)
{
    bool                   servers;
    char                   detail[API_DETAIL_LEN];
    char                   group[SPEC_NAME_LEN], field[SPEC_TEXT_LEN];
    unsigned               i;
    const rollout_spec_t  *spec = &create->spec;

    for (i = 0; spec_group(spec, i, group, field) != NULL; i++) {
        if (!api_create_group(create, all, group, field)) {
            return false;
        }
    }

    if (!api_create_nodes(create, all)) {
        return false;
    }

    /* the servers of the stable group may be rolled, too */
    servers = spec->strategy == SPEC_ROLLING
              && spec->rolling == SPEC_BY_SERVERS;

    for (i = 0; !servers && i < (spec->arm_count ? spec->arm_count : 1); i++)
    {
        text_copy(group, sizeof(group), spec->arm_count > 0
                                        ? spec->arms[i].name : spec->canary);

        if (strcmp(create->present.stable, group) == 0) {
            snprintf(detail, sizeof(detail), "%s is stable already", group);
            api_job_problem(&create->job, 422, spec->arm_count > 0
                            ? "groups" : "canary", detail, NULL);
            return false;
        }
    }

    return true;
}


/* A rolling rollout without an order goes by the names of the live nodes;
 * false: there are too many, and it is answered. */
static bool
api_create_order(create_job_t *create, const store_rollout_t *all)
{
    char         detail[API_DETAIL_LEN];
    size_t       count;
    const char  *names[SPEC_MAX_STAGES];

    if (create->spec.step_count > 0) {
        return true;
    }

    count = api_create_live(create, all, names);

    if (count > SPEC_MAX_STAGES) {
        snprintf(detail, sizeof(detail), "must be given: there are more than "
                 "%d live nodes; those that it does not name follow at the "
                 "end", SPEC_MAX_STAGES);
        api_job_problem(&create->job, 422, "rolling.order", detail, NULL);
        return false;
    }

    spec_set_targets(&create->spec, (unsigned) count, names);

    return true;
}


static void
api_create_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    char            *doc, *data;
    int64_t          now;
    api_t           *api;
    release_t       *release;
    decision_t       decision;
    evidence_t       evidence;
    create_job_t    *create = arg;
    store_create_t   call;

    api = create->job.api;
    now = store_now(api->store);

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    fleet_count(all, now, api_live_ms(api), all->route.revision,
                &create->fleet);

    if (create->fleet.live == 0
        || !fleet_record(all, now, api_live_ms(api), &create->present))
    {
        store_routes(api->store, api_create_unknown, create);
        return;
    }

    if (all->route.active) {
        api_problem_busy(&create->job, all->route.rollout);
        return;
    }

    if (!api_create_check(create, all) || !api_create_order(create, all)) {
        return;
    }

    if (create->fleet.highest > all->route.revision) {
        api_job_problem(&create->job, 503, NULL, "Redis knows less than a "
                        "node serves, which is being written back: try again "
                        "in a few seconds", NULL);
        return;
    }

    release = &create->release;
    memset(release, 0, sizeof(release_t));
    release_new_id(release->id, create->spec.upstream);
    text_copy(release->stable, sizeof(release->stable),
              create->present.stable);
    release->spec = create->spec;
    release->revision = all->route.revision;
    release->created_ms = now;
    release->updated_ms = now;
    rollout_init(&release->state, api_actor(&create->job.who, create->actor),
                 now);
    text_copy(release->state.reason, sizeof(release->state.reason),
              create->reason);

    evidence_init(&evidence, release);
    free(create->evidence);
    create->evidence = evidence_text(&evidence);
    doc = release_text(release);

    memset(&decision, 0, sizeof(decision_t));
    decision.release = release;
    decision.present = &create->present;
    decision.fleet = &create->fleet;
    data = decision_text(&decision);

    call.upstream = create->spec.upstream;
    call.rollout = release->id;
    call.revision = all->route.revision;
    call.doc = doc;
    call.evidence = create->evidence;
    call.actor = release->state.actor;
    call.data = data;

    api_complete(api, all, &create->present);
    store_create(api->store, &call, api_create_done, create);

    free(doc);
    free(data);
}


static void
api_create_done(void *arg, store_status_t status,
    const store_result_t *result)
{
    char           location[RELEASE_ID_LEN + 32];
    cJSON         *json;
    api_t         *api;
    create_job_t  *create = arg;

    api = create->job.api;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    if (result->outcome == STORE_CONFLICT_ACTIVE) {
        api_problem_busy(&create->job, result->rollout);
        return;
    }

    if (result->outcome != STORE_DONE) {
        if (++create->tries < API_TRIES) {
            api_create_read(create);
            return;
        }

        api_job_problem(&create->job, 409, NULL,
                        "the upstream's record keeps changing", NULL);
        return;
    }

    log_info(api->log, "rollout created",
             LOG_S("upstream", create->spec.upstream),
             LOG_S("rollout", create->release.id),
             LOG_S("canary", create->spec.canary),
             LOG_S("version", create->spec.version));

    controller_nudge(api->controller, create->spec.upstream);

    json = release_json(&create->release, NULL, &create->present,
                        &create->fleet);

    snprintf(location, sizeof(location), "/v1/rollouts/%s",
             create->release.id);
    evhttp_add_header(evhttp_request_get_output_headers(create->job.request),
                      "Location", location);

    api_job_json(&create->job, 201, json);
}


static void
api_create_unknown(void *arg, store_status_t status, size_t count,
    const store_route_t *routes)
{
    char           detail[API_DETAIL_LEN];
    size_t         i, len;
    const char    *gap;
    create_job_t  *create = arg;

    if (status != STORE_OK) {
        api_job_store(&create->job, status);
        return;
    }

    gap = "";
    len = (size_t) snprintf(detail, sizeof(detail), "no live node has a "
                            "canary upstream %s; known are",
                            create->spec.upstream);

    for (i = 0; i < count && len < sizeof(detail); i++) {
        if (auth_may(&create->job.who, routes[i].upstream)) {
            len += (size_t) snprintf(detail + len, sizeof(detail) - len,
                                     "%s %s", gap, routes[i].upstream);
            gap = ",";
        }
    }

    if (gap[0] == '\0' && len < sizeof(detail)) {
        snprintf(detail + len, sizeof(detail) - len, " none");
    }

    api_job_problem(&create->job, 422, "upstream", detail, NULL);
}


/* --- GET /v1/rollouts/{id} --- */

static void
api_get_got(void *arg, store_status_t status, const store_rollout_t *all)
{
    cJSON      *json;
    api_job_t  *job = arg;

    if (status != STORE_OK) {
        api_job_store(job, status);
        return;
    }

    if (all->doc == NULL) {
        api_job_problem(job, 404, NULL, "no such rollout", NULL);
        return;
    }

    json = api_rollout(job->api, all);

    if (json == NULL) {
        api_job_problem(job, 500, NULL, "the rollout's document is damaged",
                        NULL);
        return;
    }

    api_job_json(job, 200, json);
}


void
api_get(void *arg, http_exchange_t *exchange)
{
    api_read_rollout(arg, exchange, api_get_got);
}
