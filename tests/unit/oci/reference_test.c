/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oci/reference.h"

static void good_names(void **state)
{
    (void)state;
    static const char *const names[] = {"a",    "0",   "library/debian", "a/b/c/d/e/f/g/h", "a.b",           "a_b",
                                        "a__b", "a-b", "a-----b",        "a.b_c__d-e/f.g",  "xn--bcher-kva", "123/456"};
    for (size_t i = 0; i < RS_COUNT(names); i++)
        assert_int_equal(rs_name_check(rs_str_c(names[i]), NULL), RS_OK);
}

static void wrong_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",     "/",    "a/",   "/a",   "a//b", ".",      "..",  "a/..", "../a", "a/../b", "a..b", "a___b",   "a._b",
        "a.-b", "a-_b", "a_",   "_a",   "a-",   "-a",     ".a",  "a.",   "a__",  "A",      "a/B",  "a b",     "a\tb",
        "a:b",  "a@b",  "a%2f", "a\nb", "é",    "a\x7f/", "a+b", "a/_b", "a/.b", "a/-b",   "a_/b", "_uploads"};
    for (size_t i = 0; i < RS_COUNT(names); i++) {
        struct rs_err err;
        assert_int_equal(rs_name_check(rs_str_c(names[i]), &err), RS_E_NAME_INVALID);
        assert_true(strlen(err.text) > 0);
    }
    assert_int_equal(rs_name_check((rs_str){"a\0b", 3}, NULL), RS_E_NAME_INVALID);
    assert_int_equal(rs_name_check((rs_str){NULL, 0}, NULL), RS_E_NAME_INVALID);
}

/* Every byte between two letters, against the grammar written down another way. */
static void every_byte_in_a_name(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char name[] = {'a', (char)c, 'b'};
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
        assert_int_equal(rs_name_check((rs_str){name, 3}, NULL), good ? RS_OK : RS_E_NAME_INVALID);
    }
}

static void lengths_of_names(void **state)
{
    (void)state;
    char name[RS_NAME_MAX + 1];
    struct rs_err err;
    memset(name, 'a', sizeof name);
    assert_int_equal(rs_name_check((rs_str){name, RS_NAME_MAX}, &err), RS_OK);
    assert_int_equal(rs_name_check((rs_str){name, RS_NAME_MAX + 1}, &err), RS_E_NAME_INVALID);
    assert_non_null(strstr(err.text, "256 bytes"));
}

static void going_down(void **state)
{
    (void)state;
    char name[RS_NAME_MAX + 1];
    char longest[RS_NAME_MAX];
    size_t len = 0;
    memset(longest, 'x', sizeof(longest));
    assert_true(rs_name_enter(name, &len, RS_STR("team")));
    assert_true(rs_name_enter(name, &len, RS_STR("app")));
    assert_true(rs_str_eq((rs_str){name, len}, RS_STR("team/app")));
    assert_false(rs_name_enter(name, &len, RS_STR("_manifests")));
    assert_false(rs_name_enter(name, &len, RS_STR("Upper")));
    assert_false(rs_name_enter(name, &len, (rs_str){NULL, 0}));
    assert_false(rs_name_enter(name, &len, (rs_str){longest, RS_NAME_MAX - len}));
    assert_true(rs_str_eq((rs_str){name, len}, RS_STR("team/app")));
    assert_true(rs_name_enter(name, &len, (rs_str){longest, RS_NAME_MAX - len - 1}));
    assert_int_equal(len, RS_NAME_MAX);
    assert_false(rs_name_enter(name, &len, RS_STR("a")));
}

static void tags(void **state)
{
    (void)state;
    static const char *const good[] = {"latest", "1", "_", "v1.2.3-rc_4", "A", "a..b", "a.-_", "__"};
    static const char *const wrong[] = {"", ".", "-", ".a", "-a", "a/b", "a:b", "a b", "a+b", "a@", "é", "../x", "a\n"};
    for (size_t i = 0; i < RS_COUNT(good); i++)
        assert_int_equal(rs_tag_check(rs_str_c(good[i]), NULL), RS_OK);
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        struct rs_err err;
        assert_int_equal(rs_tag_check(rs_str_c(wrong[i]), &err), RS_E_TAG_INVALID);
        assert_true(strlen(err.text) > 0);
    }
    assert_int_equal(rs_tag_check((rs_str){"a\0b", 3}, NULL), RS_E_TAG_INVALID);
}

static void every_byte_in_a_tag(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char tag[] = {(char)c, (char)c};
        bool first = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        bool later = first || c == '.' || c == '-';
        const char behind[] = {'x', (char)c};
        assert_int_equal(rs_tag_check((rs_str){tag, 2}, NULL), first ? RS_OK : RS_E_TAG_INVALID);
        assert_int_equal(rs_tag_check((rs_str){behind, 2}, NULL), later ? RS_OK : RS_E_TAG_INVALID);
    }
}

static void lengths_of_tags(void **state)
{
    (void)state;
    char tag[100000];
    memset(tag, 'a', sizeof tag);
    assert_int_equal(rs_tag_check((rs_str){tag, RS_TAG_MAX}, NULL), RS_OK);
    assert_int_equal(rs_tag_check((rs_str){tag, RS_TAG_MAX + 1}, NULL), RS_E_TAG_INVALID);
    struct rs_err err;
    assert_int_equal(rs_tag_check((rs_str){tag, sizeof tag}, &err), RS_E_TAG_INVALID);
    assert_non_null(strstr(err.text, "128")); /* the long tag does not push the reason out */
}

static void references(void **state)
{
    (void)state;
    rs_str digest = RS_STR("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct rs_reference ref;
    assert_int_equal(rs_reference_parse(RS_STR("v1"), &ref, NULL), RS_OK);
    assert_false(ref.is_digest);
    assert_true(rs_str_eq_c(ref.tag, "v1"));
    assert_int_equal(rs_reference_parse(digest, &ref, NULL), RS_OK);
    assert_true(ref.is_digest);
    assert_true(rs_str_eq(rs_digest_str(&ref.digest), digest));
    assert_int_equal(rs_reference_parse(RS_STR("sha256:12"), &ref, NULL), RS_E_DIGEST_INVALID);
    assert_int_equal(rs_reference_parse(RS_STR("a:b"), &ref, NULL), RS_E_DIGEST_INVALID);
    assert_int_equal(rs_reference_parse(RS_STR(""), &ref, NULL), RS_E_TAG_INVALID);
    assert_int_equal(rs_reference_parse(RS_STR("-x"), &ref, NULL), RS_E_TAG_INVALID);
    assert_true(ref.is_digest); /* as the last success left it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_names),       cmocka_unit_test(wrong_names), cmocka_unit_test(every_byte_in_a_name),
        cmocka_unit_test(lengths_of_names), cmocka_unit_test(tags),        cmocka_unit_test(every_byte_in_a_tag),
        cmocka_unit_test(lengths_of_tags),  cmocka_unit_test(references),  cmocka_unit_test(going_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
