/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention: tags that the rules of roadstead.retention let go are removed, each with a reason in plain words. What
 * they pointed to stays until the collector takes manifests without a tag. How it gets on with pushes and what pulls
 * are known is argued in retention.c. May block; a run wants a thread with an ordinary stack.
 */
#pragma once

#include "config/config.h"
#include "oci/digest.h"
#include "registry/registry.h"
#include "storage/storage.h"

/* The rule that holds for a repository: the first one that matches; NULL: none does. Any thread. */
const struct rs_config_retention_rule *rs_retention_rule(const struct rs_config_retention *config, rs_str repository);
/* Whether any rule asks for pulls. */
bool rs_retention_wants_pulls(const struct rs_config_retention *config);
/* Whether the rule that holds for the repository does; an rs_pulls_tracked. config: struct rs_config_retention. */
bool rs_retention_tracks_pulls(const void *config, rs_str repository);

enum rs_retention_fate {
    RS_RETENTION_KEPT,
    RS_RETENTION_REMOVED, /* or would be, in a dry run */
    RS_RETENTION_SPARED,  /* it would have gone, but was pushed again or removed by somebody else meanwhile */
    RS_RETENTION_FAILED,  /* it could not be looked at or removed; the reason says why */
};

#define RS_RETENTION_NEVER INT64_MIN

struct rs_retention_tag {
    rs_str repository;
    rs_str tag;
    const struct rs_digest *digest; /* NULL: unknown */
    int64_t pushed_s;               /* RS_RETENTION_NEVER: unknown */
    int64_t pulled_s;               /* RS_RETENTION_NEVER: not as far as is known */
    enum rs_retention_fate fate;
    rs_str reason;
};

struct rs_retention {
    const struct rs_config_retention *config;
    bool dry_run; /* nothing is removed */
    /* This process records pulls: says so where it was not said, also in a dry run (rs_path_pulled_since). */
    bool tracks;
    bool (*goes_on)(void *ctx); /* asked at every tag; false ends the run */
    /* Told of every tag of a repository with a rule, in the catalog's order; of a removed one when that is durable. */
    void (*tell)(void *ctx, const struct rs_retention_tag *tag);
    void *ctx;
};

struct rs_retention_report {
    uint64_t repositories; /* with a rule */
    uint64_t unruled;      /* without one: left alone */
    uint64_t tags;         /* seen */
    uint64_t kept;
    uint64_t removed; /* or that would have been */
    uint64_t spared;
    uint64_t failed; /* tags and repositories; err has the first one's reason */
};

/* What fails in one repository does not keep the others. An error: the list of repositories broke off. */
rs_rc rs_retention_run(struct rs_registry *registry, struct rs_storage *storage, const struct rs_retention *run,
                       struct rs_retention_report *out, struct rs_err *err);
