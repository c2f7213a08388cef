/*
 * The sections of canaryd's configuration about what surrounds a rollout:
 * secrets, notifications, incidents, alerts, freezes, health.
 */

#ifndef AROUND_SETTINGS_H
#define AROUND_SETTINGS_H

#include <cjson/cJSON.h>

#include "core/spec.h"
#include "core/spec_gates.h"
#include "core/url.h"
#include "secrets.h"
#include "window.h"

#define SETTINGS_MAX           32  /* of each kind */
#define SETTINGS_MAX_CHANNELS  8   /* of a route or level */
#define SETTINGS_MAX_EVENTS    16
#define SETTINGS_MAX_LABELS    8
#define SETTINGS_MAX_STEPS     8   /* of a runbook */
#define SETTINGS_MAX_LEVELS    4
#define SETTINGS_TEMPLATE_LEN  512

typedef enum {
    SEVERITY_INFO = 0,
    SEVERITY_WARNING,
    SEVERITY_ERROR,
    SEVERITY_CRITICAL
} severity_t;

typedef enum {
    CHANNEL_SLACK = 0,
    CHANNEL_TEAMS,
    CHANNEL_DISCORD,
    CHANNEL_PAGERDUTY,
    CHANNEL_WEBHOOK,
    CHANNEL_EMAIL
} channel_type_t;

typedef struct {
    char            name[SPEC_NAME_LEN];
    channel_type_t  type;
    char            url[URL_LEN];  /* or url_secret; of a mail's server */
    char            url_secret[SPEC_NAME_LEN];
    char            secret[SPEC_NAME_LEN];     /* PagerDuty's routing key,
                                      what a webhook is signed by, the
                                      password of the mail's server */
    char            user[SPEC_TEXT_LEN];
    char            from[SPEC_TEXT_LEN];
    unsigned        to_count;
    char            to[SETTINGS_MAX_CHANNELS][SPEC_TEXT_LEN];
    char            template[SETTINGS_TEMPLATE_LEN];   /* "": the default */
} settings_channel_t;

typedef struct {
    unsigned    event_count;       /* 0: every event */
    char        events[SETTINGS_MAX_EVENTS][32];
    severity_t  severity;          /* at least */
    char        upstreams[SPEC_NAME_LEN];      /* "app*"; "": all */
    unsigned    channel_count;
    unsigned    channels[SETTINGS_MAX_CHANNELS];
} settings_route_t;

/* If nobody acknowledges so long after the incident, these are told. */
typedef struct {
    int64_t     after_ms;
    unsigned    channel_count;
    unsigned    channels[SETTINGS_MAX_CHANNELS];
} settings_level_t;

typedef enum {
    ALERT_NOTE = 0,                /* only an incident */
    ALERT_PAUSE,
    ALERT_REVERT,
    ALERT_IGNORE
} alert_action_t;

typedef struct {
    unsigned        label_count;
    char            labels[SETTINGS_MAX_LABELS][2][SPEC_TEXT_LEN];
    alert_action_t  action;
} settings_alert_t;

typedef struct {
    char      name[SPEC_NAME_LEN];
    char      upstreams[SPEC_NAME_LEN];        /* "": all */
    window_t  window;
} settings_freeze_t;

typedef enum {
    RUNBOOK_HOOK = 0,
    RUNBOOK_WAIT
} runbook_kind_t;

typedef struct {
    runbook_kind_t  kind;
    char            url[URL_LEN];
    char            secret[SPEC_NAME_LEN];
    int64_t         ms;            /* the hook's timeout, or the wait */
} settings_step_t;

typedef struct {
    char             upstreams[SPEC_NAME_LEN];
    char             groups[SPEC_NAME_LEN];    /* "": all */
    gates_smoke_t    probe;
    int64_t          interval_ms;
    unsigned         fall;         /* so many failures in a row: unhealthy */
    unsigned         rise;
    unsigned         step_count;
    settings_step_t  steps[SETTINGS_MAX_STEPS];
    unsigned         tries;        /* of the runbook */
    int64_t          backoff_ms;   /* between them; doubles */
} settings_health_t;

typedef struct {
    secrets_t           *secrets;  /* owned */
    char                 ca_file[256];         /* "": the system's */

    unsigned             channel_count;
    settings_channel_t   channels[SETTINGS_MAX];
    unsigned             route_count;
    settings_route_t     routes[SETTINGS_MAX];

    unsigned             level_count;
    settings_level_t     levels[SETTINGS_MAX_LEVELS];
    char                 runbooks[4][URL_LEN]; /* by incident_kind_t */

    char                 alert_label[SPEC_TEXT_LEN];
    unsigned             alert_count;
    settings_alert_t     alerts[SETTINGS_MAX];

    unsigned             freeze_count;
    settings_freeze_t    freezes[SETTINGS_MAX];

    unsigned             health_count;
    settings_health_t    health[SETTINGS_MAX];
} settings_t;

/* Is it the name of one of these sections? */
bool settings_is_section(const char *name);
/* sections holds those that the file has; NULL: none.  NULL: the error. */
settings_t *settings_new(const cJSON *sections, spec_error_t *error);
void settings_free(settings_t *settings);

/* "app*" and the like; "" matches all. */
bool settings_matches(const char *pattern, const char *name);

const char *severity_name(severity_t severity);

#endif
