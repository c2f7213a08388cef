/* What weights and nodes share. */

#ifndef CTL_FLEET_H
#define CTL_FLEET_H

#include "ctl.h"

/*
 * Reads /v1/upstreams and calls each for those that were asked for; its
 * return values are added to *bad.  With --json they are printed as they are.
 * 0 or an exit code after an error message.
 */
int fleet_each(const ctl_args_t *args,
    unsigned (*each)(const ctl_args_t *args, const cJSON *upstream),
    unsigned *bad);

#endif
