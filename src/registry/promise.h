/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request does so that no remover takes what its answer promises. The argument is in docs/COLLECTION.md; in
 * short: announce (rs_presence_ensure), have the link and renew it, look for a tombstone, look at the link and the
 * data; in this order. Private to the registry; any thread.
 */
#pragma once

#include "oci/digest.h"
#include "registry/registry_priv.h"

/* What to do about a tombstone. */
enum rs_tombstoned {
    RS_TOMBSTONED_IS_GONE, /* RS_E_NOT_FOUND */
    RS_TOMBSTONED_WAIT,    /* until it is lifted, and look again */
};

/* A link of the repository under `digest` that ought to be there: it is, young and not about to be taken.
 * *out_target: where it leads (the same digest, but for registry:2's aliases). *out_mtime_s: when it was last changed,
 * before this call; may be NULL. The data are the caller's to look at afterwards. RS_E_NOT_FOUND. */
rs_rc rs_promise_found(struct rs_registry *registry, rs_str repository, const char *link,
                       const struct rs_digest *digest, enum rs_tombstoned policy, struct rs_digest *out_target,
                       int64_t *out_mtime_s, struct rs_err *err);
/* The same for a link that is made if it is not there, durable with the batch. With RS_TOMBSTONED_IS_GONE a link that
 * was made may stay behind. *out_made: it was not there before; may be NULL. */
rs_rc rs_promise_made(struct rs_registry *registry, rs_str repository, const char *link, const struct rs_digest *digest,
                      const struct rs_digest *target, enum rs_tombstoned policy, struct rs_storage_batch *batch,
                      bool *out_made, struct rs_err *err);
/* Whether a remover is about to take the data of the target, or what the repository has under the digest. */
rs_rc rs_promise_look(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, bool *out_tombstoned, struct rs_err *err);
