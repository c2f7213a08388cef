#include "limit.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#define LIMIT_WINDOW  60000        /* ms */

typedef struct {
    uint64_t  client;              /* its hash; 0: free */
    int64_t   at_ms;
    double    failures;            /* at that time; they leak away */
} limit_entry_t;

struct auth_limit_s {
    unsigned char   key[16];       /* nobody can aim at a set */
    limit_entry_t   entries[AUTH_LIMIT_SETS][AUTH_LIMIT_WAYS];
};

static uint64_t limit_hash(const auth_limit_t *limit, const char *client);
static limit_entry_t *limit_find(auth_limit_t *limit, uint64_t client);
static double limit_level(const limit_entry_t *entry, int most,
    int64_t now_ms);


auth_limit_t *
auth_limit_new(void)
{
    auth_limit_t  *limit;

    limit = calloc(1, sizeof(*limit));

    if (limit != NULL && RAND_bytes(limit->key, sizeof(limit->key)) != 1) {
        free(limit);
        return NULL;
    }

    return limit;
}


void
auth_limit_free(auth_limit_t *limit)
{
    free(limit);
}


bool
auth_limit_reached(auth_limit_t *limit, const char *client, int most,
    int64_t now_ms)
{
    limit_entry_t  *entry;

    entry = limit_find(limit, limit_hash(limit, client));

    return entry != NULL && limit_level(entry, most, now_ms) > most - 1;
}


bool
auth_limit_failed(auth_limit_t *limit, const char *client, int most,
    int64_t now_ms)
{
    double          level;
    uint64_t        hash;
    unsigned        i;
    limit_entry_t  *entry, *set;

    hash = limit_hash(limit, client);
    entry = limit_find(limit, hash);

    if (entry == NULL) {
        set = limit->entries[hash % AUTH_LIMIT_SETS];
        entry = &set[0];

        for (i = 1; i < AUTH_LIMIT_WAYS; i++) {
            if (set[i].at_ms < entry->at_ms) {
                entry = &set[i];
            }
        }

        memset(entry, 0, sizeof(*entry));
        entry->client = hash;
        entry->at_ms = now_ms;
    }

    level = limit_level(entry, most, now_ms);
    entry->failures = level + 1 < most ? level + 1 : most;
    entry->at_ms = now_ms;

    return level <= most - 1 && entry->failures > most - 1;
}


static uint64_t
limit_hash(const auth_limit_t *limit, const char *client)
{
    size_t         len;
    uint64_t       hash;
    unsigned char  text[16 + 64], digest[32];

    len = strnlen(client, 64);
    memcpy(text, limit->key, 16);
    memcpy(text + 16, client, len);

    if (EVP_Digest(text, 16 + len, digest, NULL, EVP_sha256(), NULL) != 1) {
        abort();
    }

    memcpy(&hash, digest, sizeof(hash));

    return hash != 0 ? hash : 1;
}


static limit_entry_t *
limit_find(auth_limit_t *limit, uint64_t client)
{
    unsigned        i;
    limit_entry_t  *set;

    set = limit->entries[client % AUTH_LIMIT_SETS];

    for (i = 0; i < AUTH_LIMIT_WAYS; i++) {
        if (set[i].client == client) {
            return &set[i];
        }
    }

    return NULL;
}


static double
limit_level(const limit_entry_t *entry, int most, int64_t now_ms)
{
    double  level;

    level = entry->failures
            - (double) (now_ms - entry->at_ms) * most / LIMIT_WINDOW;

    return level > 0 ? level : 0;
}
