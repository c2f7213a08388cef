/* The name of a user of this machine. */

#ifndef AUTH_USER_H
#define AUTH_USER_H

#include <stddef.h>
#include <sys/types.h>

/* "unix:alice", or "unix:1000" for who is not in /etc/passwd: other places
 * could make the caller wait. */
void user_name(uid_t uid, char *name, size_t size);

#endif
