#include "scripts.h"

#include "lua_scripts.inc"


static const char *const  scripts_text[SCRIPT_COUNT] = {
    [SCRIPT_CREATE] = lua_create,
    [SCRIPT_COMMIT] = lua_commit,
    [SCRIPT_LEAD] = lua_lead,
    [SCRIPT_ADOPT] = lua_adopt,
    [SCRIPT_CLAIM] = lua_claim,
};


const char *
script_text(script_t script)
{
    return scripts_text[script];
}
