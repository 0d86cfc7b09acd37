/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every path of registry:2's layout (docs/DATA.md), built in one place. A path lives in the caller's struct rs_path;
 * each function fills it and returns its NUL-terminated text. Names, tags and UUIDs must have been checked. Pure;
 * any thread.
 */
#pragma once

#include "base/str.h"
#include "oci/digest.h"
#include "oci/reference.h"

/* The longest: a name of 255 bytes, a tag of 128, and a sha512 index link: 580. */
#define RS_PATH_MAX 640

struct rs_path {
    size_t len;
    char z[RS_PATH_MAX];
};

const char *rs_path_blobs(struct rs_path *p, enum rs_hash_alg alg, rs_str prefix); /* two digits, or empty: all */
const char *rs_path_blob(struct rs_path *p, const struct rs_digest *digest);
const char *rs_path_repository(struct rs_path *p, rs_str name); /* an empty name: the root of all */
const char *rs_path_layers(struct rs_path *p, rs_str name);
const char *rs_path_layer_links(struct rs_path *p, rs_str name, enum rs_hash_alg alg); /* all of them */
const char *rs_path_layer_link(struct rs_path *p, rs_str name, const struct rs_digest *digest);
const char *rs_path_manifests(struct rs_path *p, rs_str name);
const char *rs_path_revisions(struct rs_path *p, rs_str name, enum rs_hash_alg alg);
const char *rs_path_revision(struct rs_path *p, rs_str name, const struct rs_digest *digest); /* the directory */
const char *rs_path_revision_link(struct rs_path *p, rs_str name, const struct rs_digest *digest);
const char *rs_path_referrers(struct rs_path *p, rs_str name, enum rs_hash_alg alg); /* ours: their notes */
const char *rs_path_tags(struct rs_path *p, rs_str name);
const char *rs_path_tag_current(struct rs_path *p, rs_str name, rs_str tag);
const char *rs_path_tag_indexes(struct rs_path *p, rs_str name, rs_str tag, enum rs_hash_alg alg);
const char *rs_path_tag_index(struct rs_path *p, rs_str name, rs_str tag, const struct rs_digest *digest);
const char *rs_path_uploads(struct rs_path *p, rs_str name); /* all of a repository */
const char *rs_path_upload(struct rs_path *p, rs_str name, rs_str uuid);
const char *rs_path_upload_data(struct rs_path *p, rs_str name, rs_str uuid);
const char *rs_path_upload_startedat(struct rs_path *p, rs_str name, rs_str uuid);
const char *rs_path_upload_algorithm(struct rs_path *p, rs_str name, rs_str uuid); /* ours; registry:2 ignores it */
const char *rs_path_all_hashstates(struct rs_path *p, rs_str name, rs_str uuid);   /* of all algorithms */
/* Ours, for the whole storage. */
const char *rs_path_tombstones(struct rs_path *p);
const char *rs_path_collector(struct rs_path *p, rs_str file); /* "lock", "plan" … */
const char *rs_path_servers(struct rs_path *p);                /* the servers that run now */
const char *rs_path_server(struct rs_path *p, rs_str uuid);
const char *rs_path_quarantine(struct rs_path *p, rs_str rest); /* for what is broken; rest: below it, or empty */
/* Ours, of a repository: its time of change says when the manifest was last pulled. */
const char *rs_path_pulled(struct rs_path *p, rs_str name, enum rs_hash_alg alg);
const char *rs_path_pulled_at(struct rs_path *p, rs_str name, const struct rs_digest *digest);
const char *rs_path_pulled_since(struct rs_path *p, rs_str name); /* since when that is written down */
const char *rs_path_parent(struct rs_path *p);                    /* cuts the last component */
const char *rs_path_hashstates(struct rs_path *p, rs_str name, rs_str uuid, enum rs_hash_alg alg);
const char *rs_path_hashstate(struct rs_path *p, rs_str name, rs_str uuid, enum rs_hash_alg alg, uint64_t offset);
