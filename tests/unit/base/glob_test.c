/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/glob.h"

static bool match(const char *glob, const char *text)
{
    return rs_glob_match(rs_str_c(glob), rs_str_c(text));
}

static void test_literals(void **state)
{
    (void)state;
    assert_true(match("team/app", "team/app"));
    assert_false(match("team/app", "team/apps"));
    assert_false(match("team/app", "team/ap"));
    assert_false(match("team/app", ""));
    assert_true(match("a\\*b", "a*b"));
    assert_false(match("a\\*b", "axb"));
}

static void test_star_stops_at_slashes(void **state)
{
    (void)state;
    assert_true(match("team/*", "team/app"));
    assert_true(match("team/*", "team/"));
    assert_false(match("team/*", "team/app/web"));
    assert_false(match("team/*", "team"));
    assert_true(match("*", "app"));
    assert_false(match("*", "team/app"));
    assert_true(match("*-*.?", "v-1.2"));
    assert_false(match("a?b", "a/b"));
}

static void test_stars_cross_slashes(void **state)
{
    (void)state;
    assert_true(match("**", "team/app/web"));
    assert_true(match("**", ""));
    assert_true(match("team/**", "team/app/web"));
    assert_true(match("team/**", "team")); /* the group itself */
    assert_false(match("team/**", "teams/app"));
    assert_true(match("**/web", "team/app/web"));
    assert_false(match("**/web", "team/app/webs"));
    assert_true(match("a**z", "a/b/z"));
}

static void test_sets(void **state)
{
    (void)state;
    assert_true(match("v[0-9]*", "v1.2"));
    assert_false(match("v[0-9]*", "vx"));
    assert_true(match("[!0-9]*", "vx"));
    assert_false(match("[!0-9]*", "1x"));
    assert_false(match("a[!b]c", "a/c"));
    assert_true(match("[]a]", "]"));
    assert_true(match("[a-]", "-"));
}

static void test_broken_ones_match_nothing(void **state)
{
    (void)state;
    struct rs_err err;
    static const char *const broken[] = {"", "[", "[]", "a[b", "[!]", "a\\"};
    for (size_t i = 0; i < RS_COUNT(broken); i++) {
        assert_int_equal(rs_glob_check(rs_str_c(broken[i]), &err), RS_E_INVALID);
        assert_false(match(broken[i], "a"));
        assert_false(match(broken[i], broken[i]) && broken[i][0] != '\0');
    }
    assert_int_equal(rs_glob_check(RS_STR("team/**"), &err), RS_OK);
    static const char *const globs[] = {"a*", "b"};
    assert_true(rs_globs_match(globs, 2, RS_STR("b")));
    assert_false(rs_globs_match(globs, 2, RS_STR("c")));
}

/* A backtracking matcher would take longer than the universe is old: here it ends at all. */
static void test_no_glob_is_slow(void **state)
{
    (void)state;
    char glob[RS_GLOB_MAX], text[300];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i + 2 < sizeof glob; i += 2)
        memcpy(glob + i, "*a", 2);
    glob[sizeof glob - 2] = 'b';
    glob[sizeof glob - 1] = '\0';
    assert_false(match(glob, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_star_stops_at_slashes),
        cmocka_unit_test(test_stars_cross_slashes),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_broken_ones_match_nothing),
        cmocka_unit_test(test_no_glob_is_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
