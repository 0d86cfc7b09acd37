/* SPDX-License-Identifier: Apache-2.0 */
/* Digests (OCI image-spec, descriptor.md "Digests"): "sha256:<64 hex>", "sha512:<128 hex>". Pure; any thread. */
#pragma once

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

#define RS_DIGEST_TEXT_MAX (7 + 128 + 1) /* with NUL */

/* Small enough to pass by value; two are equal if their texts are. */
struct rs_digest {
    enum rs_hash_alg alg;
    char text[RS_DIGEST_TEXT_MAX]; /* "alg:hex", NUL-terminated */
};

bool rs_digest_algorithm(rs_str name, enum rs_hash_alg *out); /* "sha256", "sha512"; false for any other */
/* RS_E_DIGEST_INVALID for another algorithm, upper-case or missing digits. */
rs_rc rs_digest_parse(rs_str text, struct rs_digest *out, struct rs_err *err);
void rs_digest_of(enum rs_hash_alg alg, const void *data, size_t len, struct rs_digest *out);
void rs_digest_from_raw(enum rs_hash_alg alg, const uint8_t *raw, struct rs_digest *out);
bool rs_digest_eq(const struct rs_digest *a, const struct rs_digest *b);
const char *rs_digest_hex(const struct rs_digest *d); /* the part behind the colon */
rs_str rs_digest_str(const struct rs_digest *d);
