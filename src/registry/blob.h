/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs of a repository. A blob is served only through a repository that links it. */
#pragma once

#include "base/source.h"
#include "oci/digest.h"
#include "registry/registry.h"

/* RS_E_BLOB_UNKNOWN if the repository does not link it or its data is missing. Whoever has asked may rely on it for
 * half the grace period. Quick on a local disk. */
rs_rc rs_blob_stat(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest, uint64_t *out_size,
                   struct rs_err *err);
/* The same, and opens it for sending. Quick on a local disk. */
rs_rc rs_blob_open(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                   struct rs_source *out, struct rs_err *err);
/* Takes a blob out of a repository, durably. Its data stay for the collector, and for whoever reads them now.
 * RS_E_BLOB_UNKNOWN. */
rs_rc rs_blob_unlink(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                     struct rs_err *err);
/* Links a blob that lies anywhere in the registry; durably. Whether the client may have it is the caller's to know.
 * RS_E_BLOB_UNKNOWN. */
rs_rc rs_blob_mount_any(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                        struct rs_err *err);
/* Links a blob of another repository (distribution-spec, "Mounting a blob from another repository"), durably.
 * RS_E_BLOB_UNKNOWN if `from` does not have it; of both: RS_E_DENIED: a quota is used up. */
rs_rc rs_blob_mount(struct rs_registry *registry, rs_str repository, rs_str from, const struct rs_digest *digest,
                    struct rs_err *err);
