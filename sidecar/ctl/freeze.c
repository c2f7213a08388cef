/* freeze: stop the line, let it go on, or show what is frozen. */

#include "ctl.h"

#include <string.h>

static void freeze_print(const cJSON *json);


int
ctl_freeze(const ctl_args_t *args, const char *command)
{
    int           rc;
    cJSON        *body;
    const char   *word, *method;
    ctl_reply_t   reply;

    word = args->count > 0 ? args->values[0] : "show";
    method = strcmp(word, "show") == 0 ? "GET"
             : strcmp(word, "stop") == 0 ? "POST"
             : strcmp(word, "go") == 0 ? "DELETE" : NULL;

    if (method == NULL) {
        ctl_error("freeze: \"%.40s\" must be show, stop or go", word);
        return CTL_USAGE;
    }

    body = ctl_words(args);
    if (body == NULL) {
        return CTL_USAGE;
    }

    rc = ctl_ask(args, method, "/v1/freeze",
                  strcmp(method, "GET") == 0 ? NULL : body, &reply);
    cJSON_Delete(body);

    if (rc == 0 && !args->json) {
        freeze_print(reply.json);
    }

    ctl_reply_free(&reply);
    return rc;
}


static void
freeze_print(const cJSON *json)
{
    bool          frozen;
    char          a[96], b[64], c[300];
    const cJSON  *stop, *window;

    stop = cJSON_GetObjectItemCaseSensitive(json, "stop");
    frozen = cJSON_IsObject(stop);

    if (frozen) {
        print_string(stop, "reason", "", c, sizeof(c));
        printf("the line is stopped by %s since %.19s%s%s\n",
               print_string(stop, "actor", "?", a, sizeof(a)),
               print_string(stop, "at", "?", b, sizeof(b)),
               c[0] ? ": " : "", c);
    }

    cJSON_ArrayForEach(window, cJSON_GetObjectItemCaseSensitive(json,
                                                                "windows"))
    {
        /* One without an end is not open now. */
        if (print_string(window, "until", "", b, sizeof(b))[0] == '\0') {
            continue;
        }

        frozen = true;
        printf("upstreams %s are frozen until %.19s by the window %s\n",
               print_string(window, "upstreams", "*", c, sizeof(c)), b,
               print_string(window, "name", "?", a, sizeof(a)));
    }

    if (!frozen) {
        printf("nothing is frozen\n");
    }
}
