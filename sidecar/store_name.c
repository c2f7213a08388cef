#include <ctype.h>

#include "store.h"


bool
store_name_valid(const char *name)
{
    size_t  i;

    for (i = 0; name[i] != '\0'; i++) {
        if (!isalnum((unsigned char) name[i]) && name[i] != '.'
            && name[i] != '_' && name[i] != '-')
        {
            return false;
        }
    }

    return i > 0 && i < 64;
}
