#include "table.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/spec.h"

#define CTL_TIMEOUT_MAX  600000    /* ms */
#define CTL_MAX_FLAGS    48        /* of a command */

static void ctl_long(const ctl_entry_t *entry,
    struct option options[CTL_MAX_FLAGS],
    const ctl_flag_t *flags[CTL_MAX_FLAGS]);
static int ctl_refuse(const ctl_entry_t *entry, const char *wrong);
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


int
ctl_options(const ctl_entry_t *entry, int argc, char **argv,
    ctl_args_t *args)
{
    int                 c, index, rc;
    char                name[64];
    const char         *wrong;
    struct option       options[CTL_MAX_FLAGS + 1];
    const ctl_flag_t   *flag, *flags[CTL_MAX_FLAGS + 1];

    memset(args, 0, sizeof(*args));
    memset(options, 0, sizeof(options));
    args->timeout_ms = 10000;
    args->revision = -1;

    args->spec = cJSON_CreateObject();
    if (args->spec == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }

    ctl_long(entry, options, flags);
    opterr = 0;

    while ((c = getopt_long(argc, argv, ":f:h", options, &index)) != -1) {

        if (c == ':') {
            ctl_error("%.40s needs a value; see canaryctl help %s",
                      argv[optind - 1], entry->name);
            return CTL_USAGE;
        }

        if (c == '?') {
            wrong = argv[optind - 1];

            /* in the middle of "-xyz" */
            if (wrong[0] != '-' || wrong[1] != '-') {
                snprintf(name, sizeof(name), "-%c", optopt);
                wrong = optopt != 0 ? name : wrong;
            }

            return ctl_refuse(entry, wrong);
        }

        flag = c == 'f' ? ctl_flag_of(entry, "file", 4)
               : c == 'h' ? ctl_flag_of(entry, "help", 4) : flags[index];

        if (flag == NULL) {
            return ctl_refuse(entry, "-f");
        }

        rc = ctl_set(args, flag, optarg, entry->name);
        if (rc) {
            return rc;
        }
    }

    args->count = argc - optind;
    args->values = argv + optind;
    return 0;
}


static void
ctl_long(const ctl_entry_t *entry, struct option options[CTL_MAX_FLAGS],
    const ctl_flag_t *flags[CTL_MAX_FLAGS])
{
    static char         names[CTL_MAX_FLAGS][32];  /* getopt keeps them */
    unsigned            i, count;
    const char         *keys;
    const ctl_flag_t   *flag;

    count = 0;

    for (i = 0; i < 2; i++) {
        keys = i == 0 ? entry->flags : ctl_common;

        while ((flag = ctl_next_flag(&keys)) != NULL) {
            if (count == CTL_MAX_FLAGS) {
                abort();
            }

            snprintf(names[count], sizeof(names[count]), "%.*s",
                     ctl_flag_len(flag), flag->key);
            options[count].name = names[count];
            options[count].has_arg = flag->arg == NULL ? no_argument
                                     : flag->arg[0] == '['
                                       ? optional_argument
                                     : required_argument;
            options[count].val = 'o';
            flags[count++] = flag;
        }
    }
}


static int
ctl_refuse(const ctl_entry_t *entry, const char *wrong)
{
    char         near[64], name[64];
    const char  *nearest, *what;

    what = wrong + strspn(wrong, "-");
    snprintf(name, sizeof(name), "%.*s", (int) strcspn(what, "="), what);

    if (strcmp(entry->name, "abort") == 0 && strcmp(name, "revision") == 0) {
        ctl_error("abort takes no --revision: it always wins");
        return CTL_USAGE;
    }

    nearest = help_nearest(entry, name, near, sizeof(near));

    if (nearest != NULL) {
        ctl_error("%s: unknown flag %.40s: do you mean %s? see canaryctl "
                  "help %s", entry->name, wrong, nearest, entry->name);

    } else if (ctl_flag_known(name, strlen(name))) {
        ctl_error("%s takes no --%s; see canaryctl help %s", entry->name,
                  name, entry->name);

    } else {
        ctl_error("%s: unknown flag %.40s; see canaryctl help %s",
                  entry->name, wrong, entry->name);
    }

    return CTL_USAGE;
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
        return 0;

    case SET_FULL:
        args->full = true;
        return 0;

    case SET_VERSION:
        args->version = text;
        return 0;

    case SET_AS:
        if (strcmp(text, "spec") != 0 && strcmp(text, "config") != 0) {
            ctl_error("--as: must be spec or config");
            return CTL_USAGE;
        }

        args->as = text;
        return 0;

    case SET_DRY:
        args->dry = true;
        return 0;

    case SET_ALL:
        args->all = true;
        return 0;

    case SET_MAN:
        args->man = true;
        return 0;

    case SET_HELP:
        args->help = true;
        return 0;

    case SET_TIMEOUT:
        ms = spec_parse_duration(text);

        if (ms < 1 || ms > CTL_TIMEOUT_MAX) {
            ctl_error("--timeout: must be a duration up to 10m, as 5s");
            return CTL_USAGE;
        }

        args->timeout_ms = (long) ms;
        return 0;

    case SET_REVISION:
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
        ctl_error("--%s: must be a number, as 0.01", flag->key);
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
