/* The keys of the configuration, and what they take. */

#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "config.h"

/* Sets what a text names; -1 with the reason in error. */
typedef int (*config_set_t)(config_t *config, const char *text, char *error,
    size_t size);

typedef struct {
    const char    *key;            /* in the file: "log.format" */
    const char    *flag;           /* NULL: no flag */
    config_set_t   set;
    bool           list;           /* set adds to it */
    unsigned       number;         /* what a number means, see below */
} config_key_t;

#define CONFIG_NO_NUMBER  0        /* it is wrong */
#define CONFIG_SECONDS    1        /* a duration */
#define CONFIG_INTEGER    2
#define CONFIG_BOOLEAN    3        /* true and false are meant, too */

/* By its name in the file, or by its flag; NULL: there is none. */
const config_key_t *config_find(const char *name, bool flag);

/* Do keys of the file begin with "name."? */
bool config_is_group(const char *name);
/* All keys of the file, and its groups, for a message. */
void config_names(char *list, size_t size);

/* Writes what is wrong; -1. */
int config_bad(char *error, size_t size, const char *want);

/* Copies text without control characters that fits; 0 or -1. */
int config_copy(char *to, size_t room, const char *text, char *error,
    size_t size);

#endif
