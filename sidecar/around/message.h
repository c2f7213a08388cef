/* What people are told, and how each service wants to hear it. */

#ifndef AROUND_MESSAGE_H
#define AROUND_MESSAGE_H

#include "settings.h"

#define MESSAGE_TEXT_LEN  1024

typedef struct {
    const char  *position;         /* of the event: names it for ever */
    const char  *upstream;
    const char  *event;
    severity_t   severity;
    const char  *rollout;          /* "": none */
    const char  *actor;
    const char  *detail;
    const char  *incident;         /* its id; "": none */
    const char  *runbook;          /* "": none */
    const char  *node;
    int64_t      at_ms;
} message_t;

/* How important an event is by its type. */
severity_t message_severity(const char *event);

/* The channel's template, filled in; {{upstream}}, {{event}}, {{severity}},
 * {{rollout}}, {{actor}}, {{detail}}, {{incident}}, {{runbook}}, {{time}}. */
void message_text(const message_t *message, const char *template,
    char text[MESSAGE_TEXT_LEN]);

/* The body to be sent, to be freed: JSON, or a mail with its headers.
 * secret is PagerDuty's routing key. */
char *message_body(const message_t *message,
    const settings_channel_t *channel, const char *secret);

#endif
