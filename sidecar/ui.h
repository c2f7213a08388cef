/* The dashboard: the files of sidecar/ui, compiled in, below /ui/.  They hold
 * no data and need no login; what they show comes from the API, which does. */

#ifndef UI_H
#define UI_H

#include "lib/http_server.h"

/* GET /ui/ and GET /ui/{}. */
void ui_file(void *arg, http_exchange_t *exchange);
/* GET / and GET /ui: to ui/. */
void ui_redirect(void *arg, http_exchange_t *exchange);

#endif
