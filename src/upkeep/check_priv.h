/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the check share. */
#pragma once

#include "base/mem.h"
#include "layout/paths.h"
#include "layout/walk.h"
#include "oci/manifest.h"
#include "upkeep/check.h"
#include "upkeep/check_seen.h"

#define CHECK_PIECE (256 * 1024)
#define CHECK_TEXT_MAX 1024

/* One run. */
struct check {
    const struct rs_check_config *config;
    struct rs_storage *storage;
    struct rs_check_counts *counts;
    struct check_seen *seen; /* NULL: there is no room for it */
    int64_t old_s;           /* what was changed before this is not being written any more */
    int64_t began_ms;        /* for the rate */
    uint64_t read_bytes;
    rs_rc rc; /* the storage itself failed: the end */
    struct rs_err err;
    char *piece; /* CHECK_PIECE bytes */
};

/* --- check.c --- */

bool check_goes_on(struct check *c);
/* Tells it, without a repair. */
void check_tell(struct check *c, struct rs_finding *f);
/* Tells it with what a repair would do ("would …"), or has done: rc and err are what came of it. */
void check_tell_repair(struct check *c, struct rs_finding *f, const char *would, const char *done, rs_rc rc,
                       const struct rs_err *err);
/* Something could not be read: an UNREADABLE, unless it is just gone. */
void check_failed(struct check *c, rs_str repository, const char *path, rs_rc rc, const struct rs_err *err);
/* Lists a directory, leftovers too; nothing there is fine. False: it could not be listed, and that is told. */
bool check_scan(struct check *c, rs_str repository, const char *path, rs_storage_visit *visit, void *ctx);
bool check_is_old(const struct check *c, int64_t mtime_s);
/* Puts what was put into the batch on the disk. */
rs_rc check_sync(struct check *c, struct rs_storage_batch *batch, rs_rc rc, struct rs_err *err);

/* --- check_shape.c: what lies where nothing should --- */

/* Looks at a directory that is to hold one file of that name; tells what else is in it. True: the file is there. */
bool check_leaf(struct check *c, rs_str repository, const char *directory, const char *name);
/* A name that does not belong in the directory. */
void check_odd(struct check *c, rs_str repository, const char *directory, rs_str name, bool is_directory);
/* "ab12…" in a directory of the algorithm, as its name says. False: it is none, and was told. */
bool check_digest_name(struct check *c, rs_str repository, const char *directory, enum rs_hash_alg alg, rs_str name,
                       bool is_directory, struct rs_digest *out);
/* Calls `each` for the directory of each algorithm below `path`, and tells what else is there. */
typedef void check_algorithm(void *ctx, enum rs_hash_alg alg);
void check_algorithms(struct check *c, rs_str repository, const char *path, check_algorithm *each, void *ctx);

/* --- check_blobs.c --- */

enum check_state {
    CHECK_WHOLE,
    CHECK_CORRUPT,
    CHECK_GONE,    /* there is nothing */
    CHECK_UNKNOWN, /* it could not be read to its end */
};
/* Every blob. */
void check_blobs(struct check *c);
/* Hashes one; *out_found: the digest that its bytes have (CHECK_CORRUPT). */
enum check_state check_hash(struct check *c, const char *path, const struct rs_digest *digest,
                            struct rs_digest *out_found, struct rs_err *err);
/* The data of a blob that a repair is going to rely on. */
bool check_is_whole(struct check *c, const struct rs_digest *digest);
/* Hashes one, tells if it is corrupt, and sets it aside if it is to be mended. */
enum check_state check_blob(struct check *c, const struct rs_digest *digest);

/* --- check_quarantine.c --- */

/* Where something is put: "<group>/<name>.<time>-<random>". */
void check_quarantine_path(const char *group, rs_str name, struct rs_path *out);
/* Moves an object there, behind a note that says what it is. */
rs_rc check_quarantine(struct check *c, const char *path, const struct rs_path *to, const char *why,
                       struct rs_err *err);
/* Moves it back, unless there is something new at its place. */
rs_rc check_put_back(struct check *c, const struct rs_path *from, const char *path, struct rs_err *err);

/* --- the repositories --- */

/* A layer link whose data is missing. */
struct check_dangling {
    struct rs_digest digest;
    bool needed; /* by a manifest: told there */
};

/* One repository. */
struct repository {
    struct check *c;
    rs_str name;
    unsigned parts;
    uint64_t links;
    uint64_t manifests;
    uint64_t tags;
    uint64_t uploads;
    struct rs_buf dangling; /* struct check_dangling, sorted by digest when all are there */
    struct rs_buf tag_map;  /* lines "<digest> <tag>"; see check_tags_of */
    bool has_tag_map;
};

/* check_walk.c: finds them all. */
void check_repositories(struct check *c);
/* check_repository.c */
void check_repository(struct check *c, rs_str name, unsigned parts);
/* check_layers.c */
void check_layers(struct repository *r);
void check_dangling_links(struct repository *r); /* after the manifests */
struct check_dangling *check_find_dangling(struct repository *r, const struct rs_digest *digest);
/* check_revisions.c */
void check_revisions(struct repository *r);
/* check_references.c: what a manifest needs. */
void check_references(struct repository *r, const struct rs_digest *digest, const struct rs_manifest *manifest);
/* check_tags.c */
void check_tags(struct repository *r);
/* Appends "tags: a, b and 3 more" that point to the manifest, or that there are none. */
void check_tags_of(struct repository *r, const struct rs_digest *digest, struct rs_buf *out);
/* Writes a broken link anew, if what it must hold is whole. `is_broken` looks at what it holds at that moment. */
rs_rc check_rewrite_link(struct check *c, const char *path, const struct rs_digest *digest, struct rs_err *err);
