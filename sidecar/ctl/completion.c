/* completion: a script for bash or zsh, from the tables. */

#include "table.h"

#include <string.h>

static void completion_bash(void);
static void completion_zsh(void);
static void completion_flags(const char *keys);
static void completion_words(const char *what);


int
ctl_completion(const ctl_args_t *args, const char *command)
{
    if (args->count == 1 && strcmp(args->values[0], "bash") == 0) {
        completion_bash();
        return CTL_OK;
    }

    if (args->count == 1 && strcmp(args->values[0], "zsh") == 0) {
        completion_zsh();
        return CTL_OK;
    }

    ctl_error("completion for which shell? bash or zsh, as "
              "source <(canaryctl completion bash)");
    return CTL_USAGE;
}


static void
completion_bash(void)
{
    const ctl_flag_t   *flag;
    const ctl_entry_t  *entry;

    fputs("# bash completion for canaryctl; made by canaryctl completion "
          "bash\n"
          "_canaryctl() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} command= at=1 words= "
          "flags= word\n"
          "    local prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    COMPREPLY=()\n"
          "\n"
          "    # --flag=VALUE comes as three words\n"
          "    [ \"$cur\" != = ] || cur=\n"
          "    [ \"$prev\" != = ] || prev=${COMP_WORDS[COMP_CWORD-2]}\n"
          "\n"
          "    while [ $at -lt $COMP_CWORD ]; do\n"
          "        word=${COMP_WORDS[at]}\n"
          "        case \"$word\" in\n"
          "        --*) case \" ", stdout);

    for (flag = ctl_flags; flag->key != NULL; flag++) {
        if (flag->arg != NULL && flag->arg[0] != '[') {
            printf("--%.*s ", ctl_flag_len(flag), flag->key);
        }
    }

    fputs("\" in *\" $word \"*) at=$((at + 1)) ;; esac ;;\n"
          "        -f) at=$((at + 1)) ;;\n"
          "        -*) ;;\n"
          "        *) command=$word; break ;;\n"
          "        esac\n"
          "        at=$((at + 1))\n"
          "    done\n"
          "\n"
          "    case \"$command\" in\n", stdout);

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        printf("    %s)\n        flags=\"", entry->name);
        completion_flags(entry->flags);
        completion_flags(ctl_common);
        fputs("\"\n", stdout);

        if (entry->words != NULL) {
            fputs("        words=\"", stdout);
            completion_words(entry->words);
            fputs("\"\n", stdout);
        }

        fputs("        ;;\n", stdout);
    }

    fputs("    '')\n        words=\"", stdout);
    completion_words("COMMAND");
    fputs("\"\n        flags=\"", stdout);
    completion_flags(ctl_common);
    fputs("\"\n        ;;\n    esac\n\n    case \"$command $prev\" in\n",
          stdout);

    /* Of flags with one name the one of the command counts. */
    for (entry = ctl_entries; entry->name != NULL; entry++) {
        const char  *keys = entry->flags;

        while ((flag = ctl_next_flag(&keys)) != NULL) {
            if (flag->arg == NULL || flag->arg[0] == '[') {
                continue;
            }

            printf("    \"%s --%.*s\")", entry->name, ctl_flag_len(flag),
                   flag->key);

            if (flag->words == NULL) {
                fputs(" return ;;\n", stdout);
                continue;
            }

            fputs(" flags= words=\"", stdout);
            completion_words(flag->words);
            fputs("\" ;;\n", stdout);
        }
    }

    fputs("    *' -f' | *' --token-file' | *' --cacert') flags= words=FILE "
          ";;\n"
          "    *' --server' | *' --timeout' | *' --token') return ;;\n"
          "    esac\n"
          "\n"
          "    if [[ $cur == -* ]]; then\n"
          "        words=$flags\n"
          "    elif [ \"$words\" = FILE ]; then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "        return\n"
          "    elif [ -z \"$words\" ]; then\n"
          "        words=$flags\n"
          "    fi\n"
          "\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "}\n"
          "complete -F _canaryctl canaryctl\n", stdout);
}


static void
completion_flags(const char *keys)
{
    const ctl_flag_t  *flag;

    while ((flag = ctl_next_flag(&keys)) != NULL) {
        printf("--%.*s ", ctl_flag_len(flag), flag->key);
    }
}


static void
completion_words(const char *what)
{
    const ctl_entry_t  *entry;

    if (strcmp(what, "COMMAND") != 0) {
        fputs(what, stdout);
        return;
    }

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        printf("%s%s", entry == ctl_entries ? "" : " ", entry->name);
    }
}


/* For zsh's single quotes and the brackets of _arguments. */
static void
completion_quote(const char *text)
{
    for ( /* void */ ; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", stdout);

        } else {
            if (strchr("[]:\\", *text) != NULL) {
                putchar('\\');
            }

            putchar(*text);
        }
    }
}


static void
completion_zsh_flag(const ctl_flag_t *flag)
{
    printf(" \\\n            '%s--%.*s%s[", flag->set == SET_STEP ? "*" : "",
           ctl_flag_len(flag), flag->key,
           flag->arg != NULL && flag->arg[0] == '[' ? "=-" : "");
    completion_quote(flag->text);
    putchar(']');

    if (flag->arg != NULL) {
        fputs(flag->arg[0] == '[' ? "::" : ":", stdout);
        completion_quote(flag->arg);
        putchar(':');

        if (flag->words != NULL && strcmp(flag->words, "FILE") == 0) {
            fputs("_files", stdout);

        } else if (flag->words != NULL) {
            printf("(%s)", flag->words);
        }
    }

    putchar('\'');
}


static void
completion_zsh(void)
{
    const char         *keys;
    const ctl_flag_t   *flag;
    const ctl_entry_t  *entry;

    fputs("#compdef canaryctl\n"
          "# zsh completion for canaryctl; made by canaryctl completion zsh\n"
          "_canaryctl() {\n"
          "    local context state line\n"
          "    local -a commands\n"
          "    commands=(\n", stdout);

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        printf("        '%s:", entry->name);
        completion_quote(entry->summary);
        fputs("'\n", stdout);
    }

    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe -t commands command commands\n"
          "        return\n"
          "    fi\n"
          "    local command=$words[2]\n"
          "    shift words; (( CURRENT-- ))\n"
          "    case $command in\n", stdout);

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        printf("    %s)\n        _arguments", entry->name);
        keys = entry->flags;

        while ((flag = ctl_next_flag(&keys)) != NULL) {
            completion_zsh_flag(flag);
        }

        keys = ctl_common;

        while ((flag = ctl_next_flag(&keys)) != NULL) {
            completion_zsh_flag(flag);
        }

        if (entry->most > 0) {
            fputs(" \\\n            '1:", stdout);
            completion_quote(entry->args);
            putchar(':');

            if (entry->words != NULL && strcmp(entry->words, "FILE") == 0) {
                fputs("_files", stdout);

            } else if (entry->words != NULL) {
                putchar('(');
                completion_words(entry->words);
                putchar(')');
            }

            putchar('\'');
        }

        fputs("\n        ;;\n", stdout);
    }

    fputs("    esac\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _canaryctl ]; then\n"
          "    _canaryctl \"$@\"\n"
          "else\n"
          "    compdef _canaryctl canaryctl\n"
          "fi\n", stdout);
}
