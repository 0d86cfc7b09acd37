/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of the check over the fixture of the registry's tests, and what they have told. */
#pragma once

#include "../registry/fixture.h"
#include "upkeep/check.h"

struct checked {
    struct rs_check_counts counts;
    struct rs_buf text; /* a line a finding: "kind outcome repository subject" */
    struct rs_buf full; /* the same with path, what and action */
    rs_rc rc;
    struct rs_err err;
    unsigned stop_after; /* questions whether it goes on; 0: never */
    unsigned asked;
};

void checked_release(struct checked *c); /* for RS_AUTO */
/* A check without hashes if `flags` has an 'n', that repairs if it has an 'r'; a grace of an hour with a 'g'. */
void check_storage(struct fixture *f, const char *flags, struct checked *out);
/* The findings must be just these lines, in any order; "" none. */
#define assert_told(c, ...) checked_assert((c), (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
void checked_assert(const struct checked *c, const char *const *lines, const char *file, int line);

/* "blobs/sha256/ab/ab…/data" and so on, of the fixture; static, the last eight stay valid. */
const char *data_path(const struct rs_digest *digest);
const char *layer_path(const char *repository, const struct rs_digest *digest);
const char *revision_path(const char *repository, const struct rs_digest *digest);
/* Sets the times of what lies there, and of the two directories above, a day back. */
void make_old(struct fixture *f, const char *path);
