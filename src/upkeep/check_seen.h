/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which blobs there are, and what is known of each: a table by the first 16 bytes of the digest, in a nameless file, so
 * that memory does not grow with it. One thread. If the file cannot grow, the table forgets everything.
 */
#pragma once

#include "oci/digest.h"

struct check_seen;

struct check_seen *check_seen_new(const char *directory); /* NULL: no file could be made there */
void check_seen_free(struct check_seen **seen);
/* All of these accept NULL. */
void check_seen_blob(struct check_seen *seen, const struct rs_digest *digest, uint64_t size);
void check_seen_corrupt(struct check_seen *seen, const struct rs_digest *digest);
void check_seen_gone(struct check_seen *seen, const struct rs_digest *digest);
/* A repository links it. What is not a blob of the table is passed by. */
void check_seen_linked(struct check_seen *seen, const struct rs_digest *digest);
bool check_seen_is_corrupt(const struct check_seen *seen, const struct rs_digest *digest);
/* What nothing links. False: not known. */
bool check_seen_unlinked(const struct check_seen *seen, uint64_t *out_blobs, uint64_t *out_bytes);
