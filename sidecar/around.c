#include "around.h"

#include <stdlib.h>

#include "around/settings.h"


around_t *
around_new(struct event_base *base, log_t *log, store_t *store,
    const config_t *config)
{
    around_t    *around;
    settings_t  *settings = config->settings;

    around = calloc(1, sizeof(around_t));
    if (around == NULL) {
        return NULL;
    }

    around->base = base;
    around->log = log;
    around->store = store;
    around->config = config;
    around->fetch = fetch_new(base, settings->ca_file[0] != '\0'
                                    ? settings->ca_file : NULL);

    if (around->fetch == NULL) {
        around_free(around);
        return NULL;
    }

    around->runner = runner_new(log, around->fetch, settings->secrets,
                                config);

    if (around->runner == NULL) {
        around_free(around);
        return NULL;
    }

    return around;
}


void
around_free(around_t *around)
{
    if (around == NULL) {
        return;
    }

    runner_free(around->runner);
    fetch_free(around->fetch);
    free(around);
}


void
around_observe(around_t *around, const release_t *release, int64_t now_ms,
    rollout_observation_t *seen)
{
    runner_want(around->runner, release, seen);
}
