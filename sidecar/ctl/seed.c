/*
 * seed: nginx's state file out of Redis, before nginx starts, so that its
 * first request already follows the present record.
 */

#include "ctl.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

#include "clock.h"
#include "config.h"
#include "core/value.h"
#include "record.h"
#include "redis_tls.h"
#include "state_file.h"

#define SEED_ERROR      512
#define SEED_CONNECT_S  2          /* and of each answer */
#define SEED_PAUSE_MS   200
#define SEED_MAX_TEXT   65536      /* of a record */

typedef struct {
    const config_t  *config;
    redis_tls_t     *tls;
    char             error[SEED_ERROR];
} seed_t;

static int seed_config(const ctl_args_t *args, config_t *config);
static redisContext *seed_connect(seed_t *seed);
static redisContext *seed_open(seed_t *seed, const char *host, int port);
static bool seed_auth(seed_t *seed, redisContext *redis);
static redisContext *seed_ask(seed_t *seed, const config_peer_t *sentinel);
static int seed_read(seed_t *seed, cJSON *state);
static int seed_routes(seed_t *seed, redisContext *redis, cJSON *state);
static int seed_route(seed_t *seed, redisContext *redis, const char *name,
    cJSON *upstreams);
static cJSON *seed_record(const seed_t *seed, const char *text,
    uint64_t revision);
static int seed_without(const ctl_args_t *args, cJSON *state,
    const char *error);


int
ctl_seed(const ctl_args_t *args, const char *command)
{
    int              rc;
    char             error[SEED_ERROR];
    cJSON           *state;
    seed_t           seed;
    int64_t          end;
    config_t         config;
    struct timespec  pause = { 0, SEED_PAUSE_MS * 1000000L };

    if (args->state_file == NULL) {
        ctl_error("seed which file? give --state-file, the one of nginx's "
                  "canary_zone");
        return CTL_USAGE;
    }

    if (args->unavailable != NULL && strcmp(args->unavailable, "fail") != 0
        && strcmp(args->unavailable, "keep") != 0
        && strcmp(args->unavailable, "stable") != 0)
    {
        ctl_error("--if-unavailable: must be fail, keep or stable");
        return CTL_USAGE;
    }

    if (seed_config(args, &config) != 0) {
        return CTL_FAILED;
    }

    memset(&seed, 0, sizeof(seed_t));
    seed.config = &config;
    rc = CTL_FAILED;

    state = state_file_read(args->state_file, error, sizeof(error));

    if (state == NULL) {
        /* nginx would ignore it as well. */
        ctl_error("%s: begun anew", error);
        state = cJSON_CreateObject();
        cJSON_AddObjectToObject(state, "upstreams");
    }

    if (config.redis_embedded) {
        printf("redis is embedded: the only node goes on where it was\n");
        rc = CTL_OK;
        goto done;
    }

    if (config.redis_tls) {
        seed.tls = redis_tls_new(config.redis_ca, config.redis_cert,
                                 config.redis_key, error, sizeof(error));
        if (seed.tls == NULL) {
            ctl_error("%s", error);
            goto done;
        }
    }

    end = clock_mono_ms() + args->wait_ms;

    while (seed_read(&seed, state) != 0) {
        if (!args->wait || (args->wait_ms > 0 && clock_mono_ms() >= end)) {
            rc = seed_without(args, state, seed.error);
            goto done;
        }

        nanosleep(&pause, NULL);
    }

    if (state_file_write(args->state_file, state, error, sizeof(error)) != 0)
    {
        ctl_error("%s", error);
        goto done;
    }

    printf("%s: %d upstreams\n", args->state_file,
           cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(state,
                                                               "upstreams")));
    rc = CTL_OK;

done:

    redis_tls_free(seed.tls);
    cJSON_Delete(state);
    config_wipe(&config);
    return rc;
}


static int
seed_config(const ctl_args_t *args, config_t *config)
{
    char   error[SEED_ERROR];
    char  *argv[4] = { (char *) "canaryd", NULL, NULL, NULL };

    if (args->config != NULL) {
        argv[1] = (char *) "--config";
        argv[2] = (char *) args->config;
    }

    if (config_load(args->config != NULL ? 3 : 1, argv, config, error,
                    sizeof(error))
        != 0)
    {
        ctl_error("%s", error);
        return -1;
    }

    return 0;
}


/* --- Redis --- */

static void
seed_fail(seed_t *seed, redisContext *redis, const redisReply *reply)
{
    snprintf(seed->error, sizeof(seed->error), "redis: %.200s",
             reply != NULL && reply->type == REDIS_REPLY_ERROR ? reply->str
             : redis != NULL && redis->err ? redis->errstr
             : "an answer that is not understood");
}


static redisContext *
seed_open(seed_t *seed, const char *host, int port)
{
    redisContext    *redis;
    struct timeval   limit = { SEED_CONNECT_S, 0 };

    redis = seed->config->redis_socket[0] != '\0'
            ? redisConnectUnixWithTimeout(seed->config->redis_socket, limit)
            : redisConnectWithTimeout(host, port, limit);

    if (redis == NULL) {
        snprintf(seed->error, sizeof(seed->error), "out of memory");
        return NULL;
    }

    if (redis->err || redisSetTimeout(redis, limit) != REDIS_OK
        || (seed->tls != NULL
            && redis_tls_start(seed->tls, redis, host) != 0))
    {
        seed_fail(seed, redis, NULL);
        redisFree(redis);
        return NULL;
    }

    return redis;
}


static bool
seed_auth(seed_t *seed, redisContext *redis)
{
    bool             ok;
    redisReply      *reply;
    const config_t  *config = seed->config;

    if (config->redis_password[0] == '\0') {
        return true;
    }

    reply = config->redis_user[0] != '\0'
            ? redisCommand(redis, "AUTH %s %s", config->redis_user,
                           config->redis_password)
            : redisCommand(redis, "AUTH %s", config->redis_password);

    ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;

    if (!ok) {
        seed_fail(seed, redis, reply);
    }

    freeReplyObject(reply);
    return ok;
}


/* The master that a sentinel knows of. */
static redisContext *
seed_ask(seed_t *seed, const config_peer_t *sentinel)
{
    redisReply    *reply;
    redisContext  *redis, *master;

    redis = seed_open(seed, sentinel->host, sentinel->port);
    if (redis == NULL) {
        return NULL;
    }

    master = NULL;
    reply = redisCommand(redis, "SENTINEL get-master-addr-by-name %s",
                         seed->config->redis_master);

    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY
        && reply->elements == 2
        && reply->element[0]->type == REDIS_REPLY_STRING
        && reply->element[1]->type == REDIS_REPLY_STRING)
    {
        master = seed_open(seed, reply->element[0]->str,
                           atoi(reply->element[1]->str));

    } else {
        seed_fail(seed, redis, reply);
    }

    freeReplyObject(reply);
    redisFree(redis);
    return master;
}


static redisContext *
seed_connect(seed_t *seed)
{
    unsigned         i;
    redisContext    *redis;
    const config_t  *config = seed->config;

    if (config->sentinel_count == 0) {
        redis = seed_open(seed, config->redis_host, config->redis_port);

    } else {
        redis = NULL;

        for (i = 0; i < config->sentinel_count && redis == NULL; i++) {
            redis = seed_ask(seed, &config->sentinels[i]);
        }
    }

    if (redis != NULL && !seed_auth(seed, redis)) {
        redisFree(redis);
        return NULL;
    }

    return redis;
}


/* 0, or -1: then state may have some of it already, which does no harm. */
static int
seed_read(seed_t *seed, cJSON *state)
{
    int            rc;
    redisContext  *redis;

    redis = seed_connect(seed);
    if (redis == NULL) {
        return -1;
    }

    rc = seed_routes(seed, redis, state);
    redisFree(redis);
    return rc;
}


static int
seed_routes(seed_t *seed, redisContext *redis, cJSON *state)
{
    int          rc;
    size_t       i;
    cJSON       *upstreams;
    redisReply  *reply;

    upstreams = cJSON_GetObjectItemCaseSensitive(state, "upstreams");
    reply = redisCommand(redis, "SMEMBERS %supstreams",
                         seed->config->prefix);

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        seed_fail(seed, redis, reply);
        freeReplyObject(reply);
        return -1;
    }

    rc = 0;

    for (i = 0; i < reply->elements && rc == 0; i++) {
        if (reply->element[i]->type == REDIS_REPLY_STRING) {
            rc = seed_route(seed, redis, reply->element[i]->str, upstreams);
        }
    }

    freeReplyObject(reply);
    return rc;
}


/* The route's record takes the place of an older one; what Redis has lost
 * stays as it is in the file. */
static int
seed_route(seed_t *seed, redisContext *redis, const char *name,
    cJSON *upstreams)
{
    int            rc;
    cJSON         *record;
    int64_t        revision, present;
    redisReply    *reply;
    const cJSON   *old;

    rc = -1;
    record = NULL;
    reply = redisCommand(redis, "HMGET %s{%s}:route revision record",
                         seed->config->prefix, name);

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2)
    {
        seed_fail(seed, redis, reply);
        goto done;
    }

    rc = 0;

    if (reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING
        || reply->element[1]->len > SEED_MAX_TEXT)
    {
        goto done;                 /* it has no record yet */
    }

    revision = strtoll(reply->element[0]->str, NULL, 10);

    if (revision > 0 && revision <= VALUE_MAX_INT) {
        record = seed_record(seed, reply->element[1]->str,
                             (uint64_t) revision);
    }

    if (record == NULL) {
        ctl_error("upstream %.64s: its record in redis is damaged, left out",
                  name);
        goto done;
    }

    old = cJSON_GetObjectItemCaseSensitive(upstreams, name);

    if (value_read_integer(cJSON_GetObjectItemCaseSensitive(old, "revision"),
                           0, VALUE_MAX_INT, &present)
        && present > revision)
    {
        ctl_error("upstream %.64s: the file has revision %lld, redis %lld: "
                  "kept", name, (long long) present, (long long) revision);
        goto done;
    }

    cJSON_DeleteItemFromObjectCaseSensitive(upstreams, name);
    cJSON_AddItemToObject(upstreams, name, record);
    record = NULL;

done:

    cJSON_Delete(record);
    freeReplyObject(reply);
    return rc;
}


/* What this node's canaryd would give to nginx; NULL: it is no record. */
static cJSON *
seed_record(const seed_t *seed, const char *text, uint64_t revision)
{
    unsigned   i, kept;
    record_t   record;

    if (record_parse_text(text, &record) != 0) {
        return NULL;
    }

    record.revision = revision;
    record_localize(&record, seed->config->node);

    if (record.rules[0] != '\0') {
        return record_print(&record);   /* they may give it something */
    }

    /* This nginx need not have a group that gets nothing. */
    for (kept = 0, i = 0; i < record.group_count; i++) {
        if (record.groups[i].weight > 0) {
            record.groups[kept++] = record.groups[i];
        }
    }

    record.group_count = kept;

    if (record_group(&record, record.canary) == NULL) {
        record.canary[0] = '\0';
    }

    return record_print(&record);
}


/* --- without Redis --- */

/* All to stable, for good. */
static void
seed_stable(cJSON *record)
{
    unsigned     i;
    cJSON       *weights;
    const char  *stable;

    static const char *const  others[] = {
        "weights", "rules", "guard", "lease_ms"
    };

    stable = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record,
                                                                   "stable"));
    if (stable == NULL) {
        return;
    }

    weights = cJSON_CreateObject();
    cJSON_AddNumberToObject(weights, stable, 100);

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(record, others[i]);
    }

    cJSON_AddItemToObject(record, "weights", weights);
}


static int
seed_without(const ctl_args_t *args, cJSON *state, const char *error)
{
    char      reason[SEED_ERROR];
    cJSON    *record, *next, *upstreams;
    int64_t   revision;

    if (args->unavailable == NULL || strcmp(args->unavailable, "fail") == 0)
    {
        ctl_error("%s", error);
        return CTL_FAILED;
    }

    if (strcmp(args->unavailable, "keep") == 0) {
        ctl_error("%s; %s stays as it is", error, args->state_file);
        return CTL_OK;
    }

    /*
     * Stable is what the last record says, or nginx.conf where there was
     * none before.  One revision less, so that the present record is a newer
     * one to canaryd, not another one of the same revision.
     */
    upstreams = cJSON_GetObjectItemCaseSensitive(state, "upstreams");

    for (record = upstreams->child; record != NULL; record = next) {
        next = record->next;

        if (!value_read_integer(cJSON_GetObjectItemCaseSensitive(record,
                                                                "revision"),
                                2, VALUE_MAX_INT, &revision))
        {
            cJSON_Delete(cJSON_DetachItemViaPointer(upstreams, record));
            continue;
        }

        seed_stable(record);
        cJSON_ReplaceItemInObjectCaseSensitive(record, "revision",
            cJSON_CreateNumber((double) (revision - 1)));
    }

    ctl_error("%s; starts on stable", error);

    if (state_file_write(args->state_file, state, reason, sizeof(reason))
        != 0)
    {
        ctl_error("%s", reason);
        return CTL_FAILED;
    }

    return CTL_OK;
}
