/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, and objects of the local disk. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "temp.h"

/* --- paths --- */

static void test_root_is_no_object(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_stat(t->storage, "/", &st, &t->err), RS_OK);
    assert_true(st.is_directory);
    assert_int_equal(rs_storage_put(t->storage, "/", RS_STR("x"), NULL, &t->err), RS_E_INVALID);
    assert_int_equal(rs_storage_remove(t->storage, "/", NULL, &t->err), RS_E_INVALID);
    assert_true(temp_exists(t, "/"));
}

/* --- the root directory --- */

static void test_root_is_made(void **state)
{
    struct temp *t = *state;
    struct rs_storage *storage = NULL;
    assert_int_equal(rs_storage_fs_new(temp_path(t, "/new/deep/root"), &storage, &t->err), RS_OK);
    assert_string_equal(rs_storage_name(storage), "filesystem");
    assert_int_equal(rs_storage_put(storage, "/x", RS_STR("1"), NULL, &t->err), RS_OK);
    rs_storage_free(&storage);
    assert_null(storage);
    assert_true(temp_exists(t, "/new/deep/root/x"));
}

static void test_root_that_cannot_be(void **state)
{
    struct temp *t = *state;
    struct rs_storage *storage = NULL;
    temp_write(t, "/file", "x");
    assert_int_equal(rs_storage_fs_new(temp_path(t, "/file"), &storage, &t->err), RS_E_CONFIG);
    assert_int_equal(t->err.rc, RS_E_CONFIG);
    assert_int_equal(rs_storage_fs_new(temp_path(t, "/file/below"), &storage, &t->err), RS_E_CONFIG);
    assert_non_null(strstr(t->err.text, "/file/below"));
    assert_int_equal(rs_storage_fs_new("", &storage, &t->err), RS_E_CONFIG);
    assert_null(storage);
}

/* Whoever opens a FIFO waits for its other end, for ever. */
static void test_a_fifo_holds_nobody(void **state)
{
    struct temp *t = *state;
    struct rs_source source;
    RS_AUTO(rs_buf_release) struct rs_buf buf;
    rs_buf_init(&buf, 100);
    assert_int_equal(mkfifo(temp_path(t, "/fifo"), 0600), 0);
    alarm(20);
    assert_int_equal(rs_storage_read(t->storage, "/fifo", &buf, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_open(t->storage, "/fifo", &source, NULL, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_keep(t->storage, "/fifo", &t->batch, &t->err), RS_E_NOT_FOUND);
    alarm(0);
    temp_put_loose(t, "/fifo", "x"); /* and it is replaced like anything else */
    temp_assert_holds(t, "/fifo", "x");
}

static void test_links_in_a_circle_lead_nowhere(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    struct rs_source source;
    assert_int_equal(symlink("b", temp_path(t, "/a")), 0);
    assert_int_equal(symlink("a", temp_path(t, "/b")), 0);
    assert_int_equal(rs_storage_stat(t->storage, "/a", &st, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_open(t->storage, "/a/b/c", &source, NULL, &t->err), RS_E_NOT_FOUND);
    assert_non_null(strstr(t->err.text, "circle"));
}

static unsigned mode_of(struct temp *t, const char *path)
{
    struct stat st;
    assert_int_equal(stat(temp_path(t, path), &st), 0);
    return st.st_mode & 07777;
}

static void test_modes_are_those_of_registry2(void **state)
{
    struct temp *t = *state;
    mode_t before = umask(0);
    temp_put_loose(t, "/open/file", "x");
    struct rs_storage_file *file = temp_grow(t, "/open/grown", "x");
    rs_storage_append_close(&file);
    umask(027);
    temp_put_loose(t, "/closed/file", "x");
    umask(before);
    assert_int_equal(mode_of(t, "/open"), 0777);
    assert_int_equal(mode_of(t, "/open/file"), 0666);
    assert_int_equal(mode_of(t, "/open/grown"), 0666);
    assert_int_equal(mode_of(t, "/closed"), 0750);
    assert_int_equal(mode_of(t, "/closed/file"), 0640);
}

/* --- objects --- */

static void test_put_and_read(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/b/c/link", "sha256:0123");
    temp_assert_holds(t, "/a/b/c/link", "sha256:0123");
    temp_put(t, "/a/b/c/link", "other, longer than the first");
    temp_assert_holds(t, "/a/b/c/link", "other, longer than the first");
    temp_put(t, "/a/b/c/link", "");
    temp_assert_holds(t, "/a/b/c/link", "");
    assert_int_equal(temp_leftovers(t), 0);
}

static uint64_t stamp(struct temp *t, const char *path)
{
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_stat(t->storage, path, &st, &t->err), RS_OK);
    return st.stamp;
}

static void test_stamp(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/f", "one");
    assert_int_equal(stamp(t, "/f"), 0);
    temp_sleep_ms(40);
    uint64_t first = stamp(t, "/f");
    assert_int_not_equal(first, 0);
    assert_int_equal(stamp(t, "/f"), first);
    temp_put_loose(t, "/f", "two");
    temp_sleep_ms(40);
    uint64_t second = stamp(t, "/f");
    assert_int_not_equal(second, 0);
    assert_int_not_equal(second, first);
    /* Written in place, as a registry:2 does, same length. */
    temp_write(t, "/f", "two");
    assert_int_equal(stamp(t, "/f"), 0);
    temp_sleep_ms(40);
    assert_int_not_equal(stamp(t, "/f"), second);
}

/* The time of modification says what somebody wanted it to say; a change is noticed all the same. */
static void test_stamp_with_a_time_of_the_future(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/f", "one");
    struct timespec times[2] = {{.tv_sec = time(NULL) + 1000}, {.tv_sec = time(NULL) + 1000}};
    assert_int_equal(utimensat(AT_FDCWD, temp_path(t, "/f"), times, 0), 0);
    assert_int_equal(stamp(t, "/f"), 0);
    temp_sleep_ms(40);
    uint64_t first = stamp(t, "/f");
    assert_int_not_equal(first, 0);
    temp_write(t, "/f", "two");
    assert_int_equal(utimensat(AT_FDCWD, temp_path(t, "/f"), times, 0), 0);
    assert_int_equal(stamp(t, "/f"), 0);
    temp_sleep_ms(40);
    assert_int_not_equal(stamp(t, "/f"), first);
}

static void test_stamp_of_a_directory(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/a/x", "x");
    assert_int_equal(stamp(t, "/d"), 0);
    temp_sleep_ms(40);
    uint64_t last = stamp(t, "/d");
    assert_int_not_equal(last, 0);
    temp_put_loose(t, "/d/a/y", "below a child");
    assert_int_equal(stamp(t, "/d"), last);
    const char *const changes[] = {"put", "remove", "replaced by another directory"};
    for (size_t i = 0; i < RS_COUNT(changes); i++) {
        if (i == 0)
            temp_put_loose(t, "/d/b", "x");
        else
            assert_int_equal(rs_storage_remove(t->storage, i == 1 ? "/d/b" : "/d", NULL, &t->err), RS_OK);
        if (i == 2)
            temp_put_loose(t, "/d/a/x", "x");
        assert_int_equal(stamp(t, "/d"), 0);
        temp_sleep_ms(40);
        assert_int_not_equal(stamp(t, "/d"), last);
        last = stamp(t, "/d");
    }
}

/* fuse-overlayfs stands for all of them. */
static void test_no_stamps_on_a_remote_file_system(void **state)
{
    struct temp *t = *state;
    char command[400];
    struct rs_storage *remote;
    struct rs_storage_stat st;
    snprintf(command, sizeof(command),
             "cd %s && mkdir low up work mnt && fuse-overlayfs -o lowerdir=low,upperdir=up,workdir=work mnt", t->root);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
    assert_int_equal(rs_storage_fs_new(temp_path(t, "/mnt"), &remote, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(remote, "/d/f", RS_STR("x"), NULL, &t->err), RS_OK);
    temp_sleep_ms(40);
    assert_int_equal(rs_storage_stat(remote, "/d/f", &st, &t->err), RS_OK);
    assert_int_equal(st.stamp, 0);
    assert_int_equal(rs_storage_stat(remote, "/d", &st, &t->err), RS_OK);
    assert_int_equal(st.stamp, 0);
    rs_storage_free(&remote);
    assert_int_equal(umount2(temp_path(t, "/mnt"), MNT_DETACH), 0);
}

static void test_open_for_sending(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/blob", "some bytes");
    struct rs_source source;
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_open(t->storage, "/blob", &source, &st, &t->err), RS_OK);
    assert_int_equal(source.kind, RS_SOURCE_FILE);
    assert_int_equal(source.length, 10);
    assert_int_equal(source.offset, 0);
    assert_int_equal(st.size, 10);
    temp_put_loose(t, "/blob", "replaced");
    char bytes[11] = "";
    assert_int_equal(pread(source.fd, bytes, 10, 0), 10);
    assert_string_equal(bytes, "some bytes");
    assert_int_equal(fcntl(source.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    rs_source_release(&source);
}

static void test_put_that_fails_leaves_nothing(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/f", "old");
    /* A directory stands where the object should be, and a file where a directory should be. */
    assert_int_equal(rs_storage_put(t->storage, "/d", RS_STR("x"), &t->batch, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_put(t->storage, "/d/f/g", RS_STR("x"), &t->batch, &t->err), RS_E_IO);
    assert_int_equal(t->batch.count, 0);
    assert_int_equal(temp_leftovers(t), 0);
    temp_assert_holds(t, "/d/f", "old");
}

static void test_links_of_the_operator_are_followed(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/elsewhere/f", "x");
    assert_int_equal(symlink("elsewhere", temp_path(t, "/link")), 0);
    temp_assert_holds(t, "/link/f", "x");
    temp_put(t, "/link/new/f", "y");
    temp_sync(t);
    temp_assert_holds(t, "/elsewhere/new/f", "y");
}

/* --- many at once --- */

#define ROUNDS 400

static void *put_often(void *arg)
{
    struct temp *t = arg;
    static const char *const bytes[] = {"short", "something that is rather longer than the other", ""};
    struct rs_err err;
    for (int i = 0; i < ROUNDS; i++)
        if (rs_storage_put(t->storage, "/tag/current/link", rs_str_c(bytes[i % 3]), NULL, &err) != RS_OK)
            return arg;
    return NULL;
}

static void *read_often(void *arg)
{
    struct temp *t = arg;
    struct rs_err err;
    for (int i = 0; i < ROUNDS; i++) {
        RS_AUTO(rs_buf_release) struct rs_buf buf;
        rs_buf_init(&buf, 100);
        rs_rc rc = rs_storage_read(t->storage, "/tag/current/link", &buf, &err);
        if (rc != RS_OK || (buf.len != 0 && buf.len != 5 && buf.len != 46))
            return arg;
    }
    return NULL;
}

static void test_a_reader_sees_old_or_new(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/tag/current/link", "short");
    pthread_t threads[4];
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? put_often : read_often, t), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(temp_leftovers(t), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_root_is_no_object),
        T(test_root_is_made),
        T(test_root_that_cannot_be),
        T(test_a_fifo_holds_nobody),
        T(test_links_in_a_circle_lead_nowhere),
        T(test_modes_are_those_of_registry2),
        T(test_put_and_read),
        T(test_stamp),
        T(test_stamp_with_a_time_of_the_future),
        T(test_stamp_of_a_directory),
        T(test_no_stamps_on_a_remote_file_system),
        T(test_open_for_sending),
        T(test_put_that_fails_leaves_nothing),
        T(test_links_of_the_operator_are_followed),
        T(test_a_reader_sees_old_or_new),
    };
    return cmocka_run_group_tests_name("storage/fs", tests, NULL, NULL);
}
