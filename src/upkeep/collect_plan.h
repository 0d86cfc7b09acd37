/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a collection: what may be removed, a line each, in files of the storage, and how far the removal has
 * come. Private to upkeep; one thread, which holds the remover.
 */
#pragma once

#include "base/mem.h"
#include "upkeep/collect.h"

/* The parts, in the order in which they are worked through. */
#define RS_PLAN_WAVES 4 /* of manifests that have a part of their own; later ones share the last */
enum rs_plan_part { RS_PLAN_MANIFESTS, RS_PLAN_LINKS = RS_PLAN_WAVES, RS_PLAN_BLOBS, RS_PLAN_PARTS };

struct rs_plan_head {
    int64_t began_s; /* the plan's name, too */
    int64_t before_s;
    int64_t grace_s;
    bool delete_untagged;
    uint64_t repositories;
    uint64_t manifests;
    uint64_t marked;
    uint64_t eligible[RS_REMOVAL_KINDS];
    uint64_t eligible_bytes;
    uint64_t lengths[RS_PLAN_PARTS]; /* bytes of the files */
};

/* The next line that is due. */
struct rs_plan_place {
    unsigned part; /* enum rs_plan_part; RS_PLAN_PARTS: the end */
    uint64_t offset;
};

struct rs_plan {
    struct rs_storage *storage;
    bool dry_run; /* files of other names */
    struct rs_plan_head head;
    struct rs_storage_file *files[RS_PLAN_PARTS];
    struct rs_buf pending[RS_PLAN_PARTS]; /* lines to be written, or a piece that was read, and from where */
    uint64_t piece_at[RS_PLAN_PARTS];
};

/* A line. Strings lie in the arena that it was read with. */
struct rs_plan_line {
    enum rs_removal_kind kind;
    bool is_pulled;    /* a note of pulls; kind says nothing */
    unsigned wave;     /* of manifests: all of lower ones go before it */
    rs_str repository; /* empty: a blob */
    struct rs_digest digest;
    uint64_t size;
};

void rs_plan_init(struct rs_plan *plan, struct rs_storage *storage, bool dry_run);
void rs_plan_release(struct rs_plan *plan); /* keeps the files */

/* Begins an empty one; an older one is gone then. */
rs_rc rs_plan_begin(struct rs_plan *plan, struct rs_err *err);
rs_rc rs_plan_add(struct rs_plan *plan, const struct rs_plan_line *line, struct rs_err *err);
/* It is whole: the head is written, from plan->head. */
rs_rc rs_plan_end(struct rs_plan *plan, struct rs_err *err);
/* Opens one that is there and whole, and says how far it has come. RS_E_NOT_FOUND: there is none that can be used. */
rs_rc rs_plan_open(struct rs_plan *plan, struct rs_plan_place *out, struct rs_err *err);

bool rs_plan_at_end(const struct rs_plan *plan, const struct rs_plan_place *place); /* of its part */
/* The line at a place that is not the end; the place moves behind it. */
rs_rc rs_plan_read(struct rs_plan *plan, struct rs_plan_place *place, struct rs_arena *arena, struct rs_plan_line *out,
                   struct rs_err *err);
/* Notes how far it has come, for the next run. */
rs_rc rs_plan_keep_place(struct rs_plan *plan, const struct rs_plan_place *place, struct rs_err *err);
/* Removes its files. */
rs_rc rs_plan_remove(struct rs_plan *plan, struct rs_err *err);
