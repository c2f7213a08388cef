/* A rollout that is being created, from a spec of the client or of an
 * earlier rollout. */

#ifndef API_CREATE_H
#define API_CREATE_H

#include "api_internal.h"
#include "fleet.h"

typedef struct {
    api_job_t       job;
    rollout_spec_t  spec;          /* owned */
    release_t       release;       /* its spec borrows */
    char           *evidence;
    record_t        present;
    fleet_t         fleet;
    unsigned        tries;
    char            actor[ROLLOUT_ACTOR_LEN];      /* "": who asked */
    char            reason[ROLLOUT_REASON_LEN];    /* of its first state */

    /* api_again.c */
    char            upstream[SPEC_NAME_LEN];
    char            version[SPEC_TEXT_LEN];        /* asked for; "": any */
    char            group[SPEC_NAME_LEN];  /* that a rollback goes to */
    char            ids[100][RELEASE_ID_LEN];      /* newest first */
    unsigned        id_count;
    unsigned        at;
    unsigned        used_count;    /* groups that got a version since */
    char            used[8][SPEC_NAME_LEN];
    bool            current;       /* the one that is stable was seen */
    cJSON          *list;          /* owned; of a history */
} create_job_t;

/* NULL: it is answered. */
create_job_t *api_create_new(api_t *api, http_exchange_t *exchange);
/* With its spec: checks and creates it, and answers. */
void api_create_begin(create_job_t *create);

#endif
