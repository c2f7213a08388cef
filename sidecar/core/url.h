/* Addresses that canaryd sends something to: what is allowed as one. */

#ifndef CORE_URL_H
#define CORE_URL_H

#include <stdbool.h>

#define URL_LEN     512            /* with NUL */
#define SERVER_LEN  128            /* "10.0.0.1:80", "unix:/path", with NUL */

/* Is it http:// or https:// and a host, of visible ASCII without a user, a
 * fragment or quotes, and short enough? */
bool url_is_http(const char *text);
/* The same for smtp:// and smtps://. */
bool url_is_mail(const char *text);

/* Is it an address of a server as nginx writes it: HOST:PORT, [V6]:PORT or
 * unix:/PATH? */
bool url_is_server(const char *text);

#endif
