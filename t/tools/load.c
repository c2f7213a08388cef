/*
 * A load generator for one address on this host, over kept-alive
 * connections; bounded in requests and time.
 *
 *   load --target 127.0.0.1:PORT|unix:/path [--connections 8]
 *        [--requests N] [--seconds S] [--rate RPS] [--method GET]
 *        [--path /] [--header 'X-User: %d']... [--keys K] [--body BYTES]
 *        [--timeout-ms 10000] [--slow-ms MS] [--interval-ms MS]
 *
 * A %d in the path or a header is the number of the key: the running number
 * of the request, modulo K if --keys is given.  With --rate requests start
 * evenly spread, as long as a connection is free; without, each connection
 * sends the next request when it has its answer.
 *
 * At its end, also by SIGTERM or SIGINT, it prints one line of JSON with
 * "done": true; with --interval-ms the same line, "done": false, also in
 * between.  Times are of CLOCK_MONOTONIC in ms.  An answer is bad if its
 * status is 5xx or it took longer than --slow-ms; failed are 5xx and what was
 * never answered in full.  The answers are told apart by X-Backend.
 */

#include "load_answer.h"
#include "load_options.h"
#include "load_stats.h"
#include "tool.h"

#include <event2/event.h>


#define LOAD_BACKENDS  16


typedef enum {
    LOAD_ERROR_CONNECT = 0,
    LOAD_ERROR_RESET,
    LOAD_ERROR_CLOSED,
    LOAD_ERROR_TRUNCATED,
    LOAD_ERROR_TIMEOUT,
    LOAD_ERROR_PROTOCOL,
    LOAD_ERRORS
} load_error_t;


typedef struct load_s  load_t;


typedef struct {
    load_t              *load;
    int                  fd;           /* -1: not connected */
    struct event        *event;
    struct event        *timeout;
    bool                 busy;
    bool                 reused;       /* not its connection's first request */
    double               started_ms;
    load_backend_t      *backend;
    size_t               sent;
    size_t               out_len;
    char                 out[LOAD_REQUEST];
    answer_t             answer;
} load_conn_t;


struct load_s {
    struct event_base   *base;
    load_options_t       opt;
    double               start_ms;
    double               end_ms;
    bool                 stopping;
    unsigned             busy;
    uint64_t             started;
    uint64_t             finished;
    uint64_t             retried;
    uint64_t             connects;
    uint64_t             errors[LOAD_ERRORS];
    unsigned             backend_count;
    load_backend_t       total;
    load_backend_t       backends[LOAD_BACKENDS];
    load_conn_t        **conns;
    struct event        *tick;
};


static const char  *load_error_names[] = {
    "connect", "reset", "closed", "truncated", "timeout", "protocol"
};

static void load_connect(load_conn_t *c);
static void load_start(load_conn_t *c);
static void load_on_event(evutil_socket_t fd, short what, void *arg);


static void
load_print(load_t *load, bool done)
{
    double    now;
    uint64_t  failed;
    unsigned  i;

    now = tool_now_ms();

    for (i = 500, failed = 0; i < LOAD_STATUSES; i++) {
        failed += load->total.status[i];
    }

    for (i = 0; i < LOAD_ERRORS; i++) {
        failed += load->errors[i];
    }

    printf("{\"done\": %s, \"now_ms\": %.3f, \"seconds\": %.3f, "
           "\"started\": %lu, \"finished\": %lu, \"failed\": %lu, "
           "\"retried\": %lu, \"connects\": %lu, \"errors\": {",
           done ? "true" : "false", now, (now - load->start_ms) / 1e3,
           load->started, load->finished, failed, load->retried,
           load->connects);

    for (i = 0; i < LOAD_ERRORS; i++) {
        printf("%s\"%s\": %lu", i ? ", " : "", load_error_names[i],
               load->errors[i]);
    }

    printf("}, \"total\": {");
    load_print_backend(&load->total);
    printf("}, \"backends\": {");

    for (i = 0; i < load->backend_count; i++) {
        printf("%s\"%s\": {", i ? ", " : "", load->backends[i].name);
        load_print_backend(&load->backends[i]);
        printf("}");
    }

    printf("}}\n");
    fflush(stdout);
}


static load_backend_t *
load_backend(load_t *load, const char *name)
{
    unsigned         i;
    load_backend_t  *b;

    for (i = 0; i < load->backend_count; i++) {
        if (strcmp(load->backends[i].name, name) == 0) {
            return &load->backends[i];
        }
    }

    if (i == LOAD_BACKENDS || strlen(name) >= sizeof(b->name)
        || strpbrk(name, "\"\\"))
    {
        return NULL;
    }

    b = &load->backends[i];
    strcpy(b->name, name);
    load->backend_count++;

    return b;
}


static void
load_disconnect(load_conn_t *c)
{
    if (c->fd == -1) {
        return;
    }

    event_free(c->event);
    close(c->fd);

    c->event = NULL;
    c->fd = -1;
}


static bool
load_may_start(load_t *load)
{
    return !load->stopping
           && (load->opt.max_requests == 0
               || (double) load->started < load->opt.max_requests);
}


/* After the end of a request: the next one, or the end of it all. */

static void
load_next(load_conn_t *c, bool whole)
{
    load_t                *load;
    const struct timeval   pause = { 0, 5000 };

    load = c->load;

    if (load_may_start(load)) {
        if (load->opt.rate == 0 && whole) {
            load_start(c);

        } else if (load->opt.rate == 0) {
            event_add(c->timeout, &pause);
        }

    } else if (load->busy == 0) {
        event_base_loopbreak(load->base);
    }
}


static void
load_finish(load_conn_t *c, bool whole)
{
    double     now, ms;
    load_t    *load;
    unsigned   status;

    load = c->load;
    now = tool_now_ms();
    ms = now - c->started_ms;
    status = whole ? c->answer.status : 0;

    event_del(c->timeout);

    load_count(&load->total, status, ms, load->opt.slow_ms, now);

    if (c->backend) {
        load_count(c->backend, status, ms, load->opt.slow_ms, now);
    }

    load->finished++;
    load->busy--;
    c->busy = false;
    c->reused = true;

    if (c->answer.close || !whole) {
        load_disconnect(c);
    }

    load_next(c, whole);
}


static void
load_fail(load_conn_t *c, load_error_t error)
{
    load_disconnect(c);

    /* the server may close a kept connection just as it is used again */

    if (c->reused && !c->answer.headed && c->answer.len == 0
        && (error == LOAD_ERROR_RESET || error == LOAD_ERROR_CLOSED))
    {
        c->load->retried++;
        c->reused = false;
        load_connect(c);
        return;
    }

    c->load->errors[error]++;
    load_finish(c, false);
}


static void
load_on_timeout(evutil_socket_t fd, short what, void *arg)
{
    load_conn_t  *c = arg;

    if (c->busy) {
        load_fail(c, c->fd == -1 ? LOAD_ERROR_CONNECT : LOAD_ERROR_TIMEOUT);

    } else if (load_may_start(c->load)) {
        load_start(c);
    }
}


static void
load_connect(load_conn_t *c)
{
    int              on;
    load_t          *load;
    tool_address_t  *target;

    load = c->load;
    target = &load->opt.target;
    load->connects++;

    c->sent = 0;
    c->reused = false;

    c->fd = socket(target->sa.ss_family,
                   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        tool_die("socket(): %s", strerror(errno));
    }

    on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    c->event = event_new(load->base, c->fd, EV_READ | EV_WRITE | EV_PERSIST,
                         load_on_event, c);
    if (c->event == NULL) {
        tool_die("no memory");
    }

    if (connect(c->fd, (struct sockaddr *) &target->sa, target->len) != 0
        && errno != EINPROGRESS)
    {
        /* not from within the caller: it may be a loop of ours */
        load_disconnect(c);
        event_active(c->timeout, EV_READ, 0);
        return;
    }

    event_add(c->event, NULL);
}


static void
load_append(load_conn_t *c, const char *text, uint64_t key)
{
    size_t       n;
    const char  *p;

    for (p = text; *p; p++) {
        if (c->out_len + 32 > LOAD_REQUEST) {
            tool_die("the request is too long");
        }

        if (p[0] == '%' && p[1] == 'd') {
            n = (size_t) sprintf(c->out + c->out_len, "%lu", key);
            c->out_len += n;
            p++;
            continue;
        }

        c->out[c->out_len++] = *p;
    }
}


static void
load_compose(load_conn_t *c)
{
    char       length[64];
    load_t    *load;
    uint64_t   key;
    unsigned   i;

    load = c->load;
    key = load->started;

    if (load->opt.keys > 0) {
        key %= (uint64_t) load->opt.keys;
    }

    c->out_len = 0;

    load_append(c, load->opt.method, key);
    load_append(c, " ", key);
    load_append(c, load->opt.path, key);
    load_append(c, " HTTP/1.1\r\nHost: localhost\r\n", key);

    for (i = 0; i < load->opt.header_count; i++) {
        load_append(c, load->opt.headers[i], key);
        load_append(c, "\r\n", key);
    }

    if (load->opt.body > 0) {
        sprintf(length, "Content-Length: %.0f\r\n", load->opt.body);
        load_append(c, length, key);
    }

    load_append(c, "\r\n", key);

    if (c->out_len + (size_t) load->opt.body > LOAD_REQUEST) {
        tool_die("the request is too long");
    }

    memset(c->out + c->out_len, 'x', (size_t) load->opt.body);
    c->out_len += (size_t) load->opt.body;
}


/* Returns false when the connection is gone. */

static bool
load_send(load_conn_t *c)
{
    ssize_t  n;
    short    want;

    while (c->sent < c->out_len) {
        n = send(c->fd, c->out + c->sent, c->out_len - c->sent,
                 MSG_NOSIGNAL);

        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }

            if (errno == EAGAIN || errno == ENOTCONN) {
                break;
            }

            load_fail(c, errno == EPIPE || errno == ECONNRESET
                         ? LOAD_ERROR_RESET : LOAD_ERROR_CONNECT);
            return false;
        }

        c->sent += (size_t) n;
    }

    want = c->sent < c->out_len ? EV_READ | EV_WRITE : EV_READ;

    if (event_get_events(c->event) != (want | EV_PERSIST)) {
        event_del(c->event);
        event_assign(c->event, c->load->base, c->fd, want | EV_PERSIST,
                     load_on_event, c);
        event_add(c->event, NULL);
    }

    return true;
}


static void
load_start(load_conn_t *c)
{
    load_t          *load;
    struct timeval   tv;

    load = c->load;

    load_compose(c);

    load->started++;
    load->busy++;

    c->busy = true;
    c->backend = NULL;
    c->sent = 0;
    c->started_ms = tool_now_ms();
    answer_begin(&c->answer);

    tv.tv_sec = (time_t) (load->opt.timeout_ms / 1e3);
    tv.tv_usec = (suseconds_t) (fmod(load->opt.timeout_ms, 1e3) * 1e3);
    event_add(c->timeout, &tv);

    if (c->fd == -1) {
        load_connect(c);
        return;
    }

    load_send(c);
}


static void
load_input(load_conn_t *c)
{
    int   rc;
    bool  headed;

    headed = c->answer.headed;
    rc = answer_parse(&c->answer, strcmp(c->load->opt.method, "HEAD") == 0);

    if (!headed && c->answer.headed && c->answer.backend[0]) {
        c->backend = load_backend(c->load, c->answer.backend);
    }

    if (rc < 0) {
        load_fail(c, LOAD_ERROR_PROTOCOL);

    } else if (rc > 0) {
        load_finish(c, true);
    }
}


static void
load_on_event(evutil_socket_t fd, short what, void *arg)
{
    ssize_t       n;
    answer_t     *a;
    load_conn_t  *c = arg;

    if ((what & EV_WRITE) && c->busy && !load_send(c)) {
        return;
    }

    if (!(what & EV_READ)) {
        return;
    }

    a = &c->answer;
    n = read(c->fd, a->in + a->len, ANSWER_INPUT - a->len);

    if (n > 0) {
        if (!c->busy) {
            load_disconnect(c);
            return;
        }

        a->len += (size_t) n;
        load_input(c);
        return;
    }

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (!c->busy) {
        load_disconnect(c);
        return;
    }

    if (n == 0 && a->headed && a->framing == ANSWER_UNTIL_CLOSE) {
        load_finish(c, true);
        return;
    }

    load_fail(c, a->headed ? LOAD_ERROR_TRUNCATED
                 : n == 0 ? LOAD_ERROR_CLOSED
                 : errno == ECONNRESET ? LOAD_ERROR_RESET
                 : LOAD_ERROR_CONNECT);
}


static void
load_stop(load_t *load)
{
    load->stopping = true;

    if (load->busy == 0) {
        event_base_loopbreak(load->base);
    }
}


/* Starts what is due by the rate and watches the end. */

static void
load_on_tick(evutil_socket_t fd, short what, void *arg)
{
    double    due;
    load_t   *load = arg;
    unsigned  i;

    if (tool_now_ms() >= load->end_ms) {
        load_stop(load);
        return;
    }

    if (load->opt.rate == 0) {
        return;
    }

    due = (tool_now_ms() - load->start_ms) * load->opt.rate / 1e3;

    for (i = 0; i < load->opt.connections; i++) {
        if ((double) load->started >= due || !load_may_start(load)) {
            return;
        }

        if (!load->conns[i]->busy) {
            load_start(load->conns[i]);
        }
    }

    /* all are busy: what could not start in time is not made up for */

    if (due - (double) load->started > load->opt.rate) {
        load->start_ms = tool_now_ms() - (double) load->started * 1e3
                                         / load->opt.rate;
    }
}


static void
load_on_interval(evutil_socket_t fd, short what, void *arg)
{
    load_print(arg, false);
}


static void
load_on_signal(evutil_socket_t signo, short what, void *arg)
{
    load_stop(arg);
}


static load_conn_t *
load_conn_new(load_t *load)
{
    load_conn_t  *c;

    c = calloc(1, sizeof(load_conn_t));
    if (c == NULL) {
        tool_die("no memory");
    }

    c->load = load;
    c->fd = -1;
    c->timeout = evtimer_new(load->base, load_on_timeout, c);

    if (c->timeout == NULL) {
        tool_die("no memory");
    }

    return c;
}


static void
load_run(load_t *load)
{
    unsigned               i;
    struct event          *signals[2], *interval;
    const struct timeval   millisecond = { 0, 1000 }, slow = { 0, 20000 };
    struct timeval         every;

    load->tick = event_new(load->base, -1, EV_PERSIST, load_on_tick, load);
    interval = event_new(load->base, -1, EV_PERSIST, load_on_interval, load);
    signals[0] = evsignal_new(load->base, SIGTERM, load_on_signal, load);
    signals[1] = evsignal_new(load->base, SIGINT, load_on_signal, load);

    event_add(load->tick, load->opt.rate > 0 ? &millisecond : &slow);
    event_add(signals[0], NULL);
    event_add(signals[1], NULL);

    if (load->opt.interval_ms > 0) {
        every.tv_sec = (time_t) (load->opt.interval_ms / 1e3);
        every.tv_usec = (suseconds_t) (fmod(load->opt.interval_ms, 1e3) * 1e3);
        event_add(interval, &every);
    }

    for (i = 0; i < load->opt.connections; i++) {
        load->conns[i] = load_conn_new(load);

        if (load->opt.rate == 0 && load_may_start(load)) {
            load_start(load->conns[i]);
        }
    }

    event_base_dispatch(load->base);

    load_print(load, true);

    for (i = 0; i < load->opt.connections; i++) {
        load_disconnect(load->conns[i]);
        event_free(load->conns[i]->timeout);
        free(load->conns[i]);
    }

    event_free(load->tick);
    event_free(interval);
    event_free(signals[0]);
    event_free(signals[1]);
}


int
main(int argc, char *argv[])
{
    load_t               *load;
    struct event_config  *config;

    load = calloc(1, sizeof(load_t));
    config = event_config_new();
    if (load == NULL || config == NULL) {
        tool_die("no memory");
    }

    load_options(&load->opt, argc, argv);

    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    load->base = event_base_new_with_config(config);
    event_config_free(config);

    load->conns = calloc(load->opt.connections, sizeof(load_conn_t *));
    if (load->base == NULL || load->conns == NULL) {
        tool_die("no memory");
    }

    load->start_ms = tool_now_ms();
    load->end_ms = load->start_ms + load->opt.seconds * 1e3;

    load_run(load);

    event_base_free(load->base);
    free(load->conns);
    free(load);

    return 0;
}
