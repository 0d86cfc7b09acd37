/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that grow, and publishing them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "temp.h"

/* --- the kernel as the tests want it: these take the place of libc's --- */

static _Thread_local bool fail_fsync;
static bool without_renameat2;

int fsync(int fd)
{
    (void)fd;
    errno = EIO;
    return fail_fsync ? -1 : 0;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    struct stat st;
    errno = EINVAL;
    if (without_renameat2)
        return -1;
    errno = EEXIST;
    if (flags == RENAME_NOREPLACE && fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -1;
    return renameat(from_fd, from, to_fd, to);
}

static int setup(void **state)
{
    fail_fsync = false;
    without_renameat2 = false;
    return temp_setup(state);
}

/* --- growing --- */

static void test_large_appends_start_writeback(void **state)
{
    struct temp *t = *state;
    enum { PIECE = 3 << 20 };
    char *piece = rs_malloc(PIECE);
    struct rs_storage_file *file = temp_grow(t, "/up/data", "");
    for (int i = 0; i < 7; i++) {
        memset(piece, 'a' + i, PIECE);
        assert_int_equal(rs_storage_append(file, piece, PIECE, &t->err), RS_OK);
    }
    size_t n;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(rs_storage_append_read(file, (uint64_t)i * PIECE + PIECE - 1, piece, 1, &n, &t->err), RS_OK);
        assert_int_equal(piece[0], 'a' + i);
    }
    free(piece);
    rs_storage_append_close(&file);
}

static void test_one_writer_at_a_time(void **state)
{
    struct temp *t = *state;
    struct rs_storage *other = NULL;
    struct rs_storage_file *second = NULL;
    uint64_t size;
    assert_int_equal(rs_storage_fs_new(t->root, &other, &t->err), RS_OK);
    struct rs_storage_file *file = temp_grow(t, "/up/data", "x");
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &second, &size, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_append_open(other, "/up/data", &second, &size, &t->err), RS_E_BUSY);
    assert_null(second);
    rs_storage_append_close(&file);
    assert_int_equal(rs_storage_append_open(other, "/up/data", &second, &size, &t->err), RS_OK);
    rs_storage_append_close(&second);
    rs_storage_free(&other);
}

static void test_a_writer_that_dies_lets_go(void **state)
{
    struct temp *t = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        temp_grow(t, "/up/data", "written by the child");
        RS_ASSERT(write(ready[1], "x", 1) == 1);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct rs_storage_file *file = NULL;
    uint64_t size = 0;
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_E_BUSY);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_OK);
    assert_int_equal(size, 20);
    rs_storage_append_close(&file);
    close(ready[0]);
    close(ready[1]);
}

static void test_what_has_a_second_name_is_not_appended_to(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = temp_grow(t, "/up/data", "blob");
    rs_storage_append_close(&file);
    /* A crash between the two steps of a publish on a file system without renameat2. */
    assert_int_equal(link(temp_path(t, "/up/data"), temp_path(t, "/blob")), 0);
    uint64_t size;
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_E_NOT_FOUND);
    assert_null(file);
    temp_assert_holds(t, "/blob", "blob");
}

static void test_open_makes_nothing(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_E_NOT_FOUND);
    assert_false(temp_exists(t, "/up"));
    file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_append_create(t->storage, "/up/data", &t->err), RS_OK);
    temp_assert_holds(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_E_NOT_FOUND);
    assert_false(temp_exists(t, "/up/data"));
    assert_null(file);
}

static void test_only_a_file_grows(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    temp_put_loose(t, "/up/dir/x", "x");
    assert_int_equal(mkfifo(temp_path(t, "/up/fifo"), 0600), 0);
    alarm(20); /* instead of waiting for the other end for ever */
    assert_int_equal(rs_storage_append_open(t->storage, "/up/fifo", &file, &size, &t->err), RS_E_CORRUPT);
    assert_int_equal(rs_storage_append_open(t->storage, "/up/dir", &file, &size, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_append_create(t->storage, "/up/fifo", &t->err), RS_E_IO);
    alarm(0);
    assert_null(file);
}

/* --- whom to trust --- */

static bool trusted(struct temp *t, const char *path)
{
    struct rs_storage_file *file = NULL;
    uint64_t size;
    assert_int_equal(rs_storage_append_open(t->storage, path, &file, &size, &t->err), RS_OK);
    bool answer = rs_storage_append_trusted(file);
    rs_storage_append_close(&file);
    return answer;
}

static void set_mtime(struct temp *t, const char *path, time_t seconds)
{
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, temp_path(t, path), times, 0), 0);
}

static void test_bytes_from_before_the_start_are_not_trusted(void **state)
{
    struct temp *t = *state;
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    struct rs_storage_file *file = temp_grow(t, "/up/empty", "");
    rs_storage_append_close(&file);
    assert_true(trusted(t, "/up/empty"));
    file = temp_grow(t, "/up/data", "x");
    rs_storage_append_close(&file);
    assert_true(trusted(t, "/up/data"));
    set_mtime(t, "/up/data", time(NULL) - up.tv_sec - 5);
    assert_false(trusted(t, "/up/data"));
    set_mtime(t, "/up/data", time(NULL) - up.tv_sec + 5);
    assert_true(trusted(t, "/up/data"));
    set_mtime(t, "/up/data", time(NULL) + 60);
    assert_false(trusted(t, "/up/data"));
}

/* --- publishing --- */

static void test_publish_moves(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 2; i++) {
        without_renameat2 = i == 1;
        const char *to = i == 0 ? "/blobs/ab/abc/data" : "/blobs/cd/cde/data";
        struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
        ino_t inode = temp_inode(t, "/up/data");
        assert_int_equal(rs_storage_publish(&file, to, &t->batch, &t->err), RS_OK);
        assert_null(file);
        temp_sync(t);
        temp_assert_holds(t, to, "content");
        assert_int_equal(temp_inode(t, to), inode);
        assert_false(temp_exists(t, "/up/data"));
    }
}

static void test_publish_keeps_what_is_there(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 2; i++) {
        without_renameat2 = i == 1;
        temp_put_loose(t, "/blob/data", "content");
        ino_t inode = temp_inode(t, "/blob/data");
        struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
        assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
        assert_int_equal(temp_inode(t, "/blob/data"), inode);
        assert_false(temp_exists(t, "/up/data"));
        /* The one that is there has to be made durable as well: its directory is in the batch. */
        assert_int_equal(t->batch.count, 1);
        assert_string_equal(t->batch.pending[0].directory, "/blob");
        temp_sync(t);
    }
}

static void test_publish_replaces_what_is_torn(void **state)
{
    struct temp *t = *state;
    static const char *const torn[] = {"", "cont", "content and more"};
    for (size_t i = 0; i < RS_COUNT(torn); i++) {
        temp_put_loose(t, "/blob/data", torn[i]);
        struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
        assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
        temp_assert_holds(t, "/blob/data", "content");
        assert_false(temp_exists(t, "/up/data"));
        assert_int_equal(t->batch.count, 1);
        temp_sync(t);
    }
}

static void test_bytes_that_could_not_be_synced_are_given_up(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    fail_fsync = true;
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_E_IO);
    fail_fsync = false;
    assert_non_null(file);
    assert_false(temp_exists(t, "/blob/data"));
    assert_false(temp_exists(t, "/up/data"));
    /* A second sync of the same file would succeed, and prove nothing. */
    assert_int_equal(rs_storage_append(file, "x", 1, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_E_IO);
    rs_storage_append_close(&file);
    assert_false(temp_exists(t, "/blob/data"));
    assert_int_equal(t->batch.count, 0);
}

static void test_put_that_could_not_be_synced_changes_nothing(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/link", "old");
    fail_fsync = true;
    assert_int_equal(rs_storage_put(t->storage, "/d/link", RS_STR("new"), &t->batch, &t->err), RS_E_IO);
    fail_fsync = false;
    temp_assert_holds(t, "/d/link", "old");
    assert_int_equal(temp_leftovers(t), 0);
    assert_int_equal(t->batch.count, 0);
}

/* --- many publish the same --- */

struct publisher {
    struct temp *t;
    struct rs_storage *storage;
    int number;
    bool failed;
};

static void *publish_often(void *arg)
{
    struct publisher *p = arg;
    for (int i = 0; i < 50 && !p->failed; i++) {
        struct rs_err err;
        struct rs_storage_batch batch;
        struct rs_storage_file *file = NULL;
        uint64_t size;
        char from[40], to[40];
        snprintf(from, sizeof(from), "/up/%d/%d", p->number, i);
        snprintf(to, sizeof(to), "/blobs/%d/data", i);
        rs_storage_batch_init(&batch);
        p->failed = rs_storage_append_create(p->storage, from, &err) != RS_OK ||
                    rs_storage_append_open(p->storage, from, &file, &size, &err) != RS_OK ||
                    rs_storage_append(file, "content", 7, &err) != RS_OK ||
                    rs_storage_publish(&file, to, &batch, &err) != RS_OK ||
                    rs_storage_sync(p->storage, &batch, &err) != RS_OK;
        rs_storage_append_close(&file);
        rs_storage_batch_release(&batch);
    }
    return NULL;
}

static void test_many_publish_the_same(void **state)
{
    struct temp *t = *state;
    struct rs_storage *other = NULL;
    assert_int_equal(rs_storage_fs_new(t->root, &other, &t->err), RS_OK);
    struct publisher publishers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        publishers[i] = (struct publisher){.t = t, .storage = i % 2 ? other : t->storage, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, publish_often, &publishers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(publishers[i].failed);
    }
    rs_storage_free(&other);
    for (int i = 0; i < 50; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/blobs/%d/data", i);
        temp_assert_holds(t, path, "content");
        for (int p = 0; p < 4; p++) {
            snprintf(path, sizeof(path), "/up/%d/%d", p, i);
            assert_false(temp_exists(t, path));
        }
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_large_appends_start_writeback),
        T(test_one_writer_at_a_time),
        T(test_a_writer_that_dies_lets_go),
        T(test_what_has_a_second_name_is_not_appended_to),
        T(test_open_makes_nothing),
        T(test_only_a_file_grows),
        T(test_bytes_from_before_the_start_are_not_trusted),
        T(test_publish_moves),
        T(test_publish_keeps_what_is_there),
        T(test_publish_replaces_what_is_torn),
        T(test_bytes_that_could_not_be_synced_are_given_up),
        T(test_put_that_could_not_be_synced_changes_nothing),
        T(test_many_publish_the_same),
    };
    return cmocka_run_group_tests_name("storage/append", tests, NULL, NULL);
}
