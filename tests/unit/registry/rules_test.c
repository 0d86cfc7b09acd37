/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/mem.h"
#include "registry/rules.h"

static bool allowed(const struct rs_manifest_rules *from, const char *url)
{
    struct rs_err err;
    struct rs_rules *rules = NULL;
    rs_str urls[] = {RS_STR("https://good.example/1"), rs_str_c(url)};
    struct rs_descriptor d = {.role = RS_ROLE_LAYER, .urls = urls, .url_count = RS_COUNT(urls)};
    if (rs_rules_new(from, &rules, &err) != RS_OK)
        fail_msg("%s", err.text);
    rs_rc rc = rs_rules_check_urls(rules, &d, &err);
    assert_true(rc == RS_OK || rc == RS_E_MANIFEST_INVALID);
    if (rc != RS_OK && url[0] != '\0')
        assert_non_null(strstr(err.text, url));
    rs_rules_free(&rules);
    return rc == RS_OK;
}

static void without_patterns_all_is_allowed(void **state)
{
    (void)state;
    const struct rs_manifest_rules none = {0};
    assert_true(allowed(&none, "https://a/b"));
    assert_true(allowed(&none, "ftp://a/b#c d"));
    assert_true(allowed(&none, ""));
}

static void patterns_decide(void **state)
{
    (void)state;
    static const char *const allow[] = {"^https://good\\.example/", "^http://other\\.example(:\\d+)?/"};
    static const char *const deny[] = {"secret", "(?i)EVIL"};
    const struct rs_manifest_rules both = {
        .url_allow = allow, .url_allow_count = 2, .url_deny = deny, .url_deny_count = 2};
    const struct rs_manifest_rules only_deny = {.url_deny = deny, .url_deny_count = 2};
    assert_true(allowed(&both, "https://good.example/x"));
    assert_true(allowed(&both, "http://other.example:8080/x"));
    assert_false(allowed(&both, "https://good.example.org/x"));
    assert_false(allowed(&both, "https://good.example/secret"));
    assert_false(allowed(&both, "https://good.example/#x"));
    assert_false(allowed(&both, "https://good.example/a b"));
    assert_true(allowed(&only_deny, "HTTPS://anywhere/x"));
    assert_false(allowed(&only_deny, "https://evil/x"));
    assert_false(allowed(&only_deny, "ftp://anywhere/x"));
    assert_false(allowed(&only_deny, "file:///etc/passwd"));
    assert_false(allowed(&only_deny, ""));
}

static void what_takes_too_long_is_refused(void **state)
{
    (void)state;
    static const char *const slow[] = {"^https://(a+)+(a+)+$"};
    const struct rs_manifest_rules deny = {.url_deny = slow, .url_deny_count = 1};
    const char *url = "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    assert_false(allowed(&deny, url));
}

static void a_broken_pattern_is_told(void **state)
{
    (void)state;
    static const char *const broken[] = {"fine", "("};
    struct rs_rules *rules = NULL;
    struct rs_err err;
    const struct rs_manifest_rules deny = {.url_deny = broken, .url_deny_count = 2};
    const struct rs_manifest_rules allow = {.url_allow = broken, .url_allow_count = 2};
    assert_int_equal(rs_rules_new(&deny, &rules, &err), RS_E_CONFIG);
    assert_int_equal(err.rc, RS_E_CONFIG);
    assert_int_equal(rs_rules_new(&allow, &rules, NULL), RS_E_CONFIG);
    assert_null(rules);
}

static bool needs(const struct rs_manifest_rules *from, enum rs_descriptor_role role, const char *os,
                  const char *architecture)
{
    struct rs_rules *rules = NULL;
    const struct rs_descriptor d = {.role = role, .os = rs_str_c(os), .architecture = rs_str_c(architecture)};
    assert_int_equal(rs_rules_new(from, &rules, NULL), RS_OK);
    bool needed = rs_rules_need(rules, &d);
    rs_rules_free(&rules);
    return needed;
}

static void what_an_index_needs(void **state)
{
    (void)state;
    static const struct rs_platform platforms[] = {{"linux", "amd64"}, {"linux", "arm64"}};
    const struct rs_manifest_rules all = {.index = RS_INDEX_ALL}, none = {.index = RS_INDEX_NONE};
    const struct rs_manifest_rules list = {.index = RS_INDEX_LIST, .platforms = platforms, .platform_count = 2};
    const struct rs_manifest_rules empty = {.index = RS_INDEX_LIST};
    assert_true(needs(&all, RS_ROLE_MANIFEST, "linux", "amd64"));
    assert_false(needs(&none, RS_ROLE_MANIFEST, "linux", "amd64"));
    assert_true(needs(&list, RS_ROLE_MANIFEST, "linux", "arm64"));
    assert_false(needs(&list, RS_ROLE_MANIFEST, "windows", "amd64"));
    assert_false(needs(&list, RS_ROLE_MANIFEST, "linux", "s390x"));
    assert_false(needs(&list, RS_ROLE_MANIFEST, "", ""));
    assert_true(needs(&empty, RS_ROLE_MANIFEST, "linux", "s390x"));
    assert_true(needs(&none, RS_ROLE_LAYER, "", ""));
    assert_true(needs(&none, RS_ROLE_CONFIG, "", ""));
    assert_true(needs(&list, RS_ROLE_LAYER, "", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_patterns_all_is_allowed),
        cmocka_unit_test(patterns_decide),
        cmocka_unit_test(what_takes_too_long_is_refused),
        cmocka_unit_test(a_broken_pattern_is_told),
        cmocka_unit_test(what_an_index_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
