/* What the answer to an external check means; and the entries as JSON. */

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec_gates.h"
#include "text.h"
#include "value.h"


const cJSON *
gates_at(const cJSON *json, const char *path)
{
    char     name[GATES_TEXT_LEN];
    size_t   len;

    while (json != NULL && *path != '\0') {
        len = strcspn(path, ".");

        if (len == 0 || len >= sizeof(name)) {
            return NULL;
        }

        memcpy(name, path, len);
        name[len] = '\0';
        path += len + (path[len] == '.');

        if (!cJSON_IsArray(json)) {
            json = cJSON_GetObjectItemCaseSensitive(json, name);

        } else if (len < 7 && strspn(name, "0123456789") == len) {
            json = cJSON_GetArrayItem(json, atoi(name));

        } else {
            return NULL;
        }
    }

    return json;
}


rollout_result_t
gates_judge(const gates_check_t *check, const cJSON *value, char *detail)
{
    bool     same;
    char    *text, *end;
    double   number;

    if (check->equals[0] != '\0') {
        text = cJSON_PrintUnformatted(value);
        same = text != NULL && strcmp(text, check->equals) == 0;
        text_format(detail, ROLLOUT_REASON_LEN, "%s is %s%s%s", check->name,
                    text != NULL ? text : "not known",
                    same ? "" : ", not ", same ? "" : check->equals);
        cJSON_free(text);

        if (!same) {
            return ROLLOUT_GATE_FAILED;
        }

        if (!check->has_min && !check->has_max) {
            return ROLLOUT_GATE_PASSED;
        }
    }

    number = NAN;

    if (cJSON_IsNumber(value)) {
        number = value->valuedouble;

    } else if (cJSON_IsString(value) && value->valuestring[0] != '\0'
               && strlen(value->valuestring) < 64)
    {
        /* Prometheus writes numbers as texts */
        number = strtod(value->valuestring, &end);
        number = *end == '\0' ? number : NAN;
    }

    if (isnan(number)) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s has no number to judge",
                    check->name);
        return ROLLOUT_GATE_HOLD;
    }

    if (check->has_min && number < check->min) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s is %g, below %g",
                    check->name, number, check->min);
        return ROLLOUT_GATE_FAILED;
    }

    if (check->has_max && number > check->max) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s is %g, above %g",
                    check->name, number, check->max);
        return ROLLOUT_GATE_FAILED;
    }

    text_format(detail, ROLLOUT_REASON_LEN, "%s is %g", check->name, number);

    return ROLLOUT_GATE_PASSED;
}


/* The instant query's answer: a scalar, or a vector whose every element must
 * be good. */
static rollout_result_t
read_prometheus(const gates_check_t *check, const cJSON *json, char *detail)
{
    const cJSON       *status, *type, *result, *item;
    rollout_result_t   worst, one;

    status = cJSON_GetObjectItemCaseSensitive(json, "status");
    type = gates_at(json, "data.resultType");
    result = gates_at(json, "data.result");

    if (!cJSON_IsString(status) || strcmp(status->valuestring, "success") != 0
        || !cJSON_IsString(type) || !cJSON_IsArray(result))
    {
        text_format(detail, ROLLOUT_REASON_LEN, "%s: the answer is not one "
                    "of Prometheus", check->name);
        return ROLLOUT_GATE_HOLD;
    }

    if (strcmp(type->valuestring, "scalar") == 0) {
        return gates_judge(check, cJSON_GetArrayItem(result, 1), detail);
    }

    if (strcmp(type->valuestring, "vector") != 0
        || cJSON_GetArraySize(result) == 0)
    {
        text_format(detail, ROLLOUT_REASON_LEN, "%s: the query has no result",
                    check->name);
        return ROLLOUT_GATE_HOLD;
    }

    worst = ROLLOUT_GATE_PASSED;

    cJSON_ArrayForEach(item, result) {
        one = gates_judge(check, gates_at(item, "value.1"), detail);

        if (one == ROLLOUT_GATE_FAILED) {
            return one;
        }

        worst = one == ROLLOUT_GATE_HOLD ? one : worst;
    }

    return worst;
}


rollout_result_t
gates_read(const gates_check_t *check, long status, const char *body,
    char *detail)
{
    cJSON             *json;
    const cJSON       *value;
    rollout_result_t   result;

    if (status < 200 || status > 299) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s: answered with status "
                    "%ld", check->name, status);
        return ROLLOUT_GATE_HOLD;
    }

    json = cJSON_Parse(body);

    if (json == NULL) {
        text_format(detail, ROLLOUT_REASON_LEN, "%s: the answer is not JSON",
                    check->name);
        return ROLLOUT_GATE_HOLD;
    }

    if (check->kind == GATES_PROMETHEUS) {
        result = read_prometheus(check, json, detail);

    } else {
        value = gates_at(json, check->path);

        if (value == NULL) {
            text_format(detail, ROLLOUT_REASON_LEN, "%s: there is no %s in "
                        "the answer", check->name, check->path);
            result = ROLLOUT_GATE_HOLD;

        } else {
            result = gates_judge(check, value, detail);
        }
    }

    cJSON_Delete(json);

    return result;
}


/* --- as JSON --- */

static bool
put_smoke(cJSON *list, const gates_smoke_t *smoke)
{
    bool       ok;
    char       name[GATES_TEXT_LEN];
    cJSON     *json, *part;
    size_t     len;
    unsigned   i;

    json = cJSON_CreateObject();

    if (!value_push(list, json)
        || !value_put_text(json, "name", smoke->name)
        || !value_put_text(json, "method", smoke->method)
        || !value_put_text(json, "path", smoke->path)
        || !value_put(json, "status", cJSON_CreateNumber(smoke->status))
        || !value_put_text(json, "body_contains", smoke->contains)
        || !spec_put_duration(json, "timeout", smoke->timeout_ms)
        || (smoke->max_ms > 0
            && !value_put(json, "max_ms",
                          cJSON_CreateNumber((double) smoke->max_ms))))
    {
        return false;
    }

    ok = true;

    if (smoke->header_count > 0) {
        part = cJSON_CreateObject();
        ok = value_put(json, "headers", part);

        for (i = 0; ok && i < smoke->header_count; i++) {
            len = strcspn(smoke->headers[i], ":");
            memcpy(name, smoke->headers[i], len);
            name[len] = '\0';
            ok = value_put_text(part, name, smoke->headers[i] + len + 2);
        }
    }

    if (ok && smoke->server_count > 0) {
        part = cJSON_CreateArray();
        ok = value_put(json, "servers", part);

        for (i = 0; ok && i < smoke->server_count; i++) {
            ok = value_push(part, cJSON_CreateString(smoke->servers[i]));
        }
    }

    return ok;
}


static bool
put_hook(cJSON *list, const gates_hook_t *hook)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    return value_push(list, json)
           && value_put_text(json, "on", hook->on == GATES_ON_EVENT ? "event"
                                         : rollout_gate_name(hook->on))
           && value_put_text(json, "url", hook->url)
           && spec_put_duration(json, "timeout", hook->timeout_ms)
           && value_put(json, "retries", cJSON_CreateNumber(hook->retries))
           && (hook->secret[0] == '\0'
               || value_put_text(json, "secret", hook->secret));
}


static bool
put_check(cJSON *list, const gates_check_t *check)
{
    bool    http;
    cJSON  *json, *part;

    http = check->kind == GATES_HTTP;
    json = cJSON_CreateObject();

    if (!value_push(list, json)
        || !value_put_text(json, "name", check->name)
        || !spec_put_duration(json, "timeout", check->timeout_ms))
    {
        return false;
    }

    part = cJSON_CreateObject();

    return value_put(json, http ? "http" : "prometheus", part)
           && value_put_text(part, "url", check->url)
           && value_put_text(part, http ? "path" : "query",
                             http ? check->path : check->query)
           && (check->secret[0] == '\0'
               || value_put_text(part, "secret", check->secret))
           && (check->equals[0] == '\0'
               || value_put(part, "equals", cJSON_CreateRaw(check->equals)))
           && (!check->has_min
               || value_put(json, "min", value_number(check->min)))
           && (!check->has_max
               || value_put(json, "max", value_number(check->max)));
}


bool
spec_put_gates(cJSON *json, const rollout_spec_t *spec)
{
    bool                 ok;
    cJSON               *list;
    unsigned             i;
    const spec_gates_t  *gates = spec->gates;

    ok = spec->checks_every_ms == 0
         || spec_put_duration(json, "checks_every", spec->checks_every_ms);

    if (gates == NULL) {
        return ok;
    }

    if (ok && gates->smoke_count > 0) {
        list = cJSON_CreateArray();
        ok = value_put(json, "smoke", list);

        for (i = 0; ok && i < gates->smoke_count; i++) {
            ok = put_smoke(list, &gates->smoke[i]);
        }
    }

    if (ok && gates->hook_count > 0) {
        list = cJSON_CreateArray();
        ok = value_put(json, "hooks", list);

        for (i = 0; ok && i < gates->hook_count; i++) {
            ok = put_hook(list, &gates->hooks[i]);
        }
    }

    if (ok && gates->check_count > 0) {
        list = cJSON_CreateArray();
        ok = value_put(json, "checks", list);

        for (i = 0; ok && i < gates->check_count; i++) {
            ok = put_check(list, &gates->checks[i]);
        }
    }

    return ok;
}
