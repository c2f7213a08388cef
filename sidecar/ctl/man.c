/* canaryctl.1 in roff, from the tables: "canaryctl help --man". */

#include "table.h"

#include <ctype.h>
#include <string.h>

#include "lib/version.h"

static void man_text(FILE *out, const char *text);
static void man_flags(FILE *out, const char *keys);


void
man_print(FILE *out)
{
    unsigned            i;
    const ctl_entry_t  *entry;

    fprintf(out,
            ".\\\" made by canaryctl help --man\n"
            ".TH CANARYCTL 1 \"\" \"nginx-canary %s\" \"User Commands\"\n"
            ".SH NAME\n"
            "canaryctl \\- release with nginx-canary: start, watch, take "
            "back\n"
            ".SH SYNOPSIS\n"
            ".B canaryctl\n.I command\n.RI [ flags ]\n"
            ".SH DESCRIPTION\n"
            "Speaks to\n.BR canaryd (8),\nwhich moves the traffic of nginx's "
            "canary upstreams from stable to a new version step by step, "
            "compares both and takes a harmful one back.\n",
            CANARY_VERSION);

    for (i = 0; ctl_groups[i] != NULL; i++) {
        fputs(".SH ", out);

        for (const char *p = ctl_groups[i]; *p != '\0'; p++) {
            fputc(toupper((unsigned char) *p), out);
        }

        fputc('\n', out);

        for (entry = ctl_entries; entry->name != NULL; entry++) {
            if (entry->group != i) {
                continue;
            }

            fprintf(out, ".SS canaryctl %s ", entry->name);
            man_text(out, entry->args);
            fputc('\n', out);
            man_text(out, entry->summary);
            fputs(".\n", out);

            if (entry->text != NULL) {
                man_text(out, entry->text);
                fputc('\n', out);
            }

            man_flags(out, entry->flags);
            fputs(".IP\n.EX\n", out);
            man_text(out, entry->example);
            fputs("\n.EE\n", out);
        }
    }

    fputs(".SH FLAGS OF ALL COMMANDS\n", out);
    man_flags(out, ctl_common);
    fputs(".SH ENVIRONMENT\n", out);

    for (i = 0; ctl_environment[i][0] != NULL; i++) {
        fprintf(out, ".TP\n.B %s\n", ctl_environment[i][0]);
        man_text(out, ctl_environment[i][1]);
        fputs(".\n", out);
    }

    fputs(".SH EXIT STATUS\n", out);

    for (i = 0; ctl_exits[i] != NULL; i++) {
        fprintf(out, ".TP\n.B %u\n", i);
        man_text(out, ctl_exits[i]);
        fputs(".\n", out);
    }

    fputs(".SH FILES\n"
          ".TP\n.I " CTL_SOCKET "\nthe socket of canaryd.\n"
          ".SH SEE ALSO\n"
          ".BR canaryd (8),\n.BR canaryd.yaml (5),\n"
          ".BR ngx_http_canary_module (5)\n", out);
}


static void
man_text(FILE *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'') {
        fputs("\\&", out);
    }

    for ( /* void */ ; *text != '\0'; text++) {
        switch (*text) {

        case '\\':
            fputs("\\e", out);
            break;

        case '-':
            fputs("\\-", out);
            break;

        case '\'':
            fputs("\\(aq", out);
            break;

        default:
            fputc(*text, out);
        }
    }
}


static void
man_flags(FILE *out, const char *keys)
{
    char               name[64];
    const ctl_flag_t  *flag;

    while ((flag = ctl_next_flag(&keys)) != NULL) {
        snprintf(name, sizeof(name), "--%.*s", ctl_flag_len(flag), flag->key);
        fputs(".TP\n\\fB", out);
        man_text(out, name);
        fputs("\\fR", out);

        if (flag->arg != NULL) {
            fputs(flag->arg[0] == '[' ? "\\fI" : " \\fI", out);
            man_text(out, flag->arg);
            fputs("\\fR", out);
        }

        fputc('\n', out);
        man_text(out, flag->text);
        fputs(".\n", out);
    }
}
