#include "ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/version.h"

typedef struct {
    const char  *name;
    ctl_run_t    run;
    int          most;             /* positional arguments */
    bool         server;           /* talks to one */
} ctl_entry_t;

static const ctl_entry_t *ctl_find(const char *name);
static int ctl_run(const ctl_entry_t *entry, int argc, char **argv);
static void ctl_usage(FILE *out);

static const ctl_entry_t  ctl_entries[] = {
    { "start", ctl_start, 0, true },
    { "status", ctl_status, 1, true },
    { "watch", ctl_watch, 1, true },
    { "abort", ctl_command, 1, true },
    { "pause", ctl_command, 1, true },
    { "resume", ctl_command, 1, true },
    { "promote", ctl_command, 1, true },
    { "list", ctl_list, 0, true },
    { "explain", ctl_explain, 1, true },
    { "events", ctl_events, 1, true },
    { "replay", ctl_replay, 1, true },
    { "seed", ctl_seed, 0, false },
    { "judge", ctl_judge, 1, false },
    { "simulate", ctl_simulate, 0, false },
    { "token", ctl_token, 1, false },
    { "import-ingress", ctl_import, 1, false },
    { NULL, NULL, 0, false }
};


int
main(int argc, char **argv)
{
    int                 at;
    char               *name;
    const ctl_entry_t  *entry;

    /* The command is the first word; --server and the like may precede it. */
    for (at = 1; at < argc && argv[at][0] == '-'; at++) {

        if (strcmp(argv[at], "-h") == 0 || strcmp(argv[at], "--help") == 0) {
            ctl_usage(stdout);
            return CTL_OK;
        }

        if (strcmp(argv[at], "-V") == 0
            || strcmp(argv[at], "--version") == 0)
        {
            printf("canaryctl %s\n", CANARY_VERSION);
            return CTL_OK;
        }

        if (strcmp(argv[at], "--server") == 0
            || strcmp(argv[at], "--timeout") == 0
            || strcmp(argv[at], "--token") == 0
            || strcmp(argv[at], "--token-file") == 0
            || strcmp(argv[at], "--cacert") == 0)
        {
            at++;
        }
    }

    if (at >= argc) {
        ctl_usage(stderr);
        return CTL_USAGE;
    }

    name = argv[at];

    if (strcmp(name, "help") == 0) {
        ctl_usage(stdout);
        return CTL_OK;
    }

    if (strcmp(name, "version") == 0) {
        printf("canaryctl %s\n", CANARY_VERSION);
        return CTL_OK;
    }

    entry = ctl_find(name);

    if (entry == NULL) {
        ctl_error("unknown command \"%.40s\"; see canaryctl help", name);
        return CTL_USAGE;
    }

    /* All flags in one row behind argv[0]. */
    memmove(&argv[at], &argv[at + 1],
            (size_t) (argc - at) * sizeof(argv[0]));

    return ctl_run(entry, argc - 1, argv);
}


void
ctl_error(const char *format, ...)
{
    va_list  args;

    fflush(stdout);
    fputs("canaryctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}


static const ctl_entry_t *
ctl_find(const char *name)
{
    const ctl_entry_t  *entry;

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }

    return NULL;
}


static int
ctl_run(const ctl_entry_t *entry, int argc, char **argv)
{
    int         i, rc;
    ctl_args_t  args;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            ctl_usage(stdout);
            return CTL_OK;
        }
    }

    rc = ctl_options(entry->name, argc, argv, &args);
    if (rc) {
        goto done;
    }

    if (args.count > entry->most) {
        ctl_error("%s: unexpected argument \"%.40s\"; see canaryctl help",
                  entry->name, args.values[entry->most]);
        rc = CTL_USAGE;
        goto done;
    }

    if (entry->server && args.server == NULL) {
        args.server = getenv("CANARYD");

        if (args.server == NULL || args.server[0] == '\0') {
            args.fell_back = access(CTL_SOCKET, F_OK) == -1;
            args.server = args.fell_back ? CTL_TCP : "unix:" CTL_SOCKET;
        }
    }

    rc = entry->server ? ctl_secret(&args) : 0;

    if (rc == 0) {
        rc = entry->run(&args, entry->name);
    }

done:

    ctl_secret_free(&args);

    cJSON_Delete(args.spec);

    if (fflush(stdout) != 0 && rc == CTL_OK) {
        ctl_error("cannot write to standard output");
        rc = CTL_FAILED;
    }

    return rc;
}


static void
ctl_usage(FILE *out)
{
    fputs(
        "usage: canaryctl COMMAND [flags]\n"
        "\n"
        "  start [-f SPEC.yaml|-] [flags]   start a rollout\n"
        "      --upstream NAME --canary GROUP --version TEXT\n"
        "      --strategy canary|blue-green|rolling|experiment\n"
        "      --ramp clock|evidence --deadline TIME\n"
        "      --environment NAME --commit TEXT --build TEXT --ticket TEXT\n"
        "      --step WEIGHT[:HOLD[:approval]]   repeatable\n"
        "      --bake TIME --lease TIME --on-success promote|keep\n"
        "      --max-error-rate RATE --alpha RATE\n"
        "      --wait                       follow it to its end\n"
        "  status [ID | --upstream NAME]    of one rollout, or of all"
        " upstreams\n"
        "  watch ID | --upstream NAME       a line a second until its end\n"
        "  abort ID | --upstream NAME       back to stable, now, everywhere\n"
        "  pause, resume ID | --upstream NAME\n"
        "  promote ID | --upstream NAME     approve; or go to the next step"
        " now\n"
        "      --reason TEXT --revision N   (abort takes no revision)\n"
        "  list [--upstream NAME] [--state STATE|active] [--limit N]\n"
        "  explain ID | --upstream NAME     each decision, what it was made"
        " upon,\n"
        "                                   and what would have to happen"
        " next\n"
        "  events [ID | --upstream NAME] [--follow]   what happened; without"
        " ID\n"
        "                                   --follow shows what happens, of"
        " all\n"
        "  replay ID | --upstream NAME [--config FILE.yaml]\n"
        "                                   judge its recorded ticks again,"
        " also with\n"
        "                                   another analysis\n"
        "  seed --state-file FILE           write nginx's state file from"
        " Redis, before\n"
        "                                   nginx starts; with canaryd's own"
        " configuration\n"
        "      --config FILE.yaml           default /etc/nginx-canary/"
        "canaryd.yaml\n"
        "      --wait[=TIME]                for Redis; without TIME as long"
        " as it takes\n"
        "      --if-unavailable fail|keep|stable   if it is not there:"
        " default fail\n"
        "  judge FILE|-                     judge a recorded case, offline\n"
        "  simulate [-f SPEC.yaml|-] [flags of start]   what the spec does to"
        " harmless\n"
        "                                   and harmful canaries, offline\n"
        "      --runs N                     of each case; default 200\n"
        "      --seed N                     default 0; the same seed, the same"
        " outcome\n"
        "      --case NAME                  only this one\n"
        "  token NAME --role viewer|operator|admin --token-file FILE\n"
        "      --upstreams PATTERN,... --expires 2027-01-31 --hash"
        " sha256|argon2\n"
        "                                   make a token: it goes to FILE, the"
        " line for\n"
        "                                   canaryd's tokens file is printed\n"
        "  import-ingress FILE|-            nginx.conf from canary"
        " annotations\n"
        "  help, version\n"
        "\n"
        "  --server unix:/PATH|http[s]://HOST:PORT   or $CANARYD; default\n"
        "                    unix:" CTL_SOCKET ",\n"
        "                    or " CTL_TCP " if there is none\n"
        "  --token-file FILE, --token TOKEN   or $CANARY_TOKEN_FILE,"
        " $CANARY_TOKEN\n"
        "  --cacert FILE     whose certificates to trust for https\n"
        "  --insecure        send the token unencrypted to another machine\n"
        "  --json            print the server's JSON as it is\n"
        "  --timeout TIME    of a request; default 10s\n"
        "\n"
        "Exit codes: 0 done (start --wait, watch: succeeded), 1 error,\n"
        "2 usage, 3 the rollout was taken back (start --wait, watch, status"
        " of one),\n"
        "or would be (replay).\n",
        out);
}
