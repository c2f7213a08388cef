/* GET /v1/whoami: whom canaryd takes the one who asks for. */

#include "api_internal.h"


void
api_whoami(void *arg, http_exchange_t *exchange)
{
    cJSON  *json;

    /* Nobody is asked who he is: all may do all. */
    json = cJSON_CreateObject();
    cJSON_AddNullToObject(json, "actor");
    cJSON_AddStringToObject(json, "role", "admin");
    cJSON_AddNullToObject(json, "upstreams");

    http_answer_json(exchange->request, 200, json);
}
