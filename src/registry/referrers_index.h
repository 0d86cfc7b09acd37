/* SPDX-License-Identifier: Apache-2.0 */
/* Which manifests of a repository may refer to a subject. Private to the registry; any thread. */
#pragma once

#include "registry/manifest.h"
#include "registry/referrers_note.h"
#include "registry/registry.h"

/* One reading of a repository's manifests of one algorithm. Immutable; it stays while somebody holds it. */
struct rs_referrers_index;

/* As the directory is now, or was after this call began. *out is NULL if there is none. RS_E_UNAVAILABLE: another
 * request is reading the manifests, and is not ready yet. */
rs_rc rs_referrers_index_open(struct rs_registry *registry, rs_str repository, enum rs_hash_alg alg, bool read_only,
                              struct rs_referrers_index **out, struct rs_err *err);
void rs_referrers_index_unref(struct rs_referrers_index **index);
size_t rs_referrers_index_after(const struct rs_referrers_index *index, rs_str hex); /* the first place behind it */
/* The next candidate from a place on: *place is then its own. False: there is none. */
bool rs_referrers_index_next(const struct rs_referrers_index *index, const struct rs_note_filter *filter, size_t *place,
                             struct rs_digest *out);

/* A manifest was accepted: spares the next listing from reading it. Costs no I/O. */
void rs_referrers_pushed(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                         const struct rs_manifest *manifest);

/* What a registry keeps of them. */
struct rs_referrers_cache;
struct rs_referrers_cache *rs_referrers_cache_new(void);
void rs_referrers_cache_free(struct rs_referrers_cache **cache);
