/* SPDX-License-Identifier: Apache-2.0 */
/* What storage.h promises, of each driver: one list of cases. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/faulty.h"
#include "temp.h"

static bool is_there(struct temp *t, const char *path)
{
    struct rs_storage_stat st;
    return rs_storage_stat(t->storage, path, &st, &t->err) == RS_OK;
}

static void temp_put_bytes(struct temp *t, const char *path, const char *bytes, size_t len)
{
    assert_int_equal(rs_storage_put(t->storage, path, (rs_str){bytes, len}, &t->batch, &t->err), RS_OK);
}

/* --- paths --- */

static void test_paths_that_are_refused(void **state)
{
    struct temp *t = *state;
    static const char *const bad[] = {"",        "a",        "//",     "/a/",   "/a//b",     "/.",
                                      "/..",     "/a/../b",  "/a/./b", "/a/..", "/a b",      "/a\n",
                                      "/a\\b",   "/caf\xc3", "/a%2e",  "/a:b",  "/a+b",      "/a~",
                                      "/../etc", "/a/b/../", "../a",   "./a",   "/a/.../..", "/\x01"};
    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        struct rs_storage_stat st;
        struct rs_storage_file *file = NULL;
        uint64_t size;
        assert_int_equal(rs_storage_stat(t->storage, bad[i], &st, &t->err), RS_E_INVALID);
        assert_int_equal(rs_storage_put(t->storage, bad[i], RS_STR("x"), NULL, &t->err), RS_E_INVALID);
        assert_int_equal(rs_storage_remove(t->storage, bad[i], NULL, &t->err), RS_E_INVALID);
        assert_int_equal(rs_storage_append_create(t->storage, bad[i], &t->err), RS_E_INVALID);
        assert_int_equal(rs_storage_append_open(t->storage, bad[i], &file, &size, &t->err), RS_E_INVALID);
        assert_null(file);
    }
}

static void test_paths_that_are_taken(void **state)
{
    struct temp *t = *state;
    static const char *const good[] = {"/a", "/.hidden", "/...", "/a..b/c", "/_x/-y/Z.0", "/..a"};
    for (size_t i = 0; i < RS_COUNT(good); i++) {
        temp_put_loose(t, good[i], good[i]);
        temp_assert_holds(t, good[i], good[i]);
    }
}

static void test_path_too_long(void **state)
{
    struct temp *t = *state;
    char path[4200];
    memset(path, 'a', sizeof(path));
    for (size_t i = 0; i < sizeof(path); i += 100)
        path[i] = '/';
    struct rs_storage_stat st;
    path[3073] = '\0';
    assert_int_equal(rs_storage_stat(t->storage, path, &st, &t->err), RS_E_INVALID);
    path[3072] = '\0';
    assert_int_equal(rs_storage_stat(t->storage, path, &st, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_put(t->storage, path, RS_STR("deep"), NULL, &t->err), RS_OK);
    temp_assert_holds(t, path, "deep");
}

static void test_root_is_no_object(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_stat(t->storage, "/", &st, &t->err), RS_OK);
    assert_true(st.is_directory);
    assert_int_equal(rs_storage_put(t->storage, "/", RS_STR("x"), NULL, &t->err), RS_E_INVALID);
    assert_int_equal(rs_storage_remove(t->storage, "/", NULL, &t->err), RS_E_INVALID);
    assert_true(is_there(t, "/"));
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
}

static void test_read_appends_within_the_ceiling(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/x", "12345");
    RS_AUTO(rs_buf_release) struct rs_buf buf;
    rs_buf_init(&buf, 9);
    rs_buf_add_c(&buf, "ab");
    assert_int_equal(rs_storage_read(t->storage, "/x", &buf, &t->err), RS_OK);
    assert_string_equal(rs_buf_z(&buf), "ab12345");
    assert_int_equal(rs_storage_read(t->storage, "/x", &buf, &t->err), RS_E_TOO_BIG);
    assert_string_equal(rs_buf_z(&buf), "ab12345");
}

static void test_what_is_not_there(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/dir/file", "x");
    RS_AUTO(rs_buf_release) struct rs_buf buf;
    rs_buf_init(&buf, 100);
    static const char *const paths[] = {"/none", "/none/deeper", "/dir/file/below", "/dir"};
    for (size_t i = 0; i < RS_COUNT(paths); i++) {
        struct rs_source source;
        assert_int_equal(rs_storage_read(t->storage, paths[i], &buf, &t->err), RS_E_NOT_FOUND);
        assert_int_equal(rs_storage_open(t->storage, paths[i], &source, NULL, &t->err), RS_E_NOT_FOUND);
        assert_int_equal(rs_storage_keep(t->storage, paths[i], &t->batch, &t->err), RS_E_NOT_FOUND);
        assert_int_equal(t->err.rc, RS_E_NOT_FOUND);
        assert_int_equal(rs_storage_read(t->storage, paths[i], &buf, NULL), RS_E_NOT_FOUND);
    }
    assert_int_equal(buf.len, 0);
}

static void test_stat(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    temp_put_loose(t, "/d/f", "12345");
    assert_int_equal(rs_storage_stat(t->storage, "/d/f", &st, &t->err), RS_OK);
    assert_int_equal(st.size, 5);
    assert_false(st.is_directory);
    assert_true(llabs(st.mtime_s - (int64_t)time(NULL)) <= 2);
    assert_int_equal(rs_storage_stat(t->storage, "/d", &st, &t->err), RS_OK);
    assert_true(st.is_directory);
    assert_int_equal(rs_storage_stat(t->storage, "/d/g", &st, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_stat(t->storage, "/d/f/g", &st, &t->err), RS_E_NOT_FOUND);
}

static uint64_t stamp(struct temp *t, const char *path)
{
    struct rs_storage_stat st = {0};
    for (int i = 0; i < 200 && st.stamp == 0; i++) {
        assert_int_equal(rs_storage_stat(t->storage, path, &st, &t->err), RS_OK);
        if (st.stamp == 0)
            temp_sleep_ms(5);
    }
    assert_int_not_equal(st.stamp, 0);
    return st.stamp;
}

static void test_stamps_tell_changes(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/f", "one");
    uint64_t file = stamp(t, "/d/f"), directory = stamp(t, "/d");
    assert_int_equal(stamp(t, "/d/f"), file);
    assert_int_equal(stamp(t, "/d"), directory);
    temp_put_loose(t, "/d/f", "two");
    assert_int_not_equal(stamp(t, "/d/f"), file);
    directory = stamp(t, "/d");
    temp_put_loose(t, "/d/g", "x");
    assert_int_not_equal(stamp(t, "/d"), directory);
    directory = stamp(t, "/d");
    temp_put_loose(t, "/d/e/f", "x");
    assert_int_not_equal(stamp(t, "/d"), directory);
    directory = stamp(t, "/d");
    temp_put_loose(t, "/d/e/g", "x"); /* deeper: no change of /d */
    assert_int_equal(stamp(t, "/d"), directory);
    assert_int_equal(rs_storage_remove(t->storage, "/d/g", NULL, &t->err), RS_OK);
    assert_int_not_equal(stamp(t, "/d"), directory);
}

/* Sent like any reader does it; the source is released. */
static char *sent(struct rs_source *source)
{
    char *bytes = rs_calloc(1, source->length + 1);
    if (source->kind == RS_SOURCE_FILE)
        assert_int_equal(pread(source->fd, bytes, source->length, (off_t)source->offset), source->length);
    else if (source->length > 0)
        memcpy(bytes, source->memory, source->length);
    rs_source_release(source);
    return bytes;
}

static void test_open_for_sending(void **state)
{
    struct temp *t = *state;
    struct rs_source source;
    struct rs_storage_stat st;
    temp_put_loose(t, "/blob", "some bytes");
    assert_int_equal(rs_storage_open(t->storage, "/blob", &source, &st, &t->err), RS_OK);
    assert_int_equal(source.length, 10);
    assert_int_equal(st.size, 10);
    temp_put_loose(t, "/blob", "replaced");
    RS_AUTO(rs_free_ptr) char *bytes = sent(&source);
    assert_string_equal(bytes, "some bytes");
}

static void test_put_that_fails_leaves_nothing(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/f", "old");
    /* A directory stands where the object should be, and a file where a directory should be. */
    assert_int_equal(rs_storage_put(t->storage, "/d", RS_STR("x"), &t->batch, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_put(t->storage, "/d/f/g", RS_STR("x"), &t->batch, &t->err), RS_E_IO);
    assert_int_equal(t->batch.count, 0);
    temp_assert_holds(t, "/d/f", "old");
}

/* --- growing --- */

static void test_grows_and_goes_on(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = temp_grow(t, "/up/1/data", "hello ");
    assert_int_equal(rs_storage_append(file, "world", 5, &t->err), RS_OK);
    rs_storage_append_close(&file);
    assert_null(file);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/up/1/data", "hello world");

    uint64_t size;
    assert_int_equal(rs_storage_append_open(t->storage, "/up/1/data", &file, &size, &t->err), RS_OK);
    assert_int_equal(size, 11);
    assert_int_equal(rs_storage_append(file, "!", 1, &t->err), RS_OK);
    assert_int_equal(rs_storage_append(file, NULL, 0, &t->err), RS_OK);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/up/1/data", "hello world!");
}

static void test_reads_back(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = temp_grow(t, "/up/data", "0123456789");
    char buf[20];
    size_t n;
    assert_int_equal(rs_storage_append_read(file, 3, buf, 4, &n, &t->err), RS_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(buf, "3456", 4);
    assert_int_equal(rs_storage_append_read(file, 8, buf, 20, &n, &t->err), RS_OK);
    assert_int_equal(n, 2);
    assert_int_equal(rs_storage_append_read(file, 10, buf, 20, &n, &t->err), RS_OK);
    assert_int_equal(n, 0);
    /* Reading moves nothing: the next bytes still go to the end. */
    assert_int_equal(rs_storage_append(file, "ab", 2, &t->err), RS_OK);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/up/data", "0123456789ab");
}

static void test_one_writer_at_a_time(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *second = NULL;
    uint64_t size;
    struct rs_storage_file *file = temp_grow(t, "/up/data", "x");
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &second, &size, &t->err), RS_E_BUSY);
    assert_null(second);
    rs_storage_append_close(&file);
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &second, &size, &t->err), RS_OK);
    rs_storage_append_close(&second);
}

static void test_open_makes_nothing(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_E_NOT_FOUND);
    assert_false(is_there(t, "/up"));
    file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_append_create(t->storage, "/up/data", &t->err), RS_OK);
    temp_assert_holds(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_E_NOT_FOUND);
    assert_false(is_there(t, "/up/data"));
    assert_null(file);
}

static void test_publish_without_a_batch(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob/data", NULL, &t->err), RS_OK);
    temp_assert_holds(t, "/blob/data", "content");
}

static void test_publish_keeps_what_is_there(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/blob/data", "CONTENT");
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    temp_assert_holds(t, "/blob/data", "CONTENT");
    assert_false(is_there(t, "/up/data"));
}

static void test_publish_onto_a_directory(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/blob/data/x", "x");
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_E_CORRUPT);
    assert_non_null(file);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/up/data", "content");
}

static void test_publish_of_what_was_removed(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = temp_grow(t, "/up/1/data", "content");
    assert_int_equal(rs_storage_remove(t->storage, "/up/1", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_E_NOT_FOUND);
    assert_non_null(file);
    rs_storage_append_close(&file);
    assert_false(is_there(t, "/blob/data"));
}

static void test_publish_replaces_what_is_torn(void **state)
{
    struct temp *t = *state;
    static const char *const torn[] = {"", "cont", "content and more"};
    for (size_t i = 0; i < RS_COUNT(torn); i++) {
        temp_put_loose(t, "/blob/data", torn[i]);
        struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
        assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
        temp_sync(t);
        temp_assert_holds(t, "/blob/data", "content");
        assert_false(is_there(t, "/up/data"));
    }
}

enum { LARGE = 300 * 1000 };

static char *large_bytes(char first)
{
    char *bytes = rs_calloc(1, LARGE + 1);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)('0' + (i * 7 + i / 1000 + (size_t)first) % 64);
    return bytes;
}

static void test_an_open_reader_keeps_its_bytes(void **state)
{
    struct temp *t = *state;
    static const char *const paths[] = {"/put/small", "/put/large", "/grown/small", "/grown/large"};
    RS_AUTO(rs_free_ptr) char *old = large_bytes('a');
    RS_AUTO(rs_free_ptr) char *new = large_bytes('b');
    struct rs_source sources[8];
    for (size_t i = 0; i < RS_COUNT(paths); i++) {
        size_t len = i % 2 == 0 ? 100 : LARGE;
        if (i < 2) {
            temp_put_bytes(t, paths[i], old, len);
        } else {
            struct rs_storage_file *file = temp_grow(t, "/up/data", "");
            for (size_t done = 0; done < len; done += len / 10)
                assert_int_equal(rs_storage_append(file, old + done, len / 10, &t->err), RS_OK);
            assert_int_equal(rs_storage_publish(&file, paths[i], &t->batch, &t->err), RS_OK);
        }
        assert_int_equal(rs_storage_open(t->storage, paths[i], &sources[i], NULL, &t->err), RS_OK);
        assert_int_equal(rs_storage_open(t->storage, paths[i], &sources[4 + i], NULL, &t->err), RS_OK);
        assert_int_equal(sources[i].length, len);
        if (i % 2 == 0)
            assert_int_equal(rs_storage_remove(t->storage, paths[i], NULL, &t->err), RS_OK);
        temp_put_bytes(t, paths[i], new, LARGE);
    }
    temp_sync(t);
    assert_int_equal(rs_storage_remove(t->storage, "/put", NULL, &t->err), RS_OK);
    for (size_t i = 0; i < RS_COUNT(sources); i++) {
        size_t len = i % 2 == 0 ? 100 : LARGE;
        rs_source_narrow(&sources[i], 10, len - 10);
        RS_AUTO(rs_free_ptr) char *bytes = sent(&sources[i]);
        assert_memory_equal(bytes, old + 10, len - 10);
    }
}

static void test_goes_on_with_what_was_put(void **state)
{
    struct temp *t = *state;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    temp_put_loose(t, "/up/data", "put ");
    assert_int_equal(rs_storage_append_open(t->storage, "/up/data", &file, &size, &t->err), RS_OK);
    assert_int_equal(size, 4);
    assert_int_equal(rs_storage_append(file, "and grown", 9, &t->err), RS_OK);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/up/data", "put and grown");
}

static void test_empty_ones_are_published(void **state)
{
    struct temp *t = *state;
    struct rs_source source;
    struct rs_storage_file *file = temp_grow(t, "/up/data", "");
    assert_int_equal(rs_storage_publish(&file, "/blob", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    temp_assert_holds(t, "/blob", "");
    assert_int_equal(rs_storage_open(t->storage, "/blob", &source, NULL, &t->err), RS_OK);
    assert_int_equal(source.length, 0);
    rs_source_release(&source);
}

/* --- listing and removing --- */

static void assert_list(struct temp *t, const char *path, const char *expected)
{
    RS_AUTO(rs_free_ptr) char *names = temp_names(t, path);
    assert_string_equal(names, expected);
}

static bool count_some(void *ctx, rs_str name, bool is_directory)
{
    size_t *left = ctx;
    (void)name, (void)is_directory;
    return --*left > 0;
}

static void test_names_that_begin_alike(void **state)
{
    struct temp *t = *state;
    static const char *const names[] = {"b", "a", "a-b", "a.b", "a_b", "B", "10", "9", "ab", "a0", "Z", "_z", ".x"};
    for (size_t i = 0; i < RS_COUNT(names); i++) {
        char path[20];
        snprintf(path, sizeof(path), "/d/%s", names[i]);
        temp_put_loose(t, path, "x");
    }
    assert_list(t, "/d", ".x 10 9 B Z _z a a-b a.b a0 a_b ab b ");
}

static void test_list_and_stop(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/a", "x");
    temp_put_loose(t, "/d/b/x", "x");
    temp_put_loose(t, "/d/c", "x");
    assert_list(t, "/d", "a b/ c ");
    assert_list(t, "/", "d/ ");
    for (size_t stop = 1; stop <= 3; stop++) {
        size_t left = stop;
        assert_int_equal(rs_storage_scan(t->storage, "/d", count_some, &left, &t->err), RS_OK);
        assert_int_equal(left, 0);
    }
}

static void test_what_cannot_be_listed(void **state)
{
    struct temp *t = *state;
    size_t left = 5;
    temp_put_loose(t, "/file", "x");
    assert_int_equal(rs_storage_scan(t->storage, "/none", count_some, &left, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_scan(t->storage, "/file", count_some, &left, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(left, 5);
    assert_int_equal(rs_storage_mkdir(t->storage, "/empty", NULL, &t->err), RS_OK);
    assert_list(t, "/empty", "");
}

static void test_many_entries(void **state)
{
    struct temp *t = *state;
    enum { MANY = 3000 };
    struct rs_buf expected;
    rs_buf_init(&expected, 1 << 20);
    for (int i = 0; i < MANY; i++) {
        char path[20];
        snprintf(path, sizeof(path), "/d/%05d", (i * 1237) % MANY);
        temp_put_loose(t, path, "");
        rs_buf_printf(&expected, "%05d ", i);
    }
    assert_list(t, "/d", rs_buf_z(&expected));
    rs_buf_release(&expected);
}

static void test_remove_an_object(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/a", "x");
    temp_put_loose(t, "/d/b", "x");
    assert_int_equal(rs_storage_remove(t->storage, "/d/a", NULL, &t->err), RS_OK);
    assert_list(t, "/d", "b ");
}

static void test_remove_a_tree(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/keep/x", "x");
    temp_put_loose(t, "/d/a/b/c/d/e", "x");
    temp_put_loose(t, "/d/a/f", "x");
    assert_int_equal(rs_storage_mkdir(t->storage, "/d/empty", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_OK);
    assert_false(is_there(t, "/d"));
    temp_assert_holds(t, "/keep/x", "x");
}

static void test_remove_of_nothing(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/file", "x");
    assert_int_equal(rs_storage_remove(t->storage, "/none", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/none/deeper", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/file/below", NULL, &t->err), RS_OK);
    temp_assert_holds(t, "/file", "x");
}

static void test_directories_are_made(void **state)
{
    struct temp *t = *state;
    assert_int_equal(rs_storage_mkdir(t->storage, "/a/b/c", &t->batch, &t->err), RS_OK);
    assert_int_equal(rs_storage_mkdir(t->storage, "/a/b/c", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_list(t, "/a/b", "c/ ");
    assert_list(t, "/a/b/c", "");
    temp_put_loose(t, "/file", "x");
    assert_int_equal(rs_storage_mkdir(t->storage, "/file", NULL, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_mkdir(t->storage, "/file/deeper", NULL, &t->err), RS_E_IO);
    temp_assert_holds(t, "/file", "x");
}

/* --- replacing on a condition --- */

#define PATH "/a/b/link"

/* Accepts if what is there equals this text; NULL: nothing. */
static bool equals(void *ctx, const rs_str *held)
{
    const char *wanted = ctx;
    return wanted == NULL ? held == NULL : held != NULL && rs_str_eq_c(*held, wanted);
}

static rs_rc swap(struct temp *t, const char *from, const char *to, struct rs_err *err)
{
    return rs_storage_replace(t->storage, PATH, rs_str_c(to), equals, (void *)(uintptr_t)from, NULL, err);
}

static void test_only_what_was_expected_is_replaced(void **state)
{
    struct temp *t = *state;
    assert_int_equal(swap(t, "A", "B", &t->err), RS_E_PRECONDITION);
    assert_false(is_there(t, PATH));
    assert_int_equal(swap(t, NULL, "A", &t->err), RS_OK);
    assert_int_equal(swap(t, NULL, "B", &t->err), RS_E_PRECONDITION);
    assert_int_equal(swap(t, "B", "C", &t->err), RS_E_PRECONDITION);
    temp_assert_holds(t, PATH, "A");
    assert_int_equal(swap(t, "A", "B", &t->err), RS_OK);
    temp_assert_holds(t, PATH, "B");
}

static void test_without_a_condition_it_is_a_put(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(rs_storage_replace(t->storage, PATH, RS_STR("x"), NULL, NULL, &t->batch, &t->err), RS_OK);
    temp_sync(t);
    temp_assert_holds(t, PATH, "x");
}

static void test_a_large_object_is_not_compared(void **state)
{
    struct temp *t = *state;
    char large[RS_REPLACE_MAX + 2];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    temp_put_loose(t, PATH, large);
    assert_int_equal(swap(t, "A", "B", &t->err), RS_E_CORRUPT);
    temp_assert_holds(t, PATH, large);
}

static void test_what_stands_in_its_place_is_told(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, PATH "/child", "x");
    assert_int_equal(swap(t, NULL, "A", &t->err), RS_E_IO);
}

/* --- removing beside writers --- */

static rs_rc remove_if(struct temp *t, const char *path, const char *bytes)
{
    char wanted[20];
    assert_true(rs_str_copy_z(rs_str_c(bytes), wanted, sizeof(wanted)));
    return rs_storage_remove_if(t->storage, path, equals, wanted, &t->batch, &t->err);
}

static void prune(struct temp *t, const char *path, unsigned levels)
{
    assert_int_equal(rs_storage_prune(t->storage, path, levels, &t->batch, &t->err), RS_OK);
}

static void test_removes_only_what_holds_the_bytes(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/a", "one");
    assert_int_equal(remove_if(t, "/d/a", "two"), RS_E_PRECONDITION);
    assert_int_equal(remove_if(t, "/d/a", "on"), RS_E_PRECONDITION);
    assert_int_equal(remove_if(t, "/d/a", "one more"), RS_E_PRECONDITION);
    assert_int_equal(remove_if(t, "/d/none", "one"), RS_E_NOT_FOUND);
    assert_int_equal(remove_if(t, "/none/a", "one"), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_remove_if(t->storage, "/none", NULL, NULL, &t->batch, &t->err), RS_E_NOT_FOUND);
    temp_assert_holds(t, "/d/a", "one");
    assert_int_equal(remove_if(t, "/d/a", "one"), RS_OK);
    assert_false(is_there(t, "/d/a"));
    temp_sync(t);
}

static void test_prunes_what_is_empty_and_no_more(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/keep", "x");
    temp_put_loose(t, "/d/a/b/c/f", "x");
    prune(t, "/d/a/b/c", 3); /* something is in it */
    assert_true(is_there(t, "/d/a/b/c/f"));
    assert_int_equal(rs_storage_remove(t->storage, "/d/a/b/c/f", NULL, &t->err), RS_OK);
    prune(t, "/d/a/b/c", 2);
    assert_false(is_there(t, "/d/a/b"));
    assert_true(is_there(t, "/d/a"));
    prune(t, "/d/a/b/c", 9); /* what others have removed counts as gone */
    assert_false(is_there(t, "/d/a"));
    assert_true(is_there(t, "/d/keep"));
    prune(t, "/none/at/all", 3);
    temp_sync(t);
}

struct pruned_writer {
    struct temp *t;
    struct rs_err err;
    atomic_bool stop;
    int failures;
};

/* Writes into a directory that the other one prunes all the time. */
static void *write_on(void *arg)
{
    struct pruned_writer *r = arg;
    for (int i = 0; i < 3000 && r->failures == 0; i++) {
        struct rs_storage_batch batch;
        rs_storage_batch_init(&batch);
        const char *bytes = i % 2 ? "odd" : "even";
        if (rs_storage_replace(r->t->storage, "/r/a/b/f", rs_str_c(bytes), NULL, NULL, NULL, &r->err) != RS_OK)
            r->failures++;
    }
    atomic_store(&r->stop, true);
    return NULL;
}

static void test_writers_are_not_disturbed(void **state)
{
    struct temp *t = *state;
    struct pruned_writer racer = {.t = t};
    pthread_t thread;
    temp_put_loose(t, "/r/keep", "x");
    assert_int_equal(pthread_create(&thread, NULL, write_on, &racer), 0);
    while (!atomic_load(&racer.stop)) {
        char odd[] = "odd";
        struct rs_err err;
        (void)rs_storage_remove_if(t->storage, "/r/a/b/f", equals, odd, NULL, &err); /* what it finds is chance */
        assert_int_equal(rs_storage_prune(t->storage, "/r/a/b", 2, NULL, &t->err), RS_OK);
        usleep(20); /* without a breath it starves any writer, who gives up in the end */
    }
    pthread_join(thread, NULL);
    if (racer.failures > 0)
        fail_msg("%s", racer.err.text);
    /* The last one is odd: it may be gone. An even one never is, until it was replaced. */
    temp_put_loose(t, "/r/a/b/f", "even");
    assert_int_equal(remove_if(t, "/r/a/b/f", "odd"), RS_E_PRECONDITION);
    temp_assert_holds(t, "/r/a/b/f", "even");
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
}

static void *make_and_remove(void *arg)
{
    struct temp *t = arg;
    struct rs_err err;
    for (int i = 0; i < ROUNDS; i++) {
        rs_rc put = rs_storage_put(t->storage, "/deep/er/and/deeper/x", RS_STR("x"), NULL, &err);
        rs_rc removed = rs_storage_remove(t->storage, "/deep", NULL, &err);
        /* The others may take the directory away between two steps, again and again; that is an error, no crash. */
        if ((put != RS_OK && put != RS_E_IO) || (removed != RS_OK && removed != RS_E_IO))
            return arg;
    }
    return NULL;
}

static void test_makers_and_removers_meet(void **state)
{
    struct temp *t = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_remove, t), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(rs_storage_remove(t->storage, "/deep", NULL, &t->err), RS_OK);
    assert_false(is_there(t, "/deep"));
}

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
    struct publisher publishers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        publishers[i] = (struct publisher){.t = t, .storage = t->storage, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, publish_often, &publishers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(publishers[i].failed);
    }
    for (int i = 0; i < 50; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/blobs/%d/data", i);
        temp_assert_holds(t, path, "content");
        for (int p = 0; p < 4; p++) {
            snprintf(path, sizeof(path), "/up/%d/%d", p, i);
            assert_false(is_there(t, path));
        }
    }
}

static void *remove_all(void *arg)
{
    struct temp *t = arg;
    struct rs_err err;
    return rs_storage_remove(t->storage, "/d", NULL, &err) == RS_OK ? NULL : arg;
}

static void test_several_remove_the_same(void **state)
{
    struct temp *t = *state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 40; i++) {
            char path[40];
            snprintf(path, sizeof(path), "/d/%d/%d/f", i % 5, i);
            temp_put_loose(t, path, "x");
        }
        pthread_t threads[4];
        for (size_t i = 0; i < RS_COUNT(threads); i++)
            assert_int_equal(pthread_create(&threads[i], NULL, remove_all, t), 0);
        for (size_t i = 0; i < RS_COUNT(threads); i++) {
            void *failed;
            pthread_join(threads[i], &failed);
            assert_null(failed);
        }
        assert_false(is_there(t, "/d"));
    }
}

struct counter {
    struct temp *t;
    unsigned won;
    bool failed;
};

/* Counts up: reads the number, and swaps it for the next one. */
static void *count_up(void *arg)
{
    struct counter *c = arg;
    struct rs_err err;
    while (c->won < 50 && !c->failed) {
        RS_AUTO(rs_buf_release) struct rs_buf held;
        uint64_t number = 0;
        char to[32];
        rs_buf_init(&held, 64);
        c->failed = rs_storage_read(c->t->storage, PATH, &held, &err) != RS_OK ||
                    !rs_str_u64(rs_buf_str(&held), 1000000, &number);
        snprintf(to, sizeof(to), "%llu", (unsigned long long)number + 1);
        rs_rc rc = swap(c->t, rs_buf_z(&held), to, &err);
        c->won += rc == RS_OK;
        c->failed = c->failed || (rc != RS_OK && rc != RS_E_PRECONDITION);
    }
    return NULL;
}

static void test_no_count_is_lost_among_threads(void **state)
{
    struct temp *t = *state;
    struct counter counters[4] = {0};
    pthread_t threads[4];
    temp_put_loose(t, PATH, "0");
    for (int i = 0; i < 4; i++) {
        counters[i].t = t;
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &counters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(counters[i].failed);
    }
    temp_assert_holds(t, PATH, "200");
}

/* --- the drivers --- */

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
    T(test_only_what_was_expected_is_replaced, setup), T(test_without_a_condition_it_is_a_put, setup),                 \
        T(test_a_large_object_is_not_compared, setup), T(test_what_stands_in_its_place_is_told, setup),                \
        T(test_no_count_is_lost_among_threads, setup), T(test_paths_that_are_refused, setup),                          \
        T(test_paths_that_are_taken, setup), T(test_path_too_long, setup), T(test_root_is_no_object, setup),           \
        T(test_put_and_read, setup), T(test_read_appends_within_the_ceiling, setup), T(test_what_is_not_there, setup), \
        T(test_stat, setup), T(test_stamps_tell_changes, setup), T(test_open_for_sending, setup),                      \
        T(test_put_that_fails_leaves_nothing, setup), T(test_grows_and_goes_on, setup), T(test_reads_back, setup),     \
        T(test_one_writer_at_a_time, setup), T(test_open_makes_nothing, setup),                                        \
        T(test_publish_without_a_batch, setup), T(test_publish_keeps_what_is_there, setup),                            \
        T(test_publish_onto_a_directory, setup), T(test_publish_of_what_was_removed, setup),                           \
        T(test_publish_replaces_what_is_torn, setup), T(test_an_open_reader_keeps_its_bytes, setup),                   \
        T(test_goes_on_with_what_was_put, setup), T(test_empty_ones_are_published, setup),                             \
        T(test_names_that_begin_alike, setup), T(test_list_and_stop, setup), T(test_what_cannot_be_listed, setup),     \
        T(test_many_entries, setup), T(test_remove_an_object, setup), T(test_remove_a_tree, setup),                    \
        T(test_remove_of_nothing, setup), T(test_directories_are_made, setup),                                         \
        T(test_a_reader_sees_old_or_new, setup), T(test_makers_and_removers_meet, setup),                              \
        T(test_many_publish_the_same, setup), T(test_several_remove_the_same, setup),                                  \
        T(test_removes_only_what_holds_the_bytes, setup), T(test_prunes_what_is_empty_and_no_more, setup),             \
        T(test_writers_are_not_disturbed, setup)

int main(void)
{
    const struct CMUnitTest disk[] = {CASES(temp_setup)};
    const struct CMUnitTest memory[] = {CASES(temp_setup_memory)};
    const struct CMUnitTest faulty[] = {CASES(setup_faulty)};
    int failed = cmocka_run_group_tests_name("storage/contract on disk", disk, NULL, NULL);
    failed += cmocka_run_group_tests_name("storage/contract in memory", memory, NULL, NULL);
    return failed + cmocka_run_group_tests_name("storage/contract in memory, wrapped", faulty, NULL, NULL);
}
