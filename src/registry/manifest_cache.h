/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests in memory, found by digest: immutable and reference counted, so that an answer may still be sent while its
 * manifest is displaced. The least recently used go first when the ceiling is reached. Private to the registry; any
 * thread.
 */
#pragma once

#include "registry/manifest.h"

struct rs_manifest_cache;

/* limit: bytes of all that it holds, its own bookkeeping included; 0: it holds nothing. */
struct rs_manifest_cache *rs_manifest_cache_new(size_t limit);
/* Documents that are still referenced live on. */
void rs_manifest_cache_free(struct rs_manifest_cache **cache);

/* NULL if it is not there; the caller unrefs. */
const struct rs_manifest_doc *rs_manifest_cache_find(struct rs_manifest_cache *cache, const struct rs_digest *digest);
/* Makes a document of copies, keeps it if there is room, and returns it (or the one that was there already); the caller
 * unrefs. The bytes must have that digest. */
const struct rs_manifest_doc *rs_manifest_cache_add(struct rs_manifest_cache *cache, const struct rs_digest *digest,
                                                    rs_str bytes, rs_str media_type);
size_t rs_manifest_cache_bytes(struct rs_manifest_cache *cache); /* held now */
/* Sets the cache's metrics. */
void rs_manifest_cache_measure(struct rs_manifest_cache *cache);
