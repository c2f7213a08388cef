/*
 * What load is told to do; the head of load.c lists it.
 */

#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include "tool.h"

#define LOAD_REQUEST      8192
#define LOAD_HEADERS      16
#define LOAD_CONNECTIONS  1024


typedef struct {
    tool_address_t       target;
    unsigned             connections;
    double               max_requests;
    double               seconds;
    double               rate;
    const char          *method;
    const char          *path;
    const char          *headers[LOAD_HEADERS];
    unsigned             header_count;
    double               keys;
    double               body;
    double               timeout_ms;
    double               slow_ms;
    double               interval_ms;
} load_options_t;


static inline void
load_options(load_options_t *opt, int argc, char *argv[])
{
    int           i;
    unsigned      n;
    const char   *value;

    const struct {
        const char  *name;
        double      *value;
        double       min, max;
    } numbers[] = {
        { "--requests", &opt->max_requests, 1, 1e9 },
        { "--seconds", &opt->seconds, 0.01, 3600 },
        { "--rate", &opt->rate, 0.1, 1e6 },
        { "--keys", &opt->keys, 1, 1e9 },
        { "--body", &opt->body, 0, LOAD_REQUEST / 2 },
        { "--timeout-ms", &opt->timeout_ms, 1, 600000 },
        { "--slow-ms", &opt->slow_ms, 0, 600000 },
        { "--interval-ms", &opt->interval_ms, 10, 60000 },
    };

    opt->connections = 8;
    opt->seconds = 60;
    opt->method = "GET";
    opt->path = "/";
    opt->timeout_ms = 10000;

    for (i = 1; i < argc; i += 2) {
        value = argv[i + 1];

        if (value == NULL) {
            tool_die("%s lacks its value", argv[i]);
        }

        for (n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
            if (strcmp(argv[i], numbers[n].name) == 0) {
                *numbers[n].value = tool_number(argv[i], value,
                                                numbers[n].min,
                                                numbers[n].max);
                break;
            }
        }

        if (n < sizeof(numbers) / sizeof(numbers[0])) {
            continue;
        }

        if (strcmp(argv[i], "--target") == 0) {
            tool_address(value, &opt->target);

        } else if (strcmp(argv[i], "--connections") == 0) {
            opt->connections = (unsigned) tool_number(argv[i], value, 1,
                                                       LOAD_CONNECTIONS);

        } else if (strcmp(argv[i], "--method") == 0) {
            opt->method = value;

        } else if (strcmp(argv[i], "--path") == 0) {
            opt->path = value;

        } else if (strcmp(argv[i], "--header") == 0
                   && opt->header_count < LOAD_HEADERS)
        {
            opt->headers[opt->header_count++] = value;

        } else {
            tool_die("%s is not an option here; see the head of load.c",
                     argv[i]);
        }
    }

    if (opt->target.len == 0) {
        tool_die("--target is missing");
    }
}

#endif
