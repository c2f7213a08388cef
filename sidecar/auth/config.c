#include "config.h"


bool
auth_configured(const auth_config_t *config)
{
    return config->tokens[0] != '\0' || config->jwt.key_count > 0
           || config->jwt.secret[0] != '\0';
}
