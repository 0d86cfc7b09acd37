/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning, as only the disk has it; what holds for each driver is in contract_test.c. */
#include <stdio.h>
#include <unistd.h>

#include "temp.h"

static void prune(struct temp *t, const char *path, unsigned levels)
{
    assert_int_equal(rs_storage_prune(t->storage, path, levels, &t->batch, &t->err), RS_OK);
}

/* Thousands of tags that go together cost one sync of the directory that held them. */
static void test_a_directory_is_synced_once_a_batch(void **state)
{
    struct temp *t = *state;
    char path[40];
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/tags/%d/current/link", i);
        temp_put_loose(t, path, "x");
    }
    temp_sync(t);
    uint64_t before = rs_storage_flushes(t->storage);
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/tags/%d/current/link", i);
        assert_int_equal(rs_storage_remove(t->storage, path, NULL, &t->err), RS_OK);
        snprintf(path, sizeof(path), "/tags/%d/current", i);
        prune(t, path, 2);
    }
    assert_int_equal(t->batch.count, 1);
    temp_sync(t);
    assert_true(rs_storage_flushes(t->storage) - before <= 5); /* with those above it that were not known */
}

static void test_a_link_of_the_operator_stays(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/elsewhere/x", "x");
    temp_put_loose(t, "/d/f", "x");
    assert_int_equal(symlink("../elsewhere", temp_path(t, "/d/link")), 0);
    prune(t, "/d/link", 1);
    assert_true(temp_exists(t, "/d/link"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_directory_is_synced_once_a_batch, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_a_link_of_the_operator_stays, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
