/* SPDX-License-Identifier: Apache-2.0 */
/* ROOT (fs_root.c): the root directory is removed, moved, made anew while the storage is in use. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "temp.h"

#define ASIDE_SUFFIX ".aside"

/* The root directory is moved away, with all that is in it. */
static void move_aside(struct temp *t)
{
    char aside[128];
    snprintf(aside, sizeof(aside), "%s" ASIDE_SUFFIX, t->root);
    assert_int_equal(rename(t->root, aside), 0);
}

/* Until it is gone: others may still be writing to it. */
static void remove_aside(struct temp *t)
{
    char command[256];
    snprintf(command, sizeof(command), "until rm -rf %s" ASIDE_SUFFIX " 2>/dev/null; do :; done", t->root);
    assert_int_equal(system(command), 0);
}

static void make_root(struct temp *t)
{
    assert_int_equal(mkdir(t->root, 0755), 0);
}

static bool count_entry(void *ctx, rs_str name, bool is_directory)
{
    (void)name, (void)is_directory;
    ++*(size_t *)ctx;
    return true;
}

/* Each call that may meet a missing root, one after the other. */
#define CALLS 7
static rs_rc call(struct temp *t, int number)
{
    struct rs_storage_stat st;
    struct rs_source source;
    struct rs_storage_file *file;
    uint64_t size;
    size_t n = 0;
    switch (number) {
    case 0:
        return rs_storage_stat(t->storage, "/d/file", &st, &t->err);
    case 1:
        return rs_storage_open(t->storage, "/d/file", &source, NULL, &t->err);
    case 2:
        return rs_storage_put(t->storage, "/d/file", RS_STR("x"), NULL, &t->err);
    case 3:
        return rs_storage_keep(t->storage, "/d/file", NULL, &t->err);
    case 4:
        return rs_storage_mkdir(t->storage, "/d/e", NULL, &t->err);
    case 5:
        return rs_storage_scan(t->storage, "/d", count_entry, &n, &t->err);
    default:
        return rs_storage_append_open(t->storage, "/d/up", &file, &size, &t->err);
    }
}

static void test_a_root_that_is_gone(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/file", "x");
    move_aside(t);
    remove_aside(t);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(call(t, i), RS_E_UNAVAILABLE);
        assert_non_null(strstr(t->err.text, t->root));
        assert_non_null(strstr(t->err.text, "gone"));
    }
    make_root(t);
}

/* Whatever call comes first finds it, says so once, and all goes on. */
static void test_a_root_that_is_made_anew(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < CALLS; i++) {
        temp_put(t, "/d/file", "x");
        temp_sync(t);
        move_aside(t);
        remove_aside(t);
        make_root(t);
        assert_int_equal(call(t, i), RS_E_UNAVAILABLE);
        assert_non_null(strstr(t->err.text, "used from now on"));
        struct rs_storage_stat st;
        assert_int_equal(rs_storage_stat(t->storage, "/d/file", &st, &t->err), RS_E_NOT_FOUND);
        temp_put(t, "/d/file", "x");
        temp_sync(t);
        assert_true(temp_exists(t, "/d/file"));
    }
}

/* The old directory lives on elsewhere: seen when something is missing. Nothing that was known of it is believed. */
static void test_a_root_that_is_exchanged(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    temp_put(t, "/d/file", "old");
    temp_sync(t);
    move_aside(t);
    make_root(t);
    char from[128];
    snprintf(from, sizeof(from), "%s" ASIDE_SUFFIX "/d", t->root);
    temp_assert_holds(t, "/d/file", "old");
    assert_int_equal(rs_storage_stat(t->storage, "/none", &st, &t->err), RS_E_UNAVAILABLE);
    assert_int_equal(rs_storage_stat(t->storage, "/none", &st, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rename(from, temp_path(t, "/d")), 0); /* not durable: nobody has synced the new root */
    uint64_t before = rs_storage_flushes(t->storage);
    assert_int_equal(rs_storage_keep(t->storage, "/d/file", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_true(rs_storage_flushes(t->storage) - before >= 3); /* the file, its directory, the root */
    remove_aside(t);
}

/* What was written below the old root is not acknowledged by a sync below the new. */
static void test_a_batch_belongs_to_one_root(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    temp_put(t, "/d/file", "x");
    move_aside(t);
    make_root(t);
    assert_int_equal(rs_storage_stat(t->storage, "/none", &st, &t->err), RS_E_UNAVAILABLE);
    assert_int_equal(rs_storage_sync(t->storage, &t->batch, &t->err), RS_E_UNAVAILABLE);
    rs_storage_batch_release(&t->batch);
    temp_put(t, "/d/file", "x");
    temp_sync(t);
    remove_aside(t);
}

/* --- threads --- */

struct user {
    struct temp *t;
    int number;
    const char *complaint;
};

static atomic_bool stop;

static void *use(void *arg)
{
    struct user *u = arg;
    char path[40];
    for (int i = 0; !atomic_load(&stop) && u->complaint == NULL; i++) {
        struct rs_err err = {0};
        struct rs_storage_batch batch;
        struct rs_storage_stat st;
        snprintf(path, sizeof(path), "/d/%d/%d", u->number, i % 10);
        rs_storage_batch_init(&batch);
        rs_rc rc = rs_storage_put(u->t->storage, path, RS_STR("x"), &batch, &err);
        if (rc == RS_OK)
            rc = rs_storage_sync(u->t->storage, &batch, &err);
        if (rc == RS_OK)
            rc = rs_storage_stat(u->t->storage, path, &st, &err);
        rs_storage_batch_release(&batch);
        /* IO: "its directory is removed", as the root was removed in the midst of a call. */
        if (rc != RS_OK && rc != RS_E_UNAVAILABLE && rc != RS_E_NOT_FOUND && rc != RS_E_IO)
            u->complaint = rs_rc_name(rc);
    }
    return NULL;
}

static void test_threads_go_on(void **state)
{
    struct temp *t = *state;
    struct user users[3];
    pthread_t threads[RS_COUNT(users)];
    atomic_store(&stop, false);
    for (size_t i = 0; i < RS_COUNT(users); i++) {
        users[i] = (struct user){.t = t, .number = (int)i};
        assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        move_aside(t);
        if (i % 2 == 0)
            temp_sleep_ms(5);
        make_root(t);
        remove_aside(t);
        temp_sleep_ms(20);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < RS_COUNT(users); i++) {
        pthread_join(threads[i], NULL);
        if (users[i].complaint != NULL)
            fail_msg("thread %zu: %s", i, users[i].complaint);
    }
    temp_sleep_ms(150); /* the next look is due */
    struct rs_storage_stat st;
    rs_storage_stat(t->storage, "/none", &st, &t->err);
    temp_put(t, "/d/file", "x");
    temp_sync(t);
    assert_true(temp_exists(t, "/d/file"));
}

#define T(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_root_that_is_gone),
        T(test_a_root_that_is_made_anew),
        T(test_a_root_that_is_exchanged),
        T(test_a_batch_belongs_to_one_root),
        T(test_threads_go_on),
    };
    return cmocka_run_group_tests_name("storage/root", tests, NULL, NULL);
}
