/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which manifests were pulled, in memory, until it is written to the storage: a table of fixed size. Private to the
 * registry; manifest.h has what others call. Any thread.
 */
#pragma once

#include "oci/digest.h"
#include "oci/reference.h"
#include "registry/registry.h"

struct rs_pull {
    uint64_t hash;
    size_t name_len;
    char name[RS_NAME_MAX]; /* of the repository */
    struct rs_digest digest;
};

struct rs_pulls;

/* Borrows ctx. */
struct rs_pulls *rs_pulls_new(rs_pulls_tracked *tracked, const void *ctx);
void rs_pulls_free(struct rs_pulls **pulls);
/* Notes a pull, unless it is noted already or was recorded within the last 50 minutes. Does not wait, as a rule not
 * even for a lock. */
void rs_pulls_note(struct rs_pulls *pulls, rs_str repository, const struct rs_digest *digest, int64_t now_ms);
/* Takes out one that waits, from *cursor on, which begins at 0. False: there is none. */
bool rs_pulls_take(struct rs_pulls *pulls, size_t *cursor, struct rs_pull *out);
/* It could not be recorded: the next pull is noted again. */
void rs_pulls_forget(struct rs_pulls *pulls, const struct rs_pull *pull);
uint64_t rs_pulls_dropped(const struct rs_pulls *pulls); /* as the table was full */
