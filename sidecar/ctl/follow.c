/* watch and --wait: a rollout until its end. */

#include "ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define FOLLOW_PATIENCE  30        /* s without an answer */

static unsigned follow_draw(const cJSON *rollout, unsigned drawn);
static size_t follow_cut(const char *line, size_t len, unsigned width);


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
    bool             redraw;
    int64_t          end;
    unsigned         drawn;
    ctl_reply_t      reply;
    struct timespec  second = { 1, 0 };

    redraw = !args->json && isatty(STDOUT_FILENO);
    drawn = 0;                     /* lines above the cursor */
    failures = 0;
    end = clock_mono_ms() + args->wait_ms;

    for ( ;; ) {
        rc = ctl_call(args, "GET", path, NULL, &reply);

        /* canaryd may be restarted meanwhile; a 4xx is an answer. */
        if (rc && ((reply.status >= 400 && reply.status < 500)
                   || ++failures > FOLLOW_PATIENCE))
        {
            ctl_error("%s", reply.error);
            break;
        }

        if (rc) {
            if (failures == 1) {
                ctl_error("%s; trying for %d s", reply.error,
                          FOLLOW_PATIENCE);
                drawn = 0;
            }

        } else {
            failures = 0;

            if (args->json) {
                printf("%s\n", reply.text);

            } else if (redraw) {
                drawn = follow_draw(reply.json, drawn);

            } else {
                print_progress(stdout, reply.json);
            }

            if (fflush(stdout) != 0) {
                rc = CTL_FAILED;   /* nobody reads it any more */
                break;
            }

            if (ctl_ended(reply.json)) {
                rc = ctl_outcome(reply.json);
                break;
            }
        }

        if (args->wait_ms > 0 && clock_mono_ms() + 1000 > end) {
            ctl_error("not at its end yet, the time of --wait is up; the "
                      "rollout goes on: canaryctl watch, or canaryctl abort");
            rc = CTL_LATE;
            break;
        }

        ctl_reply_free(&reply);
        nanosleep(&second, NULL);
    }

    ctl_reply_free(&reply);
    return rc;
}


/* What status says, over what was there; returns how many lines it has. */
static unsigned
follow_draw(const cJSON *rollout, unsigned drawn)
{
    char            *text, *line, *end;
    FILE            *out;
    size_t           len;
    unsigned         lines, width, height;
    struct winsize   size;

    width = 80;
    height = 24;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        width = size.ws_col >= 20 ? size.ws_col : width;
        height = size.ws_row >= 4 ? size.ws_row : height;
    }

    out = open_memstream(&text, &len);
    if (out == NULL) {
        return drawn;
    }

    print_rollout(out, rollout);

    if (fclose(out) != 0) {
        free(text);
        return drawn;
    }

    lines = 0;

    /* The window may have become lower: no higher than it. */
    if (drawn > 0) {
        printf("\033[%uA\r\033[J", drawn < height ? drawn : height - 1);
    }

    for (line = text; *line != '\0' && lines + 1 < height; line = end) {
        end = strchr(line, '\n');
        end = end == NULL ? line + strlen(line) : end;
        fwrite(line, 1, follow_cut(line, (size_t) (end - line), width),
               stdout);
        fputs(print_coloured(stdout) ? "\033[0m\n" : "\n", stdout);
        lines++;
        end += *end == '\n';
    }

    free(text);
    return lines;
}


/* So many bytes fit, escape sequences take no room, a character may have
 * several bytes. */
static size_t
follow_cut(const char *line, size_t len, unsigned width)
{
    size_t    i;
    unsigned  used;

    used = 0;

    for (i = 0; i < len; i++) {

        if (line[i] == '\033') {
            while (i < len && line[i] != 'm') {
                i++;
            }

            continue;
        }

        if (((unsigned char) line[i] & 0xc0) == 0x80) {
            continue;
        }

        if (used++ == width) {
            break;
        }
    }

    return i < len ? i : len;
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
