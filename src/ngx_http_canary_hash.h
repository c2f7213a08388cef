
/*
 * The hash of keys and salts.  After wyhash (Wang Yi): words of eight bytes,
 * little endian on every machine of a fleet, two at a time, the last two
 * overlapping those before them.  The seed must not be zero.
 */


#ifndef _NGX_HTTP_CANARY_HASH_H_INCLUDED_
#define _NGX_HTTP_CANARY_HASH_H_INCLUDED_


#include "ngx_http_canary.h"


static ngx_http_canary_inline uint64_t ngx_http_canary_hash_long(
    uint64_t seed, u_char *data, size_t len);
static ngx_http_canary_rare uint64_t ngx_http_canary_hash_short(uint64_t seed,
    u_char *data, size_t len);
static ngx_inline uint64_t ngx_http_canary_finish(uint64_t seed, uint64_t a,
    uint64_t b, size_t len);
static ngx_inline uint64_t ngx_http_canary_mix(uint64_t a, uint64_t b);
static ngx_inline uint64_t ngx_http_canary_word(u_char *p);


static ngx_http_canary_inline uint64_t
ngx_http_canary_hash_long(uint64_t seed, u_char *data, size_t len)
{
    size_t    n;
    uint64_t  a;

    a = ngx_http_canary_word(data);

    if (len > 16) {

        for (n = len; n > 16; n -= 16, data += 16) {
            seed = ngx_http_canary_mix(
                         ngx_http_canary_word(data) ^ 0x4b33a62ed433d4a3,
                         ngx_http_canary_word(data + 8) ^ seed);
        }

        data -= len - n;
        a = ngx_http_canary_word(data + len - 16);
    }

    return ngx_http_canary_finish(seed, a,
                                  ngx_http_canary_word(data + len - 8), len);
}


static uint64_t
ngx_http_canary_hash_short(uint64_t seed, u_char *data, size_t len)
{
    size_t    n;
    uint64_t  a;

    for (a = 0, n = len; n; n--) {
        a = a << 8 | data[n - 1];
    }

    return ngx_http_canary_finish(seed, a, a >> 32, len);
}


static ngx_inline uint64_t
ngx_http_canary_finish(uint64_t seed, uint64_t a, uint64_t b, size_t len)
{
    return ngx_http_canary_mix(ngx_http_canary_mix(a ^ 0xa0761d6478bd642f,
                                                   b ^ seed)
                               ^ len, 0xe7037ed1a0b428db);
}


/* both halves of the product */

static ngx_inline uint64_t
ngx_http_canary_mix(uint64_t a, uint64_t b)
{
#if (__SIZEOF_INT128__)

    __extension__ unsigned __int128  p;

    p = a;
    p *= b;

    return (uint64_t) p ^ (uint64_t) (p >> 64);

#else

    uint64_t  low, mid, high;

    low = (a & 0xffffffff) * (b & 0xffffffff);
    mid = (a >> 32) * (b & 0xffffffff) + (low >> 32);
    high = (a >> 32) * (b >> 32) + (mid >> 32);
    mid = (a & 0xffffffff) * (b >> 32) + (mid & 0xffffffff);
    high += mid >> 32;

    return (mid << 32 | (low & 0xffffffff)) ^ high;

#endif
}


static ngx_inline uint64_t
ngx_http_canary_word(u_char *p)
{
#if (NGX_HAVE_LITTLE_ENDIAN)

    uint64_t  word;

    ngx_memcpy(&word, p, 8);

    return word;

#else

    return (uint64_t) p[0] | (uint64_t) p[1] << 8
           | (uint64_t) p[2] << 16 | (uint64_t) p[3] << 24
           | (uint64_t) p[4] << 32 | (uint64_t) p[5] << 40
           | (uint64_t) p[6] << 48 | (uint64_t) p[7] << 56;

#endif
}


#endif /* _NGX_HTTP_CANARY_HASH_H_INCLUDED_ */
