/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk: a small tmpfs of our own (the tests run as root). Nothing is torn, and work goes on when there is room
 * again. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/mem.h"
#include "temp.h"

enum { FULL = 1 << 20 };
static char *bytes; /* FULL of them */

/* The storage's root is the mount; t->root stays the directory around it. */
static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    struct temp *t = *state;
    rs_storage_free(&t->storage);
    if (mount("tmpfs", t->root, "tmpfs", 0, "size=1m,nr_inodes=64") != 0) {
        fprintf(stderr, "cannot mount a tmpfs at %s: run the tests as root\n", t->root);
        return -1;
    }
    bytes = rs_malloc(FULL + 1);
    memset(bytes, 'x', FULL);
    bytes[FULL] = '\0';
    return rs_storage_fs_new(t->root, &t->storage, &t->err) == RS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct temp *t = *state;
    rs_storage_free(&t->storage);
    rs_free_ptr(&bytes);
    if (umount(t->root) != 0)
        return -1;
    return temp_teardown(state);
}

static rs_str part(size_t len)
{
    return (rs_str){bytes, len};
}

static void test_put(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/d/link", "old");
    assert_int_equal(rs_storage_put(t->storage, "/d/link", part(FULL), &t->batch, &t->err), RS_E_STORAGE_FULL);
    assert_int_equal(t->err.rc, RS_E_STORAGE_FULL);
    temp_assert_holds(t, "/d/link", "old");
    assert_int_equal(temp_leftovers(t), 0);
    /* What the failed one took is free again. */
    assert_int_equal(rs_storage_put(t->storage, "/d/big", part(FULL / 2), &t->batch, &t->err), RS_OK);
    temp_sync(t);
}

static void test_append(void **state)
{
    struct temp *t = *state;
    assert_int_equal(rs_storage_put(t->storage, "/ballast", part(FULL / 2), NULL, &t->err), RS_OK);
    struct rs_storage_file *file = temp_grow(t, "/up/data", "");
    enum { PIECE = 100000 };
    uint64_t size = 0;
    rs_rc rc;
    while ((rc = rs_storage_append(file, bytes, PIECE, &t->err)) == RS_OK)
        size += PIECE;
    assert_int_equal(rc, RS_E_STORAGE_FULL);
    assert_in_range(size, 3 * PIECE, FULL / 2);

    /* Nothing of the last piece is kept, so that what was counted (and hashed) is what is there. */
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_stat(t->storage, "/up/data", &st, &t->err), RS_OK);
    assert_int_equal(st.size, size);

    /* Room is made: the same file goes on, and is published whole. */
    assert_int_equal(rs_storage_remove(t->storage, "/ballast", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_append(file, "end", 3, &t->err), RS_OK);
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(rs_storage_stat(t->storage, "/blob/data", &st, &t->err), RS_OK);
    assert_int_equal(st.size, size + 3);
}

static void test_no_inodes(void **state)
{
    struct temp *t = *state;
    char path[40];
    rs_rc rc = RS_OK;
    int made = 0;
    for (; made < 100 && rc == RS_OK; made++) {
        snprintf(path, sizeof(path), "/d/%d", made);
        rc = rs_storage_put(t->storage, path, RS_STR("x"), NULL, &t->err);
    }
    assert_int_equal(rc, RS_E_STORAGE_FULL);
    assert_int_equal(rs_storage_put(t->storage, "/new/dir/f", RS_STR("x"), NULL, &t->err), RS_E_STORAGE_FULL);
    struct rs_storage_file *file = temp_grow(t, "/d/0", "y");
    assert_int_equal(rs_storage_append_create(t->storage, "/up", &t->err), RS_E_STORAGE_FULL);
    assert_int_equal(rs_storage_append_create(t->storage, "/up/data", &t->err), RS_E_STORAGE_FULL);
    assert_int_equal(rs_storage_publish(&file, "/new/dir/f", &t->batch, &t->err), RS_E_STORAGE_FULL);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/d/0", "xy");
    assert_int_equal(rs_storage_remove(t->storage, "/d/1", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(t->storage, "/d/1", RS_STR("x"), NULL, &t->err), RS_OK);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    /* Mounts of our own: they go with this process, however it ends. */
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        fprintf(stderr, "cannot have mounts of our own (%s): run the tests as root\n", strerrordesc_np(errno));
        return 1;
    }
    const struct CMUnitTest tests[] = {
        T(test_put),
        T(test_append),
        T(test_no_inodes),
    };
    return cmocka_run_group_tests_name("storage/full", tests, NULL, NULL);
}
