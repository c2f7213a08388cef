/*
 * What a backend is set to do and what it has done.
 */

#ifndef BACKEND_STATE_H
#define BACKEND_STATE_H

#include "tool.h"

#include <event2/buffer.h>

#define BACKEND_MAX_BODY  4194304
#define BACKEND_STATUSES  600


typedef struct {
    char                 name[64];
    double               error;
    double               reset;
    double               truncate;
    double               hang;
    double               delay_ms;
    double               jitter_ms;
    double               body;
    double               seed;
    double               zero;
} backend_settings_t;


typedef struct {
    uint64_t             requests;
    uint64_t             status[BACKEND_STATUSES];
    uint64_t             reset;
    uint64_t             truncated;
    uint64_t             hung;
    uint64_t             connections;
    double               first_ms;
    double               last_ms;
} backend_counts_t;


typedef struct {
    backend_settings_t   settings;
    backend_counts_t     counts;
    uint64_t             random;
    uint64_t             open;         /* connections */
} backend_state_t;


static const struct {
    const char  *name;
    size_t       offset;
    double       max;
} backend_numbers[] = {
    { "error", offsetof(backend_settings_t, error), 1 },
    { "reset", offsetof(backend_settings_t, reset), 1 },
    { "truncate", offsetof(backend_settings_t, truncate), 1 },
    { "hang", offsetof(backend_settings_t, hang), 1 },
    { "delay_ms", offsetof(backend_settings_t, delay_ms), 60000 },
    { "jitter_ms", offsetof(backend_settings_t, jitter_ms), 60000 },
    { "body", offsetof(backend_settings_t, body), BACKEND_MAX_BODY },
    { "seed", offsetof(backend_settings_t, seed), 9e15 },
    { "zero", offsetof(backend_settings_t, zero), 1 },
    { NULL, 0, 0 }
};


/* Returns false if there is no such setting or its value is wrong. */

static inline bool
backend_set(backend_state_t *b, const char *name, const char *value)
{
    char      *end;
    double     number, *field;
    unsigned   i;

    if (strcmp(name, "name") == 0) {
        if (strlen(value) >= sizeof(b->settings.name)
            || strpbrk(value, "\"\\\r\n"))
        {
            return false;
        }

        strcpy(b->settings.name, value);
        return true;
    }

    for (i = 0; backend_numbers[i].name; i++) {
        if (strcmp(backend_numbers[i].name, name) == 0) {
            break;
        }
    }

    if (backend_numbers[i].name == NULL) {
        return false;
    }

    number = strtod(value, &end);

    if (end == value || *end
        || !(number >= 0 && number <= backend_numbers[i].max))
    {
        return false;
    }

    field = (double *) ((char *) &b->settings + backend_numbers[i].offset);
    *field = number;

    if (strcmp(name, "seed") == 0) {
        b->random = (uint64_t) number;
    }

    if (b->settings.zero != 0) {
        b->settings.zero = 0;
        memset(&b->counts, 0, sizeof(backend_counts_t));
    }

    return true;
}


static inline void
backend_print(backend_state_t *b, struct evbuffer *out)
{
    unsigned                   i;
    const char                *comma;
    const backend_counts_t    *n;
    const backend_settings_t  *s;

    n = &b->counts;
    s = &b->settings;

    evbuffer_add_printf(out, "{\"name\": \"%s\", \"settings\": "
        "{\"error\": %g, \"reset\": %g, \"truncate\": %g, \"hang\": %g, "
        "\"delay_ms\": %g, \"jitter_ms\": %g, \"body\": %.0f}, ",
        s->name, s->error, s->reset, s->truncate, s->hang, s->delay_ms,
        s->jitter_ms, s->body);

    evbuffer_add_printf(out, "\"requests\": %lu, \"reset\": %lu, "
        "\"truncated\": %lu, \"hung\": %lu, \"connections\": %lu, "
        "\"open\": %lu, \"first_ms\": %.3f, \"last_ms\": %.3f, "
        "\"status\": {",
        n->requests, n->reset, n->truncated, n->hung, n->connections,
        b->open, n->first_ms, n->last_ms);

    for (i = 0, comma = ""; i < BACKEND_STATUSES; i++) {
        if (n->status[i]) {
            evbuffer_add_printf(out, "%s\"%u\": %lu", comma, i,
                                n->status[i]);
            comma = ", ";
        }
    }

    evbuffer_add_printf(out, "}}\n");
}

#endif
