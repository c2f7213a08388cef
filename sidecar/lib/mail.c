#include "mail.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

struct mail_s {
    mail_done_pt        done;
    void               *arg;
    struct event       *event;
    int                 pipe[2];
    pthread_t           thread;
    bool                started;
    atomic_bool         stop;

    /* The thread's own until it has written to the pipe. */
    CURL               *easy;
    struct curl_slist  *to;
    char               *text;
    size_t              len;
    size_t              sent;
    CURLcode            code;
    char                error[CURL_ERROR_SIZE];
};

static atomic_uint  mail_threads;


static int mail_setup(mail_t *mail, const mail_call_t *call);
static void *mail_run(void *arg);
static void mail_ended(evutil_socket_t fd, short what, void *arg);
static void mail_free(mail_t *mail);


static size_t
mail_read(char *to, size_t unit, size_t count, void *arg)
{
    size_t   len;
    mail_t  *mail = arg;

    len = unit * count;

    if (len > mail->len - mail->sent) {
        len = mail->len - mail->sent;
    }

    memcpy(to, mail->text + mail->sent, len);
    mail->sent += len;

    return len;
}


/* Called by curl about each second, too. */
static int
mail_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c,
    curl_off_t d)
{
    mail_t  *mail = arg;

    return atomic_load(&mail->stop);
}


mail_t *
mail_send(struct event_base *base, const mail_call_t *call,
    mail_done_pt done, void *arg)
{
    mail_t  *mail;

    if (atomic_load(&mail_threads) >= MAIL_MAX_THREADS) {
        return NULL;
    }

    mail = calloc(1, sizeof(mail_t));
    if (mail == NULL) {
        return NULL;
    }

    mail->done = done;
    mail->arg = arg;
    mail->pipe[0] = -1;
    mail->pipe[1] = -1;

    if (pipe2(mail->pipe, O_CLOEXEC | O_NONBLOCK) != 0
        || mail_setup(mail, call) != 0)
    {
        mail_free(mail);
        return NULL;
    }

    mail->event = event_new(base, mail->pipe[0], EV_READ, mail_ended, mail);

    if (mail->event == NULL || event_add(mail->event, NULL) != 0
        || pthread_create(&mail->thread, NULL, mail_run, mail) != 0)
    {
        mail_free(mail);
        return NULL;
    }

    mail->started = true;
    atomic_fetch_add(&mail_threads, 1);

    return mail;
}


static int
mail_setup(mail_t *mail, const mail_call_t *call)
{
    CURL               *easy;
    CURLcode            rc;
    const char *const  *to;
    struct curl_slist  *more;

    mail->text = strdup(call->text != NULL ? call->text : "");
    mail->easy = easy = curl_easy_init();

    if (mail->text == NULL || easy == NULL) {
        return -1;
    }

    mail->len = strlen(mail->text);

    for (to = call->to; to != NULL && *to != NULL; to++) {
        /* A line end would begin another command. */
        if (strpbrk(*to, "\r\n<>") != NULL) {
            return -1;
        }

        more = curl_slist_append(mail->to, *to);
        if (more == NULL) {
            return -1;
        }

        mail->to = more;
    }

    if (mail->to == NULL || strpbrk(call->from, "\r\n<>") != NULL) {
        return -1;
    }

    rc = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    rc |= curl_easy_setopt(easy, CURLOPT_URL, call->url);
    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, call->timeout_ms);
    rc |= curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT,
                           call->timeout_ms / 1000 + 1);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, mail->error);
    rc |= curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_MAIL_FROM, call->from);
    rc |= curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, mail->to);
    rc |= curl_easy_setopt(easy, CURLOPT_READFUNCTION, mail_read);
    rc |= curl_easy_setopt(easy, CURLOPT_READDATA, mail);
    rc |= curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                           (curl_off_t) mail->len);
    rc |= curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, mail_progress);
    rc |= curl_easy_setopt(easy, CURLOPT_XFERINFODATA, mail);

    if (call->ca_file != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file);
    }

    if (call->user != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_USE_SSL, (long) CURLUSESSL_ALL);
        rc |= curl_easy_setopt(easy, CURLOPT_USERNAME, call->user);
        rc |= curl_easy_setopt(easy, CURLOPT_PASSWORD,
                               call->password != NULL ? call->password : "");
    }

    return rc == CURLE_OK ? 0 : -1;
}


static void *
mail_run(void *arg)
{
    mail_t  *mail = arg;

    mail->code = curl_easy_perform(mail->easy);

    /* It says goodbye, and waits for the answer. */
    curl_easy_cleanup(mail->easy);
    mail->easy = NULL;

    (void) !write(mail->pipe[1], "", 1);

    return NULL;
}


static void
mail_ended(evutil_socket_t fd, short what, void *arg)
{
    char           error[CURL_ERROR_SIZE];
    void          *to;
    mail_t        *mail = arg;
    CURLcode       code;
    mail_done_pt   done;

    (void) pthread_join(mail->thread, NULL);
    mail->started = false;
    atomic_fetch_sub(&mail_threads, 1);

    done = mail->done;
    to = mail->arg;
    code = mail->code;
    snprintf(error, sizeof(error), "%s", code == CURLE_OK ? ""
             : mail->error[0] != '\0' ? mail->error
             : curl_easy_strerror(code));
    mail_free(mail);

    done(to, code == CURLE_OK ? 250 : 0, error);
}


void
mail_cancel(mail_t *mail)
{
    if (mail == NULL) {
        return;
    }

    atomic_store(&mail->stop, true);
    (void) pthread_join(mail->thread, NULL);
    mail->started = false;
    atomic_fetch_sub(&mail_threads, 1);
    mail_free(mail);
}


static void
mail_free(mail_t *mail)
{
    if (mail->event != NULL) {
        event_free(mail->event);
    }

    if (mail->pipe[0] != -1) {
        close(mail->pipe[0]);
        close(mail->pipe[1]);
    }

    curl_easy_cleanup(mail->easy);
    curl_slist_free_all(mail->to);
    free(mail->text);
    free(mail);
}
