#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/value.h"
#include "store.h"
#include "tally.h"

/* A line: name, numbers, and "index:count," for every bucket. */
#define TALLY_LINE_LEN   (SPEC_NAME_LEN + 64 + HISTOGRAM_BUCKETS * 26)
/* No sum of counts that one node can report comes near. */
#define TALLY_MAX_COUNT  (UINT64_C(1) << 53)


void
tally_clear(tally_t *tally)
{
    unsigned  g, s;

    for (g = 0; g < tally->count; g++) {
        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            free(tally->groups[g].strata[s]);
        }
    }

    memset(tally, 0, sizeof(tally_t));
}


static tally_group_t *
tally_group(const tally_t *tally, const char *name)
{
    unsigned  g;

    for (g = 0; g < tally->count; g++) {
        if (strcmp(tally->groups[g].name, name) == 0) {
            return (tally_group_t *) &tally->groups[g];
        }
    }

    return NULL;
}


/* NULL if there is no room. */
static tally_cell_t *
tally_cell(tally_t *tally, const char *name, unsigned stratum)
{
    tally_group_t  *group;

    group = tally_group(tally, name);

    if (group == NULL) {
        if (tally->count == TALLY_MAX_GROUPS || strlen(name) >= SPEC_NAME_LEN)
        {
            return NULL;
        }

        group = &tally->groups[tally->count++];
        strcpy(group->name, name);
    }

    if (group->strata[stratum] == NULL) {
        group->strata[stratum] = calloc(1, sizeof(tally_cell_t));
        if (group->strata[stratum] == NULL) {
            abort();
        }
    }

    return group->strata[stratum];
}


const tally_cell_t *
tally_find(const tally_t *tally, const char *group, unsigned stratum)
{
    const tally_group_t  *found;

    found = tally_group(tally, group);

    return found != NULL && stratum < TALLY_MAX_STRATA
           ? found->strata[stratum] : NULL;
}


static int
tally_read_count(const cJSON *object, const char *name, uint64_t *count)
{
    int64_t  value;

    if (!value_read_integer(cJSON_GetObjectItemCaseSensitive(object, name),
                            0, VALUE_MAX_INT, &value))
    {
        return -1;
    }

    *count = (uint64_t) value;

    return 0;
}


/* "163", without anything around it. */
static int
tally_index(const char *text, unsigned *index)
{
    unsigned  i, value;

    value = 0;

    for (i = 0; text[i] != '\0'; i++) {
        if (!isdigit((unsigned char) text[i]) || i == 3) {
            return -1;
        }
        value = value * 10 + (unsigned) (text[i] - '0');
    }

    if (i == 0 || value >= HISTOGRAM_BUCKETS) {
        return -1;
    }

    *index = value;

    return 0;
}


static int
tally_read_cell(tally_t *tally, const char *name, unsigned stratum,
    const cJSON *json)
{
    int64_t        value;
    unsigned       index;
    const cJSON   *latency, *item;
    tally_cell_t  *cell;

    cell = tally_cell(tally, name, stratum);

    if (cell == NULL || !cJSON_IsObject(json)
        || tally_read_count(json, "requests", &cell->requests) != 0
        || tally_read_count(json, "errors", &cell->errors) != 0)
    {
        return -1;
    }

    latency = cJSON_GetObjectItemCaseSensitive(json, "latency_us");

    if (latency == NULL) {
        return 0;
    }

    if (!cJSON_IsObject(latency)) {
        return -1;
    }

    cJSON_ArrayForEach(item, latency) {
        if (tally_index(item->string, &index) != 0
            || !value_read_integer(item, 0, VALUE_MAX_INT, &value))
        {
            return -1;
        }

        cell->latency[index] = (uint64_t) value;
    }

    return 0;
}


int
tally_read(tally_t *tally, const cJSON *groups)
{
    unsigned      stratum;
    const cJSON  *group, *strata, *item;

    if (!cJSON_IsObject(groups)) {
        return -1;
    }

    cJSON_ArrayForEach(group, groups) {
        strata = cJSON_GetObjectItemCaseSensitive(group, "strata");

        if (!cJSON_IsArray(strata) || !store_name_valid(group->string)) {
            goto failed;
        }

        stratum = 0;

        cJSON_ArrayForEach(item, strata) {
            /* null: never used */

            if (stratum == TALLY_MAX_STRATA
                || (!cJSON_IsNull(item)
                    && tally_read_cell(tally, group->string, stratum, item)
                       != 0))
            {
                goto failed;
            }
            stratum++;
        }
    }

    return 0;

failed:

    tally_clear(tally);

    return -1;
}


static bool
tally_cell_subtract(tally_cell_t *delta, const tally_cell_t *fresh,
    const tally_cell_t *base)
{
    unsigned             i;
    static tally_cell_t  zero;

    if (base == NULL) {
        base = &zero;
    }

    if (fresh->requests < base->requests || fresh->errors < base->errors) {
        return false;
    }

    delta->requests = fresh->requests - base->requests;
    delta->errors = fresh->errors - base->errors;

    /* The workers count on while nginx reads: an error may be seen a tick
     * before its request.  It is left out rather than made up for. */
    if (delta->errors > delta->requests) {
        delta->errors = delta->requests;
    }

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (fresh->latency[i] < base->latency[i]) {
            return false;
        }
        delta->latency[i] = fresh->latency[i] - base->latency[i];
    }

    return true;
}


bool
tally_subtract(tally_t *delta, const tally_t *fresh, const tally_t *base)
{
    unsigned              g, s;
    tally_cell_t         *cell;
    const tally_group_t  *group;

    for (g = 0; g < fresh->count; g++) {
        group = &fresh->groups[g];

        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            if (group->strata[s] == NULL) {
                continue;
            }

            cell = tally_cell(delta, group->name, s);

            if (cell == NULL
                || !tally_cell_subtract(cell, group->strata[s],
                                        tally_find(base, group->name, s)))
            {
                tally_clear(delta);
                return false;
            }
        }
    }

    return true;
}


static bool
tally_cell_is_empty(const tally_cell_t *cell)
{
    unsigned  i;

    if (cell->requests > 0 || cell->errors > 0) {
        return false;
    }

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (cell->latency[i] > 0) {
            return false;
        }
    }

    return true;
}


bool
tally_is_empty(const tally_t *tally)
{
    unsigned  g, s;

    for (g = 0; g < tally->count; g++) {
        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            if (tally->groups[g].strata[s] != NULL
                && !tally_cell_is_empty(tally->groups[g].strata[s]))
            {
                return false;
            }
        }
    }

    return true;
}


static uint64_t
tally_sum(uint64_t a, uint64_t b)
{
    return a > TALLY_MAX_COUNT || b > TALLY_MAX_COUNT - a ? TALLY_MAX_COUNT
                                                          : a + b;
}


char *
tally_print(const tally_t *tally)
{
    char                *text, *p;
    size_t               cells;
    unsigned             g, s, i;
    const tally_cell_t  *cell;

    cells = 0;

    for (g = 0; g < tally->count; g++) {
        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            cells += tally->groups[g].strata[s] != NULL;
        }
    }

    text = malloc(cells * TALLY_LINE_LEN + 1);
    if (text == NULL) {
        abort();
    }

    p = text;
    *p = '\0';

    for (g = 0; g < tally->count; g++) {
        for (s = 0; s < TALLY_MAX_STRATA; s++) {
            cell = tally->groups[g].strata[s];

            if (cell == NULL || tally_cell_is_empty(cell)) {
                continue;
            }

            p += sprintf(p, "%s %u %" PRIu64 " %" PRIu64 " ",
                         tally->groups[g].name, s, cell->requests,
                         cell->errors);

            for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
                if (cell->latency[i] > 0) {
                    p += sprintf(p, "%u:%" PRIu64 ",", i, cell->latency[i]);
                }
            }

            *p++ = '\n';
            *p = '\0';
        }
    }

    return text;
}


/* A number that ends with the character end; moves *text past that.  No
 * strtoull(): of a large fleet, millions come in a second. */
static int
tally_number(const char **text, char end, uint64_t max, uint64_t *number)
{
    unsigned     digits;
    uint64_t     value;
    const char  *p = *text;

    value = 0;

    for (digits = 0; *p >= '0' && *p <= '9'; digits++) {
        if (digits == 18) {
            return -1;
        }
        value = value * 10 + (uint64_t) (*p++ - '0');
    }

    if (digits == 0 || *p != end || value > max) {
        return -1;
    }

    *number = value;
    *text = p + 1;

    return 0;
}


/* A line is added to the cell that it names, as far as there is room; with
 * tally NULL it is only checked. */
static int
tally_parse_line(tally_t *tally, const char **text)
{
    char           name[SPEC_NAME_LEN];
    size_t         len;
    uint64_t       stratum, requests, errors, index, count;
    tally_cell_t  *cell;

    len = strcspn(*text, " ");

    if (len >= sizeof(name) || (*text)[len] != ' ') {
        return -1;
    }

    memcpy(name, *text, len);
    name[len] = '\0';
    *text += len + 1;

    if ((tally == NULL && !store_name_valid(name))
        || tally_number(text, ' ', TALLY_MAX_STRATA - 1, &stratum) != 0
        || tally_number(text, ' ', TALLY_MAX_COUNT, &requests) != 0
        || tally_number(text, ' ', requests, &errors) != 0)
    {
        return -1;
    }

    cell = tally != NULL ? tally_cell(tally, name, (unsigned) stratum) : NULL;

    if (cell != NULL) {
        cell->requests = tally_sum(cell->requests, requests);
        cell->errors = tally_sum(cell->errors, errors);
    }

    while (**text != '\n') {
        if (tally_number(text, ':', HISTOGRAM_BUCKETS - 1, &index) != 0
            || tally_number(text, ',', TALLY_MAX_COUNT, &count) != 0)
        {
            return -1;
        }

        if (cell != NULL) {
            cell->latency[index] = tally_sum(cell->latency[index], count);
        }
    }

    (*text)++;

    return 0;
}


int
tally_parse(tally_t *tally, const char *text)
{
    const char  *p;

    for (p = text; *p != '\0'; ) {
        if (tally_parse_line(NULL, &p) != 0) {
            return -1;
        }
    }

    for (p = text; *p != '\0'; ) {
        (void) tally_parse_line(tally, &p);
    }

    return 0;
}
