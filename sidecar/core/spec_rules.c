/*
 * Rules of a step: who goes where before the weights are asked.  They are
 * checked here, so that a bad one is refused before any traffic moves, and
 * kept as the text that the routing record carries.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec_internal.h"
#include "text.h"
#include "value.h"

#define MAX_STRATA     3           /* beside the default one */
#define MAX_VALUES     64          /* of a condition */
#define MAX_GROUPS     8
#define CIDR_LEN       64
#define PATH_LEN       sizeof(((spec_error_t *) 0)->field)

static const char *const  rule_fields[] = { "if", "group", "weights", NULL };
static const char *const  if_fields[] = {
    "country", "continent", "asn", "cidr", "header", "cookie", NULL
};
static const char *const  match_fields[] = { "name", "value", NULL };


static bool
is_country(const cJSON *item)
{
    return cJSON_IsString(item) && strlen(item->valuestring) == 2
           && strspn(item->valuestring, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2;
}


static bool
is_continent(const cJSON *item)
{
    return is_country(item) && strstr("AF AN AS EU NA OC SA",
                                      item->valuestring) != NULL;
}


static bool
is_asn(const cJSON *item)
{
    int64_t  n;

    return value_read_integer(item, 0, UINT32_MAX, &n);
}


static bool
is_cidr(const cJSON *item)
{
    int             family;
    char            text[CIDR_LEN], *slash;
    size_t          len;
    unsigned        bits;
    unsigned char   address[16];

    if (!cJSON_IsString(item) || strlen(item->valuestring) >= CIDR_LEN) {
        return false;
    }

    strcpy(text, item->valuestring);
    slash = strchr(text, '/');
    family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

    if (slash != NULL) {
        *slash++ = '\0';
        len = strlen(slash);

        if (len == 0 || len > 3 || strspn(slash, "0123456789") != len) {
            return false;
        }

        bits = (unsigned) atoi(slash);

        if (bits > (family == AF_INET6 ? 128 : 32)) {
            return false;
        }
    }

    return inet_pton(family, text, address) == 1;
}


static int
read_values(const cJSON *json, const char *path, const char *name,
    bool (*is)(const cJSON *item), const char *right, spec_error_t *error)
{
    int           count;
    const cJSON  *item;

    if (json == NULL) {
        return 0;
    }

    count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0;

    if (count < 1 || count > MAX_VALUES) {
        return spec_fail(error, path, name, "must be a list of 1 to %d %s",
                         MAX_VALUES, right);
    }

    cJSON_ArrayForEach(item, json) {
        if (!is(item)) {
            return spec_fail(error, path, name, "must be a list of %s",
                             right);
        }
    }

    return 0;
}


static bool
is_token(const char *text)
{
    size_t  len;

    len = strlen(text);

    return len > 0 && len < SPEC_NAME_LEN
           && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
                           "xyz0123456789!#$%&'*+-.^_`|~") == len;
}


static int
read_match(const cJSON *json, const char *path, const char *name,
    spec_error_t *error)
{
    char          own[PATH_LEN], value[SPEC_TEXT_LEN];
    const cJSON  *item;

    if (json == NULL) {
        return 0;
    }

    text_format(own, sizeof(own), "%s.%s", path, name);

    if (spec_check_object(json, own, match_fields, error) != 0) {
        return -1;
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "name");

    if (!cJSON_IsString(item) || !is_token(item->valuestring)) {
        return spec_fail(error, own, "name", "must be the name of a %s, of "
                         "at most %d characters", name, SPEC_NAME_LEN - 1);
    }

    return spec_read_text(json, own, "value", value, error);
}


static int
read_if(const cJSON *json, const char *path, spec_error_t *error)
{
    if (spec_check_object(json, path, if_fields, error) != 0) {
        return -1;
    }

    if (cJSON_GetArraySize(json) == 0) {
        return spec_fail(error, path, "", "must have at least one condition");
    }

#define member(name)  cJSON_GetObjectItemCaseSensitive(json, name)

    if (read_values(member("country"), path, "country", is_country,
                    "countries, two capital letters each, as \"NZ\"", error)
        || read_values(member("continent"), path, "continent", is_continent,
                       "continents: AF, AN, AS, EU, NA, OC, SA", error)
        || read_values(member("asn"), path, "asn", is_asn,
                       "numbers of autonomous systems", error)
        || read_values(member("cidr"), path, "cidr", is_cidr,
                       "networks, as \"10.0.0.0/8\" or \"2001:db8::/32\"",
                       error)
        || read_match(member("header"), path, "header", error)
        || read_match(member("cookie"), path, "cookie", error))
    {
        return -1;
    }

#undef member

    return 0;
}


static int
read_weights(const cJSON *json, const char *path, const char *canary,
    bool *judged, spec_error_t *error)
{
    int           count;
    unsigned      sum, weight;
    const cJSON  *item;

    count = cJSON_IsObject(json) ? cJSON_GetArraySize(json) : 0;

    if (count < 1 || count > MAX_GROUPS) {
        return spec_fail(error, path, "weights", "must be an object of 1 to "
                         "%d groups and their percentages", MAX_GROUPS);
    }

    sum = 0;

    cJSON_ArrayForEach(item, json) {
        if (!spec_is_name(item->string)) {
            return spec_fail(error, path, "weights",
                             "must have names of groups");
        }

        if (spec_percent(item, path, "weights", 0, SPEC_WEIGHT_ALL, &weight,
                         error)
            != 0)
        {
            return -1;
        }

        sum += weight;
        *judged = *judged || (weight > 0
                              && (strcmp(item->string, canary) == 0
                                  || strcmp(item->string, "canary") == 0));
    }

    if (sum != SPEC_WEIGHT_ALL) {
        return spec_fail(error, path, "weights", "must be 100 together, not "
                         "%g", sum / 100.0);
    }

    return 0;
}


static int
read_rule(const cJSON *json, const char *path, const char *canary,
    unsigned *strata, bool *judged, spec_error_t *error)
{
    char          own[PATH_LEN];
    const cJSON  *group, *weights, *condition;

    if (spec_check_object(json, path, rule_fields, error) != 0) {
        return -1;
    }

    condition = cJSON_GetObjectItemCaseSensitive(json, "if");
    group = cJSON_GetObjectItemCaseSensitive(json, "group");
    weights = cJSON_GetObjectItemCaseSensitive(json, "weights");

    if (condition == NULL) {
        return spec_fail(error, path, "if", "is required");
    }

    text_format(own, sizeof(own), "%s.if", path);

    if (read_if(condition, own, error) != 0) {
        return -1;
    }

    if ((group == NULL) == (weights == NULL)) {
        return spec_fail(error, path, "", "must have either a \"group\" or "
                         "\"weights\"");
    }

    if (weights != NULL) {
        if (++*strata > MAX_STRATA) {
            return spec_fail(error, path, "weights", "must not be in more "
                             "than %d rules: each is judged by itself",
                             MAX_STRATA);
        }

        return read_weights(weights, path, canary, judged, error);
    }

    if (!cJSON_IsString(group) || !spec_is_name(group->valuestring)) {
        return spec_fail(error, path, "group", "must be the name of a group");
    }

    return 0;
}


int
spec_read_rules(const cJSON *json, const char *path, const char *canary,
    char **text, bool *judged, spec_error_t *error)
{
    int           count;
    char          own[PATH_LEN];
    unsigned      n, strata;
    const cJSON  *item;

    *text = NULL;
    *judged = false;
    count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : -1;

    if (count < 0 || count > SPEC_MAX_RULES) {
        return spec_fail(error, path, "rules", "must be a list of at most %d "
                         "rules, such as {\"if\": {\"country\": [\"NZ\"]}, "
                         "\"group\": \"green\"}", SPEC_MAX_RULES);
    }

    n = 0;
    strata = 0;

    cJSON_ArrayForEach(item, json) {
        text_format(own, sizeof(own), "%s.rules[%u]", path, n++);

        if (read_rule(item, own, canary, &strata, judged, error) != 0) {
            return -1;
        }
    }

    if (count == 0) {
        return 0;
    }

    *text = cJSON_PrintUnformatted(json);

    if (*text == NULL || strlen(*text) >= SPEC_RULES_LEN) {
        free(*text);
        *text = NULL;
        return spec_fail(error, path, "rules", "must be shorter than %d "
                         "bytes of JSON", SPEC_RULES_LEN);
    }

    return 0;
}
