/* SPDX-License-Identifier: Apache-2.0 */
/* Tags: what one points to, and moving it. Private to the registry; any thread. */
#pragma once

#include "layout/link.h"
#include "registry/registry.h"

/*
 * Remembers which digest a tag's link held, together with the stamp that the storage gave for it. The storage is asked
 * for the stamp each time; equal stamps spare reading the link. Bounded: a newer entry displaces an older one.
 */
struct rs_tag_cache;
struct rs_tag_cache *rs_tag_cache_new(void);
void rs_tag_cache_free(struct rs_tag_cache **cache);

/* Looks at the tag's link. *out_seen: the revision that it points to was seen to exist within the last second
 * (rs_tag_saw_revision), and need not be looked for again: whoever removes a revision removes its tags, so that the
 * look at the tag is what counts. RS_E_MANIFEST_UNKNOWN if there is no such tag; RS_E_CORRUPT. */
rs_rc rs_tag_resolve(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_digest *out, bool *out_seen,
                     struct rs_err *err);
/* The revision behind the tag, as rs_tag_resolve gave it, exists now. */
void rs_tag_saw_revision(struct rs_registry *registry, rs_str repository, rs_str tag, const struct rs_digest *digest);
/* Points it to a manifest whose revision is durable already; durable itself with the batch. guard: as of rs_link_swap;
 * NULL: none. RS_E_PRECONDITION: it does not agree. */
rs_rc rs_tag_move(struct rs_registry *registry, rs_str repository, rs_str tag, const struct rs_digest *digest,
                  const struct rs_link_guard *guard, struct rs_storage_batch *batch, struct rs_err *err);
/* Removes it if it points to that manifest (NULL: to whatever). RS_E_NOT_FOUND; RS_E_PRECONDITION. In
 * manifest_delete.c. */
rs_rc rs_tag_remove(struct rs_registry *registry, rs_str repository, rs_str tag, const struct rs_digest *digest,
                    struct rs_storage_batch *batch, struct rs_err *err);
