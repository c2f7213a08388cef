/* GET /v1/whoami: whom canaryd takes the one who asks for. */

#include "api_internal.h"


void
api_whoami(void *arg, http_exchange_t *exchange)
{
    cJSON                  *json, *list;
    unsigned                i;
    const auth_identity_t  *who = exchange->who;

    json = cJSON_CreateObject();

    if (who->name[0] != '\0') {
        cJSON_AddStringToObject(json, "actor", who->name);

    } else {
        cJSON_AddNullToObject(json, "actor");
    }

    cJSON_AddStringToObject(json, "role", auth_role_name(who->role));

    if (who->limited) {
        list = cJSON_AddArrayToObject(json, "upstreams");

        for (i = 0; i < who->pattern_count; i++) {
            cJSON_AddItemToArray(list, cJSON_CreateString(who->patterns[i]));
        }

    } else {
        cJSON_AddNullToObject(json, "upstreams");
    }

    http_answer_json(exchange->request, 200, json);
}
