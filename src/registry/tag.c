/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/tag.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "layout/paths.h"
#include "registry/registry_priv.h"

#define SLOTS 2048 /* a power of two; an entry is some 300 bytes */
#define LOCKS 16
#define SEEN_MS 1000 /* how long a revision that was seen is taken to exist while its tag does */

struct entry {
    uint64_t stamp;
    int64_t revision_ms; /* when the revision was last seen; 0: never */
    struct rs_digest digest;
    size_t path_len;
    char path[];
};

struct rs_tag_cache {
    struct rs_mutex locks[LOCKS]; /* of the slots whose index ends in this number */
    struct entry *slots[SLOTS];
};

struct rs_tag_cache *rs_tag_cache_new(void)
{
    struct rs_tag_cache *cache = rs_calloc(1, sizeof *cache);
    for (size_t i = 0; i < LOCKS; i++)
        rs_mutex_init(&cache->locks[i], RS_LOCK_CACHE);
    return cache;
}

void rs_tag_cache_free(struct rs_tag_cache **cache)
{
    if (*cache == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        free((*cache)->slots[i]);
    for (size_t i = 0; i < LOCKS; i++)
        rs_mutex_release(&(*cache)->locks[i]);
    free(*cache);
    *cache = NULL;
}

/* Which slot a path belongs to. A bad spread costs a read of a link, nothing else. */
static size_t slot_of(const struct rs_path *path)
{
    uint64_t h = path->len, word;
    size_t i = 0;
    for (; i + sizeof word <= path->len; i += sizeof word) {
        memcpy(&word, path->z + i, sizeof word);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    for (; i < path->len; i++)
        h = (h ^ (unsigned char)path->z[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ h >> 29) % SLOTS;
}

static bool is_of(const struct entry *e, const struct rs_path *path)
{
    return e != NULL && e->path_len == path->len && memcmp(e->path, path->z, path->len) == 0;
}

static bool cache_find(struct rs_tag_cache *cache, const struct rs_path *path, uint64_t stamp, struct rs_digest *out,
                       bool *out_seen)
{
    size_t slot = slot_of(path);
    int64_t now = rs_mono_ms();
    rs_mutex_lock(&cache->locks[slot % LOCKS]);
    const struct entry *e = cache->slots[slot];
    bool found = is_of(e, path) && e->stamp == stamp;
    if (found) {
        *out = e->digest;
        *out_seen = e->revision_ms != 0 && now - e->revision_ms < SEEN_MS;
    }
    rs_mutex_unlock(&cache->locks[slot % LOCKS]);
    return found;
}

static void cache_store(struct rs_tag_cache *cache, const struct rs_path *path, uint64_t stamp,
                        const struct rs_digest *digest)
{
    struct entry *e = rs_malloc(sizeof *e + path->len);
    e->stamp = stamp;
    e->revision_ms = 0;
    e->digest = *digest;
    e->path_len = path->len;
    memcpy(e->path, path->z, path->len);
    size_t slot = slot_of(path);
    rs_mutex_lock(&cache->locks[slot % LOCKS]);
    struct entry *old = cache->slots[slot];
    cache->slots[slot] = e;
    rs_mutex_unlock(&cache->locks[slot % LOCKS]);
    free(old);
}

static rs_rc tag_unknown(rs_rc rc, rs_str repository, rs_str tag, struct rs_err *err)
{
    if (rc != RS_E_NOT_FOUND)
        return rc;
    return rs_err_set(err, RS_E_MANIFEST_UNKNOWN, "repository " RS_STR_FMT " has no tag " RS_STR_FMT,
                      RS_STR_ARG(repository), RS_STR_ARG(tag));
}

/* The stamp is taken before the link is read. If the tag moves in between, an old stamp is kept with a new digest:
 * that stamp never comes again, so the entry is never believed. */
rs_rc rs_tag_resolve(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_digest *out, bool *out_seen,
                     struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    *out_seen = false;
    rs_path_tag_current(&path, repository, tag);
    rs_rc rc = rs_storage_stat(registry->storage, path.z, &st, err);
    if (rc != RS_OK)
        return tag_unknown(rc, repository, tag, err);
    if (st.stamp != 0 && cache_find(registry->tags, &path, st.stamp, out, out_seen))
        return RS_OK;
    rc = rs_link_read(registry->storage, path.z, out, err);
    if (rc != RS_OK)
        return tag_unknown(rc, repository, tag, err);
    if (st.stamp != 0)
        cache_store(registry->tags, &path, st.stamp, out);
    return RS_OK;
}

void rs_tag_saw_revision(struct rs_registry *registry, rs_str repository, rs_str tag, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_tag_cache *cache = registry->tags;
    rs_path_tag_current(&path, repository, tag);
    size_t slot = slot_of(&path);
    int64_t now = rs_mono_ms();
    rs_mutex_lock(&cache->locks[slot % LOCKS]);
    struct entry *e = cache->slots[slot];
    if (is_of(e, &path) && rs_digest_eq(&e->digest, digest))
        e->revision_ms = now;
    rs_mutex_unlock(&cache->locks[slot % LOCKS]);
}

/* Without a condition the history (index) comes first, as registry:2 writes it. With one, who is refused must leave
 * nothing, so it comes after; a crash in between costs an entry that nobody needs. */
rs_rc rs_tag_move(struct rs_registry *registry, rs_str repository, rs_str tag, const struct rs_digest *digest,
                  const struct rs_link_guard *guard, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_path index, current;
    struct rs_storage *storage = registry->storage;
    rs_path_tag_index(&index, repository, tag, digest);
    rs_path_tag_current(&current, repository, tag);
    if (guard == NULL)
        RS_TRY(rs_link_ensure(storage, index.z, digest, batch, NULL, err));
    RS_TRY(rs_link_swap(storage, current.z, digest, guard, batch, err));
    /* Without a guard too: whoever deleted the tag a moment ago may have taken what was just made. */
    struct rs_storage_stat st;
    if (guard != NULL || rs_storage_stat(storage, index.z, &st, NULL) == RS_E_NOT_FOUND)
        return rs_link_ensure(storage, index.z, digest, batch, NULL, err);
    return RS_OK;
}

/* RS_E_NAME_UNKNOWN, unless the repository has manifests, of which none was ever tagged. */
static rs_rc repository_known(struct rs_registry *registry, rs_str repository, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    rs_rc rc = rs_storage_stat(registry->storage, rs_path_manifests(&path, repository), &st, err);
    if (rc == RS_E_NOT_FOUND)
        return rs_err_set(err, RS_E_NAME_UNKNOWN, "there is no repository " RS_STR_FMT, RS_STR_ARG(repository));
    return rc;
}

/* A directory without current/link is a tag that is being made, or that a crash left. */
static rs_rc is_tag(struct rs_registry *registry, rs_str repository, rs_str tag, bool *out, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    rs_path_tag_current(&path, repository, tag);
    rs_rc rc = rs_storage_stat(registry->storage, path.z, &st, err);
    *out = rc == RS_OK;
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

rs_rc rs_tags_list(struct rs_registry *registry, rs_str repository, rs_str last, rs_registry_visit *visit, void *ctx,
                   struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_children_unref) struct rs_children *c = NULL;
    rs_rc rc = rs_children_open(registry, rs_path_tags(&path, repository), &c, err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? repository_known(registry, repository, err) : rc;
    bool go_on = true, there;
    for (size_t i = rs_children_after(c, last); go_on && i < rs_children_count(c); i++) {
        rs_str name = rs_children_name(c, i);
        if (!rs_children_is_directory(c, i) || rs_tag_check(name, NULL) != RS_OK)
            continue;
        RS_TRY(is_tag(registry, repository, name, &there, err));
        go_on = !there || visit(ctx, name);
    }
    return RS_OK;
}
