/* judge: a recorded case, without any server. */

#include "ctl.h"

#include <stdlib.h>

#include "core/codec.h"
#include "lib/file.h"

#define JUDGE_MAX_CASE  (64 * 1024 * 1024)


int
ctl_judge(const ctl_args_t *args, const char *command)
{
    int            rc;
    char          *text, *out, error[300];
    cJSON         *json, *result;
    size_t         len;
    const char    *end;
    spec_error_t   refused;

    if (args->count != 1) {
        ctl_error("judge what? give a FILE with a case, or - for standard "
                  "input");
        return CTL_USAGE;
    }

    rc = CTL_FAILED;
    json = NULL;
    result = NULL;

    text = file_read(args->values[0], JUDGE_MAX_CASE, &len, error,
                     sizeof(error));
    if (text == NULL) {
        ctl_error("%s", error);
        return rc;
    }

    /* With the NUL: nothing may follow. */
    json = cJSON_ParseWithLengthOpts(text, len + 1, &end, 1);
    if (json == NULL) {
        ctl_error("%.100s: not JSON, at byte %ld", args->values[0],
                  end ? (long) (end - text) : 0L);
        goto done;
    }

    result = judge_run_case(json, &refused);
    if (result == NULL) {
        ctl_error("%s%s%s", refused.field,
                  refused.field[0] != '\0' ? ": " : "", refused.detail);
        goto done;
    }

    out = cJSON_PrintUnformatted(result);
    if (out == NULL) {
        ctl_error("out of memory");
        goto done;
    }

    printf("%s\n", out);
    cJSON_free(out);
    rc = CTL_OK;

done:

    cJSON_Delete(result);
    cJSON_Delete(json);
    free(text);
    return rc;
}
