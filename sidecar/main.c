/* canaryd: puts the parts together, and takes them apart. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <event2/event.h>

#include "agent.h"
#include "api.h"
#include "around.h"
#include "auth/auth.h"
#include "clock.h"
#include "config.h"
#include "controller.h"
#include "embedded_redis.h"
#include "lib/http_server.h"
#include "lib/log.h"
#include "lib/tls.h"
#include "lib/version.h"
#include "redis_tls.h"
#include "store.h"

#define MAIN_DRAIN_MS   2000       /* for answers that are under way */
#define MAIN_FLUSH_MS   30         /* for the last bytes */
#define MAIN_POLL_MS    10
#define MAIN_SIGNALS    3
#define MAIN_FILES      512        /* for all but connections by TCP */

typedef struct {
    int                 argc;
    char              **argv;
    config_t            config;
    log_t              *log;
    struct event_base  *base;
    embedded_redis_t   *redis;
    redis_tls_t        *tls;       /* NULL: none */
    store_t            *store;
    agent_t            *agent;
    around_t           *around;
    controller_t       *controller;
    auth_t             *auth;
    api_t              *api;
    http_server_t      *server;
    struct event       *signals[MAIN_SIGNALS];
    struct event       *drain;
    int64_t             stop_ms;   /* 0: not stopping */
    int64_t             idle_ms;   /* since when nothing is owed */
} canaryd_t;


static int canaryd_start(canaryd_t *canaryd);
static void canaryd_free(canaryd_t *canaryd);
static void canaryd_stop(evutil_socket_t signal, short what, void *arg);
static void canaryd_drain(evutil_socket_t fd, short what, void *arg);
static void canaryd_reload(evutil_socket_t signal, short what, void *arg);


/* cJSON is used all over; nobody could go on without what it could not make,
 * and half a document must not be taken for a whole one. */
static void *
canaryd_malloc(size_t size)
{
    void  *p;

    p = malloc(size);
    if (p == NULL) {
        abort();
    }

    return p;
}


int
main(int argc, char **argv)
{
    int           rc;
    char          error[512];
    canaryd_t     canaryd;
    cJSON_Hooks   hooks = { canaryd_malloc, free };

    memset(&canaryd, 0, sizeof(canaryd_t));
    canaryd.argc = argc;
    canaryd.argv = argv;
    error[0] = '\0';

    cJSON_InitHooks(&hooks);

    rc = config_load(argc, argv, &canaryd.config, error, sizeof(error));

    if (rc != 0) {
        if (rc < 0) {
            fprintf(stderr, "canaryd: %s\n", error);
        }
        config_wipe(&canaryd.config);
        return rc < 0 ? 2 : 0;
    }

    signal(SIGPIPE, SIG_IGN);

    rc = canaryd_start(&canaryd);

    if (rc == 0) {
        event_base_dispatch(canaryd.base);
        log_info(canaryd.log, "stopped");
    }

    canaryd_free(&canaryd);

    return rc == 0 ? 0 : 1;
}


static int
canaryd_signals(canaryd_t *canaryd)
{
    unsigned  i;

    static const struct {
        int                 number;
        event_callback_fn   handler;
    } signals[MAIN_SIGNALS] = {
        { SIGTERM, canaryd_stop },
        { SIGINT, canaryd_stop },
        { SIGHUP, canaryd_reload },
    };

    for (i = 0; i < MAIN_SIGNALS; i++) {
        canaryd->signals[i] = evsignal_new(canaryd->base, signals[i].number,
                                           signals[i].handler, canaryd);

        if (canaryd->signals[i] == NULL
            || event_add(canaryd->signals[i], NULL) != 0)
        {
            return -1;
        }
    }

    canaryd->drain = event_new(canaryd->base, -1, EV_PERSIST, canaryd_drain,
                               canaryd);

    return canaryd->drain != NULL ? 0 : -1;
}


/* Once a minute at most. */
static void
canaryd_full(void *arg, const char *address, unsigned max)
{
    canaryd_t  *canaryd = arg;

    log_warn(canaryd->log, "too many connections: more are refused",
             LOG_S("address", address), LOG_I("connections", max));
}


/* As many descriptors as the connections may need, and some. */
static void
canaryd_files(canaryd_t *canaryd)
{
    rlim_t           need;
    unsigned         i;
    struct rlimit    limit;
    const config_t  *config = &canaryd->config;

    need = MAIN_FILES;

    for (i = 0; i < config->listen_count; i++) {
        if (strncmp(config->listen[i], "unix:", 5) != 0) {
            need += config->connections;
        }
    }

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) {
        return;
    }

    if (limit.rlim_max < need) {
        log_warn(canaryd->log, "fewer files may be open than connections may "
                 "need: RLIMIT_NOFILE", LOG_I("hard_limit", limit.rlim_max),
                 LOG_I("need", need));
    }

    limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}


static int
canaryd_listen(canaryd_t *canaryd)
{
    char            error[256];
    unsigned        i;
    const config_t  *config = &canaryd->config;

    canaryd_files(canaryd);
    http_server_limit(canaryd->server, config->connections, canaryd_full,
                      canaryd);

    for (i = 0; i < config->listen_count; i++) {
        if (http_server_listen(canaryd->server, config->listen[i], error,
                               sizeof(error))
            != 0)
        {
            log_error(canaryd->log, "cannot listen",
                      LOG_S("address", config->listen[i]),
                      LOG_S("error", error));
            return -1;
        }
    }

    return 0;
}


/* The certificate and its key, as they are now. */
static int
canaryd_tls(canaryd_t *canaryd)
{
    char                  error[512];
    SSL_CTX              *tls;
    tls_options_t         options;
    const auth_config_t  *config = &canaryd->config.auth;

    if (config->certificate[0] == '\0') {
        return 0;
    }

    options.certificate = config->certificate;
    options.key = config->key;
    options.client_ca = config->client_ca;
    options.min_version = config->min_version;

    tls = tls_new(&options, error, sizeof(error));

    if (tls == NULL) {
        log_error(canaryd->log, "no TLS by this certificate",
                  LOG_S("error", error));
        return -1;
    }

    http_server_tls(canaryd->server, tls);
    SSL_CTX_free(tls);

    return 0;
}


static int
canaryd_start(canaryd_t *canaryd)
{
    char              error[512];
    config_t         *config = &canaryd->config;
    store_options_t   options;

    canaryd->log = log_new(STDERR_FILENO, config->log_format,
                           config->log_level);
    canaryd->base = event_base_new();

    if (canaryd->log == NULL || canaryd->base == NULL
        || canaryd_signals(canaryd) != 0)
    {
        goto no_memory;
    }

    memset(&options, 0, sizeof(store_options_t));

    if (config->redis_tls) {
        canaryd->tls = redis_tls_new(config->redis_ca, config->redis_cert,
                                     config->redis_key, error,
                                     sizeof(error));
        if (canaryd->tls == NULL) {
            log_error(canaryd->log, "cannot use TLS to redis",
                      LOG_S("error", error));
            return -1;
        }
    }

    options.socket = config->redis_socket;
    options.host = config->redis_host;
    options.port = config->redis_port;
    options.user = config->redis_user;
    options.password = config->redis_password;
    options.tls = canaryd->tls;
    options.master = config->redis_master;
    options.sentinel_count = config->sentinel_count;
    options.sentinels = config->sentinels;
    options.prefix = config->prefix;
    options.node = config->node;
    options.keep_count = config->retention_count;
    options.keep_ms = config->retention_ms;

    if (config->redis_embedded) {
        canaryd->redis = embedded_redis_new(canaryd->base, canaryd->log,
                                            config->redis_server,
                                            config->data_dir, error,
                                            sizeof(error));
        if (canaryd->redis == NULL) {
            log_error(canaryd->log, "cannot run redis",
                      LOG_S("error", error));
            return -1;
        }

        options.socket = embedded_redis_socket(canaryd->redis);
    }

    canaryd->store = store_new(canaryd->base, canaryd->log, &options);
    if (canaryd->store == NULL) {
        goto no_memory;
    }

    canaryd->agent = agent_new(canaryd->base, canaryd->log, canaryd->store,
                               config);
    if (canaryd->agent == NULL) {
        goto no_memory;
    }

    canaryd->around = around_new(canaryd->base, canaryd->log, canaryd->store,
                                 canaryd->agent, config);
    if (canaryd->around == NULL) {
        goto no_memory;
    }

    canaryd->controller = controller_new(canaryd->base, canaryd->log,
                                         canaryd->store, canaryd->agent,
                                         canaryd->around, config);
    if (canaryd->controller == NULL) {
        goto no_memory;
    }

    canaryd->auth = auth_new(canaryd->base, canaryd->log, &config->auth,
                             error, sizeof(error));
    if (canaryd->auth == NULL) {
        log_error(canaryd->log, "cannot say who may",
                  LOG_S("error", error));
        return -1;
    }

    canaryd->api = api_new(canaryd->base, canaryd->log, canaryd->store,
                           canaryd->agent, canaryd->controller,
                           canaryd->around, canaryd->auth, config);
    if (canaryd->api == NULL) {
        goto no_memory;
    }

    canaryd->server = http_server_new(canaryd->base, api_routes(),
                                      canaryd->api, API_MAX_BODY);
    if (canaryd->server == NULL) {
        goto no_memory;
    }

    http_server_gate(canaryd->server, api_gate);

    if (auth_configured(&config->auth)) {
        http_server_any_host(canaryd->server);
    }

    if (canaryd_tls(canaryd) != 0 || canaryd_listen(canaryd) != 0) {
        return -1;
    }

    log_info(canaryd->log, "started", LOG_S("version", CANARY_VERSION),
             LOG_S("node", config->node), LOG_S("config", config->file),
             LOG_I("tick_ms", config->tick_ms));

    return 0;

no_memory:

    fprintf(stderr, "canaryd: out of memory\n");

    return -1;
}


/* The order matters: each part lets go of those below it. */
static void
canaryd_free(canaryd_t *canaryd)
{
    unsigned  i;

    http_server_free(canaryd->server);
    auth_free(canaryd->auth);
    api_free(canaryd->api);
    controller_free(canaryd->controller);
    around_free(canaryd->around);
    agent_free(canaryd->agent);
    store_free(canaryd->store);
    embedded_redis_free(canaryd->redis);
    redis_tls_free(canaryd->tls);

    for (i = 0; i < MAIN_SIGNALS; i++) {
        if (canaryd->signals[i] != NULL) {
            event_free(canaryd->signals[i]);
        }
    }

    if (canaryd->drain != NULL) {
        event_free(canaryd->drain);
    }

    if (canaryd->base != NULL) {
        event_base_free(canaryd->base);
    }

    log_free(canaryd->log);
    config_wipe(&canaryd->config);
    libevent_global_shutdown();
}


static void
canaryd_stop(evutil_socket_t signal, short what, void *arg)
{
    canaryd_t       *canaryd = arg;
    struct timeval   poll = { 0, MAIN_POLL_MS * 1000 };

    if (canaryd->stop_ms != 0) {
        /* Somebody is in a hurry. */
        event_base_loopbreak(canaryd->base);
        return;
    }

    log_info(canaryd->log, "stopping", LOG_I("signal", signal),
             LOG_I("answers_owed", api_pending(canaryd->api)));

    canaryd->stop_ms = clock_mono_ms();
    controller_stop(canaryd->controller);
    event_add(canaryd->drain, &poll);
}


static void
canaryd_drain(evutil_socket_t fd, short what, void *arg)
{
    int64_t     now = clock_mono_ms();
    canaryd_t  *canaryd = arg;

    if (api_pending(canaryd->api) > 0) {
        canaryd->idle_ms = 0;

    } else if (canaryd->idle_ms == 0) {
        canaryd->idle_ms = now;
    }

    if ((canaryd->idle_ms > 0 && now - canaryd->idle_ms >= MAIN_FLUSH_MS)
        || now - canaryd->stop_ms >= MAIN_DRAIN_MS)
    {
        event_base_loopbreak(canaryd->base);
    }
}


static void
canaryd_reload(evutil_socket_t signal, short what, void *arg)
{
    bool        changed;
    char        error[512], list[128];
    config_t    fresh;
    canaryd_t  *canaryd = arg;

    if (config_reload(canaryd->argc, canaryd->argv, &fresh, error,
                      sizeof(error))
        != 0)
    {
        log_error(canaryd->log, "configuration not reloaded: the old one "
                  "stays", LOG_S("error", error));
        return;
    }

    changed = config_apply(&canaryd->config, &fresh, list, sizeof(list));
    config_wipe(&fresh);

    if (changed) {
        log_set(canaryd->log, canaryd->config.log_format,
                canaryd->config.log_level);
        agent_reload(canaryd->agent);
        controller_reload(canaryd->controller);
    }

    if (auth_reload(canaryd->auth, &canaryd->config.auth, error,
                    sizeof(error))
        != 0)
    {
        log_error(canaryd->log, "who may is not reloaded: the old tokens and "
                  "keys stay", LOG_S("error", error));
    }

    canaryd_tls(canaryd);

    if (list[0] != '\0') {
        log_warn(canaryd->log, "a restart is needed for these keys",
                 LOG_S("keys", list));
    }

    log_info(canaryd->log, "configuration reloaded",
             LOG_S("config", canaryd->config.file));
}
