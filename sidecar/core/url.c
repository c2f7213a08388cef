/* Addresses that canaryd sends something to. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "url.h"


static bool
url_is_plain(const char *text, size_t max)
{
    size_t  i;

    for (i = 0; text[i] != '\0'; i++) {
        if (text[i] <= ' ' || text[i] > '~'
            || strchr("\"<>\\^`{|}#", text[i]) != NULL)
        {
            return false;
        }
    }

    return i > 0 && i < max;
}


/* A host, perhaps a port, and nothing that would be a user. */
static bool
url_is_host(const char *text)
{
    size_t  len;

    len = strcspn(text, "/?");

    return len > 0 && text[0] != ':' && memchr(text, '@', len) == NULL;
}


static bool
url_begins(const char *text, const char *plain, const char *tls)
{
    size_t  len;

    if (!url_is_plain(text, URL_LEN)) {
        return false;
    }

    len = strlen(tls);
    if (strncmp(text, tls, len) == 0) {
        return url_is_host(text + len);
    }

    len = strlen(plain);

    return strncmp(text, plain, len) == 0 && url_is_host(text + len);
}


bool
url_is_http(const char *text)
{
    return url_begins(text, "http://", "https://");
}


bool
url_is_mail(const char *text)
{
    return url_begins(text, "smtp://", "smtps://");
}


bool
url_is_server(const char *text)
{
    size_t       len;
    const char  *colon;

    if (!url_is_plain(text, SERVER_LEN)) {
        return false;
    }

    if (strncmp(text, "unix:", 5) == 0) {
        return text[5] == '/';
    }

    colon = strrchr(text, ':');

    if (colon == NULL || colon == text || strpbrk(text, "/?@%") != NULL) {
        return false;
    }

    if (text[0] == '[' ? colon[-1] != ']'
                       : memchr(text, ':', (size_t) (colon - text)) != NULL)
    {
        return false;
    }

    len = strspn(colon + 1, "0123456789");

    return len > 0 && len <= 5 && colon[len + 1] == '\0'
           && atoi(colon + 1) > 0 && atoi(colon + 1) <= 65535;
}
