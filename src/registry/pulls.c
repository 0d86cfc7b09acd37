/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PULLS. A manifest's GET is the hot path of the program, so a pull costs it a hash and a look at four words, which say
 * what was noted within the last SEEN_MINUTES. They are atomic, each is whole by itself, and a lost store costs a
 * second note, so they need no lock. What they do not know goes, under the lock, into the table of what waits, unless
 * the repository's pulls are not tracked; the words then say "noted" either way, so that patterns are matched about
 * once an hour.
 *
 * One thread takes out what waits and writes it: the record is an empty file whose time of change is the pull. Whoever
 * finds a record of the last few minutes leaves it, for another server may have made it. So a record is at most
 * RS_PULL_RESOLUTION_S older than the last pull; who judges by it adds that.
 *
 * Bounded: what does not fit is dropped and not remembered as noted, so that the next pull brings it again.
 */
#include "registry/pulls.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "layout/paths.h"
#include "metrics/metrics.h"
#include "registry/manifest.h"
#include "registry/registry_priv.h"

#define SEEN_MINUTES 50
#define FRESH_S 300
#define WAYS 4
#define BUCKETS 8192 /* of seen words: 256 KiB */
#define WAITING 4096 /* some 400 bytes each, of which those are touched that are used */
#define PROBES 16
#define MINUTE_MS 60000
#define MINUTE_MASK UINT64_C(0xfffff) /* the low bits of a word; the others are the hash's */

_Static_assert((SEEN_MINUTES * 60) + FRESH_S + 120 <= RS_PULL_RESOLUTION_S, "records are not as exact as promised");

struct rs_pulls {
    rs_pulls_tracked *tracked;
    const void *ctx;
    uint64_t seed;
    _Atomic uint64_t seen[BUCKETS][WAYS];
    atomic_uint_fast64_t dropped;
    struct rs_mutex lock;
    struct waiting {
        bool used;
        struct rs_pull pull;
    } waiting[WAITING]; /* under the lock */
};

struct rs_pulls *rs_pulls_new(rs_pulls_tracked *tracked, const void *ctx)
{
    struct rs_pulls *p = rs_calloc(1, sizeof *p);
    p->tracked = tracked;
    p->ctx = ctx;
    rs_random(&p->seed, sizeof p->seed);
    rs_mutex_init(&p->lock, RS_LOCK_PULLS);
    return p;
}

void rs_pulls_free(struct rs_pulls **pulls)
{
    if (*pulls == NULL)
        return;
    rs_mutex_release(&(*pulls)->lock);
    free(*pulls);
    *pulls = NULL;
}

/* --- what was noted --- */

static uint64_t mix(uint64_t h, rs_str bytes)
{
    uint64_t word;
    h ^= bytes.len;
    for (; bytes.len > 0; bytes = rs_str_from(bytes, sizeof word)) {
        word = 0;
        memcpy(&word, bytes.ptr, RS_MIN(bytes.len, sizeof word));
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

/* The first 128 bits of a digest tell it apart from any other. */
static uint64_t hash_of(const struct rs_pulls *p, rs_str repository, const struct rs_digest *digest)
{
    uint64_t h = mix(p->seed, (rs_str){rs_digest_hex(digest), 32});
    h = mix(h ^ (uint64_t)digest->alg, repository);
    return h ^ h >> 29;
}

static uint64_t word_of(uint64_t hash, int64_t now_ms)
{
    return (hash & ~MINUTE_MASK) | ((uint64_t)(now_ms / MINUTE_MS) & MINUTE_MASK);
}

/* Minutes since the word was made. */
static uint64_t age_of(uint64_t word, int64_t now_ms)
{
    return ((uint64_t)(now_ms / MINUTE_MS) - word) & MINUTE_MASK;
}

static _Atomic uint64_t *bucket_of(struct rs_pulls *p, uint64_t hash)
{
    return p->seen[hash % BUCKETS];
}

static bool is_seen(struct rs_pulls *p, uint64_t hash, int64_t now_ms)
{
    _Atomic uint64_t *bucket = bucket_of(p, hash);
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        if ((word & ~MINUTE_MASK) == (hash & ~MINUTE_MASK) && age_of(word, now_ms) < SEEN_MINUTES)
            return true;
    }
    return false;
}

/* In place of the same one, of an unused word, or of the oldest. */
static void set_seen(struct rs_pulls *p, uint64_t hash, int64_t now_ms)
{
    _Atomic uint64_t *bucket = bucket_of(p, hash);
    size_t best = 0;
    uint64_t best_age = 0;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        bool same = word == 0 || (word & ~MINUTE_MASK) == (hash & ~MINUTE_MASK);
        uint64_t age = same ? UINT64_MAX : age_of(word, now_ms);
        if (age > best_age) {
            best = i;
            best_age = age;
        }
    }
    atomic_store_explicit(&bucket[best], word_of(hash, now_ms), memory_order_relaxed);
}

/* --- what waits --- */

/* The slot of this pull, or a free one for it; NULL: all that it may take are taken. */
static struct waiting *slot_locked(struct rs_pulls *p, uint64_t hash)
{
    struct waiting *unused = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        struct waiting *w = &p->waiting[(hash + i) % WAITING];
        if (w->used && w->pull.hash == hash)
            return w;
        if (!w->used && unused == NULL)
            unused = w;
    }
    return unused;
}

static bool put_waiting(struct rs_pulls *p, uint64_t hash, rs_str repository, const struct rs_digest *digest)
{
    rs_mutex_lock(&p->lock);
    struct waiting *w = slot_locked(p, hash);
    if (w != NULL && !w->used) {
        w->used = true;
        w->pull.hash = hash;
        w->pull.digest = *digest;
        w->pull.name_len = repository.len;
        memcpy(w->pull.name, repository.ptr, repository.len);
    }
    rs_mutex_unlock(&p->lock);
    return w != NULL;
}

void rs_pulls_note(struct rs_pulls *p, rs_str repository, const struct rs_digest *digest, int64_t now_ms)
{
    RS_ASSERT(repository.len <= RS_NAME_MAX);
    uint64_t hash = hash_of(p, repository, digest);
    if (is_seen(p, hash, now_ms))
        return;
    if (!p->tracked(p->ctx, repository) || put_waiting(p, hash, repository, digest))
        set_seen(p, hash, now_ms);
    else
        atomic_fetch_add_explicit(&p->dropped, 1, memory_order_relaxed);
}

bool rs_pulls_take(struct rs_pulls *p, size_t *cursor, struct rs_pull *out)
{
    bool found = false;
    rs_mutex_lock(&p->lock);
    for (; !found && *cursor < WAITING; ++*cursor) {
        struct waiting *w = &p->waiting[*cursor];
        found = w->used;
        if (found)
            *out = w->pull;
        w->used = false;
    }
    rs_mutex_unlock(&p->lock);
    return found;
}

void rs_pulls_forget(struct rs_pulls *p, const struct rs_pull *pull)
{
    _Atomic uint64_t *bucket = bucket_of(p, pull->hash);
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        if ((word & ~MINUTE_MASK) == (pull->hash & ~MINUTE_MASK))
            atomic_store_explicit(&bucket[i], 0, memory_order_relaxed);
    }
}

uint64_t rs_pulls_dropped(const struct rs_pulls *p)
{
    return atomic_load_explicit(&p->dropped, memory_order_relaxed);
}

/* --- the storage --- */

/* Nothing is made of a manifest that has gone since, lest its repository come back as a ghost. */
static rs_rc record(struct rs_storage *storage, const struct rs_pull *pull, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    const rs_str name = {pull->name, pull->name_len};
    rs_rc rc = rs_storage_stat(storage, rs_path_revision_link(&path, name, &pull->digest), &st, err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    rc = rs_storage_stat(storage, rs_path_pulled_at(&path, name, &pull->digest), &st, err);
    int64_t age_s = rs_wall_s() - (rc == RS_OK ? st.mtime_s : 0);
    if (rc == RS_OK && age_s >= 0 && age_s < FRESH_S)
        return RS_OK;
    if (rc == RS_OK)
        rc = rs_storage_touch(storage, path.z, err);
    return rc == RS_E_NOT_FOUND ? rs_storage_put(storage, path.z, RS_STR(""), NULL, err) : rc;
}

void rs_pull_note(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest)
{
    if (registry->pulls != NULL)
        rs_pulls_note(registry->pulls, repository, digest, rs_mono_ms());
}

rs_rc rs_pulls_write(struct rs_registry *registry, uint64_t *out_failed, struct rs_err *err)
{
    struct rs_pull pull;
    struct rs_err one;
    rs_rc first = RS_OK;
    size_t cursor = 0;
    *out_failed = 0;
    while (registry->pulls != NULL && rs_pulls_take(registry->pulls, &cursor, &pull)) {
        rs_rc rc = record(registry->storage, &pull, &one);
        if (rc == RS_OK)
            continue;
        rs_pulls_forget(registry->pulls, &pull);
        if (++*out_failed == 1 && err != NULL)
            *err = one;
        first = first != RS_OK ? first : rc;
    }
    return first;
}
