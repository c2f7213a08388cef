/*
 * The module's own parsers in a real nginx: this file is built together with
 * the module into one .so, which `nginx -t` loads; its second module runs the
 * fuzzer when the zones are there.  CANARY_FUZZ says what is fuzzed:
 *
 *   record  a routing record, as by PUT: what is accepted is printed, read
 *           again and is the same
 *   state   the state file; the first byte says whether the rest is the file
 *           or its body, below a header that is right
 *
 * and CANARY_FUZZ_ARGS has the arguments of libFuzzer.
 */

#include "ngx_http_canary.h"

#include <stdio.h>

#define FUZZ_MAX_ARGS  32

#define fuzz_check(condition)                                                \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                         \
        }                                                                    \
    } while (0)

#pragma GCC visibility push(default)

int LLVMFuzzerRunDriver(int *argc, char ***argv,
    int (*callback)(const uint8_t *data, size_t size));

static ngx_int_t fuzz_init_module(ngx_cycle_t *cycle);

static ngx_http_module_t  fuzz_ctx = {
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
};

ngx_module_t  ngx_http_canary_fuzz_module = {
    NGX_MODULE_V1,
    &fuzz_ctx,
    NULL,
    NGX_HTTP_MODULE,
    NULL,
    fuzz_init_module,
    NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};

ngx_module_t  *ngx_modules[] = {
    &ngx_http_canary_module, &ngx_http_canary_fuzz_module, NULL
};

char  *ngx_module_names[] = {
    (char *) "ngx_http_canary_module",
    (char *) "ngx_http_canary_fuzz_module", NULL
};

char  *ngx_module_order[] = { NULL };

static ngx_cycle_t                 *cycle;
static ngx_http_canary_srv_conf_t  *conf;


static ngx_str_t
fuzz_print(ngx_pool_t *pool, ngx_http_canary_record_t *record,
    ngx_str_t *rules)
{
    ngx_str_t              text;
    ngx_chain_t           *cl;
    ngx_http_canary_out_t  out;

    ngx_http_canary_out_init(&out, pool);
    ngx_http_canary_print_record(&out, conf->entry, record, rules);
    fuzz_check(!out.failed);

    text.data = ngx_pnalloc(pool, out.size + 1);
    text.len = 0;
    fuzz_check(text.data != NULL);

    for (cl = out.first; cl != NULL; cl = cl->next) {
        ngx_memcpy(text.data + text.len, cl->buf->pos,
                   cl->buf->last - cl->buf->pos);
        text.len += cl->buf->last - cl->buf->pos;
    }

    fuzz_check(text.len == (size_t) out.size);
    text.data[text.len] = '\0';

    return text;
}


static int
fuzz_record(const uint8_t *data, size_t size)
{
    char                     *copy;
    cJSON                    *json, *again;
    uint64_t                  revision;
    ngx_str_t                 text, rules, rules2;
    ngx_pool_t               *pool;
    ngx_http_canary_error_t   error;
    ngx_http_canary_record_t  record, second;

    copy = malloc(size + 1);
    fuzz_check(copy != NULL);
    ngx_memcpy(copy, data, size);
    copy[size] = '\0';

    json = NULL;

    if (ngx_strlen(copy) == size) {
        json = cJSON_ParseWithLengthOpts(copy, size + 1, NULL, 1);
    }

    free(copy);

    if (json == NULL) {
        return 0;
    }

    (void) ngx_http_canary_parse_revision(json, &revision);

    pool = ngx_create_pool(4096, cycle->log);

    if (ngx_http_canary_parse_record(json, pool, conf->entry, 1, &record,
                                     &rules, &error)
        != NGX_OK)
    {
        fuzz_check(error.detail[0] != '\0');
        fuzz_check(ngx_strlen(error.detail) < sizeof(error.detail));
        cJSON_Delete(json);
        ngx_destroy_pool(pool);
        return 0;
    }

    text = fuzz_print(pool, &record, &rules);
    again = cJSON_Parse((char *) text.data);
    fuzz_check(again != NULL);
    fuzz_check(ngx_http_canary_parse_record(again, pool, conf->entry, 1,
                                            &second, &rules2, &error)
               == NGX_OK);
    fuzz_check(ngx_memcmp(&record, &second, sizeof(record)) == 0);
    fuzz_check(rules.len == rules2.len && (rules.len == 0
               || ngx_memcmp(rules.data, rules2.data, rules.len) == 0));

    cJSON_Delete(again);
    cJSON_Delete(json);
    ngx_destroy_pool(pool);

    return 0;
}


static int
fuzz_state(const uint8_t *data, size_t size)
{
    FILE        *file;
    ngx_pool_t  *pool;

    if (size == 0) {
        return 0;
    }

    file = fopen((char *) conf->zone->state.data, "we");
    fuzz_check(file != NULL);

    if (data[0] & 1) {
        fprintf(file, "nginx-canary-state %u %08x %zu\n",
                1, (unsigned) ngx_crc32_long((u_char *) data + 1, size - 1),
                size - 1);
    }

    fwrite(data + 1, 1, size - 1, file);
    fclose(file);

    pool = ngx_create_pool(4096, cycle->log);
    fuzz_check(ngx_http_canary_state_load(conf->zone, pool, cycle->log)
               == NGX_OK);
    ngx_destroy_pool(pool);

    return 0;
}


static ngx_int_t
fuzz_init_module(ngx_cycle_t *c)
{
    int                           argc;
    char                         *argv[FUZZ_MAX_ARGS + 1], **args, *save;
    char                         *what;
    ngx_http_canary_main_conf_t  *main;

    static char  text[4096];

    cycle = c;
    main = ngx_http_cycle_get_module_main_conf(c, ngx_http_canary_module);
    conf = *(ngx_http_canary_srv_conf_t **) main->upstreams.elts;

    what = getenv("CANARY_FUZZ");
    fuzz_check(what != NULL && getenv("CANARY_FUZZ_ARGS") != NULL);

    snprintf(text, sizeof(text), "nginx %s", getenv("CANARY_FUZZ_ARGS"));
    argc = 0;

    for (argv[0] = strtok_r(text, " ", &save);
         argv[argc] != NULL && argc < FUZZ_MAX_ARGS;
         argv[argc] = strtok_r(NULL, " ", &save))
    {
        argc++;
    }

    args = argv;

    exit(LLVMFuzzerRunDriver(&argc, &args, strcmp(what, "state") == 0
                                           ? fuzz_state : fuzz_record));
}
