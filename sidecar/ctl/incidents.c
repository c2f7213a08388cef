/* incidents: list, ack, resolve. */

#include "ctl.h"

#include <string.h>

static int incidents_list(const ctl_args_t *args);
static int incidents_change(const ctl_args_t *args, const char *id,
    const char *what);


int
ctl_incidents(const ctl_args_t *args, const char *command)
{
    const char  *word;

    word = args->count > 0 ? args->values[0] : "list";

    if (strcmp(word, "list") == 0 && args->count < 2) {
        return incidents_list(args);
    }

    if (strcmp(word, "ack") != 0 && strcmp(word, "resolve") != 0) {
        ctl_error("incidents: \"%.40s\" must be list, ack ID or resolve ID",
                  args->count > 1 ? args->values[1] : word);
        return CTL_USAGE;
    }

    if (args->count < 2) {
        ctl_error("incidents %s: which? canaryctl incidents lists their IDs",
                  word);
        return CTL_USAGE;
    }

    return incidents_change(args, args->values[1],
                            word[0] == 'a' ? "acknowledge" : "resolve");
}


static int
incidents_list(const ctl_args_t *args)
{
    int           rc, n;
    char          path[1200], upstream[512], state[512];
    char          a[96], b[96], c[32], d[32], e[64], f[300];
    const cJSON  *list, *item;
    ctl_reply_t   reply;

    if (ctl_escape(args->upstream ? args->upstream : "", upstream,
                   sizeof(upstream)) == NULL
        || ctl_escape(args->state ? args->state : "", state, sizeof(state))
           == NULL)
    {
        ctl_error("--upstream or --state is too long");
        return CTL_USAGE;
    }

    n = snprintf(path, sizeof(path), "/v1/incidents");

    if (upstream[0] != '\0') {
        n += snprintf(path + n, sizeof(path) - (size_t) n, "?upstream=%s",
                      upstream);
    }

    if (state[0] != '\0') {
        snprintf(path + n, sizeof(path) - (size_t) n, "%cstate=%s",
                 upstream[0] ? '&' : '?', state);
    }

    rc = ctl_ask(args, "GET", path, NULL, &reply);

    if (rc || args->json) {
        goto done;
    }

    list = cJSON_GetObjectItemCaseSensitive(reply.json, "incidents");

    if (cJSON_GetArraySize(list) == 0) {
        printf("no incidents\n");
        goto done;
    }

    printf("%-20s %-22s %-16s %-10s %-13s %s\n", "OPENED", "ID", "UPSTREAM",
           "SEVERITY", "STATE", "TITLE");

    cJSON_ArrayForEach(item, list) {
        printf("%-20.19s %-22s %-16s %-10s ",
               print_string(item, "opened", "", e, sizeof(e)),
               print_string(item, "id", "?", a, sizeof(a)),
               print_string(item, "upstream", "-", b, sizeof(b)),
               print_string(item, "severity", "?", c, sizeof(c)));
        print_state(stdout, print_string(item, "state", "?", d, sizeof(d)),
                    13);
        printf(" %s\n", print_string(item, "title", "", f, sizeof(f)));
    }

done:

    ctl_reply_free(&reply);
    return rc;
}


static int
incidents_change(const ctl_args_t *args, const char *id, const char *what)
{
    int           rc;
    char          path[640], name[512], a[96], b[32];
    cJSON        *body;
    ctl_reply_t   reply;

    if (id[0] == '\0' || ctl_escape(id, name, sizeof(name)) == NULL) {
        ctl_error("\"%.40s\" is not the ID of an incident", id);
        return CTL_USAGE;
    }

    body = ctl_words(args);
    if (body == NULL) {
        return CTL_USAGE;
    }

    snprintf(path, sizeof(path), "/v1/incidents/%s/%s", name, what);
    rc = ctl_ask(args, "POST", path, body, &reply);
    cJSON_Delete(body);

    if (rc == 0 && !args->json) {
        printf("%s ", print_string(reply.json, "id", "?", a, sizeof(a)));
        print_state(stdout, print_string(reply.json, "state", "?", b,
                                         sizeof(b)), 0);
        putchar('\n');
    }

    ctl_reply_free(&reply);
    return rc;
}
