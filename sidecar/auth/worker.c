#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <argon2.h>
#include <openssl/crypto.h>

#include "tokens.h"

typedef struct worker_job_s  worker_job_t;

struct worker_job_s {
    worker_job_t     *next;
    char              hash[AUTH_ARGON2_LEN];
    char              token[AUTH_TOKEN_MAX];
    bool              valid;
    auth_verified_t   done;
    void             *arg;
};

/* Under the lock: the lists, count and quit. */
struct auth_worker_s {
    pthread_t         thread;
    pthread_mutex_t   lock;
    pthread_cond_t    wake;
    bool              quit;
    unsigned          count;       /* waiting, being done, or done */
    worker_job_t     *waiting;
    worker_job_t    **last;
    worker_job_t     *ready;
    int               fd;          /* readable: something is ready */
    struct event     *event;
};

static void *worker_run(void *arg);
static bool worker_verify(const worker_job_t *job);
static void worker_ready(evutil_socket_t fd, short what, void *arg);
static void worker_drop(worker_job_t *list, void (*drop)(void *arg));
static void worker_job_free(worker_job_t *job);


auth_worker_t *
auth_worker_new(struct event_base *base)
{
    sigset_t        all, before;
    auth_worker_t  *worker;

    worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return NULL;
    }

    worker->last = &worker->waiting;
    worker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (worker->fd == -1) {
        goto failed;
    }

    worker->event = event_new(base, worker->fd, EV_READ | EV_PERSIST,
                              worker_ready, worker);

    if (worker->event == NULL || event_add(worker->event, NULL) != 0
        || pthread_mutex_init(&worker->lock, NULL) != 0
        || pthread_cond_init(&worker->wake, NULL) != 0)
    {
        goto failed;
    }

    /* Signals are the loop's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);

    if (pthread_create(&worker->thread, NULL, worker_run, worker) != 0) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        goto failed;
    }

    pthread_sigmask(SIG_SETMASK, &before, NULL);

    return worker;

failed:

    if (worker->event != NULL) {
        event_free(worker->event);
    }

    if (worker->fd != -1) {
        close(worker->fd);
    }

    free(worker);

    return NULL;
}


void
auth_worker_free(auth_worker_t *worker, void (*drop)(void *arg))
{
    if (worker == NULL) {
        return;
    }

    pthread_mutex_lock(&worker->lock);
    worker->quit = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);

    worker_drop(worker->waiting, drop);
    worker_drop(worker->ready, drop);

    event_free(worker->event);
    close(worker->fd);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}


bool
auth_worker_verify(auth_worker_t *worker, const char *hash,
    const char *token, auth_verified_t done, void *arg)
{
    worker_job_t  *job;

    if (strlen(hash) >= sizeof(job->hash)
        || strlen(token) >= sizeof(job->token))
    {
        return false;
    }

    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return false;
    }

    strcpy(job->hash, hash);
    strcpy(job->token, token);
    job->done = done;
    job->arg = arg;

    pthread_mutex_lock(&worker->lock);

    if (worker->count == AUTH_WORKER_QUEUE) {
        pthread_mutex_unlock(&worker->lock);
        worker_job_free(job);
        return false;
    }

    worker->count++;
    *worker->last = job;
    worker->last = &job->next;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);

    return true;
}


static void *
worker_run(void *arg)
{
    ssize_t         n;
    uint64_t        one = 1;
    worker_job_t   *job;
    auth_worker_t  *worker = arg;

    pthread_mutex_lock(&worker->lock);

    for ( ;; ) {

        while (worker->waiting == NULL && !worker->quit) {
            pthread_cond_wait(&worker->wake, &worker->lock);
        }

        if (worker->quit) {
            break;
        }

        job = worker->waiting;
        worker->waiting = job->next;

        if (worker->waiting == NULL) {
            worker->last = &worker->waiting;
        }

        pthread_mutex_unlock(&worker->lock);
        job->valid = worker_verify(job);
        pthread_mutex_lock(&worker->lock);

        job->next = worker->ready;
        worker->ready = job;

        /* It can only fail where the counter is full, and so readable. */
        n = write(worker->fd, &one, sizeof(one));
        (void) n;
    }

    pthread_mutex_unlock(&worker->lock);

    return NULL;
}


static bool
worker_verify(const worker_job_t *job)
{
    argon2_type  type;

    type = strncmp(job->hash, "$argon2id$", 10) == 0 ? Argon2_id
           : strncmp(job->hash, "$argon2i$", 9) == 0 ? Argon2_i : Argon2_d;

    return argon2_verify(job->hash, job->token, strlen(job->token), type)
           == ARGON2_OK;
}


static void
worker_ready(evutil_socket_t fd, short what, void *arg)
{
    ssize_t         n;
    uint64_t        count;
    worker_job_t   *job, *next;
    auth_worker_t  *worker = arg;

    n = read(fd, &count, sizeof(count));
    (void) n;

    pthread_mutex_lock(&worker->lock);
    job = worker->ready;
    worker->ready = NULL;

    for (next = job; next != NULL; next = next->next) {
        worker->count--;
    }

    pthread_mutex_unlock(&worker->lock);

    for ( /* void */ ; job != NULL; job = next) {
        next = job->next;
        job->done(job->arg, job->valid);
        worker_job_free(job);
    }
}


static void
worker_drop(worker_job_t *list, void (*drop)(void *arg))
{
    worker_job_t  *next;

    for ( /* void */ ; list != NULL; list = next) {
        next = list->next;
        drop(list->arg);
        worker_job_free(list);
    }
}


static void
worker_job_free(worker_job_t *job)
{
    OPENSSL_cleanse(job->token, sizeof(job->token));
    free(job);
}
