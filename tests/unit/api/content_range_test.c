/* SPDX-License-Identifier: Apache-2.0 */
#include "api_test.h"

static void test_forms_that_clients_send(void **state)
{
    static const struct {
        const char *text;
        uint64_t first, last;
    } good[] = {
        {"0-0", 0, 0},         {"0-9", 0, 9},
        {"100-200", 100, 200}, {"bytes 5-9/10", 5, 9},
        {"bytes 5-9/*", 5, 9}, {"bytes 5-9", 5, 9},
        {"5-9/10", 5, 9},      {"9223372036854775805-9223372036854775806", 9223372036854775805u, 9223372036854775806u},
    };
    struct rs_content_range range;
    (void)state;

    for (size_t i = 0; i < RS_COUNT(good); i++) {
        assert_int_equal(rs_content_range_parse(rs_str_c(good[i].text), &range, NULL), RS_OK);
        assert_true(range.present);
        assert_true(range.first == good[i].first && range.last == good[i].last);
        assert_true(rs_content_range_length(&range) == good[i].last - good[i].first + 1);
    }
}

static void test_broken_forms(void **state)
{
    static const char *const bad[] = {
        "",
        "-",
        "5",
        "5-",
        "-5",
        "9-5",
        "a-b",
        "0x1-2",
        "+1-2",
        "1--2",
        "1-2-3",
        "bytes",
        "bytes=0-5",
        "bytes 0-5/",
        "bytes 0-5/5",
        "bytes */10",
        "items 0-5",
        "0 - 5",
        "0-5/ten",
        "bytes 0-5/6/7",
        "0-9223372036854775807",
        "0-99999999999999999999",
    };
    (void)state;

    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        struct rs_content_range range = {.first = 42};
        struct rs_err err = {0};
        assert_int_equal(rs_content_range_parse(rs_str_c(bad[i]), &range, &err), RS_E_BLOB_UPLOAD_INVALID);
        assert_true(range.first == 42 && !range.present);
        assert_non_null(strstr(err.text, "Content-Range"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_that_clients_send),
        cmocka_unit_test(test_broken_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
