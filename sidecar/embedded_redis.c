#include "embedded_redis.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "clock.h"

#define REDIS_PATH_LEN       512
#define REDIS_SOCKET_LEN     108   /* sun_path */
#define REDIS_BACKOFF_MIN    200   /* ms */
#define REDIS_BACKOFF_MAX    5000
#define REDIS_STEADY         10000 /* ms of life that end the backoff */
#define REDIS_STOP           5000  /* ms to save and exit */

struct embedded_redis_s {
    struct event_base  *base;
    log_t              *log;
    struct event       *child;     /* SIGCHLD */
    struct event       *timer;     /* to start again */
    char                server[REDIS_PATH_LEN];
    char                dir[REDIS_PATH_LEN];
    char                socket[REDIS_SOCKET_LEN];
    int                 lock;      /* of data_dir, while canaryd lives */
    pid_t               pid;       /* 0: does not run */
    int64_t             started;   /* ms, monotonic */
    int                 backoff;   /* ms */
};

static int redis_find(const char *server, char *path, size_t size);
static int redis_prepare(embedded_redis_t *redis, const char *data_dir,
    char *error, size_t size);
static int redis_lock(embedded_redis_t *redis, const char *data_dir,
    char *error, size_t size);
static void redis_child(evutil_socket_t fd, short what, void *arg);
static void redis_again(evutil_socket_t fd, short what, void *arg);
static void redis_later(embedded_redis_t *redis);
static void redis_start(embedded_redis_t *redis);
static int redis_config(const embedded_redis_t *redis);
static void redis_exec(const embedded_redis_t *redis, int config, int lock,
    pid_t parent);


embedded_redis_t *
embedded_redis_new(struct event_base *base, log_t *log, const char *server,
    const char *data_dir, char *error, size_t size)
{
    embedded_redis_t  *redis;

    redis = calloc(1, sizeof(*redis));
    if (redis == NULL) {
        snprintf(error, size, "out of memory");
        return NULL;
    }

    redis->base = base;
    redis->log = log;
    redis->lock = -1;
    redis->backoff = REDIS_BACKOFF_MIN;

    if (redis_find(server, redis->server, sizeof(redis->server))) {
        snprintf(error, size, "redis_server: %.120s cannot be run: install "
                 "redis-server or set redis: HOST:PORT", server);
        goto failed;
    }

    if (redis_prepare(redis, data_dir, error, size)) {
        goto failed;
    }

    redis->child = evsignal_new(base, SIGCHLD, redis_child, redis);
    redis->timer = evtimer_new(base, redis_again, redis);

    if (redis->child == NULL || redis->timer == NULL
        || event_add(redis->child, NULL) == -1)
    {
        snprintf(error, size, "out of memory");
        goto failed;
    }

    redis_start(redis);
    return redis;

failed:

    embedded_redis_free(redis);
    return NULL;
}


const char *
embedded_redis_socket(const embedded_redis_t *redis)
{
    return redis->socket;
}


int
embedded_redis_pid(const embedded_redis_t *redis)
{
    return redis->pid;
}


void
embedded_redis_free(embedded_redis_t *redis)
{
    int              status;
    int64_t          begin;
    struct timespec  pause;

    if (redis == NULL) {
        return;
    }

    if (redis->child != NULL) {
        event_free(redis->child);
    }

    if (redis->timer != NULL) {
        event_free(redis->timer);
    }

    if (redis->pid != 0) {
        kill(redis->pid, SIGTERM);
        begin = clock_mono_ms();
        pause.tv_sec = 0;
        pause.tv_nsec = 5 * 1000 * 1000;

        while (waitpid(redis->pid, &status, WNOHANG) == 0) {

            if (clock_mono_ms() - begin > REDIS_STOP) {
                log_warn(redis->log, "redis-server does not stop, killed",
                         LOG_I("pid", redis->pid));
                kill(redis->pid, SIGKILL);
                waitpid(redis->pid, &status, 0);
                break;
            }

            nanosleep(&pause, NULL);
        }
    }

    if (redis->lock != -1) {
        close(redis->lock);
    }

    free(redis);
}


/* As execvp() would find it. */
static int
redis_find(const char *server, char *path, size_t size)
{
    int          n;
    size_t       len;
    const char  *dirs;

    if (strchr(server, '/') != NULL) {
        n = snprintf(path, size, "%s", server);
        return n > 0 && (size_t) n < size && access(path, X_OK) == 0 ? 0 : -1;
    }

    dirs = getenv("PATH");
    if (dirs == NULL) {
        dirs = "/usr/local/bin:/usr/bin:/bin";
    }

    for ( ;; ) {
        len = strcspn(dirs, ":");
        n = snprintf(path, size, "%.*s/%s", (int) len, dirs, server);

        if (len > 0 && n > 0 && (size_t) n < size && access(path, X_OK) == 0)
        {
            return 0;
        }

        if (dirs[len] == '\0') {
            return -1;
        }

        dirs += len + 1;
    }
}


/* The directories, their lock, and the paths: redis-server changes to its
 * directory, so all are absolute. */
static int
redis_prepare(embedded_redis_t *redis, const char *data_dir, char *error,
    size_t size)
{
    int    n;
    char  *path;

    if (mkdir(data_dir, 0700) == -1 && errno != EEXIST) {
        snprintf(error, size, "data_dir: %.200s: %s", data_dir,
                 strerror(errno));
        return -1;
    }

    path = realpath(data_dir, NULL);
    if (path == NULL) {
        snprintf(error, size, "data_dir: %.200s: %s", data_dir,
                 strerror(errno));
        return -1;
    }

    n = snprintf(redis->socket, sizeof(redis->socket), "%s/redis.sock", path);

    if (n < 0 || (size_t) n >= sizeof(redis->socket)
        || strpbrk(path, "\"\\\r\n") != NULL)
    {
        snprintf(error, size, "data_dir: %.200s: its path must be shorter "
                 "than %d bytes and have no quotes", path,
                 REDIS_SOCKET_LEN - (int) sizeof("/redis.sock"));
        free(path);
        return -1;
    }

    snprintf(redis->dir, sizeof(redis->dir), "%s/redis", path);

    if (redis_lock(redis, path, error, size)) {
        free(path);
        return -1;
    }

    free(path);

    if (mkdir(redis->dir, 0700) == -1 && errno != EEXIST) {
        snprintf(error, size, "data_dir: %.200s: %s", redis->dir,
                 strerror(errno));
        return -1;
    }

    return 0;
}


static int
redis_lock(embedded_redis_t *redis, const char *data_dir, char *error,
    size_t size)
{
    int      n;
    char     path[REDIS_PATH_LEN], pid[32];
    ssize_t  len;

    snprintf(path, sizeof(path), "%s/lock", data_dir);

    redis->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (redis->lock == -1) {
        snprintf(error, size, "data_dir: %.200s: %s", path, strerror(errno));
        return -1;
    }

    if (flock(redis->lock, LOCK_EX | LOCK_NB) == -1) {
        len = read(redis->lock, pid, sizeof(pid) - 1);
        pid[len > 0 ? len : 0] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';

        snprintf(error, size, "data_dir: %.200s is in use by another "
                 "canaryd%s%s: stop it, or give this one a data_dir of its "
                 "own", data_dir, pid[0] ? ", pid " : "", pid);
        return -1;
    }

    /* For the message above only. */
    n = snprintf(pid, sizeof(pid), "%d\n", (int) getpid());

    if (ftruncate(redis->lock, 0) == -1
        || pwrite(redis->lock, pid, (size_t) n, 0) == -1)
    {
        snprintf(error, size, "data_dir: %.200s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


static void
redis_child(evutil_socket_t fd, short what, void *arg)
{
    int                status;
    embedded_redis_t  *redis;

    redis = arg;

    if (redis->pid == 0 || waitpid(redis->pid, &status, WNOHANG) <= 0) {
        return;
    }

    log_error(redis->log, "redis-server died, starting it again",
              LOG_I("pid", redis->pid),
              LOG_I("code", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
              LOG_I("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
              LOG_S("see", redis->dir));

    redis->pid = 0;

    if (clock_mono_ms() - redis->started > REDIS_STEADY) {
        redis->backoff = REDIS_BACKOFF_MIN;
    }

    redis_later(redis);
}


static void
redis_again(evutil_socket_t fd, short what, void *arg)
{
    redis_start(arg);
}


static void
redis_later(embedded_redis_t *redis)
{
    struct timeval  tv;

    tv.tv_sec = redis->backoff / 1000;
    tv.tv_usec = redis->backoff % 1000 * 1000;
    evtimer_add(redis->timer, &tv);

    redis->backoff *= 2;

    if (redis->backoff > REDIS_BACKOFF_MAX) {
        redis->backoff = REDIS_BACKOFF_MAX;
    }
}


static void
redis_start(embedded_redis_t *redis)
{
    int       config, lock;
    char      path[REDIS_PATH_LEN + 8];
    pid_t     pid, parent;
    sigset_t  all, before;

    /*
     * The server and its children inherit this lock, so that it is free when
     * the last process that may write the data is gone, and not before: one
     * of an earlier canaryd may take a moment.
     */
    snprintf(path, sizeof(path), "%s/lock", redis->dir);
    config = -1;

    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock == -1) {
        log_error(redis->log, "redis-server cannot be started",
                  LOG_S("file", path), LOG_S("error", strerror(errno)));
        goto later;
    }

    if (flock(lock, LOCK_EX | LOCK_NB) == -1) {
        log_warn(redis->log, "waiting for an earlier redis-server to end",
                 LOG_S("dir", redis->dir));
        goto later;
    }

    config = redis_config(redis);
    if (config == -1) {
        log_error(redis->log, "redis-server cannot be started",
                  LOG_S("error", strerror(errno)));
        goto later;
    }

    /* Until exec() a signal in the child would run libevent's handlers. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        redis_exec(redis, config, lock, parent);
        _exit(127);
    }

    sigprocmask(SIG_SETMASK, &before, NULL);

    if (pid == -1) {
        log_error(redis->log, "redis-server cannot be started",
                  LOG_S("error", strerror(errno)));
        goto later;
    }

    close(config);
    close(lock);

    redis->pid = pid;
    redis->started = clock_mono_ms();
    log_info(redis->log, "redis-server started", LOG_I("pid", pid),
             LOG_S("socket", redis->socket));
    return;

later:

    if (config != -1) {
        close(config);
    }

    if (lock != -1) {
        close(lock);
    }

    redis_later(redis);
}


/* A pipe with the configuration in it; nothing of it is on disk. */
static int
redis_config(const embedded_redis_t *redis)
{
    int   n, fds[2];
    char  text[3 * REDIS_PATH_LEN];

    n = snprintf(text, sizeof(text),
                 "port 0\n"
                 "unixsocket \"%s\"\n"
                 "unixsocketperm 600\n"
                 "dir \"%s\"\n"
                 "logfile \"%s/redis.log\"\n"
                 "appendonly yes\n"
                 "appendfsync everysec\n"
                 "save \"\"\n"
                 "maxmemory-policy noeviction\n"
                 "daemonize no\n"
                 "supervised no\n",
                 redis->socket, redis->dir, redis->dir);

    if (n < 0 || (size_t) n >= sizeof(text)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    if (pipe2(fds, O_CLOEXEC) == -1) {
        return -1;
    }

    /* Less than PIPE_BUF: it fits. */
    if (write(fds[1], text, (size_t) n) != n) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }

    close(fds[1]);
    return fds[0];
}


/* In the child; returns if it cannot go on. */
static void
redis_exec(const embedded_redis_t *redis, int config, int lock, pid_t parent)
{
    int       log, number;
    char      path[REDIS_PATH_LEN + 16];
    sigset_t  none;

    char *const  argv[] = { (char *) "redis-server", (char *) "-", NULL };

    /* Dies with canaryd, also if that died just now. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 || getppid() != parent) {
        return;
    }

    /* Its complaints about the configuration, before it opens its log. */
    snprintf(path, sizeof(path), "%s/redis.log", redis->dir);
    log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);

    if (log == -1 || dup2(config, STDIN_FILENO) == -1
        || dup2(log, STDOUT_FILENO) == -1 || dup2(log, STDERR_FILENO) == -1)
    {
        return;
    }

    /* What is left of canaryd goes, but the lock. */
    if (lock != 3) {
        if (dup2(lock, 3) == -1) {
            return;
        }

    } else if (fcntl(lock, F_SETFD, 0) == -1) {
        return;
    }

    close_range(4, ~0U, 0);
    umask(077);

    for (number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    execv(redis->server, argv);
}
