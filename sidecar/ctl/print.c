#include "ctl.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/spec.h"
#include "lib/utf8.h"

#define PRINT_TEXT  320

static void print_step(FILE *out, const cJSON *rollout);
static void print_nodes(FILE *out, const cJSON *rollout);
static void print_needed(FILE *out, const cJSON *judgement);
static void print_results(FILE *out, const cJSON *rollout);
static void print_groups(FILE *out, const cJSON *rollout);
static void print_group(FILE *out, const cJSON *rollout, const char *name,
    double weight, int width);
static void print_progress_group(FILE *out, const cJSON *rollout,
    const char *name);
static const cJSON *print_judgement(const cJSON *rollout, const char *name);
static void print_judged(const cJSON *judgement, bool stable,
    double *requests, double *errors);
static void print_cell(FILE *out, int width, const char *format,
    double value);
static double print_number(const cJSON *json, const char *name);
static const cJSON *print_member(const cJSON *json, const char *name);
static const char *print_duration(double ms, char *buf, size_t size);


void
print_rollout(FILE *out, const cJSON *rollout)
{
    char          a[PRINT_TEXT], b[PRINT_TEXT], c[PRINT_TEXT];
    const cJSON  *judgement;

    print_string(rollout, "version", "", b, sizeof(b));
    fprintf(out, "%s  upstream %s%s%s\n",
            print_string(rollout, "id", "?", a, sizeof(a)),
            print_string(rollout, "upstream", "?", c, sizeof(c)),
            b[0] ? "  version " : "", b);

    print_string(rollout, "waiting_for", "", b, sizeof(b));
    fputs("state    ", out);
    print_state(out, print_string(rollout, "state", "?", a, sizeof(a)), 0);
    fprintf(out, "%s%s", b[0] ? " for " : "", b);
    print_step(out, rollout);

    fprintf(out, "\nreason   %s (%s)\n",
            print_string(rollout, "reason", "-", a, sizeof(a)),
            print_string(rollout, "actor", "-", b, sizeof(b)));

    judgement = print_member(rollout, "judgement");

    if (cJSON_IsObject(print_member(rollout, "groups"))) {
        print_results(out, rollout);

    } else if (cJSON_IsObject(judgement)) {
        fprintf(out, "verdict  %s, odds %s, excess errors %.1f\n",
                print_string(judgement, "verdict", "?", a, sizeof(a)),
                print_string(judgement, "odds", "?", b, sizeof(b)),
                print_number(judgement, "excess_errors"));
        print_needed(out, judgement);
    }

    print_nodes(out, rollout);
    print_groups(out, rollout);
}


void
print_upstream(FILE *out, const cJSON *upstream)
{
    char          a[PRINT_TEXT], clean[80];
    const char   *gap;
    const cJSON  *group;

    fprintf(out, "upstream %s  no rollout  ",
            print_string(upstream, "upstream", "?", a, sizeof(a)));

    gap = "";

    cJSON_ArrayForEach(group, print_member(upstream, "groups")) {
        if (group->string != NULL && cJSON_IsNumber(group)) {
            utf8_clean(group->string, strlen(group->string), clean,
                       sizeof(clean));
            fprintf(out, "%s%s %g %%", gap, clean, group->valuedouble);
            gap = ", ";
        }
    }

    fputc('\n', out);
}


void
print_list(FILE *out, const cJSON *rollouts)
{
    char          a[PRINT_TEXT], b[PRINT_TEXT], c[PRINT_TEXT], d[PRINT_TEXT];
    char          e[PRINT_TEXT], f[PRINT_TEXT];
    const cJSON  *rollout;

    fprintf(out, "%-28s %-16s %-12s %-12s %-20s %s\n", "ID", "UPSTREAM",
            "CANARY", "STATE", "CREATED", "VERSION");

    cJSON_ArrayForEach(rollout, rollouts) {
        fprintf(out, "%-28s %-16s %-12s ",
                print_string(rollout, "id", "?", a, sizeof(a)),
                print_string(rollout, "upstream", "?", b, sizeof(b)),
                print_string(rollout, "canary", "?", c, sizeof(c)));
        print_state(out, print_string(rollout, "state", "?", d, sizeof(d)),
                    12);
        fprintf(out, " %-20.19s %s\n",
                print_string(rollout, "created", "", e, sizeof(e)),
                print_string(rollout, "version", "", f, sizeof(f)));
    }
}


void
print_progress(FILE *out, const cJSON *rollout)
{
    char          a[PRINT_TEXT], b[PRINT_TEXT];
    const cJSON  *group, *groups;

    print_string(rollout, "updated", "", a, sizeof(a));
    print_string(rollout, "waiting_for", "", b, sizeof(b));
    fprintf(out, "%.8s  ", strlen(a) > 19 ? a + 11 : a);
    fprintf(out, "%s%s%s",
            print_string(rollout, "state", "?", a, sizeof(a)),
            b[0] ? " for " : "", b);
    print_step(out, rollout);

    groups = print_member(rollout, "groups");

    if (cJSON_IsObject(groups)) {
        cJSON_ArrayForEach(group, groups) {
            print_progress_group(out, rollout, group->string);
        }

    } else {
        print_progress_group(out, rollout,
                             print_string(rollout, "canary", "", a,
                                          sizeof(a)));
    }

    if (ctl_ended(rollout) || ctl_outcome(rollout) != CTL_OK
        || strcmp(b, "node") == 0)
    {
        fprintf(out, "  %s",
                print_string(rollout, "reason", "", a, sizeof(a)));
    }

    fputc('\n', out);
}


/* "  canary 812 requests, 0.12 % errors (stable 0.10 %), p99 9.1 ms (8.7)
 * watching, odds 1 : 1"; of an experiment with the group's name and with how
 * it ended, if it has. */
static void
print_progress_group(FILE *out, const cJSON *rollout, const char *name)
{
    char          a[PRINT_TEXT], b[PRINT_TEXT], clean[80];
    double        n[2], e[2], p99[2];
    unsigned      i;
    const cJSON  *judgement, *traffic, *group;

    judgement = print_judgement(rollout, name);
    group = print_member(print_member(rollout, "groups"), name);
    traffic = print_member(rollout, "traffic");
    print_string(rollout, "stable", "", a, sizeof(a));

    for (i = 0; i < 2; i++) {
        print_judged(judgement, i == 1, &n[i], &e[i]);
        p99[i] = print_number(print_member(traffic, i == 0 ? name : a),
                              "p99_ms");
    }

    if (n[0] + n[1] > 0) {
        fprintf(out, "  %s %.0f requests",
                group == NULL ? "canary"
                : utf8_clean(name, strlen(name), clean, sizeof(clean)), n[0]);

        if (n[0] > 0) {
            fprintf(out, ", %.2f %% errors", 100 * e[0] / n[0]);
        }

        if (n[1] > 0) {
            fprintf(out, " (stable %.2f %%)", 100 * e[1] / n[1]);
        }
    }

    if (p99[0] > 0) {
        fprintf(out, ", p99 %.1f ms", p99[0]);

        if (p99[1] > 0) {
            fprintf(out, " (%.1f)", p99[1]);
        }
    }

    if (cJSON_IsObject(judgement)) {
        print_string(group, "result", "running", a, sizeof(a));

        if (strcmp(a, "running") == 0) {
            print_string(judgement, "verdict", "?", a, sizeof(a));
        }

        fprintf(out, "  %s, odds %s", a,
                print_string(judgement, "odds", "?", b, sizeof(b)));
    }
}


bool
print_coloured(FILE *out)
{
    const char  *no;

    no = getenv("NO_COLOR");

    /* What has no descriptor is on its way to a terminal: watch. */
    return (no == NULL || no[0] == '\0')
           && isatty(fileno(out) == -1 ? STDOUT_FILENO : fileno(out));
}


void
print_state(FILE *out, const char *state, int width)
{
    unsigned     i;
    const char  *colour;

    static const char *const  colours[][2] = {
        { " ok succeeded passed resolved ", "\033[32m" },
        { " progressing baking smoke pending ", "\033[36m" },
        { " paused waiting degraded behind lapsed acknowledged hold ",
          "\033[33m" },
        { " reverting aborted down failed gone refuses missing open ",
          "\033[31m" }
    };

    colour = NULL;

    for (i = 0; i < 4 && print_coloured(out); i++) {
        const char  *at = strstr(colours[i][0], state);

        if (at != NULL && at > colours[i][0] && at[-1] == ' '
            && at[strlen(state)] == ' ')
        {
            colour = colours[i][1];
        }
    }

    fprintf(out, "%s%-*s%s", colour != NULL ? colour : "", width, state,
            colour != NULL ? "\033[0m" : "");
}


const char *
print_string(const cJSON *json, const char *name, const char *or_else,
    char *buf, size_t size)
{
    const char  *text;

    text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));

    if (text == NULL) {
        snprintf(buf, size, "%s", or_else);
        return buf;
    }

    return utf8_clean(text, strlen(text), buf, size);
}


/* ", step 2 of 4, held 3s of 2m" */
static void
print_step(FILE *out, const cJSON *rollout)
{
    char    state[32], held[32], hold[32], target[PRINT_TEXT], turn[32];
    double  step, steps, held_ms, hold_ms;

    print_string(rollout, "state", "", state, sizeof(state));

    if (ctl_ended(rollout) || strcmp(state, "pending") == 0
        || strcmp(state, "smoke") == 0
        || strcmp(state, "reverting") == 0)
    {
        return;
    }

    step = print_number(rollout, "step");
    steps = print_number(rollout, "steps");
    held_ms = print_number(rollout, "step_held_ms");
    hold_ms = print_number(rollout, "step_hold_ms");

    if (steps > 0) {
        fprintf(out, ", step %.0f of %.0f", step + 1, steps);
    }

    print_string(rollout, "target", "", target, sizeof(target));
    print_string(rollout, "turn", "", turn, sizeof(turn));

    if (target[0] != '\0') {
        fprintf(out, " (%s%s%s)", target, turn[0] ? ", " : "", turn);
    }

    if (cJSON_IsObject(print_member(rollout, "gate"))) {
        fprintf(out, ", %s",
                print_string(print_member(rollout, "gate"), "name", "",
                             target, sizeof(target)));
    }

    if (hold_ms > 0) {
        fprintf(out, ", held %s of %s",
                print_duration(floor(held_ms / 1000) * 1000, held,
                               sizeof(held)),
                print_duration(hold_ms, hold, sizeof(hold)));
    }
}


/* "nodes    1 of 2 serve revision 7; edge-2 refuses it: status 422, .." */
static void
print_nodes(FILE *out, const cJSON *rollout)
{
    char          a[PRINT_TEXT], b[PRINT_TEXT];
    double        count;
    const cJSON  *nodes, *refused;

    nodes = print_member(rollout, "nodes");

    if (!cJSON_IsObject(nodes)) {
        return;
    }

    fprintf(out, "nodes    %.0f of %.0f serve revision %.0f",
            print_number(nodes, "confirmed"), print_number(nodes, "live"),
            print_number(rollout, "revision"));
    refused = print_member(nodes, "refused");

    if (cJSON_IsObject(refused)) {
        count = print_number(refused, "nodes");
        fprintf(out, "; %s", print_string(refused, "node", "?", a, sizeof(a)));

        if (count > 1) {
            fprintf(out, " and %.0f more", count - 1);
        }

        fprintf(out, " refuse%s it: %s", count > 1 ? "" : "s",
                print_string(refused, "error", "?", b, sizeof(b)));
    }

    fputc('\n', out);
}


/* "safe     after 812 more requests of the canary, 41s at present" */
static void
print_needed(FILE *out, const cJSON *judgement)
{
    char    time[32];
    double  requests, seconds;

    requests = print_number(judgement, "needed_requests");
    seconds = print_number(judgement, "needed_seconds");

    if (!(requests > 0)) {
        return;
    }

    fprintf(out, "safe     after %.0f more requests of the canary", requests);

    if (seconds > 0) {
        fprintf(out, ", %s at present",
                print_duration(seconds * 1000, time, sizeof(time)));
    }

    fputc('\n', out);
}


/* Of an experiment: how each of its groups stands. */
static void
print_results(FILE *out, const cJSON *rollout)
{
    char          clean[80], a[PRINT_TEXT], b[PRINT_TEXT], c[PRINT_TEXT];
    double        needed;
    const cJSON  *group, *judgement;

    cJSON_ArrayForEach(group, print_member(rollout, "groups")) {
        judgement = print_member(group, "judgement");

        fprintf(out, "result   %s: %s",
                utf8_clean(group->string, strlen(group->string), clean,
                           sizeof(clean)),
                print_string(group, "result", "?", a, sizeof(a)));

        if (strcmp(a, "running") == 0 && cJSON_IsObject(judgement)) {
            fprintf(out, " (%s)", print_string(judgement, "verdict", "?", c,
                                               sizeof(c)));
        }

        fprintf(out, ", odds %s", print_string(judgement, "odds", "-", b,
                                               sizeof(b)));

        if (cJSON_IsObject(judgement)) {
            fprintf(out, ", excess errors %.1f",
                    print_number(judgement, "excess_errors"));
        }

        needed = print_number(judgement, "needed_requests");

        if (strcmp(a, "running") == 0 && needed > 0) {
            fprintf(out, ", safe after %.0f more requests", needed);
        }

        fputc('\n', out);
    }
}


static void
print_groups(FILE *out, const cJSON *rollout)
{
    int           width, len;
    const cJSON  *group;

    width = 5;

    cJSON_ArrayForEach(group, print_member(rollout, "weights")) {
        len = group->string ? (int) strnlen(group->string, 64) : 0;
        width = len > width ? len : width;
    }

    fprintf(out, "\n%-*s  role    weight    judged   errors   rate %%    "
            "req/s measured   err %%  p50 ms  p95 ms  p99 ms\n", width,
            "group");

    cJSON_ArrayForEach(group, print_member(rollout, "weights")) {
        if (group->string != NULL && cJSON_IsNumber(group)) {
            print_group(out, rollout, group->string, group->valuedouble,
                        width);
        }
    }
}


static void
print_group(FILE *out, const cJSON *rollout, const char *name, double weight,
    int width)
{
    bool          canary, stable;
    char          role[PRINT_TEXT], clean[80];
    double        requests, errors;
    const char   *judged;
    const cJSON  *traffic;

    print_string(rollout, "canary", "", role, sizeof(role));
    judged = print_judgement(rollout, name) != NULL ? name : role;
    canary = strcmp(name, judged) == 0;
    stable = strcmp(name, print_string(rollout, "stable", "", clean,
                                       sizeof(clean))) == 0;
    requests = NAN;
    errors = NAN;

    if (canary || stable) {
        print_judged(print_judgement(rollout, judged), !canary, &requests,
                     &errors);
    }

    fprintf(out, "%-*s  %-6s ", width,
            utf8_clean(name, strlen(name), clean, sizeof(clean)),
            !canary ? stable ? "stable" : "-"
            : cJSON_IsObject(print_member(rollout, "groups")) ? "group"
            : "canary");
    fprintf(out, " %4.4g %%", weight);

    traffic = print_member(print_member(rollout, "traffic"), name);

    print_cell(out, 10, "%.0f", requests);
    print_cell(out, 9, "%.0f", errors);
    print_cell(out, 9, "%.2f", requests > 0 ? 100 * errors / requests : NAN);
    print_cell(out, 9, "%.1f", print_number(traffic, "requests_per_second"));
    print_cell(out, 9, "%.1f",
               print_number(print_member(rollout, "measured_weights"), name));
    print_cell(out, 8, "%.2f", 100 * print_number(traffic, "error_rate"));
    print_cell(out, 8, "%.1f", print_number(traffic, "p50_ms"));
    print_cell(out, 8, "%.1f", print_number(traffic, "p95_ms"));
    print_cell(out, 8, "%.1f", print_number(traffic, "p99_ms"));
    fputc('\n', out);
}


/* What is known of a group that is compared with stable: of the canary, or of
 * one of an experiment; NULL of others. */
static const cJSON *
print_judgement(const cJSON *rollout, const char *name)
{
    char          canary[PRINT_TEXT];
    const cJSON  *groups;

    groups = print_member(rollout, "groups");

    if (cJSON_IsObject(groups)) {
        return print_member(print_member(groups, name), "judgement");
    }

    return strcmp(name, print_string(rollout, "canary", "", canary,
                                     sizeof(canary))) == 0
           ? print_member(rollout, "judgement") : NULL;
}


/* judgement.requests is [canary, its errors, stable, its errors]. */
static void
print_judged(const cJSON *judgement, bool stable, double *requests,
    double *errors)
{
    const cJSON  *list;

    list = print_member(judgement, "requests");

    *requests = cJSON_GetNumberValue(cJSON_GetArrayItem(list,
                                                        stable ? 2 : 0));
    *errors = cJSON_GetNumberValue(cJSON_GetArrayItem(list, stable ? 3 : 1));
}


/* "-" where there is no number. */
static void
print_cell(FILE *out, int width, const char *format, double value)
{
    char  text[64];

    text[0] = '-';
    text[1] = '\0';

    if (isfinite(value)) {
        snprintf(text, sizeof(text), format, value);
    }

    fprintf(out, "%*s", width, text);
}


/* NaN if there is none. */
static double
print_number(const cJSON *json, const char *name)
{
    return cJSON_GetNumberValue(print_member(json, name));
}


static const cJSON *
print_member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static const char *
print_duration(double ms, char *buf, size_t size)
{
    if (!(ms >= 0 && ms < 1e15)) {
        snprintf(buf, size, "?");
        return buf;
    }

    return spec_print_duration((int64_t) ms, buf, (unsigned) size);
}
