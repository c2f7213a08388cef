/*
 * A mail by SMTP, in a thread of its own: libcurl's multi interface waits for
 * the server's last word in a blocking call, which the event loop must not.
 */

#ifndef LIB_MAIL_H
#define LIB_MAIL_H

#include <event2/event.h>

#define MAIL_MAX_THREADS  4

typedef struct mail_s  mail_t;

typedef struct {
    const char         *url;       /* smtp://HOST[:PORT] or smtps:// */
    const char         *from;      /* addresses */
    const char *const  *to;        /* NULL ends */
    const char         *text;      /* with its headers, lines end by CRLF */
    const char         *user;      /* NULL: no login; else TLS is a must */
    const char         *password;
    const char         *ca_file;   /* NULL: the system's */
    long                timeout_ms;
} mail_call_t;                     /* all copied */

/* status is 250, or 0 with an error; "" if there is none. */
typedef void (*mail_done_pt)(void *arg, long status, const char *error);

/* done is called once, from the loop; NULL: too many are under way, or no
 * memory. */
mail_t *mail_send(struct event_base *base, const mail_call_t *call,
    mail_done_pt done, void *arg);
/* Without a callback; the thread ends by itself.  NULL is none. */
void mail_cancel(mail_t *mail);

#endif
