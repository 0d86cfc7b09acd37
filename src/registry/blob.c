/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/blob.h"

#include "layout/link.h"
#include "layout/paths.h"
#include "registry/presence.h"
#include "registry/promise.h"

static rs_rc unknown(rs_rc rc, rs_str repository, const struct rs_digest *digest, struct rs_err *err)
{
    if (rc != RS_E_NOT_FOUND)
        return rc;
    return rs_err_set(err, RS_E_BLOB_UNKNOWN, "repository " RS_STR_FMT " has no blob %s", RS_STR_ARG(repository),
                      digest->text);
}

/* The digest under which the data lies, if the repository links it. */
static rs_rc resolve(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                     struct rs_digest *out, struct rs_err *err)
{
    struct rs_path path;
    rs_path_layer_link(&path, repository, digest);
    rs_rc rc = rs_link_follow(registry->storage, path.z, digest, out, err);
    return rc == RS_OK ? RS_OK : unknown(rc, repository, digest, err);
}

rs_rc rs_blob_stat(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest, uint64_t *out_size,
                   struct rs_err *err)
{
    struct rs_path path;
    struct rs_digest target;
    struct rs_storage_stat st;
    rs_path_layer_link(&path, repository, digest);
    rs_presence_ensure(registry->presence, NULL);
    rs_rc rc = rs_promise_found(registry, repository, path.z, digest, RS_TOMBSTONED_IS_GONE, &target, NULL, err);
    if (rc == RS_OK)
        rc = rs_storage_stat(registry->storage, rs_path_blob(&path, &target), &st, err);
    if (rc != RS_OK)
        return unknown(rc, repository, digest, err);
    *out_size = st.size;
    return RS_OK;
}

rs_rc rs_blob_open(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                   struct rs_source *out, struct rs_err *err)
{
    struct rs_path path;
    struct rs_digest target;
    RS_TRY(resolve(registry, repository, digest, &target, err));
    rs_rc rc = rs_storage_open(registry->storage, rs_path_blob(&path, &target), out, NULL, err);
    return rc == RS_OK ? RS_OK : unknown(rc, repository, digest, err);
}

/* The data may be another request's that has not synced yet, so it is made durable here as well. */
static rs_rc make_link(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                       const struct rs_digest *target, struct rs_err *err)
{
    struct rs_path link, data;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_path_blob(&data, target);
    rs_path_layer_link(&link, repository, digest);
    RS_TRY(rs_promise_made(registry, repository, link.z, digest, target, RS_TOMBSTONED_IS_GONE, &batch, NULL, err));
    RS_TRY(rs_storage_keep(registry->storage, data.z, &batch, err));
    return rs_storage_sync(registry->storage, &batch, err);
}

/* It is looked at before, so that no link is made to nothing, and after: see promise.h. */
static rs_rc link_data(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                       const struct rs_digest *target, struct rs_err *err)
{
    struct rs_path data;
    bool tombstoned;
    struct rs_storage_stat st;
    struct rs_quota_claim *claim;
    RS_TRY(rs_presence_ensure(registry->presence, err));
    RS_TRY(rs_promise_look(registry, repository, digest, target, &tombstoned, err));
    if (tombstoned)
        return RS_E_NOT_FOUND;
    RS_TRY(rs_storage_stat(registry->storage, rs_path_blob(&data, target), &st, err));
    RS_TRY(rs_quota_take(registry, repository, RS_QUOTA_LAYER, target, st.size, &claim, err));
    rs_rc rc = make_link(registry, repository, digest, target, err);
    rs_quota_settle(registry, &claim, rc == RS_OK);
    return rc;
}

rs_rc rs_blob_mount(struct rs_registry *registry, rs_str repository, rs_str from, const struct rs_digest *digest,
                    struct rs_err *err)
{
    struct rs_digest target;
    RS_TRY(resolve(registry, from, digest, &target, err));
    return unknown(link_data(registry, repository, digest, &target, err), from, digest, err);
}

rs_rc rs_blob_mount_any(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                        struct rs_err *err)
{
    return unknown(link_data(registry, repository, digest, digest, err), repository, digest, err);
}

rs_rc rs_blob_unlink(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                     struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_path_layer_link(&path, repository, digest);
    rs_rc rc = rs_storage_stat(registry->storage, path.z, &st, err);
    if (rc != RS_OK)
        return unknown(rc, repository, digest, err);
    RS_TRY(rs_storage_remove(registry->storage, path.z, NULL, err));
    rs_quota_removed(registry, repository);
    RS_TRY(rs_storage_prune(registry->storage, rs_path_parent(&path), 1, &batch, err));
    return rs_storage_sync(registry->storage, &batch, err);
}
