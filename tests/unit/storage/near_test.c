/* SPDX-License-Identifier: Apache-2.0 */
/* NEAR (fs_near.c): looks below an announced directory say what looks from the root would. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp.h"

#define NEAR "/a/b"

static rs_rc look(struct temp *t, const char *path, struct rs_storage_stat *st)
{
    return rs_storage_stat(t->storage, path, st, &t->err);
}

static uint64_t size_of(struct temp *t, const char *path)
{
    struct rs_storage_stat st;
    assert_int_equal(look(t, path, &st), RS_OK);
    return st.size;
}

static void test_what_is_made_later_is_found(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    rs_storage_near(t->storage, NEAR);
    assert_int_equal(look(t, NEAR "/c", &st), RS_E_NOT_FOUND);
    temp_put_loose(t, NEAR "/c", "one");
    assert_int_equal(size_of(t, NEAR "/c"), 3);
    temp_sleep_ms(1100); /* now from the announced directory */
    assert_int_equal(size_of(t, NEAR "/c"), 3);
    temp_put_loose(t, NEAR "/d/e", "three");
    assert_int_equal(size_of(t, NEAR "/d/e"), 5);
    temp_put_loose(t, NEAR "x", "no child");
    assert_int_equal(size_of(t, NEAR "x"), 8);
}

static void test_stamps_and_removals_are_the_same(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat far, near;
    temp_put_loose(t, NEAR "/c", "one");
    temp_sleep_ms(50);
    assert_int_equal(look(t, NEAR "/c", &far), RS_OK);
    rs_storage_near(t->storage, NEAR);
    assert_int_equal(look(t, NEAR "/c", &near), RS_OK);
    assert_int_not_equal(far.stamp, 0);
    assert_int_equal(far.stamp, near.stamp);
    assert_int_equal(unlink(temp_path(t, NEAR "/c")), 0);
    assert_int_equal(look(t, NEAR "/c", &near), RS_E_NOT_FOUND);
}

static void test_a_directory_that_was_replaced_is_noticed(void **state)
{
    struct temp *t = *state;
    char aside[PATH_MAX];
    snprintf(aside, sizeof aside, "%s", temp_path(t, "/aside"));
    rs_storage_near(t->storage, NEAR);
    temp_put_loose(t, NEAR "/c", "one");
    assert_int_equal(size_of(t, NEAR "/c"), 3);
    assert_int_equal(rename(temp_path(t, "/a"), aside), 0);
    temp_put_loose(t, NEAR "/c", "three");
    temp_put_loose(t, NEAR "/new", "four");
    assert_int_equal(size_of(t, NEAR "/new"), 4); /* what is missing there is looked for from the root */
    temp_sleep_ms(1100);
    assert_int_equal(size_of(t, NEAR "/c"), 5);
}

static atomic_bool stop;

static void *look_all_the_time(void *arg)
{
    struct temp *t = arg;
    struct rs_storage_stat st;
    struct rs_err err;
    size_t wrong = 0;
    while (!atomic_load(&stop))
        wrong += rs_storage_stat(t->storage, NEAR "/c", &st, &err) != RS_OK || st.size != 3;
    return (void *)wrong;
}

/* The descriptor is opened anew while others use it. */
static void test_threads(void **state)
{
    struct temp *t = *state;
    pthread_t threads[4];
    void *wrong;
    rs_storage_near(t->storage, NEAR);
    temp_put_loose(t, NEAR "/c", "one");
    atomic_store(&stop, false);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_all_the_time, t), 0);
    temp_sleep_ms(2500);
    atomic_store(&stop, true);
    for (size_t i = 0; i < RS_COUNT(threads); i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_made_later_is_found, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_stamps_and_removals_are_the_same, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_that_was_replaced_is_noticed, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_threads, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
