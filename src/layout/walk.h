/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over what is stored, as it lies there: directories, not the catalog. Memory does not grow with what is met.
 * May block; any thread with an ordinary stack.
 */
#pragma once

#include "layout/paths.h"
#include "storage/storage.h"

/* What a repository's directory holds. */
enum rs_repository_part {
    RS_PART_LAYERS = 1,
    RS_PART_MANIFESTS = 2,
    RS_PART_UPLOADS = 4,
    RS_PART_OWN = 8, /* _roadstead */
};

/* Every repository that has at least one part, in any order; one below another comes after it or before. The name is
 * the walk's. false ends the walk. */
typedef bool rs_repository_visit(void *ctx, rs_str name, unsigned parts);
/* What comes or goes meanwhile may be left out. Any listing that breaks off is an error: what was told is not all. */
rs_rc rs_repositories_walk(struct rs_storage *storage, rs_repository_visit *visit, void *ctx, struct rs_err *err);
/* The same of the repository of that name and of those below it; name: checked, or empty (all). */
rs_rc rs_repositories_walk_below(struct rs_storage *storage, rs_str name, rs_repository_visit *visit, void *ctx,
                                 struct rs_err *err);

/* The digests whose hexadecimal part names a directory below `path` (_layers/sha256, revisions/sha512 …), in any
 * order. Nothing there: no digest. Other names are passed by. false ends it. */
typedef bool rs_digest_visit(void *ctx, const struct rs_digest *digest);
rs_rc rs_digests_walk(struct rs_storage *storage, const char *path, enum rs_hash_alg alg, rs_digest_visit *visit,
                      void *ctx, struct rs_err *err);
