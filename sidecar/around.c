#include "around.h"

#include <stdlib.h>

#include "around/settings.h"
#include "store_around.h"


/* Kept for people; what the machine needs is in the rollout's document. */
static void
around_ran(void *arg, const char *upstream, const char *rollout,
    const cJSON *run)
{
    char      *text;
    around_t  *around = arg;

    text = cJSON_PrintUnformatted(run);
    store_gate_put(around->store, upstream, rollout, text);
    free(text);
}


around_t *
around_new(struct event_base *base, log_t *log, store_t *store,
    agent_t *agent, const config_t *config)
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

    around->notify = notify_new(log, around->fetch, settings);

    around->freeze = freeze_new(base, store, settings);

    if (around->runner == NULL || around->notify == NULL
        || around->freeze == NULL)
    {
        around_free(around);
        return NULL;
    }

    runner_watch(around->runner, around_ran, around);
    around->herald = herald_new(base, log, store, settings, around->notify,
                                around->runner, config->node);

    around->incidents = incident_watch_new(base, store, settings);

    around->heal = heal_new(base, log, store, agent, around->fetch, config);

    if (around->herald == NULL || around->incidents == NULL
        || around->heal == NULL)
    {
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

    heal_free(around->heal);
    notify_free(around->notify);
    incident_watch_free(around->incidents);
    herald_free(around->herald);
    freeze_free(around->freeze);
    runner_free(around->runner);
    fetch_free(around->fetch);
    free(around);
}


void
around_observe(around_t *around, const release_t *release, int64_t now_ms,
    rollout_observation_t *seen)
{
    runner_want(around->runner, release, seen);
    seen->frozen = freeze_why(around->freeze, release->spec.upstream) != NULL;
}
