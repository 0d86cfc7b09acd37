/* SPDX-License-Identifier: Apache-2.0 */
/* The running hash of an upload, and how it outlives a request. Private to the registry. */
#pragma once

#include "oci/digest.h"
#include "registry/registry.h"

/* Fewer bytes than these are read again rather than kept as a state: that is quicker than two files. */
#define RS_REHASH_MAX (256 * 1024)

struct rs_upload_hash {
    struct rs_storage *storage;
    rs_str repository; /* borrowed */
    rs_str uuid;
    struct rs_hash hash;
    uint64_t saved; /* the offset of the newest stored state; 0: none */
};

/* Brings the hash to the end of what the file holds (`size` bytes): from the newest stored state that can be believed,
 * and by reading what follows it. */
rs_rc rs_upload_hash_open(struct rs_upload_hash *h, enum rs_hash_alg alg, struct rs_storage_file *file, uint64_t size,
                          struct rs_err *err);
/* Stores the state and removes the one before. Failing costs a later request some reading, nothing else. */
void rs_upload_hash_save(struct rs_upload_hash *h);
/* The digest of all bytes so far; with another algorithm than the running one the file is read again. */
rs_rc rs_upload_hash_digest(const struct rs_upload_hash *h, enum rs_hash_alg alg, struct rs_storage_file *file,
                            struct rs_digest *out, struct rs_err *err);
