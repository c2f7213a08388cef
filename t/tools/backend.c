/*
 * An HTTP backend that misbehaves on demand and counts exactly what it did.
 *
 *   backend --listen 127.0.0.1:0 --name v1 [--seed 1] [SETTING=VALUE]...
 *
 * It prints "ready PORT" (or "ready unix:/path") once it listens.  Settings,
 * also at run time by POST /_backend?SETTING=VALUE&...:
 *
 *   name            what the header X-Backend says
 *   error           share of requests answered 500
 *   reset           share answered by a connection reset
 *   truncate        share whose body ends early
 *   hang            share never answered
 *   delay_ms        time before the answer
 *   jitter_ms       up to so much more, evenly spread
 *   body            bytes of the body
 *   seed            starts the random numbers anew
 *   zero            1: sets all counts to 0
 *
 * GET /_backend gives settings and counts as JSON; requests of /_backend are
 * not counted.  A query decides about its own request: status=503, delay_ms,
 * body, reset=1, truncate=1, hang=1; echo=NAME answers with the value of
 * that request header as the body.
 */

#include "backend_state.h"
#include "tool.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stddef.h>


#define BACKEND_INPUT  32768


typedef enum {
    BACKEND_ANSWER = 0,
    BACKEND_RESET,
    BACKEND_TRUNCATE,
    BACKEND_HANG
} backend_kind_t;


typedef struct {
    struct event_base   *base;
    backend_state_t      state;
    char                *filler;
} backend_t;


/* What one request is to get. */

typedef struct {
    backend_kind_t       kind;
    unsigned             status;
    double               delay_ms;
    size_t               body;
    bool                 head;
    bool                 close;
    bool                 control;
    char                 echo[1024];
    bool                 has_echo;
} backend_plan_t;


typedef struct {
    backend_t           *backend;
    evutil_socket_t      fd;
    struct event        *read;
    struct event        *write;
    struct event        *timer;
    struct evbuffer     *out;
    size_t               len;
    uint64_t             discard;      /* of the request's body */
    bool                 busy;         /* an answer is under way */
    bool                 close;        /* after what is in out */
    backend_plan_t       plan;
    char                 in[BACKEND_INPUT + 1];
} backend_conn_t;


static void backend_process(backend_conn_t *c);


static void
backend_close(backend_conn_t *c)
{
    c->backend->state.open--;

    event_free(c->read);
    event_free(c->write);
    event_free(c->timer);
    evbuffer_free(c->out);
    evutil_closesocket(c->fd);
    free(c);
}


static void
backend_abort(backend_conn_t *c)
{
    struct linger  linger = { .l_onoff = 1, .l_linger = 0 };

    /* a unix socket has no reset: it is just closed */

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));

    backend_close(c);
}


/* Returns false when the connection is gone. */

static bool
backend_flush(backend_conn_t *c)
{
    while (evbuffer_get_length(c->out)) {
        if (evbuffer_write(c->out, c->fd) < 0) {
            if (errno == EAGAIN) {
                event_add(c->write, NULL);
                return true;
            }

            if (errno == EINTR) {
                continue;
            }

            backend_close(c);
            return false;
        }
    }

    if (c->close) {
        backend_close(c);
        return false;
    }

    return true;
}


static const char *
backend_reason(unsigned status)
{
    return status < 300 ? "OK" : status < 400 ? "Redirect"
           : status < 500 ? "Client Error" : "Server Error";
}


static void
backend_head(backend_conn_t *c, unsigned status, size_t length)
{
    evbuffer_add_printf(c->out, "HTTP/1.1 %u %s\r\n"
        "X-Backend: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
        status, backend_reason(status), c->backend->state.settings.name,
        c->plan.control ? "application/json" : "text/plain", length,
        c->close ? "Connection: close\r\n" : "");
}


/* Answers by the plan; returns false when the connection is gone. */

static bool
backend_answer(backend_conn_t *c)
{
    size_t             n;
    backend_t         *b;
    backend_plan_t    *plan;
    struct evbuffer   *body;

    b = c->backend;
    plan = &c->plan;

    if (plan->kind == BACKEND_RESET) {
        b->state.counts.reset++;
        backend_abort(c);
        return false;
    }

    c->busy = false;
    c->close = plan->close;

    if (plan->control) {
        body = evbuffer_new();
        backend_print(&b->state, body);
        backend_head(c, plan->status, evbuffer_get_length(body));
        evbuffer_add_buffer(c->out, body);
        evbuffer_free(body);

    } else if (plan->has_echo) {
        b->state.counts.status[plan->status]++;
        backend_head(c, plan->status, strlen(plan->echo));
        evbuffer_add(c->out, plan->echo, strlen(plan->echo));

    } else {
        n = plan->body;

        if (plan->kind == BACKEND_TRUNCATE) {
            b->state.counts.truncated++;
            c->close = true;
            n /= 2;

        } else {
            b->state.counts.status[plan->status]++;
        }

        backend_head(c, plan->status, plan->body);

        if (!plan->head) {
            evbuffer_add_reference(c->out, b->filler, n, NULL, NULL);
        }
    }

    return backend_flush(c);
}


static void
backend_on_timer(evutil_socket_t fd, short what, void *arg)
{
    backend_conn_t  *c = arg;

    if (backend_answer(c)) {
        backend_process(c);
    }
}


static bool
backend_argument(const char *query, const char *name, char *buf, size_t size)
{
    size_t       len, n;
    const char  *p;

    len = strlen(name);

    for (p = query; p && *p; p = strchr(p, '&'), p = p ? p + 1 : NULL) {
        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            p += len + 1;
            n = strcspn(p, "&");

            if (n >= size) {
                n = size - 1;
            }

            memcpy(buf, p, n);
            buf[n] = '\0';
            return true;
        }
    }

    return false;
}


static void
backend_control(backend_conn_t *c, const char *method, char *query)
{
    char  *pair, *value, *save;

    c->plan.control = true;

    if (strcmp(method, "POST") != 0) {
        return;
    }

    for (pair = strtok_r(query, "&", &save); pair;
         pair = strtok_r(NULL, "&", &save))
    {
        value = strchr(pair, '=');

        if (value == NULL) {
            c->plan.status = 422;
            return;
        }

        *value++ = '\0';

        if (!backend_set(&c->backend->state, pair, value)) {
            c->plan.status = 422;
            return;
        }
    }
}


static void
backend_decide(backend_conn_t *c, const char *head, const char *query)
{
    char                 text[64];
    double               chance;
    backend_t           *b;
    backend_plan_t      *plan;
    backend_settings_t  *s;

    b = c->backend;
    s = &b->state.settings;
    plan = &c->plan;

    b->state.counts.requests++;
    b->state.counts.last_ms = tool_now_ms();

    if (b->state.counts.first_ms == 0) {
        b->state.counts.first_ms = b->state.counts.last_ms;
    }

    /* always two numbers: the settings do not shift the sequence */

    chance = tool_random(&b->state.random);
    plan->delay_ms = s->delay_ms
                     + s->jitter_ms * tool_random(&b->state.random);
    plan->body = (size_t) s->body;

    if (chance < s->error) {
        plan->status = 500;

    } else if ((chance -= s->error) < s->reset) {
        plan->kind = BACKEND_RESET;

    } else if ((chance -= s->reset) < s->truncate) {
        plan->kind = BACKEND_TRUNCATE;

    } else if ((chance -= s->truncate) < s->hang) {
        plan->kind = BACKEND_HANG;
    }

    if (*query == '\0') {
        return;
    }

    if (backend_argument(query, "status", text, sizeof(text))
        && atoi(text) >= 200 && atoi(text) < BACKEND_STATUSES)
    {
        plan->kind = BACKEND_ANSWER;
        plan->status = (unsigned) atoi(text);
    }

    if (backend_argument(query, "delay_ms", text, sizeof(text))) {
        plan->delay_ms = fmax(0, fmin(atof(text), 60000));
    }

    if (backend_argument(query, "body", text, sizeof(text))) {
        plan->body = (size_t) fmax(0, fmin(atof(text), BACKEND_MAX_BODY));
    }

    if (backend_argument(query, "reset", text, sizeof(text))) {
        plan->kind = BACKEND_RESET;
    }

    if (backend_argument(query, "truncate", text, sizeof(text))) {
        plan->kind = BACKEND_TRUNCATE;
    }

    if (backend_argument(query, "hang", text, sizeof(text))) {
        plan->kind = BACKEND_HANG;
    }

    if (backend_argument(query, "echo", text, sizeof(text))) {
        plan->has_echo = true;

        if (!tool_header(head, text, plan->echo, sizeof(plan->echo))) {
            plan->echo[0] = '\0';
        }
    }
}


/* Takes a whole head; returns false when the connection is gone. */

static bool
backend_request(backend_conn_t *c, char *head)
{
    char            *method, *target, *query, *space, value[64];
    struct timeval   tv;
    backend_plan_t  *plan;

    plan = &c->plan;
    memset(plan, 0, sizeof(backend_plan_t));
    plan->status = 200;

    if (tool_header(head, "Connection", value, sizeof(value))) {
        plan->close = (strcasecmp(value, "close") == 0);

    } else {
        plan->close = (strstr(head, " HTTP/1.0\r\n") != NULL);
    }

    if (tool_header(head, "Transfer-Encoding", value, sizeof(value))) {
        plan->status = 411;
        plan->close = true;
        return backend_answer(c);
    }

    if (tool_header(head, "Content-Length", value, sizeof(value))) {
        c->discard = strtoull(value, NULL, 10);
    }

    method = head;
    target = strchr(head, ' ');
    space = target ? strpbrk(target + 1, " \r") : NULL;

    if (target == NULL || space == NULL) {
        backend_close(c);
        return false;
    }

    *target++ = '\0';
    *space = '\0';
    query = strchr(target, '?');
    query = query ? query + 1 : space;

    plan->head = (strcmp(method, "HEAD") == 0);
    c->busy = true;

    if (strncmp(target, "/_backend", 9) == 0
        && (target[9] == '\0' || target[9] == '?'))
    {
        backend_control(c, method, query);
        return backend_answer(c);
    }

    backend_decide(c, space + 1, query);

    if (plan->kind == BACKEND_HANG) {
        c->backend->state.counts.hung++;
        return true;
    }

    if (plan->delay_ms > 0) {
        tv.tv_sec = (time_t) (plan->delay_ms / 1e3);
        tv.tv_usec = (suseconds_t) (fmod(plan->delay_ms, 1e3) * 1e3);
        event_add(c->timer, &tv);
        return true;
    }

    return backend_answer(c);
}


static void
backend_process(backend_conn_t *c)
{
    char    *end, saved;
    size_t   n;

    for ( ;; ) {
        if (c->discard && c->len) {
            n = c->discard < c->len ? (size_t) c->discard : c->len;
            memmove(c->in, c->in + n, c->len - n);
            c->len -= n;
            c->discard -= n;
        }

        if (c->busy || c->discard || c->len == 0) {
            return;
        }

        end = tool_header_end(c->in, c->len);

        if (end == NULL) {
            if (c->len == BACKEND_INPUT) {
                backend_close(c);
            }

            return;
        }

        n = (size_t) (end - c->in);
        saved = *end;
        *end = '\0';

        if (!backend_request(c, c->in)) {
            return;
        }

        c->in[n] = saved;
        memmove(c->in, c->in + n, c->len - n);
        c->len -= n;

        event_add(c->read, NULL);
    }
}


static void
backend_on_read(evutil_socket_t fd, short what, void *arg)
{
    ssize_t          n;
    backend_conn_t  *c = arg;

    if (c->len == BACKEND_INPUT) {
        /* a pipeline behind a slow answer: it waits in the kernel */
        event_del(c->read);
        return;
    }

    n = read(fd, c->in + c->len, BACKEND_INPUT - c->len);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        backend_close(c);
        return;
    }

    c->len += (size_t) n;

    backend_process(c);
}


static void
backend_on_write(evutil_socket_t fd, short what, void *arg)
{
    backend_flush(arg);
}


static void
backend_on_accept(evutil_socket_t listener, short what, void *arg)
{
    int              fd, on;
    backend_t       *b = arg;
    backend_conn_t  *c;

    for ( ;; ) {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            return;
        }

        on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

        c = calloc(1, sizeof(backend_conn_t));
        if (c == NULL) {
            close(fd);
            return;
        }

        c->backend = b;
        c->fd = fd;
        c->out = evbuffer_new();
        c->read = event_new(b->base, fd, EV_READ | EV_PERSIST,
                            backend_on_read, c);
        c->write = event_new(b->base, fd, EV_WRITE, backend_on_write, c);
        c->timer = evtimer_new(b->base, backend_on_timer, c);

        if (!c->out || !c->read || !c->write || !c->timer) {
            tool_die("no memory");
        }

        event_add(c->read, NULL);

        b->state.open++;
        b->state.counts.connections++;
    }
}


static void
backend_on_signal(evutil_socket_t signo, short what, void *arg)
{
    event_base_loopbreak(arg);
}


static int
backend_listen(const char *text)
{
    int                  fd, on;
    socklen_t            len;
    tool_address_t       addr;
    struct sockaddr_in   bound;

    tool_address(text, &addr);

    fd = socket(addr.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);
    if (fd < 0) {
        tool_die("socket(): %s", strerror(errno));
    }

    on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    if (addr.path) {
        unlink(addr.path);
    }

    if (bind(fd, (struct sockaddr *) &addr.sa, addr.len) != 0
        || listen(fd, 1024) != 0)
    {
        tool_die("%s: %s", text, strerror(errno));
    }

    if (addr.path) {
        printf("ready %s\n", text);

    } else {
        len = sizeof(bound);
        getsockname(fd, (struct sockaddr *) &bound, &len);
        printf("ready %u\n", ntohs(bound.sin_port));
    }

    fflush(stdout);

    return fd;
}


int
main(int argc, char *argv[])
{
    int                   i, fd;
    char                 *value;
    backend_t             b;
    const char           *listen_on;
    struct event         *accept_event, *term, *intr;
    struct event_config  *config;

    memset(&b, 0, sizeof(backend_t));
    strcpy(b.state.settings.name, "backend");
    b.state.settings.body = 13;

    listen_on = "127.0.0.1:0";

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc) {
            listen_on = argv[++i];
            continue;
        }

        if (strncmp(argv[i], "--", 2) == 0 && i + 1 < argc) {
            if (!backend_set(&b.state, argv[i] + 2, argv[i + 1])) {
                tool_die("%s %s is not a setting", argv[i], argv[i + 1]);
            }

            i++;
            continue;
        }

        value = strchr(argv[i], '=');
        if (value) {
            *value++ = '\0';
        }

        if (value == NULL || !backend_set(&b.state, argv[i], value)) {
            tool_die("usage: backend --listen 127.0.0.1:0|unix:/path "
                     "--name NAME [SETTING=VALUE]...");
        }
    }

    signal(SIGPIPE, SIG_IGN);

    b.filler = malloc(BACKEND_MAX_BODY);
    config = event_config_new();
    if (b.filler == NULL || config == NULL) {
        tool_die("no memory");
    }

    memset(b.filler, 'x', BACKEND_MAX_BODY);
    memcpy(b.filler, "hello, world\n", 13);

    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    b.base = event_base_new_with_config(config);
    event_config_free(config);

    fd = backend_listen(listen_on);

    accept_event = event_new(b.base, fd, EV_READ | EV_PERSIST,
                             backend_on_accept, &b);
    term = evsignal_new(b.base, SIGTERM, backend_on_signal, b.base);
    intr = evsignal_new(b.base, SIGINT, backend_on_signal, b.base);

    event_add(accept_event, NULL);
    event_add(term, NULL);
    event_add(intr, NULL);

    event_base_dispatch(b.base);

    event_free(accept_event);
    event_free(term);
    event_free(intr);
    event_base_free(b.base);
    close(fd);

    if (strncmp(listen_on, "unix:", 5) == 0) {
        unlink(listen_on + 5);
    }

    free(b.filler);

    return 0;
}
