/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#define assert_str(s, z) assert_true(rs_str_eq_c((s), (z)))

static const rs_str nothing = {NULL, 0};

static void comparing(void **state)
{
    (void)state;
    assert_true(rs_str_eq(nothing, RS_STR("")));
    assert_true(rs_str_eq(rs_str_c(NULL), nothing));
    assert_true(rs_str_eq(RS_STR("a\0b"), RS_STR("a\0b")));
    assert_false(rs_str_eq(RS_STR("a\0b"), RS_STR("a\0c")));
    assert_false(rs_str_eq(RS_STR("a"), RS_STR("ab")));
    assert_true(rs_str_eq_nocase(RS_STR("Content-TYPE"), RS_STR("content-type")));
    assert_false(rs_str_eq_nocase(RS_STR("a["), RS_STR("a{"))); /* differ by the same bit as letters do */
    assert_false(rs_str_eq_nocase(RS_STR("@"), RS_STR("`")));
    assert_false(rs_str_eq_nocase(RS_STR("a"), RS_STR("ab")));
}

static void ordering(void **state)
{
    (void)state;
    assert_int_equal(rs_str_cmp(nothing, RS_STR("")), 0);
    assert_true(rs_str_cmp(nothing, RS_STR("a")) < 0);
    assert_true(rs_str_cmp(RS_STR("a"), RS_STR("ab")) < 0);
    assert_true(rs_str_cmp(RS_STR("ab"), RS_STR("a")) > 0);
    assert_true(rs_str_cmp(RS_STR("b"), RS_STR("ab")) > 0);
    assert_true(rs_str_cmp(RS_STR("a\x80"), RS_STR("a\x7f")) > 0); /* bytes have no sign */
}

static void prefixes_and_suffixes(void **state)
{
    (void)state;
    assert_true(rs_str_starts(RS_STR("abc"), RS_STR("ab")));
    assert_true(rs_str_starts(nothing, nothing));
    assert_false(rs_str_starts(RS_STR("a"), RS_STR("ab")));
    assert_true(rs_str_ends(RS_STR("abc"), RS_STR("bc")));
    assert_true(rs_str_ends(RS_STR("abc"), RS_STR("")));
    assert_true(rs_str_ends(nothing, nothing));
    assert_false(rs_str_ends(RS_STR("abc"), RS_STR("ab")));
    assert_false(rs_str_ends(RS_STR("c"), RS_STR("bc")));
}

static void parts(void **state)
{
    (void)state;
    rs_str s = RS_STR("abcdef");
    assert_str(rs_str_from(s, 0), "abcdef");
    assert_str(rs_str_from(s, 4), "ef");
    assert_str(rs_str_from(s, 99), "");
    assert_str(rs_str_from(nothing, 1), "");
    assert_str(rs_str_sub(s, 1, 2), "bc");
    assert_str(rs_str_sub(s, 4, SIZE_MAX), "ef");
    assert_str(rs_str_sub(s, SIZE_MAX, SIZE_MAX), "");
    assert_str(rs_str_sub(s, 2, 0), "");
}

static void trimming(void **state)
{
    (void)state;
    assert_str(rs_str_trim(RS_STR(" \t a b\t ")), "a b");
    assert_str(rs_str_trim(RS_STR("a")), "a");
    assert_str(rs_str_trim(RS_STR(" \t")), "");
    assert_str(rs_str_trim(nothing), "");
    assert_str(rs_str_trim(RS_STR("\na\r")), "\na\r");
}

static void finding(void **state)
{
    (void)state;
    size_t at = 99;
    assert_false(rs_str_find(nothing, 'a', &at));
    assert_false(rs_str_find(RS_STR("abc"), 'd', &at));
    assert_false(rs_str_rfind(nothing, 'a', &at));
    assert_int_equal(at, 99);
    assert_true(rs_str_find(RS_STR("abcb"), 'b', &at));
    assert_int_equal(at, 1);
    assert_true(rs_str_rfind(RS_STR("abcb"), 'b', &at));
    assert_int_equal(at, 3);
    assert_true(rs_str_find(RS_STR("a\0"), '\0', &at));
    assert_int_equal(at, 1);
}

static void cutting(void **state)
{
    (void)state;
    rs_str head;
    rs_str tail;
    assert_true(rs_str_cut(RS_STR("a=b=c"), '=', &head, &tail));
    assert_str(head, "a");
    assert_str(tail, "b=c");
    assert_true(rs_str_cut(RS_STR("="), '=', &head, &tail));
    assert_str(head, "");
    assert_str(tail, "");
    assert_false(rs_str_cut(RS_STR("abc"), '=', &head, &tail));
    assert_str(head, "abc");
    assert_str(tail, "");
    assert_false(rs_str_cut(nothing, '=', &head, &tail));
    assert_str(head, "");
    rs_str s = RS_STR("x/y"); /* the result may replace the operand */
    assert_true(rs_str_cut(s, '/', &head, &s));
    assert_str(head, "x");
    assert_str(s, "y");
}

static void numbers(void **state)
{
    (void)state;
    uint64_t n = 42;
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616", "99999999999999999999999999"};
    for (size_t i = 0; i < RS_COUNT(bad); i++)
        assert_false(rs_str_u64(rs_str_c(bad[i]), UINT64_MAX, &n));
    assert_false(rs_str_u64(nothing, UINT64_MAX, &n));
    assert_false(rs_str_u64(RS_STR("1\0"), UINT64_MAX, &n));
    assert_int_equal(n, 42); /* written only on success */
    assert_true(rs_str_u64(RS_STR("18446744073709551615"), UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_true(rs_str_u64(RS_STR("0000000000000000000000000007"), UINT64_MAX, &n));
    assert_int_equal(n, 7);
}

static void numbers_have_a_maximum(void **state)
{
    (void)state;
    uint64_t n = 42;
    for (uint64_t max = 0; max < 300; max++) {
        for (uint64_t value = 0; value < 310; value++) {
            char text[8];
            snprintf(text, sizeof text, "%u", (unsigned)value);
            bool fits = rs_str_u64(rs_str_c(text), max, &n);
            assert_int_equal(fits, value <= max);
            if (fits)
                assert_int_equal(n, value);
        }
    }
}

static void copying_to_an_array(void **state)
{
    (void)state;
    char out[4] = "xyz";
    assert_false(rs_str_copy_z(RS_STR("abcd"), out, sizeof out));
    assert_false(rs_str_copy_z(RS_STR("a\0b"), out, sizeof out));
    assert_false(rs_str_copy_z(RS_STR("a"), out, 0));
    assert_string_equal(out, "xyz");
    assert_true(rs_str_copy_z(RS_STR("abc"), out, sizeof out));
    assert_string_equal(out, "abc");
    assert_true(rs_str_copy_z(nothing, out, sizeof out));
    assert_string_equal(out, "");
}

static void hexadecimal(void **state)
{
    (void)state;
    uint8_t bytes[256];
    uint8_t back[256];
    char hex[513];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    rs_hex_encode(bytes, sizeof bytes, hex);
    assert_int_equal(strlen(hex), 512);
    assert_memory_equal(hex, "000102030405060708090a0b0c0d0e0f10", 34);
    assert_true(rs_hex_decode(rs_str_c(hex), back, sizeof back));
    assert_memory_equal(back, bytes, sizeof bytes);
    assert_false(rs_hex_decode(RS_STR("0A"), back, 1));
    assert_false(rs_hex_decode(RS_STR("0g"), back, 1));
    assert_false(rs_hex_decode(RS_STR("012"), back, 1));
    assert_false(rs_hex_decode(RS_STR("0"), back, 0));
    assert_false(rs_hex_decode(RS_STR("00"), back, 2));
    assert_true(rs_hex_decode(nothing, back, 0));
}

static void buffers_grow(void **state)
{
    (void)state;
    struct rs_buf b;
    rs_buf_init(&b, 100000);
    assert_null(b.ptr);
    assert_string_equal(rs_buf_z(&b), "");
    for (int i = 0; i < 1000; i++)
        rs_buf_printf(&b, "%03d,", i);
    assert_int_equal(b.len, 4000);
    assert_false(b.overflow);
    assert_int_equal(strlen(rs_buf_z(&b)), 4000);
    assert_memory_equal(b.ptr + 3996, "999,", 4);
    rs_buf_consume(&b, 3996);
    assert_str(rs_buf_str(&b), "999,");
    rs_buf_consume(&b, 4);
    rs_buf_consume(&b, 0);
    assert_int_equal(b.len, 0);
    rs_buf_release(&b);
    assert_null(b.ptr);
}

static void buffers_have_a_ceiling(void **state)
{
    (void)state;
    struct rs_buf b;
    rs_buf_init(&b, 5);
    rs_buf_add_c(&b, "abc");
    rs_buf_add(&b, RS_STR("def")); /* too long: nothing of it is appended */
    assert_true(b.overflow);
    assert_str(rs_buf_str(&b), "abc");
    rs_buf_add_char(&b, 'd'); /* would fit, but no hole may arise */
    assert_str(rs_buf_str(&b), "abc");
    rs_buf_clear(&b);
    assert_false(b.overflow);
    rs_buf_add_c(&b, "12345");
    assert_false(b.overflow);
    assert_string_equal(rs_buf_z(&b), "12345");
    rs_buf_append(&b, NULL, 0);
    assert_false(b.overflow);
    rs_buf_printf(&b, "%s", "");
    assert_false(b.overflow);
    rs_buf_printf(&b, "%d", 1);
    assert_true(b.overflow);
    rs_buf_release(&b);
}

static void reserving(void **state)
{
    (void)state;
    struct rs_buf b;
    rs_buf_init(&b, 100);
    assert_null(rs_buf_reserve(&b, 101));
    assert_null(rs_buf_reserve(&b, SIZE_MAX));
    char *at = rs_buf_reserve(&b, 100);
    assert_non_null(at);
    memset(at, 'x', 100);
    b.len += 100;
    assert_null(rs_buf_reserve(&b, 1));
    assert_non_null(rs_buf_reserve(&b, 0));
    assert_false(b.overflow); /* who reserves has been told by NULL */
    rs_buf_consume(&b, 40);
    assert_non_null(rs_buf_reserve(&b, 40));
    assert_null(rs_buf_reserve(&b, 41));
    rs_buf_release(&b);
}

static void printing_at_every_length(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'y', sizeof text);
    for (int len = 0; len < 200; len++) {
        struct rs_buf b;
        rs_buf_init(&b, 150);
        rs_buf_add_char(&b, '<');
        rs_buf_printf(&b, "%.*s", len, text);
        assert_int_equal(b.overflow, len > 149);
        assert_int_equal(b.len, len > 149 ? 1 : len + 1);
        assert_int_equal(strlen(rs_buf_z(&b)), b.len);
        rs_buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing),
        cmocka_unit_test(ordering),
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(parts),
        cmocka_unit_test(trimming),
        cmocka_unit_test(finding),
        cmocka_unit_test(cutting),
        cmocka_unit_test(numbers),
        cmocka_unit_test(numbers_have_a_maximum),
        cmocka_unit_test(copying_to_an_array),
        cmocka_unit_test(hexadecimal),
        cmocka_unit_test(buffers_grow),
        cmocka_unit_test(buffers_have_a_ceiling),
        cmocka_unit_test(reserving),
        cmocka_unit_test(printing_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
