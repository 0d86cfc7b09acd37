/* SPDX-License-Identifier: Apache-2.0 */
/* The table of blobs that were seen. */
#include "checked.h"

#include <unistd.h>

#include "upkeep/check_seen.h"

static struct rs_digest number(unsigned i)
{
    struct rs_digest digest;
    rs_digest_of(i % 2 == 0 ? RS_SHA256 : RS_SHA512, &i, sizeof i, &digest);
    return digest;
}

static void test_it_grows_and_forgets_nothing(void **state)
{
    (void)state;
    uint64_t blobs = 0, bytes = 0;
    struct check_seen *s = check_seen_new("/tmp");
    assert_non_null(s);
    for (unsigned i = 0; i < 20000; i++) {
        struct rs_digest digest = number(i);
        check_seen_blob(s, &digest, i);
        check_seen_blob(s, &digest, i);
        if (i % 7 == 0)
            check_seen_corrupt(s, &digest);
        if (i % 3 != 0)
            check_seen_linked(s, &digest);
    }
    struct rs_digest other = number(20000);
    check_seen_linked(s, &other); /* nobody knows it */
    assert_false(check_seen_is_corrupt(s, &other));
    assert_true(check_seen_unlinked(s, &blobs, &bytes));
    uint64_t expected_bytes = 0, expected = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct rs_digest digest = number(i);
        assert_int_equal(check_seen_is_corrupt(s, &digest), i % 7 == 0);
        expected += i % 3 == 0;
        expected_bytes += i % 3 == 0 ? i : 0;
    }
    assert_int_equal(blobs, expected);
    assert_int_equal(bytes, expected_bytes);
    check_seen_free(&s);
    assert_null(s);
}

static void test_what_is_gone_counts_no_more(void **state)
{
    (void)state;
    uint64_t blobs, bytes;
    struct rs_digest digest = number(1);
    struct check_seen *s = check_seen_new("/tmp");
    check_seen_blob(s, &digest, 5);
    check_seen_corrupt(s, &digest);
    check_seen_gone(s, &digest);
    assert_false(check_seen_is_corrupt(s, &digest));
    assert_true(check_seen_unlinked(s, &blobs, &bytes));
    assert_int_equal(blobs, 0);
    check_seen_free(&s);
}

static void test_without_a_directory_nothing_is_known(void **state)
{
    (void)state;
    uint64_t blobs, bytes;
    struct rs_digest digest = number(1);
    struct check_seen *s = check_seen_new("/nonexistent/directory");
    assert_null(s);
    check_seen_blob(s, &digest, 1);
    check_seen_linked(s, &digest);
    assert_false(check_seen_is_corrupt(s, &digest));
    assert_false(check_seen_unlinked(s, &blobs, &bytes));
    check_seen_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_grows_and_forgets_nothing),
        cmocka_unit_test(test_what_is_gone_counts_no_more),
        cmocka_unit_test(test_without_a_directory_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
