/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The remover: the one way in which anything that other requests may come to need is taken out of the storage while
 * they go on: data of blobs, links of repositories, manifests that nobody pushed or tagged again. Who calls it (the
 * collector, the mirror's eviction) knows that nothing needed it at some time; the remover makes sure that nothing has
 * come to need it since. Why that is safe: docs/COLLECTION.md.
 */
#pragma once

#include "oci/digest.h"
#include "registry/registry.h"

enum rs_removal_kind {
    RS_REMOVE_MANIFEST, /* a revision link of a repository, and its note of pulls */
    RS_REMOVE_LINK,     /* a layer link of a repository */
    RS_REMOVE_BLOB,     /* the data of a blob */
};

enum rs_removal_result {
    RS_REMOVAL_LEFT,    /* not looked at: the call ended early */
    RS_REMOVAL_DONE,    /* it is gone */
    RS_REMOVAL_SPARED,  /* something needs it now */
    RS_REMOVAL_MISSING, /* it was gone already */
};

struct rs_removal {
    enum rs_removal_kind kind;
    rs_str repository; /* empty: RS_REMOVE_BLOB */
    struct rs_digest digest;
    uint64_t size;                 /* out: bytes of data that were removed */
    enum rs_removal_result result; /* out */
};

/* As many as one call may be given: pushes of just these wait while it runs. */
#define RS_REMOVALS_MAX 65536

struct rs_remover;

/* One remover at a time, in all processes. *out_grace_s: what was used less than that long ago must be left alone: the
 * longest grace of the servers that use the storage now, and of the caller's own; 0 if `alone` and there is no server.
 * (One that starts later knows, and is careful.) RS_E_BUSY: another remover works. RS_E_UNAVAILABLE: a server does not
 * tell its grace. */
rs_rc rs_remover_open(struct rs_registry *registry, int64_t grace_s, bool alone, struct rs_remover **out,
                      int64_t *out_grace_s, struct rs_err *err);
/* The time that the storage's clock showed at rs_remover_open, seconds since 1970. Candidates are chosen by what is
 * read after it. */
int64_t rs_remover_began_s(const struct rs_remover *remover);
/* Waits until the second in which it began has passed, and begins anew: without a grace, what was written in that very
 * second can be judged only then. */
rs_rc rs_remover_begin_again(struct rs_remover *remover, int64_t *out_grace_s, struct rs_err *err);
/* Removes those that were last changed before before_s (which is began - grace of the run that chose them) and that
 * nothing has come to need since. All of one call are of one kind. A blob is spared if any repository has a link or a
 * revision of it. goes_on may be NULL; false ends the call, with the rest LEFT. An error leaves the rest as well. */
rs_rc rs_remover_take(struct rs_remover *remover, int64_t before_s, struct rs_removal *items, size_t count,
                      bool (*goes_on)(void *ctx), void *ctx, struct rs_err *err);
void rs_remover_close(struct rs_remover **remover); /* NULL is fine */
