/* YAML, as of configuration files and specs: a tree that prints as JSON. */

#include "fuzz.h"

#include "lib/yaml.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char   why[256], *text;
    cJSON  *json;

    why[0] = '\0';
    json = yaml_parse((const char *) data, size, why, sizeof(why));

    if (json == NULL) {
        fuzz_check(why[0] != '\0' && strlen(why) < sizeof(why));
        return 0;
    }

    text = cJSON_PrintUnformatted(json);
    fuzz_check(text != NULL);
    cJSON_free(text);
    cJSON_Delete(json);

    return 0;
}
