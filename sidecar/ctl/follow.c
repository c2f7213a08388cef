#include "ctl.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FOLLOW_PATIENCE  30        /* s without an answer */

static unsigned follow_width(void);


int
ctl_watch(const ctl_args_t *args, const char *command)
{
    int   rc;
    char  path[640];

    rc = ctl_rollout_path(args, "", path, sizeof(path));
    return rc ? rc : ctl_follow(args, path);
}


int
ctl_follow(const ctl_args_t *args, const char *path)
{
    int              rc, failures;
    bool             redraw, open;
    char             state[32], last[32];
    ctl_reply_t      reply;
    struct timespec  second;

    redraw = !args->json && isatty(STDOUT_FILENO);
    open = false;                  /* the cursor is behind a line */
    failures = 0;
    last[0] = '\0';
    second.tv_sec = 1;
    second.tv_nsec = 0;

    for ( ;; ) {
        rc = ctl_call(args, "GET", path, NULL, &reply);

        /* canaryd may be restarted meanwhile; a 4xx is an answer. */
        if (rc && ((reply.status >= 400 && reply.status < 500)
                   || ++failures > FOLLOW_PATIENCE))
        {
            ctl_error("%s", reply.error);
            ctl_reply_free(&reply);
            return rc;
        }

        if (rc) {
            if (failures == 1) {
                ctl_error("%s; trying for %d s", reply.error,
                          FOLLOW_PATIENCE);
            }

            ctl_reply_free(&reply);
            nanosleep(&second, NULL);
            continue;
        }

        failures = 0;
        print_string(reply.json, "state", "", state, sizeof(state));

        if (args->json) {
            printf("%s\n", reply.text);

        } else {
            /* On a terminal each state keeps its last line. */
            if (redraw && open) {
                fputs(strcmp(last, state) == 0 ? "\r\033[K" : "\n", stdout);
            }

            print_progress(stdout, reply.json, redraw ? follow_width() : 0);
            open = redraw;

            if (!redraw) {
                putchar('\n');
            }
        }

        memcpy(last, state, sizeof(last));

        if (fflush(stdout) != 0) {
            rc = CTL_FAILED;       /* nobody reads it any more */
            break;
        }

        if (ctl_ended(reply.json)) {
            rc = ctl_outcome(reply.json);
            break;
        }

        ctl_reply_free(&reply);
        nanosleep(&second, NULL);
    }

    if (open) {
        putchar('\n');
    }

    ctl_reply_free(&reply);
    return rc;
}


int
ctl_outcome(const cJSON *rollout)
{
    char  state[32];

    print_string(rollout, "state", "", state, sizeof(state));

    return strcmp(state, "aborted") == 0 || strcmp(state, "reverting") == 0
           ? CTL_REVERTED : CTL_OK;
}


bool
ctl_ended(const cJSON *rollout)
{
    char  state[32];

    print_string(rollout, "state", "", state, sizeof(state));

    return strcmp(state, "aborted") == 0 || strcmp(state, "succeeded") == 0;
}


static unsigned
follow_width(void)
{
    struct winsize  size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_col < 20) {
        return 80;
    }

    return size.ws_col;
}
