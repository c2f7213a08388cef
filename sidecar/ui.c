#include "ui.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

typedef struct {
    const char           *name;
    const char           *type;
    const char           *etag;    /* quoted; of the content */
    const unsigned char  *plain;
    size_t                plain_len;
    const unsigned char  *gzip;    /* NULL: it is not smaller */
    size_t                gzip_len;
} ui_entry_t;

/* Made of sidecar/ui by sidecar/ui/embed: ui_entries[]. */
#include "ui_files.inc"

#define UI_INDEX  "index.html"

static const char *const  ui_headers[][2] = {
    { "Cache-Control", "no-cache" },
    { "X-Content-Type-Options", "nosniff" },
    { "X-Frame-Options", "DENY" },
    { "Referrer-Policy", "no-referrer" },
    { "Cross-Origin-Opener-Policy", "same-origin" },
    { "Cross-Origin-Resource-Policy", "same-origin" },
    { "Content-Security-Policy",
      "default-src 'none'; script-src 'self'; style-src 'self'; "
      "img-src 'self'; connect-src 'self'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'; "
      "require-trusted-types-for 'script'; trusted-types 'none'" },
    { NULL, NULL }
};


static const ui_entry_t *
ui_find(const char *name)
{
    size_t  i;

    for (i = 0; i < sizeof(ui_entries) / sizeof(ui_entries[0]); i++) {
        if (strcmp(ui_entries[i].name, name) == 0) {
            return &ui_entries[i];
        }
    }

    return NULL;
}


/* Is the token one of a header's comma-separated list, and not refused by
 * ";q=0"? */
static bool
ui_lists(const char *header, const char *token)
{
    size_t  len, rest;

    while (header != NULL && *header != '\0') {
        header += strspn(header, ", \t");
        len = strcspn(header, ",; \t");
        rest = strcspn(header, ",");

        if (len == strlen(token) && strncasecmp(header, token, len) == 0) {
            header += len;
            header += strspn(header, "; \t");

            return strncasecmp(header, "q=0", 3) != 0
                   || strspn(header + 3, ".0")
                      < strcspn(header + 3, ", \t;");
        }

        header += rest;
    }

    return false;
}


/* If-None-Match: "*" or the tag, weak ones too. */
static bool
ui_unchanged(const char *header, const ui_entry_t *entry)
{
    char  weak[96];

    if (header == NULL) {
        return false;
    }

    snprintf(weak, sizeof(weak), "W/%s", entry->etag);

    return ui_lists(header, "*") || ui_lists(header, entry->etag)
           || ui_lists(header, weak);
}


void
ui_file(void *arg, http_exchange_t *exchange)
{
    char                    length[32];
    bool                    gzip;
    size_t                  i, len;
    const char             *name;
    struct evbuffer        *body;
    struct evkeyvalq       *in, *out;
    const ui_entry_t       *entry;
    struct evhttp_request  *request = exchange->request;

    name = exchange->params[0][0] != '\0' ? exchange->params[0] : UI_INDEX;
    entry = ui_find(name);

    if (entry == NULL) {
        http_answer_problem(request, 404, NULL, "the dashboard has no such "
                            "file", NULL);
        return;
    }

    in = evhttp_request_get_input_headers(request);
    out = evhttp_request_get_output_headers(request);

    for (i = 0; ui_headers[i][0] != NULL; i++) {
        evhttp_add_header(out, ui_headers[i][0], ui_headers[i][1]);
    }

    /* The tag is weak: it says the same of both encodings. */
    snprintf(length, sizeof(length), "W/%s", entry->etag);
    evhttp_add_header(out, "ETag", length);
    evhttp_add_header(out, "Vary", "Accept-Encoding");

    if (ui_unchanged(evhttp_find_header(in, "If-None-Match"), entry)) {
        evhttp_send_reply(request, 304, "Not Modified", NULL);
        return;
    }

    gzip = entry->gzip != NULL
           && ui_lists(evhttp_find_header(in, "Accept-Encoding"), "gzip");
    len = gzip ? entry->gzip_len : entry->plain_len;

    if (gzip) {
        evhttp_add_header(out, "Content-Encoding", "gzip");
    }

    snprintf(length, sizeof(length), "%zu", len);
    evhttp_add_header(out, "Content-Type", entry->type);
    evhttp_add_header(out, "Content-Length", length);

    body = NULL;

    if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
        body = evbuffer_new();

        if (body == NULL
            || evbuffer_add_reference(body, gzip ? entry->gzip : entry->plain,
                                      len, NULL, NULL) == -1)
        {
            evhttp_remove_header(out, "Content-Length");
            evhttp_remove_header(out, "Content-Encoding");
            evhttp_send_reply(request, 503, "Service Unavailable", NULL);
            goto done;
        }
    }

    evhttp_send_reply(request, 200, "OK", body);

done:

    if (body != NULL) {
        evbuffer_free(body);
    }
}


void
ui_redirect(void *arg, http_exchange_t *exchange)
{
    /* Relative: also right behind a proxy that serves it below a path. */
    evhttp_add_header(
        evhttp_request_get_output_headers(exchange->request), "Location",
        "ui/");
    http_answer_text(exchange->request, 302, "text/plain",
                     "the dashboard is at /ui/\n", 25);
}
