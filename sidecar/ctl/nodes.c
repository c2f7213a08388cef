/* nodes: what each of them serves. */

#include "fleet.h"

#include <string.h>

static unsigned nodes_each(const ctl_args_t *args, const cJSON *upstream);
static bool nodes_print(const char *name, const cJSON *upstream,
    const cJSON *node);


int
ctl_nodes(const ctl_args_t *args, const char *command)
{
    int       rc;
    unsigned  bad;

    if (!args->json) {
        printf("%-20s %-16s %-8s %9s  %-20s %s\n", "UPSTREAM", "NODE",
               "STATE", "REVISION", "SEEN", "NOTE");
    }

    rc = fleet_each(args, nodes_each, &bad);
    return rc ? rc : bad ? CTL_FAILED : CTL_OK;
}


static unsigned
nodes_each(const ctl_args_t *args, const cJSON *upstream)
{
    char          name[96], *text;
    unsigned      bad;
    const cJSON  *node;

    print_string(upstream, "upstream", "?", name, sizeof(name));
    bad = 0;

    if (args->json) {
        text = cJSON_PrintUnformatted(upstream);

        if (text != NULL) {
            printf("%s\n", text);
        }

        cJSON_free(text);
    }

    cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(upstream,
                                                              "nodes"))
    {
        bad += !nodes_print(args->json ? NULL : name, upstream, node);
    }

    return bad;
}


/* True: it is well.  name is NULL: nothing is printed. */
static bool
nodes_print(const char *name, const cJSON *upstream, const cJSON *node)
{
    char          a[96], seen[64], error[300], group[64];
    double        wanted, revision;
    const char   *state;
    const cJSON  *missing, *item;

    wanted = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
                                      upstream, "revision"));
    revision = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
                                        node, "revision"));
    missing = cJSON_GetObjectItemCaseSensitive(node, "missing");
    print_string(node, "error", "", error, sizeof(error));

    state = !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(node, "live"))
            ? "gone"
            : error[0] != '\0' ? "refuses"
            : cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(node, "behind"))
            ? "behind"
            : cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(node, "lapsed"))
            ? "lapsed"
            : cJSON_GetArraySize(missing) > 0 ? "missing" : "ok";

    if (name == NULL) {
        return strcmp(state, "ok") == 0;
    }

    printf("%-20s %-16s ", name, print_string(node, "node", "?", a,
                                              sizeof(a)));
    print_state(stdout, state, 8);
    printf(" %9.0f  %-20.19s", revision,
           print_string(node, "seen", "-", seen, sizeof(seen)));

    if (strcmp(state, "behind") == 0) {
        printf(" the record is at revision %.0f", wanted);

    } else if (strcmp(state, "lapsed") == 0) {
        fputs(" its lease ran out: it serves stable", stdout);

    } else if (strcmp(state, "gone") == 0) {
        fputs(" not seen lately: is its canaryd running?", stdout);
    }

    if (error[0] != '\0') {
        printf(" %s", error);
    }

    if (cJSON_GetArraySize(missing) > 0) {
        fputs(" its nginx.conf lacks", stdout);

        cJSON_ArrayForEach(item, missing) {
            cJSON  *holder = cJSON_CreateObject();

            cJSON_AddItemReferenceToObject(holder, "g", (cJSON *) item);
            printf(" %s", print_string(holder, "g", "?", group,
                                       sizeof(group)));
            cJSON_Delete(holder);
        }
    }

    putchar('\n');
    return strcmp(state, "ok") == 0;
}
