#include "http_internal.h"

#include <stdio.h>
#include <string.h>

#include <event2/buffer.h>

static void http_send(struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len);
static const char *http_title(int status);


void
http_answer_json(struct evhttp_request *request, int status, cJSON *json)
{
    char  *text;

    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (text == NULL) {
        http_send(request, 503, "text/plain", "out of memory\n", 14);
        return;
    }

    http_send(request, status, "application/json", text, strlen(text));
    cJSON_free(text);
}


void
http_answer_text(struct evhttp_request *request, int status,
    const char *type, const char *text, size_t len)
{
    http_send(request, status, type, text, len);
}


void
http_answer_problem(struct evhttp_request *request, int status,
    const char *field, const char *detail, cJSON *extra)
{
    char   *text;
    cJSON  *json, *item;

    text = NULL;
    json = cJSON_CreateObject();

    if (json != NULL
        && cJSON_AddStringToObject(json, "type", "about:blank")
        && cJSON_AddStringToObject(json, "title", http_title(status))
        && cJSON_AddNumberToObject(json, "status", status)
        && (detail == NULL
            || cJSON_AddStringToObject(json, "detail", detail))
        && (field == NULL || field[0] == '\0'
            || cJSON_AddStringToObject(json, "field", field)))
    {
        while (extra != NULL && extra->child != NULL) {
            item = cJSON_DetachItemViaPointer(extra, extra->child);
            cJSON_AddItemToObject(json, item->string, item);
        }

        text = cJSON_PrintUnformatted(json);
    }

    cJSON_Delete(json);
    cJSON_Delete(extra);

    if (text == NULL) {
        http_send(request, 503, "text/plain", "out of memory\n", 14);
        return;
    }

    http_send(request, status, "application/problem+json", text,
              strlen(text));
    cJSON_free(text);
}


static void
http_send(struct evhttp_request *request, int status, const char *type,
    const char *text, size_t len)
{
    char               number[32];
    struct evbuffer   *body;
    struct evkeyvalq  *headers;

    http_tap_call(request, status, type, text, len);

    headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");

    /* Said here, because a HEAD has the length but not the body. */
    snprintf(number, sizeof(number), "%zu", len);
    evhttp_add_header(headers, "Content-Length", number);

    body = NULL;

    if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
        body = evbuffer_new();

        if (body == NULL || evbuffer_add(body, text, len) == -1) {
            if (body != NULL) {
                evbuffer_free(body);
            }

            evhttp_remove_header(headers, "Content-Length");
            evhttp_send_reply(request, 503, http_title(503), NULL);
            return;
        }
    }

    evhttp_send_reply(request, status, http_title(status), body);

    if (body != NULL) {
        evbuffer_free(body);
    }
}


static const char *
http_title(int status)
{
    switch (status) {
    case 200:  return "OK";
    case 201:  return "Created";
    case 202:  return "Accepted";
    case 204:  return "No Content";
    case 302:  return "Found";
    case 400:  return "Bad Request";
    case 401:  return "Unauthorized";
    case 403:  return "Forbidden";
    case 404:  return "Not Found";
    case 405:  return "Method Not Allowed";
    case 409:  return "Conflict";
    case 413:  return "Content Too Large";
    case 415:  return "Unsupported Media Type";
    case 422:  return "Unprocessable Content";
    case 429:  return "Too Many Requests";
    case 500:  return "Internal Server Error";
    case 501:  return "Not Implemented";
    case 502:  return "Bad Gateway";
    case 503:  return "Service Unavailable";
    case 504:  return "Gateway Timeout";
    default:   return status < 500 ? "Error" : "Server Error";
    }
}
