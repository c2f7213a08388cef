/* What import-ingress prints. */

#include "import.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void import_print_force(const import_path_t *path);
static void import_print_map(const char *source, const char *name,
    const char *value, const char *pattern, const char *or_else);
static void import_print_literal(const char *text);
static void import_print_server(const import_t *import, unsigned first);
static void import_print_group(const import_path_t *path, const char *group,
    const cJSON *service);
static void import_print_address(const import_path_t *path,
    const cJSON *service);


void
import_print(const import_t *import)
{
    long                  weight;
    unsigned              i, j;
    const import_path_t  *at;

    printf("# For the http block of nginx.conf, made from canary annotations "
           "of ingress-nginx.\n"
           "# Below: how to start the rollouts.  Look at the addresses of the "
           "servers first.\n\n"
           "canary_zone edge 8m state=/var/lib/nginx-canary/edge.state;\n");

    for (i = 0; i < import->count; i++) {
        at = &import->paths[i];

        if (at->canary == NULL) {
            continue;
        }

        printf("\n");

        import_print_force(at);
        import_print_group(at, "stable", at->stable);
        import_print_group(at, "canary", at->canary);

        printf("upstream %s {\n"
               "    canary zone=edge %s-stable %s-canary;\n"
               "    canary_key $remote_addr;\n", at->name, at->name,
               at->name);

        if (import_annotation(at, "canary-by-header") != NULL
            || import_annotation(at, "canary-by-cookie") != NULL)
        {
            printf("    canary_force $%s_forced;\n", at->variable);
        }

        printf("}\n");
    }

    for (i = 0; i < import->count; i++) {
        for (j = 0; j < i; j++) {
            if (strcmp(import->paths[j].host, import->paths[i].host) == 0) {
                break;
            }
        }

        if (j == i) {
            import_print_server(import, i);
        }
    }

    printf("\n# The rollouts.  A canary that stood at a fixed weight now goes "
           "on by itself and is judged;\n"
           "# what is at weight 0 is reached by header or cookie alone and "
           "needs none.\n#\n");

    for (i = 0; i < import->count; i++) {
        at = &import->paths[i];
        weight = at->canary != NULL ? import_weight(at) : 0;

        if (weight > 0) {
            printf("#   canaryctl start --upstream %s --canary %s-canary "
                   "--version VERSION \\\n"
                   "#       --step %ld.%02ld:10m --step 50:10m --step 100 "
                   "--wait\n", at->name, at->name, weight / 100,
                   weight % 100);
        }
    }
}


/*
 * As ingress-nginx has it: the header comes before the cookie, "always" and
 * "never" before the weight, and with a value, else a pattern, only that.
 */
static void
import_print_force(const import_path_t *path)
{
    char         source[IMPORT_NAME_LEN * 2], name[IMPORT_NAME_LEN + 16];
    char         or_else[IMPORT_NAME_LEN + 32];
    const char  *header, *cookie, *value, *pattern;

    header = import_annotation(path, "canary-by-header");
    value = import_annotation(path, "canary-by-header-value");
    pattern = import_annotation(path, "canary-by-header-pattern");
    cookie = import_annotation(path, "canary-by-cookie");
    or_else[0] = '\0';

    /* ingress-nginx takes an empty one for none */
    if (value != NULL && *value == '\0') {
        value = NULL;
    }

    if (pattern != NULL && *pattern == '\0') {
        pattern = NULL;
    }

    if (cookie != NULL) {
        snprintf(source, sizeof(source), "cookie_%s", cookie);
        snprintf(name, sizeof(name), "%s%s", path->variable,
                 header != NULL ? "_by_cookie" : "_forced");
        import_print_map(source, name, NULL, NULL, "\"\"");
        snprintf(or_else, sizeof(or_else), "$%s", name);
    }

    if (header != NULL) {
        strcpy(source, "http_");
        import_variable(header, source + 5, sizeof(source) - 5);
        snprintf(name, sizeof(name), "%s_forced", path->variable);
        import_print_map(source, name, value, pattern,
                         or_else[0] != '\0' ? or_else : "\"\"");
    }
}


static void
import_print_map(const char *source, const char *name, const char *value,
    const char *pattern, const char *or_else)
{
    printf("map $%s $%s {\n    default %s;\n", source, name, or_else);

    if (value != NULL) {
        printf("    \"~^");
        import_print_literal(value);
        printf("$\" canary;\n");

    } else if (pattern != NULL) {
        printf("    \"~%s\" canary;\n", pattern);

    } else {
        printf("    always  canary;\n    never   stable;\n");
    }

    printf("}\n");
}


/*
 * As part of a regular expression.  A plain string of a map would match in
 * upper and lower case, and be taken for a parameter if it is "default".
 */
static void
import_print_literal(const char *text)
{
    for (; *text != '\0'; text++) {
        if (ispunct((unsigned char) *text)) {
            putchar('\\');
        }

        putchar(*text);
    }
}


static void
import_print_group(const import_path_t *path, const char *group,
    const cJSON *service)
{
    printf("upstream %s-%s {\n"
           "    zone %s-%s 64k;\n"
           "    server ", path->name, group, path->name, group);
    import_print_address(path, service);
    printf(";\n    keepalive 32;\n}\n");
}


/* Where the service answers inside of the cluster. */
static void
import_print_address(const import_path_t *path, const cJSON *service)
{
    const cJSON  *port;

    printf("%s.%s.svc.cluster.local", import_text(service, "name", ""),
           path->namespace);

    port = cJSON_GetObjectItemCaseSensitive(service, "port");
    port = cJSON_GetObjectItemCaseSensitive(port, "number");

    if (cJSON_IsNumber(port) && port->valueint > 0
        && port->valueint < 65536)
    {
        printf(":%d", port->valueint);

    } else {
        printf(":80");
    }
}


/* All paths of a host. */
static void
import_print_server(const import_t *import, unsigned first)
{
    unsigned              i;
    const import_path_t  *at;

    at = &import->paths[first];

    printf("\nserver {\n"
           "    listen 80;\n"
           "    server_name %s;\n", at->host[0] != '\0' ? at->host : "_");

    for (i = first; i < import->count; i++) {
        if (strcmp(import->paths[i].host, at->host) != 0) {
            continue;
        }

        printf("    location %s%s {\n"
               "        proxy_http_version 1.1;\n"
               "        proxy_set_header Connection \"\";\n"
               "        proxy_set_header Host $host;\n",
               strcmp(import->paths[i].type, "Exact") == 0 ? "= " : "",
               import->paths[i].path);

        if (import->paths[i].canary != NULL) {
            printf("        proxy_pass http://%s;\n", import->paths[i].name);

        } else {
            printf("        proxy_pass http://");
            import_print_address(&import->paths[i], import->paths[i].stable);
            printf(";\n");
        }

        printf("    }\n");
    }

    printf("}\n");
}
