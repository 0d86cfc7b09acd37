/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage collection, while the service runs or without it: marks what manifests need, plans what may go, and hands it
 * to the remover (registry/remove.h), which looks again at each. docs/COLLECTION.md has the argument for the whole. One
 * thread a call; one collection at a time in all processes.
 */
#pragma once

#include "oci/digest.h"
#include "registry/registry.h"
#include "registry/remove.h"
#include "storage/storage.h"

#define RS_REMOVAL_KINDS 3

struct rs_collect_report {
    uint64_t repositories;
    uint64_t manifests; /* that were read */
    uint64_t marked;    /* digests that are needed, of blobs and manifests */
    /* By enum rs_removal_kind. */
    uint64_t eligible[RS_REMOVAL_KINDS];
    uint64_t removed[RS_REMOVAL_KINDS];
    uint64_t spared[RS_REMOVAL_KINDS]; /* something has come to need them since */
    uint64_t pulled;                   /* notes of pulls of manifests that are gone */
    uint64_t eligible_bytes;
    uint64_t freed; /* bytes of blobs */
    int64_t grace_s;
    int64_t before_s; /* what was changed or used since then stays */
    int64_t mark_ms;
    int64_t sweep_ms;
    bool resumed;  /* goes on with the plan of a run that was stopped */
    bool complete; /* false: goes_on said no, or there was an error */
};

enum rs_collect_event {
    RS_COLLECT_BEGUN,      /* grace_s is known, and whether it was resumed */
    RS_COLLECT_REPOSITORY, /* is being marked */
    RS_COLLECT_MANIFEST,   /* is needed */
    RS_COLLECT_PLANNED,    /* all is marked and counted */
    RS_COLLECT_ELIGIBLE,   /* may be removed; size: of a blob */
};

struct rs_collect_told {
    enum rs_collect_event event;
    enum rs_removal_kind kind;
    rs_str repository;
    const struct rs_digest *digest; /* of MANIFEST and ELIGIBLE */
    uint64_t size;
    const struct rs_collect_report *report; /* as it stands */
};

struct rs_collect_options {
    bool dry_run;         /* says what would go, and removes nothing */
    bool delete_untagged; /* also manifests that nothing kept leads to */
    bool list;            /* tells each that is eligible */
    bool alone;           /* without a server that uses the storage: no grace */
    int64_t grace_s;
    bool (*goes_on)(void *ctx);                                  /* asked at every step; any thread */
    void (*tell)(void *ctx, const struct rs_collect_told *told); /* may be NULL */
    void *ctx;
};

/* Collects. The state directory takes what does not fit into memory. *out is always written. RS_E_BUSY: another
 * collection goes on, or a registry:2 writes to the storage; RS_E_CORRUPT, RS_E_INVALID: something is not understood,
 * and nothing was removed. Ended by goes_on: RS_OK, and not complete; the next call with the same options goes on where
 * this one stopped, if there is a grace. */
rs_rc rs_collect(struct rs_storage *storage, struct rs_registry *registry, const char *state_dir,
                 const struct rs_collect_options *options, struct rs_collect_report *out, struct rs_err *err);
/* A server with that grace is about to use the storage: a stopped run that kept a shorter one cannot be gone on with.
 */
void rs_collect_forget(struct rs_storage *storage, int64_t grace_s);
