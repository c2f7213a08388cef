/*
 * A rollout as it is stored: the document (spec, state, roles, times) and
 * the evidence (judge, position in the ticks, traffic).  Pure.
 */

#ifndef RELEASE_H
#define RELEASE_H

#include <stdint.h>

#include <cjson/cJSON.h>

#include "core/judge.h"
#include "core/rollout.h"
#include "core/spec.h"
#include "fleet.h"
#include "record.h"
#include "series.h"
#include "store.h"
#include "tally.h"
#include "traffic.h"

#define RELEASE_ID_LEN   80        /* upstream, '-', 10 hex digits, NUL */
#define RELEASE_TAG_LEN  10

typedef struct {
    char            id[RELEASE_ID_LEN];
    char            stable[SPEC_NAME_LEN];
    rollout_spec_t  spec;
    rollout_t       state;
    uint64_t        revision;      /* that it wrote, or found, last */
    int64_t         created_ms;
    int64_t         updated_ms;
    int64_t         finished_ms;   /* 0: is active */
} release_t;

/* Of the canary; or of one group of an experiment. */
typedef struct {
    judge_t         judge;
    int64_t         first_ms;      /* its first request; 0: none */
    traffic_t       traffic;
} evidence_arm_t;

typedef struct {
    char            position[STORE_POSITION_LEN];   /* last tick judged */
    int64_t         judged_ms;     /* 0: never */
    traffic_t       stable;
    unsigned        arm_count;     /* 1, or of the spec */
    evidence_arm_t  arms[SPEC_MAX_ARMS];   /* [0] is the canary */
    tally_cell_t    step;          /* the canary's since it began, for slo */
    series_t        series;        /* for people */
} evidence_t;

/* A new id for the upstream, from the system's random numbers. */
void release_new_id(char id[RELEASE_ID_LEN], const char *upstream);
/* The upstream that an id belongs to; -1 if it is no id. */
int release_upstream(const char *id, char upstream[SPEC_NAME_LEN]);

/* To be freed by the caller. */
char *release_text(const release_t *release);
/* 0, or -1 if it is not what release_text() gives; *release is empty then.
 * A parsed one is given to release_free() once; a copy borrows. */
int release_parse(const char *text, release_t *release);
/* Frees what it owns, not itself.  A zeroed one may be freed, too. */
void release_free(release_t *release);

/*
 * What can be said of a rollout whose document is gone, out of the record
 * that it left: enough to abort it.  0 or -1.
 */
int release_rebuild(release_t *release, const char *id, const char *upstream,
    const record_t *present);

/* The group that is judged as the number-th: "" beyond the last. */
const char *release_arm(const release_t *release, unsigned number);

/* The group that it is compared with: "" for servers of the stable group
 * itself, which have nothing beside them. */
const char *release_baseline(const release_t *release, unsigned number);

/* Are the step's objectives met?  detail (ROLLOUT_REASON_LEN) says what is
 * not. */
rollout_slo_t release_slo(const spec_slo_t *slo, const tally_cell_t *step,
    char *detail);

/* What the commit of a change has to say of the version: that it has
 * succeeded in its environment, or was taken back.  It borrows. */
void release_success(const release_t *release, const rollout_t *before,
    store_commit_t *commit);

void evidence_init(evidence_t *evidence, const release_t *release);
char *evidence_text(const evidence_t *evidence);
int evidence_parse(const char *text, const release_t *release,
    evidence_t *evidence);

/* A point of the series: what is known at present. */
void evidence_sample(evidence_t *evidence, const release_t *release,
    int64_t now_ms);

/* Is a a later position in the stream than b? */
bool evidence_after(const char *a, const char *b);

/*
 * The record that the release's state asks for, on top of the present one.
 * True if that is another one than the present; then *wanted has the
 * revision after it, and release->revision is that.
 */
bool release_route(release_t *release, const record_t *present,
    record_t *wanted);

/* The whole rollout as docs/rest-api.md has it.  evidence may be NULL. */
cJSON *release_json(const release_t *release, const evidence_t *evidence,
    const record_t *present, const fleet_t *fleet);

#endif
