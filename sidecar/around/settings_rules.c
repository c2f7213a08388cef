/* The sections alerts, freeze and health. */

#include <string.h>

#include "core/spec_fields.h"
#include "core/text.h"
#include "settings_read.h"

static const char *const  alerts_fields[] = { "label", "rules", NULL };
static const char *const  rule_fields[] = { "match", "action", NULL };
static const char *const  actions[] = {
    "note", "pause", "revert", "ignore", NULL
};

static const char *const  freeze_fields[] = {
    "name", "upstreams", "from", "to", "cron", "for", "zone", NULL
};

static const char *const  health_fields[] = {
    "upstreams", "groups", "probe", "interval", "fall", "rise", "runbook",
    "tries", "backoff", NULL
};

static const char *const  step_fields[] = {
    "hook", "secret", "timeout", "wait", NULL
};


static int
read_alert(const cJSON *json, const char *prefix, settings_alert_t *alert,
    spec_error_t *error)
{
    int           action;
    const cJSON  *match, *item;

    action = -1;
    match = settings_member(json, "match");

    if (spec_check_object(json, prefix, rule_fields, error) != 0
        || spec_read_choice(json, prefix, "action", actions, &action, error)
           != 0)
    {
        return -1;
    }

    if (action < 0) {
        return spec_fail(error, prefix, "action", "is required: note, pause, "
                         "revert or ignore");
    }

    alert->action = (alert_action_t) action;

    if (match != NULL && (!cJSON_IsObject(match)
        || cJSON_GetArraySize(match) > SETTINGS_MAX_LABELS))
    {
        goto bad;
    }

    cJSON_ArrayForEach(item, match) {
        if (!cJSON_IsString(item) || strlen(item->string) >= SPEC_TEXT_LEN
            || strlen(item->valuestring) >= SPEC_TEXT_LEN)
        {
            goto bad;
        }

        text_copy(alert->labels[alert->label_count][0], SPEC_TEXT_LEN,
                  item->string);
        text_copy(alert->labels[alert->label_count++][1], SPEC_TEXT_LEN,
                  item->valuestring);
    }

    return 0;

bad:

    return spec_fail(error, prefix, "match", "must be an object of at most "
                     "%d labels and their values (patterns)",
                     SETTINGS_MAX_LABELS);
}


int
settings_read_alerts(settings_t *settings, const cJSON *json,
    spec_error_t *error)
{
    char      path[48];
    unsigned  i;

    text_copy(settings->alert_label, SPEC_TEXT_LEN, "upstream");

    if (json == NULL) {
        return 0;
    }

    if (spec_check_object(json, "alerts", alerts_fields, error) != 0
        || settings_text(json, "alerts", "label", settings->alert_label,
                         SPEC_TEXT_LEN, error) != 0
        || settings_list(json, "alerts", "rules", SETTINGS_MAX,
                         &settings->alert_count, error) != 0)
    {
        return -1;
    }

    for (i = 0; i < settings->alert_count; i++) {
        text_format(path, sizeof(path), "alerts.rules[%u]", i);

        if (read_alert(cJSON_GetArrayItem(settings_member(json, "rules"),
                                          (int) i),
                       path, &settings->alerts[i], error) != 0)
        {
            return -1;
        }
    }

    return 0;
}


int
settings_read_freeze(settings_t *settings, const cJSON *json,
    spec_error_t *error)
{
    char                path[48];
    unsigned            i;
    const cJSON        *item;
    settings_freeze_t  *freeze;

    if (settings_list(json, "freeze", "", SETTINGS_MAX,
                      &settings->freeze_count, error) != 0)
    {
        return -1;
    }

    for (i = 0; i < settings->freeze_count; i++) {
        text_format(path, sizeof(path), "freeze[%u]", i);
        item = cJSON_GetArrayItem(json, (int) i);
        freeze = &settings->freezes[i];

        if (spec_check_object(item, path, freeze_fields, error) != 0
            || spec_read_name(item, path, "name", freeze->name, error) != 0
            || settings_text(item, path, "upstreams", freeze->upstreams,
                             sizeof(freeze->upstreams), error) != 0
            || window_read(item, path, &freeze->window, error) != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
read_step(const settings_t *settings, const cJSON *json, const char *prefix,
    settings_step_t *step, spec_error_t *error)
{
    const cJSON  *hook;

    hook = settings_member(json, "hook");

    if (spec_check_object(json, prefix, step_fields, error) != 0) {
        return -1;
    }

    if (hook == NULL) {
        step->kind = RUNBOOK_WAIT;

        if (spec_read_duration(json, prefix, "wait", 1, 3600000, &step->ms,
                               error) != 0)
        {
            return -1;
        }

        return step->ms > 0 ? 0 : spec_fail(error, prefix, "hook",
                                            "or wait must be there");
    }

    step->ms = 5000;

    if (!cJSON_IsString(hook) || !url_is_http(hook->valuestring)) {
        return spec_fail(error, prefix, "hook",
                         "must be an http or https URL");
    }

    text_copy(step->url, URL_LEN, hook->valuestring);

    return spec_read_duration(json, prefix, "timeout", 10, 60000, &step->ms,
                              error) != 0
           || settings_secret(settings, json, prefix, "secret", step->secret,
                              error) != 0 ? -1 : 0;
}


static int
read_health(const settings_t *settings, const cJSON *json,
    const char *prefix, settings_health_t *health, spec_error_t *error)
{
    char           path[64];
    int64_t        fall, rise, tries;
    unsigned       i;
    const cJSON   *probe;
    static const char  empty[] = "{}";
    cJSON         *none;
    int            rc;

    fall = 3;
    rise = 2;
    tries = 3;
    health->interval_ms = 5000;
    health->backoff_ms = 10000;
    probe = settings_member(json, "probe");
    text_format(path, sizeof(path), "%s.probe", prefix);

    if (spec_check_object(json, prefix, health_fields, error) != 0
        || settings_text(json, prefix, "upstreams", health->upstreams,
                         SPEC_NAME_LEN, error) != 0
        || settings_text(json, prefix, "groups", health->groups,
                         SPEC_NAME_LEN, error) != 0
        || spec_read_duration(json, prefix, "interval", 100, 3600000,
                              &health->interval_ms, error) != 0
        || spec_read_duration(json, prefix, "backoff", 10, 3600000,
                              &health->backoff_ms, error) != 0
        || spec_read_integer(json, prefix, "fall", 1, 100, &fall, error) != 0
        || spec_read_integer(json, prefix, "rise", 1, 100, &rise, error) != 0
        || spec_read_integer(json, prefix, "tries", 0, 20, &tries, error)
           != 0
        || settings_list(json, prefix, "runbook", SETTINGS_MAX_STEPS,
                         &health->step_count, error) != 0)
    {
        return -1;
    }

    health->fall = (unsigned) fall;
    health->rise = (unsigned) rise;
    health->tries = (unsigned) tries;

    none = probe == NULL ? cJSON_Parse(empty) : NULL;
    rc = spec_read_smoke(probe != NULL ? probe : none, path, &health->probe,
                         error);
    cJSON_Delete(none);

    if (rc != 0) {
        return -1;
    }

    for (i = 0; i < health->step_count; i++) {
        text_format(path, sizeof(path), "%s.runbook[%u]", prefix, i);

        if (read_step(settings,
                      cJSON_GetArrayItem(settings_member(json, "runbook"),
                                         (int) i),
                      path, &health->steps[i], error) != 0)
        {
            return -1;
        }
    }

    return 0;
}


int
settings_read_health(settings_t *settings, const cJSON *json,
    spec_error_t *error)
{
    char      path[48];
    unsigned  i;

    if (settings_list(json, "health", "", SETTINGS_MAX,
                      &settings->health_count, error) != 0)
    {
        return -1;
    }

    for (i = 0; i < settings->health_count; i++) {
        text_format(path, sizeof(path), "health[%u]", i);

        if (read_health(settings, cJSON_GetArrayItem(json, (int) i), path,
                        &settings->health[i], error) != 0)
        {
            return -1;
        }
    }

    return 0;
}
