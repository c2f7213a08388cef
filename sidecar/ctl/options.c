#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/spec.h"

#define CTL_TIMEOUT_MAX  600000    /* ms */

/* Which commands take a flag. */
#define TAKE_ALL      0x01
#define TAKE_START    0x02
#define TAKE_ONE      0x04         /* a rollout: status, watch, commands */
#define TAKE_COMMAND  0x08
#define TAKE_LIST     0x10
#define TAKE_JUDGE    0x20
#define TAKE_TOKEN    0x40
#define TAKE_EVENTS   0x80
#define TAKE_REPLAY   0x100
#define TAKE_SEED     0x200
#define TAKE_SIMULATE 0x400
#define TAKE_SPEC     (TAKE_START | TAKE_SIMULATE)

typedef enum {
    SET_SERVER, SET_JSON, SET_TIMEOUT, SET_FILE, SET_UPSTREAM, SET_WAIT,
    SET_REASON, SET_REVISION, SET_STATE, SET_LIMIT, SET_STEP,
    SET_RUNS, SET_SEED, SET_CASE,
    SET_TOKEN, SET_TOKEN_FILE, SET_CACERT, SET_INSECURE, SET_ROLE,
    SET_UPSTREAMS, SET_EXPIRES, SET_HASH, SET_FOLLOW, SET_CONFIG,
    SET_STATE_FILE, SET_UNAVAILABLE,
    SET_SPEC,                      /* a string of the spec */
    SET_ANALYSIS                   /* a number of its analysis */
} ctl_set_t;

typedef struct {
    const char  *name;
    bool         value;
    ctl_set_t    set;
    unsigned     takers;
    const char  *field;            /* of the spec */
} ctl_flag_t;

static unsigned ctl_taker(const char *command);
static int ctl_set(ctl_args_t *args, const ctl_flag_t *flag, const char *text,
    const char *command);
static int ctl_set_token(ctl_args_t *args, const char *text);
static int ctl_set_spec(ctl_args_t *args, const char *field,
    const char *text);
static int ctl_set_analysis(ctl_args_t *args, const ctl_flag_t *flag,
    const char *text);
static int ctl_add_step(ctl_args_t *args, const char *text);
static cJSON *ctl_member(cJSON *spec, const char *name, bool array);
static int ctl_parse_double(const char *text, double *value);
static int ctl_parse_long(const char *text, long max, long *value);

static const ctl_flag_t  ctl_flags[] = {
    { "server", true, SET_SERVER, TAKE_ALL, NULL },
    { "json", false, SET_JSON, TAKE_ALL, NULL },
    { "timeout", true, SET_TIMEOUT, TAKE_ALL, NULL },
    { "token", true, SET_TOKEN, TAKE_ALL, NULL },
    { "token-file", true, SET_TOKEN_FILE, TAKE_ALL, NULL },
    { "cacert", true, SET_CACERT, TAKE_ALL, NULL },
    { "insecure", false, SET_INSECURE, TAKE_ALL, NULL },
    { "role", true, SET_ROLE, TAKE_TOKEN, NULL },
    { "upstreams", true, SET_UPSTREAMS, TAKE_TOKEN, NULL },
    { "expires", true, SET_EXPIRES, TAKE_TOKEN, NULL },
    { "hash", true, SET_HASH, TAKE_TOKEN, NULL },
    { "file", true, SET_FILE, TAKE_SPEC, NULL },
    { "upstream", true, SET_UPSTREAM, TAKE_START | TAKE_ONE | TAKE_COMMAND
      | TAKE_LIST | TAKE_EVENTS | TAKE_REPLAY, NULL },
    { "wait", false, SET_WAIT, TAKE_START | TAKE_SEED, NULL },
    { "follow", false, SET_FOLLOW, TAKE_EVENTS, NULL },
    { "config", true, SET_CONFIG, TAKE_REPLAY | TAKE_SEED, NULL },
    { "state-file", true, SET_STATE_FILE, TAKE_SEED, NULL },
    { "if-unavailable", true, SET_UNAVAILABLE, TAKE_SEED, NULL },
    { "reason", true, SET_REASON, TAKE_COMMAND, NULL },
    { "revision", true, SET_REVISION, TAKE_COMMAND, NULL },
    { "state", true, SET_STATE, TAKE_LIST, NULL },
    { "limit", true, SET_LIMIT, TAKE_LIST, NULL },
    { "step", true, SET_STEP, TAKE_SPEC, NULL },
    { "canary", true, SET_SPEC, TAKE_START, "canary" },
    { "version", true, SET_SPEC, TAKE_START, "version" },
    { "strategy", true, SET_SPEC, TAKE_SPEC, "strategy" },
    { "ramp", true, SET_SPEC, TAKE_SPEC, "ramp" },
    { "bake", true, SET_SPEC, TAKE_SPEC, "bake" },
    { "lease", true, SET_SPEC, TAKE_START, "lease" },
    { "on-success", true, SET_SPEC, TAKE_START, "on_success" },
    { "deadline", true, SET_SPEC, TAKE_START, "deadline" },
    { "environment", true, SET_SPEC, TAKE_START, "environment" },
    { "commit", true, SET_SPEC, TAKE_START, "commit" },
    { "build", true, SET_SPEC, TAKE_START, "build" },
    { "ticket", true, SET_SPEC, TAKE_START, "ticket" },
    { "runs", true, SET_RUNS, TAKE_SIMULATE, NULL },
    { "seed", true, SET_SEED, TAKE_SIMULATE, NULL },
    { "case", true, SET_CASE, TAKE_SIMULATE, NULL },
    { "max-error-rate", true, SET_ANALYSIS, TAKE_SPEC, "max_error_rate" },
    { "alpha", true, SET_ANALYSIS, TAKE_SPEC, "alpha" },
};

#define CTL_FLAG_COUNT  (sizeof(ctl_flags) / sizeof(ctl_flags[0]))


int
ctl_options(const char *command, int argc, char **argv, ctl_args_t *args)
{
    int                 c, index, rc;
    size_t              i;
    unsigned            taker;
    const ctl_flag_t   *flag;
    struct option       options[CTL_FLAG_COUNT + 1];

    memset(args, 0, sizeof(*args));
    memset(options, 0, sizeof(options));
    args->timeout_ms = 10000;
    args->revision = -1;
    taker = ctl_taker(command);

    args->spec = cJSON_CreateObject();
    if (args->spec == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    for (i = 0; i < CTL_FLAG_COUNT; i++) {
        options[i].name = ctl_flags[i].name;
        options[i].has_arg = ctl_flags[i].value ? required_argument
                             : ctl_flags[i].set == SET_WAIT
                               && taker == TAKE_SEED ? optional_argument
                             : no_argument;
        options[i].val = 'o';
    }

    opterr = 0;

    while ((c = getopt_long(argc, argv, ":f:", options, &index)) != -1) {

        if (c == ':') {
            ctl_error("%.40s needs a value; see canaryctl help",
                      argv[optind - 1]);
            return CTL_USAGE;
        }

        if (c == 'f') {
            for (index = 0; strcmp(ctl_flags[index].name, "file"); index++) {
                /* void */
            }

        } else if (c != 'o') {
            ctl_error("%s: unknown flag %.40s; see canaryctl help", command,
                      argv[optind - 1]);
            return CTL_USAGE;
        }

        flag = &ctl_flags[index];

        if ((flag->takers & (taker | TAKE_ALL)) == 0) {
            ctl_error("%s takes no --%s; see canaryctl help", command,
                      flag->name);
            return CTL_USAGE;
        }

        rc = ctl_set(args, flag, optarg, command);
        if (rc) {
            return rc;
        }
    }

    args->count = argc - optind;
    args->values = argv + optind;
    return 0;
}


static unsigned
ctl_taker(const char *command)
{
    unsigned  i;

    static const struct {
        const char  *name;
        unsigned     taker;
    } takers[] = {
        { "start", TAKE_START },
        { "list", TAKE_LIST },
        { "judge", TAKE_JUDGE },
        { "simulate", TAKE_SIMULATE },
        { "token", TAKE_TOKEN },
        { "status", TAKE_ONE },
        { "watch", TAKE_ONE },
        { "explain", TAKE_ONE },
        { "events", TAKE_EVENTS },
        { "replay", TAKE_REPLAY },
        { "seed", TAKE_SEED },
    };

    for (i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
        if (strcmp(command, takers[i].name) == 0) {
            return takers[i].taker;
        }
    }

    return TAKE_COMMAND;
}


static int
ctl_set(ctl_args_t *args, const ctl_flag_t *flag, const char *text,
    const char *command)
{
    int64_t  ms;

    switch (flag->set) {

    case SET_SERVER:
        args->server = text;
        return 0;

    case SET_TOKEN:
        return ctl_set_token(args, text);

    case SET_TOKEN_FILE:
        args->token_file = text;
        return 0;

    case SET_CACERT:
        args->cacert = text;
        return 0;

    case SET_INSECURE:
        args->insecure = true;
        return 0;

    case SET_ROLE:
        args->role = text;
        return 0;

    case SET_UPSTREAMS:
        args->upstreams = text;
        return 0;

    case SET_EXPIRES:
        args->expires = text;
        return 0;

    case SET_HASH:
        args->hash = text;
        return 0;

    case SET_JSON:
        args->json = true;
        return 0;

    case SET_WAIT:
        args->wait = true;
        args->wait_ms = text != NULL ? (long) spec_parse_duration(text) : 0;

        if (args->wait_ms < 0) {
            ctl_error("--wait: must be a duration, as 30s");
            return CTL_USAGE;
        }

        return 0;

    case SET_FOLLOW:
        args->follow = true;
        return 0;

    case SET_CONFIG:
        args->config = text;
        return 0;

    case SET_STATE_FILE:
        args->state_file = text;
        return 0;

    case SET_UNAVAILABLE:
        args->unavailable = text;
        return 0;

    case SET_FILE:
        args->file = text;
        return 0;

    case SET_STATE:
        args->state = text;
        return 0;

    case SET_REASON:
        args->reason = text;
        return 0;

    case SET_UPSTREAM:
        args->upstream = text;
        return strcmp(command, "start") == 0
               ? ctl_set_spec(args, "upstream", text) : 0;

    case SET_TIMEOUT:
        ms = spec_parse_duration(text);

        if (ms < 1 || ms > CTL_TIMEOUT_MAX) {
            ctl_error("--timeout: must be a duration up to 10m, as 5s");
            return CTL_USAGE;
        }

        args->timeout_ms = (long) ms;
        return 0;

    case SET_REVISION:
        if (strcmp(command, "abort") == 0) {
            ctl_error("abort takes no --revision: it always wins");
            return CTL_USAGE;
        }

        if (ctl_parse_long(text, INT32_MAX, &args->revision)) {
            ctl_error("--revision: must be a whole number");
            return CTL_USAGE;
        }

        return 0;

    case SET_LIMIT:
        if (ctl_parse_long(text, 100, &args->limit) || args->limit == 0) {
            ctl_error("--limit: must be 1 to 100");
            return CTL_USAGE;
        }

        return 0;

    case SET_RUNS:
        if (ctl_parse_long(text, 1000000, &args->runs) || args->runs == 0) {
            ctl_error("--runs: must be 1 to 1000000");
            return CTL_USAGE;
        }

        return 0;

    case SET_SEED:
        if (ctl_parse_long(text, INT32_MAX, &args->seed)) {
            ctl_error("--seed: must be a whole number");
            return CTL_USAGE;
        }

        return 0;

    case SET_CASE:
        args->simulated = text;
        return 0;

    case SET_STEP:
        return ctl_add_step(args, text);

    case SET_ANALYSIS:
        return ctl_set_analysis(args, flag, text);

    default:
        return ctl_set_spec(args, flag->field, text);
    }
}


/* It is taken out of the command line, where all users could read it (there
 * is a moment where they can: a file is better). */
static int
ctl_set_token(ctl_args_t *args, const char *text)
{
    free(args->token);
    args->token = strdup(text);

    if (args->token == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    explicit_bzero((char *) text, strlen(text));
    return 0;
}


static int
ctl_set_spec(ctl_args_t *args, const char *field, const char *text)
{
    cJSON_DeleteItemFromObjectCaseSensitive(args->spec, field);

    if (cJSON_AddStringToObject(args->spec, field, text) == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    return 0;
}


static int
ctl_set_analysis(ctl_args_t *args, const ctl_flag_t *flag, const char *text)
{
    cJSON   *analysis;
    double   value;

    if (ctl_parse_double(text, &value)) {
        ctl_error("--%s: must be a number, as 0.01", flag->name);
        return CTL_USAGE;
    }

    analysis = ctl_member(args->spec, "analysis", false);
    cJSON_DeleteItemFromObjectCaseSensitive(analysis, flag->field);

    if (cJSON_AddNumberToObject(analysis, flag->field, value) == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    return 0;
}


/* WEIGHT[:HOLD[:approval]] */
static int
ctl_add_step(ctl_args_t *args, const char *text)
{
    char    part[64];
    cJSON  *steps, *step;
    size_t  len;
    double  weight;

    steps = ctl_member(args->spec, "steps", true);
    step = cJSON_CreateObject();

    if (steps == NULL || step == NULL) {
        cJSON_Delete(step);
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    cJSON_AddItemToArray(steps, step);

    len = strcspn(text, ":");

    if (len >= sizeof(part)) {
        goto bad;
    }

    memcpy(part, text, len);
    part[len] = '\0';

    if (ctl_parse_double(part, &weight)
        || cJSON_AddNumberToObject(step, "weight", weight) == NULL)
    {
        goto bad;
    }

    text += len;

    if (*text == ':') {
        text++;
        len = strcspn(text, ":");

        if (len == 0 || len >= sizeof(part)) {
            goto bad;
        }

        memcpy(part, text, len);
        part[len] = '\0';

        if (spec_parse_duration(part) < 0
            || cJSON_AddStringToObject(step, "hold", part) == NULL)
        {
            goto bad;
        }

        text += len;
    }

    if (strcmp(text, ":approval") == 0) {
        if (cJSON_AddTrueToObject(step, "approval") == NULL) {
            goto bad;
        }

    } else if (*text != '\0') {
        goto bad;
    }

    return 0;

bad:

    ctl_error("--step: must be WEIGHT[:HOLD[:approval]], as 10:2m or "
              "50:2m:approval");
    return CTL_USAGE;
}


/* That member of the spec, made if it is missing; NULL: no memory. */
static cJSON *
ctl_member(cJSON *spec, const char *name, bool array)
{
    cJSON  *member;

    member = cJSON_GetObjectItemCaseSensitive(spec, name);

    if (member == NULL) {
        member = array ? cJSON_AddArrayToObject(spec, name)
                       : cJSON_AddObjectToObject(spec, name);
    }

    return member;
}


static int
ctl_parse_double(const char *text, double *value)
{
    char  *end;

    /* No "nan", "inf", "0x1p3" and spaces. */
    if (text[strspn(text, "0123456789.eE+-")] != '\0' || text[0] == '\0') {
        return -1;
    }

    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value) ? 0 : -1;
}


static int
ctl_parse_long(const char *text, long max, long *value)
{
    char  *end;

    if (text[0] < '0' || text[0] > '9') {
        return -1;
    }

    errno = 0;
    *value = strtol(text, &end, 10);
    return *end == '\0' && errno == 0 && *value <= max ? 0 : -1;
}
