/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the collection share: collect.c begins and ends, collect_mark.c marks and plans, collect_untagged.c
 * finds manifests that nothing leads to, collect_sweep.c hands the plan to the remover. */
#pragma once

#include "base/mem.h"
#include "layout/paths.h"
#include "oci/manifest.h"
#include "upkeep/collect.h"
#include "upkeep/collect_plan.h"
#include "upkeep/digest_set.h"

/* The repository that is being marked. */
struct collect_repository {
    rs_str name;
    struct rs_digest_set needed; /* layers and manifests that its manifests need */
    struct rs_digest_set kept;   /* its manifests, but those that may go */
};

struct rs_collect {
    struct rs_storage *storage;
    const char *state_dir;
    const struct rs_collect_options *options;
    struct rs_collect_report *report;
    struct rs_remover *remover;
    int64_t before_s;
    int64_t ahead_ms; /* how far the wall clock is ahead of the one that never jumps */
    struct rs_plan plan;
    struct rs_digest_set marked; /* what is needed anywhere */
    struct collect_repository repository;
    struct rs_arena *arena; /* for one manifest */
    struct rs_buf bytes;
    rs_rc rc; /* of callbacks: the first error */
    bool stopped;
    bool met_young; /* something that nothing needs is younger than before_s */
    unsigned steps;
    struct rs_err *err;
};

/* To be asked at every step: false if it was stopped, or there was an error (c->rc): the clock has jumped, say. */
bool collect_goes_on(struct rs_collect *c);
/* Keeps the first error; false if there is one. */
bool collect_note(struct rs_collect *c, rs_rc rc);
void collect_tell(struct rs_collect *c, struct rs_collect_told told);

/* Reads a manifest of the repository that its revision link leads to, and verifies it. *out_there: false if it has gone
 * meanwhile. *out_target: the digest of its blob. Bytes are in c->bytes. An error says what to do. */
rs_rc collect_read_manifest(struct rs_collect *c, rs_str repository, const struct rs_digest *digest,
                            struct rs_digest *out_target, bool *out_there);
/* What the bytes in c->bytes need. */
rs_rc collect_needs(struct rs_collect *c, rs_str repository, const struct rs_digest *digest,
                    rs_manifest_need_visit *visit, void *ctx);
/* What a needed digest leads to as well, through an alias link; the digest itself if there is none. */
rs_rc collect_follow_alias(struct rs_collect *c, rs_str repository, const struct rs_digest *digest,
                           struct rs_digest *out_target);
/* A manifest that stays: it and what it leads to are needed. */
rs_rc collect_keep(struct rs_collect *c, const struct rs_digest *digest, const struct rs_digest *target);
/* A blob, or another manifest, that the repository needs. */
rs_rc collect_need(struct rs_collect *c, const struct rs_digest_key *key);
rs_rc collect_plan(struct rs_collect *c, const struct rs_plan_line *line);

/* Walks over everything and makes the plan. */
rs_rc collect_mark(struct rs_collect *c);
/* The manifests of c->repository, without those that nothing kept leads to. */
rs_rc collect_mark_tagged(struct rs_collect *c);
/* Works through the plan from that place on. */
rs_rc collect_sweep(struct rs_collect *c, struct rs_plan_place *place);
