/* Smoke tests, hooks and checks of a spec: validation and defaults. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec_gates.h"
#include "spec_internal.h"
#include "text.h"
#include "value.h"

#define MAX_TIMEOUT  (60 * SPEC_SECOND)
#define BOUND        1e15

static const char *const  smoke_fields[] = {
    "name", "method", "path", "headers", "status", "body_contains",
    "timeout", "max_ms", "servers", NULL
};

static const char *const  methods[] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", NULL
};

static const char *const  hook_fields[] = {
    "on", "url", "timeout", "retries", "secret", NULL
};

static const char *const  check_fields[] = {
    "name", "prometheus", "http", "min", "max", "timeout", NULL
};

static const char *const  prometheus_fields[] = {
    "url", "query", "secret", NULL
};

static const char *const  http_fields[] = {
    "url", "path", "equals", "min", "max", "secret", NULL
};


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


/* A text of at most size - 1 bytes without control characters. */
static int
read_text(const cJSON *json, const char *prefix, const char *field,
    char *value, size_t size, bool required, spec_error_t *error)
{
    const cJSON  *item;

    item = member(json, field);

    if (item == NULL && !required) {
        return 0;
    }

    /* clang-tidy does not see into cJSON. */
    if (item == NULL || !cJSON_IsString(item)
        || strlen(item->valuestring) >= size
        || !text_is_clean(item->valuestring)
        || (required && item->valuestring[0] == '\0'))
    {
        return spec_fail(error, prefix, field, "must be a text of %s %zu "
                         "bytes without control characters",
                         required ? "1 to" : "at most", size - 1);
    }

    text_copy(value, size, item->valuestring);

    return 0;
}


static int
read_secret(const cJSON *json, const char *prefix, char *name,
    spec_error_t *error)
{
    if (member(json, "secret") == NULL) {
        return 0;
    }

    return spec_read_name(json, prefix, "secret", name, error);
}


static int
read_url(const cJSON *json, const char *prefix, char *url,
    spec_error_t *error)
{
    const cJSON  *item;

    item = member(json, "url");

    if (!cJSON_IsString(item) || !url_is_http(item->valuestring)) {
        return spec_fail(error, prefix, "url", "must be an http or https URL "
                         "of at most %d bytes, without a user", URL_LEN - 1);
    }

    text_copy(url, URL_LEN, item->valuestring);

    return 0;
}


static int
read_headers(const cJSON *json, const char *prefix, gates_smoke_t *smoke,
    spec_error_t *error)
{
    char          path[64];
    size_t        i;
    const cJSON  *list, *item;

    list = member(json, "headers");

    if (list == NULL) {
        return 0;
    }

    if (!cJSON_IsObject(list) || cJSON_GetArraySize(list) > GATES_MAX_HEADERS)
    {
        return spec_fail(error, prefix, "headers", "must be an object of at "
                         "most %d texts", GATES_MAX_HEADERS);
    }

    text_format(path, sizeof(path), "%s.headers", prefix);

    cJSON_ArrayForEach(item, list) {
        for (i = 0; item->string[i] != '\0'; i++) {
            if (!isalnum((unsigned char) item->string[i])
                && strchr("-_", item->string[i]) == NULL)
            {
                break;
            }
        }

        if (i == 0 || item->string[i] != '\0' || !cJSON_IsString(item)
            || !text_is_clean(item->valuestring)
            || i + strlen(item->valuestring) + 3 > GATES_TEXT_LEN)
        {
            return spec_fail(error, path, item->string, "must be a name of "
                             "letters, digits, '-' and '_' and a text, "
                             "together at most %d bytes",
                             GATES_TEXT_LEN - 3);
        }

        snprintf(smoke->headers[smoke->header_count++], GATES_TEXT_LEN,
                 "%s: %s", item->string, item->valuestring);
    }

    return 0;
}


static int
read_servers(const cJSON *json, const char *prefix, gates_smoke_t *smoke,
    spec_error_t *error)
{
    int           count;
    const cJSON  *list, *item;

    list = member(json, "servers");

    if (list == NULL) {
        return 0;
    }

    count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;

    if (count < 1 || count > GATES_MAX_SERVERS) {
        goto bad;
    }

    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item) || !url_is_server(item->valuestring)) {
            goto bad;
        }

        text_copy(smoke->servers[smoke->server_count++], SERVER_LEN,
                  item->valuestring);
    }

    return 0;

bad:

    return spec_fail(error, prefix, "servers", "must be a list of 1 to %d "
                     "addresses, such as \"10.0.0.21:8080\"",
                     GATES_MAX_SERVERS);
}


int
spec_read_smoke(const cJSON *json, const char *prefix, gates_smoke_t *smoke,
    spec_error_t *error)
{
    int      method;
    int64_t  status;

    memset(smoke, 0, sizeof(gates_smoke_t));
    method = 0;
    status = 200;
    smoke->timeout_ms = 2 * SPEC_SECOND;
    text_copy(smoke->path, sizeof(smoke->path), "/");

    if (spec_check_object(json, prefix, smoke_fields, error) != 0
        || spec_read_choice(json, prefix, "method", methods, &method, error)
           != 0
        || read_text(json, prefix, "path", smoke->path, sizeof(smoke->path),
                     false, error) != 0
        || read_headers(json, prefix, smoke, error) != 0
        || spec_read_integer(json, prefix, "status", 100, 599, &status,
                             error) != 0
        || read_text(json, prefix, "body_contains", smoke->contains,
                     sizeof(smoke->contains), false, error) != 0
        || spec_read_duration(json, prefix, "timeout", 10, MAX_TIMEOUT,
                              &smoke->timeout_ms, error) != 0
        || spec_read_integer(json, prefix, "max_ms", 1, MAX_TIMEOUT,
                             &smoke->max_ms, error) != 0
        || read_servers(json, prefix, smoke, error) != 0)
    {
        return -1;
    }

    if (smoke->path[0] != '/' || strpbrk(smoke->path, " #\"<>\\") != NULL) {
        return spec_fail(error, prefix, "path", "must be a path that begins "
                         "with '/', encoded as in a URL");
    }

    text_copy(smoke->method, sizeof(smoke->method), methods[method]);
    text_copy(smoke->name, sizeof(smoke->name), smoke->path);
    smoke->status = (int) status;

    return member(json, "name") == NULL ? 0
           : read_text(json, prefix, "name", smoke->name,
                       sizeof(smoke->name), true, error);
}


static int
read_hook(const cJSON *json, const char *prefix, gates_hook_t *hook,
    spec_error_t *error)
{
    int64_t       retries;
    unsigned      gate;
    const cJSON  *on;

    hook->timeout_ms = 5 * SPEC_SECOND;
    retries = 3;

    if (spec_check_object(json, prefix, hook_fields, error) != 0
        || read_url(json, prefix, hook->url, error) != 0
        || spec_read_duration(json, prefix, "timeout", 10, MAX_TIMEOUT,
                              &hook->timeout_ms, error) != 0
        || spec_read_integer(json, prefix, "retries", 0, 10, &retries, error)
           != 0
        || read_secret(json, prefix, hook->secret, error) != 0)
    {
        return -1;
    }

    hook->retries = (unsigned) retries;
    on = member(json, "on");

    if (cJSON_IsString(on)) {
        for (gate = 1; gate < ROLLOUT_GATE_COUNT; gate++) {
            if (gate != ROLLOUT_GATE_SMOKE && gate != ROLLOUT_GATE_CHECKS
                && strcmp(on->valuestring, rollout_gate_name(gate)) == 0)
            {
                hook->on = gate;
                return 0;
            }
        }

        if (strcmp(on->valuestring, "event") == 0) {
            hook->on = GATES_ON_EVENT;
            return 0;
        }
    }

    return spec_fail(error, prefix, "on", "must be confirm-start, "
                     "before-start, each-step, confirm-step, "
                     "confirm-promotion, rollback-check, on-success, "
                     "on-revert or event");
}


static int
read_limits(const cJSON *json, const char *prefix, gates_check_t *check,
    spec_error_t *error)
{
    spec_range_t  min = { "min", -BOUND, false, BOUND, false };
    spec_range_t  max = { "max", -BOUND, false, BOUND, false };

    if (spec_read_number(json, prefix, &min, &check->min, error) != 0
        || spec_read_number(json, prefix, &max, &check->max, error) != 0)
    {
        return -1;
    }

    check->has_min = check->has_min || member(json, "min") != NULL;
    check->has_max = check->has_max || member(json, "max") != NULL;

    if (check->has_min && check->has_max && check->min > check->max) {
        return spec_fail(error, prefix, "max", "must not be below min");
    }

    return 0;
}


static int
read_http(const cJSON *json, const char *prefix, gates_check_t *check,
    spec_error_t *error)
{
    int           rc;
    char         *text;
    const cJSON  *equals;

    check->kind = GATES_HTTP;

    if (spec_check_object(json, prefix, http_fields, error) != 0
        || read_url(json, prefix, check->url, error) != 0
        || read_text(json, prefix, "path", check->path, sizeof(check->path),
                     true, error) != 0
        || read_secret(json, prefix, check->secret, error) != 0
        || read_limits(json, prefix, check, error) != 0)
    {
        return -1;
    }

    equals = member(json, "equals");

    if (equals == NULL) {
        return 0;
    }

    text = cJSON_IsObject(equals) || cJSON_IsArray(equals)
           ? NULL : cJSON_PrintUnformatted(equals);
    rc = text != NULL && strlen(text) < sizeof(check->equals) ? 0 : -1;

    if (rc == 0) {
        strcpy(check->equals, text);
    }

    cJSON_free(text);

    return rc == 0 ? 0 : spec_fail(error, prefix, "equals", "must be true, "
                                   "false, null, a number or a short text");
}


static int
read_check(const cJSON *json, const char *prefix, gates_check_t *check,
    spec_error_t *error)
{
    char          path[64];
    const cJSON  *prometheus, *http;

    check->timeout_ms = 5 * SPEC_SECOND;
    prometheus = member(json, "prometheus");
    http = member(json, "http");

    if (spec_check_object(json, prefix, check_fields, error) != 0
        || read_text(json, prefix, "name", check->name, sizeof(check->name),
                     true, error) != 0
        || spec_read_duration(json, prefix, "timeout", 10, MAX_TIMEOUT,
                              &check->timeout_ms, error) != 0
        || read_limits(json, prefix, check, error) != 0)
    {
        return -1;
    }

    if ((prometheus == NULL) == (http == NULL)) {
        return spec_fail(error, prefix, "prometheus",
                         "or http must be there, and only one of them");
    }

    text_format(path, sizeof(path), "%s.%s", prefix,
                http != NULL ? "http" : "prometheus");

    if (http != NULL) {
        if (read_http(http, path, check, error) != 0) {
            return -1;
        }

    } else if (spec_check_object(prometheus, path, prometheus_fields, error)
               != 0
               || read_url(prometheus, path, check->url, error) != 0
               || read_text(prometheus, path, "query", check->query,
                            sizeof(check->query), true, error) != 0
               || read_secret(prometheus, path, check->secret, error) != 0)
    {
        return -1;
    }

    if (!check->has_min && !check->has_max && check->equals[0] == '\0') {
        return spec_fail(error, prefix, "max", "or min%s must say what is "
                         "good", http != NULL ? " or equals" : "");
    }

    return 0;
}


/* A list of at most GATES_MAX objects, each of size bytes; *list is NULL
 * where there is none. */
static int
read_list(const cJSON *json, const char *field, size_t size, void **list,
    unsigned *count, spec_error_t *error)
{
    int           n;
    const cJSON  *items;

    items = member(json, field);

    if (items == NULL) {
        return 0;
    }

    n = cJSON_IsArray(items) ? cJSON_GetArraySize(items) : -1;

    if (n < 0 || n > GATES_MAX) {
        return spec_fail(error, "", field, "must be a list of at most %d "
                         "objects", GATES_MAX);
    }

    if (n == 0) {
        return 0;
    }

    *list = calloc((size_t) n, size);

    if (*list == NULL) {
        return spec_fail(error, "", field, "there is no memory for it");
    }

    *count = (unsigned) n;

    return 0;
}


int
spec_read_gates(const cJSON *json, rollout_spec_t *spec, spec_error_t *error)
{
    char           path[32];
    unsigned       i;
    spec_gates_t  *gates;

    if (spec_read_duration(json, "", "checks_every", SPEC_SECOND, SPEC_HOUR,
                           &spec->checks_every_ms, error) != 0)
    {
        return -1;
    }

    if (member(json, "smoke") == NULL && member(json, "hooks") == NULL
        && member(json, "checks") == NULL)
    {
        return 0;
    }

    gates = calloc(1, sizeof(spec_gates_t));
    if (gates == NULL) {
        return spec_fail(error, "", "", "there is no memory for it");
    }

    spec->gates = gates;

    if (read_list(json, "smoke", sizeof(gates_smoke_t),
                  (void **) &gates->smoke, &gates->smoke_count, error) != 0
        || read_list(json, "hooks", sizeof(gates_hook_t),
                     (void **) &gates->hooks, &gates->hook_count, error) != 0
        || read_list(json, "checks", sizeof(gates_check_t),
                     (void **) &gates->checks, &gates->check_count, error)
           != 0)
    {
        return -1;
    }

    for (i = 0; i < gates->smoke_count; i++) {
        text_format(path, sizeof(path), "smoke[%u]", i);

        if (spec_read_smoke(cJSON_GetArrayItem(member(json, "smoke"),
                                               (int) i),
                            path, &gates->smoke[i], error) != 0)
        {
            return -1;
        }

        spec->gate_set |= UINT32_C(1) << ROLLOUT_GATE_SMOKE;
    }

    for (i = 0; i < gates->hook_count; i++) {
        text_format(path, sizeof(path), "hooks[%u]", i);

        if (read_hook(cJSON_GetArrayItem(member(json, "hooks"), (int) i),
                      path, &gates->hooks[i], error) != 0)
        {
            return -1;
        }

        if (gates->hooks[i].on != GATES_ON_EVENT) {
            spec->gate_set |= UINT32_C(1) << gates->hooks[i].on;
        }
    }

    for (i = 0; i < gates->check_count; i++) {
        text_format(path, sizeof(path), "checks[%u]", i);

        if (read_check(cJSON_GetArrayItem(member(json, "checks"), (int) i),
                       path, &gates->checks[i], error) != 0)
        {
            return -1;
        }

        spec->gate_set |= UINT32_C(1) << ROLLOUT_GATE_CHECKS;
    }

    return 0;
}


void
spec_gates_free(spec_gates_t *gates)
{
    if (gates == NULL) {
        return;
    }

    free(gates->smoke);
    free(gates->hooks);
    free(gates->checks);
    free(gates);
}
