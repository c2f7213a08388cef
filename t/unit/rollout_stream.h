/*
 * A rollout as whoever has only its event stream sees it: rebuilt from the
 * events alone, in two ways.  For core_rollout_walk.c.
 *
 * What core/rollout emits is a type and a sentence.  With the spec that gives
 * state, step, weights and reason, but for two things: a wait that ends
 * before the rollout has begun is not told (its state is pending all along),
 * and what keeps a rollout that waits for nodes is said once, while its
 * reason goes on to name the nodes of the moment.  The revision is not the
 * core's: the stream has it beside each event, and in the data that canaryd
 * adds (decision.c), which must tell the same.
 */

#ifndef ROLLOUT_STREAM_TEST_H
#define ROLLOUT_STREAM_TEST_H

#include "rollout_random.h"

typedef struct {
    rollout_state_t    state;
    bool               baking;
    bool               promoted;
    bool               out[SPEC_MAX_ARMS];
    unsigned           step;
    uint64_t           revision;
    char               stable[SPEC_NAME_LEN];
    char               reason[ROLLOUT_REASON_LEN];
    char               actor[ROLLOUT_ACTOR_LEN];

    bool               has_data;   /* in the data of the last event: */
    rollout_state_t    data_state;
    unsigned           data_step;
    uint64_t           data_revision;
    cJSON             *data_weights;
} view_t;

enum {
    TOLD_SMOKE, TOLD_STARTED, TOLD_STEP, TOLD_TURN, TOLD_WAITING,
    TOLD_RESUMED, TOLD_PAUSED, TOLD_BAKING, TOLD_GROUP_OUT,
    TOLD_GATE, TOLD_SUCCEEDED, TOLD_REVERTING, TOLD_ABORTED, TOLD_COUNT
};

static const char *const  told_names[] = {
    "smoke", "started", "step", "turn", "waiting", "resumed", "paused",
    "baking", "group_out", "gate", "succeeded", "reverting",
    "aborted"
};

static unsigned  told[TOLD_COUNT];


static void
view_begin(view_t *view)
{
    cJSON_Delete(view->data_weights);
    memset(view, 0, sizeof(*view));
    view->revision = REVISION;
    text_copy(view->stable, sizeof(view->stable), "blue");
    text_copy(view->reason, sizeof(view->reason),
              "accepted, begins with the first live node");
    text_copy(view->actor, sizeof(view->actor), "ci");
}


static unsigned
view_type(const char *type)
{
    unsigned  i;

    for (i = 0; i < TOLD_COUNT; i++) {
        if (strcmp(told_names[i], type) == 0) {
            return i;
        }
    }

    fail_msg("an event of type %s", type);

    return 0;
}


static void
view_group_out(view_t *view, const rollout_spec_t *spec, const char *detail)
{
    size_t    len;
    unsigned  i;

    len = strcspn(detail, " ");

    for (i = 0; i < spec->arm_count; i++) {
        if (strlen(spec->arms[i].name) == len
            && strncmp(spec->arms[i].name, detail, len) == 0)
        {
            assert_false(view->out[i]);
            view->out[i] = true;
            return;
        }
    }

    fail_msg("which group? %s", detail);
}


/* One event of the stream, as the core emits it. */
static void
view_event(view_t *view, const rollout_spec_t *spec,
    const rollout_event_t *event, const char *actor)
{
    bool      moves;
    unsigned  type, step, of;

    type = view_type(event->type);
    moves = true;
    told[type]++;

    switch (type) {

    case TOLD_SMOKE:
        view->state = ROLLOUT_SMOKE;
        break;

    case TOLD_STARTED:
    case TOLD_STEP:
        assert_int_equal(sscanf(event->detail, "step %u of %u,", &step, &of),
                         2);
        assert_int_equal(of, spec->step_count);
        assert_int_equal(step, type == TOLD_STARTED ? 1 : view->step + 2);
        view->state = ROLLOUT_PROGRESSING;
        view->step = step - 1;
        break;

    case TOLD_WAITING:
        view->state = view->state == ROLLOUT_PENDING
                      || view->state == ROLLOUT_SMOKE
                      ? ROLLOUT_PENDING : ROLLOUT_WAITING;
        break;

    case TOLD_RESUMED:
        view->state = view->baking ? ROLLOUT_BAKING : ROLLOUT_PROGRESSING;
        break;

    case TOLD_PAUSED:
        view->state = ROLLOUT_PAUSED;
        break;

    case TOLD_BAKING:
        view->state = ROLLOUT_BAKING;
        view->baking = true;
        break;

    case TOLD_GROUP_OUT:
        view_group_out(view, spec, event->detail);
        break;

    case TOLD_SUCCEEDED:
        view->state = ROLLOUT_SUCCEEDED;
        view->step = spec->step_count - 1;
        view->promoted = strstr(event->detail, " is stable now: ") != NULL;
        break;

    case TOLD_REVERTING:
        view->state = ROLLOUT_REVERTING;
        view->baking = false;
        view->promoted = false;
        break;

    case TOLD_ABORTED:
        assert_int_equal(view->state, ROLLOUT_REVERTING);
        assert_non_null(strstr(event->detail, view->reason));
        view->state = ROLLOUT_ABORTED;
        moves = false;
        break;

    default:                       /* turn, gate: news, no other state */
        moves = false;
        break;
    }

    if (moves) {
        text_copy(view->reason, sizeof(view->reason), event->detail);
    }

    text_copy(view->actor, sizeof(view->actor), actor);
}


/* Of the group, in 0..10000, by what was told and the spec. */
static unsigned
view_weight(const view_t *view, const rollout_spec_t *spec, const char *group)
{
    bool      on;
    unsigned  i, weight, others;

    on = view->state != ROLLOUT_PENDING && view->state != ROLLOUT_SMOKE
         && view->state != ROLLOUT_REVERTING && view->state != ROLLOUT_ABORTED
         && !by_servers(spec);
    others = 0;

    if (on && spec->arm_count > 0) {
        on = view->state != ROLLOUT_SUCCEEDED || spec->on_success == SPEC_KEEP;

        for (i = 0; on && i < spec->arm_count; i++) {
            weight = view->out[i] ? 0 : spec->arms[i].weight;
            others += weight;

            if (strcmp(spec->arms[i].name, group) == 0) {
                return weight;
            }
        }

    } else if (on) {
        others = view->promoted ? SPEC_WEIGHT_ALL
                                : spec->steps[view->step].weight;

        if (strcmp(spec->canary, group) == 0) {
            return others;
        }
    }

    return strcmp(group, "blue") == 0 ? SPEC_WEIGHT_ALL - others : 0;
}


/* The data that the event has in the stream. */
static void
view_data(view_t *view, const char *text)
{
    cJSON           *json;
    const cJSON     *before, *after, *weights, *revision;
    rollout_state_t  state;

    json = cJSON_Parse(text);
    before = cJSON_GetObjectItem(json, "before");
    after = cJSON_GetObjectItem(json, "after");
    weights = cJSON_GetObjectItem(json, "weights");
    revision = cJSON_GetObjectItem(json, "revision");
    assert_true(before && after && weights && revision);

#define number(json, name)  cJSON_GetObjectItem(json, name)->valuedouble
#define word(json, name)    cJSON_GetObjectItem(json, name)->valuestring

    /* what changed since the last event was told by it */

    if (view->has_data) {
        assert_string_equal(word(before, "state"),
                            rollout_state_name(view->data_state));
        assert_int_equal(number(before, "step"), view->data_step);
        assert_int_equal(number(revision, "before"), view->data_revision);
        assert_true(cJSON_Compare(cJSON_GetObjectItem(weights, "before"),
                                  view->data_weights, true));
    }

    for (state = ROLLOUT_PENDING;
         strcmp(rollout_state_name(state), word(after, "state")) != 0; state++)
    {
        assert_true(state < ROLLOUT_ABORTED);
    }

    view->has_data = true;
    view->data_state = state;
    view->data_step = (unsigned) number(after, "step");
    view->data_revision = (uint64_t) number(revision, "after");
    cJSON_Delete(view->data_weights);
    view->data_weights = cJSON_Duplicate(cJSON_GetObjectItem(weights, "after"),
                                         true);
    cJSON_Delete(json);
}


/* Is that what there is?  Of data, if the last event had some. */
static void
view_check(const view_t *view, const rollout_spec_t *spec,
    const rollout_t *rollout, const record_t *record)
{
    unsigned               i, sum;
    const cJSON           *item;
    const record_group_t  *group;

    assert_int_equal(view->state, rollout->state);
    assert_int_equal(view->baking, rollout->baking);
    assert_int_equal(view->step, rollout->step);
    assert_int_equal(view->revision, record->revision);
    assert_string_equal(view->actor, rollout->actor);
    assert_string_equal(record->stable, view->promoted ? spec->canary
                                                       : "blue");

    if (rollout->waiting_for != ROLLOUT_WAIT_NODE) {
        assert_string_equal(view->reason, rollout->reason);
    }

    sum = 0;

    for (i = 0; i < record->group_count; i++) {
        group = &record->groups[i];
        assert_ptr_equal(record_group(record, group->name), group);
        assert_int_equal(group->weight, view_weight(view, spec, group->name));
        sum += group->weight;
    }

    assert_int_equal(sum, SPEC_WEIGHT_ALL);

    if (!view->has_data) {
        return;
    }

    assert_int_equal(view->data_state, rollout->state);
    assert_int_equal(view->data_step, rollout->step);
    assert_int_equal(view->data_revision, record->revision);
    assert_int_equal(cJSON_GetArraySize(view->data_weights),
                     (int) record->group_count);

    cJSON_ArrayForEach(item, view->data_weights) {
        group = record_group(record, item->string);
        assert_non_null(group);
        assert_true((unsigned) (item->valuedouble * 100.0 + 0.5)
                    == group->weight);
    }

#undef number
#undef word
}

#endif
