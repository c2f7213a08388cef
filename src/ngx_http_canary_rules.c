
/*
 * The rules of a record, read from JSON.
 */


#include "ngx_http_canary.h"


#define NGX_HTTP_CANARY_RULE_VALUE   256


typedef struct {
    ngx_pool_t                      *pool;
    ngx_http_canary_entry_t         *entry;
    ngx_http_canary_rule_t          *rule;
    ngx_http_canary_error_t         *error;
    ngx_uint_t                       n;          /* of the rule */
    ngx_uint_t                       geoip;      /* there is one */
    char                            *field;      /* below "if" */
} ngx_http_canary_reading_t;


typedef struct {
    char                            *name;
    ngx_uint_t                       geoip;      /* needed */
    ngx_int_t                      (*read)(ngx_http_canary_reading_t *rd,
                                           cJSON *item);
} ngx_http_canary_condition_t;


static ngx_int_t ngx_http_canary_read_rule(ngx_http_canary_reading_t *rd,
    cJSON *item, ngx_uint_t *strata);
static ngx_int_t ngx_http_canary_read_if(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_group(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_country(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_continent(
    ngx_http_canary_reading_t *rd, cJSON *item);
static ngx_int_t ngx_http_canary_read_codes(ngx_http_canary_reading_t *rd,
    cJSON *item, ngx_array_t **codes, char *what);
static ngx_int_t ngx_http_canary_read_asn(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_cidr(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_header(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_cookie(ngx_http_canary_reading_t *rd,
    cJSON *item);
static ngx_int_t ngx_http_canary_read_pair(ngx_http_canary_reading_t *rd,
    cJSON *item, ngx_http_canary_pair_t **pair);
static ngx_int_t ngx_http_canary_read_list(ngx_http_canary_reading_t *rd,
    cJSON *item, ngx_array_t **array, size_t size);
static ngx_int_t ngx_http_canary_refuse_rule(ngx_http_canary_reading_t *rd,
    ngx_int_t element, char *what);


static ngx_http_canary_condition_t  ngx_http_canary_conditions[] = {

    { "country", 1, ngx_http_canary_read_country },
    { "continent", 1, ngx_http_canary_read_continent },
    { "asn", 1, ngx_http_canary_read_asn },
    { "cidr", 0, ngx_http_canary_read_cidr },
    { "header", 0, ngx_http_canary_read_header },
    { "cookie", 0, ngx_http_canary_read_cookie },

    { NULL, 0, NULL }
};


/*
 * The rules are of the pool, and name groups by slot; geoip says whether a
 * database is at hand.
 */

ngx_int_t
ngx_http_canary_read_rules(cJSON *json, ngx_pool_t *pool,
    ngx_http_canary_entry_t *entry, ngx_uint_t geoip,
    ngx_http_canary_rules_t *rules, ngx_http_canary_error_t *error)
{
    int                        n;
    cJSON                     *item;
    ngx_uint_t                 strata;
    ngx_http_canary_reading_t  rd;

    ngx_memzero(rules, sizeof(ngx_http_canary_rules_t));

    n = cJSON_GetArraySize(json);

    if (!cJSON_IsArray(json) || n > NGX_HTTP_CANARY_RULES) {
        return ngx_http_canary_refuse(error, "rules",
                                      "must be an array of at most %d rules",
                                      NGX_HTTP_CANARY_RULES);
    }

    if (n == 0) {
        return NGX_OK;
    }

    rules->rules = ngx_pcalloc(pool, n * sizeof(ngx_http_canary_rule_t));
    if (rules->rules == NULL) {
        return ngx_http_canary_refuse(error, "rules", "no memory");
    }

    rules->nrules = n;

    rd.pool = pool;
    rd.entry = entry;
    rd.error = error;
    rd.geoip = geoip;
    rd.n = 0;

    strata = 0;

    cJSON_ArrayForEach(item, json) {
        rd.rule = &rules->rules[rd.n];
        rd.field = NULL;

        if (ngx_http_canary_read_rule(&rd, item, &strata) != NGX_OK) {
            return NGX_ERROR;
        }

        rd.n++;
    }

    return NGX_OK;
}


/* {"if": {...}, "group": "green"} or {"if": {...}, "weights": {...}} */

static ngx_int_t
ngx_http_canary_read_rule(ngx_http_canary_reading_t *rd, cJSON *json,
    ngx_uint_t *strata)
{
    u_char                   field[64];
    cJSON                   *item;
    ngx_uint_t               conditions, groups, weights;
    ngx_http_canary_rule_t  *rule;

    rule = rd->rule;

    if (!cJSON_IsObject(json)) {
        return ngx_http_canary_refuse_rule(rd, -1, "must be an object");
    }

    conditions = 0;
    groups = 0;
    weights = 0;

    cJSON_ArrayForEach(item, json) {

        if (ngx_strcmp(item->string, "if") == 0 && !conditions++) {

            if (ngx_http_canary_read_if(rd, item) != NGX_OK) {
                return NGX_ERROR;
            }

            rd->field = NULL;

        } else if (ngx_strcmp(item->string, "group") == 0 && !groups++) {

            if (ngx_http_canary_read_group(rd, item) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (ngx_strcmp(item->string, "weights") == 0 && !weights++) {

            if (*strata == NGX_HTTP_CANARY_STRATA - 1) {
                return ngx_http_canary_refuse(rd->error, "rules",
                                    "at most %d rules may have weights",
                                    NGX_HTTP_CANARY_STRATA - 1);
            }

            rule->cell = ++*strata;
            rule->slot = NGX_HTTP_CANARY_NO_SLOT;

            ngx_sprintf(field, "rules[%ui].weights%Z", rd->n);

            if (ngx_http_canary_read_weights(item, rd->entry, (char *) field,
                                             rule->weights, rd->error)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else {
            return ngx_http_canary_refuse_rule(rd, -1,
                               "has \"if\", and \"group\" or \"weights\", "
                               "each once, and nothing else");
        }
    }

    if (!conditions || groups + weights != 1) {
        return ngx_http_canary_refuse_rule(rd, -1,
                           "must have \"if\", and either \"group\" or "
                           "\"weights\"");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_read_if(ngx_http_canary_reading_t *rd, cJSON *json)
{
    cJSON                        *item;
    ngx_uint_t                    i, seen;
    ngx_http_canary_condition_t  *c;

    rd->field = "";
    seen = 0;

    if (!cJSON_IsObject(json) || json->child == NULL) {
        return ngx_http_canary_refuse_rule(rd, -1,
                           "must be an object with at least one condition");
    }

    cJSON_ArrayForEach(item, json) {

        for (i = 0; ngx_http_canary_conditions[i].name; i++) {
            if (ngx_strcmp(item->string, ngx_http_canary_conditions[i].name)
                == 0)
            {
                break;
            }
        }

        c = &ngx_http_canary_conditions[i];

        if (c->name == NULL || (seen & (1 << i))) {
            return ngx_http_canary_refuse_rule(rd, -1,
                               "takes country, continent, asn, cidr, header "
                               "and cookie, each once");
        }

        seen |= 1 << i;
        rd->field = c->name;

        if (c->geoip && !rd->geoip) {
            return ngx_http_canary_refuse_rule(rd, -1,
                               "needs canary_geoip, which this nginx does "
                               "not have");
        }

        if (c->read(rd, item) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a name wins over a role, as it does in canary_force */

static ngx_int_t
ngx_http_canary_read_group(ngx_http_canary_reading_t *rd, cJSON *item)
{
    u_char                   field[64];
    ngx_str_t                name;
    ngx_http_canary_rule_t  *rule;

    rule = rd->rule;

    ngx_sprintf(field, "rules[%ui].group%Z", rd->n);

    if (!cJSON_IsString(item)) {
        return ngx_http_canary_refuse(rd->error, (char *) field,
                                      "must be the name of a group");
    }

    name.data = (u_char *) item->valuestring;
    name.len = ngx_strlen(name.data);

    rule->cell = NGX_HTTP_CANARY_PINNED;
    rule->slot = ngx_http_canary_shm_find_slot(rd->entry, &name);

    if (rule->slot != NGX_HTTP_CANARY_NO_SLOT) {
        return NGX_OK;
    }

    if (ngx_strcmp(name.data, "stable") == 0) {
        rule->slot = NGX_HTTP_CANARY_ROLE_STABLE;
        return NGX_OK;
    }

    if (ngx_strcmp(name.data, "canary") == 0) {
        rule->slot = NGX_HTTP_CANARY_ROLE_CANARY;
        return NGX_OK;
    }

    return ngx_http_canary_refuse(rd->error, (char *) field,
                                  "\"%s\" is not a group of this upstream",
                                  item->valuestring);
}


static ngx_int_t
ngx_http_canary_read_country(ngx_http_canary_reading_t *rd, cJSON *item)
{
    return ngx_http_canary_read_codes(rd, item, &rd->rule->country,
                  "must be a code of two capital letters, such as \"NZ\"");
}


static ngx_int_t
ngx_http_canary_read_continent(ngx_http_canary_reading_t *rd, cJSON *item)
{
    return ngx_http_canary_read_codes(rd, item, &rd->rule->continent,
                  "must be one of AF, AN, AS, EU, NA, OC, SA");
}


static ngx_int_t
ngx_http_canary_read_codes(ngx_http_canary_reading_t *rd, cJSON *json,
    ngx_array_t **codes, char *what)
{
    char       *s;
    cJSON      *item;
    uint16_t   *code;
    ngx_int_t   i;

    static char  continents[] = "AF AN AS EU NA OC SA";

    if (ngx_http_canary_read_list(rd, json, codes, sizeof(uint16_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    i = 0;

    cJSON_ArrayForEach(item, json) {
        s = cJSON_IsString(item) ? item->valuestring : "";

        if (ngx_strlen(s) != 2
            || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z'
            || (codes == &rd->rule->continent
                && ngx_strstr(continents, s) == NULL))
        {
            return ngx_http_canary_refuse_rule(rd, i, what);
        }

        code = ngx_array_push(*codes);
        *code = ngx_http_canary_code(s);

        i++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_read_asn(ngx_http_canary_reading_t *rd, cJSON *json)
{
    double      n;
    cJSON      *item;
    uint32_t   *asn;
    ngx_int_t   i;

    if (ngx_http_canary_read_list(rd, json, &rd->rule->asn, sizeof(uint32_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    i = 0;

    cJSON_ArrayForEach(item, json) {
        n = cJSON_IsNumber(item) ? item->valuedouble : 0;

        if (!(n >= 1 && n <= 4294967295.0) || n != (double) (uint32_t) n) {
            return ngx_http_canary_refuse_rule(rd, i,
                               "must be a whole number from 1 to 4294967295");
        }

        asn = ngx_array_push(rd->rule->asn);
        *asn = (uint32_t) n;

        i++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_read_cidr(ngx_http_canary_reading_t *rd, cJSON *json)
{
    cJSON       *item;
    ngx_int_t    i;
    ngx_str_t    text;
    ngx_cidr_t  *cidr;

    if (ngx_http_canary_read_list(rd, json, &rd->rule->cidr,
                                  sizeof(ngx_cidr_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    i = 0;

    cJSON_ArrayForEach(item, json) {
        ngx_str_null(&text);

        if (cJSON_IsString(item)) {
            text.data = (u_char *) item->valuestring;
            text.len = ngx_strlen(text.data);
        }

        cidr = ngx_array_push(rd->rule->cidr);
        ngx_memzero(cidr, sizeof(ngx_cidr_t));

        /* NGX_DONE: bits of the host were set, and are cleared */

        if (text.len == 0 || ngx_ptocidr(&text, cidr) == NGX_ERROR) {
            return ngx_http_canary_refuse_rule(rd, i,
                               "must be a network such as \"10.0.0.0/8\" or "
                               "\"2001:db8::/32\"");
        }

        i++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_read_header(ngx_http_canary_reading_t *rd, cJSON *item)
{
    ngx_http_canary_pair_t  *pair;

    if (ngx_http_canary_read_pair(rd, item, &rd->rule->header) != NGX_OK) {
        return NGX_ERROR;
    }

    pair = rd->rule->header;

    ngx_strlow(pair->name.data, pair->name.data, pair->name.len);
    pair->hash = ngx_hash_key(pair->name.data, pair->name.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_canary_read_cookie(ngx_http_canary_reading_t *rd, cJSON *item)
{
    return ngx_http_canary_read_pair(rd, item, &rd->rule->cookie);
}


/* {"name": "x-beta", "value": "1"}; without a value it must be there */

static ngx_int_t
ngx_http_canary_read_pair(ngx_http_canary_reading_t *rd, cJSON *json,
    ngx_http_canary_pair_t **pair)
{
    u_char     *c;
    cJSON      *item;
    ngx_str_t  *text;
    ngx_uint_t  is_name;

    *pair = ngx_pcalloc(rd->pool, sizeof(ngx_http_canary_pair_t));
    if (*pair == NULL) {
        return ngx_http_canary_refuse_rule(rd, -1, "no memory");
    }

    cJSON_ArrayForEach(item, json) {

        if (!cJSON_IsObject(json) || !cJSON_IsString(item)) {
            goto invalid;
        }

        is_name = (ngx_strcmp(item->string, "name") == 0);

        if (!is_name && ngx_strcmp(item->string, "value") != 0) {
            goto invalid;
        }

        text = is_name ? &(*pair)->name : &(*pair)->value;

        if (text->data) {
            goto invalid;
        }

        text->len = ngx_strlen(item->valuestring);

        if (text->len > NGX_HTTP_CANARY_RULE_VALUE
            || (is_name && text->len == 0))
        {
            goto invalid;
        }

        text->data = ngx_pnalloc(rd->pool, text->len + 1);
        if (text->data == NULL) {
            return ngx_http_canary_refuse_rule(rd, -1, "no memory");
        }

        ngx_memcpy(text->data, item->valuestring, text->len + 1);

        for (c = text->data; *c; c++) {
            if (*c < 0x20 || *c >= 0x7f
                || (is_name && ngx_strchr("()<>@,;:\\\"/[]?={} ", *c)))
            {
                goto invalid;
            }
        }
    }

    if ((*pair)->name.len) {
        return NGX_OK;
    }

invalid:

    return ngx_http_canary_refuse_rule(rd, -1,
                       "must have a \"name\" and may have a \"value\", of at "
                       "most 256 printable ASCII characters");
}


/* room for all elements: pushing them cannot fail */

static ngx_int_t
ngx_http_canary_read_list(ngx_http_canary_reading_t *rd, cJSON *item,
    ngx_array_t **array, size_t size)
{
    int  n;

    n = cJSON_GetArraySize(item);

    if (!cJSON_IsArray(item) || n == 0) {
        return ngx_http_canary_refuse_rule(rd, -1,
                                           "must be an array that is not "
                                           "empty");
    }

    *array = ngx_array_create(rd->pool, n, size);

    return *array ? NGX_OK : ngx_http_canary_refuse_rule(rd, -1, "no memory");
}


/* of the rule, of its "if", of a condition, or of an element of that */

static ngx_int_t
ngx_http_canary_refuse_rule(ngx_http_canary_reading_t *rd, ngx_int_t element,
    char *what)
{
    u_char  *p, field[64];

    p = ngx_sprintf(field, "rules[%ui]", rd->n);

    if (rd->field) {
        p = ngx_sprintf(p, ".if%s%s", rd->field[0] ? "." : "", rd->field);
    }

    if (element >= 0) {
        p = ngx_sprintf(p, "[%i]", element);
    }

    *p = '\0';

    return ngx_http_canary_refuse(rd->error, (char *) field, "%s", what);
}
