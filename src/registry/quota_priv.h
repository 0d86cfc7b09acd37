/* SPDX-License-Identifier: Apache-2.0 */
/* Between quota.c (what is taken and given back) and quota_count.c (what is there). */
#pragma once

#include <stdatomic.h>

#include "base/lock.h"
#include "metrics/metrics.h"
#include "registry/quota.h"
#include "registry/quota_table.h"

/* A push that has taken room in a quota and is not done yet. */
struct quota_node {
    struct quota_node *next;
    struct quota_group *group;
    struct rs_quota_key key;
    uint64_t size;
    bool charged; /* of those with the same key, the one that counts; none does if the group has the blob */
};

/* A quota and its books: see BOOKS in quota.c. */
struct quota_group {
    struct rs_storage *storage;
    const char *state_dir;
    struct rs_quota_rule rule;
    size_t index;
    char *shown; /* its patterns, for people */
    char *below; /* all its repositories are this one, or below it; empty: anywhere */
    enum rs_value label;
    struct rs_mutex lock;
    pthread_cond_t changed;
    struct rs_quota_table *base;  /* NULL: not counted yet */
    struct rs_quota_table *since; /* NULL like base */
    struct rs_quota_table *next;  /* NULL: no count runs */
    struct rs_quota_table *found; /* the counting thread's, until it is done */
    pthread_t counter;
    bool has_counter; /* to be joined */
    rs_rc counted_rc; /* of the last count */
    struct rs_err counted_err;
    atomic_bool stopping;
    struct quota_node *pending;
    uint64_t pending_bytes;
    uint64_t removals;         /* how often somebody told of one */
    uint64_t removals_counted; /* as it was when the last count began */
    int64_t began_ms;          /* when the last count that succeeded did; monotonic */
    int64_t ended_ms;
    int64_t began_s; /* on the wall */
    uint64_t counts; /* that have ended */
    struct {
        uint64_t removals;
        int64_t began_ms;
        int64_t began_s;
    } running; /* of the count that runs */
    uint64_t refused;
};

struct rs_quotas {
    size_t count;
    struct quota_group groups[];
};

/* What is linked now, into a fresh table. The lock is not held. RS_E_UNAVAILABLE: the group is stopping. For a thread
 * with an ordinary stack. */
rs_rc quota_count(const struct quota_group *group, struct rs_quota_table *out, struct rs_err *err);
/* Where to begin a walk that is to meet all that the patterns match; the caller frees. */
char *quota_below(const char *const *globs, size_t count);
bool quota_group_has(const struct quota_group *group, rs_str repository);
