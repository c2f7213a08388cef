/* An entry of an event stream as people and programs get it.  Pure. */

#ifndef EVENT_H
#define EVENT_H

#include <cjson/cJSON.h>

#include "core/spec.h"
#include "store.h"

#define EVENT_ID_LEN  (SPEC_NAME_LEN + STORE_POSITION_LEN)   /* with '/' */

#define EVENT_GAP     "gap"        /* the type of no entry */

/* As docs/rest-api.md has it; the caller owns it. */
cJSON *event_json(const char *upstream, const store_entry_t *entry);

/* What a listener is told who asked for what came after an event that is not
 * kept; oldest is a position, NULL: no event is kept.  The caller owns it. */
cJSON *event_gap_json(const char *upstream, const char *asked,
    const char *oldest);

/* "app/1700-0" into its parts; 0, or -1 if it is not that. */
int event_id_parse(const char *id, char upstream[SPEC_NAME_LEN],
    char position[STORE_POSITION_LEN]);

#endif
