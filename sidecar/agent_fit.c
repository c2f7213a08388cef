/* A record for an nginx that has not all of its groups. */

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "agent_internal.h"


/*
 * A group without weight need not be there: a node whose configuration lacks
 * the canary must take the record that reverts it, or everybody would wait
 * for it.  A group with weight stays, and nginx refuses the record.
 */
char *
agent_fit(const agent_upstream_t *u, const char *text)
{
    char         *fit;
    cJSON        *json, *weights, *group, *next;
    const cJSON  *canary;

    json = cJSON_Parse(text);
    weights = cJSON_GetObjectItemCaseSensitive(json, "weights");

    for (group = weights != NULL ? weights->child : NULL; group != NULL;
         group = next)
    {
        next = group->next;

        if (cJSON_IsNumber(group) && group->valuedouble == 0
            && record_group(&u->node.record, group->string) == NULL)
        {
            cJSON_Delete(cJSON_DetachItemViaPointer(weights, group));
        }
    }

    canary = cJSON_GetObjectItemCaseSensitive(json, "canary");

    if (cJSON_IsString(canary)
        && record_group(&u->node.record, canary->valuestring) == NULL
        && cJSON_GetObjectItemCaseSensitive(weights, canary->valuestring)
           == NULL)
    {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "canary");
    }

    fit = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);

    return fit;
}
