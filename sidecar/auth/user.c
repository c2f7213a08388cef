#include "user.h"

#include <pwd.h>
#include <stdio.h>

#include "identity.h"


void
user_name(uid_t uid, char *name, size_t size)
{
    char            line[1024];
    FILE           *file;
    struct passwd   entry, *found;

    snprintf(name, size, "unix:%ld", (long) uid);

    file = fopen("/etc/passwd", "re");
    if (file == NULL) {
        return;
    }

    while (fgetpwent_r(file, &entry, line, sizeof(line), &found) == 0) {
        if (entry.pw_uid == uid) {
            if (auth_name_valid(entry.pw_name)) {
                snprintf(name, size, "unix:%.50s", entry.pw_name);
            }

            break;
        }
    }

    fclose(file);
}
