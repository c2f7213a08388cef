/*
 * import-ingress: what ingress-nginx canary annotations say, as nginx.conf and
 * the command that starts the rollout.  It reads what `kubectl get ingress
 * -o yaml` prints: objects, a List of them, or documents with --- between.
 */

#include "ctl.h"
#include "import.h"

#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/yaml.h"

#define IMPORT_MAX_FILE   (4 * 1024 * 1024)
#define IMPORT_PREFIX     "nginx.ingress.kubernetes.io/"

static int import_documents(import_t *import, char *text, const char *name);
static int import_object(import_t *import, const cJSON *object);
static int import_add(import_t *import, const import_path_t *path,
    const cJSON *service, bool canary, const cJSON *annotations);
static int import_names(import_t *import);
static int import_check(const import_t *import);
static int import_check_force(const import_path_t *path);
static bool import_plain(const char *text, const char *more);


int
ctl_import(const ctl_args_t *args, const char *command)
{
    int        rc;
    char      *text, error[300];
    size_t     len;
    import_t  *import;

    if (args->count != 1) {
        ctl_error("%s what? give a FILE with Ingress objects, or - for "
                  "standard input", command);
        return CTL_USAGE;
    }

    rc = CTL_FAILED;

    import = calloc(1, sizeof(*import));
    if (import == NULL) {
        ctl_error("out of memory");
        return rc;
    }

    text = file_read(args->values[0], IMPORT_MAX_FILE, &len, error,
                     sizeof(error));
    if (text == NULL) {
        ctl_error("%s", error);
        goto done;
    }

    if (strlen(text) != len) {
        ctl_error("%.100s: has a NUL byte", args->values[0]);
        goto done;
    }

    if (import_documents(import, text, args->values[0]) == 0
        && import_names(import) == 0
        && import_check(import) == 0)
    {
        import_print(import);
        rc = CTL_OK;
    }

done:

    free(text);
    cJSON_Delete(import->documents);
    free(import);
    return rc;
}


/* Cuts text at the lines of three dashes. */
static int
import_documents(import_t *import, char *text, const char *name)
{
    char     *next, error[300];
    cJSON    *document;
    size_t    len;

    import->documents = cJSON_CreateArray();

    for (/* void */; text != NULL; text = next) {
        next = strncmp(text, "---", 3) == 0 ? text : strstr(text, "\n---");

        if (next != NULL) {
            *next = '\0';
            next = strchr(next + 1, '\n');
            if (next == NULL) {
                break;
            }

            next++;
            len = strlen(text);

        } else {
            len = strlen(text);
        }

        if (strspn(text, " \t\r\n") == len) {
            continue;
        }

        document = yaml_parse(text, len, error, sizeof(error));
        if (document == NULL) {
            ctl_error("%.100s: %s", name, error);
            return -1;
        }

        cJSON_AddItemToArray(import->documents, document);

        if (import_object(import, document) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
import_object(import_t *import, const cJSON *object)
{
    bool            canary;
    const char     *kind;
    const cJSON    *meta, *spec, *annotations, *item, *rule, *path, *service;
    import_path_t   at;

    kind = import_text(object, "kind", "");

    if (strcmp(kind, "List") == 0 || strcmp(kind, "IngressList") == 0) {
        cJSON_ArrayForEach(item,
                           cJSON_GetObjectItemCaseSensitive(object, "items"))
        {
            if (import_object(import, item) != 0) {
                return -1;
            }
        }

        return 0;
    }

    if (strcmp(kind, "Ingress") != 0) {
        return 0;
    }

    meta = cJSON_GetObjectItemCaseSensitive(object, "metadata");
    annotations = cJSON_GetObjectItemCaseSensitive(meta, "annotations");
    spec = cJSON_GetObjectItemCaseSensitive(object, "spec");

    canary = strcmp(import_text(annotations, IMPORT_PREFIX "canary", ""),
                    "true") == 0;

    memset(&at, 0, sizeof(at));
    at.namespace = import_text(meta, "namespace", "default");

    cJSON_ArrayForEach(rule,
                       cJSON_GetObjectItemCaseSensitive(spec, "rules"))
    {
        at.host = import_text(rule, "host", "");
        item = cJSON_GetObjectItemCaseSensitive(rule, "http");

        cJSON_ArrayForEach(path,
                           cJSON_GetObjectItemCaseSensitive(item, "paths"))
        {
            at.path = import_text(path, "path", "/");
            at.type = import_text(path, "pathType", "Prefix");
            service = cJSON_GetObjectItemCaseSensitive(path, "backend");
            service = cJSON_GetObjectItemCaseSensitive(service, "service");

            if (import_add(import, &at, service, canary, annotations) != 0) {
                return -1;
            }
        }
    }

    return 0;
}


static int
import_add(import_t *import, const import_path_t *path, const cJSON *service,
    bool canary, const cJSON *annotations)
{
    unsigned        i;
    import_path_t  *at;

    if (!import_plain(path->host, "*") || !import_plain(path->path, "/")) {
        ctl_error("host \"%.64s\", path \"%.64s\": only letters, digits and "
                  "-._~/ can be taken over", path->host, path->path);
        return -1;
    }

    if (!import_plain(import_text(service, "name", " "), "")) {
        ctl_error("host \"%.64s\", path \"%.64s\": the backend is no service "
                  "with a name", path->host, path->path);
        return -1;
    }

    for (i = 0; i < import->count; i++) {
        at = &import->paths[i];

        if (strcmp(at->namespace, path->namespace) == 0
            && strcmp(at->host, path->host) == 0
            && strcmp(at->path, path->path) == 0)
        {
            break;
        }
    }

    if (i == IMPORT_MAX_PATHS) {
        ctl_error("there are more than %d paths", IMPORT_MAX_PATHS);
        return -1;
    }

    at = &import->paths[i];

    if (i == import->count) {
        *at = *path;
        import->count++;
    }

    if (canary) {
        at->canary = service;
        at->annotations = annotations;

    } else {
        at->stable = service;
    }

    return 0;
}


/* The upstream is named as its stable service, with a number if that name
 * is taken. */
static int
import_names(import_t *import)
{
    int             n;
    unsigned        i, j, same;
    import_path_t  *at;

    for (i = 0; i < import->count; i++) {
        at = &import->paths[i];
        same = 1;

        for (j = 0; j < i; j++) {
            if (strcmp(import_text(import->paths[j].stable, "name", ""),
                       import_text(at->stable, "name", "")) == 0)
            {
                same++;
            }
        }

        n = same == 1
            ? snprintf(at->name, sizeof(at->name), "%s",
                       import_text(at->stable, "name", "none"))
            : snprintf(at->name, sizeof(at->name), "%s-%u",
                       import_text(at->stable, "name", "none"), same);

        /* "-canary" follows in the group's name */
        if (n >= IMPORT_NAME_LEN - 8) {
            ctl_error("service \"%.80s\": the name is too long for an "
                      "upstream", import_text(at->stable, "name", ""));
            return -1;
        }

        import_variable(at->name, at->variable, sizeof(at->variable));
    }

    return 0;
}


static int
import_check(const import_t *import)
{
    unsigned              i, canaries;
    const import_path_t  *at;

    canaries = 0;

    for (i = 0; i < import->count; i++) {
        at = &import->paths[i];

        if (!import_plain(at->namespace, "")) {
            ctl_error("namespace \"%.64s\" is none", at->namespace);
            return -1;
        }

        if (at->canary == NULL) {
            continue;
        }

        if (at->stable == NULL) {
            ctl_error("host \"%s\", path \"%s\" in %.64s: there is a canary "
                      "but no Ingress that it is the canary of; give both",
                      at->host, at->path, at->namespace);
            return -1;
        }

        if (import_weight(at) < 0) {
            ctl_error("host \"%s\", path \"%s\": canary-weight must be 0 to "
                      "canary-weight-total (100)", at->host, at->path);
            return -1;
        }

        if (import_check_force(at) != 0) {
            return -1;
        }

        canaries++;
    }

    if (canaries == 0) {
        ctl_error("there is no Ingress with the annotation "
                  IMPORT_PREFIX "canary: \"true\"");
        return -1;
    }

    return 0;
}


static int
import_check_force(const import_path_t *path)
{
    const char  *header, *cookie, *value, *pattern;

    header = import_annotation(path, "canary-by-header");
    value = import_annotation(path, "canary-by-header-value");
    pattern = import_annotation(path, "canary-by-header-pattern");
    cookie = import_annotation(path, "canary-by-cookie");

    if ((header != NULL && !import_plain(header, ""))
        || (cookie != NULL && !import_plain(cookie, "")))
    {
        ctl_error("%s: only letters, digits, - and _ can be taken over in "
                  "canary-by-header and canary-by-cookie", path->name);
        return -1;
    }

    if (cookie != NULL && strpbrk(cookie, "-.~") != NULL) {
        ctl_error("%s: nginx has no variable for a cookie named \"%.64s\": "
                  "only letters, digits and _ can be in it", path->name,
                  cookie);
        return -1;
    }

    /* What a map's line may not have unquoted. */
    if ((value != NULL && strpbrk(value, "\"\\$\r\n") != NULL)
        || (pattern != NULL && strpbrk(pattern, "\"\r\n") != NULL))
    {
        ctl_error("%s: quotes and line ends cannot be taken over in "
                  "canary-by-header-value and -pattern", path->name);
        return -1;
    }

    return 0;
}


/* In units of 0.01 %, 0 if there is none; -1: it is none. */
long
import_weight(const import_path_t *path)
{
    char        *end;
    long         weight, total;
    const char  *text;

    text = import_annotation(path, "canary-weight");

    if (text == NULL) {
        return 0;
    }

    weight = strtol(text, &end, 10);

    if (end == text || *end != '\0' || weight < 0) {
        return -1;
    }

    total = 100;
    text = import_annotation(path, "canary-weight-total");

    if (text != NULL) {
        total = strtol(text, &end, 10);

        if (end == text || *end != '\0' || total < 1 || total > 1000000) {
            return -1;
        }

        /* ingress-nginx passes over a smaller one */
        if (total < 100) {
            total = 100;
        }
    }

    return weight > total ? -1 : weight * 10000 / total;
}


const char *
import_annotation(const import_path_t *path, const char *name)
{
    char         full[IMPORT_NAME_LEN * 2];
    const char  *text;

    snprintf(full, sizeof(full), IMPORT_PREFIX "%s", name);
    text = import_text(path->annotations, full, "");

    return text[0] != '\0' ? text : NULL;
}


const char *
import_text(const cJSON *json, const char *name, const char *or_else)
{
    json = cJSON_GetObjectItemCaseSensitive(json, name);

    return cJSON_IsString(json) ? json->valuestring : or_else;
}


/* Letters, digits and what host names and plain paths have. */
static bool
import_plain(const char *text, const char *more)
{
    for (/* void */; *text != '\0'; text++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789-._~", *text) == NULL
            && strchr(more, *text) == NULL)
        {
            return false;
        }
    }

    return true;
}


void
import_variable(const char *text, char *buf, size_t size)
{
    char    c;
    size_t  i;

    for (i = 0; text[i] != '\0' && i + 1 < size; i++) {
        c = text[i];

        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;

        } else if (c == '-' || c == '.' || c == '~') {
            c = '_';
        }

        buf[i] = c;
    }

    buf[i] = '\0';
}
