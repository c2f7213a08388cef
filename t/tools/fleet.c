/*
 * Many nodes at once, as far as Redis sees them: each second every node says
 * what it serves and what it counted, for every upstream.
 *
 *   fleet SOCKET NODES UPSTREAMS SECONDS
 *
 * Upstreams are app0, app1, ...  Prints a line when all have reported once,
 * and ends after so many seconds.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

#define FLEET_SLICES     20        /* of a second: nodes do not tick at once */
#define FLEET_UPSTREAMS  200
#define FLEET_INFO       512
#define FLEET_COUNTS     2048

typedef struct {
    char  revision[24];
    char  rollout[96];             /* "": none is active */
} fleet_route_t;

static redisContext   *redis;
static unsigned        owed;
static fleet_route_t   routes[FLEET_UPSTREAMS];
static char            counts[FLEET_COUNTS];


static void
die(const char *why)
{
    fprintf(stderr, "fleet: %s\n", why);
    exit(1);
}


static void
drain(void)
{
    void  *reply;

    while (owed > 0) {
        if (redisGetReply(redis, &reply) != REDIS_OK) {
            die(redis->errstr);
        }

        freeReplyObject(reply);
        owed--;
    }
}


static void
send_command(const char *format, ...)
{
    va_list  args;

    va_start(args, format);

    if (redisvAppendCommand(redis, format, args) != REDIS_OK) {
        die("cannot send");
    }

    va_end(args);
    owed++;
}


static int64_t
now_ms(clockid_t id)
{
    struct timespec  ts;

    clock_gettime(id, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* Thirty buckets of latency a group: 90 requests to stable, 10 to the
 * canary. */
static void
make_counts(void)
{
    char      *p = counts;
    unsigned   i;

    p += sprintf(p, "blue 0 90 1 ");
    for (i = 0; i < 30; i++) {
        p += sprintf(p, "%u:3,", 150 + i);
    }

    p += sprintf(p, "\ngreen 0 10 0 ");
    for (i = 0; i < 10; i++) {
        p += sprintf(p, "%u:1,", 155 + 2 * i);
    }

    sprintf(p, "\n");
}


static void
read_routes(unsigned upstreams)
{
    unsigned     i;
    redisReply  *r;

    drain();

    for (i = 0; i < upstreams; i++) {
        r = redisCommand(redis, "HMGET canary:{app%u}:route revision rollout "
                         "active", i);

        if (r == NULL || r->type != REDIS_REPLY_ARRAY) {
            die("no route");
        }

        snprintf(routes[i].revision, sizeof(routes[i].revision), "%s",
                 r->element[0]->str != NULL ? r->element[0]->str : "0");
        snprintf(routes[i].rollout, sizeof(routes[i].rollout), "%s",
                 r->element[2]->str != NULL && r->element[2]->str[0] == '1'
                 ? r->element[1]->str : "");
        freeReplyObject(r);
    }
}


static void
report(unsigned node, unsigned upstream)
{
    char                  info[FLEET_INFO], name[16];
    const fleet_route_t  *route = &routes[upstream];

    snprintf(name, sizeof(name), "n%u", node);
    snprintf(info, sizeof(info), "{\"at\":%lld,\"revision\":%s,"
             "\"boot\":\"5f0c2a\",\"lapsed\":false,\"record\":{"
             "\"revision\":%s,\"stable\":\"blue\",\"salt\":\"\",\"weights\":"
             "{\"blue\":90,\"green\":10}}}",
             (long long) now_ms(CLOCK_REALTIME), route->revision,
             route->revision);

    send_command("HSET canary:{app%u}:nodes %s %s", upstream, name, info);

    if (route->rollout[0] != '\0') {
        send_command("XADD canary:{app%u}:ticks MAXLEN ~ 20000 * node %s "
                     "rollout %s counts %s", upstream, name, route->rollout,
                     counts);
    }
}


int
main(int argc, char **argv)
{
    long              nodes, upstreams, seconds, node, u, second;
    int64_t           begin, at, wait;
    unsigned          slice;
    struct timespec   pause;

    if (argc != 5) {
        die("usage: fleet SOCKET NODES UPSTREAMS SECONDS");
    }

    nodes = atol(argv[2]);
    upstreams = atol(argv[3]);
    seconds = atol(argv[4]);

    if (nodes < 1 || upstreams < 1 || upstreams > FLEET_UPSTREAMS) {
        die("so many cannot be");
    }

    redis = redisConnectUnix(argv[1]);
    if (redis == NULL || redis->err) {
        die("cannot connect");
    }

    make_counts();

    for (u = 0; u < upstreams; u++) {
        send_command("SADD canary:upstreams app%u", (unsigned) u);
    }

    begin = now_ms(CLOCK_MONOTONIC);

    for (second = 0; second < seconds; second++) {
        read_routes((unsigned) upstreams);

        for (slice = 0; slice < FLEET_SLICES; slice++) {
            for (node = slice; node < nodes; node += FLEET_SLICES) {
                for (u = 0; u < upstreams; u++) {
                    report((unsigned) node, (unsigned) u);
                }
            }

            drain();

            at = begin + second * 1000 + (slice + 1) * 1000 / FLEET_SLICES;
            wait = at - now_ms(CLOCK_MONOTONIC);

            if (wait > 0) {
                pause.tv_sec = 0;
                pause.tv_nsec = wait * 1000000;
                nanosleep(&pause, NULL);
            }
        }

        if (now_ms(CLOCK_MONOTONIC) > begin + (second + 2) * 1000) {
            /* This machine is too slow for that: begin the count anew. */
            begin = now_ms(CLOCK_MONOTONIC) - (second + 1) * 1000;
            printf("late\n");
        }

        printf("second %ld\n", second + 1);
        fflush(stdout);
    }

    redisFree(redis);
    return 0;
}
