#include "notify.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/text.h"
#include "lib/sign.h"

#define NOTIFY_TIMEOUT_MS  10000
#define NOTIFY_RETRIES     4
#define NOTIFY_BACKOFF_MS  1000
#define NOTIFY_RECENT      256
#define NOTIFY_KEY_LEN     192

typedef struct notice_s  notice_t;

struct notice_s {
    notify_t        *notify;
    notice_t        *next;
    unsigned         channel;
    fetch_call_t    *call;
    notify_done_pt   done;
    void            *arg;
};

struct notify_s {
    log_t             *log;
    fetch_t           *fetch;
    const settings_t  *settings;
    notice_t          *notices;
    unsigned           count;
    unsigned           at;         /* in recent */
    char               recent[NOTIFY_RECENT][NOTIFY_KEY_LEN];
    uint64_t           sent;
    uint64_t           failed;
};


notify_t *
notify_new(log_t *log, fetch_t *fetch, const settings_t *settings)
{
    notify_t  *notify;

    notify = calloc(1, sizeof(notify_t));

    if (notify != NULL) {
        notify->log = log;
        notify->fetch = fetch;
        notify->settings = settings;
    }

    return notify;
}


static void
notice_free(notice_t *notice)
{
    notice_t  **link;

    for (link = &notice->notify->notices; *link != notice;
         link = &(*link)->next)
    {
        /* to it */
    }

    *link = notice->next;
    notice->notify->count--;
    fetch_cancel(notice->call);
    free(notice);
}


void
notify_free(notify_t *notify)
{
    if (notify == NULL) {
        return;
    }

    while (notify->notices != NULL) {
        notice_free(notify->notices);
    }

    free(notify);
}


bool
notify_ready(const notify_t *notify)
{
    return notify->count < NOTIFY_MAX_UNDER_WAY;
}


uint64_t
notify_sent(const notify_t *notify)
{
    return notify->sent;
}


uint64_t
notify_failed(const notify_t *notify)
{
    return notify->failed;
}


static void
notice_answer(void *arg, const fetch_result_t *result)
{
    void            *to;
    char             error[256];
    notice_t        *notice = arg;
    notify_t        *notify = notice->notify;
    notify_done_pt   done;

    notice->call = NULL;

    if (fetch_ok(result)) {
        notify->sent++;

    } else {
        notify->failed++;
        text_copy(error, sizeof(error), result->error);
        secrets_redact(notify->settings->secrets, error);
        log_warn(notify->log, "nobody was told",
                 LOG_S("channel",
                       notify->settings->channels[notice->channel].name),
                 LOG_I("status", result->status), LOG_S("error", error),
                 LOG_I("tries", result->tries));
    }

    done = notice->done;
    to = notice->arg;
    notice_free(notice);
    done(to);
}


bool
notify_send(notify_t *notify, unsigned number, const message_t *message,
    notify_done_pt done, void *arg)
{
    char             key[NOTIFY_KEY_LEN], headers[3][192], hex[SIGN_LEN];
    char            *body;
    int64_t          seconds;
    unsigned         i;
    notice_t        *notice;
    const char      *secret, *list[4] = { NULL }, *to[SETTINGS_MAX_CHANNELS
                                                      + 1];
    fetch_request_t  request;

    const settings_channel_t  *channel;

    channel = &notify->settings->channels[number];
    text_format(key, sizeof(key), "%s %s %s", message->upstream,
                message->position, channel->name);

    for (i = 0; i < NOTIFY_RECENT; i++) {
        if (strcmp(notify->recent[i], key) == 0) {
            return false;
        }
    }

    if (!notify_ready(notify)) {
        return false;
    }

    strcpy(notify->recent[notify->at++ % NOTIFY_RECENT], key);
    secret = secrets_get(notify->settings->secrets, channel->secret);
    body = message_body(message, channel, secret != NULL ? secret : "");

    memset(&request, 0, sizeof(fetch_request_t));
    request.url = channel->url_secret[0] != '\0'
                  ? secrets_get(notify->settings->secrets,
                                channel->url_secret) : channel->url;
    request.body = body;
    request.headers = list;
    request.timeout_ms = NOTIFY_TIMEOUT_MS;
    request.max_response = 65536;
    request.retries = NOTIFY_RETRIES;
    request.backoff_ms = NOTIFY_BACKOFF_MS;

    if (channel->type == CHANNEL_EMAIL) {
        for (i = 0; i < channel->to_count; i++) {
            to[i] = channel->to[i];
        }

        to[i] = NULL;
        request.mail_from = channel->from;
        request.mail_to = to;
        request.user = channel->user[0] != '\0' ? channel->user : NULL;
        request.password = secret;

    } else if (channel->type == CHANNEL_WEBHOOK) {
        seconds = clock_wall_ms() / 1000;
        text_format(headers[0], sizeof(headers[0]), "Idempotency-Key: %s-%s",
                    message->upstream, message->position);
        text_format(headers[1], sizeof(headers[1]),
                    "X-Canary-Timestamp: %lld", (long long) seconds);
        list[0] = headers[0];
        list[1] = headers[1];

        if (secret != NULL) {
            sign_body(secret, seconds, body, hex);
            text_format(headers[2], sizeof(headers[2]),
                        "X-Canary-Signature: sha256=%s", hex);
            list[2] = headers[2];
        }
    }

    notice = calloc(1, sizeof(notice_t));
    if (notice == NULL) {
        abort();
    }

    notice->notify = notify;
    notice->channel = number;
    notice->done = done;
    notice->arg = arg;
    notice->next = notify->notices;
    notify->notices = notice;
    notify->count++;
    notice->call = fetch_start(notify->fetch, &request, notice_answer,
                               notice);

    explicit_bzero(body, strlen(body));
    free(body);

    return true;
}
