/* SPDX-License-Identifier: Apache-2.0 */
#include "http/chunk.h"

#include "base/cc.h"

void rs_chunk_init(struct rs_chunk *chunk)
{
    *chunk = (struct rs_chunk){.state = RS_CHUNK_SIZE};
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* chunk-size is 1*HEXDIG; 15 digits are more than any body and cannot overflow. */
static enum rs_chunk_state size_byte(struct rs_chunk *chunk, unsigned char c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        chunk->remaining = chunk->remaining * 16 + (unsigned)digit;
        return ++chunk->digits <= 15 ? RS_CHUNK_SIZE : RS_CHUNK_BAD;
    }
    if (chunk->digits == 0)
        return RS_CHUNK_BAD;
    if (c == '\r')
        return RS_CHUNK_SIZE_LF;
    return c == ';' ? RS_CHUNK_EXTENSION : RS_CHUNK_BAD;
}

static enum rs_chunk_state size_end(struct rs_chunk *chunk)
{
    chunk->overhead = 0;
    chunk->digits = 0;
    return chunk->remaining > 0 ? RS_CHUNK_DATA : RS_CHUNK_TRAILER_START;
}

/* A byte of an extension or a trailer: ignored, but neither a control character nor without end. */
static enum rs_chunk_state text_byte(struct rs_chunk *chunk, unsigned char c, enum rs_chunk_state at_cr)
{
    if (c == '\r')
        return at_cr;
    if ((c < 0x20 && c != '\t') || c == 0x7f || ++chunk->overhead > RS_CHUNK_OVERHEAD_MAX)
        return RS_CHUNK_BAD;
    return chunk->state == RS_CHUNK_TRAILER_START ? RS_CHUNK_TRAILER : chunk->state;
}

static enum rs_chunk_state trailer_start(struct rs_chunk *chunk, unsigned char c)
{
    if (c == ' ' || c == '\t') /* a folded trailer */
        return RS_CHUNK_BAD;
    return text_byte(chunk, c, RS_CHUNK_END_LF);
}

static enum rs_chunk_state expect(unsigned char c, char wanted, enum rs_chunk_state next)
{
    return c == (unsigned char)wanted ? next : RS_CHUNK_BAD;
}

/* The state after one byte outside of DATA. */
static enum rs_chunk_state step(struct rs_chunk *chunk, unsigned char c)
{
    switch (chunk->state) {
    case RS_CHUNK_SIZE:
        return size_byte(chunk, c);
    case RS_CHUNK_EXTENSION:
        return text_byte(chunk, c, RS_CHUNK_SIZE_LF);
    case RS_CHUNK_SIZE_LF:
        return c == '\n' ? size_end(chunk) : RS_CHUNK_BAD;
    case RS_CHUNK_DATA_CR:
        return expect(c, '\r', RS_CHUNK_DATA_LF);
    case RS_CHUNK_DATA_LF:
        return expect(c, '\n', RS_CHUNK_SIZE);
    case RS_CHUNK_TRAILER_START:
        return trailer_start(chunk, c);
    case RS_CHUNK_TRAILER:
        return text_byte(chunk, c, RS_CHUNK_TRAILER_LF);
    case RS_CHUNK_TRAILER_LF:
        return expect(c, '\n', RS_CHUNK_TRAILER_START);
    case RS_CHUNK_END_LF:
        return expect(c, '\n', RS_CHUNK_DONE);
    case RS_CHUNK_DATA:
    case RS_CHUNK_DONE:
    case RS_CHUNK_BAD:
        break;
    }
    return RS_CHUNK_BAD;
}

size_t rs_chunk_decode(struct rs_chunk *chunk, char *buf, size_t len, size_t *out_payload)
{
    size_t in = 0, out = 0;
    while (in < len && chunk->state != RS_CHUNK_DONE && chunk->state != RS_CHUNK_BAD) {
        if (chunk->state != RS_CHUNK_DATA) {
            chunk->state = step(chunk, (unsigned char)buf[in]);
            in++;
            continue;
        }
        size_t n = RS_MIN(chunk->remaining, len - in);
        if (in != out)
            memmove(buf + out, buf + in, n);
        in += n;
        out += n;
        chunk->remaining -= n;
        if (chunk->remaining == 0)
            chunk->state = RS_CHUNK_DATA_CR;
    }
    *out_payload = out;
    return in;
}
