/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked transfer coding (RFC 9112 7.1), decoded in place. Pure; any thread. */
#pragma once

#include "base/cc.h"

/*
 * SIZE → (EXTENSION →) SIZE_LF → DATA → DATA_CR → DATA_LF → SIZE …
 * and after the chunk of size 0: TRAILER_START → (TRAILER → TRAILER_LF → TRAILER_START)* → END_LF → DONE
 */
enum rs_chunk_state {
    RS_CHUNK_SIZE,
    RS_CHUNK_EXTENSION,
    RS_CHUNK_SIZE_LF,
    RS_CHUNK_DATA,
    RS_CHUNK_DATA_CR,
    RS_CHUNK_DATA_LF,
    RS_CHUNK_TRAILER_START,
    RS_CHUNK_TRAILER,
    RS_CHUNK_TRAILER_LF,
    RS_CHUNK_END_LF,
    RS_CHUNK_DONE,
    RS_CHUNK_BAD,
};

struct rs_chunk {
    enum rs_chunk_state state;
    unsigned digits;    /* of the size so far */
    uint64_t remaining; /* of the chunk's data */
    size_t overhead;    /* bytes of extensions and trailers, which are limited */
};

#define RS_CHUNK_OVERHEAD_MAX 8192 /* bytes of one chunk's extensions, or of all trailers */

void rs_chunk_init(struct rs_chunk *chunk);

/* Decodes the bytes in buf, moving the payload to its front; *out_payload bytes of it are then there. Returns how many
 * bytes were used: all of them, unless the state is now DONE (the rest belongs to the next request) or BAD. */
size_t rs_chunk_decode(struct rs_chunk *chunk, char *buf, size_t len, size_t *out_payload);
