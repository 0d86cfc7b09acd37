/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and tags of a repository, and which manifests refer to which. */
#pragma once

#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "registry/registry.h"

/* A manifest in memory: immutable, shared, reference counted. */
struct rs_manifest_doc {
    rs_str bytes;      /* exactly as they were pushed */
    rs_str media_type; /* what to answer as Content-Type */
    struct rs_digest digest;
};
void rs_manifest_doc_unref(const struct rs_manifest_doc **doc);

/* By tag or digest; the caller unrefs *out. RS_E_MANIFEST_UNKNOWN; RS_E_CORRUPT if the stored bytes are not its. Looks
 * at the repository's link each time; the bytes come from a cache in memory. Quick on a local disk. */
rs_rc rs_manifest_get(struct rs_registry *registry, rs_str repository, const struct rs_reference *reference,
                      const struct rs_manifest_doc **out, struct rs_err *err);

/* For whoever is told that a manifest is there and need not push it: he may rely on it for half the grace period.
 * RS_E_MANIFEST_UNKNOWN. Quick on a local disk. */
rs_rc rs_manifest_promise(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                          struct rs_err *err);

/* The manifest for a platform that an index names, by what the repository has of it; the caller unrefs *out.
 * RS_E_MANIFEST_UNKNOWN: it names none, or the repository does not have it. Reads the whole index: blocks. */
rs_rc rs_manifest_get_platform(struct rs_registry *registry, rs_str repository, const struct rs_manifest_doc *index,
                               rs_str os, rs_str architecture, const struct rs_manifest_doc **out, struct rs_err *err);

/* A manifest was pulled. Notes it in memory if pulls from the repository are tracked; calls no storage. */
void rs_pull_note(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest);
/* Writes what was noted to the storage: the time of change of rs_path_pulled_at is at most RS_PULL_RESOLUTION_S older
 * than the last pull, unless the process was killed less than that after it. One thread at a time. What cannot be
 * written comes again with the next pull; *out_failed: how many. The first one's error. */
#define RS_PULL_RESOLUTION_S 3600
rs_rc rs_pulls_write(struct rs_registry *registry, uint64_t *out_failed, struct rs_err *err);

/* Removes a tag for a client, durably; what it pointed to stays. RS_E_MANIFEST_UNKNOWN; RS_E_DENIED: it is immutable
 * (which binds clients alone: retention and the collector, whose rules are the operator's as well, remove by other
 * functions, and do not ask). */
rs_rc rs_tag_delete(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_err *err);
/* The same of one that nobody has pushed since the caller looked: it still points to that manifest, and its link is as
 * `seen` told before the digest was read. RS_E_MANIFEST_UNKNOWN; RS_E_PRECONDITION: it was pushed again. */
rs_rc rs_tag_delete_unchanged(struct rs_registry *registry, rs_str repository, rs_str tag,
                              const struct rs_digest *digest, const struct rs_storage_stat *seen, struct rs_err *err);
/* Takes a manifest out of a repository, and first every tag that points to it; durably. Its bytes stay for the
 * collector. on_tag is told each tag that goes, also before an error; NULL: nobody wants to know.
 * RS_E_MANIFEST_UNKNOWN. RS_E_DENIED: an immutable tag points to it; nothing is removed, or (if a push set that tag
 * meanwhile) some other tags of it. */
rs_rc rs_manifest_delete(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                         void (*on_tag)(void *ctx, rs_str tag), void *ctx, struct rs_err *err);

struct rs_manifest_put {
    rs_str repository;
    struct rs_reference reference; /* a tag, or the digest that the bytes must have */
    rs_str content_type;           /* the client's */
    rs_str bytes;
    struct rs_digest *out_subject; /* written on success if the manifest has a subject; may be NULL */
    const rs_str *tags;            /* beside the reference, to point to it as well; checked (rs_tag_check) */
    size_t tag_count;
    /* A condition on what the reference names: is told the digest that the tag points to, or that of the manifest; NULL
     * if there is no such tag or manifest. May be called several times. NULL: no condition. */
    bool (*accept)(void *ctx, const struct rs_digest *held);
    void *accept_ctx;
};
/* Validates, checks every referenced blob and child manifest, stores durably, then moves the tags. *out_digest: what it
 * is stored under (SHA-256, or the algorithm of the reference's digest). RS_E_MANIFEST_INVALID,
 * RS_E_MANIFEST_TOO_BIG, RS_E_MANIFEST_BLOB_UNKNOWN, RS_E_DIGEST_INVALID. RS_E_PRECONDITION: `accept` said no last time
 * it was asked; the reference is as it was, though the manifest may have been stored. RS_E_DENIED: a quota is
 * used up, and nothing was stored; or a tag is immutable and points to another manifest: nothing was stored either, or,
 * if that came to be meanwhile, the manifest and tags named before it. All pushes of a tag, with a condition or
 * without, happen in one order, in all processes. */
rs_rc rs_manifest_put(struct rs_registry *registry, const struct rs_manifest_put *put, struct rs_digest *out_digest,
                      struct rs_err *err);

/* The referrers of a subject: the repository's manifests whose `subject` it is (distribution-spec 1.1, "Listing
 * Referrers"). */
struct rs_referrers_query {
    rs_str repository;
    struct rs_digest subject;
    rs_str artifact_type; /* empty: all */
    rs_str after;         /* the digest to go on behind; empty: from the beginning */
    uint64_t max;         /* descriptors */
    bool read_only;       /* nothing is written to the storage */
};

struct rs_referrers_page {
    struct rs_buf json; /* the descriptors, separated by commas */
    uint64_t count;
    bool more;             /* there may be others, behind `last` */
    struct rs_digest last; /* may be one that is not listed; valid if more */
};
void rs_referrers_page_init(struct rs_referrers_page *page);
void rs_referrers_page_release(struct rs_referrers_page *page);

/* Fills a page: by algorithm, then in byte order of the digests; at most `max` descriptors and about 4 MiB of JSON.
 * What is not in the repository has no referrers, and neither has an unknown repository. RS_E_UNAVAILABLE: the
 * manifests are being read for the first time, which takes longer than a client should wait. */
rs_rc rs_referrers_list(struct rs_registry *registry, const struct rs_referrers_query *query,
                        struct rs_referrers_page *out, struct rs_err *err);

/* What people want to know of an image. Strings live in the arena. */
struct rs_image_summary {
    struct rs_digest digest;
    rs_str media_type;
    rs_str artifact_type; /* of an artifact; else empty */
    uint64_t size; /* bytes of the manifest and of all that it names; of an index, of all images in it that are here */
    int64_t pushed_s;        /* when the tag was set; seconds since 1970 */
    const rs_str *platforms; /* "linux/arm64/v8" */
    size_t platform_count;
};
/* RS_E_MANIFEST_UNKNOWN; RS_E_CORRUPT. */
rs_rc rs_image_describe(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_arena *arena,
                        struct rs_image_summary *out, struct rs_err *err);
