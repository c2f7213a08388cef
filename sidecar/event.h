/* An entry of an event stream as people and programs get it.  Pure. */

#ifndef EVENT_H
#define EVENT_H

#include <cjson/cJSON.h>

#include "core/spec.h"
#include "store.h"

#define EVENT_ID_LEN  (SPEC_NAME_LEN + STORE_POSITION_LEN)   /* with '/' */

/* As docs/rest-api.md has it; the caller owns it. */
cJSON *event_json(const char *upstream, const store_entry_t *entry);

/* "app/1700-0" into its parts; 0, or -1 if it is not that. */
int event_id_parse(const char *id, char upstream[SPEC_NAME_LEN],
    char position[STORE_POSITION_LEN]);

#endif
