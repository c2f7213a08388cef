#include "table.h"

#include <string.h>

#define ONE        "ID | --upstream NAME"
#define COMMANDED  "upstream reason revision"
#define SPEC_FLAGS                                                           \
    "file step strategy ramp bake max-error-rate alpha"

const char *const  ctl_groups[] = {
    "Release", "See", "Understand", "Operate", "Offline", "Other", NULL
};

const char *const  ctl_exits[] = {
    "done; with --wait and of watch: the rollout succeeded",
    "an error, or what was asked about is not well",
    "wrong usage; nothing was done",
    "the rollout was taken back (start, watch, status of one, --wait), or "
    "would be (replay)",
    "the time of --wait=TIME is up; the rollout goes on",
    NULL
};

const char *const  ctl_environment[][2] = {
    { "CANARYD", "the address of canaryd, as --server" },
    { "CANARY_TOKEN_FILE", "as --token-file" },
    { "CANARY_TOKEN", "the token itself" },
    { "NO_COLOR", "if it is not empty: no colour, on a terminal either" },
    { NULL, NULL }
};

const char  ctl_common[] = "server token-file token cacert insecure json "
                           "timeout help";

const ctl_entry_t  ctl_entries[] = {
    { "start", ctl_start, 0, 0, true, "[-f SPEC.yaml|-] [flags]", NULL,
      "start a rollout",
      SPEC_FLAGS " upstream@start canary version environment commit build "
      "ticket lease deadline on-success dry-run wait",
      "A flag goes over what the file says.  docs/rest-api.md has the spec.",
      "canaryctl start --upstream app --canary green --version v1.4.2 "
      "--step 1:60s --step 50:2m --step 100 --wait" },
    { "pause", ctl_command, 0, 1, true, ONE, NULL,
      "hold it where it is", COMMANDED, NULL,
      "canaryctl pause --upstream app --reason \"looking at the logs\"" },
    { "resume", ctl_command, 0, 1, true, ONE, NULL,
      "go on after a pause", COMMANDED " wait", NULL,
      "canaryctl resume --upstream app" },
    { "promote", ctl_command, 0, 1, true, ONE, NULL,
      "go on to the next step now, or to the end",
      COMMANDED " full wait",
      "Whatever objectives, checks and hooks say.  With --full the remaining "
      "steps and the bake are skipped.",
      "canaryctl promote --full --upstream app --reason \"seen enough\"" },
    { "approve", ctl_command, 0, 1, true, ONE, NULL,
      "approve a rollout that waits for it", COMMANDED " wait", NULL,
      "canaryctl approve --upstream app" },
    { "abort", ctl_command, 0, 1, true, ONE, NULL,
      "back to stable, now, everywhere", "upstream reason wait",
      "It always wins, also over a rollout that has succeeded.  Done when "
      "every live node serves stable.",
      "canaryctl abort --upstream app --reason \"checkout is slow\"" },
    { "retry", ctl_again, 0, 1, true, ONE, NULL,
      "start an aborted rollout once more", "upstream reason wait", NULL,
      "canaryctl retry --upstream app --wait" },
    { "rollback", ctl_again, 0, 1, true, "NAME | --upstream NAME", NULL,
      "to the version before, or to that one",
      "upstream@name version@back reason wait",
      "A blue-green rollout to the group that still has that version.",
      "canaryctl rollback app --version v1.4.1 --wait" },

    { "status", ctl_status, 1, 1, true, "[ID | --upstream NAME]", NULL,
      "one rollout, or all upstreams", "upstream", NULL,
      "canaryctl status --upstream app" },
    { "watch", ctl_watch, 1, 1, true, ONE, NULL,
      "a rollout, live until its end", "upstream wait@watch",
      "On a terminal it is drawn anew each second; else a line a second.",
      "canaryctl watch --upstream app" },
    { "list", ctl_list, 1, 0, true, "", NULL,
      "rollouts, the newest first", "upstream@name state limit", NULL,
      "canaryctl list --state active" },
    { "history", ctl_history, 1, 1, true, "NAME | --upstream NAME", NULL,
      "the versions that an upstream had", "upstream@name limit", NULL,
      "canaryctl history app" },
    { "weights", ctl_weights, 1, 1, true, "[NAME | --upstream NAME]", NULL,
      "of each group: intended, and measured", "upstream@name", NULL,
      "canaryctl weights app" },
    { "nodes", ctl_nodes, 1, 1, true, "[NAME | --upstream NAME]", NULL,
      "what each node serves, which are behind", "upstream@name",
      "Exit code 1 if one is gone, behind, or refuses the record.",
      "canaryctl nodes" },
    { "events", ctl_events, 1, 1, true, "[ID | --upstream NAME]", NULL,
      "what happened; --follow: what happens", "upstream follow", NULL,
      "canaryctl events --follow" },

    { "explain", ctl_explain, 2, 1, true, ONE, NULL,
      "each decision, and what would have to happen next", "upstream", NULL,
      "canaryctl explain --upstream app" },
    { "replay", ctl_replay, 2, 1, true, ONE, NULL,
      "judge its recorded ticks again", "upstream config@replay", NULL,
      "canaryctl replay app-1a2b3c4d5e --config stricter.yaml" },
    { "smoke", ctl_smoke, 2, 1, true, ONE, NULL,
      "run its smoke tests now", "upstream",
      "Nothing is changed.  Exit code 1 if one fails.",
      "canaryctl smoke --upstream app" },

    { "health", ctl_health, 3, 0, true, "", NULL,
      "canaryd and what it needs", "", "Exit code 1 unless all is ok.",
      "canaryctl health --json --timeout 5s" },
    { "incidents", ctl_incidents, 3, 2, true, "[list | ack ID | resolve ID]",
      "list ack resolve", "list, acknowledge and resolve incidents",
      "upstream@name state@incident reason", NULL,
      "canaryctl incidents ack inc-1a2b3c4d5e --reason \"on it\"" },
    { "freeze", ctl_freeze, 3, 1, true, "[show | stop | go]",
      "show stop go", "stop the line: nothing starts nor advances", "reason",
      "Reverts pass.  Without a word: what is frozen now, windows too.",
      "canaryctl freeze stop --reason \"network maintenance\"" },
    { "token", ctl_token, 3, 1, false, "NAME", NULL,
      "make a token for the API",
      "role upstreams expires hash",
      "It goes to the new file of --token-file; the line for canaryd's "
      "tokens file is printed.",
      "canaryctl token ci --role operator --token-file ci.token" },
    { "seed", ctl_seed, 3, 0, false, "--state-file FILE", NULL,
      "nginx's state file from Redis, before nginx starts",
      "state-file config@canaryd wait@seed if-unavailable", NULL,
      "canaryctl seed --state-file /var/lib/nginx-canary/edge.state "
      "--wait=30s --if-unavailable=keep" },

    { "lint", ctl_lint, 4, 1, false, "FILE|-", "FILE",
      "check a spec or canaryd.yaml", "as",
      "Names the field that is wrong.  Exit code 1 if one is.  Whether "
      "upstream, groups and secrets exist only canaryd knows.",
      "canaryctl lint rollout.yaml" },
    { "simulate", ctl_simulate, 4, 0, false, "[-f SPEC.yaml|-] [flags]", NULL,
      "what a spec does to good and bad canaries",
      SPEC_FLAGS " runs seed case", NULL,
      "canaryctl simulate -f rollout.yaml --runs 1000" },
    { "judge", ctl_judge, 4, 1, false, "FILE|-", "FILE",
      "judge a recorded case", "", NULL,
      "canaryctl judge case.json" },
    { "import-ingress", ctl_import, 4, 1, false, "FILE|-", "FILE",
      "nginx.conf from ingress-nginx canary annotations", "", NULL,
      "kubectl get ingress -A -o yaml | canaryctl import-ingress -" },

    { "completion", ctl_completion, 5, 1, false, "bash|zsh", "bash zsh",
      "a completion script for the shell", "", NULL,
      "source <(canaryctl completion bash)" },
    { "help", ctl_help, 5, 1, false, "[COMMAND]", "COMMAND",
      "this, or about one command", "all man", NULL,
      "canaryctl help start" },
    { "version", ctl_version, 5, 0, false, "", NULL,
      "the version of canaryctl", "", NULL, "canaryctl version" },
    { NULL, NULL, 0, 0, false, NULL, NULL, NULL, NULL, NULL, NULL }
};

const ctl_flag_t  ctl_flags[] = {
    { "server", "ADDRESS", SET_SERVER, NULL, NULL,
      "unix:/PATH or http[s]://HOST:PORT; default unix:" CTL_SOCKET ", or "
      CTL_TCP " if there is none" },
    { "token-file", "FILE", SET_TOKEN_FILE, NULL, "FILE",
      "has the token for the API; of token: where the new one goes" },
    { "token", "TOKEN", SET_TOKEN, NULL, NULL,
      "the token itself; a file is better, others may see this one" },
    { "cacert", "FILE", SET_CACERT, NULL, "FILE",
      "whose certificates to trust for https" },
    { "insecure", NULL, SET_INSECURE, NULL, NULL,
      "send the token unencrypted to another machine" },
    { "json", NULL, SET_JSON, NULL, NULL, "JSON, as the server says it" },
    { "timeout", "TIME", SET_TIMEOUT, NULL, NULL,
      "of a request, up to 10m; default 10s" },
    { "help", NULL, SET_HELP, NULL, NULL, "usage of the command" },

    { "upstream", "NAME", SET_UPSTREAM, NULL, NULL,
      "the latest rollout of that upstream" },
    { "upstream@start", "NAME", SET_SPEC, "upstream", NULL,
      "which upstream" },
    { "upstream@name", "NAME", SET_UPSTREAM, NULL, NULL, "of that upstream" },
    { "reason", "TEXT", SET_REASON, NULL, NULL,
      "why, at most 200 bytes; kept" },
    { "revision", "N", SET_REVISION, NULL, NULL,
      "refuse if the upstream has another revision by now" },
    { "full", NULL, SET_FULL, NULL, NULL, "to the end at once" },
    { "wait", "[=TIME]", SET_WAIT, NULL, NULL,
      "follow it to its end, at most so long (exit code 4)" },
    { "wait@watch", "[=TIME]", SET_WAIT, NULL, NULL,
      "at most so long (exit code 4)" },
    { "wait@seed", "[=TIME]", SET_WAIT, NULL, NULL,
      "for Redis; without TIME as long as it takes" },
    { "follow", NULL, SET_FOLLOW, NULL, NULL, "what happens from now on" },
    { "state", "STATE", SET_STATE, NULL,
      "active pending smoke progressing paused waiting baking reverting "
      "succeeded aborted", "only those in it; active: not ended" },
    { "state@incident", "STATE", SET_STATE, NULL,
      "open acknowledged resolved", "only those in it" },
    { "limit", "N", SET_LIMIT, NULL, NULL, "at most so many, 1 to 100" },

    { "file", "SPEC.yaml|-", SET_FILE, NULL, "FILE",
      "the spec, YAML or JSON; short: -f" },
    { "canary", "GROUP", SET_SPEC, "canary", NULL,
      "the group that has the new version" },
    { "version", "TEXT", SET_SPEC, "version", NULL, "what is released" },
    { "version@back", "TEXT", SET_VERSION, NULL, NULL,
      "to that one; default: the one before" },
    { "strategy", "NAME", SET_SPEC, "strategy",
      "canary blue-green rolling experiment",
      "canary, blue-green, rolling or experiment" },
    { "step", "WEIGHT[:HOLD[:approval]]", SET_STEP, NULL, NULL,
      "repeatable, as 10:2m or 50:2m:approval" },
    { "ramp", "NAME", SET_SPEC, "ramp", "clock evidence",
      "clock, or evidence: on as soon as it is shown to be safe" },
    { "bake", "TIME", SET_SPEC, "bake", NULL, "after the last step" },
    { "lease", "TIME", SET_SPEC, "lease", NULL,
      "how long nodes serve the canary without canaryd" },
    { "deadline", "TIME", SET_SPEC, "deadline", NULL,
      "of the whole rollout; then it reverts" },
    { "on-success", "WHAT", SET_SPEC, "on_success", "promote keep stable",
      "promote, or keep the last weights" },
    { "environment", "NAME", SET_SPEC, "environment", NULL, "where this is" },
    { "commit", "TEXT", SET_SPEC, "commit", NULL, "shown with it" },
    { "build", "TEXT", SET_SPEC, "build", NULL, "shown with it" },
    { "ticket", "TEXT", SET_SPEC, "ticket", NULL, "shown with it" },
    { "dry-run", NULL, SET_DRY, NULL, NULL,
      "check the spec offline, print it whole, start nothing" },
    { "max-error-rate", "RATE", SET_ANALYSIS, "max_error_rate", NULL,
      "no canary may have more errors, as 0.05" },
    { "alpha", "RATE", SET_ANALYSIS, "alpha", NULL,
      "how often a good version may be taken back, as 0.01" },

    { "config@replay", "FILE.yaml", SET_CONFIG, NULL, "FILE",
      "has another analysis" },
    { "config@canaryd", "FILE.yaml", SET_CONFIG, NULL, "FILE",
      "of canaryd; default /etc/nginx-canary/canaryd.yaml" },
    { "state-file", "FILE", SET_STATE_FILE, NULL, "FILE",
      "the one of nginx's canary_zone" },
    { "if-unavailable", "WHAT", SET_UNAVAILABLE, NULL, "fail keep stable",
      "without Redis: fail (default), keep or stable" },
    { "role", "ROLE", SET_ROLE, NULL, "viewer operator admin",
      "viewer, operator or admin" },
    { "upstreams", "PATTERN,...", SET_UPSTREAMS, NULL, NULL,
      "only for those" },
    { "expires", "DATE", SET_EXPIRES, NULL, NULL, "as 2027-01-31" },
    { "hash", "KIND", SET_HASH, NULL, "sha256 argon2", "sha256 or argon2" },
    { "as", "KIND", SET_AS, NULL, "spec config",
      "spec or config; default: what the file looks like" },
    { "runs", "N", SET_RUNS, NULL, NULL, "of each case; default 200" },
    { "seed", "N", SET_SEED, NULL, NULL,
      "default 0; the same seed, the same outcome" },
    { "case", "NAME", SET_CASE, NULL, NULL, "only this one" },
    { "all", NULL, SET_ALL, NULL, NULL, "of every command" },
    { "man", NULL, SET_MAN, NULL, NULL, "the manual page, roff" },
    { NULL, NULL, SET_JSON, NULL, NULL, NULL }
};


const ctl_entry_t *
ctl_find(const char *name)
{
    const ctl_entry_t  *entry;

    for (entry = ctl_entries; entry->name != NULL; entry++) {
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }

    return NULL;
}


const ctl_flag_t *
ctl_next_flag(const char **keys)
{
    size_t             len;
    const char        *key;
    const ctl_flag_t  *flag;

    key = *keys + strspn(*keys, " ");
    len = strcspn(key, " ");
    *keys = key + len;

    for (flag = ctl_flags; len > 0 && flag->key != NULL; flag++) {
        if (strlen(flag->key) == len && memcmp(flag->key, key, len) == 0) {
            return flag;
        }
    }

    return NULL;
}


int
ctl_flag_len(const ctl_flag_t *flag)
{
    return (int) strcspn(flag->key, "@");
}


const ctl_flag_t *
ctl_flag_of(const ctl_entry_t *entry, const char *name, size_t len)
{
    unsigned           i;
    const char        *keys;
    const ctl_flag_t  *flag;

    for (i = 0; i < 2; i++) {
        keys = i == 0 ? entry->flags : ctl_common;

        while ((flag = ctl_next_flag(&keys)) != NULL) {
            if ((size_t) ctl_flag_len(flag) == len
                && memcmp(flag->key, name, len) == 0)
            {
                return flag;
            }
        }
    }

    return NULL;
}


bool
ctl_flag_known(const char *name, size_t len)
{
    const ctl_flag_t  *flag;

    for (flag = ctl_flags; flag->key != NULL; flag++) {
        if ((size_t) ctl_flag_len(flag) == len
            && memcmp(flag->key, name, len) == 0)
        {
            return true;
        }
    }

    return false;
}
