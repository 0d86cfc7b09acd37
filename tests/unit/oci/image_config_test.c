/* SPDX-License-Identifier: Apache-2.0 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "oci/image_config.h"

static void assert_platform(const char *config, const char *want)
{
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    rs_str platform = rs_image_config_platform(rs_str_c(config), arena);
    assert_int_equal(platform.len, strlen(want));
    if (platform.len > 0)
        assert_memory_equal(platform.ptr, want, platform.len);
}

static void test_platforms(void **state)
{
    (void)state;
    assert_platform("{\"os\":\"linux\",\"architecture\":\"amd64\"}", "linux/amd64");
    assert_platform("{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",\"config\":{}}", "linux/arm/v7");
    assert_platform("{\"os\":\"windows\",\"architecture\":\"amd64\",\"variant\":\"\"}", "windows/amd64");
}

static void test_what_names_none(void **state)
{
    (void)state;
    assert_platform("", "");
    assert_platform("{}", "");
    assert_platform("[]", "");
    assert_platform("null", "");
    assert_platform("{\"os\":\"linux\"}", "");
    assert_platform("{\"os\":1,\"architecture\":2}", "");
    assert_platform("{\"os\":\"linux\",\"architecture\":\"amd64\"", "");
    assert_platform("{\"os\":\"li nux\",\"architecture\":\"amd64\"}", "");
    assert_platform("{\"os\":\"a/b\",\"architecture\":\"amd64\"}", "");
}

static void test_hostile(void **state)
{
    (void)state;
    struct rs_buf deep;
    rs_buf_init(&deep, 1024 * 1024);
    for (int i = 0; i < 100000; i++)
        rs_buf_add_c(&deep, "[");
    assert_platform(rs_buf_z(&deep), "");
    rs_buf_clear(&deep);
    rs_buf_add_c(&deep, "{\"architecture\":\"amd64\",\"os\":\"");
    for (int i = 0; i < 65; i++)
        rs_buf_add_c(&deep, "x");
    rs_buf_add_c(&deep, "\"}");
    assert_platform(rs_buf_z(&deep), "");
    rs_buf_release(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_what_names_none),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
