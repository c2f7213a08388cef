/* Tells people: a message to each channel, tried again, bounded, each event
 * once a channel. */

#ifndef NOTIFY_H
#define NOTIFY_H

#include "around/message.h"
#include "lib/fetch.h"
#include "lib/log.h"

#define NOTIFY_MAX_UNDER_WAY  64

typedef struct notify_s  notify_t;

/* Sent, or given up. */
typedef void (*notify_done_pt)(void *arg);

/* All are borrowed. */
notify_t *notify_new(log_t *log, fetch_t *fetch, const settings_t *settings);
void notify_free(notify_t *notify);

/* May more be begun? */
bool notify_ready(const notify_t *notify);
/* done is called once, from the loop, unless the notifier is freed; false:
 * the channel was told already, or there is no room; done is not called. */
bool notify_send(notify_t *notify, unsigned channel,
    const message_t *message, notify_done_pt done, void *arg);

uint64_t notify_sent(const notify_t *notify);
uint64_t notify_failed(const notify_t *notify);

#endif
