/* A rollout spec as YAML or JSON: what is accepted is printed and read again
 * as the same. */

#include "fuzz.h"

#include <cjson/cJSON.h>

#include "core/spec.h"
#include "core/text.h"
#include "lib/yaml.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char             why[256], *first, *second;
    cJSON           *json, *printed, *again;
    spec_error_t     error;
    rollout_spec_t   spec, copy;

    json = yaml_parse((const char *) data, size, why, sizeof(why));

    if (json == NULL) {
        return 0;
    }

    if (spec_parse(json, &spec, &error) != 0) {
        fuzz_check(text_is_clean(error.field));
        fuzz_check(text_is_clean(error.detail) && error.detail[0] != '\0');
        cJSON_Delete(json);
        return 0;
    }

    printed = spec_print(&spec);
    fuzz_check(printed != NULL);
    first = cJSON_PrintUnformatted(printed);
    again = cJSON_Parse(first);
    fuzz_check(again != NULL && spec_parse(again, &copy, &error) == 0);
    cJSON_Delete(printed);
    printed = spec_print(&copy);
    second = cJSON_PrintUnformatted(printed);
    fuzz_check(strcmp(first, second) == 0);

    cJSON_free(first);
    cJSON_free(second);
    cJSON_Delete(printed);
    cJSON_Delete(again);
    cJSON_Delete(json);
    spec_free(&spec);
    spec_free(&copy);

    return 0;
}
