#include "settings.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "core/spec_fields.h"
#include "core/text.h"
#include "settings_read.h"

static const char *const  settings_sections[] = {
    "secrets", "ca_file", "notify", "incidents", "alerts", "freeze",
    "health", NULL
};

static const char *const  notify_fields[] = { "channels", "routes", NULL };

static const char *const  channel_types[] = {
    "slack", "teams", "discord", "pagerduty", "webhook", "email", NULL
};

static const char *const  channel_fields[] = {
    "name", "type", "url", "url_secret", "secret", "server", "user", "from",
    "to", "template", NULL
};

static const char *const  route_fields[] = {
    "events", "severity", "upstreams", "channels", NULL
};

static const char *const  severities[] = {
    "info", "warning", "error", "critical", NULL
};

static const char *const  incident_fields[] = {
    "escalate", "runbooks", NULL
};

static const char *const  level_fields[] = { "after", "channels", NULL };

static const char *const  runbook_fields[] = {
    "revert", "guard", "alert", "server", NULL
};


bool
settings_is_section(const char *name)
{
    unsigned  i;

    for (i = 0; settings_sections[i] != NULL; i++) {
        if (strcmp(settings_sections[i], name) == 0) {
            return true;
        }
    }

    return false;
}


bool
settings_matches(const char *pattern, const char *name)
{
    return pattern[0] == '\0' || fnmatch(pattern, name, 0) == 0;
}


const char *
severity_name(severity_t severity)
{
    return severities[severity];
}


const cJSON *
settings_member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


int
settings_text(const cJSON *json, const char *prefix, const char *field,
    char *value, size_t size, spec_error_t *error)
{
    const cJSON  *item;

    item = settings_member(json, field);

    if (item == NULL) {
        return 0;
    }

    if (!cJSON_IsString(item) || strlen(item->valuestring) >= size
        || !text_is_clean(item->valuestring))
    {
        return spec_fail(error, prefix, field, "must be a text of at most "
                         "%zu bytes", size - 1);
    }

    text_copy(value, size, item->valuestring);

    return 0;
}


int
settings_secret(const settings_t *settings, const cJSON *json,
    const char *prefix, const char *field, char *name, spec_error_t *error)
{
    if (settings_text(json, prefix, field, name, SPEC_NAME_LEN, error) != 0) {
        return -1;
    }

    if (name[0] != '\0' && secrets_get(settings->secrets, name) == NULL) {
        return spec_fail(error, prefix, field, "there is no such secret in "
                         "secrets");
    }

    return 0;
}


int
settings_list(const cJSON *json, const char *prefix, const char *field,
    unsigned max, unsigned *count, spec_error_t *error)
{
    const cJSON  *list;

    list = field[0] != '\0' ? settings_member(json, field) : json;
    *count = 0;

    if (list == NULL) {
        return 0;
    }

    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > (int) max) {
        return spec_fail(error, prefix, field, "must be a list of at most %u",
                         max);
    }

    *count = (unsigned) cJSON_GetArraySize(list);

    return 0;
}


static int
read_channel(settings_t *settings, const cJSON *json, const char *prefix,
    settings_channel_t *channel, spec_error_t *error)
{
    int           type;
    unsigned      i;
    const cJSON  *to;

    type = -1;

    if (spec_check_object(json, prefix, channel_fields, error) != 0
        || spec_read_name(json, prefix, "name", channel->name, error) != 0
        || spec_read_choice(json, prefix, "type", channel_types, &type,
                            error) != 0
        || settings_text(json, prefix, "url", channel->url, URL_LEN, error)
           != 0
        || settings_secret(settings, json, prefix, "url_secret",
                           channel->url_secret, error) != 0
        || settings_secret(settings, json, prefix, "secret", channel->secret,
                           error) != 0
        || settings_text(json, prefix, "user", channel->user,
                         sizeof(channel->user), error) != 0
        || settings_text(json, prefix, "from", channel->from,
                         sizeof(channel->from), error) != 0
        || settings_text(json, prefix, "template", channel->template,
                         sizeof(channel->template), error) != 0
        || settings_list(json, prefix, "to", SETTINGS_MAX_CHANNELS,
                         &channel->to_count, error) != 0)
    {
        return -1;
    }

    if (type < 0 || channel->name[0] == '\0') {
        return spec_fail(error, prefix, type < 0 ? "type" : "name",
                         "is required");
    }

    channel->type = (channel_type_t) type;

    if (channel->type == CHANNEL_EMAIL) {
        if (settings_text(json, prefix, "server", channel->url, URL_LEN,
                          error) != 0)
        {
            return -1;
        }

        if (!url_is_mail(channel->url)) {
            return spec_fail(error, prefix, "server", "must be an smtp or "
                             "smtps URL");
        }

        for (i = 0; i < channel->to_count; i++) {
            to = cJSON_GetArrayItem(settings_member(json, "to"), (int) i);

            if (!cJSON_IsString(to) || !strchr(to->valuestring, '@')
                || strpbrk(to->valuestring, "<>, \t") != NULL
                || strlen(to->valuestring) >= SPEC_TEXT_LEN
                || !text_is_clean(to->valuestring))
            {
                return spec_fail(error, prefix, "to",
                                 "must be a list of mail addresses");
            }

            text_copy(channel->to[i], SPEC_TEXT_LEN, to->valuestring);
        }

        if (channel->to_count == 0 || strchr(channel->from, '@') == NULL
            || strpbrk(channel->from, "<>, \t") != NULL)
        {
            return spec_fail(error, prefix, channel->to_count ? "from" : "to",
                             "must be there: mail addresses");
        }

        return 0;
    }

    if (channel->type == CHANNEL_PAGERDUTY) {
        if (channel->url[0] == '\0') {
            text_copy(channel->url, URL_LEN,
                      "https://events.pagerduty.com/v2/enqueue");
        }

        if (channel->secret[0] == '\0') {
            return spec_fail(error, prefix, "secret",
                             "is required: the routing key");
        }
    }

    if (channel->url_secret[0] == '\0' ? !url_is_http(channel->url)
        : !url_is_http(secrets_get(settings->secrets, channel->url_secret)))
    {
        return spec_fail(error, prefix, channel->url_secret[0] ? "url_secret"
                         : "url", "must be an http or https URL");
    }

    return 0;
}


static int
read_channels(const settings_t *settings, const cJSON *json,
    const char *prefix, unsigned *count, unsigned *list, spec_error_t *error)
{
    unsigned      i, k;
    const cJSON  *name;

    if (settings_list(json, prefix, "channels", SETTINGS_MAX_CHANNELS, count,
                      error) != 0)
    {
        return -1;
    }

    for (i = 0; i < *count; i++) {
        name = cJSON_GetArrayItem(settings_member(json, "channels"), (int) i);

        for (k = 0; k < settings->channel_count; k++) {
            if (cJSON_IsString(name)
                && strcmp(settings->channels[k].name, name->valuestring)
                   == 0)
            {
                break;
            }
        }

        if (k == settings->channel_count) {
            return spec_fail(error, prefix, "channels",
                             "must name channels of notify.channels");
        }

        list[i] = k;
    }

    return *count > 0 ? 0 : spec_fail(error, prefix, "channels",
                                      "must name at least one channel");
}


static int
read_route(settings_t *settings, const cJSON *json, const char *prefix,
    settings_route_t *route, spec_error_t *error)
{
    int           severity;
    unsigned      i;
    const cJSON  *event;

    severity = 0;

    if (spec_check_object(json, prefix, route_fields, error) != 0
        || spec_read_choice(json, prefix, "severity", severities, &severity,
                            error) != 0
        || settings_text(json, prefix, "upstreams", route->upstreams,
                         sizeof(route->upstreams), error) != 0
        || settings_list(json, prefix, "events", SETTINGS_MAX_EVENTS,
                         &route->event_count, error) != 0
        || read_channels(settings, json, prefix, &route->channel_count,
                         route->channels, error) != 0)
    {
        return -1;
    }

    route->severity = (severity_t) severity;

    for (i = 0; i < route->event_count; i++) {
        event = cJSON_GetArrayItem(settings_member(json, "events"), (int) i);

        if (!cJSON_IsString(event) || strlen(event->valuestring) >= 32) {
            return spec_fail(error, prefix, "events",
                             "must be a list of types of events");
        }

        text_copy(route->events[i], 32, event->valuestring);
    }

    return 0;
}


static int
read_notify(settings_t *settings, const cJSON *json, spec_error_t *error)
{
    char      path[48];
    unsigned  i;

    if (json == NULL) {
        return 0;
    }

    if (spec_check_object(json, "notify", notify_fields, error) != 0
        || settings_list(json, "notify", "channels", SETTINGS_MAX,
                         &settings->channel_count, error) != 0
        || settings_list(json, "notify", "routes", SETTINGS_MAX,
                         &settings->route_count, error) != 0)
    {
        return -1;
    }

    for (i = 0; i < settings->channel_count; i++) {
        text_format(path, sizeof(path), "notify.channels[%u]", i);

        if (read_channel(settings,
                         cJSON_GetArrayItem(settings_member(json, "channels"),
                                            (int) i),
                         path, &settings->channels[i], error) != 0)
        {
            return -1;
        }
    }

    for (i = 0; i < settings->route_count; i++) {
        text_format(path, sizeof(path), "notify.routes[%u]", i);

        if (read_route(settings,
                       cJSON_GetArrayItem(settings_member(json, "routes"),
                                          (int) i),
                       path, &settings->routes[i], error) != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
read_incidents(settings_t *settings, const cJSON *json, spec_error_t *error)
{
    char              path[48];
    unsigned          i;
    const cJSON      *item, *runbooks;
    settings_level_t  *level;

    if (json == NULL) {
        return 0;
    }

    runbooks = settings_member(json, "runbooks");

    if (spec_check_object(json, "incidents", incident_fields, error) != 0
        || settings_list(json, "incidents", "escalate", SETTINGS_MAX_LEVELS,
                         &settings->level_count, error) != 0
        || (runbooks != NULL
            && spec_check_object(runbooks, "incidents.runbooks",
                                 runbook_fields, error) != 0))
    {
        return -1;
    }

    for (i = 0; runbook_fields[i] != NULL; i++) {
        if (settings_text(runbooks, "incidents.runbooks", runbook_fields[i],
                          settings->runbooks[i], URL_LEN, error) != 0)
        {
            return -1;
        }
    }

    for (i = 0; i < settings->level_count; i++) {
        text_format(path, sizeof(path), "incidents.escalate[%u]", i);
        item = cJSON_GetArrayItem(settings_member(json, "escalate"), (int) i);
        level = &settings->levels[i];

        if (spec_check_object(item, path, level_fields, error) != 0
            || spec_read_duration(item, path, "after", 1000, 86400000,
                                  &level->after_ms, error) != 0
            || read_channels(settings, item, path, &level->channel_count,
                             level->channels, error) != 0)
        {
            return -1;
        }

        if (level->after_ms == 0) {
            return spec_fail(error, path, "after", "is required");
        }
    }

    return 0;
}


settings_t *
settings_new(const cJSON *sections, spec_error_t *error)
{
    settings_t   *settings;
    const cJSON  *ca;

    settings = calloc(1, sizeof(settings_t));
    if (settings == NULL) {
        abort();
    }

    memset(error, 0, sizeof(spec_error_t));
    ca = settings_member(sections, "ca_file");

    if (ca != NULL) {
        if (!cJSON_IsString(ca) || ca->valuestring[0] != '/'
            || strlen(ca->valuestring) >= sizeof(settings->ca_file))
        {
            spec_fail(error, "", "ca_file", "must be an absolute path");
            goto failed;
        }

        text_copy(settings->ca_file, sizeof(settings->ca_file),
                  ca->valuestring);
    }

    settings->secrets = secrets_new(settings_member(sections, "secrets"),
                                    error);

    if (settings->secrets == NULL
        || read_notify(settings, settings_member(sections, "notify"), error)
           != 0
        || read_incidents(settings, settings_member(sections, "incidents"),
                          error) != 0
        || settings_read_alerts(settings, settings_member(sections, "alerts"),
                                error) != 0
        || settings_read_freeze(settings, settings_member(sections, "freeze"),
                                error) != 0
        || settings_read_health(settings, settings_member(sections, "health"),
                                error) != 0)
    {
        goto failed;
    }

    return settings;

failed:

    settings_free(settings);

    return NULL;
}


void
settings_free(settings_t *settings)
{
    if (settings == NULL) {
        return;
    }

    secrets_free(settings->secrets);
    free(settings);
}
