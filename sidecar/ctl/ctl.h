/*
 * canaryctl: one command, one file.  A command gets the parsed arguments,
 * prints what it has to say and returns the exit code.
 */

#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#define CTL_OK        0
#define CTL_FAILED    1
#define CTL_USAGE     2
#define CTL_REVERTED  3            /* the rollout was taken back */
#define CTL_LATE      4            /* --wait=TIME is up */

#define CTL_SOCKET    "/run/nginx-canary/canaryd.sock"
#define CTL_TCP       "http://127.0.0.1:7070"

typedef struct {
    const char   *server;          /* "unix:/path", "http://..." */
    bool          fell_back;       /* to CTL_TCP: there is no CTL_SOCKET */
    bool          json;
    bool          wait;
    long          wait_ms;         /* 0: as long as it takes */
    bool          follow;
    long          timeout_ms;      /* of a request */
    const char   *token_file;
    const char   *cacert;
    bool          insecure;        /* the token may cross a network in clear */
    char         *token;           /* secret; owned; NULL: none */
    const char   *file;
    const char   *config;
    const char   *state_file;
    const char   *unavailable;
    const char   *upstream;
    const char   *state;
    const char   *reason;
    long          limit;
    long          revision;        /* -1: not given */
    long          runs;            /* 0: not given */
    long          seed;
    const char   *simulated;       /* the case; NULL: all */
    const char   *role;            /* of token */
    const char   *upstreams;
    const char   *expires;
    const char   *hash;
    const char   *version;         /* of rollback */
    const char   *as;              /* of lint; NULL: as it looks */
    bool          full;
    bool          dry;             /* start nothing */
    bool          all;
    bool          man;
    bool          help;
    cJSON        *spec;            /* what flags say of it; owned */
    int           count;           /* of positional arguments */
    char        **values;
} ctl_args_t;

typedef int (*ctl_run_t)(const ctl_args_t *args, const char *command);

/* What a request brought; free with ctl_reply_free(). */
typedef struct {
    int           status;          /* of HTTP; 0: no answer */
    char         *text;            /* as received, with NUL */
    size_t        len;
    cJSON        *json;
    char          error[512];      /* "": 2xx with JSON */
} ctl_reply_t;

/* http.c.  path is "/v1/..."; body may be NULL, stays the caller's.  0 or
 * CTL_FAILED with reply->error. */
int ctl_call(const ctl_args_t *args, const char *method, const char *path,
    const cJSON *body, ctl_reply_t *reply);
/* ctl_call(), and prints the error or, with --json, the answer. */
int ctl_ask(const ctl_args_t *args, const char *method, const char *path,
    const cJSON *body, ctl_reply_t *reply);
void ctl_reply_free(ctl_reply_t *reply);
/*
 * A GET whose answer has no end: got is called with each line of it, without
 * its end, and ends it by returning false.  last (NULL: none) is sent as
 * Last-Event-ID.  0 if it ended with a 2xx, else CTL_FAILED with reply->error.
 */
int ctl_stream(const ctl_args_t *args, const char *path, const char *last,
    bool (*got)(void *arg, const char *line), void *arg,
    ctl_reply_t *reply);
/* "/v1/rollouts/ID" and what follows, or the newest of --upstream; 0 or an
 * exit code after an error message. */
int ctl_rollout_path(const ctl_args_t *args, const char *tail, char *path,
    size_t size);
/* The same of "/v1/upstreams/NAME", which must be named. */
int ctl_upstream_path(const ctl_args_t *args, const char *tail, char *path,
    size_t size);
/* A part of a path or a query, escaped; buf has at least 512 bytes.  NULL:
 * too long. */
char *ctl_escape(const char *text, char *buf, size_t size);

/* main.c: "canaryctl: ..." on stderr. */
void ctl_error(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

struct ctl_entry_s;

/* options.c.  0, or an exit code after an error message. */
int ctl_options(const struct ctl_entry_s *entry, int argc, char **argv,
    ctl_args_t *args);

/* The commands. */
int ctl_start(const ctl_args_t *args, const char *command);
int ctl_status(const ctl_args_t *args, const char *command);
int ctl_list(const ctl_args_t *args, const char *command);
int ctl_watch(const ctl_args_t *args, const char *command);
int ctl_command(const ctl_args_t *args, const char *command);
int ctl_judge(const ctl_args_t *args, const char *command);
int ctl_explain(const ctl_args_t *args, const char *command);
int ctl_events(const ctl_args_t *args, const char *command);
int ctl_replay(const ctl_args_t *args, const char *command);
int ctl_seed(const ctl_args_t *args, const char *command);
int ctl_simulate(const ctl_args_t *args, const char *command);
int ctl_again(const ctl_args_t *args, const char *command);
int ctl_history(const ctl_args_t *args, const char *command);
int ctl_weights(const ctl_args_t *args, const char *command);
int ctl_nodes(const ctl_args_t *args, const char *command);
int ctl_smoke(const ctl_args_t *args, const char *command);
int ctl_health(const ctl_args_t *args, const char *command);
int ctl_incidents(const ctl_args_t *args, const char *command);
int ctl_freeze(const ctl_args_t *args, const char *command);
int ctl_lint(const ctl_args_t *args, const char *command);
int ctl_completion(const ctl_args_t *args, const char *command);
int ctl_help(const ctl_args_t *args, const char *command);
int ctl_version(const ctl_args_t *args, const char *command);

/* command.c: {"actor", "reason"?}; the caller owns it; NULL after an error
 * message. */
cJSON *ctl_words(const ctl_args_t *args);
/* start.c: says what was started and, with --wait, follows it. */
int ctl_started(const ctl_args_t *args, const ctl_reply_t *reply);
/* http.c: the name of the upstream, of the argument or --upstream; NULL: none
 * (after an error message if there must be one, or there are two). */
const char *ctl_upstream(const ctl_args_t *args, bool needed, int *rc);

/* start.c: the spec of -f and the flags, {} without any; the caller owns it;
 * NULL: *rc is the exit code after an error message. */
cJSON *ctl_spec(const ctl_args_t *args, int *rc);
int ctl_token(const ctl_args_t *args, const char *command);
int ctl_import(const ctl_args_t *args, const char *command);

/* secret.c.  Finds the token that goes with requests: flag, file, $CANARY_TOKEN
 * or $CANARY_TOKEN_FILE; 0 or an exit code after an error message. */
int ctl_secret(ctl_args_t *args);
/* May the token be sent there?  If not, *why (>= 200 bytes) says so. */
bool ctl_secret_safe(const ctl_args_t *args, char *why, size_t size);
void ctl_secret_free(ctl_args_t *args);

/* follow.c: until the end, or --wait's. path is "/v1/rollouts/ID". */
int ctl_follow(const ctl_args_t *args, const char *path);
/* CTL_REVERTED for reverting and aborted, else CTL_OK. */
int ctl_outcome(const cJSON *rollout);
/* Succeeded or aborted. */
bool ctl_ended(const cJSON *rollout);

/* print.c: for people. */
/* Is what goes to this stream coloured? */
bool print_coloured(FILE *out);
/* A state, with spaces up to width; coloured on a terminal. */
void print_state(FILE *out, const char *state, int width);
void print_rollout(FILE *out, const cJSON *rollout);
void print_upstream(FILE *out, const cJSON *upstream);
void print_list(FILE *out, const cJSON *rollouts);
/* One line. */
void print_progress(FILE *out, const cJSON *rollout);
/* A string member, safe for a terminal; or or_else. */
const char *print_string(const cJSON *json, const char *name,
    const char *or_else, char *buf, size_t size);

#endif
