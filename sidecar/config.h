/*
 * The configuration of canaryd: defaults, the YAML file over them, flags over
 * both.  All strings live in the struct, so that it may be copied as it is.
 */

#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "around/settings.h"
#include "auth/config.h"
#include "lib/http_listen.h"
#include "lib/log.h"

#define CONFIG_MAX_LISTEN   8
#define CONFIG_MAX_SENTINELS  8
#define CONFIG_NODE_LEN     64     /* all with NUL */
#define CONFIG_PREFIX_LEN   33
#define CONFIG_SOCKET_LEN   108    /* sun_path */
#define CONFIG_TEXT_LEN     256

#define CONFIG_FILE  "/etc/nginx-canary/canaryd.yaml"

typedef struct {
    char          host[CONFIG_TEXT_LEN];
    int           port;
} config_peer_t;

typedef struct {
    char          file[CONFIG_TEXT_LEN];   /* what was read; "": none */

    char          node[CONFIG_NODE_LEN];   /* [A-Za-z0-9._-]+ */

    unsigned      listen_count;
    char          listen[CONFIG_MAX_LISTEN][CONFIG_TEXT_LEN];
                                           /* for http_server_listen() */
    http_kind_t   kind[CONFIG_MAX_LISTEN];
    unsigned      connections;     /* open, of each TCP address */

    /* Both ready for http_call_t: the url ends in '/', what follows is
     * appended. */
    char          nginx_socket[CONFIG_SOCKET_LEN];   /* "": TCP */
    char          nginx_url[CONFIG_TEXT_LEN];

    bool          redis_embedded;          /* no other address then */
    char          redis_socket[CONFIG_SOCKET_LEN];   /* "": TCP */
    char          redis_host[CONFIG_TEXT_LEN];
    int           redis_port;
    char          redis_password[CONFIG_TEXT_LEN];   /* secret; "": none */
    char          redis_password_file[CONFIG_TEXT_LEN];
    char          redis_server[CONFIG_TEXT_LEN];     /* for the embedded */
    char          redis_user[CONFIG_NODE_LEN];       /* "": the default */
    bool          redis_tls;
    char          redis_ca[CONFIG_TEXT_LEN];         /* "": the system's */
    char          redis_cert[CONFIG_TEXT_LEN];       /* "": none; both or */
    char          redis_key[CONFIG_TEXT_LEN];        /* neither */
    char          redis_master[CONFIG_NODE_LEN];     /* that these know */
    unsigned      sentinel_count;                    /* 0: fixed address */
    config_peer_t sentinels[CONFIG_MAX_SENTINELS];

    char          prefix[CONFIG_PREFIX_LEN];         /* "canary:" */
    int           tick_ms;
    char          data_dir[CONFIG_TEXT_LEN];

    unsigned      retention_count;         /* rollouts of an upstream */
    int64_t       retention_ms;            /* what has ended, and events */

    log_format_t  log_format;
    log_level_t   log_level;

    auth_config_t  auth;                   /* auth, jwt, tls, plaintext */

    /* Both owned, by whoever calls config_wipe(). */
    cJSON        *sections;                /* of the file; NULL: none */
    settings_t   *settings;                /* what they say */
} config_t;

/*
 * Returns 0; or 1 if the command line asked for something that is done now
 * (--help, --version, --test-config; printed to stdout; exit with 0); or -1
 * with error (at least 512 bytes) naming the key and what would be right.
 * The file is CONFIG_FILE if it exists, unless --config names another.
 */
int config_load(int argc, char **argv, config_t *config, char *error,
    size_t size);

/* The same once more, at SIGHUP; 0 or -1, *config is only set with 0. */
int config_reload(int argc, char **argv, config_t *config, char *error,
    size_t size);

/*
 * Takes over from *fresh what takes effect at once (tick, log, nginx, and of
 * auth, jwt and tls what their files are and say; not whether there is any).
 * The names of keys that differ but need a restart are written to list
 * ("listen, redis", "" if there are none; at least 128 bytes).  True if
 * something was taken over.
 */
bool config_apply(config_t *config, const config_t *fresh, char *list,
    size_t size);

/* Overwrites what is secret and frees what it owns. */
void config_wipe(config_t *config);

#endif
