/* The REST API of docs/rest-api.md: the routes for lib/http_server.h. */

#ifndef API_H
#define API_H

#include <event2/event.h>

#include "agent.h"
#include "auth/auth.h"
#include "config.h"
#include "controller.h"
#include "lib/http_server.h"
#include "lib/log.h"
#include "store.h"

#define API_MAX_BODY  (256 * 1024)

typedef struct api_s  api_t;

/* All are borrowed.  NULL: no memory. */
api_t *api_new(struct event_base *base, log_t *log, store_t *store,
    agent_t *agent, controller_t *controller, auth_t *auth,
    const config_t *config);
/* After http_server_free(), before store_free(); what is not answered yet is
 * dropped. */
void api_free(api_t *api);

/* Their argument is the api_t. */
const http_route_t *api_routes(void);

/* The gate of lib/http_gate.h, with the same argument. */
void api_gate(void *arg, http_exchange_t *exchange);

/* Answers that are still owed. */
unsigned api_pending(const api_t *api);

#endif
