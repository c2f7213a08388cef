
/*
 * The routing record and its rules as JSON.
 */


#include "ngx_http_canary.h"


static void ngx_http_canary_print_rule(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, ngx_http_canary_rule_t *rule);
static void ngx_http_canary_print_codes(ngx_http_canary_out_t *out,
    char *name, ngx_array_t *codes, ngx_uint_t *n);
static void ngx_http_canary_print_cidrs(ngx_http_canary_out_t *out,
    ngx_array_t *cidrs, ngx_uint_t *n);
static void ngx_http_canary_print_pair(ngx_http_canary_out_t *out,
    char *name, ngx_http_canary_pair_t *pair, ngx_uint_t *n);


void
ngx_http_canary_print_record(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, ngx_http_canary_record_t *record,
    ngx_str_t *rules)
{
    ngx_str_t   salt;
    ngx_uint_t  i, n, slots;

    ngx_http_canary_print(out, "{\"revision\": %uL, \"stable\": ",
                          record->revision);
    ngx_http_canary_print_string(out,
                       ngx_http_canary_shm_slot_name(entry, record->stable));

    ngx_http_canary_print(out, ", \"canary\": ");
    ngx_http_canary_print_string(out,
                       ngx_http_canary_shm_slot_name(entry, record->canary));

    ngx_http_canary_print(out, ", \"weights\": {");

    slots = ngx_http_canary_shm_slots(entry);

    for (i = 0, n = 0; i < slots; i++) {

        if (record->weights[i] == 0
            && i != record->stable && i != record->canary)
        {
            continue;
        }

        if (n++) {
            ngx_http_canary_print(out, ", ");
        }

        ngx_http_canary_print_string(out,
                                   ngx_http_canary_shm_slot_name(entry, i));
        ngx_http_canary_print(out, ": ");
        ngx_http_canary_print_weight(out, record->weights[i]);
    }

    salt.data = record->salt;
    salt.len = record->salt_len;

    ngx_http_canary_print(out, "}, \"salt\": ");
    ngx_http_canary_print_string(out, &salt);

    ngx_http_canary_print(out, ", \"lease_ms\": %uD, \"on_lapse\": \"%s\"",
                          record->lease_ms,
                          record->keep ? "keep" : "stable");

    if (record->guard.failures) {
        ngx_http_canary_print(out, ", \"guard\": {\"group\": ");
        ngx_http_canary_print_string(out,
                   ngx_http_canary_shm_slot_name(entry, record->guard.slot));
        ngx_http_canary_print(out, ", \"failures\": %uD, \"ratio\": "
                              "%ui.%04ui, \"window_ms\": %uD}",
                              record->guard.failures,
                              (ngx_uint_t) record->guard.ratio
                                           / NGX_HTTP_CANARY_WHOLE,
                              (ngx_uint_t) record->guard.ratio
                                           % NGX_HTTP_CANARY_WHOLE,
                              record->guard.window_ms);
    }

    if (rules && rules->len) {
        ngx_http_canary_print(out, ", \"rules\": ");
        ngx_http_canary_print_raw(out, rules);
    }

    ngx_http_canary_print(out, "}");
}


/* of a rule: those that are not 0 */

void
ngx_http_canary_print_weights(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, uint16_t *weights)
{
    ngx_uint_t  i, n;

    ngx_http_canary_print(out, "{");

    for (i = 0, n = 0; i < NGX_HTTP_CANARY_SLOTS; i++) {

        if (weights[i] == 0) {
            continue;
        }

        ngx_http_canary_print(out, n++ ? ", " : "");
        ngx_http_canary_print_string(out,
                                   ngx_http_canary_shm_slot_name(entry, i));
        ngx_http_canary_print(out, ": ");
        ngx_http_canary_print_weight(out, weights[i]);
    }

    ngx_http_canary_print(out, "}");
}


/* always the same text for the same rules: records are compared by it */

void
ngx_http_canary_print_rules(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, ngx_http_canary_rules_t *rules)
{
    ngx_uint_t  i;

    ngx_http_canary_print(out, "[");

    for (i = 0; i < rules->nrules; i++) {
        ngx_http_canary_print(out, i ? ", " : "");
        ngx_http_canary_print_rule(out, entry, &rules->rules[i]);
    }

    ngx_http_canary_print(out, "]");
}


static void
ngx_http_canary_print_rule(ngx_http_canary_out_t *out,
    ngx_http_canary_entry_t *entry, ngx_http_canary_rule_t *rule)
{
    uint32_t    *asn;
    ngx_uint_t   i, n;

    n = 0;

    ngx_http_canary_print(out, "{\"if\": {");

    ngx_http_canary_print_codes(out, "country", rule->country, &n);
    ngx_http_canary_print_codes(out, "continent", rule->continent, &n);

    if (rule->asn) {
        ngx_http_canary_print(out, "%s\"asn\": [", n++ ? ", " : "");

        asn = rule->asn->elts;

        for (i = 0; i < rule->asn->nelts; i++) {
            ngx_http_canary_print(out, i ? ", %uD" : "%uD", asn[i]);
        }

        ngx_http_canary_print(out, "]");
    }

    ngx_http_canary_print_cidrs(out, rule->cidr, &n);
    ngx_http_canary_print_pair(out, "header", rule->header, &n);
    ngx_http_canary_print_pair(out, "cookie", rule->cookie, &n);

    if (rule->slot == NGX_HTTP_CANARY_NO_SLOT) {
        ngx_http_canary_print(out, "}, \"weights\": ");
        ngx_http_canary_print_weights(out, entry, rule->weights);

    } else {
        ngx_http_canary_print(out, "}, \"group\": ");

        if (rule->slot < NGX_HTTP_CANARY_SLOTS) {
            ngx_http_canary_print_string(out,
                         ngx_http_canary_shm_slot_name(entry, rule->slot));

        } else {
            ngx_http_canary_print(out,
                                  rule->slot == NGX_HTTP_CANARY_ROLE_STABLE
                                  ? "\"stable\"" : "\"canary\"");
        }
    }

    ngx_http_canary_print(out, "}");
}


static void
ngx_http_canary_print_codes(ngx_http_canary_out_t *out, char *name,
    ngx_array_t *codes, ngx_uint_t *n)
{
    uint16_t    *code;
    ngx_uint_t   i;

    if (codes == NULL) {
        return;
    }

    ngx_http_canary_print(out, "%s\"%s\": [", (*n)++ ? ", " : "", name);

    code = codes->elts;

    for (i = 0; i < codes->nelts; i++) {
        ngx_http_canary_print(out, "%s\"%c%c\"", i ? ", " : "",
                              code[i] >> 8, code[i] & 0xff);
    }

    ngx_http_canary_print(out, "]");
}


static void
ngx_http_canary_print_cidrs(ngx_http_canary_out_t *out, ngx_array_t *cidrs,
    ngx_uint_t *n)
{
    u_char      *mask, text[NGX_SOCKADDR_STRLEN];
    size_t       len, size;
    ngx_uint_t   i, k, bits;
    ngx_cidr_t  *cidr;

    if (cidrs == NULL) {
        return;
    }

    ngx_http_canary_print(out, "%s\"cidr\": [", (*n)++ ? ", " : "");

    cidr = cidrs->elts;

    for (i = 0; i < cidrs->nelts; i++) {

#if (NGX_HAVE_INET6)
        if (cidr[i].family == AF_INET6) {
            len = ngx_inet6_ntop(cidr[i].u.in6.addr.s6_addr, text,
                                 sizeof(text));
            mask = cidr[i].u.in6.mask.s6_addr;
            size = 16;

        } else
#endif
        {
            len = ngx_inet_ntop(AF_INET, &cidr[i].u.in.addr, text,
                                sizeof(text));
            mask = (u_char *) &cidr[i].u.in.mask;
            size = 4;
        }

        for (k = 0, bits = 0; k < 8 * size; k++) {
            bits += (mask[k / 8] >> (7 - k % 8)) & 1;
        }

        ngx_http_canary_print(out, "%s\"%*s/%ui\"", i ? ", " : "", len, text,
                              bits);
    }

    ngx_http_canary_print(out, "]");
}


static void
ngx_http_canary_print_pair(ngx_http_canary_out_t *out, char *name,
    ngx_http_canary_pair_t *pair, ngx_uint_t *n)
{
    if (pair == NULL) {
        return;
    }

    ngx_http_canary_print(out, "%s\"%s\": {\"name\": ", (*n)++ ? ", " : "",
                          name);
    ngx_http_canary_print_string(out, &pair->name);

    if (pair->value.data) {
        ngx_http_canary_print(out, ", \"value\": ");
        ngx_http_canary_print_string(out, &pair->value);
    }

    ngx_http_canary_print(out, "}");
}
