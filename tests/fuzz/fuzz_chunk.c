/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked coding: decoded whole and in two pieces, with the same result. The first byte chooses the split. */
#include "base/mem.h"
#include "http/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t feed(struct rs_chunk *chunk, const uint8_t *data, size_t size, char *out)
{
    size_t payload = 0;
    char *copy = rs_malloc(size + 1);
    memcpy(copy, data, size);
    size_t used = rs_chunk_decode(chunk, copy, size, &payload);
    RS_ASSERT(used <= size && payload <= used);
    RS_ASSERT(used == size || chunk->state == RS_CHUNK_DONE || chunk->state == RS_CHUNK_BAD);
    memcpy(out, copy, payload);
    free(copy);
    return payload;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rs_chunk one, two;
    if (size == 0)
        return 0;
    size_t split = RS_MIN((size_t)data[0], size - 1);
    data++;
    size--;
    char *a = rs_malloc(size + 1), *b = rs_malloc(size + 1);
    rs_chunk_init(&one);
    rs_chunk_init(&two);
    size_t whole = feed(&one, data, size, a);
    size_t pieces = feed(&two, data, split, b);
    if (two.state != RS_CHUNK_DONE && two.state != RS_CHUNK_BAD)
        pieces += feed(&two, data + split, size - split, b + pieces);
    RS_ASSERT(one.state == two.state);
    RS_ASSERT(one.state == RS_CHUNK_BAD || (whole == pieces && memcmp(a, b, whole) == 0));
    free(a);
    free(b);
    return 0;
}
