/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of digests: in memory, beyond it, and where there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upkeep/digest_set.h"

#define MANY 60000

static struct rs_err err;

static struct rs_digest_key key_of(uint64_t i)
{
    return (struct rs_digest_key){{i % 7, 4711, i, 0}}; /* as like each other as a stranger can make them */
}

static void holds_what_was_added(void **state)
{
    (void)state;
    struct rs_digest_set set;
    bool is_new;
    rs_digest_set_init(&set, "/tmp");
    for (uint64_t i = 0; i < MANY; i++) {
        const struct rs_digest_key key = key_of(2 * i);
        assert_int_equal(rs_digest_set_add(&set, &key, &is_new, &err), RS_OK);
        assert_true(is_new);
        assert_int_equal(rs_digest_set_add(&set, &key, &is_new, &err), RS_OK);
        assert_false(is_new);
    }
    assert_int_equal(set.count, MANY);
    assert_true(set.region.fd >= 0); /* a file by now */
    for (uint64_t i = 0; i < 2 * MANY; i++) {
        const struct rs_digest_key key = key_of(i);
        assert_int_equal(rs_digest_set_has(&set, &key), i % 2 == 0);
    }
    rs_digest_set_clear(&set);
    const struct rs_digest_key first = key_of(0);
    assert_false(rs_digest_set_has(&set, &first));
    assert_int_equal(set.count, 0);
    rs_digest_set_release(&set);
}

static void zeroes_are_a_key_too(void **state)
{
    (void)state;
    struct rs_digest_set set;
    const struct rs_digest_key zero = {{0}};
    rs_digest_set_init(&set, NULL);
    assert_false(rs_digest_set_has(&set, &zero));
    assert_int_equal(rs_digest_set_add(&set, &zero, NULL, &err), RS_OK);
    assert_true(rs_digest_set_has(&set, &zero));
    assert_int_equal(set.count, 1);
    rs_digest_set_clear(&set);
    assert_false(rs_digest_set_has(&set, &zero));
    rs_digest_set_release(&set);
}

static void no_room_is_an_error(void **state)
{
    (void)state;
    struct rs_digest_set set;
    rs_rc rc = RS_OK;
    uint64_t i;
    rs_digest_set_init(&set, "/nowhere/at/all");
    for (i = 0; i < MANY && rc == RS_OK; i++) {
        const struct rs_digest_key key = key_of(i);
        rc = rs_digest_set_add(&set, &key, NULL, &err);
    }
    assert_int_not_equal(rc, RS_OK);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    const struct rs_digest_key first = key_of(0);
    assert_true(rs_digest_set_has(&set, &first)); /* as it was */
    rs_digest_set_release(&set);
}

static void lists_keep_their_order(void **state)
{
    (void)state;
    struct rs_region_list list;
    rs_region_list_init(&list, "/tmp", sizeof(uint64_t));
    for (uint64_t i = 0; i < 4 * MANY; i++)
        assert_int_equal(rs_region_list_add(&list, &i, &err), RS_OK);
    for (uint64_t i = 0; i < 4 * MANY; i++)
        assert_true(*(uint64_t *)rs_region_list_at(&list, i) == i);
    rs_region_list_release(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_added),
        cmocka_unit_test(zeroes_are_a_key_too),
        cmocka_unit_test(no_room_is_an_error),
        cmocka_unit_test(lists_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
