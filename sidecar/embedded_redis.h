/*
 * A private redis-server as a child of canaryd: on a unix socket only, with
 * its data in DATA_DIR/redis.  It is started again when it dies, and it dies
 * with canaryd.
 */

#ifndef EMBEDDED_REDIS_H
#define EMBEDDED_REDIS_H

#include <stddef.h>

#include <event2/event.h>

#include "lib/log.h"

typedef struct embedded_redis_s  embedded_redis_t;

/*
 * Takes data_dir for this process (made with mode 0700 if it is missing) and
 * starts the server; whoever connects must try until it answers, as after
 * any restart.  base and log are borrowed, the strings copied.  NULL: error
 * (at least 512 bytes) says why and what to do.
 */
embedded_redis_t *embedded_redis_new(struct event_base *base, log_t *log,
    const char *server, const char *data_dir, char *error, size_t size);

/* The path of its unix socket; valid until embedded_redis_free(). */
const char *embedded_redis_socket(const embedded_redis_t *redis);

/* The pid, or 0 while it waits to be started again. */
int embedded_redis_pid(const embedded_redis_t *redis);

/*
 * Stops the server (SIGTERM, SIGKILL after 5 s) and waits for it: only for
 * the end of the process.  NULL is ignored.
 */
void embedded_redis_free(embedded_redis_t *redis);

#endif
