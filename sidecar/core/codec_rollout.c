/* A rollout's state to JSON and back.  What is read may be hostile. */

#include <string.h>

#include "codec.h"
#include "text.h"
#include "value.h"

/* Members since the first release may be missing: a stored rollout of an
 * older canaryd goes on with what they are at its begin. */


static const cJSON *
member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}


static cJSON *
print_poll(const rollout_poll_t *poll)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (json == NULL
        || !value_put(json, "serial", value_number((double) poll->serial))
        || !value_put(json, "next_ms", value_number((double) poll->next_ms))
        || !value_put(json, "result", cJSON_CreateString(
                                      rollout_result_name(poll->result))))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static bool
put_gates(cJSON *json, const rollout_t *rollout)
{
    return value_put(json, "gate", cJSON_CreateString(
                                   rollout_gate_name(rollout->gate)))
           && value_put(json, "gate_serial",
                        value_number((double) rollout->gate_serial))
           && value_put(json, "serial",
                        value_number((double) rollout->serial))
           && value_put(json, "retry_ms",
                        value_number((double) rollout->retry_ms))
           && value_put(json, "passed", value_number(rollout->passed))
           && value_put(json, "checks", print_poll(&rollout->checks))
           && value_put(json, "rollback", print_poll(&rollout->rollback))
           && value_put(json, "after", cJSON_CreateString(
                                       rollout_result_name(rollout->after)));
}


/* As long as none has anything to say, the list is empty. */
static cJSON *
print_arms(const rollout_t *rollout)
{
    cJSON     *list;
    unsigned   i, n;

    n = 0;

    for (i = 0; i < SPEC_MAX_ARMS; i++) {
        if (rollout->arms[i] != ROLLOUT_ARM_RUNNING) {
            n = i + 1;
        }
    }

    list = cJSON_CreateArray();

    for (i = 0; list != NULL && i < n; i++) {
        if (!value_push(list, cJSON_CreateString(
                                  rollout_arm_name(rollout->arms[i]))))
        {
            cJSON_Delete(list);
            return NULL;
        }
    }

    return list;
}


cJSON *
rollout_print(const rollout_t *rollout)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (json == NULL
        || !value_put(json, "state", cJSON_CreateString(
                                     rollout_state_name(rollout->state)))
        || !value_put(json, "waiting_for",
                      rollout->waiting_for == ROLLOUT_WAIT_NONE
                      ? cJSON_CreateNull()
                      : cJSON_CreateString(
                            rollout_wait_name(rollout->waiting_for)))
        || !value_put(json, "baking", cJSON_CreateBool(rollout->baking))
        || !value_put(json, "approved", cJSON_CreateBool(rollout->approved))
        || !value_put(json, "step", value_number(rollout->step))
        || !value_put(json, "entered_ms",
                      value_number((double) rollout->entered_ms))
        || !value_put(json, "last_ms",
                      value_number((double) rollout->last_ms))
        || !value_put(json, "held_ms",
                      value_number((double) rollout->held_ms))
        || !value_put(json, "step_requests",
                      value_number((double) rollout->step_requests))
        || !value_put(json, "promoted", cJSON_CreateBool(rollout->promoted))
        || !value_put(json, "reason", cJSON_CreateString(rollout->reason))
        || !value_put(json, "actor", cJSON_CreateString(rollout->actor))
        || !value_put(json, "begun_ms",
                      value_number((double) rollout->begun_ms))
        || !put_gates(json, rollout)
        || !value_put(json, "turn", cJSON_CreateString(
                                    rollout_turn_name(rollout->turn)))
        || !value_put(json, "arms", print_arms(rollout)))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


/* Which of the words (first..last of names) it is. */
#define READ_WORD(function, type, names, first, last)                        \
                                                                             \
static bool                                                                  \
function(const cJSON *json, type *value)                                     \
{                                                                            \
    unsigned  i;                                                             \
                                                                             \
    for (i = first; cJSON_IsString(json) && i <= last; i++) {                \
        if (strcmp(json->valuestring, names((type) i)) == 0) {               \
            *value = (type) i;                                               \
            return true;                                                     \
        }                                                                    \
    }                                                                        \
                                                                             \
    return false;                                                            \
}

READ_WORD(read_state, rollout_state_t, rollout_state_name, ROLLOUT_PENDING,
          ROLLOUT_ABORTED)
READ_WORD(read_wait_name, rollout_wait_t, rollout_wait_name,
          ROLLOUT_WAIT_APPROVAL, ROLLOUT_WAIT_NODE)
READ_WORD(read_gate, rollout_gate_t, rollout_gate_name, ROLLOUT_GATE_NONE,
          ROLLOUT_GATE_ON_REVERT)
READ_WORD(read_result, rollout_result_t, rollout_result_name,
          ROLLOUT_GATE_PENDING, ROLLOUT_GATE_HOLD)
READ_WORD(read_turn, rollout_turn_t, rollout_turn_name, ROLLOUT_TURN_DRAIN,
          ROLLOUT_TURN_BAKE)
READ_WORD(read_arm, rollout_arm_t, rollout_arm_name, ROLLOUT_ARM_RUNNING,
          ROLLOUT_ARM_NO_DATA)


static bool
read_wait(const cJSON *json, rollout_wait_t *wait)
{
    if (cJSON_IsNull(json)) {
        *wait = ROLLOUT_WAIT_NONE;
        return true;
    }

    return read_wait_name(json, wait);
}


static bool
read_bool(const cJSON *json, bool *value)
{
    *value = cJSON_IsTrue(json);

    return cJSON_IsBool(json);
}


static bool
read_time(const cJSON *json, int64_t min, int64_t *ms)
{
    return value_read_integer(json, min, VALUE_MAX_INT, ms);
}


static bool
read_text(const cJSON *json, char *text, size_t size)
{
    if (!cJSON_IsString(json) || strlen(json->valuestring) >= size
        || !text_is_clean(json->valuestring))
    {
        return false;
    }

    text_copy(text, size, json->valuestring);

    return true;
}


static bool
read_poll(const cJSON *json, rollout_poll_t *poll)
{
    return json == NULL
           || (value_read_count(member(json, "serial"), &poll->serial)
               && read_time(member(json, "next_ms"), -VALUE_MAX_INT,
                            &poll->next_ms)
               && read_result(member(json, "result"), &poll->result));
}


/* All of them, or none: they came together. */
static bool
read_gates(const cJSON *json, rollout_t *rollout)
{
    uint64_t  passed;

    if (member(json, "gate") == NULL) {
        return true;
    }

    if (!read_gate(member(json, "gate"), &rollout->gate)
        || !value_read_count(member(json, "gate_serial"), &rollout->gate_serial)
        || !value_read_count(member(json, "serial"), &rollout->serial)
        || !read_time(member(json, "retry_ms"), -VALUE_MAX_INT,
                      &rollout->retry_ms)
        || !value_read_count(member(json, "passed"), &passed)
        || !read_poll(member(json, "checks"), &rollout->checks)
        || !read_poll(member(json, "rollback"), &rollout->rollback)
        || !read_result(member(json, "after"), &rollout->after)
        || passed >= UINT32_C(1) << ROLLOUT_GATE_COUNT
        || rollout->gate_serial > rollout->serial
        || rollout->checks.serial > rollout->serial
        || rollout->rollback.serial > rollout->serial)
    {
        return false;
    }

    rollout->passed = (uint32_t) passed;

    return true;
}


static bool
read_arms(const cJSON *json, rollout_t *rollout)
{
    unsigned      i;
    const cJSON  *item;

    if (json == NULL) {
        return true;
    }

    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) > SPEC_MAX_ARMS) {
        return false;
    }

    i = 0;

    cJSON_ArrayForEach(item, json) {
        if (!read_arm(item, &rollout->arms[i++])) {
            return false;
        }
    }

    return true;
}


/* States that no sequence of ticks and commands leads to are refused. */
static bool
is_possible(const rollout_t *rollout)
{
    bool  waits;

    waits = rollout->waiting_for != ROLLOUT_WAIT_NONE;

    if (rollout->state == ROLLOUT_PENDING) {
        waits = rollout->waiting_for != ROLLOUT_WAIT_NONE
                && rollout->waiting_for != ROLLOUT_WAIT_FREEZE
                && rollout->waiting_for != ROLLOUT_WAIT_GATE;
    }

    if (waits != (rollout->state == ROLLOUT_WAITING)) {
        return false;
    }

    if (rollout->promoted && rollout->state != ROLLOUT_SUCCEEDED) {
        return false;
    }

    switch (rollout->state) {

    case ROLLOUT_BAKING:
        return rollout->baking;

    case ROLLOUT_PENDING:
    case ROLLOUT_SMOKE:
    case ROLLOUT_PROGRESSING:
    case ROLLOUT_REVERTING:
    case ROLLOUT_ABORTED:
        return !rollout->baking;

    default:
        return true;
    }
}


int
rollout_parse(const cJSON *json, rollout_t *rollout)
{
    int64_t  step;

    memset(rollout, 0, sizeof(rollout_t));

    if (!cJSON_IsObject(json)
        || !read_state(member(json, "state"), &rollout->state)
        || !read_wait(member(json, "waiting_for"), &rollout->waiting_for)
        || !read_bool(member(json, "baking"), &rollout->baking)
        || !read_bool(member(json, "approved"), &rollout->approved)
        || !value_read_integer(member(json, "step"), 0, SPEC_MAX_STAGES - 1,
                               &step)
        || !read_time(member(json, "entered_ms"), -VALUE_MAX_INT,
                      &rollout->entered_ms)
        || !read_time(member(json, "last_ms"), -VALUE_MAX_INT,
                      &rollout->last_ms)
        || !read_time(member(json, "held_ms"), 0, &rollout->held_ms)
        || !value_read_count(member(json, "step_requests"),
                       &rollout->step_requests)
        || !read_bool(member(json, "promoted"), &rollout->promoted)
        || !read_text(member(json, "reason"), rollout->reason,
                      sizeof(rollout->reason))
        || !read_text(member(json, "actor"), rollout->actor,
                      sizeof(rollout->actor)))
    {
        return -1;
    }

    rollout->step = (unsigned) step;
    rollout->begun_ms = rollout->entered_ms;

    if ((member(json, "begun_ms") != NULL
         && !read_time(member(json, "begun_ms"), -VALUE_MAX_INT,
                       &rollout->begun_ms))
        || !read_gates(json, rollout)
        || (member(json, "turn") != NULL
            && !read_turn(member(json, "turn"), &rollout->turn))
        || !read_arms(member(json, "arms"), rollout))
    {
        return -1;
    }

    return is_possible(rollout) ? 0 : -1;
}
