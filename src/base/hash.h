/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 and SHA-512, streaming, on OpenSSL, with a state that can be stored and carried on in the form of
 * registry:2's `hashstates` files (Go's encoding.BinaryMarshaler of crypto/sha256 and crypto/sha512).
 */
#pragma once

#include <openssl/sha.h>

#include "base/cc.h"
#include "base/str.h"

enum rs_hash_alg { RS_SHA256, RS_SHA512, RS_HASH_ALGS };

#define RS_HASH_MAX 64        /* bytes of the longest hash */
#define RS_HASH_STATE_MAX 204 /* bytes of the longest stored state */

struct rs_hash {
    enum rs_hash_alg alg;
    uint64_t length; /* bytes hashed so far */
    union {
        SHA256_CTX sha256;
        SHA512_CTX sha512;
    } u;
};

const char *rs_hash_name(enum rs_hash_alg alg); /* "sha256" */
size_t rs_hash_size(enum rs_hash_alg alg);      /* 32, 64 */

void rs_hash_init(struct rs_hash *h, enum rs_hash_alg alg);
void rs_hash_update(struct rs_hash *h, const void *data, size_t len);
void rs_hash_final(struct rs_hash *h, uint8_t out[RS_HASH_MAX]); /* h is then to be initialised again */
void rs_hash_once(enum rs_hash_alg alg, const void *data, size_t len, uint8_t out[RS_HASH_MAX]);

/* Stores the state; returns its length (108 for SHA-256, 204 for SHA-512). */
size_t rs_hash_export(const struct rs_hash *h, uint8_t out[RS_HASH_STATE_MAX]);
/* Carries on from a stored state. False, and h untouched, if it is not one of this algorithm. */
bool rs_hash_import(struct rs_hash *h, enum rs_hash_alg alg, const void *state, size_t len);
