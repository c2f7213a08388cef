/* Counts as they come through Redis. */

#include "fuzz.h"

#include "tally.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char      *text, *first, *second;
    tally_t    tally, copy, delta;

    text = fuzz_text(data, size);
    memset(&tally, 0, sizeof(tally));
    memset(&copy, 0, sizeof(copy));
    memset(&delta, 0, sizeof(delta));

    if (tally_parse(&tally, text) != 0) {
        fuzz_check(tally_is_empty(&tally));

    } else {
        first = tally_print(&tally);
        fuzz_check(first != NULL && tally_parse(&copy, first) == 0);
        second = tally_print(&copy);
        fuzz_check(strcmp(first, second) == 0);
        fuzz_check(tally_subtract(&delta, &copy, &tally));
        fuzz_check(tally_is_empty(&delta));
        fuzz_check(tally_parse(&copy, first) == 0);
        free(first);
        free(second);
    }

    tally_clear(&tally);
    tally_clear(&copy);
    tally_clear(&delta);
    free(text);

    return 0;
}
