/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of digests with the sizes of their content. A large one lies in a file without a name in the state directory,
 * as far as there is room for it. Private to the registry. One thread at a time while it is added to.
 */
#pragma once

#include "base/err.h"
#include "oci/digest.h"

struct rs_quota_table;

#define RS_QUOTA_KEY_SIZE 16
struct rs_quota_key {
    uint8_t bytes[RS_QUOTA_KEY_SIZE]; /* the first of the hash: nobody finds two blobs that share them by chance */
};
struct rs_quota_key rs_quota_key_of(const struct rs_digest *digest);
bool rs_quota_key_eq(const struct rs_quota_key *a, const struct rs_quota_key *b);

/* state_dir is borrowed; NULL: in memory only. */
struct rs_quota_table *rs_quota_table_new(const char *state_dir);
void rs_quota_table_free(struct rs_quota_table **table); /* NULL is fine */
bool rs_quota_table_has(const struct rs_quota_table *table, const struct rs_quota_key *key);
/* Unless it is there. RS_E_TOO_BIG: there is no room for it anywhere. */
rs_rc rs_quota_table_add(struct rs_quota_table *table, const struct rs_quota_key *key, uint64_t size,
                         struct rs_err *err);
uint64_t rs_quota_table_count(const struct rs_quota_table *table);
uint64_t rs_quota_table_bytes(const struct rs_quota_table *table); /* the sum of the sizes */
/* Adds to `to` what `from` has and `without` has not. */
rs_rc rs_quota_table_add_others(struct rs_quota_table *to, const struct rs_quota_table *from,
                                const struct rs_quota_table *without, struct rs_err *err);
