/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked coding: every body is decoded whole, byte by byte, and split at each place, with the same result. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/str.h"
#include "http/chunk.h"

struct outcome {
    enum rs_chunk_state state;
    size_t used;
    struct rs_buf payload;
};

/* Feeds the coding in pieces: the first `first` bytes, then `step` bytes at a time. */
static void decode(const char *coding, size_t len, size_t first, size_t step, struct outcome *out)
{
    struct rs_chunk chunk;
    rs_chunk_init(&chunk);
    rs_buf_init(&out->payload, 1 << 20);
    out->used = 0;
    for (size_t at = 0, n = first; at < len; at += n, n = step) {
        char piece[4096];
        size_t payload;
        n = RS_MIN(RS_MAX(n, 1), len - at);
        memcpy(piece, coding + at, n);
        size_t used = rs_chunk_decode(&chunk, piece, n, &payload);
        rs_buf_append(&out->payload, piece, payload);
        out->used += used;
        if (used < n || chunk.state == RS_CHUNK_DONE || chunk.state == RS_CHUNK_BAD)
            break;
    }
    out->state = chunk.state;
}

static void assert_decodes(const char *coding, enum rs_chunk_state state, const char *payload, size_t rest)
{
    size_t len = strlen(coding);
    for (size_t first = 1; first <= len; first++) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            struct outcome got;
            decode(coding, len, first, bytewise ? 1 : len, &got);
            if (got.state != state)
                print_error("coding %s, split at %zu\n", coding, first);
            assert_int_equal(got.state, state);
            if (state == RS_CHUNK_DONE) {
                assert_int_equal(got.used, len - rest);
                assert_string_equal(rs_buf_z(&got.payload), payload);
            }
            rs_buf_release(&got.payload);
        }
    }
}

static void test_bodies(void **state)
{
    (void)state;
    assert_decodes("0\r\n\r\n", RS_CHUNK_DONE, "", 0);
    assert_decodes("5\r\nhello\r\n0\r\n\r\n", RS_CHUNK_DONE, "hello", 0);
    assert_decodes("5\r\nhello\r\n0006\r\n world\r\n00\r\n\r\n", RS_CHUNK_DONE, "hello world", 0);
    assert_decodes("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", RS_CHUNK_DONE, "01234567890123456789", 0);
    assert_decodes("1;x=\"y\";z\r\na\r\n0;last\r\nTrailer: v\r\nT2: v\r\n\r\n", RS_CHUNK_DONE, "a", 0);
    assert_decodes("2\r\n\r\n\r\n0\r\n\r\nGET / HTTP/1.1", RS_CHUNK_DONE, "\r\n", 14);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        ";x\r\n",
        "g\r\n",
        "-1\r\n",
        " 5\r\nhello",
        "5 \r\nhello",
        "0x5\r\nhello",
        "5\nhello",
        "5\rXhello",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "1234567890abcdef\r\n",
        "1;a\nb\r\n",
        "1;a\x01\r\n",
        "0\r\nTrailer: v\n",
        "0\r\n folded\r\n",
        "0\r\n\rX",
    };
    for (size_t i = 0; i < RS_COUNT(bad); i++)
        assert_decodes(bad[i], RS_CHUNK_BAD, "", 0);
}

static void test_extensions_and_trailers_have_a_limit(void **state)
{
    (void)state;
    static const char *const starts[] = {"1;", "0\r\nT: "};
    for (size_t i = 0; i < RS_COUNT(starts); i++) {
        struct rs_chunk chunk;
        size_t payload, fed = 0;
        char text[256];
        rs_chunk_init(&chunk);
        snprintf(text, sizeof text, "%s", starts[i]);
        rs_chunk_decode(&chunk, text, strlen(text), &payload);
        memset(text, 'x', sizeof text);
        while (chunk.state != RS_CHUNK_BAD && fed < 2 * RS_CHUNK_OVERHEAD_MAX)
            fed += rs_chunk_decode(&chunk, text, sizeof text, &payload);
        assert_int_equal(chunk.state, RS_CHUNK_BAD);
        assert_in_range(fed, RS_CHUNK_OVERHEAD_MAX - 16, RS_CHUNK_OVERHEAD_MAX + 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_extensions_and_trailers_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
