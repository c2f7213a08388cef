/* The state file of a canary_zone (docs/state-file.md). */

#ifndef STATE_FILE_H
#define STATE_FILE_H

#include <stddef.h>

#include <cjson/cJSON.h>

/*
 * The {"upstreams": {...}} of a file, owned by the caller; an empty one if
 * there is no file.  NULL: error (at least 256 bytes); a file that nginx would
 * not take is an error, too.
 */
cJSON *state_file_read(const char *path, char *error, size_t size);

/* Puts it in the place of what is there, all at once and on disk.  0, or -1
 * with error. */
int state_file_write(const char *path, const cJSON *json, char *error,
    size_t size);

#endif
