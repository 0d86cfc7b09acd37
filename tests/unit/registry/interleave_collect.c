/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector as simple as can be, for small worlds: manifests without a tag first (if wanted), then links that no
 * manifest needs, then data that nothing links. It has nothing in common with the real one but the remover.
 */
#include "interleave.h"

#include "base/mem.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "layout/walk.h"
#include "oci/manifest.h"

#define REPOSITORIES 8
#define ENTRIES 64

struct entry {
    char repository[32]; /* empty: a blob */
    struct rs_digest digest;
};
struct set {
    struct entry entries[ENTRIES];
    size_t count;
};
struct collection {
    struct world *w;
    const struct world_collection *how;
    struct rs_remover *remover;
    int64_t before_s;
    size_t repository_count;
    char repositories[REPOSITORIES][32];
    const char *repository; /* where a walk is */
    struct set *into;
    struct set tagged, revisions, kept, needed, links, linked, blobs, candidates;
};

static bool has(const struct set *set, const char *repository, const struct rs_digest *digest)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->entries[i].repository, repository) == 0 && rs_digest_eq(&set->entries[i].digest, digest))
            return true;
    return false;
}

static void add(struct set *set, const char *repository, const struct rs_digest *digest)
{
    if (has(set, repository, digest))
        return;
    RS_ASSERT(set->count < ENTRIES);
    struct entry *entry = &set->entries[set->count++];
    snprintf(entry->repository, sizeof entry->repository, "%s", repository);
    entry->digest = *digest;
}

static bool visit_repository(void *ctx, rs_str name, unsigned parts)
{
    struct collection *c = ctx;
    (void)parts;
    RS_ASSERT(c->repository_count < REPOSITORIES);
    RS_ASSERT(rs_str_copy_z(name, c->repositories[c->repository_count++], sizeof c->repositories[0]));
    return true;
}

static bool visit_digest(void *ctx, const struct rs_digest *digest)
{
    struct collection *c = ctx;
    add(c->into, c->repository, digest);
    return true;
}

static void walk(struct collection *c, struct set *into, const char *repository, const char *path, enum rs_hash_alg alg)
{
    c->into = into;
    c->repository = repository;
    rs_digests_walk(c->w->storage, path, alg, visit_digest, c, NULL);
}

static bool visit_tag(void *ctx, rs_str tag, bool is_directory)
{
    struct collection *c = ctx;
    struct rs_path path;
    struct rs_digest digest;
    (void)is_directory;
    rs_path_tag_current(&path, rs_str_c(c->repository), tag);
    if (rs_link_read(c->w->storage, path.z, &digest, NULL) == RS_OK)
        add(&c->tagged, c->repository, &digest);
    return true;
}

static bool is_young(struct collection *c, const char *path)
{
    struct rs_storage_stat st;
    return rs_storage_stat(c->w->storage, path, &st, NULL) == RS_OK && st.mtime_s >= c->before_s;
}

/* NOLINTNEXTLINE(misc-no-recursion): an index names manifests, which name blobs */
static void mark(struct collection *c, const struct entry *revision)
{
    struct rs_path path;
    struct rs_manifest manifest;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    RS_AUTO(rs_buf_release) struct rs_buf bytes;
    rs_buf_init(&bytes, RS_MANIFEST_MAX);
    if (has(&c->kept, revision->repository, &revision->digest))
        return;
    add(&c->kept, revision->repository, &revision->digest);
    struct rs_err err = {0};
    rs_rc rc = rs_storage_read(c->w->storage, rs_path_blob(&path, &revision->digest), &bytes, &err);
    if (rc == RS_OK)
        rc = rs_manifest_parse(rs_buf_str(&bytes), RS_STR(""), arena, &manifest, &err);
    world_expect(c->w, "reading a manifest for the collection", rc, &err, RS_OK, RS_OK);
    for (size_t i = 0; rc == RS_OK && i < manifest.descriptor_count; i++) {
        struct entry child = {.digest = manifest.descriptors[i].digest};
        memcpy(child.repository, revision->repository, sizeof child.repository);
        if (manifest.descriptors[i].role == RS_ROLE_MANIFEST && has(&c->revisions, child.repository, &child.digest))
            mark(c, &child);
        else
            add(&c->needed, child.repository, &child.digest);
    }
}

static void take(struct collection *c, enum rs_removal_kind kind, struct set *spared)
{
    struct rs_removal items[ENTRIES];
    struct rs_err err = {0};
    for (size_t i = 0; i < c->candidates.count; i++)
        items[i] = (struct rs_removal){.kind = kind,
                                       .repository = rs_str_c(c->candidates.entries[i].repository),
                                       .digest = c->candidates.entries[i].digest};
    steps_at_once(false);
    rs_rc rc = rs_remover_take(c->remover, c->before_s, items, c->candidates.count, NULL, NULL, &err);
    steps_at_once(!c->how->stepwise);
    world_expect(c->w, "the remover", rc, &err, RS_OK, RS_OK);
    for (size_t i = 0; i < c->candidates.count && rc == RS_OK; i++) {
        c->w->removed += items[i].result == RS_REMOVAL_DONE;
        if (items[i].result == RS_REMOVAL_SPARED && spared != NULL)
            add(spared, c->candidates.entries[i].repository, &c->candidates.entries[i].digest);
    }
    c->candidates.count = 0;
}

static void read_repositories(struct collection *c)
{
    struct rs_path path;
    rs_repositories_walk(c->w->storage, visit_repository, c, NULL);
    for (size_t i = 0; i < c->repository_count; i++) {
        rs_str name = rs_str_c(c->repositories[i]);
        walk(c, &c->revisions, c->repositories[i], rs_path_revisions(&path, name, RS_SHA256), RS_SHA256);
        rs_storage_scan(c->w->storage, rs_path_tags(&path, name), visit_tag, c, NULL);
    }
}

/* Those that have a tag, that one of these names, or that are young. */
static void mark_tagged(struct collection *c)
{
    struct rs_path path;
    for (size_t i = 0; i < c->revisions.count; i++) {
        const struct entry *e = &c->revisions.entries[i];
        rs_path_revision_link(&path, rs_str_c(e->repository), &e->digest);
        if (has(&c->tagged, e->repository, &e->digest) || is_young(c, path.z))
            mark(c, e);
    }
}

static void collect_manifests(struct collection *c)
{
    mark_tagged(c);
    for (size_t i = 0; i < c->revisions.count; i++)
        if (!has(&c->kept, c->revisions.entries[i].repository, &c->revisions.entries[i].digest))
            add(&c->candidates, c->revisions.entries[i].repository, &c->revisions.entries[i].digest);
    struct set spared = {.count = 0};
    take(c, RS_REMOVE_MANIFEST, &spared);
    for (size_t i = 0; i < spared.count; i++)
        mark(c, &spared.entries[i]);
}

static void collect_links(struct collection *c)
{
    struct rs_path path;
    for (size_t i = 0; i < c->repository_count; i++)
        for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
            rs_path_layer_links(&path, rs_str_c(c->repositories[i]), (enum rs_hash_alg)alg);
            walk(c, &c->links, c->repositories[i], path.z, (enum rs_hash_alg)alg);
        }
    for (size_t i = 0; i < c->links.count; i++) {
        const struct entry *e = &c->links.entries[i];
        rs_path_layer_link(&path, rs_str_c(e->repository), &e->digest);
        if (!has(&c->needed, e->repository, &e->digest) && !is_young(c, path.z))
            add(&c->candidates, e->repository, &e->digest);
    }
    take(c, RS_REMOVE_LINK, NULL);
}

static bool visit_prefix(void *ctx, rs_str prefix, bool is_directory)
{
    struct collection *c = ctx;
    struct rs_path path;
    (void)is_directory;
    enum rs_hash_alg alg = c->repository == NULL ? RS_SHA256 : RS_SHA512;
    const char *was = c->repository;
    walk(c, &c->blobs, "", rs_path_blobs(&path, alg, prefix), alg);
    c->repository = was;
    return true;
}

/* Who links what is looked at after the links went; the remover looks again. */
static void collect_blobs(struct collection *c)
{
    struct rs_path path;
    c->repository = NULL;
    rs_storage_scan(c->w->storage, rs_path_blobs(&path, RS_SHA256, RS_STR("")), visit_prefix, c, NULL);
    c->repository = "";
    rs_storage_scan(c->w->storage, rs_path_blobs(&path, RS_SHA512, RS_STR("")), visit_prefix, c, NULL);
    for (size_t i = 0; i < c->repository_count; i++)
        for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
            rs_path_layer_links(&path, rs_str_c(c->repositories[i]), (enum rs_hash_alg)alg);
            walk(c, &c->linked, "", path.z, (enum rs_hash_alg)alg);
            rs_path_revisions(&path, rs_str_c(c->repositories[i]), (enum rs_hash_alg)alg);
            walk(c, &c->linked, "", path.z, (enum rs_hash_alg)alg);
        }
    for (size_t i = 0; i < c->blobs.count; i++)
        if (!has(&c->linked, "", &c->blobs.entries[i].digest))
            add(&c->candidates, "", &c->blobs.entries[i].digest);
    take(c, RS_REMOVE_BLOB, NULL);
}

static void collect(struct collection *c)
{
    read_repositories(c);
    if (c->how->untagged)
        collect_manifests(c);
    for (size_t i = 0; i < c->revisions.count && !c->how->untagged; i++)
        mark(c, &c->revisions.entries[i]);
    collect_links(c);
    collect_blobs(c);
}

void world_collect(struct world *w, const struct world_collection *how)
{
    struct rs_err err = {0};
    int64_t grace_s;
    RS_AUTO(rs_free_ptr) struct collection *c = rs_calloc(1, sizeof *c);
    *c = (struct collection){.w = w, .how = how};
    struct rs_registry *registry = how->servers > 0 ? w->servers[0] : w->quiet;
    rs_rc rc = rs_remover_open(registry, WORLD_GRACE_S, how->alone, &c->remover, &grace_s, &err);
    world_expect(w, "the beginning of a collection", rc, &err, RS_OK, RS_OK);
    if (rc != RS_OK)
        return;
    c->before_s = rs_remover_began_s(c->remover) - grace_s;
    steps_at_once(!how->stepwise);
    collect(c);
    steps_at_once(false);
    rs_remover_close(&c->remover);
}
