/* YAML (and so JSON) text to cJSON: the core schema's null, bool, numbers and
 * strings; no anchors, no tags, no duplicate keys; bounded depth and size. */

#ifndef LIB_YAML_H
#define LIB_YAML_H

#include <stddef.h>

#include <cjson/cJSON.h>

/* The caller owns the result.  NULL: error (at least 256 bytes) says the line
 * and what is wrong. */
cJSON *yaml_parse(const char *text, size_t len, char *error, size_t size);

/* Reads and parses a whole file; "-" is standard input. */
cJSON *yaml_parse_file(const char *path, char *error, size_t size);

#endif
