/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READINGS: which readings of directories are kept, and when one is believed.
 *
 * A reading is kept with the directory's stamp, taken before it was read. As long as the storage tells the same stamp,
 * nothing has changed since. A stamp of 0 says that the directory changed just now: the reading then serves whoever was
 * waiting for it, and as a source of notes, and is not believed again.
 *
 * One thread reads a directory at a time. Who comes while another reads waits: that reading may have passed by a change
 * that was made before the wait began, so it is believed only with the right stamp. A reading that *began* after
 * somebody had come shows all that he may expect. So those who wait need two readings at most, however often the
 * directory changes, and share the second.
 *
 * The lock guards the table, the order of use and the counts; nothing is read or freed under it. A slot in use by a
 * thread is not removed.
 */
#include <time.h>

#include "base/lock.h"
#include "base/mem.h"
#include "registry/children_priv.h"
#include "registry/registry_priv.h"

#define BUCKETS 4096
#define MEMORY_MAX (16 * 1024 * 1024) /* bytes of small readings, with their slots */
#define FILES_MAX 64                  /* open, in the cache; a reading in use may be more */
/* How long a large directory that has just changed is given before it is read, lest it be read again for the next
 * call. */
#define SETTLE_NS (5 * 1000 * 1000)
#define SETTLE_ATTEMPTS 4

struct slot {
    struct slot *next; /* in its bucket */
    struct slot *newer;
    struct slot *older;
    struct rs_children *kept; /* NULL: never read yet */
    uint64_t stamp;           /* of kept */
    uint64_t begun;           /* readings */
    uint64_t ended;           /* the number of the last one that succeeded */
    bool reading;
    unsigned users;
    size_t len;
    char path[];
};

/* Slots in the order of use; those with files apart from those without. */
struct order {
    struct slot *newest;
    struct slot *oldest;
    size_t cost; /* bytes, or files */
    size_t max;
};

struct rs_children_cache {
    const char *state_dir;
    struct rs_mutex lock;
    pthread_cond_t ended; /* some reading has */
    struct order in_memory;
    struct order in_files;
    struct slot *buckets[BUCKETS];
};

struct rs_children_cache *rs_children_cache_new(const char *state_dir)
{
    struct rs_children_cache *cache = rs_calloc(1, sizeof *cache);
    cache->state_dir = state_dir;
    cache->in_memory.max = MEMORY_MAX;
    cache->in_files.max = FILES_MAX;
    rs_mutex_init(&cache->lock, RS_LOCK_CHILDREN);
    rs_cond_init(&cache->ended);
    return cache;
}

static void slot_free(struct slot *s)
{
    rs_children_unref(&s->kept);
    free(s);
}

void rs_children_cache_free(struct rs_children_cache **cache)
{
    if (*cache == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct slot *s = (*cache)->buckets[i], *next; s != NULL; s = next) {
            next = s->next;
            slot_free(s);
        }
    }
    pthread_cond_destroy(&(*cache)->ended);
    rs_mutex_release(&(*cache)->lock);
    free(*cache);
    *cache = NULL;
}

/* --- the order of use --- */

static struct order *order_of(struct rs_children_cache *cache, const struct slot *s)
{
    return s->kept != NULL && s->kept->fd >= 0 ? &cache->in_files : &cache->in_memory;
}

static size_t cost_of(const struct slot *s)
{
    if (s->kept != NULL && s->kept->fd >= 0)
        return 1;
    return sizeof *s + s->len + (s->kept != NULL ? s->kept->size : 0);
}

static void unlink_use_locked(struct rs_children_cache *cache, struct slot *s)
{
    struct order *o = order_of(cache, s);
    *(s->newer != NULL ? &s->newer->older : &o->newest) = s->older;
    *(s->older != NULL ? &s->older->newer : &o->oldest) = s->newer;
    o->cost -= cost_of(s);
}

static void link_newest_locked(struct rs_children_cache *cache, struct slot *s)
{
    struct order *o = order_of(cache, s);
    s->newer = NULL;
    s->older = o->newest;
    *(o->newest != NULL ? &o->newest->newer : &o->oldest) = s;
    o->newest = s;
    o->cost += cost_of(s);
}

static struct slot **bucket_of(struct rs_children_cache *cache, const char *path, size_t len)
{
    uint64_t h = len;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)path[i]) * UINT64_C(0x100000001b3);
    return &cache->buckets[(h ^ h >> 32) % BUCKETS];
}

/* Takes out one slot that is too much and that nobody uses; NULL if there is none. */
static struct slot *evict_locked(struct rs_children_cache *cache, struct order *o)
{
    struct slot *s = o->cost > o->max ? o->oldest : NULL;
    while (s != NULL && s->users > 0)
        s = s->newer;
    if (s == NULL)
        return NULL;
    struct slot **at = bucket_of(cache, s->path, s->len);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    unlink_use_locked(cache, s);
    return s;
}

static void evict(struct rs_children_cache *cache)
{
    struct slot *s;
    do {
        rs_mutex_lock(&cache->lock);
        s = evict_locked(cache, &cache->in_memory);
        if (s == NULL)
            s = evict_locked(cache, &cache->in_files);
        rs_mutex_unlock(&cache->lock);
        if (s != NULL)
            slot_free(s);
    } while (s != NULL);
}

/* Finds or makes the slot of a path, as the newest. */
static struct slot *slot_locked(struct rs_children_cache *cache, const char *path)
{
    size_t len = strlen(path);
    struct slot **bucket = bucket_of(cache, path, len);
    struct slot *s = *bucket;
    while (s != NULL && (s->len != len || memcmp(s->path, path, len) != 0))
        s = s->next;
    if (s != NULL) {
        unlink_use_locked(cache, s);
    } else {
        s = rs_calloc(1, sizeof *s + len + 1);
        memcpy(s->path, path, len);
        s->len = len;
        s->next = *bucket;
        *bucket = s;
    }
    link_newest_locked(cache, s);
    return s;
}

/* --- opening --- */

/* With a reference for the caller. */
static struct rs_children *shared(struct rs_children *c)
{
    if (c != NULL)
        rs_children_ref(c);
    return c;
}

/* Waits until there is a reading that may be believed, or none goes on: then *out is NULL, and the caller reads.
 * `stamp` was taken after the caller had come. */
static void await_locked(struct rs_children_cache *cache, struct slot *s, uint64_t stamp, struct rs_children **out)
{
    uint64_t wanted = s->begun + 1; /* the first reading that begins from now on */
    for (;;) {
        if (s->kept != NULL && ((stamp != 0 && s->stamp == stamp) || s->ended >= wanted)) {
            *out = shared(s->kept);
            return;
        }
        if (!s->reading) {
            *out = NULL;
            return;
        }
        rs_cond_wait(&cache->ended, &cache->lock);
    }
}

static void keep_locked(struct rs_children_cache *cache, struct slot *s, struct rs_children *fresh, uint64_t stamp)
{
    unlink_use_locked(cache, s);
    s->kept = shared(fresh);
    s->stamp = stamp;
    s->ended = s->begun;
    link_newest_locked(cache, s);
}

/* The stamp from before the reading. A large directory that is changing is given a moment. */
static rs_rc stamp_before(struct rs_registry *registry, const struct slot *s, const struct rs_children *old,
                          struct rs_storage_stat *st, struct rs_err *err)
{
    RS_TRY(rs_storage_stat(registry->storage, s->path, st, err));
    bool large = old != NULL && old->fd >= 0;
    for (int i = 0; large && st->stamp == 0 && i < SETTLE_ATTEMPTS; i++) {
        nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
        RS_TRY(rs_storage_stat(registry->storage, s->path, st, err));
    }
    return RS_OK;
}

/* By the one thread that has set s->reading. */
static rs_rc read_slot(struct rs_registry *registry, struct slot *s, struct rs_children *old, struct rs_children **out,
                       struct rs_err *err)
{
    struct rs_children_cache *cache = registry->children;
    struct rs_storage_stat st = {0};
    rs_rc rc = stamp_before(registry, s, old, &st, err);
    if (rc == RS_OK)
        rc = rs_children_read(registry->storage, cache->state_dir, s->path, old, out, err);
    struct rs_children *replaced = NULL;
    rs_mutex_lock(&cache->lock);
    if (rc == RS_OK) {
        replaced = s->kept;
        keep_locked(cache, s, *out, st.stamp);
    }
    s->reading = false;
    pthread_cond_broadcast(&cache->ended);
    rs_mutex_unlock(&cache->lock);
    rs_children_unref(&replaced);
    return rc;
}

static rs_rc use_slot(struct rs_registry *registry, struct slot *s, uint64_t stamp, struct rs_children **out,
                      struct rs_err *err)
{
    struct rs_children_cache *cache = registry->children;
    RS_AUTO(rs_children_unref) struct rs_children *old = NULL;
    rs_mutex_lock(&cache->lock);
    await_locked(cache, s, stamp, out);
    if (*out == NULL) {
        s->reading = true;
        s->begun++;
        old = shared(s->kept);
    }
    rs_mutex_unlock(&cache->lock);
    return *out != NULL ? RS_OK : read_slot(registry, s, old, out, err);
}

rs_rc rs_children_open(struct rs_registry *registry, const char *path, struct rs_children **out, struct rs_err *err)
{
    struct rs_children_cache *cache = registry->children;
    struct rs_storage_stat st;
    struct rs_children *found = NULL;
    RS_TRY(rs_storage_stat(registry->storage, path, &st, err));
    if (!st.is_directory)
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is no directory", path);
    rs_mutex_lock(&cache->lock);
    struct slot *s = slot_locked(cache, path);
    bool fresh = st.stamp != 0 && s->kept != NULL && s->stamp == st.stamp;
    if (fresh)
        found = shared(s->kept);
    else
        s->users++;
    rs_mutex_unlock(&cache->lock);
    if (!fresh) {
        rs_rc rc = use_slot(registry, s, st.stamp, &found, err);
        rs_mutex_lock(&cache->lock);
        s->users--;
        rs_mutex_unlock(&cache->lock);
        evict(cache);
        RS_TRY(rc);
    }
    *out = found;
    return RS_OK;
}
