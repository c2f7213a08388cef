/*
 * The commands and flags of canaryctl.  Parsing, help, completion and the man
 * page come from these tables alone.
 */

#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include "ctl.h"

typedef enum {
    SET_SERVER, SET_JSON, SET_TIMEOUT, SET_FILE, SET_UPSTREAM, SET_WAIT,
    SET_REASON, SET_REVISION, SET_STATE, SET_LIMIT, SET_STEP, SET_FULL,
    SET_VERSION, SET_AS, SET_ALL, SET_MAN, SET_HELP,
    SET_DRY,
    SET_RUNS, SET_SEED, SET_CASE,
    SET_TOKEN, SET_TOKEN_FILE, SET_CACERT, SET_INSECURE, SET_ROLE,
    SET_UPSTREAMS, SET_EXPIRES, SET_HASH, SET_FOLLOW, SET_CONFIG,
    SET_STATE_FILE, SET_UNAVAILABLE,
    SET_SPEC,                      /* a string of the spec */
    SET_ANALYSIS                   /* a number of its analysis */
} ctl_set_t;

typedef struct {
    const char  *key;              /* its name, then what tells it from others
                                      of that name, as "upstream@start" */
    const char  *arg;              /* "TIME", "[=TIME]"; NULL: it takes none */
    ctl_set_t    set;
    const char  *field;            /* SET_SPEC, SET_ANALYSIS: of the spec */
    const char  *words;            /* what it may be, "FILE", or NULL */
    const char  *text;
} ctl_flag_t;

typedef struct ctl_entry_s {
    const char  *name;
    ctl_run_t    run;
    unsigned     group;            /* of ctl_groups */
    int          most;             /* positional arguments */
    bool         server;           /* talks to one */
    const char  *args;             /* as the usage has them */
    const char  *words;            /* the first one may be, "FILE" or NULL */
    const char  *summary;          /* one line */
    const char  *flags;            /* keys, with spaces between; or "" */
    const char  *text;             /* more to know; NULL: nothing */
    const char  *example;
} ctl_entry_t;

extern const ctl_entry_t   ctl_entries[];      /* up to name == NULL */
extern const ctl_flag_t    ctl_flags[];        /* up to key == NULL */
extern const char *const   ctl_groups[];       /* up to NULL */
extern const char *const   ctl_exits[];        /* by code, up to NULL */
extern const char          ctl_common[];       /* keys that all commands take */
extern const char *const   ctl_environment[][2];   /* up to { NULL } */

const ctl_entry_t *ctl_find(const char *name);
/* The next flag of a list of keys, which moves on; NULL: the end. */
const ctl_flag_t *ctl_next_flag(const char **keys);
/* The length of a flag's name in its key. */
int ctl_flag_len(const ctl_flag_t *flag);
/* The one of the command, or of all; NULL: it takes none such. */
const ctl_flag_t *ctl_flag_of(const ctl_entry_t *entry, const char *name,
    size_t len);
/* Does any command take it? */
bool ctl_flag_known(const char *name, size_t len);

/* help.c */
void help_short(FILE *out);
void help_command(FILE *out, const ctl_entry_t *entry);
void help_all(FILE *out);
/* The command or the flag of entry (if not NULL) that is nearest to a wrong
 * one; NULL: none is near. */
const char *help_nearest(const ctl_entry_t *entry, const char *wrong,
    char *buf, size_t size);

/* man.c: canaryctl.1 */
void man_print(FILE *out);

#endif
