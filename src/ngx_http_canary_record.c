
/* the routing record as JSON */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_MAX_REVISION  9007199254740991.0   /* 2^53 - 1 */
#define NGX_HTTP_CANARY_MIN_LEASE     1000
#define NGX_HTTP_CANARY_MAX_LEASE     3600000


typedef struct {
    ngx_pool_t                       *pool;
    ngx_http_canary_entry_t          *entry;
    ngx_http_canary_record_t         *record;
    ngx_str_t                        *rules;      /* text */
    ngx_uint_t                        geoip;
    ngx_http_canary_error_t          *error;
} ngx_http_canary_parse_t;


typedef struct {
    char                             *name;
    ngx_uint_t                        required;
    ngx_int_t                       (*handler)(ngx_http_canary_parse_t *p,
                                               cJSON *item);
} ngx_http_canary_field_t;


static ngx_int_t ngx_http_canary_parse_number(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_parse_group(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_parse_weights(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_parse_salt(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_parse_lapse(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_parse_guard(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_parse_rules(ngx_http_canary_parse_t *p,
    cJSON *item);
static ngx_int_t ngx_http_canary_json_number(cJSON *json, char *name,
    double min, double max, double *n);
static ngx_uint_t ngx_http_canary_json_slot(ngx_http_canary_entry_t *entry,
    char *name);


static ngx_http_canary_field_t  ngx_http_canary_fields[] = {

    { "revision", 1, ngx_http_canary_parse_number },
    { "stable", 1, ngx_http_canary_parse_group },
    { "weights", 1, ngx_http_canary_parse_weights },
    { "canary", 0, ngx_http_canary_parse_group },
    { "salt", 0, ngx_http_canary_parse_salt },
    { "lease_ms", 0, ngx_http_canary_parse_number },
    { "on_lapse", 0, ngx_http_canary_parse_lapse },
    { "guard", 0, ngx_http_canary_parse_guard },
    { "rules", 0, ngx_http_canary_parse_rules },

    { NULL, 0, NULL }
};


/* all bytes of the record are set, so that records compare as memory */

ngx_int_t
ngx_http_canary_parse_record(cJSON *json, ngx_pool_t *pool,
    ngx_http_canary_entry_t *entry, ngx_uint_t geoip,
    ngx_http_canary_record_t *record, ngx_str_t *rules,
    ngx_http_canary_error_t *error)
{
    cJSON                    *item;
    ngx_uint_t                i, seen, slots;
    ngx_http_canary_field_t  *field;
    ngx_http_canary_parse_t   p;

    if (!cJSON_IsObject(json)) {
        return ngx_http_canary_refuse(error, NULL, "must be a JSON object");
    }

    ngx_memzero(record, sizeof(ngx_http_canary_record_t));

    slots = ngx_http_canary_shm_slots(entry);
    record->canary = NGX_HTTP_CANARY_NO_SLOT;

    ngx_str_null(rules);

    p.pool = pool;
    p.entry = entry;
    p.record = record;
    p.rules = rules;
    p.geoip = geoip;
    p.error = error;

    seen = 0;

    cJSON_ArrayForEach(item, json) {

        for (i = 0; ngx_http_canary_fields[i].name; i++) {
            if (ngx_strcmp(item->string, ngx_http_canary_fields[i].name)
                == 0)
            {
                break;
            }
        }

        field = &ngx_http_canary_fields[i];

        if (field->name == NULL) {
            return ngx_http_canary_refuse(error, item->string,
                       "is not a field of a routing record: revision, stable, "
                       "weights, canary, salt, lease_ms, on_lapse, guard, "
                       "rules are");
        }

        if (seen & (1 << i)) {
            return ngx_http_canary_refuse(error, field->name,
                                          "must be given once");
        }

        seen |= 1 << i;

        if (field->handler(&p, item) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    for (i = 0; ngx_http_canary_fields[i].name; i++) {
        if (ngx_http_canary_fields[i].required && !(seen & (1 << i))) {
            return ngx_http_canary_refuse(error,
                                          ngx_http_canary_fields[i].name,
                                          "is required");
        }
    }

    if (record->canary == NGX_HTTP_CANARY_NO_SLOT) {
        for (i = 0; i < slots; i++) {
            if (i != record->stable) {
                record->canary = (u_char) i;
                break;
            }
        }
    }

    if (record->guard.failures && record->guard.slot == record->stable) {
        return ngx_http_canary_refuse(error, "guard",
                                      "must not be of the stable group");
    }

    if (record->canary == record->stable) {
        return ngx_http_canary_refuse(error, "canary",
                                      "must not be the stable group");
    }

    return NGX_OK;
}


/* {"revision": N} and nothing else */

ngx_int_t
ngx_http_canary_parse_revision(cJSON *json, uint64_t *revision)
{
    cJSON  *item;

    if (!cJSON_IsObject(json)) {
        return NGX_ERROR;
    }

    item = json->child;

    if (item == NULL || item->next || ngx_strcmp(item->string, "revision") != 0
        || !cJSON_IsNumber(item)
        || !(item->valuedouble >= 1
             && item->valuedouble <= NGX_HTTP_CANARY_MAX_REVISION)
        || item->valuedouble != (double) (uint64_t) item->valuedouble)
    {
        return NGX_ERROR;
    }

    *revision = (uint64_t) item->valuedouble;

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_parse_number(ngx_http_canary_parse_t *p, cJSON *item)
{
    double      n;
    ngx_uint_t  revision;

    revision = (item->string[0] == 'r');
    n = cJSON_IsNumber(item) ? item->valuedouble : -1;

    /* the first two are false for NaN as well */

    if (revision) {

        if (!(n >= 1 && n <= NGX_HTTP_CANARY_MAX_REVISION)
            || n != (double) (uint64_t) n)
        {
            return ngx_http_canary_refuse(p->error, item->string,
                                "must be a whole number from 1 to 2^53 - 1");
        }

        p->record->revision = (uint64_t) n;

        return NGX_OK;
    }

    if (n != 0
        && (!(n >= NGX_HTTP_CANARY_MIN_LEASE && n <= NGX_HTTP_CANARY_MAX_LEASE)
            || n != (double) (uint32_t) n))
    {
        return ngx_http_canary_refuse(p->error, item->string,
                                "must be 0 or a whole number from %d to %d",
                                NGX_HTTP_CANARY_MIN_LEASE,
                                NGX_HTTP_CANARY_MAX_LEASE);
    }

    p->record->lease_ms = (uint32_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_parse_group(ngx_http_canary_parse_t *p, cJSON *item)
{
    ngx_uint_t  slot;

    if (!cJSON_IsString(item)) {
        return ngx_http_canary_refuse(p->error, item->string,
                                      "must be the name of a group");
    }

    slot = ngx_http_canary_json_slot(p->entry, item->valuestring);

    if (slot == NGX_HTTP_CANARY_NO_SLOT) {
        return ngx_http_canary_refuse(p->error, item->string,
                                  "\"%s\" is not a group of this upstream",
                                  item->valuestring);
    }

    if (item->string[0] == 's') {
        p->record->stable = (u_char) slot;

    } else {
        p->record->canary = (u_char) slot;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_parse_weights(ngx_http_canary_parse_t *p, cJSON *item)
{
    return ngx_http_canary_read_weights(item, p->entry, item->string,
                                        p->record->weights, p->error);
}


/* hundredths of a percent by slot; what is not named stays as it is */

ngx_int_t
ngx_http_canary_read_weights(cJSON *item, ngx_http_canary_entry_t *entry,
    char *field, uint16_t *weights, ngx_http_canary_error_t *error)
{
    cJSON       *weight;
    double       n;
    ngx_uint_t   slot, sum, seen, hundredths;

    if (!cJSON_IsObject(item)) {
        return ngx_http_canary_refuse(error, field,
                                "must be an object of group: percent");
    }

    sum = 0;
    seen = 0;

    cJSON_ArrayForEach(weight, item) {

        slot = ngx_http_canary_json_slot(entry, weight->string);

        if (slot == NGX_HTTP_CANARY_NO_SLOT) {
            return ngx_http_canary_refuse(error, field,
                                  "\"%s\" is not a group of this upstream",
                                  weight->string);
        }

        if (seen & (1 << slot)) {
            return ngx_http_canary_refuse(error, field,
                                  "\"%s\" must be given once",
                                  weight->string);
        }

        seen |= 1 << slot;

        n = cJSON_IsNumber(weight) ? weight->valuedouble * 100 : -1;

        hundredths = (n >= 0 && n <= NGX_HTTP_CANARY_WHOLE + 0.5)
                     ? (ngx_uint_t) (n + 0.5) : NGX_HTTP_CANARY_WHOLE + 1;

        if (hundredths > NGX_HTTP_CANARY_WHOLE
            || n - hundredths > 1e-6 || hundredths - n > 1e-6)
        {
            return ngx_http_canary_refuse(error, field,
                                  "of \"%s\" must be a percentage from 0 to "
                                  "100 with at most two decimals",
                                  weight->string);
        }

        weights[slot] = (uint16_t) hundredths;
        sum += hundredths;
    }

    if (sum != NGX_HTTP_CANARY_WHOLE) {
        return ngx_http_canary_refuse(error, field,
                                      "must add up to 100, not %ui.%02ui",
                                      sum / 100, sum % 100);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_parse_salt(ngx_http_canary_parse_t *p, cJSON *item)
{
    size_t   len;
    u_char  *c;

    if (!cJSON_IsString(item)) {
        goto invalid;
    }

    len = ngx_strlen(item->valuestring);

    if (len > NGX_HTTP_CANARY_SALT_LEN) {
        goto invalid;
    }

    for (c = (u_char *) item->valuestring; *c; c++) {
        if (*c < 0x20 || *c >= 0x7f) {
            goto invalid;
        }
    }

    p->record->salt_len = (u_char) len;
    ngx_memcpy(p->record->salt, item->valuestring, len);

    return NGX_OK;

invalid:

    return ngx_http_canary_refuse(p->error, item->string,
                          "must be a string of at most %d ASCII characters",
                          NGX_HTTP_CANARY_SALT_LEN);
}


static ngx_int_t
ngx_http_canary_parse_lapse(ngx_http_canary_parse_t *p, cJSON *item)
{
    if (cJSON_IsString(item)) {

        if (ngx_strcmp(item->valuestring, "stable") == 0) {
            return NGX_OK;
        }

        if (ngx_strcmp(item->valuestring, "keep") == 0) {
            p->record->keep = 1;
            return NGX_OK;
        }
    }

    return ngx_http_canary_refuse(p->error, item->string,
                                  "must be \"stable\" or \"keep\"");
}


/* {"group": "green", "failures": 20, "ratio": 0.5, "window_ms": 10000} */

static ngx_int_t
ngx_http_canary_parse_guard(ngx_http_canary_parse_t *p, cJSON *item)
{
    cJSON                    *group;
    double                    failures, ratio, window;
    ngx_uint_t                slot;
    ngx_http_canary_guard_t  *guard;

    guard = &p->record->guard;
    group = cJSON_GetObjectItemCaseSensitive(item, "group");

    if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) != 4
        || !cJSON_IsString(group)
        || ngx_http_canary_json_number(item, "failures", 1, 1000000,
                                       &failures)
           != NGX_OK
        || failures != (double) (uint32_t) failures
        || ngx_http_canary_json_number(item, "ratio", 0.01, 1, &ratio)
           != NGX_OK
        || ngx_http_canary_json_number(item, "window_ms", 100, 3600000,
                                       &window)
           != NGX_OK
        || window != (double) (uint32_t) window)
    {
        return ngx_http_canary_refuse(p->error, item->string,
                          "must have group, failures (1 to 1000000), ratio "
                          "(0.01 to 1) and window_ms (100 to 3600000)");
    }

    slot = ngx_http_canary_json_slot(p->entry, group->valuestring);

    if (slot == NGX_HTTP_CANARY_NO_SLOT) {
        return ngx_http_canary_refuse(p->error, item->string,
                                  "\"%s\" is not a group of this upstream",
                                  group->valuestring);
    }

    guard->failures = (uint32_t) failures;
    guard->ratio = (uint16_t) (ratio * NGX_HTTP_CANARY_WHOLE + 0.5);
    guard->window_ms = (uint32_t) window;
    guard->slot = (u_char) slot;

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_parse_rules(ngx_http_canary_parse_t *p, cJSON *item)
{
    ngx_chain_t              *cl;
    ngx_http_canary_out_t     out;
    ngx_http_canary_rules_t   rules;

    if (ngx_http_canary_read_rules(item, p->pool, p->entry, p->geoip, &rules,
                                   p->error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rules.nrules == 0) {
        return NGX_OK;
    }

    ngx_http_canary_out_init(&out, p->pool);
    ngx_http_canary_print_rules(&out, p->entry, &rules);

    if (out.size > NGX_HTTP_CANARY_RULES_SIZE) {
        return ngx_http_canary_refuse(p->error, item->string,
                                      "take %O bytes, there is room for %d",
                                      out.size, NGX_HTTP_CANARY_RULES_SIZE);
    }

    p->rules->data = ngx_pnalloc(p->pool, out.size);

    if (p->rules->data == NULL || out.failed) {
        return ngx_http_canary_refuse(p->error, item->string, "no memory");
    }

    for (cl = out.first; cl; cl = cl->next) {
        p->rules->len = ngx_cpymem(p->rules->data + p->rules->len,
                                   cl->buf->pos,
                                   cl->buf->last - cl->buf->pos)
                        - p->rules->data;
    }

    p->record->rules_len = (uint32_t) p->rules->len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_json_number(cJSON *json, char *name, double min, double max,
    double *n)
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(json, name);

    if (!cJSON_IsNumber(item)
        || !(item->valuedouble >= min && item->valuedouble <= max))
    {
        return NGX_ERROR;
    }

    *n = item->valuedouble;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_canary_json_slot(ngx_http_canary_entry_t *entry, char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_http_canary_shm_find_slot(entry, &s);
}


/* what is quoted comes from outside, and is cut: only ASCII may stay */

ngx_int_t
ngx_http_canary_refuse(ngx_http_canary_error_t *error, char *field,
    const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    ngx_cpystrn(error->field, (u_char *) (field ? field : ""),
                sizeof(error->field));

    va_start(args, fmt);
    last = ngx_vslprintf(error->detail,
                         error->detail + sizeof(error->detail) - 1, fmt,
                         args);
    va_end(args);

    *last = '\0';

    for (p = error->field; *p; p++) {
        if (*p >= 0x7f) {
            *p = '?';
        }
    }

    for (p = error->detail; *p; p++) {
        if (*p >= 0x7f) {
            *p = '?';
        }
    }

    return NGX_ERROR;
}
