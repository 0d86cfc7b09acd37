/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for the tests of collection: a storage in memory whose calls are taken in every order (steps.h), two
 * servers and a collector on it, and what was promised to clients. Actors note promises; afterwards all must be there.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../storage/steps.h"
#include "oci/digest.h"
#include "registry/blob.h"
#include "registry/manifest.h"
#include "registry/registry.h"
#include "registry/remove.h"
#include "registry/upload.h"

#define WORLD_GRACE_S 3600
#define WORLD_OLD_S (10 * 24 * 3600) /* no promise lives that long */
#define WORLD_PROMISES 16

struct world_promise {
    const char *repository;
    struct rs_digest digest;
    const char *tag; /* may be NULL */
    bool is_manifest;
};

struct world {
    struct rs_storage *storage;
    struct rs_registry *servers[2]; /* as two processes */
    struct rs_registry *quiet;      /* a third one, that promises nothing: it lays, collects and checks */
    struct world_promise promises[WORLD_PROMISES];
    size_t promise_count;
    unsigned refused;   /* pushes that had to be made again */
    unsigned removed;   /* what the collector took */
    const char *broken; /* a call that failed and should not have */
    char broken_text[640];
};

/* Once; then begin and end, as often as wanted: each time there is nothing. */
void world_make(struct world *w, const char *state_dir);
void world_drop(struct world *w);
void world_begin(struct world *w);
void world_end(struct world *w);
/* The servers start, on what was laid. */
void world_serve(struct world *w, const char *state_dir, size_t servers);
/* Puts a blob and a manifest there before that. */
void world_lay(struct world *w, const char *repository, const char *text, enum rs_hash_alg alg);
void world_lay_manifest(struct world *w, const char *repository, const char *tag, const char *json);
/* Everything seems so much older. */
void world_age(struct world *w, int64_t seconds);

/* --- what clients do; from any actor --- */

rs_rc world_push(struct world *w, size_t server, const char *repository, const char *text, enum rs_hash_alg alg);
bool world_has(struct world *w, size_t server, const char *repository, const char *text, enum rs_hash_alg alg);
/* reference: a tag, or NULL: by digest. */
rs_rc world_put(struct world *w, size_t server, const char *repository, const char *tag, const char *json);
/* A push as clients make it: asks for each blob, pushes those that are not there, then the manifest; once more if that
 * was refused for a blob. */
void world_push_image(struct world *w, size_t server, const char *repository, const char *tag, const char *json,
                      const char *const *blobs, size_t blob_count);
void world_promise_blob(struct world *w, const char *repository, const struct rs_digest *digest);
void world_promise_manifest(struct world *w, const char *repository, const char *tag, const char *json);
/* rc must be RS_OK or one of the two. */
void world_expect(struct world *w, const char *what, rs_rc rc, const struct rs_err *err, rs_rc or_this, rs_rc or_that);

/* --- the collector --- */

struct world_collection {
    bool alone;     /* as garbage-collect: without a server there is no grace */
    bool untagged;  /* takes manifests without a tag as well */
    bool stepwise;  /* others go while it reads; else only while it removes */
    size_t servers; /* 1: the first server is the collector, 0: a process of its own */
};
void world_collect(struct world *w, const struct world_collection *how);

/* --- at the end --- */

/* What was promised is there and whole, and so is each manifest that is served. What is wrong, into out. */
void world_check(struct world *w, bool whole, char *out, size_t size);
/* What has no tag is promised for the grace period alone. */
void world_forget_untagged(struct world *w);
