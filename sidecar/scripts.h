/* The Lua scripts, compiled in. */

#ifndef SCRIPTS_H
#define SCRIPTS_H

typedef enum {
    SCRIPT_CREATE = 0,
    SCRIPT_COMMIT,
    SCRIPT_LEAD,
    SCRIPT_ADOPT,
    SCRIPT_CLAIM,
    SCRIPT_COUNT
} script_t;

const char *script_text(script_t script);

#endif
