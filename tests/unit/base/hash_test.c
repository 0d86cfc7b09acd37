/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

/* The examples of FIPS 180-2, and the empty text. */
static const struct {
    enum rs_hash_alg alg;
    const char *text;
    const char *hex;
} vectors[] = {
    {RS_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {RS_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {RS_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {RS_SHA512, "",
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
     "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
    {RS_SHA512, "abc",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
};

static void known_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < RS_COUNT(vectors); i++) {
        uint8_t raw[RS_HASH_MAX];
        char hex[2 * RS_HASH_MAX + 1];
        rs_hash_once(vectors[i].alg, vectors[i].text, strlen(vectors[i].text), raw);
        rs_hex_encode(raw, rs_hash_size(vectors[i].alg), hex);
        assert_string_equal(hex, vectors[i].hex);
    }
}

static void names_and_sizes(void **state)
{
    (void)state;
    assert_string_equal(rs_hash_name(RS_SHA256), "sha256");
    assert_string_equal(rs_hash_name(RS_SHA512), "sha512");
    assert_int_equal(rs_hash_size(RS_SHA256), 32);
    assert_int_equal(rs_hash_size(RS_SHA512), 64);
}

static void fill(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 251 + 1);
}

/* Split anywhere, stored and carried on in between: the hash is the same. */
static void export_at_every_position(enum rs_hash_alg alg)
{
    uint8_t data[600];
    uint8_t whole[RS_HASH_MAX];
    fill(data, sizeof data);
    rs_hash_once(alg, data, sizeof data, whole);
    for (size_t split = 0; split <= sizeof data; split++) {
        struct rs_hash first;
        struct rs_hash second;
        uint8_t stored[RS_HASH_STATE_MAX];
        uint8_t raw[RS_HASH_MAX];
        rs_hash_init(&first, alg);
        rs_hash_update(&first, data, split);
        size_t len = rs_hash_export(&first, stored);
        assert_int_equal(len, alg == RS_SHA256 ? 108 : 204);
        memset(&second, 0xaa, sizeof second);
        assert_true(rs_hash_import(&second, alg, stored, len));
        assert_int_equal(second.length, split);
        rs_hash_update(&second, data + split, sizeof data - split);
        assert_int_equal(second.length, sizeof data);
        rs_hash_final(&second, raw);
        assert_memory_equal(raw, whole, rs_hash_size(alg));
        rs_hash_update(&first, data + split, sizeof data - split); /* the export changed nothing */
        rs_hash_final(&first, raw);
        assert_memory_equal(raw, whole, rs_hash_size(alg));
    }
}

static void sha256_export_at_every_position(void **state)
{
    (void)state;
    export_at_every_position(RS_SHA256);
}

static void sha512_export_at_every_position(void **state)
{
    (void)state;
    export_at_every_position(RS_SHA512);
}

/* A state of few bytes in hand is the initial one: its words are known from FIPS 180-4, 5.3.3 and 5.3.5. */
static void layout_of_sha256(void **state)
{
    (void)state;
    static const uint8_t want[40] = {'s',  'h',  'a',  3,    0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85, 0x3c, 0x6e,
                                     0xf3, 0x72, 0xa5, 0x4f, 0xf5, 0x3a, 0x51, 0x0e, 0x52, 0x7f, 0x9b, 0x05, 0x68, 0x8c,
                                     0x1f, 0x83, 0xd9, 0xab, 0x5b, 0xe0, 0xcd, 0x19, 'a',  'b',  'c',  0};
    struct rs_hash h;
    uint8_t got[RS_HASH_STATE_MAX];
    uint8_t zeros[108] = {0};
    rs_hash_init(&h, RS_SHA256);
    rs_hash_update(&h, "abc", 3);
    assert_int_equal(rs_hash_export(&h, got), 108);
    assert_memory_equal(got, want, 40);
    assert_memory_equal(got + 40, zeros, 60 + 7);
    assert_int_equal(got[107], 3);
}

static void layout_of_sha512(void **state)
{
    (void)state;
    static const uint8_t head[12] = {'s', 'h', 'a', 7, 0x6a, 0x09, 0xe6, 0x67, 0xf3, 0xbc, 0xc9, 0x08};
    static const uint8_t last_word[8] = {0x5b, 0xe0, 0xcd, 0x19, 0x13, 0x7e, 0x21, 0x79};
    struct rs_hash h;
    uint8_t got[RS_HASH_STATE_MAX];
    uint8_t zeros[RS_HASH_STATE_MAX] = {0};
    rs_hash_init(&h, RS_SHA512);
    rs_hash_update(&h, "xy", 2);
    assert_int_equal(rs_hash_export(&h, got), 204);
    assert_memory_equal(got, head, sizeof head);
    assert_memory_equal(got + 60, last_word, sizeof last_word);
    assert_memory_equal(got + 68, "xy", 2);
    assert_memory_equal(got + 70, zeros, 126 + 7);
    assert_int_equal(got[203], 2);
}

/* The block in the file is zero behind the bytes in hand, though the context still holds the block before. */
static void nothing_old_leaks_into_the_block(void **state)
{
    (void)state;
    struct rs_hash h;
    uint8_t data[127];
    uint8_t got[RS_HASH_STATE_MAX];
    uint8_t zeros[64] = {0};
    memset(data, 0xff, sizeof data);
    rs_hash_init(&h, RS_SHA256);
    rs_hash_update(&h, data, 63);
    rs_hash_update(&h, data, 2);
    rs_hash_export(&h, got);
    assert_int_equal(got[36], 0xff);
    assert_memory_equal(got + 37, zeros, 63);
    assert_int_equal(got[107], 65);
}

/* 2^29 bytes are 2^32 bits: the count of bits leaves the low word. The state is made, not hashed. */
static void long_streams_keep_their_length(void **state)
{
    (void)state;
    struct rs_hash h;
    uint8_t stored[RS_HASH_STATE_MAX];
    uint8_t again[RS_HASH_STATE_MAX];
    rs_hash_init(&h, RS_SHA256);
    rs_hash_export(&h, stored);
    stored[102] = 0x01; /* length: 2^40 */
    assert_true(rs_hash_import(&h, RS_SHA256, stored, 108));
    assert_true(h.length == UINT64_C(1) << 40);
    assert_int_equal(h.u.sha256.Nl, 0);
    assert_int_equal(h.u.sha256.Nh, 1u << 11);
    rs_hash_export(&h, again);
    assert_memory_equal(again, stored, 108);
}

static void damaged_states_are_refused(void **state)
{
    (void)state;
    struct rs_hash h;
    struct rs_hash before;
    uint8_t stored[RS_HASH_STATE_MAX + 1] = {0};
    rs_hash_init(&h, RS_SHA256);
    rs_hash_export(&h, stored);
    rs_hash_init(&h, RS_SHA512);
    before = h;
    assert_false(rs_hash_import(&h, RS_SHA256, stored, 107));
    assert_false(rs_hash_import(&h, RS_SHA256, stored, 109));
    assert_false(rs_hash_import(&h, RS_SHA256, NULL, 0));
    assert_false(rs_hash_import(&h, RS_SHA512, stored, 108));
    assert_false(rs_hash_import(&h, RS_SHA512, stored, 204));
    stored[3] = 2; /* SHA-224 */
    assert_false(rs_hash_import(&h, RS_SHA256, stored, 108));
    stored[3] = 3;
    stored[100] = 0x20; /* 2^61 bytes: more bits than SHA-256 counts */
    assert_false(rs_hash_import(&h, RS_SHA256, stored, 108));
    assert_memory_equal(&h, &before, sizeof h);
    stored[100] = 0x1f;
    assert_true(rs_hash_import(&h, RS_SHA256, stored, 108));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(names_and_sizes),
        cmocka_unit_test(sha256_export_at_every_position),
        cmocka_unit_test(sha512_export_at_every_position),
        cmocka_unit_test(layout_of_sha256),
        cmocka_unit_test(layout_of_sha512),
        cmocka_unit_test(nothing_old_leaks_into_the_block),
        cmocka_unit_test(long_streams_keep_their_length),
        cmocka_unit_test(damaged_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
