/* POST /v1/alerts: what Alertmanager's webhook receiver sends (version 4). */

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "core/text.h"
#include "fleet.h"
#include "incident.h"

#define ALERTS_MAX            256  /* of a call */
#define ALERTS_MAX_UPSTREAMS  32

typedef struct alerts_job_s  alerts_job_t;

/* What one upstream's alerts come to. */
typedef struct {
    alerts_job_t    *job;
    char             upstream[SPEC_NAME_LEN];
    alert_action_t   action;       /* the strongest */
    char             text[API_REASON_LEN];
    char             rollout[RELEASE_ID_LEN];
    unsigned         tries;
    char            *record;
    uint64_t         revision;
    const char      *outcome;
} alerts_target_t;

struct alerts_job_s {
    api_job_t         job;
    unsigned          waiting;
    unsigned          ignored;
    unsigned          count;
    alerts_target_t   targets[ALERTS_MAX_UPSTREAMS];
};



static void alerts_rollout(void *arg, store_status_t status,
    const store_rollout_t *all);
static void alerts_written(void *arg, store_status_t status,
    const store_result_t *result);


static const char *
text_of(const cJSON *json, const char *name)
{
    const char  *text;

    text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json,
                                                                 name));

    return text != NULL ? text : "";
}


static void
alerts_clean(api_job_t *job)
{
    unsigned       i;
    alerts_job_t  *alerts = (alerts_job_t *) job;

    for (i = 0; i < alerts->count; i++) {
        free(alerts->targets[i].record);
    }
}


/* The first rule whose labels all match. */
static alert_action_t
alerts_action(const settings_t *settings, const cJSON *labels)
{
    unsigned                 i, k;
    const settings_alert_t  *rule;

    for (i = 0; i < settings->alert_count; i++) {
        rule = &settings->alerts[i];

        for (k = 0; k < rule->label_count; k++) {
            if (fnmatch(rule->labels[k][1], text_of(labels,
                                                    rule->labels[k][0]), 0)
                != 0)
            {
                break;
            }
        }

        if (k == rule->label_count) {
            return rule->action;
        }
    }

    return ALERT_NOTE;
}


static void
alerts_incident(api_t *api, const cJSON *alert, const char *upstream,
    const char *title, alert_action_t action)
{
    char             key[INCIDENT_KEY_LEN];
    const char      *fingerprint;
    const cJSON     *labels;
    incident_new_t   incident;

    labels = cJSON_GetObjectItemCaseSensitive(alert, "labels");
    fingerprint = text_of(alert, "fingerprint");
    text_format(key, sizeof(key), "alert:%s", fingerprint[0] ? fingerprint
                : text_of(labels, "alertname"));

    memset(&incident, 0, sizeof(incident_new_t));
    incident.upstream = upstream;
    incident.kind = INCIDENT_ALERT;
    incident.key = key;
    incident.severity = action == ALERT_REVERT
                        || strcmp(text_of(labels, "severity"), "critical")
                           == 0 ? SEVERITY_CRITICAL : SEVERITY_WARNING;
    incident.rollout = "";
    incident.actor = "alertmanager";
    incident.title = title;
    incident_open(api->store, api->config->settings, &incident, NULL, NULL);
}


static void
alerts_add(alerts_job_t *job, const cJSON *alert)
{
    char              title[API_REASON_LEN];
    unsigned          i;
    const char       *upstream, *summary;
    const cJSON      *labels, *notes;
    const settings_t *settings = job->job.api->config->settings;
    alert_action_t    action;
    alerts_target_t  *target;

    labels = cJSON_GetObjectItemCaseSensitive(alert, "labels");
    notes = cJSON_GetObjectItemCaseSensitive(alert, "annotations");
    upstream = text_of(labels, settings->alert_label);
    action = alerts_action(settings, labels);

    if (strcmp(text_of(alert, "status"), "firing") != 0
        || !store_name_valid(upstream) || action == ALERT_IGNORE
        || !auth_may(&job->job.who, upstream))
    {
        job->ignored++;
        return;
    }

    summary = text_of(notes, "summary");
    text_format(title, sizeof(title), "alert %s%s%s",
                text_of(labels, "alertname"), summary[0] ? ": " : "",
                summary);

    for (i = 0; i < job->count; i++) {
        if (strcmp(job->targets[i].upstream, upstream) == 0) {
            break;
        }
    }

    if (i == ALERTS_MAX_UPSTREAMS) {
        job->ignored++;
        return;
    }

    target = &job->targets[i];

    if (i == job->count) {
        job->count++;
        target->job = job;
        text_copy(target->upstream, sizeof(target->upstream), upstream);
        target->outcome = "noted";
    }

    if (action > target->action || target->text[0] == '\0') {
        target->action = action;
        text_copy(target->text, sizeof(target->text), title);
    }

    alerts_incident(job->job.api, alert, upstream, title, action);
}


static void
alerts_done(alerts_target_t *target, const char *outcome)
{
    cJSON         *json, *list, *item;
    unsigned       i;
    alerts_job_t  *job = target->job;

    target->outcome = outcome;

    if (--job->waiting > 0) {
        return;
    }

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "upstreams");

    for (i = 0; i < job->count; i++) {
        item = cJSON_CreateObject();
        cJSON_AddItemToArray(list, item);
        cJSON_AddStringToObject(item, "upstream", job->targets[i].upstream);
        cJSON_AddStringToObject(item, "outcome", job->targets[i].outcome);

        if (job->targets[i].rollout[0] != '\0') {
            cJSON_AddStringToObject(item, "rollout", job->targets[i].rollout);
        }

        if (strcmp(job->targets[i].outcome, "failed") == 0) {
            cJSON_Delete(json);
            api_job_problem(&job->job, 503, NULL, "not every rollout could "
                            "be changed: send it again", NULL);
            return;
        }
    }

    cJSON_AddNumberToObject(json, "ignored", job->ignored);
    api_job_json(&job->job, 200, json);
}


static void
alerts_read(alerts_target_t *target)
{
    store_rollout(target->job->job.api->store, target->upstream,
                  target->rollout[0] != '\0' ? target->rollout : NULL, NULL,
                  alerts_rollout, target);
}


static void
alerts_commit(alerts_target_t *target, const store_rollout_t *all,
    release_t *release)
{
    char               error[ROLLOUT_REASON_LEN], *doc;
    api_t             *api = target->job->job.api;
    int64_t            now;
    unsigned           i;
    record_t           present, wanted;
    rollout_t          before;
    store_event_t      list[ROLLOUT_MAX_EVENTS];
    store_commit_t     commit;
    rollout_events_t   events;

    now = store_now(api->store);
    memset(&events, 0, sizeof(rollout_events_t));
    memset(&commit, 0, sizeof(store_commit_t));
    memset(list, 0, sizeof(list));
    before = release->state;

    if (rollout_command(&release->spec, &release->state,
                        target->action == ALERT_REVERT ? ROLLOUT_ABORT
                                                       : ROLLOUT_PAUSE,
                        "alertmanager", target->text, now, &events, error)
        != 0 || events.count == 0)
    {
        alerts_done(target, "unchanged");
        return;
    }

    free(target->record);
    target->record = NULL;

    if (fleet_record(all, now, api_live_ms(api), &present)
        && release_route(release, &present, &wanted))
    {
        target->record = record_text(&wanted);
        target->revision = wanted.revision;
        commit.revision = wanted.revision;
        commit.record = target->record;
    }

    release->updated_ms = now;

    for (i = 0; i < events.count; i++) {
        list[i].type = events.list[i].type;
        list[i].detail = events.list[i].detail;
    }

    doc = release_text(release);
    commit.upstream = target->upstream;
    commit.rollout = target->rollout;
    commit.seq = all->seq;
    commit.doc = doc;
    commit.active = rollout_active(&release->state);
    commit.actor = "alertmanager";
    commit.event_count = events.count;
    commit.events = list;
    release_success(release, &before, &commit);
    store_commit(api->store, &commit, alerts_written, target);
    free(doc);
}


/* First the route, which names the rollout, then that. */
static void
alerts_rollout(void *arg, store_status_t status, const store_rollout_t *all)
{
    release_t         release;
    alerts_target_t  *target = arg;

    if (status != STORE_OK) {
        alerts_done(target, "failed");
        return;
    }

    if (!all->route.active || all->route.rollout == NULL) {
        alerts_done(target, "no rollout is active");
        return;
    }

    if (strcmp(target->rollout, all->route.rollout) != 0) {
        text_copy(target->rollout, sizeof(target->rollout),
                  all->route.rollout);
        alerts_read(target);
        return;
    }

    if (release_parse(all->doc, &release) != 0) {
        alerts_done(target, "failed");
        return;
    }

    if (rollout_ended(&release.state)) {
        alerts_done(target, "no rollout is active");

    } else {
        alerts_commit(target, all, &release);
    }

    release_free(&release);
}


static void
alerts_written(void *arg, store_status_t status, const store_result_t *result)
{
    api_t            *api;
    alerts_target_t  *target = arg;

    api = target->job->job.api;

    if (status != STORE_OK || result->outcome != STORE_DONE) {
        if (status == STORE_OK && ++target->tries < API_TRIES) {
            alerts_read(target);
            return;
        }

        alerts_done(target, "failed");
        return;
    }

    log_info(api->log, "alert", LOG_S("upstream", target->upstream),
             LOG_S("rollout", target->rollout), LOG_S("text", target->text));

    if (target->record != NULL) {
        agent_apply(api->agent, target->upstream, target->revision,
                    target->record);
    }

    controller_nudge(api->controller, target->upstream);
    alerts_done(target, target->action == ALERT_REVERT ? "reverted"
                                                       : "paused");
}


void
api_alerts(void *arg, http_exchange_t *exchange)
{
    api_t         *api = arg;
    cJSON         *body;
    unsigned       i;
    const cJSON   *alerts, *alert;
    alerts_job_t  *job;

    body = api_body(exchange);
    if (body == NULL) {
        return;
    }

    alerts = cJSON_GetObjectItemCaseSensitive(body, "alerts");

    if (strcmp(text_of(body, "version"), "4") != 0 || !cJSON_IsArray(alerts)
        || cJSON_GetArraySize(alerts) > ALERTS_MAX)
    {
        cJSON_Delete(body);
        http_answer_problem(exchange->request, 422,
                            cJSON_IsArray(alerts) ? "version" : "alerts",
                            "must be what Alertmanager's webhook sends, "
                            "version 4, of at most 256 alerts", NULL);
        return;
    }

    job = api_job_new(api, exchange, sizeof(alerts_job_t));

    if (job == NULL) {
        cJSON_Delete(body);
        return;
    }

    job->job.clean = alerts_clean;

    cJSON_ArrayForEach(alert, alerts) {
        alerts_add(job, alert);
    }

    cJSON_Delete(body);
    job->waiting = job->count + 1;

    for (i = 0; i < job->count; i++) {
        if (job->targets[i].action == ALERT_NOTE) {
            job->waiting--;

        } else {
            alerts_read(&job->targets[i]);
        }
    }

    /* Nothing is called back from inside the calls: the job is still there. */
    job->targets[0].job = job;
    alerts_done(&job->targets[0], job->targets[0].outcome != NULL
                                  ? job->targets[0].outcome : "noted");
}
