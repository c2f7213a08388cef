/* What import-ingress has read. */

#ifndef CTL_IMPORT_H
#define CTL_IMPORT_H

#include <cjson/cJSON.h>

#define IMPORT_MAX_PATHS  256
#define IMPORT_NAME_LEN   64

/* What is served under one host and path.  All borrowed from the input. */
typedef struct {
    const char   *namespace;
    const char   *host;            /* "": any */
    const char   *path;
    const char   *type;            /* pathType */
    const cJSON  *stable;          /* backend service; NULL: none seen */
    const cJSON  *canary;
    const cJSON  *annotations;     /* of the canary */
    char          name[IMPORT_NAME_LEN];   /* of the upstream */
    char          variable[IMPORT_NAME_LEN];   /* the same, as a variable
                                                  has it */
} import_path_t;

typedef struct {
    cJSON          *documents;     /* array, owned */
    unsigned        count;
    import_path_t   paths[IMPORT_MAX_PATHS];
} import_t;

/* import_print.c: all of it, as nginx.conf and commands. */
void import_print(const import_t *import);

/* In units of 0.01 %, 0 if there is none; -1: it is none. */
long import_weight(const import_path_t *path);
/* Without the prefix; NULL if it is absent or empty. */
const char *import_annotation(const import_path_t *path, const char *name);
const char *import_text(const cJSON *json, const char *name,
    const char *or_else);
/* A name as a variable has it. */
void import_variable(const char *text, char *buf, size_t size);

#endif
