/* The metrics of canaryd in Prometheus' text format 0.0.4. */

#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>

#include "agent.h"
#include "around.h"
#include "auth/auth.h"
#include "controller.h"
#include "feed.h"
#include "lib/http_server.h"
#include "store.h"

#define METRICS_TYPE  "text/plain; version=0.0.4; charset=utf-8"

/* What the metrics are of; all borrowed. */
typedef struct {
    const store_t       *store;
    const agent_t       *agent;
    const controller_t  *controller;
    const feed_t        *feed;
    const around_t      *around;
    const auth_t        *auth;
    http_server_t       *server;
} metrics_t;

/* To be freed by the caller; NULL: no memory. */
char *metrics_text(const metrics_t *metrics, size_t *len);

#endif
