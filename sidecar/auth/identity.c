#include "identity.h"

#include <fnmatch.h>
#include <string.h>

static const char *const  auth_roles[] = {
    [AUTH_NOBODY] = "nobody",
    [AUTH_OPEN] = "open",
    [AUTH_WATCH] = "watch",
    [AUTH_VIEWER] = "viewer",
    [AUTH_OPERATOR] = "operator",
    [AUTH_ADMIN] = "admin",
};


auth_role_t
auth_role(const char *name)
{
    auth_role_t  role;

    for (role = AUTH_VIEWER; role <= AUTH_ADMIN; role++) {
        if (strcmp(auth_roles[role], name) == 0) {
            return role;
        }
    }

    return AUTH_NOBODY;
}


const char *
auth_role_name(auth_role_t role)
{
    return auth_roles[role];
}


bool
auth_may(const auth_identity_t *identity, const char *upstream)
{
    unsigned  i;

    if (!identity->limited) {
        return true;
    }

    for (i = 0; i < identity->pattern_count; i++) {
        if (fnmatch(identity->patterns[i], upstream, 0) == 0) {
            return true;
        }
    }

    return false;
}


int
auth_patterns(auth_identity_t *identity, const char *list)
{
    char    *pattern;
    size_t   len;

    identity->limited = true;

    for ( ;; ) {
        len = strcspn(list, ",");

        /* The names of upstreams, and what fnmatch() knows. */
        if (len == 0 || len >= AUTH_PATTERN_LEN
            || identity->pattern_count == AUTH_MAX_PATTERNS
            || strspn(list, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*?[]!")
               < len)
        {
            return -1;
        }

        pattern = identity->patterns[identity->pattern_count++];
        memcpy(pattern, list, len);
        pattern[len] = '\0';
        list += len;

        if (*list++ == '\0') {
            return 0;
        }
    }
}


bool
auth_name_valid(const char *name)
{
    size_t  len;

    for (len = 0; name[len] != '\0'; len++) {
        if (name[len] <= ' ' || name[len] > '~' || name[len] == '"'
            || name[len] == '\\' || len == AUTH_NAME_LEN - 1)
        {
            return false;
        }
    }

    return len > 0;
}
