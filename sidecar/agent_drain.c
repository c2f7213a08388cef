/*
 * Servers that take no new requests while they are worked on.  The record in
 * Redis says which; each tick brings nginx to that.  Of groups that the record
 * does not name nothing is touched: a person may have drained something.
 */

#include <stdio.h>
#include <string.h>

#include "agent_internal.h"
#include "core/text.h"


static void agent_drained(void *arg, const http_response_t *response);


void
agent_drain_route(agent_upstream_t *u, const store_route_t *route)
{
    record_t  record;

    if (route->revision == u->drain_revision) {
        return;
    }

    u->drain_revision = route->revision;
    u->drain[0] = '\0';

    if (route->revision > 0 && record_parse_text(route->record, &record) == 0)
    {
        strcpy(u->drain, record.drain);
    }
}


/* An address of IPv6 has brackets, which a path must not have. */
static void
agent_drain_path(const agent_upstream_t *u, const char *group,
    const char *server, char *path, size_t size)
{
    size_t  len;

    len = (size_t) snprintf(path, size, "upstreams/%s/groups/%s/servers/",
                            u->name, group);

    for ( ; *server != '\0' && len + 4 < size; server++) {
        if (*server == '[' || *server == ']') {
            len += (size_t) snprintf(path + len, size - len, "%%%02X",
                                     (unsigned) *server);
        } else {
            path[len++] = *server;
        }
    }

    path[len] = '\0';
}


static void
agent_drain_set(agent_upstream_t *u, const char *group, const char *server,
    bool drain)
{
    char  path[2 * SPEC_NAME_LEN + 3 * SPEC_TARGET_LEN + 32];

    if (u->draining) {
        return;                    /* the next tick finds it again */
    }

    agent_drain_path(u, group, server, path, sizeof(path));

    if (agent_send(u->agent, "PUT", path, drain ? "{\"drain\":true}"
                                                : "{\"drain\":false}",
                   agent_drained, u)
        == 0)
    {
        u->draining = true;
        log_info(u->agent->log, drain ? "drains" : "drains no more",
                 LOG_S("upstream", u->name), LOG_S("group", group),
                 LOG_S("server", server));
    }
}


static void
agent_drained(void *arg, const http_response_t *response)
{
    agent_upstream_t  *u = arg;

    u->draining = false;

    if (response->status == 0) {
        u->agent->stats.nginx_errors++;

    } else if (response->status != 200) {
        log_warn(u->agent->log, "nginx does not drain a server",
                 LOG_S("upstream", u->name),
                 LOG_I("status", response->status));
    }
}


static void
agent_drain_note(agent_upstream_t *u, const char *group, const char *server)
{
    size_t  len;

    len = strlen(u->node.drained);

    snprintf(u->node.drained + len, sizeof(u->node.drained) - len, "%s%s/%s ",
             len > 0 ? "" : " ", group, server);
}


static void
agent_drain_server(agent_upstream_t *u, const char *group, const cJSON *json)
{
    bool          drained, wanted;
    const char   *server, *address;
    const cJSON  *item, *flight;

    item = cJSON_GetObjectItemCaseSensitive(json, "address");
    address = cJSON_IsString(item) ? item->valuestring : "";
    item = cJSON_GetObjectItemCaseSensitive(json, "server");
    server = cJSON_IsString(item) ? item->valuestring : address;

    if (*address == '\0' || strlen(address) >= SPEC_TARGET_LEN
        || strlen(server) >= SPEC_TARGET_LEN)
    {
        return;
    }

    drained = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "drain"));

    if (record_drains(u->drain, group, server, address, &wanted)
        && wanted != drained)
    {
        agent_drain_set(u, group, address, wanted);
    }

    flight = cJSON_GetObjectItemCaseSensitive(json, "in_flight");

    if (drained && cJSON_IsNumber(flight) && flight->valuedouble == 0.0) {
        agent_drain_note(u, group, server);

        if (strcmp(server, address) != 0) {
            agent_drain_note(u, group, address);
        }
    }
}


void
agent_drain(agent_upstream_t *u, const cJSON *groups)
{
    const cJSON  *group, *server;

    u->node.drained[0] = '\0';

    cJSON_ArrayForEach(group, groups) {
        if (!store_name_valid(group->string)) {
            continue;
        }

        cJSON_ArrayForEach(server,
                           cJSON_GetObjectItemCaseSensitive(group, "servers"))
        {
            agent_drain_server(u, group->string, server);
        }
    }
}
