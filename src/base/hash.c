/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's old SHA functions, whose state is open, unlike that of EVP. They are deprecated, not slower: the same
 * code with the same CPU extensions runs below. This is the one file that uses them.
 *
 * The stored form (Go's): "sha" and a byte for the algorithm; the eight words of the state; a block that begins with
 * the bytes not yet hashed and is zero behind them; the number of bytes so far. All integers are big-endian.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#define MAGIC_LEN 4
#define STATE256_LEN (MAGIC_LEN + 8 * 4 + SHA256_CBLOCK + 8)
#define STATE512_LEN (MAGIC_LEN + 8 * 8 + SHA512_CBLOCK + 8)
_Static_assert(STATE512_LEN == RS_HASH_STATE_MAX, "the longest state is that of SHA-512");

/* SHA-256 counts bits in 64 bits; a longer stream has no hash. */
#define LENGTH_MAX (UINT64_MAX >> 3)

static const char magic256[MAGIC_LEN] = {'s', 'h', 'a', 3};
static const char magic512[MAGIC_LEN] = {'s', 'h', 'a', 7};

const char *rs_hash_name(enum rs_hash_alg alg)
{
    return alg == RS_SHA256 ? "sha256" : "sha512";
}

size_t rs_hash_size(enum rs_hash_alg alg)
{
    return alg == RS_SHA256 ? SHA256_DIGEST_LENGTH : SHA512_DIGEST_LENGTH;
}

void rs_hash_init(struct rs_hash *h, enum rs_hash_alg alg)
{
    RS_ASSERT(alg < RS_HASH_ALGS);
    h->alg = alg;
    h->length = 0;
    if (alg == RS_SHA256)
        SHA256_Init(&h->u.sha256);
    else
        SHA512_Init(&h->u.sha512);
}

void rs_hash_update(struct rs_hash *h, const void *data, size_t len)
{
    if (len == 0)
        return;
    h->length += len;
    if (h->alg == RS_SHA256)
        SHA256_Update(&h->u.sha256, data, len);
    else
        SHA512_Update(&h->u.sha512, data, len);
}

void rs_hash_final(struct rs_hash *h, uint8_t out[RS_HASH_MAX])
{
    if (h->alg == RS_SHA256)
        SHA256_Final(out, &h->u.sha256);
    else
        SHA512_Final(out, &h->u.sha512);
}

void rs_hash_once(enum rs_hash_alg alg, const void *data, size_t len, uint8_t out[RS_HASH_MAX])
{
    struct rs_hash h;
    rs_hash_init(&h, alg);
    rs_hash_update(&h, data, len);
    rs_hash_final(&h, out);
}

/* Writes the low `bytes` bytes of value, most significant first; returns what follows. */
static uint8_t *put_be(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return out + bytes;
}

static uint64_t get_be(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

static uint8_t *put_block(uint8_t *out, const void *pending, size_t len, size_t block)
{
    memcpy(out, pending, len);
    memset(out + len, 0, block - len);
    return out + block;
}

static uint8_t *export256(const SHA256_CTX *ctx, uint8_t *out)
{
    memcpy(out, magic256, MAGIC_LEN);
    out += MAGIC_LEN;
    for (size_t i = 0; i < 8; i++)
        out = put_be(out, ctx->h[i], 4);
    return put_block(out, ctx->data, ctx->num, SHA256_CBLOCK);
}

static uint8_t *export512(const SHA512_CTX *ctx, uint8_t *out)
{
    memcpy(out, magic512, MAGIC_LEN);
    out += MAGIC_LEN;
    for (size_t i = 0; i < 8; i++)
        out = put_be(out, ctx->h[i], 8);
    return put_block(out, ctx->u.p, ctx->num, SHA512_CBLOCK);
}

size_t rs_hash_export(const struct rs_hash *h, uint8_t out[RS_HASH_STATE_MAX])
{
    uint8_t *end = h->alg == RS_SHA256 ? export256(&h->u.sha256, out) : export512(&h->u.sha512, out);
    end = put_be(end, h->length, 8);
    return (size_t)(end - out);
}

static void import256(SHA256_CTX *ctx, const uint8_t *in, uint64_t length)
{
    SHA256_Init(ctx);
    for (size_t i = 0; i < 8; i++)
        ctx->h[i] = (SHA_LONG)get_be(in + 4 * i, 4);
    ctx->num = (unsigned)(length % SHA256_CBLOCK);
    memcpy(ctx->data, in + 8 * 4, ctx->num);
    ctx->Nl = (SHA_LONG)(length << 3);
    ctx->Nh = (SHA_LONG)(length >> 29);
}

static void import512(SHA512_CTX *ctx, const uint8_t *in, uint64_t length)
{
    SHA512_Init(ctx);
    for (size_t i = 0; i < 8; i++)
        ctx->h[i] = get_be(in + 8 * i, 8);
    ctx->num = (unsigned)(length % SHA512_CBLOCK);
    memcpy(ctx->u.p, in + 8 * 8, ctx->num);
    ctx->Nl = length << 3;
    ctx->Nh = length >> 61;
}

bool rs_hash_import(struct rs_hash *h, enum rs_hash_alg alg, const void *state, size_t len)
{
    const uint8_t *in = state;
    bool is256 = alg == RS_SHA256;
    if (len != (is256 ? STATE256_LEN : STATE512_LEN) || memcmp(in, is256 ? magic256 : magic512, MAGIC_LEN) != 0)
        return false;
    uint64_t length = get_be(in + len - 8, 8);
    if (length > LENGTH_MAX)
        return false;
    h->alg = alg;
    h->length = length;
    if (is256)
        import256(&h->u.sha256, in + MAGIC_LEN, length);
    else
        import512(&h->u.sha512, in + MAGIC_LEN, length);
    return true;
}
