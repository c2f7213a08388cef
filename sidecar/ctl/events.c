/* explain and events. */

#include "ctl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS_PATIENCE  30        /* s without an answer */
#define EVENTS_TEXT      1024

static void explain_print(const cJSON *json);
static int events_history(const ctl_args_t *args, const char *path,
    char *last, size_t size);
static int events_follow(const ctl_args_t *args, const char *upstream,
    const char *rollout, char *last, size_t size);
static bool events_line(void *arg, const char *line);
static void events_print(const cJSON *event);
static void events_gap(const cJSON *gap);

typedef struct {
    const ctl_args_t  *args;
    const char        *rollout;    /* NULL: of all */
    char              *last;
    size_t             size;
    bool               failed;
} events_follow_t;


int
ctl_explain(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640];
    ctl_reply_t   reply;

    rc = ctl_rollout_path(args, "/explain", path, sizeof(path));
    if (rc) {
        return rc;
    }

    rc = ctl_ask(args, "GET", path, NULL, &reply);

    if (rc == 0 && !args->json) {
        explain_print(reply.json);
    }

    ctl_reply_free(&reply);
    return rc;
}


static double
explain_number(const cJSON *json, const char *name)
{
    json = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(json) ? json->valuedouble : NAN;
}


static void
explain_print(const cJSON *json)
{
    char          a[EVENTS_TEXT], b[EVENTS_TEXT];
    double        value, limit;
    const cJSON  *item, *list;

    printf("%s\n\nwhat was decided, and upon what:\n",
           print_string(json, "summary", "?", a, sizeof(a)));

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json,
                                                              "decisions"))
    {
        printf("  %s  %s\n", print_string(item, "at", "?", a, sizeof(a)),
               print_string(item, "text", "?", b, sizeof(b)));
    }

    list = cJSON_GetObjectItemCaseSensitive(json, "next");

    if (cJSON_GetArraySize(list) > 0) {
        printf("\nwhat would have to happen next:\n");
    }

    cJSON_ArrayForEach(item, list) {
        printf("  if %s: %s", print_string(item, "when", "?", a, sizeof(a)),
               print_string(item, "then", "?", b, sizeof(b)));

        value = explain_number(item, "value");
        limit = explain_number(item, "limit");

        if (isfinite(value) && isfinite(limit)) {
            printf(" (now %.4g of %.4g)", value, limit);

        } else if (isfinite(limit)) {
            printf(" (limit %.4g)", limit);
        }

        putchar('\n');
    }
}


int
ctl_events(const ctl_args_t *args, const char *command)
{
    int           rc;
    char          path[640], last[256], upstream[96];
    char         *id;
    const char   *rollout;

    last[0] = '\0';
    upstream[0] = '\0';
    rollout = NULL;

    if (args->count == 0 && args->upstream == NULL && !args->follow) {
        ctl_error("events of what? give an ID or --upstream NAME, or "
                  "--follow for what happens from now on");
        return CTL_USAGE;
    }

    if (args->count > 0 || args->upstream != NULL) {
        rc = ctl_rollout_path(args, "", path, sizeof(path));

        /* An upstream may have no rollout yet. */
        if (rc && (args->upstream == NULL || !args->follow)) {
            return rc;
        }

        if (rc == 0) {
            rc = events_history(args, path, last, sizeof(last));
            if (rc) {
                return rc;
            }
        }
    }

    if (!args->follow) {
        return CTL_OK;
    }

    if (args->upstream != NULL) {
        snprintf(upstream, sizeof(upstream), "%.95s", args->upstream);

    } else if (args->count > 0) {
        rollout = args->values[0];
        snprintf(upstream, sizeof(upstream), "%.95s", rollout);
        id = strrchr(upstream, '-');

        if (id != NULL) {
            *id = '\0';
        }
    }

    return events_follow(args, upstream, rollout, last, sizeof(last));
}


/* All of a rollout; last gets the id of the last one. */
static int
events_history(const ctl_args_t *args, const char *path, char *last,
    size_t size)
{
    int           rc;
    char          page[800], next[64];
    ctl_reply_t   reply;
    const cJSON  *event;

    next[0] = '\0';

    do {
        snprintf(page, sizeof(page), "%s/events?limit=1000%s%s", path,
                 next[0] != '\0' ? "&after=" : "", next);
        rc = ctl_call(args, "GET", page, NULL, &reply);

        if (rc) {
            ctl_error("%s", reply.error);
            ctl_reply_free(&reply);
            return rc;
        }

        if (args->json && !args->follow) {
            printf("%s\n", reply.text);
        }

        cJSON_ArrayForEach(event,
                           cJSON_GetObjectItemCaseSensitive(reply.json,
                                                            "events"))
        {
            print_string(event, "id", "", last, size);

            if (!args->json) {
                events_print(event);

            } else if (args->follow) {
                char  *text = cJSON_PrintUnformatted(event);

                printf("%s\n", text != NULL ? text : "");
                cJSON_free(text);
            }
        }

        print_string(reply.json, "next", "", next, sizeof(next));
        ctl_reply_free(&reply);

    } while (next[0] != '\0');

    return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}


static int
events_follow(const ctl_args_t *args, const char *upstream,
    const char *rollout, char *last, size_t size)
{
    int               rc, failures;
    char              path[640], name[512];
    ctl_reply_t       reply;
    events_follow_t   follow = { args, rollout, last, size, false };
    struct timespec   second = { 1, 0 };

    if (ctl_escape(upstream, name, sizeof(name)) == NULL) {
        ctl_error("the name of the upstream is too long");
        return CTL_USAGE;
    }

    snprintf(path, sizeof(path), "/v1/events%s%s",
             name[0] != '\0' ? "?upstream=" : "", name);

    for (failures = 0; failures < EVENTS_PATIENCE; failures++) {
        rc = ctl_stream(args, path, last[0] != '\0' ? last : NULL,
                        events_line, &follow, &reply);

        if (follow.failed
            || (reply.status >= 400 && reply.status < 500))
        {
            if (rc) {
                ctl_error("%s", reply.error);
            }

            ctl_reply_free(&reply);
            return CTL_FAILED;
        }

        /* canaryd may be restarted meanwhile. */
        if (rc == 0) {
            failures = 0;

        } else if (failures == 0) {
            ctl_error("%s; trying for %d s", reply.error, EVENTS_PATIENCE);
        }

        ctl_reply_free(&reply);
        nanosleep(&second, NULL);
    }

    ctl_error("gave up");
    return CTL_FAILED;
}


/* The data lines of the stream have all that its other lines say. */
static bool
events_line(void *arg, const char *line)
{
    bool              gap;
    char              type[64], rollout[96];
    cJSON            *event;
    events_follow_t  *follow = arg;

    if (strncmp(line, "data: ", 6) != 0) {
        return true;
    }

    event = cJSON_Parse(line + 6);
    print_string(event, "rollout", "", rollout, sizeof(rollout));
    print_string(event, "type", "", type, sizeof(type));
    gap = strcmp(type, "gap") == 0;

    /* Also that of another rollout: the later it is, the longer it is kept.
     * A gap has none. */
    if (!gap) {
        print_string(event, "id", "", follow->last, follow->size);
    }

    if (gap || follow->rollout == NULL
        || strcmp(rollout, follow->rollout) == 0)
    {
        if (follow->args->json) {
            printf("%s\n", line + 6);

        } else if (gap) {
            events_gap(event);

        } else {
            events_print(event);
        }

        /* Does anybody read it still? */
        follow->failed = fflush(stdout) != 0;
    }

    cJSON_Delete(event);
    return !follow->failed;
}


static void
events_print(const cJSON *event)
{
    char  at[64], type[64], rollout[96], actor[96], detail[EVENTS_TEXT];

    print_string(event, "detail", "", detail, sizeof(detail));
    printf("%s  %s  %s by %s%s%s\n",
           print_string(event, "at", "?", at, sizeof(at)),
           print_string(event, "rollout", "-", rollout, sizeof(rollout)),
           print_string(event, "type", "?", type, sizeof(type)),
           print_string(event, "actor", "?", actor, sizeof(actor)),
           detail[0] != '\0' ? ": " : "", detail);
}


/* Events that came while nobody listened may be gone. */
static void
events_gap(const cJSON *gap)
{
    char  upstream[96], asked[256], oldest[256];

    print_string(gap, "oldest", "", oldest, sizeof(oldest));
    printf("gap: %s is not kept, events of %s may be missing before %s; "
           "canaryctl status shows what is now\n",
           print_string(gap, "asked", "?", asked, sizeof(asked)),
           print_string(gap, "upstream", "?", upstream, sizeof(upstream)),
           oldest[0] != '\0' ? oldest : "here");
}
