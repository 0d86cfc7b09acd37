/* SPDX-License-Identifier: Apache-2.0 */
/* Link files: a digest's text in a file ("sha256:…", no newline). Any thread. */
#pragma once

#include "oci/digest.h"
#include "storage/storage.h"

/* Reads one. A registry:2 writes links in place: an empty or cut one is read again for up to a second while it is
 * young. RS_E_NOT_FOUND; RS_E_CORRUPT if it holds no digest. */
rs_rc rs_link_read(struct rs_storage *storage, const char *path, struct rs_digest *out, struct rs_err *err);
/* Where the link of `digest` leads: to itself, which its length alone tells without reading it, or to the digest that
 * it holds (registry:2 makes sha512 links that hold a sha256). Errors as rs_link_read. */
rs_rc rs_link_follow(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                     struct rs_digest *out_target, struct rs_err *err);
/* The same; *out_stat: of the link, before it was read. */
rs_rc rs_link_look(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                   struct rs_digest *out_target, struct rs_storage_stat *out_stat, struct rs_err *err);
rs_rc rs_link_write(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                    struct rs_storage_batch *batch, struct rs_err *err);
/* Agrees to a change of a link: `held` is what it holds, NULL if there is none. May be called several times. */
struct rs_link_guard {
    bool (*accept)(void *ctx, const struct rs_digest *held);
    void *ctx;
};
/* Writes it if the guard (NULL: none) agrees, else RS_E_PRECONDITION: a compare-and-swap, in one order with all other
 * calls of this function, in all processes. */
rs_rc rs_link_swap(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                   const struct rs_link_guard *guard, struct rs_storage_batch *batch, struct rs_err *err);
/* Removes it if it holds that digest (NULL: whatever it holds), in one order with rs_link_swap. RS_E_NOT_FOUND;
 * RS_E_PRECONDITION: it holds another. */
rs_rc rs_link_remove(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                     struct rs_storage_batch *batch, struct rs_err *err);
/* Writes it unless it holds that digest already; durable with the batch either way. out_made may be NULL. */
rs_rc rs_link_ensure(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                     struct rs_storage_batch *batch, bool *out_made, struct rs_err *err);
