/* A recorded case for canaryctl judge. */

#include "fuzz.h"

#include <cjson/cJSON.h>

#include "core/codec.h"
#include "core/text.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char          *text, *printed;
    cJSON         *json, *result;
    spec_error_t   error;

    text = fuzz_text(data, size);
    json = cJSON_ParseWithLengthOpts(text, size + 1, NULL, 1);
    free(text);

    if (json == NULL) {
        return 0;
    }

    result = judge_run_case(json, &error);

    if (result == NULL) {
        fuzz_check(text_is_clean(error.field));
        fuzz_check(text_is_clean(error.detail) && error.detail[0] != '\0');

    } else {
        printed = cJSON_PrintUnformatted(result);
        fuzz_check(printed != NULL);
        cJSON_free(printed);
    }

    cJSON_Delete(result);
    cJSON_Delete(json);

    return 0;
}
