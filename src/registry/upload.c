/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENDS ONCE. An upload is there if it has both `startedat` and `data`. Only rs_upload_begin makes them, startedat first
 * (registry:2 does the same), before anybody can know the UUID; nobody makes them again. Whoever writes holds the lock
 * on data. The one that commits renames data away, or removes it, with the lock held. So whoever comes second, in this
 * process or another, either cannot have the lock (416), or does not find data (404), or has opened the winner's and
 * sees under the lock that the path no longer names it (404). It never meets an empty upload that somebody else has
 * filled and ended. A crash or a failed sync may leave one of the two alone: no upload then, the client begins anew.
 *
 * The states of the hash lie beside data and are written without looking whether the upload still is: so whoever has
 * written one looks afterwards, and removes what is left if the upload was removed meanwhile.
 */
#include "registry/upload.h"

#include "base/clock.h"
#include "base/mem.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "metrics/metrics.h"
#include "oci/reference.h"
#include "registry/blob.h"
#include "registry/hash_thread.h"
#include "registry/presence.h"
#include "registry/promise.h"
#include "registry/upload_hash.h"

#define LONG_FROM (256 * 1024)        /* bytes in one request, from which on a second thread hashes */
#define SAVE_EVERY (64 * 1024 * 1024) /* bytes: what a kill may make us read again */

struct rs_upload {
    struct rs_registry *registry;
    struct rs_storage *storage;
    struct rs_storage_file *file; /* NULL once it is a blob */
    struct rs_upload_hash hash;
    struct rs_hash_thread *hash_thread; /* has hash.hash to itself */
    void *buffer;                       /* of hash_thread, handed out by rs_upload_buffer */
    uint64_t offset;
    uint64_t opened_at; /* the offset at which this request took it */
    uint64_t limit;     /* the smallest quota: a larger blob never fits */
    bool denied;        /* by a quota: nobody can go on with it */
    bool broken;        /* a write failed: how much of it is in the file is not known, and the hash may be ahead */
    size_t repository_len;
    char repository[RS_NAME_MAX + 1];
    char uuid[RS_UUID_SIZE];
};

static rs_rc unknown(rs_rc rc, rs_str repository, rs_str uuid, struct rs_err *err)
{
    if (rc != RS_E_NOT_FOUND)
        return rc;
    return rs_err_set(err, RS_E_BLOB_UPLOAD_UNKNOWN, "repository " RS_STR_FMT " has no upload " RS_STR_FMT,
                      RS_STR_ARG(repository), RS_STR_ARG(uuid));
}

/* Half of what makes an upload: see ENDS ONCE. */
static rs_rc check_started(struct rs_storage *storage, rs_str repository, rs_str uuid, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    if (!rs_uuid_valid(uuid))
        return unknown(RS_E_NOT_FOUND, repository, uuid, err);
    rs_rc rc = rs_storage_stat(storage, rs_path_upload_startedat(&path, repository, uuid), &st, err);
    return rc == RS_OK ? RS_OK : unknown(rc, repository, uuid, err);
}

static void remove_upload(struct rs_storage *storage, rs_str repository, rs_str uuid)
{
    struct rs_path path; /* what cannot be removed now, the purge of old uploads will */
    rs_storage_remove(storage, rs_path_upload(&path, repository, uuid), NULL, NULL);
}

/* A fraction of a second, which Go's parser takes and registry:2 never writes: the collector tells by it who began an
 * upload. */
#define FRACTION ".0Z"

rs_rc rs_upload_begin(struct rs_registry *registry, rs_str repository, char out_uuid[RS_UUID_SIZE], struct rs_err *err)
{
    struct rs_path path;
    char uuid[RS_UUID_SIZE], now[RS_RFC3339_SIZE];
    rs_uuid4(uuid);
    rs_rfc3339(rs_wall_s(), now);
    memcpy(now + strlen(now) - 1, FRACTION, sizeof FRACTION);
    rs_path_upload_startedat(&path, repository, rs_str_c(uuid));
    RS_TRY(rs_storage_put(registry->storage, path.z, rs_str_c(now), NULL, err));
    rs_path_upload_data(&path, repository, rs_str_c(uuid));
    rs_rc rc = rs_storage_append_create(registry->storage, path.z, err);
    if (rc != RS_OK) {
        remove_upload(registry->storage, repository, rs_str_c(uuid));
        return rc;
    }
    memcpy(out_uuid, uuid, sizeof uuid);
    rs_metrics_add(RS_METRIC_UPLOADS_STARTED, RS_NO_LABELS, 1);
    return RS_OK;
}

rs_rc rs_upload_choose(struct rs_registry *registry, rs_str repository, rs_str uuid, enum rs_hash_alg alg,
                       struct rs_err *err)
{
    struct rs_path path;
    if (alg == RS_SHA256)
        return RS_OK;
    rs_path_upload_algorithm(&path, repository, uuid);
    return rs_storage_put(registry->storage, path.z, rs_str_c(rs_hash_name(alg)), NULL, err);
}

/* A guess that saves reading the bytes again at the end: whatever cannot be read is no harm. */
enum rs_hash_alg rs_upload_chosen(struct rs_registry *registry, rs_str repository, rs_str uuid)
{
    struct rs_path path;
    enum rs_hash_alg alg = RS_SHA256;
    RS_AUTO(rs_buf_release) struct rs_buf name;
    rs_buf_init(&name, 16);
    rs_path_upload_algorithm(&path, repository, uuid);
    if (rs_uuid_valid(uuid) && rs_storage_read(registry->storage, path.z, &name, NULL) == RS_OK)
        rs_digest_algorithm(rs_buf_str(&name), &alg);
    return alg;
}

rs_rc rs_upload_stat(struct rs_registry *registry, rs_str repository, rs_str uuid, uint64_t *out_offset,
                     struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    RS_TRY(check_started(registry->storage, repository, uuid, err));
    rs_rc rc = rs_storage_stat(registry->storage, rs_path_upload_data(&path, repository, uuid), &st, err);
    if (rc != RS_OK)
        return unknown(rc, repository, uuid, err);
    *out_offset = st.size;
    return RS_OK;
}

static rs_str repository_of(const struct rs_upload *u)
{
    return (rs_str){u->repository, u->repository_len};
}

static void upload_free(struct rs_upload *u)
{
    rs_hash_thread_stop(&u->hash_thread);
    rs_storage_append_close(&u->file);
    rs_metrics_sub(RS_METRIC_UPLOADS_WRITING, RS_NO_LABELS, 1);
    free(u);
}

static void auto_free(struct rs_upload **u)
{
    if (*u != NULL)
        upload_free(rs_take(u));
}

static struct rs_upload *upload_new(struct rs_registry *registry, rs_str repository, rs_str uuid)
{
    struct rs_upload *u = rs_calloc(1, sizeof *u);
    rs_metrics_add(RS_METRIC_UPLOADS_WRITING, RS_NO_LABELS, 1);
    u->registry = registry;
    u->storage = registry->storage;
    u->repository_len = repository.len;
    RS_ASSERT(rs_str_copy_z(repository, u->repository, sizeof u->repository));
    RS_ASSERT(rs_str_copy_z(uuid, u->uuid, sizeof u->uuid));
    u->hash.storage = u->storage;
    u->hash.repository = repository_of(u);
    u->hash.uuid = rs_str_c(u->uuid);
    return u;
}

static rs_rc open_data(struct rs_upload *u, uint64_t *out_size, struct rs_err *err)
{
    struct rs_path path;
    rs_path_upload_data(&path, repository_of(u), u->hash.uuid);
    rs_rc rc = rs_storage_append_open(u->storage, path.z, &u->file, out_size, err);
    if (rc == RS_E_BUSY)
        return rs_err_set(err, RS_E_RANGE_INVALID, "upload %s is being written by another request", u->uuid);
    if (rc != RS_OK) /* NOT_FOUND: it ended between */
        return unknown(rc, repository_of(u), u->hash.uuid, err);
    return RS_OK;
}

rs_rc rs_upload_open(struct rs_registry *registry, rs_str repository, rs_str uuid, enum rs_hash_alg alg,
                     struct rs_upload **out, struct rs_err *err)
{
    uint64_t size;
    RS_TRY(check_started(registry->storage, repository, uuid, err));
    RS_AUTO(auto_free) struct rs_upload *u = upload_new(registry, repository, uuid);
    RS_TRY(open_data(u, &size, err));
    RS_TRY(rs_upload_hash_open(&u->hash, alg, u->file, size, err));
    u->offset = u->opened_at = size;
    u->limit = rs_quota_limit(registry, repository);
    *out = rs_take(&u);
    return RS_OK;
}

uint64_t rs_upload_offset(const struct rs_upload *upload)
{
    return upload->offset;
}

void *rs_upload_buffer(struct rs_upload *u, size_t *out_cap)
{
    if (u->hash_thread == NULL && u->offset - u->opened_at >= LONG_FROM)
        u->hash_thread = rs_hash_thread_start(&u->hash.hash);
    if (u->hash_thread == NULL)
        return NULL;
    *out_cap = RS_HASH_PIECE;
    u->buffer = rs_hash_thread_buffer(u->hash_thread);
    return u->buffer;
}

/* In the second thread when the bytes lie in its buffer: it hashes while this thread writes them. */
static void hash_bytes(struct rs_upload *u, const void *data, size_t len)
{
    if (u->hash_thread != NULL && data == u->buffer) {
        u->buffer = NULL;
        rs_hash_thread_give(u->hash_thread, len);
        return;
    }
    if (u->hash_thread != NULL)
        rs_hash_thread_wait(u->hash_thread);
    rs_hash_update(&u->hash.hash, data, len);
}

static void save_hash(struct rs_upload *u)
{
    if (u->hash_thread != NULL)
        rs_hash_thread_wait(u->hash_thread);
    rs_upload_hash_save(&u->hash);
    struct rs_path path;
    struct rs_storage_stat st;
    rs_path_upload_data(&path, repository_of(u), u->hash.uuid);
    if (rs_storage_stat(u->storage, path.z, &st, NULL) == RS_E_NOT_FOUND)
        remove_upload(u->storage, repository_of(u), u->hash.uuid);
}

static rs_rc check_limit(struct rs_upload *u, uint64_t len, struct rs_err *err)
{
    if (u->offset <= u->limit && len <= u->limit - u->offset)
        return RS_OK;
    u->denied = true;
    return rs_quota_refuse(u->registry, repository_of(u), err);
}

rs_rc rs_upload_announce(struct rs_upload *upload, const struct rs_digest *digest, uint64_t len, struct rs_err *err)
{
    RS_TRY(check_limit(upload, len, err));
    if (digest == NULL)
        return RS_OK;
    rs_rc rc = rs_quota_check(upload->registry, repository_of(upload), digest, upload->offset + len, err);
    upload->denied = rc == RS_E_DENIED;
    return rc;
}

rs_rc rs_upload_check_room(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                           uint64_t size, struct rs_err *err)
{
    return rs_quota_check(registry, repository, digest, RS_MAX(size, 1), err);
}

rs_rc rs_upload_write(struct rs_upload *upload, const void *data, size_t len, struct rs_err *err)
{
    RS_TRY(check_limit(upload, len, err));
    if (upload->broken)
        return rs_err_set(err, RS_E_IO, "upload %s: a write failed before", upload->uuid);
    hash_bytes(upload, data, len);
    rs_rc rc = rs_storage_append(upload->file, data, len, err);
    upload->broken = rc != RS_OK;
    RS_TRY(rc);
    upload->offset += len;
    rs_metrics_add(RS_METRIC_UPLOADS_BYTES, RS_NO_LABELS, len);
    if (upload->offset - upload->hash.saved >= SAVE_EVERY)
        save_hash(upload);
    return RS_OK;
}

void rs_upload_suspend(struct rs_upload **upload)
{
    if (*upload == NULL)
        return;
    struct rs_upload *u = rs_take(upload);
    if (!u->broken && !u->denied && u->offset - u->hash.saved > RS_REHASH_MAX)
        save_hash(u);
    if (u->denied)
        remove_upload(u->storage, repository_of(u), u->hash.uuid);
    upload_free(u);
}

static rs_rc verify(struct rs_upload *u, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_digest found;
    if (u->broken)
        return rs_err_set(err, RS_E_IO, "upload %s: a write failed before", u->uuid);
    rs_hash_thread_stop(&u->hash_thread);
    RS_TRY(rs_upload_hash_digest(&u->hash, digest->alg, u->file, &found, err));
    if (!rs_digest_eq(&found, digest))
        return rs_err_set(err, RS_E_DIGEST_INVALID, "the content has the digest %s, not %s", found.text, digest->text);
    return RS_OK;
}

/* The link may have grown old while a large blob was synced, and have been taken together with the data. */
static rs_rc check_late(struct rs_upload *u, const struct rs_digest *digest, struct rs_err *err)
{
    uint64_t size;
    rs_rc rc = rs_blob_stat(u->registry, repository_of(u), digest, &size, err);
    if (rc == RS_E_BLOB_UNKNOWN)
        return rs_err_set(err, RS_E_UNAVAILABLE, "blob %s was collected while it was being stored: push it again",
                          digest->text);
    return rc;
}

/* The link first: see promise.h. Without its data it is no blob, so a crash that leaves it alone does no harm. One sync
 * for both. */
static rs_rc store(struct rs_upload *u, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    RS_TRY(rs_presence_ensure(u->registry->presence, err));
    int64_t linked_s = rs_wall_s();
    rs_path_layer_link(&path, repository_of(u), digest);
    RS_TRY(
        rs_promise_made(u->registry, repository_of(u), path.z, digest, digest, RS_TOMBSTONED_WAIT, &batch, NULL, err));
    rs_rc rc = rs_storage_publish(&u->file, rs_path_blob(&path, digest), &batch, err);
    if (rc != RS_OK)
        return unknown(rc, repository_of(u), u->hash.uuid, err); /* cancelled meanwhile */
    RS_TRY(rs_storage_sync(u->storage, &batch, err));
    return rs_presence_is_old(u->registry->presence, linked_s) ? check_late(u, digest, err) : RS_OK;
}

/* The room in quotas is taken before the link is made. */
static rs_rc store_within_quotas(struct rs_upload *u, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_quota_claim *claim;
    rs_rc rc = rs_quota_take(u->registry, repository_of(u), RS_QUOTA_LAYER, digest, u->offset, &claim, err);
    u->denied = rc == RS_E_DENIED;
    RS_TRY(rc);
    rc = store(u, digest, err);
    rs_quota_settle(u->registry, &claim, rc == RS_OK);
    return rc;
}

/* Whose data has become a blob, or can become none, is removed; else the client may try again with what is there. */
rs_rc rs_upload_commit(struct rs_upload **upload, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_upload *u = *upload;
    rs_rc rc = verify(u, digest, err);
    if (rc == RS_OK)
        rc = store_within_quotas(u, digest, err);
    rs_metrics_add(rc == RS_OK ? RS_METRIC_UPLOADS_FINISHED : RS_METRIC_UPLOADS_FAILED, RS_NO_LABELS, 1);
    if (rc != RS_OK && rc != RS_E_DIGEST_INVALID && u->file != NULL) {
        rs_upload_suspend(upload);
        return rc;
    }
    remove_upload(u->storage, repository_of(u), u->hash.uuid);
    upload_free(rs_take(upload));
    return rc;
}

rs_rc rs_upload_cancel(struct rs_registry *registry, rs_str repository, rs_str uuid, struct rs_err *err)
{
    struct rs_path path;
    RS_TRY(check_started(registry->storage, repository, uuid, err));
    RS_TRY(rs_storage_remove(registry->storage, rs_path_upload(&path, repository, uuid), NULL, err));
    rs_metrics_add(RS_METRIC_UPLOADS_CANCELLED, RS_NO_LABELS, 1);
    return RS_OK;
}
