/* One request to one server, and whether its answer is good: of smoke tests
 * and health checks. */

#ifndef SMOKE_H
#define SMOKE_H

#include "core/spec_gates.h"
#include "lib/fetch.h"

fetch_call_t *smoke_send(fetch_t *fetch, const gates_smoke_t *smoke,
    const char *server, fetch_done_pt done, void *arg);

/* False with what is wrong in detail (ROLLOUT_REASON_LEN bytes). */
bool smoke_passes(const gates_smoke_t *smoke, const char *server,
    const fetch_result_t *answer, char *detail);

#endif
