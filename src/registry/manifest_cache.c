/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards by digest, each with a lock, a table of chains and a list in the order of use. Nothing is allocated or freed
 * under a lock. The cache holds one reference of each document in it.
 */
#include "registry/manifest_cache.h"

#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"
#include "metrics/metrics.h"

#define SHARDS 4
#define BUCKETS 1024 /* a shard */

struct doc {
    struct rs_manifest_doc doc;
    atomic_uint refs;
    size_t cost;
    struct doc *next_in_bucket; /* these under the shard's lock */
    struct doc *newer;
    struct doc *older;
    char data[]; /* the bytes, then the media type */
};

struct shard {
    struct rs_mutex lock;
    size_t bytes;
    size_t limit;
    uint64_t hits, misses;
    struct doc *newest;
    struct doc *oldest;
    struct doc *buckets[BUCKETS];
};

struct rs_manifest_cache {
    struct shard shards[SHARDS];
};

struct rs_manifest_cache *rs_manifest_cache_new(size_t limit)
{
    struct rs_manifest_cache *cache = rs_calloc(1, sizeof *cache);
    for (size_t i = 0; i < SHARDS; i++) {
        rs_mutex_init(&cache->shards[i].lock, RS_LOCK_CACHE);
        cache->shards[i].limit = limit / SHARDS;
    }
    return cache;
}

static struct doc *doc_of(const struct rs_manifest_doc *doc)
{
    return (struct doc *)(uintptr_t)doc; /* its first member; const is the readers' view only */
}

void rs_manifest_doc_unref(const struct rs_manifest_doc **doc)
{
    if (*doc == NULL)
        return;
    struct doc *d = doc_of(*doc);
    *doc = NULL;
    if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
        free(d);
}

static void drop(struct doc *d)
{
    const struct rs_manifest_doc *doc = &d->doc;
    rs_manifest_doc_unref(&doc);
}

void rs_manifest_cache_free(struct rs_manifest_cache **cache)
{
    if (*cache == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &(*cache)->shards[i];
        for (struct doc *d = s->newest, *older; d != NULL; d = older) {
            older = d->older;
            drop(d);
        }
        rs_mutex_release(&s->lock);
    }
    free(*cache);
    *cache = NULL;
}

/* A digest is a good hash already: its first 32 bits. */
static uint32_t spread_of(const struct rs_digest *digest)
{
    uint8_t raw[4] = {0};
    uint32_t spread;
    rs_hex_decode((rs_str){rs_digest_hex(digest), 2 * sizeof raw}, raw, sizeof raw);
    memcpy(&spread, raw, sizeof spread);
    return spread;
}

static struct shard *shard_of(struct rs_manifest_cache *cache, uint32_t spread)
{
    return &cache->shards[spread % SHARDS];
}

static struct doc **bucket_of(struct shard *s, uint32_t spread)
{
    return &s->buckets[spread / SHARDS % BUCKETS];
}

static void unlink_use_locked(struct shard *s, struct doc *d)
{
    *(d->newer != NULL ? &d->newer->older : &s->newest) = d->older;
    *(d->older != NULL ? &d->older->newer : &s->oldest) = d->newer;
}

static void link_newest_locked(struct shard *s, struct doc *d)
{
    d->newer = NULL;
    d->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = d;
    s->newest = d;
}

/* With a reference for the caller, and as the newest; NULL if it is not there. */
static struct doc *find_locked(struct shard *s, uint32_t spread, const struct rs_digest *digest)
{
    struct doc *d = *bucket_of(s, spread);
    while (d != NULL && !rs_digest_eq(&d->doc.digest, digest))
        d = d->next_in_bucket;
    if (d == NULL)
        return NULL;
    if (d != s->newest) {
        unlink_use_locked(s, d);
        link_newest_locked(s, d);
    }
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

/* Takes out what is too much; returns it as a chain by `older`, to be dropped without the lock. */
static struct doc *evict_locked(struct shard *s)
{
    struct doc *evicted = NULL;
    while (s->bytes > s->limit) {
        struct doc *d = s->oldest;
        struct doc **at = bucket_of(s, spread_of(&d->doc.digest));
        while (*at != d)
            at = &(*at)->next_in_bucket;
        *at = d->next_in_bucket;
        unlink_use_locked(s, d);
        s->bytes -= d->cost;
        d->older = evicted;
        evicted = d;
    }
    return evicted;
}

const struct rs_manifest_doc *rs_manifest_cache_find(struct rs_manifest_cache *cache, const struct rs_digest *digest)
{
    uint32_t spread = spread_of(digest);
    struct shard *s = shard_of(cache, spread);
    rs_mutex_lock(&s->lock);
    struct doc *d = find_locked(s, spread, digest);
    *(d != NULL ? &s->hits : &s->misses) += 1;
    rs_mutex_unlock(&s->lock);
    return d != NULL ? &d->doc : NULL;
}

static struct doc *doc_new(const struct rs_digest *digest, rs_str bytes, rs_str media_type)
{
    size_t cost = sizeof(struct doc) + bytes.len + media_type.len;
    struct doc *d = rs_malloc(cost);
    memcpy(d->data, bytes.ptr, bytes.len);
    memcpy(d->data + bytes.len, media_type.ptr, media_type.len);
    d->doc.bytes = (rs_str){d->data, bytes.len};
    d->doc.media_type = (rs_str){d->data + bytes.len, media_type.len};
    d->doc.digest = *digest;
    d->cost = cost;
    atomic_init(&d->refs, 1);
    return d;
}

static void insert_locked(struct shard *s, uint32_t spread, struct doc *d)
{
    struct doc **bucket = bucket_of(s, spread);
    d->next_in_bucket = *bucket;
    *bucket = d;
    link_newest_locked(s, d);
    s->bytes += d->cost;
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
}

const struct rs_manifest_doc *rs_manifest_cache_add(struct rs_manifest_cache *cache, const struct rs_digest *digest,
                                                    rs_str bytes, rs_str media_type)
{
    uint32_t spread = spread_of(digest);
    struct shard *s = shard_of(cache, spread);
    struct doc *d = doc_new(digest, bytes, media_type);
    if (d->cost > s->limit)
        return &d->doc; /* lives as long as its reader */
    rs_mutex_lock(&s->lock);
    struct doc *present = find_locked(s, spread, digest);
    if (present == NULL)
        insert_locked(s, spread, d);
    struct doc *evicted = evict_locked(s);
    rs_mutex_unlock(&s->lock);
    for (struct doc *older; evicted != NULL; evicted = older) {
        older = evicted->older;
        drop(evicted);
    }
    if (present == NULL)
        return &d->doc;
    drop(d);
    return &present->doc;
}

size_t rs_manifest_cache_bytes(struct rs_manifest_cache *cache)
{
    size_t bytes = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        rs_mutex_lock(&cache->shards[i].lock);
        bytes += cache->shards[i].bytes;
        rs_mutex_unlock(&cache->shards[i].lock);
    }
    return bytes;
}

void rs_manifest_cache_measure(struct rs_manifest_cache *cache)
{
    uint64_t hits = 0, misses = 0, limit = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        rs_mutex_lock(&cache->shards[i].lock);
        hits += cache->shards[i].hits;
        misses += cache->shards[i].misses;
        limit += cache->shards[i].limit;
        rs_mutex_unlock(&cache->shards[i].lock);
    }
    rs_metrics_set(RS_METRIC_CACHE_HITS, RS_NO_LABELS, hits);
    rs_metrics_set(RS_METRIC_CACHE_MISSES, RS_NO_LABELS, misses);
    rs_metrics_set(RS_METRIC_CACHE_TOTAL, RS_LABELS(RS_VALUE_CACHE_HIT), hits);
    rs_metrics_set(RS_METRIC_CACHE_TOTAL, RS_LABELS(RS_VALUE_CACHE_MISS), misses);
    rs_metrics_set(RS_METRIC_CACHE_TOTAL, RS_LABELS(RS_VALUE_CACHE_REQUEST), hits + misses);
    rs_metrics_set(RS_METRIC_CACHE_BYTES, RS_NO_LABELS, rs_manifest_cache_bytes(cache));
    rs_metrics_set(RS_METRIC_CACHE_MAX_BYTES, RS_NO_LABELS, limit);
}
