/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting manifests. The order (docs/DATA.md): revision link, then the check of what the manifest needs, then the
 * tag. The link comes first so that a collector that runs meanwhile either sees it and spares the blobs, or has taken
 * one already, and the check finds it missing. Two syncs: a crash may never leave a tag whose manifest is not there.
 */
#include "base/clock.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "registry/manifest.h"
#include "registry/presence.h"
#include "registry/promise.h"

#define ATTEMPTS 8
#define YOUNG_S 3600 /* what is older has reached the disk without us */

struct push {
    struct rs_registry *registry;
    const struct rs_manifest_put *put;
    struct rs_digest digest;
    struct rs_manifest manifest;
    struct rs_storage_batch *batch; /* what to make durable; NULL: nothing */
    bool made_revision;             /* there was none before */
    bool was_absent;                /* what the condition was last told */
};

static rs_rc check_digest(const struct rs_manifest_put *put, struct rs_digest *out, struct rs_err *err)
{
    if (put->bytes.len > RS_MANIFEST_MAX)
        return rs_err_set(err, RS_E_MANIFEST_TOO_BIG, "a manifest may have %d bytes, this one has %zu", RS_MANIFEST_MAX,
                          put->bytes.len);
    bool is_digest = put->reference.is_digest;
    rs_digest_of(is_digest ? put->reference.digest.alg : RS_SHA256, put->bytes.ptr, put->bytes.len, out);
    if (is_digest && !rs_digest_eq(out, &put->reference.digest))
        return rs_err_set(err, RS_E_DIGEST_INVALID, "the manifest has the digest %s, not %s", out->text,
                          put->reference.digest.text);
    return RS_OK;
}

static rs_rc parse(struct push *push, struct rs_arena *arena, struct rs_err *err)
{
    RS_TRY(rs_manifest_parse(push->put->bytes, push->put->content_type, arena, &push->manifest, err));
    if (push->manifest.kind == RS_MANIFEST_SCHEMA1)
        return rs_err_set(err, RS_E_MANIFEST_INVALID,
                          "Docker schema 1 is served but no longer accepted: push with a client that makes schema 2");
    for (size_t i = 0; i < push->manifest.descriptor_count; i++)
        RS_TRY(rs_rules_check_urls(push->registry->rules, &push->manifest.descriptors[i], err));
    return RS_OK;
}

/* Finds the link that makes the descriptor's bytes a part of this repository; see promise.h. An index may also list
 * blobs: the cache that BuildKit exports is one, and registry:2 takes it. */
static rs_rc find_link(struct push *push, const struct rs_descriptor *d, struct rs_path *path,
                       struct rs_digest *out_target, int64_t *out_mtime_s, struct rs_err *err)
{
    rs_str repository = push->put->repository;
    if (d->role == RS_ROLE_MANIFEST) {
        rs_path_revision_link(path, repository, &d->digest);
        rs_rc rc = rs_promise_found(push->registry, repository, path->z, &d->digest, RS_TOMBSTONED_WAIT, out_target,
                                    out_mtime_s, err);
        if (rc != RS_E_NOT_FOUND)
            return rc;
    }
    rs_path_layer_link(path, repository, &d->digest);
    return rs_promise_found(push->registry, repository, path->z, &d->digest, RS_TOMBSTONED_WAIT, out_target,
                            out_mtime_s, err);
}

/* What the manifest needs may have been written a moment ago by a request that has not been answered yet. Our answer
 * promises it as well, so it goes into our sync. Old links were synced long ago, whoever wrote them. */
static rs_rc keep_young(struct push *push, const char *link, int64_t mtime_s, const char *data, struct rs_err *err)
{
    struct rs_storage *storage = push->registry->storage;
    if (push->batch == NULL || rs_wall_s() - mtime_s > YOUNG_S)
        return RS_OK;
    RS_TRY(rs_storage_keep(storage, link, push->batch, err));
    return rs_storage_keep(storage, data, push->batch, err);
}

/* Finds what the descriptor names; RS_E_NOT_FOUND. */
static rs_rc find(struct push *push, const struct rs_descriptor *d, uint64_t *out_size, struct rs_err *err)
{
    struct rs_path link, data;
    struct rs_storage_stat st;
    struct rs_digest target;
    int64_t mtime_s;
    RS_TRY(find_link(push, d, &link, &target, &mtime_s, err));
    RS_TRY(rs_storage_stat(push->registry->storage, rs_path_blob(&data, &target), &st, err));
    *out_size = st.size;
    return keep_young(push, link.z, mtime_s, data.z, err);
}

static rs_rc check_reference(struct push *push, const struct rs_descriptor *d, struct rs_err *err)
{
    uint64_t size;
    if (d->foreign || !rs_rules_need(push->registry->rules, d))
        return RS_OK;
    rs_rc rc = find(push, d, &size, err);
    if (rc == RS_E_NOT_FOUND)
        return rs_err_set(err, RS_E_MANIFEST_BLOB_UNKNOWN, "%s %s is not in repository " RS_STR_FMT ": push it first",
                          rs_descriptor_role_name(d->role), d->digest.text, RS_STR_ARG(push->put->repository));
    RS_TRY(rc);
    if (size != d->size)
        return rs_err_set(err, RS_E_MANIFEST_INVALID, "%s %s has %llu bytes, the manifest says %llu",
                          rs_descriptor_role_name(d->role), d->digest.text, (unsigned long long)size,
                          (unsigned long long)d->size);
    return RS_OK;
}

static rs_rc check_references(struct push *push, struct rs_err *err)
{
    for (size_t i = 0; i < push->manifest.descriptor_count; i++)
        RS_TRY(check_reference(push, &push->manifest.descriptors[i], err));
    return RS_OK;
}

static bool holds_already(struct push *push, const char *path)
{
    RS_AUTO(rs_buf_release) struct rs_buf held;
    rs_buf_init(&held, push->put->bytes.len);
    return rs_storage_read(push->registry->storage, path, &held, NULL) == RS_OK &&
           rs_str_eq(rs_buf_str(&held), push->put->bytes);
}

/* The condition as a guard of the link that it is about. */
static bool accept_held(void *ctx, const struct rs_digest *held)
{
    struct push *push = ctx;
    push->was_absent = held == NULL;
    return push->put->accept(push->put->accept_ctx, held);
}

/* What is there already stays; if it was damaged, pushing again heals it. */
static rs_rc store_bytes(struct push *push, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage *storage = push->registry->storage;
    rs_path_blob(&path, &push->digest);
    if (holds_already(push, path.z) && rs_storage_keep(storage, path.z, push->batch, NULL) == RS_OK)
        return RS_OK;
    return rs_storage_put(storage, path.z, push->put->bytes, push->batch, err);
}

/* A condition on the manifest itself decides here. */
static rs_rc swap_revision(struct push *push, const char *link, struct rs_err *err)
{
    const struct rs_link_guard guard = {accept_held, push};
    if (push->put->accept == NULL || !push->put->reference.is_digest)
        return RS_OK;
    RS_TRY(rs_link_swap(push->registry->storage, link, &push->digest, &guard, push->batch, err));
    push->made_revision = push->was_absent;
    return RS_OK;
}

/* The bytes come first: a revision without them would stop every collection. They may be old and about to be taken, so
 * they are looked at again behind the link; see promise.h. */
static rs_rc store_bytes_and_revision(struct push *push, struct rs_err *err)
{
    bool made;
    struct rs_path link, data;
    struct rs_storage_stat st;
    rs_path_revision_link(&link, push->put->repository, &push->digest);
    rs_path_blob(&data, &push->digest);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        RS_TRY(store_bytes(push, err));
        if (attempt == 0)
            RS_TRY(swap_revision(push, link.z, err));
        RS_TRY(rs_promise_made(push->registry, push->put->repository, link.z, &push->digest, &push->digest,
                               RS_TOMBSTONED_WAIT, push->batch, &made, err));
        push->made_revision |= made;
        rs_rc rc = rs_storage_stat(push->registry->storage, data.z, &st, err);
        if (rc != RS_E_NOT_FOUND)
            return rc;
    }
    return rs_err_set(err, RS_E_UNAVAILABLE, "manifest %s is collected each time it is pushed: try again",
                      push->digest.text);
}

/* registry:2.8 knows only repositories that have `_layers`: its collector would sweep the manifests of others. */
static rs_rc store_revision(struct push *push, struct rs_err *err)
{
    struct rs_path path;
    RS_TRY(rs_storage_mkdir(push->registry->storage, rs_path_layers(&path, push->put->repository), push->batch, err));
    return store_bytes_and_revision(push, err);
}

/* Refuses before anything is stored what would be refused at the end. */
static rs_rc check_condition(struct push *push, struct rs_err *err)
{
    struct rs_digest held;
    struct rs_path path;
    const struct rs_manifest_put *put = push->put;
    if (put->accept == NULL)
        return RS_OK;
    if (put->reference.is_digest)
        rs_path_revision_link(&path, put->repository, &push->digest);
    else
        rs_path_tag_current(&path, put->repository, put->reference.tag);
    rs_rc rc = rs_link_read(push->registry->storage, path.z, &held, err);
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        return rc;
    if (put->accept(put->accept_ctx, rc == RS_OK ? &held : NULL))
        return RS_OK;
    return rs_err_set(err, RS_E_PRECONDITION, "the condition on %s does not hold", path.z);
}

static rs_rc check_tag(struct push *push, rs_str tag, struct rs_err *err)
{
    struct rs_digest held;
    struct rs_path path;
    rs_str repository = push->put->repository;
    if (!rs_policy_is_immutable(push->registry->policy, repository, tag))
        return RS_OK;
    rs_rc rc = rs_link_read(push->registry->storage, rs_path_tag_current(&path, repository, tag), &held, err);
    if (rc == RS_OK && !rs_digest_eq(&held, &push->digest))
        return rs_policy_refuse_push(push->registry->policy, repository, tag, &held, err);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

/* The same for tags that stay where they are. */
static rs_rc check_tags(struct push *push, struct rs_err *err)
{
    const struct rs_manifest_put *put = push->put;
    if (!put->reference.is_digest)
        RS_TRY(check_tag(push, put->reference.tag, err));
    for (size_t i = 0; i < put->tag_count; i++)
        RS_TRY(check_tag(push, put->tags[i], err));
    return RS_OK;
}

/* The room in quotas is taken before the revision is made. */
static rs_rc store_within_quotas(struct push *push, struct rs_err *err)
{
    struct rs_quota_claim *claim;
    RS_TRY(rs_quota_take(push->registry, push->put->repository, RS_QUOTA_REVISION, &push->digest, push->put->bytes.len,
                         &claim, err));
    rs_rc rc = store_revision(push, err);
    if (rc == RS_OK)
        rc = rs_storage_sync(push->registry->storage, push->batch, err);
    rs_quota_settle(push->registry, &claim, rc == RS_OK);
    return rc;
}

/* The manifest and what it needs, in one sync. */
static rs_rc store(struct push *push, struct rs_err *err)
{
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    push->batch = &batch;
    rs_rc rc = check_references(push, err);
    if (rc == RS_OK)
        rc = store_within_quotas(push, err);
    push->batch = NULL;
    return rc;
}

static void take_back(struct push *push)
{
    struct rs_path path;
    if (!push->made_revision)
        return;
    rs_storage_remove(push->registry->storage, rs_path_revision(&path, push->put->repository, &push->digest), NULL,
                      NULL);
    rs_quota_removed(push->registry, push->put->repository);
}

/* --- tags --- */

static bool accept_none_or_ours(void *ctx, const struct rs_digest *held)
{
    const struct push *push = ctx;
    return held == NULL || rs_digest_eq(held, &push->digest);
}

/* A first move: the client's condition and the operator's rule must both allow it. */
struct first_move {
    struct push *push;
    bool conditional;
    bool immutable;
    bool denied; /* by the rule: the tag points to `held` */
    struct rs_digest held;
};

static bool accept_first(void *ctx, const struct rs_digest *held)
{
    struct first_move *move = ctx;
    if (move->conditional && !accept_held(move->push, held))
        return false;
    move->denied = move->immutable && !accept_none_or_ours(move->push, held);
    if (move->denied)
        move->held = *held;
    return !move->denied;
}

static rs_rc move_first(struct push *push, rs_str tag, bool conditional, struct rs_storage_batch *batch,
                        struct rs_err *err)
{
    struct rs_registry *registry = push->registry;
    rs_str repository = push->put->repository;
    struct first_move move = {.push = push, .conditional = conditional};
    move.immutable = rs_policy_is_immutable(registry->policy, repository, tag);
    const struct rs_link_guard guard = {accept_first, &move};
    rs_rc rc = rs_tag_move(registry, repository, tag, &push->digest, conditional || move.immutable ? &guard : NULL,
                           batch, err);
    if (rc == RS_E_PRECONDITION && move.denied)
        return rs_policy_refuse_push(registry->policy, repository, tag, &move.held, err);
    return rc;
}

/* It was set already, and may have been deleted since; if somebody has moved it on, it stays there. */
static rs_rc move_again(struct push *push, rs_str tag, struct rs_storage_batch *batch, struct rs_err *err)
{
    const struct rs_link_guard ours = {accept_none_or_ours, push};
    rs_rc rc = rs_tag_move(push->registry, push->put->repository, tag, &push->digest, &ours, batch, err);
    return rc == RS_E_PRECONDITION ? RS_OK : rc;
}

static rs_rc move_tag(struct push *push, rs_str tag, bool conditional, bool again, struct rs_storage_batch *batch,
                      struct rs_err *err)
{
    return again ? move_again(push, tag, batch, err) : move_first(push, tag, conditional, batch, err);
}

/* All tags in one sync, the reference first: its condition decides. */
static rs_rc move_tags(struct push *push, bool again, struct rs_err *err)
{
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    const struct rs_manifest_put *put = push->put;
    rs_storage_batch_init(&batch);
    if (!put->reference.is_digest)
        RS_TRY(move_tag(push, put->reference.tag, put->accept != NULL, again, &batch, err));
    for (size_t i = 0; i < put->tag_count; i++)
        RS_TRY(move_tag(push, put->tags[i], false, again, &batch, err));
    return rs_storage_sync(push->registry->storage, &batch, err);
}

static void remove_tags(struct push *push)
{
    const struct rs_manifest_put *put = push->put;
    if (!put->reference.is_digest)
        rs_tag_remove(push->registry, put->repository, put->reference.tag, &push->digest, NULL, NULL);
    for (size_t i = 0; i < put->tag_count; i++)
        rs_tag_remove(push->registry, put->repository, put->tags[i], &push->digest, NULL, NULL);
}

static rs_rc is_revision_there(struct push *push, bool *out_there, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    rs_path_revision_link(&path, push->put->repository, &push->digest);
    rs_rc rc = rs_storage_stat(push->registry->storage, path.z, &st, err);
    *out_there = rc == RS_OK;
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

/* Somebody may delete the manifest meanwhile: see TAGS BEFORE REVISIONS in manifest_delete.c. */
static rs_rc set_tags(struct push *push, struct rs_err *err)
{
    const struct rs_manifest_put *put = push->put;
    if (put->reference.is_digest && put->tag_count == 0)
        return RS_OK;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        bool there;
        RS_TRY(move_tags(push, attempt > 0, err));
        RS_TRY(is_revision_there(push, &there, err));
        if (there)
            return RS_OK;
        rs_rc rc = store(push, err);
        if (rc != RS_OK) { /* a blob that it needs was deleted too */
            remove_tags(push);
            return rc;
        }
    }
    return rs_err_set(err, RS_E_UNAVAILABLE, "manifest %s is deleted each time it is pushed: try again",
                      push->digest.text);
}

rs_rc rs_manifest_put(struct rs_registry *registry, const struct rs_manifest_put *put, struct rs_digest *out_digest,
                      struct rs_err *err)
{
    struct push push = {.registry = registry, .put = put};
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    RS_TRY(check_digest(put, &push.digest, err));
    RS_TRY(parse(&push, arena, err));
    RS_TRY(check_condition(&push, err));
    RS_TRY(check_tags(&push, err));
    RS_TRY(rs_presence_ensure(registry->presence, err));
    RS_TRY(store(&push, err));
    rs_rc rc = check_references(&push, err);
    if (rc != RS_OK) {
        take_back(&push);
        return rc;
    }
    rs_referrers_pushed(registry, put->repository, &push.digest, &push.manifest);
    RS_TRY(set_tags(&push, err));
    if (push.manifest.has_subject && put->out_subject != NULL)
        *put->out_subject = push.manifest.subject.digest;
    *out_digest = push.digest;
    return RS_OK;
}
