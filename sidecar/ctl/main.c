#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ctl_run(const ctl_entry_t *entry, int argc, char **argv);


int
main(int argc, char **argv)
{
    int                 at;
    char               *name, near[64];
    const char         *nearest;
    const ctl_flag_t   *flag;
    const ctl_entry_t  *entry;

    /* The command is the first word; --server and the like may precede it. */
    for (at = 1; at < argc && argv[at][0] == '-'; at++) {

        if (strcmp(argv[at], "-h") == 0 || strcmp(argv[at], "--help") == 0) {
            help_short(stdout);
            return CTL_OK;
        }

        if (strcmp(argv[at], "-V") == 0
            || strcmp(argv[at], "--version") == 0)
        {
            break;
        }

        flag = ctl_flag_of(ctl_find("version"),
                           argv[at] + strspn(argv[at], "-"),
                           strlen(argv[at] + strspn(argv[at], "-")));

        if (flag != NULL && flag->arg != NULL) {
            at++;
        }
    }

    if (at >= argc) {
        help_short(stderr);
        return CTL_USAGE;
    }

    name = argv[at];
    entry = ctl_find(name[0] == '-' ? "version" : name);

    if (entry == NULL) {
        nearest = help_nearest(NULL, name, near, sizeof(near));
        ctl_error("unknown command \"%.40s\"%s%s%s "
                  "canaryctl help lists them", name,
                  nearest ? ": do you mean " : "", nearest ? nearest : "",
                  nearest ? "?" : ";");
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


static int
ctl_run(const ctl_entry_t *entry, int argc, char **argv)
{
    int         rc;
    ctl_args_t  args;

    rc = ctl_options(entry, argc, argv, &args);
    if (rc) {
        goto done;
    }

    if (args.help) {
        help_command(stdout, entry);
        goto done;
    }

    if (args.count > entry->most) {
        ctl_error("%s: unexpected argument \"%.40s\"; see canaryctl help %s",
                  entry->name, args.values[entry->most], entry->name);
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
