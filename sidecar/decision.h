/*
 * What a decision was made upon, as JSON: the data of an event.  Pure.
 */

#ifndef DECISION_H
#define DECISION_H

#include "fleet.h"
#include "record.h"
#include "release.h"

typedef struct {
    const release_t   *release;    /* with the decision made */
    const rollout_t   *before;     /* its state before; NULL: there was none */
    const evidence_t  *evidence;   /* NULL: unknown */
    const record_t    *present;    /* the record that was found; NULL: none */
    const record_t    *wanted;     /* that was written; NULL: the record
                                      stays */
    const fleet_t     *fleet;      /* NULL: unknown */
    const char        *leader;     /* "token:node"; NULL: any node may */
} decision_t;                      /* all borrowed */

/* The caller owns it; never NULL. */
cJSON *decision_json(const decision_t *decision);
char *decision_text(const decision_t *decision);

#endif
