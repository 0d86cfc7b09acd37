/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

static void copies_are_terminated(void **state)
{
    (void)state;
    char *a = rs_strdup("abc");
    char *b = rs_str_dup((rs_str){"abcdef", 2});
    char *c = rs_str_dup((rs_str){NULL, 0});
    assert_string_equal(a, "abc");
    assert_string_equal(b, "ab");
    assert_string_equal(c, "");
    rs_free_ptr(&a);
    assert_null(a);
    rs_free_ptr(&a); /* twice does no harm */
    rs_free_ptr(&b);
    rs_free_ptr(&c);
}

static void nothing_is_not_null(void **state)
{
    (void)state;
    void *a = rs_malloc(0);
    void *b = rs_calloc(0, 8);
    void *c = rs_realloc(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    free(a);
    free(b);
    free(c);
}

static void calloc_gives_zeros(void **state)
{
    (void)state;
    char zeros[1000] = {0};
    char *p = rs_calloc(10, 100);
    assert_memory_equal(p, zeros, sizeof zeros);
    p[999] = 1;
    p = rs_realloc(p, 2000);
    assert_int_equal(p[999], 1);
    free(p);
}

static void wipe_zeroes(void **state)
{
    (void)state;
    char secret[] = "secret";
    char zeros[sizeof secret] = {0};
    rs_wipe(secret, sizeof secret);
    assert_memory_equal(secret, zeros, sizeof secret);
    rs_wipe(NULL, 0);
}

static void take_hands_over(void **state)
{
    (void)state;
    char *p = rs_strdup("x");
    char *q = rs_take(&p);
    assert_null(p);
    assert_string_equal(q, "x");
    free(q);
}

/* Sizes around each limit of the arena; every object keeps its bytes, is aligned, and overlaps no other. */
static void arena_objects_are_apart(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 0, 7, 16, 17, 1000, 1024, 1025, 4064, 4096, 5000, 16384, 16385, 65536, 200000};
    enum { ROUNDS = 40 };
    uint8_t *objects[ROUNDS * RS_COUNT(sizes)];
    size_t lengths[ROUNDS * RS_COUNT(sizes)];
    struct rs_arena *arena = rs_arena_new();
    for (size_t i = 0; i < RS_COUNT(objects); i++) {
        lengths[i] = sizes[i * 7 % RS_COUNT(sizes)];
        objects[i] = rs_arena_alloc(arena, lengths[i]);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
        memset(objects[i], (int)(i % 251), lengths[i]);
    }
    for (size_t i = 0; i < RS_COUNT(objects); i++) {
        for (size_t j = 0; j < lengths[i]; j++)
            assert_int_equal(objects[i][j], i % 251);
    }
    rs_arena_free(&arena);
    assert_null(arena);
    rs_arena_free(&arena);
}

static void arena_is_of_use_after_a_reset(void **state)
{
    (void)state;
    struct rs_arena *arena = rs_arena_new();
    rs_arena_reset(arena); /* an empty one too */
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3000; i++)
            memset(rs_arena_alloc(arena, 100), round, 100);
        memset(rs_arena_alloc(arena, 100000), round, 100000);
        rs_arena_reset(arena);
    }
    rs_arena_free(&arena);
}

static void arena_zalloc_after_a_reset(void **state)
{
    (void)state;
    struct rs_arena *arena = rs_arena_new();
    uint8_t zeros[512] = {0};
    memset(rs_arena_alloc(arena, 512), 0xff, 512);
    rs_arena_reset(arena);
    assert_memory_equal(rs_arena_zalloc(arena, 512), zeros, 512);
    rs_arena_zalloc(arena, 0);
    rs_arena_free(&arena);
}

static void arena_strings(void **state)
{
    (void)state;
    struct rs_arena *arena = rs_arena_new();
    char source[] = "layer";
    rs_str copy = rs_arena_copy(arena, rs_str_c(source));
    char *z = rs_arena_z(arena, rs_str_sub(rs_str_c(source), 0, 3));
    memset(source, 'x', 5);
    assert_true(rs_str_eq_c(copy, "layer"));
    assert_int_equal(copy.ptr[5], '\0');
    assert_string_equal(z, "lay");
    rs_str empty = rs_arena_copy(arena, (rs_str){NULL, 0});
    assert_int_equal(empty.len, 0);
    assert_string_equal(empty.ptr, "");
    rs_str printed = rs_arena_printf(arena, "%s/%08d", z, 42);
    assert_string_equal(printed.ptr, "lay/00000042");
    assert_int_equal(printed.len, 12);
    rs_str wide = rs_arena_printf(arena, "%100000d", 7);
    assert_int_equal(wide.len, 100000);
    assert_int_equal(strlen(wide.ptr), 100000);
    rs_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(nothing_is_not_null),
        cmocka_unit_test(calloc_gives_zeros),
        cmocka_unit_test(wipe_zeroes),
        cmocka_unit_test(take_hands_over),
        cmocka_unit_test(arena_objects_are_apart),
        cmocka_unit_test(arena_is_of_use_after_a_reset),
        cmocka_unit_test(arena_zalloc_after_a_reset),
        cmocka_unit_test(arena_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
