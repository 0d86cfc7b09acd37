/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/pattern.h"

static enum rs_match match(const char *pattern, rs_str text)
{
    struct rs_err err;
    RS_AUTO(rs_pattern_free) struct rs_pattern *p = NULL;
    if (rs_pattern_new(rs_str_c(pattern), &p, &err) != RS_OK)
        fail_msg("%s: %s", pattern, err.text);
    return rs_pattern_match(p, text);
}

static void it_matches_anywhere(void **state)
{
    (void)state;
    assert_int_equal(match("example\\.com", RS_STR("https://example.com/layer")), RS_MATCH_YES);
    assert_int_equal(match("^https?://([^/]+\\.)?example\\.com/", RS_STR("https://a.example.com/x")), RS_MATCH_YES);
    assert_int_equal(match("^https?://([^/]+\\.)?example\\.com/", RS_STR("https://evil.example/example.com/")),
                     RS_MATCH_NO);
    assert_int_equal(match("(?i)EXAMPLE", RS_STR("example")), RS_MATCH_YES);
    assert_int_equal(match("(?P<host>a+)", RS_STR("xaay")), RS_MATCH_YES);
    assert_int_equal(match("", RS_STR("")), RS_MATCH_YES);
    assert_int_equal(match("^$", (rs_str){NULL, 0}), RS_MATCH_YES);
    assert_int_equal(match("^$", RS_STR("x")), RS_MATCH_NO);
}

static void the_end_is_the_end(void **state)
{
    (void)state;
    assert_int_equal(match("com$", RS_STR("example.com\n")), RS_MATCH_NO);
    assert_int_equal(match("com$", RS_STR("example.com")), RS_MATCH_YES);
}

static void odd_bytes_are_no_danger(void **state)
{
    (void)state;
    assert_int_equal(match("b", RS_STR("a\0b")), RS_MATCH_YES);
    assert_int_equal(match("b", RS_STR("\xff\xfe"
                                       "b")),
                     RS_MATCH_YES);
    assert_int_equal(match("^.$", RS_STR("\xc3\xa4")), RS_MATCH_YES);
    assert_int_equal(match("^\\w$", RS_STR("\xc3\xa4")), RS_MATCH_NO);
}

static void broken_ones_are_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {"(", "[a", "a{2,1}", "*", "(?P<n", "\\C", "\xff"};
    struct rs_err err;
    for (size_t i = 0; i < RS_COUNT(broken); i++) {
        struct rs_pattern *p = NULL;
        assert_int_equal(rs_pattern_new(rs_str_c(broken[i]), &p, &err), RS_E_INVALID);
        assert_non_null(strstr(err.text, "byte"));
        assert_null(p);
    }
    struct rs_pattern *p = NULL;
    char *large = rs_malloc(5000);
    memset(large, 'a', 5000);
    assert_int_equal(rs_pattern_new((rs_str){large, 5000}, &p, &err), RS_E_INVALID);
    free(large);
    rs_pattern_free(&p);
}

static void a_match_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    char text[64];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    int64_t begin = rs_mono_ms();
    assert_int_equal(match("^(a+)+(a+)+$", (rs_str){text, sizeof text}), RS_MATCH_UNKNOWN);
    assert_true(rs_mono_ms() - begin < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_matches_anywhere),
        cmocka_unit_test(the_end_is_the_end),
        cmocka_unit_test(odd_bytes_are_no_danger),
        cmocka_unit_test(broken_ones_are_refused),
        cmocka_unit_test(a_match_that_takes_too_long_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
