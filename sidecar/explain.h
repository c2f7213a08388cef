/*
 * Why a rollout is where it is, and what would have to happen for it to go
 * on or back: for people and for programs.  Pure.
 */

#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "decision.h"

/* An event's JSON (event_json()) in one line; buf gets at most size bytes. */
char *explain_event(const cJSON *event, char *buf, unsigned size);

/*
 * {"id", "upstream", "state", "summary", "now", "decisions", "next"} of what
 * is known in *now, whose before and wanted are not used.  decisions, an array
 * of events, is taken over; each gets a "text".  The caller owns it.
 */
cJSON *explain_json(const decision_t *now, cJSON *decisions);

#endif
