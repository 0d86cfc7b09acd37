/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: what a repository is, on top of storage, in registry:2's layout (docs/DATA.md). Names, digests and tags
 * that come in are already checked (oci/). All calls may block unless they say otherwise; any thread.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "storage/storage.h"

struct rs_registry;

/* What a pushed manifest may name: registry:2's and registry:3's section `validation`. */
struct rs_platform {
    const char *os;
    const char *architecture;
};
enum rs_index_rule {
    RS_INDEX_ALL,  /* everything that an index names must be there */
    RS_INDEX_NONE, /* nothing need be */
    RS_INDEX_LIST, /* what it names for these platforms */
};
struct rs_manifest_rules {
    const char *const
        *url_allow; /* patterns (base/pattern.h), one of which a descriptor's URL must match; none: all may */
    size_t url_allow_count;
    const char *const *url_deny; /* none of which it may match */
    size_t url_deny_count;
    enum rs_index_rule index;
    const struct rs_platform *platforms;
    size_t platform_count;
};

/* Patterns are base/glob.h's, and known to be right. */
struct rs_immutable_rule { /* these tags stay where they are, once they are set */
    const char *const *repositories;
    size_t repository_count;
    const char *const *tags;
    size_t tag_count;
};
struct rs_quota_rule { /* what these repositories may link together */
    const char *const *repositories;
    size_t repository_count;
    uint64_t size; /* bytes */
};

/* Whether pulls from a repository are to be recorded. Any thread. */
typedef bool rs_pulls_tracked(const void *ctx, rs_str repository);

struct rs_registry_config {
    struct rs_manifest_rules rules;            /* copied; the names of platforms are borrowed */
    const struct rs_immutable_rule *immutable; /* copied; the patterns are borrowed */
    size_t immutable_count;
    const struct rs_quota_rule *quotas; /* the same */
    size_t quota_count;
    size_t manifest_cache_bytes; /* ceiling of the manifest cache */
    int64_t grace_s; /* how long a link is young after its last use, for all collectors (docs/COLLECTION.md); 0: this
                        process gives nothing away and takes nothing in */
    const char *state_dir;          /* an existing directory that is this process's alone; borrowed */
    rs_pulls_tracked *tracks_pulls; /* NULL: nothing is recorded */
    const void *tracks_pulls_ctx;
};

/* Borrows the storage for its lifetime. RS_E_CONFIG: a pattern of the rules is broken. */
rs_rc rs_registry_new(const struct rs_registry_config *config, struct rs_storage *storage, struct rs_registry **out,
                      struct rs_err *err);
/* Makes this process known to all collectors of the storage. Whoever is going to promise anything does so by himself;
 * at the start it tells early what does not work. */
rs_rc rs_registry_announce(struct rs_registry *registry, struct rs_err *err);
void rs_registry_free(struct rs_registry **registry);

/* What the quotas hold and allow: {"quotas":[{"repositories":["team"],"size":1024,"used":512,"blobs":3,"refused":0,
 * "counted":"2026-11-20T13:20:13Z"}]}. Counts where that was a minute ago. */
rs_rc rs_quotas_write(struct rs_registry *registry, struct rs_buf *out, struct rs_err *err);

/* Repositories in registry:2's order (component by component), after `last` (may be empty, and need not be a
 * name). The callback returns false to stop. */
typedef bool rs_registry_visit(void *ctx, rs_str name);
rs_rc rs_catalog_list(struct rs_registry *registry, rs_str last, rs_registry_visit *visit, void *ctx,
                      struct rs_err *err);
/* The tags of a repository in byte order, after `last`. RS_E_NAME_UNKNOWN if there is no such repository. */
rs_rc rs_tags_list(struct rs_registry *registry, rs_str repository, rs_str last, rs_registry_visit *visit, void *ctx,
                   struct rs_err *err);

/* Where a search stands: the last place that was looked at. All zero but for time_ms: at the beginning. */
#define RS_SEARCH_DONE "~" /* instead of a tag: all tags of the repository have been looked at */
struct rs_search {
    int64_t time_ms; /* how long a call may take, roughly */
    bool in_tags;    /* the names of repositories are done with */
    char repository[256];
    char tag[129];
    bool unfinished; /* out: there may be more behind that place */
};
/* Repositories whose name holds `part`, then tags whose name does; upper and lower case are the same. "a:b": tags that
 * begin with b in repositories whose name ends in a. In the catalog's order, all repositories (with an empty tag)
 * before all tags. The callback returns false to stop before this one. */
typedef bool rs_search_visit(void *ctx, rs_str repository, rs_str tag);
rs_rc rs_search(struct rs_registry *registry, rs_str part, struct rs_search *search, rs_search_visit *visit, void *ctx,
                struct rs_err *err);
