/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads of blobs. The storage is the truth of an upload's offset; one writer holds an upload at a time, in all
 * processes; the hash is carried on in registry:2's hashstates files, so that no byte is read twice.
 */
#pragma once

#include "base/clock.h"
#include "oci/digest.h"
#include "registry/registry.h"

struct rs_upload;

/* Begins one. Not durable, as its 202 needs no sync. */
rs_rc rs_upload_begin(struct rs_registry *registry, rs_str repository, char out_uuid[RS_UUID_SIZE], struct rs_err *err);
/* The algorithm that its digest is going to have, for whoever continues it; without this, SHA-256. Not durable. */
rs_rc rs_upload_choose(struct rs_registry *registry, rs_str repository, rs_str uuid, enum rs_hash_alg alg,
                       struct rs_err *err);
enum rs_hash_alg rs_upload_chosen(struct rs_registry *registry, rs_str repository, rs_str uuid);
/* How much has been received. RS_E_BLOB_UPLOAD_UNKNOWN. Does not take the upload. */
rs_rc rs_upload_stat(struct rs_registry *registry, rs_str repository, rs_str uuid, uint64_t *out_offset,
                     struct rs_err *err);
/* Takes it for writing. alg: what to hash with (that of the expected digest, else rs_upload_chosen).
 * RS_E_BLOB_UPLOAD_UNKNOWN; RS_E_RANGE_INVALID if another writer holds it. */
rs_rc rs_upload_open(struct rs_registry *registry, rs_str repository, rs_str uuid, enum rs_hash_alg alg,
                     struct rs_upload **out, struct rs_err *err);
uint64_t rs_upload_offset(const struct rs_upload *upload);
/* So many bytes are to come, and that is to be the digest of all (NULL: not known yet). RS_E_DENIED: they cannot fit
 * into a quota, whatever comes; the upload is removed when it is suspended. */
rs_rc rs_upload_announce(struct rs_upload *upload, const struct rs_digest *digest, uint64_t len, struct rs_err *err);
/* The same before there is an upload; of a size that is not known yet (0), whether anything fits. Not of a digest that
 * is known, and that the quota's repositories have already. */
rs_rc rs_upload_check_room(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                           uint64_t size, struct rs_err *err);
/* Where to receive the next bytes, *out_cap of them at most: a long upload is hashed by a second thread, which needs
 * them to stay. NULL: into any buffer of the caller's. */
void *rs_upload_buffer(struct rs_upload *upload, size_t *out_cap);
rs_rc rs_upload_write(struct rs_upload *upload, const void *data, size_t len, struct rs_err *err);
/* Keeps what was received for a later request, and lets go. NULL is fine. */
void rs_upload_suspend(struct rs_upload **upload);
/* Checks the digest, makes blob and link durable and visible, ends the upload. RS_E_DIGEST_INVALID: the bytes are not
 * those; the upload is removed. RS_E_DENIED: a quota is used up; the same. RS_E_BLOB_UPLOAD_UNKNOWN: it was cancelled
 * meanwhile. On another error it is suspended, unless its data had become a blob already or were lost in a failed sync;
 * then the client has to begin anew. Always nulls *upload. */
rs_rc rs_upload_commit(struct rs_upload **upload, const struct rs_digest *digest, struct rs_err *err);
/* Removes it. RS_E_BLOB_UPLOAD_UNKNOWN. */
rs_rc rs_upload_cancel(struct rs_registry *registry, rs_str repository, rs_str uuid, struct rs_err *err);

struct rs_upload_purge {
    int64_t age_s;              /* what began, and was last written to, longer ago is abandoned */
    bool dry_run;               /* nothing is removed */
    bool (*goes_on)(void *ctx); /* asked at every step; false ends the walk */
    /* Told of each that was, or would have been, removed; may be NULL. */
    void (*tell)(void *ctx, rs_str repository, rs_str uuid, int64_t began_s);
    void *ctx;
};
struct rs_upload_purged {
    uint64_t repositories; /* with a place for uploads */
    uint64_t uploads;      /* seen */
    uint64_t removed;      /* or that would have been */
    uint64_t failed;       /* to be removed; err has the first one's reason */
};
/* Removes abandoned uploads in all repositories, also in those without a manifest; never one that somebody writes.
 * Memory does not grow with their number. For a thread with an ordinary stack. */
rs_rc rs_upload_purge(struct rs_registry *registry, const struct rs_upload_purge *purge, struct rs_upload_purged *out,
                      struct rs_err *err);
