/*
 * The payloads: Slack incoming webhooks (text, attachments), Teams workflow
 * webhooks (a message with an adaptive card), Discord webhooks (embeds),
 * PagerDuty Events API v2, a webhook of our own, and mail (RFC 5322).
 */

#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/text.h"
#include "core/value.h"
#include "lib/timefmt.h"

#define MESSAGE_TEMPLATE  "[{{severity}}] {{upstream}}: {{event}}: {{detail}}"

static const char *const  colors[] = {
    "#2eb886", "#daa038", "#d0512f", "#a30200"
};


severity_t
message_severity(const char *event)
{
    unsigned  i;

    static const struct {
        const char  *event;
        severity_t   severity;
    } known[] = {
        { "reverting", SEVERITY_ERROR }, { "aborted", SEVERITY_WARNING },
        { "waiting", SEVERITY_WARNING }, { "group_out", SEVERITY_WARNING },
        { "adopted", SEVERITY_WARNING }, { "reverted", SEVERITY_WARNING },
        { "republished", SEVERITY_WARNING }, { "alert", SEVERITY_WARNING },
        { "unhealthy", SEVERITY_WARNING }, { "unhealed", SEVERITY_ERROR },
        { "incident-opened", SEVERITY_ERROR },
        { "incident-escalated", SEVERITY_CRITICAL },
    };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].event, event) == 0) {
            return known[i].severity;
        }
    }

    return SEVERITY_INFO;
}


static const char *
message_value(const message_t *message, const char *name, size_t len,
    char time[TIME_LEN])
{
    unsigned  i;

    const struct {
        const char  *name;
        const char  *value;
    } values[] = {
        { "upstream", message->upstream }, { "event", message->event },
        { "severity", severity_name(message->severity) },
        { "rollout", message->rollout }, { "actor", message->actor },
        { "detail", message->detail }, { "incident", message->incident },
        { "runbook", message->runbook },
        { "time", time_format(message->at_ms, time, TIME_LEN) }
    };

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strlen(values[i].name) == len
            && strncmp(values[i].name, name, len) == 0)
        {
            return values[i].value;
        }
    }

    return NULL;
}


void
message_text(const message_t *message, const char *template,
    char text[MESSAGE_TEXT_LEN])
{
    char         raw[MESSAGE_TEXT_LEN], time[TIME_LEN];
    size_t       used, len;
    const char  *end, *value;

    used = 0;
    template = template[0] != '\0' ? template : MESSAGE_TEMPLATE;

    while (*template != '\0' && used < sizeof(raw) - 1) {
        end = strncmp(template, "{{", 2) == 0 ? strstr(template, "}}")
                                               : NULL;
        value = end != NULL
                ? message_value(message, template + 2,
                                (size_t) (end - template) - 2, time)
                : NULL;

        if (value == NULL) {
            raw[used++] = *template++;
            continue;
        }

        len = strlen(value);
        len = len < sizeof(raw) - 1 - used ? len : sizeof(raw) - 1 - used;
        memcpy(raw + used, value, len);
        used += len;
        template = end + 2;
    }

    raw[used] = '\0';
    text_copy(text, MESSAGE_TEXT_LEN, raw);
}


/* --- JSON --- */

static void
message_fact(cJSON *list, const char *key, const char *name,
    const char *value_key, const char *value, const char *flag)
{
    cJSON  *fact;

    if (value[0] == '\0') {
        return;
    }

    fact = cJSON_CreateObject();
    cJSON_AddStringToObject(fact, key, name);
    cJSON_AddStringToObject(fact, value_key, value);

    if (flag != NULL) {
        cJSON_AddTrueToObject(fact, flag);
    }

    cJSON_AddItemToArray(list, fact);
}


static void
message_facts(const message_t *message, cJSON *list, const char *key,
    const char *value_key, const char *flag)
{
    message_fact(list, key, "Upstream", value_key, message->upstream, flag);
    message_fact(list, key, "Event", value_key, message->event, flag);
    message_fact(list, key, "Rollout", value_key, message->rollout, flag);
    message_fact(list, key, "By", value_key, message->actor, flag);
    message_fact(list, key, "Incident", value_key, message->incident, flag);
    message_fact(list, key, "Runbook", value_key, message->runbook, flag);
}


/* What its markup would take for a mention, a link or an entity. */
static void
message_escape(const char *from, char *to, size_t size)
{
    size_t  used;

    for (used = 0; *from != '\0' && used + 6 < size; from++) {
        if (*from == '&') {
            used += (size_t) snprintf(to + used, size - used, "&amp;");

        } else if (*from == '<') {
            used += (size_t) snprintf(to + used, size - used, "&lt;");

        } else if (*from == '>') {
            used += (size_t) snprintf(to + used, size - used, "&gt;");

        } else {
            to[used++] = *from;
        }
    }

    to[used] = '\0';
}


static cJSON *
message_slack(const message_t *message, const char *text)
{
    char    escaped[MESSAGE_TEXT_LEN * 2];
    cJSON  *json, *list, *attachment;

    message_escape(text, escaped, sizeof(escaped));
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "text", escaped);
    list = cJSON_AddArrayToObject(json, "attachments");
    attachment = cJSON_CreateObject();
    cJSON_AddItemToArray(list, attachment);
    cJSON_AddStringToObject(attachment, "color", colors[message->severity]);
    cJSON_AddStringToObject(attachment, "fallback", escaped);
    message_facts(message, cJSON_AddArrayToObject(attachment, "fields"),
                  "title", "value", "short");
    cJSON_AddStringToObject(attachment, "footer", message->node);
    cJSON_AddNumberToObject(attachment, "ts",
                            (double) (message->at_ms / 1000));

    return json;
}


static cJSON *
message_teams(const message_t *message, const char *text)
{
    cJSON  *json, *attachment, *card, *body, *block, *facts;

    static const char *const  styles[] = {
        "Good", "Warning", "Attention", "Attention"
    };

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "type", "message");
    attachment = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(json, "attachments"),
                         attachment);
    cJSON_AddStringToObject(attachment, "contentType",
                            "application/vnd.microsoft.card.adaptive");
    cJSON_AddNullToObject(attachment, "contentUrl");
    card = cJSON_AddObjectToObject(attachment, "content");
    cJSON_AddStringToObject(card, "$schema",
                            "http://adaptivecards.io/schemas/"
                            "adaptive-card.json");
    cJSON_AddStringToObject(card, "type", "AdaptiveCard");
    cJSON_AddStringToObject(card, "version", "1.2");
    body = cJSON_AddArrayToObject(card, "body");

    block = cJSON_CreateObject();
    cJSON_AddItemToArray(body, block);
    cJSON_AddStringToObject(block, "type", "TextBlock");
    cJSON_AddStringToObject(block, "text", text);
    cJSON_AddStringToObject(block, "weight", "Bolder");
    cJSON_AddStringToObject(block, "color", styles[message->severity]);
    cJSON_AddTrueToObject(block, "wrap");

    facts = cJSON_CreateObject();
    cJSON_AddItemToArray(body, facts);
    cJSON_AddStringToObject(facts, "type", "FactSet");
    message_facts(message, cJSON_AddArrayToObject(facts, "facts"), "title",
                  "value", NULL);

    return json;
}


static cJSON *
message_discord(const message_t *message, const char *text)
{
    char    time[TIME_LEN], title[200];
    cJSON  *json, *embed, *mentions;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "username", "nginx-canary");
    mentions = cJSON_AddObjectToObject(json, "allowed_mentions");
    cJSON_AddArrayToObject(mentions, "parse");
    embed = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(json, "embeds"), embed);
    text_format(title, sizeof(title), "%s: %s", message->upstream,
                message->event);
    cJSON_AddStringToObject(embed, "title", title);
    cJSON_AddStringToObject(embed, "description", text);
    cJSON_AddNumberToObject(embed, "color",
                            (double) strtol(colors[message->severity] + 1,
                                            NULL, 16));
    message_facts(message, cJSON_AddArrayToObject(embed, "fields"), "name",
                  "value", "inline");
    cJSON_AddStringToObject(embed, "timestamp",
                            time_format(message->at_ms, time, sizeof(time)));

    return json;
}


static cJSON *
message_pagerduty(const message_t *message, const char *text,
    const char *secret)
{
    bool         trigger;
    char         time[TIME_LEN];
    cJSON       *json, *payload, *details;
    const char  *action;

    action = strcmp(message->event, "incident-acknowledged") == 0
             ? "acknowledge"
             : strcmp(message->event, "incident-resolved") == 0
             ? "resolve" : "trigger";
    trigger = strcmp(action, "trigger") == 0;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "routing_key", secret);
    cJSON_AddStringToObject(json, "event_action", action);
    cJSON_AddStringToObject(json, "dedup_key",
                            message->incident[0] != '\0' ? message->incident
                            : message->rollout[0] != '\0' ? message->rollout
                            : message->upstream);

    if (!trigger) {
        return json;
    }

    payload = cJSON_AddObjectToObject(json, "payload");
    cJSON_AddStringToObject(payload, "summary", text);
    cJSON_AddStringToObject(payload, "source", message->node);
    cJSON_AddStringToObject(payload, "severity",
                            severity_name(message->severity));
    cJSON_AddStringToObject(payload, "timestamp",
                            time_format(message->at_ms, time, sizeof(time)));
    cJSON_AddStringToObject(payload, "component", message->upstream);
    cJSON_AddStringToObject(payload, "class", message->event);
    details = cJSON_AddObjectToObject(payload, "custom_details");
    cJSON_AddStringToObject(details, "rollout", message->rollout);
    cJSON_AddStringToObject(details, "actor", message->actor);
    cJSON_AddStringToObject(details, "detail", message->detail);
    cJSON_AddStringToObject(details, "runbook", message->runbook);
    cJSON_AddStringToObject(json, "client", "nginx-canary");

    return json;
}


static cJSON *
message_webhook(const message_t *message, const char *text)
{
    char    time[TIME_LEN];
    cJSON  *json;

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", message->position);
    cJSON_AddStringToObject(json, "text", text);
    cJSON_AddStringToObject(json, "upstream", message->upstream);
    cJSON_AddStringToObject(json, "event", message->event);
    cJSON_AddStringToObject(json, "severity",
                            severity_name(message->severity));
    cJSON_AddStringToObject(json, "rollout", message->rollout);
    cJSON_AddStringToObject(json, "actor", message->actor);
    cJSON_AddStringToObject(json, "detail", message->detail);
    cJSON_AddStringToObject(json, "incident", message->incident);
    cJSON_AddStringToObject(json, "runbook", message->runbook);
    cJSON_AddStringToObject(json, "node", message->node);
    cJSON_AddStringToObject(json, "at",
                            time_format(message->at_ms, time, sizeof(time)));

    return json;
}


/* --- mail --- */

static void
message_put(char *mail, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
message_put(char *mail, size_t size, const char *format, ...)
{
    size_t   used;
    va_list  args;

    used = strlen(mail);
    va_start(args, format);
    vsnprintf(mail + used, size - used, format, args);
    va_end(args);
}


static char *
message_mail(const message_t *message, const settings_channel_t *channel,
    const char *text)
{
    char       *mail, date[64], subject[160];
    size_t      size, i;
    time_t      seconds;
    unsigned    k;
    struct tm   tm;

    size = 8192;
    mail = calloc(1, size);
    if (mail == NULL) {
        abort();
    }

    seconds = (time_t) (message->at_ms / 1000);
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);

    /* A header is ASCII; the whole text follows in the body. */
    text_format(subject, sizeof(subject), "[%s] %s: %s",
                severity_name(message->severity), message->upstream,
                message->event);

    for (i = 0; subject[i] != '\0'; i++) {
        if ((unsigned char) subject[i] >= 0x7f) {
            subject[i] = '?';
        }
    }

    message_put(mail, size, "Date: %s\r\nFrom: <%s>\r\nTo: ", date,
                channel->from);

    for (k = 0; k < channel->to_count; k++) {
        message_put(mail, size, "%s<%s>", k > 0 ? ",\r\n " : "",
                    channel->to[k]);
    }

    message_put(mail, size, "\r\nSubject: %s\r\n"
                "Message-ID: <%s.%s.%s@nginx-canary>\r\n"
                "MIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\n"
                "Content-Transfer-Encoding: 8bit\r\n"
                "Auto-Submitted: auto-generated\r\n\r\n"
                "%.900s\r\n\r\n"
                "Upstream: %.100s\r\nEvent: %.100s\r\nRollout: %.100s\r\n"
                "By: %.100s\r\nIncident: %.100s\r\nRunbook: %.520s\r\n"
                "Node: %.100s\r\n",
                subject, message->position, message->upstream, channel->name,
                text, message->upstream, message->event, message->rollout,
                message->actor, message->incident, message->runbook,
                message->node);

    return mail;
}


char *
message_body(const message_t *message, const settings_channel_t *channel,
    const char *secret)
{
    char   *body, text[MESSAGE_TEXT_LEN];
    cJSON  *json;

    message_text(message, channel->template, text);

    switch (channel->type) {

    case CHANNEL_SLACK:
        json = message_slack(message, text);
        break;

    case CHANNEL_TEAMS:
        json = message_teams(message, text);
        break;

    case CHANNEL_DISCORD:
        json = message_discord(message, text);
        break;

    case CHANNEL_PAGERDUTY:
        json = message_pagerduty(message, text, secret);
        break;

    case CHANNEL_WEBHOOK:
        json = message_webhook(message, text);
        break;

    default:
        return message_mail(message, channel, text);
    }

    body = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    return body;
}
