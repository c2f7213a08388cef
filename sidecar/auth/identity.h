/* Who somebody is, and what they may. */

#ifndef AUTH_IDENTITY_H
#define AUTH_IDENTITY_H

#include <stdbool.h>

#define AUTH_NAME_LEN      64      /* all with NUL */
#define AUTH_PATTERN_LEN   64
#define AUTH_MAX_PATTERNS  16

/* What a route asks for, and what somebody has: the higher includes the
 * lower ones. */
typedef enum {
    AUTH_NOBODY = 0,               /* a route that was forgotten */
    AUTH_OPEN,                     /* no questions */
    AUTH_WATCH,                    /* viewer, or open by auth.metrics */
    AUTH_VIEWER,
    AUTH_OPERATOR,
    AUTH_ADMIN
} auth_role_t;

typedef struct {
    char         name[AUTH_NAME_LEN];      /* "": nobody said */
    auth_role_t  role;
    bool         limited;                  /* to upstreams that match: */
    unsigned     pattern_count;
    char         patterns[AUTH_MAX_PATTERNS][AUTH_PATTERN_LEN];
} auth_identity_t;

/* "viewer", "operator", "admin"; AUTH_NOBODY: another word. */
auth_role_t auth_role(const char *name);
const char *auth_role_name(auth_role_t role);

/* May it act on, or see, the upstream? */
bool auth_may(const auth_identity_t *identity, const char *upstream);

/* Adds what is between commas ("app,shop-*"); -1: too many, too long, or
 * nothing of it could be the name of an upstream. */
int auth_patterns(auth_identity_t *identity, const char *list);

/* A name for logs and events: 1 to 63 visible ASCII characters. */
bool auth_name_valid(const char *name);

#endif
