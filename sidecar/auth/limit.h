/*
 * How many failed logins a client had lately, in bounded memory: a table of
 * fixed size; where it is full, the client that was seen the longest ago is
 * forgotten.
 */

#ifndef AUTH_LIMIT_H
#define AUTH_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define AUTH_LIMIT_SETS  1024
#define AUTH_LIMIT_WAYS  4

typedef struct auth_limit_s  auth_limit_t;

auth_limit_t *auth_limit_new(void);
void auth_limit_free(auth_limit_t *limit);

/* Has the client used up its failures?  A minute gives `most` back. */
bool auth_limit_reached(auth_limit_t *limit, const char *client, int most,
    int64_t now_ms);

/* One more; true if it was the last before the limit. */
bool auth_limit_failed(auth_limit_t *limit, const char *client, int most,
    int64_t now_ms);

#endif
