/* SPDX-License-Identifier: Apache-2.0 */
#include "api_test.h"
#include "base/clock.h"

static void check(const char *secret, const struct rs_upload_state *upload, const char *expected)
{
    struct rs_buf out;

    rs_buf_init(&out, 4096);
    rs_upload_state_encode(&out, rs_str_c(secret), upload);
    assert_str(rs_buf_str(&out), expected);
    rs_buf_release(&out);
}

/* Seen from docker-registry 2.8.2 with http.secret "asecret", after PATCH of 1000 and of 6 bytes. */
static void test_as_registry2(void **state)
{
    struct rs_upload_state upload = {
        .name = RS_STR("a"), .uuid = RS_STR("52698354-a257-4e05-b428-3da6b55232f5"), .offset = 1000};
    (void)state;

    assert_true(rs_rfc3339_parse(RS_STR("2026-11-20T16:01:46Z"), &upload.started_s));
    check("asecret", &upload,
          "J2YYI1viyY91QQhtkmkuF5ZhrBBRzF9a8UxO_xfknIl7Ik5hbWUiOiJhIiwiVVVJRCI6IjUyNjk4MzU0LWEyNTctNGUwNS1iNDI4LTNk"
          "YTZiNTUyMzJmNSIsIk9mZnNldCI6MTAwMCwiU3RhcnRlZEF0IjoiMjAyNi0xMS0yMFQxNjowMTo0NloifQ%3D%3D");
    upload.uuid = RS_STR("5f59a84f-b0ab-4ee5-a2b7-1fc73519fdf4");
    upload.offset = 6;
    assert_true(rs_rfc3339_parse(RS_STR("2026-11-20T16:01:11Z"), &upload.started_s));
    check("asecret", &upload,
          "jCnVA9a5euBZ8qbZ20wQVmNFQFWJHEgFVukVzKalj5Z7Ik5hbWUiOiJhIiwiVVVJRCI6IjVmNTlhODRmLWIwYWItNGVlNS1hMmI3LTFm"
          "YzczNTE5ZmRmNCIsIk9mZnNldCI6NiwiU3RhcnRlZEF0IjoiMjAyNi0xMS0yMFQxNjowMToxMVoifQ%3D%3D");
}

static void test_longest_name(void **state)
{
    char name[256];
    struct rs_upload_state upload = {.uuid = RS_STR("52698354-a257-4e05-b428-3da6b55232f5"), .offset = UINT64_MAX};
    struct rs_buf out;
    (void)state;

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    upload.name = rs_str_c(name);
    rs_buf_init(&out, 4096);
    rs_upload_state_encode(&out, RS_STR("s"), &upload);
    assert_false(out.overflow);
    assert_true(out.len > 500);
    rs_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_registry2),
        cmocka_unit_test(test_longest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
