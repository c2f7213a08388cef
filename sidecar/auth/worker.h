/*
 * argon2 takes tens of milliseconds and of megabytes: one thread does it, one
 * token at a time, while the loop goes on.
 */

#ifndef AUTH_WORKER_H
#define AUTH_WORKER_H

#include <stdbool.h>

#include <event2/event.h>

#define AUTH_WORKER_QUEUE  32

typedef struct auth_worker_s  auth_worker_t;

typedef void (*auth_verified_t)(void *arg, bool valid);

/* NULL: no thread, no memory. */
auth_worker_t *auth_worker_new(struct event_base *base);
/* Ends without the callbacks of what is under way; drop is called for each
 * of their args. */
void auth_worker_free(auth_worker_t *worker, void (*drop)(void *arg));

/* hash and token are copied; done is called from the loop.  False: the queue
 * is full. */
bool auth_worker_verify(auth_worker_t *worker, const char *hash,
    const char *token, auth_verified_t done, void *arg);

#endif
