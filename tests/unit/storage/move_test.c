/* SPDX-License-Identifier: Apache-2.0 */
/* Moving, and listing all, as storage.h promises it of each driver. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "storage/faulty.h"
#include "temp.h"

static bool is_there(struct temp *t, const char *path)
{
    struct rs_storage_stat st;
    return rs_storage_stat(t->storage, path, &st, &t->err) == RS_OK;
}

/* --- move --- */

static rs_rc move(struct temp *t, const char *from, const char *to)
{
    return rs_storage_move(t->storage, from, to, &t->batch, &t->err);
}

static void test_moves_to_where_nothing_is(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/b/data", "x");
    temp_put(t, "/other", "y");
    assert_int_equal(move(t, "/a/b/data", "/new/place/data"), RS_OK);
    temp_sync(t);
    assert_false(is_there(t, "/a/b/data"));
    temp_assert_holds(t, "/new/place/data", "x");
    assert_int_equal(move(t, "/other", "/new/place/data"), RS_E_EXISTS);
    temp_assert_holds(t, "/other", "y");
    temp_assert_holds(t, "/new/place/data", "x");
    assert_int_equal(move(t, "/nothing", "/z"), RS_E_NOT_FOUND);
    assert_int_equal(move(t, "/new/place", "/z"), RS_E_NOT_FOUND); /* a directory */
    assert_int_equal(move(t, "/other/below", "/z"), RS_E_NOT_FOUND);
    assert_int_equal(move(t, "/other", "/new/place/data/below"), RS_E_IO);
    assert_false(is_there(t, "/z"));
    temp_assert_holds(t, "/other", "y");
}

/* A batch that is nearly full has room for both directories. */
static void test_many_moves_in_a_batch(void **state)
{
    struct temp *t = *state;
    char from[40], to[40];
    for (int i = 0; i < 50; i++) {
        snprintf(from, sizeof from, "/from/%d/x", i);
        snprintf(to, sizeof to, "/to/%d/x", i);
        temp_put_loose(t, from, "x");
        assert_int_equal(move(t, from, to), RS_OK);
        assert_in_range(t->batch.count, 0, RS_BATCH_MAX);
    }
    temp_sync(t);
    for (int i = 0; i < 50; i++) {
        snprintf(to, sizeof to, "/to/%d/x", i);
        temp_assert_holds(t, to, "x");
    }
}

struct mover {
    struct temp *t;
    int number;
    atomic_int moved;
};

static void *move_all(void *arg)
{
    struct mover *m = arg;
    char from[40], to[40];
    for (int i = 0; i < 100; i++) {
        snprintf(from, sizeof from, "/m/%d", i);
        snprintf(to, sizeof to, "/m%d/%d", m->number, i);
        if (rs_storage_move(m->t->storage, from, to, NULL, NULL) == RS_OK)
            atomic_fetch_add(&m->moved, 1);
    }
    return NULL;
}

static void test_one_of_several_movers_has_it(void **state)
{
    struct temp *t = *state;
    struct mover movers[3];
    pthread_t threads[3];
    int moved = 0;
    char path[40];
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/m/%d", i);
        temp_put_loose(t, path, "x");
    }
    for (int i = 0; i < 3; i++) {
        movers[i] = (struct mover){.t = t, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, move_all, &movers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        moved += atomic_load(&movers[i].moved);
    }
    assert_int_equal(moved, 100);
}

static bool count_name(void *ctx, rs_str name, bool is_directory)
{
    (void)name, (void)is_directory;
    ++*(int *)ctx;
    return true;
}

static void test_scans_all(void **state)
{
    struct temp *t = *state;
    int n = 0;
    temp_put_loose(t, "/d/a", "x");
    temp_put_loose(t, "/d/b/c", "x");
    assert_int_equal(rs_storage_scan_all(t->storage, "/d", count_name, &n, &t->err), RS_OK);
    assert_int_equal(n, 2);
    assert_int_equal(rs_storage_scan_all(t->storage, "/nothing", count_name, &n, &t->err), RS_E_NOT_FOUND);
}

static int setup_faulty(void **state)
{
    if (temp_setup_memory(state) != 0)
        return -1;
    struct temp *t = *state;
    rs_storage_faulty_new(rs_take(&t->storage), &t->storage);
    return 0;
}

#define T(test, setup) cmocka_unit_test_setup_teardown(test, setup, temp_teardown)
#define CASES(setup)                                                                                                   \
    T(test_moves_to_where_nothing_is, setup), T(test_many_moves_in_a_batch, setup),                                    \
        T(test_one_of_several_movers_has_it, setup), T(test_scans_all, setup)

int main(void)
{
    const struct CMUnitTest disk[] = {CASES(temp_setup)};
    const struct CMUnitTest memory[] = {CASES(temp_setup_memory)};
    const struct CMUnitTest faulty[] = {CASES(setup_faulty)};
    int failed = cmocka_run_group_tests_name("storage/move on disk", disk, NULL, NULL);
    failed += cmocka_run_group_tests_name("storage/move in memory", memory, NULL, NULL);
    return failed + cmocka_run_group_tests_name("storage/move in memory, wrapped", faulty, NULL, NULL);
}
