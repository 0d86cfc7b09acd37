/* SPDX-License-Identifier: Apache-2.0 */
/* Collections over the fixture of the registry's tests, whose registry counts as a server with a grace of an hour. */
#pragma once

#include "checked.h"
#include "upkeep/collect.h"

struct collected {
    struct rs_collect_report report;
    struct rs_buf told;  /* "blob <digest>" and so on of what is eligible, a line each */
    unsigned steps;      /* questions whether it goes on */
    unsigned stop_after; /* 0: never */
    bool stop_when_planned;
    rs_rc rc;
    struct rs_err err;
};
void collected_release(struct collected *c); /* for RS_AUTO */
/* flags: 'm' untagged manifests too, 'd' dry run, 'a' alone. */
void collect(struct fixture *f, const char *flags, struct collected *out);
/* Collects; the test fails unless it ends well and complete. */
void collect_all(struct fixture *f, const char *flags, struct collected *out);

/* Everything that is stored was written two days ago. */
void all_is_old(struct fixture *f);
/* "<removed manifests> <links> <blobs>" */
const char *removed(const struct collected *c);

bool has_image(struct fixture *f, const char *repository, const struct rs_digest *manifest);
bool has_link(struct fixture *f, const char *repository, const struct rs_digest *blob);
bool has_data(struct fixture *f, const struct rs_digest *blob);

/* Pushes an index of these, by tag or (NULL) by digest; with a subject if it is not NULL. */
struct rs_digest push_index(struct fixture *f, const char *repository, const char *tag,
                            const struct rs_digest *const *children, size_t count, const struct rs_digest *subject);
/* Pushes an image without a tag. */
struct rs_digest push_untagged(struct fixture *f, const char *repository, const char *config, const char *layer);
/* Pushes a signature of that manifest, without a tag. */
struct rs_digest push_referrer(struct fixture *f, const char *repository, const char *tag, const char *config,
                               const struct rs_digest *subject);
/* A manifest that a registry:2 stored, whatever the bytes are. */
struct rs_digest store_manifest(struct fixture *f, const char *repository, const char *bytes);
