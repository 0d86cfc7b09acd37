/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAGS BEFORE REVISIONS. A tag never leads to a revision that is gone, neither for a reader, who trusts a revision that
 * he saw a moment ago as long as its tag is there (tag.h), nor after a crash:
 * 1. A delete removes the tags that point to the manifest and syncs, then the revision and syncs.
 * 2. A push makes the revision and syncs, then the tag.
 * 3. Both at once, here or in another process: the delete looks at the tags once more when the revision is gone, the
 *    push looks at the revision once more when the tag is set. Each writes before it looks, so one of them sees the
 *    other: either the delete finds the new tag and removes it (the push came first, and is deleted), or the push finds
 *    its revision missing and makes both again (the push came last, and is there). Between the two a reader may meet
 *    a tag without its revision, and is told that there is no such manifest.
 * What remains: a push that makes both again while the delete takes its second look may lose its tag and keep its
 * manifest.
 *
 * A tag is removed only while it points to the manifest: one that was moved on since we looked stays. What writers put
 * into its directory meanwhile stays too (storage.h: remove_if, prune). A history entry (index) may be lost that way;
 * nobody needs one.
 */
#include "base/clock.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "registry/manifest.h"
#include "registry/registry_priv.h"

/* The second look skips tags that were set so long before the delete began. */
#define YOUNG_S 60
#define TAG_LEVELS 2   /* tags/<tag>/current */
#define INDEX_LEVELS 3 /* index/<algorithm>/<hex> */

/* --- one tag --- */

struct index_ctx {
    struct rs_registry *registry;
    rs_str repository;
    rs_str tag;
    rs_str alg;
};

static bool visit_index_link(void *ctx, rs_str hex, bool is_directory)
{
    const struct index_ctx *c = ctx;
    struct rs_path path;
    struct rs_digest digest;
    char text[RS_DIGEST_TEXT_MAX];
    int len = snprintf(text, sizeof text, RS_STR_FMT ":" RS_STR_FMT, RS_STR_ARG(c->alg), RS_STR_ARG(hex));
    if (!is_directory || len < 0 || (size_t)len >= sizeof text ||
        rs_digest_parse(rs_str_c(text), &digest, NULL) != RS_OK)
        return true;
    rs_path_tag_index(&path, c->repository, c->tag, &digest);
    rs_storage_remove(c->registry->storage, path.z, NULL, NULL);
    rs_storage_prune(c->registry->storage, rs_path_parent(&path), INDEX_LEVELS, NULL, NULL);
    return true;
}

/* What is left of a tag whose link is gone. Index links count for nothing without it, so failing is no harm. */
static void remove_index(struct rs_registry *registry, rs_str repository, rs_str tag)
{
    struct index_ctx c = {registry, repository, tag, {0}};
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        struct rs_path path;
        c.alg = rs_str_c(rs_hash_name((enum rs_hash_alg)alg));
        rs_path_tag_indexes(&path, repository, tag, (enum rs_hash_alg)alg);
        rs_storage_scan(registry->storage, path.z, visit_index_link, &c, NULL);
    }
}

/* The batch makes the removal of the link durable as well. */
static rs_rc remove_rest(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    struct rs_path path;
    remove_index(registry, repository, tag);
    rs_path_tag_current(&path, repository, tag);
    return rs_storage_prune(registry->storage, rs_path_parent(&path), TAG_LEVELS, batch, err);
}

rs_rc rs_tag_remove(struct rs_registry *registry, rs_str repository, rs_str tag, const struct rs_digest *digest,
                    struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_path path;
    rs_path_tag_current(&path, repository, tag);
    RS_TRY(rs_link_remove(registry->storage, path.z, digest, NULL, err));
    return remove_rest(registry, repository, tag, batch, err);
}

static rs_rc no_tag(rs_str repository, rs_str tag, struct rs_err *err)
{
    return rs_err_set(err, RS_E_MANIFEST_UNKNOWN, "repository " RS_STR_FMT " has no tag " RS_STR_FMT,
                      RS_STR_ARG(repository), RS_STR_ARG(tag));
}

/* RS_E_NOT_FOUND, or it may not be removed. */
static rs_rc refuse_immutable(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    RS_TRY(rs_storage_stat(registry->storage, rs_path_tag_current(&path, repository, tag), &st, err));
    return rs_policy_refuse_delete(registry->policy, repository, tag, err);
}

rs_rc rs_tag_delete(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_err *err)
{
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_rc rc = rs_policy_is_immutable(registry->policy, repository, tag)
                   ? refuse_immutable(registry, repository, tag, err)
                   : rs_tag_remove(registry, repository, tag, NULL, &batch, err);
    if (rc == RS_E_NOT_FOUND)
        return no_tag(repository, tag, err);
    RS_TRY(rc);
    return rs_storage_sync(registry->storage, &batch, err);
}

struct unchanged {
    struct rs_storage *storage;
    const char *path;
    const struct rs_digest *digest;
    const struct rs_storage_stat *seen;
};

/* Asked under the path's lock, which whoever pushes takes for the rename: a push of the same bytes is seen by the stamp
 * of the link. Where the storage gives none (or had changed it a moment before), by the second of its change. */
static bool is_unchanged(void *ctx, const rs_str *held)
{
    const struct unchanged *u = ctx;
    struct rs_storage_stat st;
    if (held == NULL)
        return true; /* it is gone: let the caller hear of that */
    if (!rs_str_starts(*held, rs_digest_str(u->digest)) || rs_storage_stat(u->storage, u->path, &st, NULL) != RS_OK ||
        st.mtime_s != u->seen->mtime_s)
        return false;
    return u->seen->stamp == 0 || st.stamp == u->seen->stamp;
}

rs_rc rs_tag_delete_unchanged(struct rs_registry *registry, rs_str repository, rs_str tag,
                              const struct rs_digest *digest, const struct rs_storage_stat *seen, struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    struct unchanged u = {registry->storage, rs_path_tag_current(&path, repository, tag), digest, seen};
    rs_rc rc = rs_storage_remove_if(registry->storage, path.z, is_unchanged, &u, NULL, err);
    if (rc == RS_E_NOT_FOUND)
        return no_tag(repository, tag, err);
    RS_TRY(rc);
    RS_TRY(remove_rest(registry, repository, tag, &batch, err));
    return rs_storage_sync(registry->storage, &batch, err);
}

/* --- a manifest and its tags --- */

struct sweep {
    struct rs_registry *registry;
    rs_str repository;
    const struct rs_digest *digest;
    int64_t since_s; /* only tags that were set since then */
    bool look_only;  /* nothing is removed */
    void (*on_tag)(void *ctx, rs_str tag);
    void *ctx;
    struct rs_storage_batch batch;
    rs_rc rc;
    struct rs_err *err;
};

/* A link that cannot be understood points to nothing. */
static rs_rc points_here(struct sweep *s, const char *path, bool *out_here)
{
    struct rs_digest held;
    struct rs_storage_stat st;
    *out_here = false;
    if (s->since_s != INT64_MIN) {
        rs_rc rc = rs_storage_stat(s->registry->storage, path, &st, s->err);
        if (rc != RS_OK || st.mtime_s < s->since_s)
            return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    }
    rs_rc rc = rs_link_read(s->registry->storage, path, &held, s->err);
    *out_here = rc == RS_OK && rs_digest_eq(&held, s->digest);
    return rc == RS_E_NOT_FOUND || rc == RS_E_CORRUPT ? RS_OK : rc;
}

static rs_rc sweep_tag(struct sweep *s, rs_str tag)
{
    struct rs_path path;
    bool here;
    rs_path_tag_current(&path, s->repository, tag);
    RS_TRY(points_here(s, path.z, &here));
    if (here && rs_policy_is_immutable(s->registry->policy, s->repository, tag))
        return rs_policy_refuse_delete(s->registry->policy, s->repository, tag, s->err);
    if (!here || s->look_only)
        return RS_OK;
    rs_rc rc = rs_tag_remove(s->registry, s->repository, tag, s->digest, &s->batch, s->err);
    if (rc == RS_OK && s->on_tag != NULL)
        s->on_tag(s->ctx, tag);
    return rc == RS_E_NOT_FOUND || rc == RS_E_PRECONDITION ? RS_OK : rc; /* removed or moved on meanwhile */
}

static bool visit_tag(void *ctx, rs_str name, bool is_directory)
{
    struct sweep *s = ctx;
    if (is_directory && rs_tag_check(name, NULL) == RS_OK)
        s->rc = sweep_tag(s, name);
    return s->rc == RS_OK;
}

/* Removes the tags that point to the manifest, durably. */
static rs_rc sweep_tags(struct sweep *s, int64_t since_s)
{
    struct rs_path path;
    s->since_s = since_s;
    s->rc = RS_OK;
    rs_storage_batch_init(&s->batch);
    rs_path_tags(&path, s->repository);
    rs_rc rc = rs_storage_scan(s->registry->storage, path.z, visit_tag, s, s->err);
    if (rc == RS_OK)
        rc = s->rc;
    if (rc == RS_OK)
        rc = rs_storage_sync(s->registry->storage, &s->batch, s->err);
    rs_storage_batch_release(&s->batch);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc; /* it never had a tag */
}

static rs_rc remove_revision(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                             struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_path_revision_link(&path, repository, digest);
    RS_TRY(rs_storage_remove(registry->storage, path.z, NULL, err));
    rs_quota_removed(registry, repository);
    RS_TRY(rs_storage_prune(registry->storage, rs_path_parent(&path), 1, &batch, err));
    rs_storage_remove(registry->storage, rs_path_pulled_at(&path, repository, digest), NULL, NULL); /* of no use now */
    return rs_storage_sync(registry->storage, &batch, err);
}

/* IMMUTABLE TAGS are looked for before anything is removed. A push that sets one to the manifest after that look came
 * first if it has been answered: the last look finds its tag, and the manifest is put back. */
static rs_rc look_for_immutable(struct sweep *sweep)
{
    if (!rs_policy_concerns(sweep->registry->policy, sweep->repository))
        return RS_OK;
    sweep->look_only = true;
    rs_rc rc = sweep_tags(sweep, INT64_MIN);
    sweep->look_only = false;
    return rc;
}

static rs_rc put_back(struct sweep *sweep, rs_rc refusal)
{
    struct rs_path path;
    struct rs_storage *storage = sweep->registry->storage;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_path_revision_link(&path, sweep->repository, sweep->digest);
    RS_TRY(rs_link_ensure(storage, path.z, sweep->digest, &batch, NULL, sweep->err));
    RS_TRY(rs_storage_sync(storage, &batch, sweep->err));
    return refusal;
}

rs_rc rs_manifest_delete(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                         void (*on_tag)(void *ctx, rs_str tag), void *ctx, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct sweep sweep = {registry, repository, digest, .on_tag = on_tag, .ctx = ctx, .err = err};
    int64_t began_s = rs_wall_s();
    rs_path_revision_link(&path, repository, digest);
    rs_rc rc = rs_storage_stat(registry->storage, path.z, &st, err);
    if (rc == RS_E_NOT_FOUND)
        return rs_err_set(err, RS_E_MANIFEST_UNKNOWN, "repository " RS_STR_FMT " has no manifest %s",
                          RS_STR_ARG(repository), digest->text);
    RS_TRY(rc);
    RS_TRY(look_for_immutable(&sweep));
    RS_TRY(sweep_tags(&sweep, INT64_MIN));
    RS_TRY(remove_revision(registry, repository, digest, err));
    rc = sweep_tags(&sweep, RS_MIN(began_s, rs_wall_s()) - YOUNG_S);
    return rc == RS_E_DENIED ? put_back(&sweep, rc) : rc;
}
