/* help and version, from the tables. */

#include "table.h"

#include <string.h>

#include "lib/version.h"

#define HELP_WIDTH  78
#define HELP_FAR    3              /* more changes are no slip of the pen */

static void help_flags(FILE *out, const char *keys);
static void help_flag(FILE *out, const ctl_flag_t *flag);
static void help_wrap(FILE *out, unsigned indent, unsigned at,
    const char *text);
static unsigned help_distance(const char *a, const char *b, size_t len);


int
ctl_help(const ctl_args_t *args, const char *command)
{
    char                near[64];
    const char         *nearest;
    const ctl_entry_t  *entry;

    if (args->man) {
        man_print(stdout);
        return CTL_OK;
    }

    if (args->all) {
        help_all(stdout);
        return CTL_OK;
    }

    if (args->count == 0) {
        help_short(stdout);
        return CTL_OK;
    }

    entry = ctl_find(args->values[0]);

    if (entry == NULL) {
        nearest = help_nearest(NULL, args->values[0], near, sizeof(near));
        ctl_error("there is no command \"%.40s\"%s%s%s "
                  "canaryctl help lists them", args->values[0],
                  nearest ? ": do you mean " : "", nearest ? nearest : "",
                  nearest ? "?" : ";");
        return CTL_USAGE;
    }

    help_command(stdout, entry);
    return CTL_OK;
}


int
ctl_version(const ctl_args_t *args, const char *command)
{
    if (args->json) {
        printf("{\"version\":\"%s\"}\n", CANARY_VERSION);

    } else {
        printf("canaryctl %s\n", CANARY_VERSION);
    }

    return CTL_OK;
}


void
help_short(FILE *out)
{
    unsigned            i;
    const ctl_entry_t  *entry;

    fputs("usage: canaryctl COMMAND [flags]\n", out);

    for (i = 0; ctl_groups[i] != NULL; i++) {
        fprintf(out, "\n%s\n", ctl_groups[i]);

        for (entry = ctl_entries; entry->name != NULL; entry++) {
            if (entry->group == i) {
                fprintf(out, "  %-15s %s\n", entry->name, entry->summary);
            }
        }
    }

    fputs("\ncanaryctl help COMMAND has usage, flags and an example; exit "
          "codes: help --all\n", out);
}


void
help_command(FILE *out, const ctl_entry_t *entry)
{
    fprintf(out, "usage: canaryctl %s%s%s\n\n", entry->name,
            entry->args[0] ? " " : "", entry->args);
    help_wrap(out, 2, 0, entry->summary);

    if (entry->text != NULL) {
        help_wrap(out, 2, 0, entry->text);
    }

    if (entry->flags[0] != '\0') {
        fputc('\n', out);
        help_flags(out, entry->flags);
    }

    fputs("\nflags of all commands\n", out);
    help_flags(out, ctl_common);
    fprintf(out, "\nexample\n  %s\n", entry->example);
}


void
help_all(FILE *out)
{
    unsigned            i;
    const ctl_entry_t  *entry;

    help_short(out);

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        fprintf(out, "\n\ncanaryctl %s%s%s\n\n", entry->name,
                entry->args[0] ? " " : "", entry->args);
        help_wrap(out, 2, 0, entry->summary);

        if (entry->text != NULL) {
            help_wrap(out, 2, 0, entry->text);
        }

        help_flags(out, entry->flags);
        fprintf(out, "  example: %s\n", entry->example);
    }

    fputs("\n\nflags of all commands\n\n", out);
    help_flags(out, ctl_common);

    fputs("\n\nenvironment\n\n", out);

    for (i = 0; ctl_environment[i][0] != NULL; i++) {
        fprintf(out, "  %-18s %s\n", ctl_environment[i][0],
                ctl_environment[i][1]);
    }

    fputs("\n\nexit codes\n\n", out);

    for (i = 0; ctl_exits[i] != NULL; i++) {
        fprintf(out, "  %u ", i);
        help_wrap(out, 4, 4, ctl_exits[i]);
    }
}


static void
help_flags(FILE *out, const char *keys)
{
    const ctl_flag_t  *flag;

    while ((flag = ctl_next_flag(&keys)) != NULL) {
        help_flag(out, flag);
    }
}


static void
help_flag(FILE *out, const ctl_flag_t *flag)
{
    int  at;

    at = fprintf(out, "  --%.*s%s%s", ctl_flag_len(flag), flag->key,
                 flag->arg == NULL || flag->arg[0] == '[' ? "" : " ",
                 flag->arg == NULL ? "" : flag->arg);

    if (at > 24) {
        fputc('\n', out);
        at = 0;
    }

    fprintf(out, "%*s", 25 - at, "");
    help_wrap(out, 25, 25, flag->text);
}


/* Words from column at on, further lines indented. */
static void
help_wrap(FILE *out, unsigned indent, unsigned at, const char *text)
{
    size_t  len;

    while (text[0] != '\0') {
        len = strcspn(text, " ");

        if (at < indent) {
            fprintf(out, "%*s", (int) (indent - at), "");
            at = indent;

        } else if (at > indent && at + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int) indent, "");
            at = indent;

        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }

        fprintf(out, "%.*s", (int) len, text);
        at += (unsigned) len;
        text += len + strspn(text + len, " ");
    }

    fputc('\n', out);
}


const char *
help_nearest(const ctl_entry_t *entry, const char *wrong, char *buf,
    size_t size)
{
    unsigned            i, best, distance;
    const char         *keys;
    const ctl_flag_t   *flag;
    const ctl_entry_t  *other;

    best = HELP_FAR;

    if (entry == NULL) {
        for (other = ctl_entries; other->name != NULL; other++) {
            distance = help_distance(wrong, other->name,
                                     strlen(other->name));
            if (distance < best) {
                best = distance;
                snprintf(buf, size, "%s", other->name);
            }
        }

        return best < HELP_FAR ? buf : NULL;
    }

    for (i = 0; i < 2; i++) {
        keys = i == 0 ? entry->flags : ctl_common;

        while ((flag = ctl_next_flag(&keys)) != NULL) {
            distance = help_distance(wrong, flag->key,
                                     (size_t) ctl_flag_len(flag));
            if (distance < best) {
                best = distance;
                snprintf(buf, size, "--%.*s", ctl_flag_len(flag), flag->key);
            }
        }
    }

    return best < HELP_FAR ? buf : NULL;
}


/* Levenshtein; b has len bytes. */
static unsigned
help_distance(const char *a, const char *b, size_t len)
{
    size_t    i, j, alen;
    unsigned  row[32], left, corner, least;

    alen = strlen(a);

    if (alen == 0 || alen >= 32 || len >= 32) {
        return HELP_FAR;
    }

    for (j = 0; j <= len; j++) {
        row[j] = (unsigned) j;
    }

    for (i = 1; i <= alen; i++) {
        corner = row[0];
        row[0] = (unsigned) i;

        for (j = 1; j <= len; j++) {
            left = row[j - 1] + 1;
            least = row[j] + 1 < left ? row[j] + 1 : left;
            corner += a[i - 1] != b[j - 1];
            least = corner < least ? corner : least;
            corner = row[j];
            row[j] = least;
        }
    }

    /* Of a short word little may be wrong. */
    return row[len] * 2 >= alen ? HELP_FAR : row[len];
}
