/* SPDX-License-Identifier: Apache-2.0 */
/* Listing and removing. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "temp.h"

static bool count_all(void *ctx, rs_str name, bool is_directory)
{
    (void)name, (void)is_directory;
    ++*(int *)ctx;
    return true;
}

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

static void test_what_cannot_be_listed(void **state)
{
    struct temp *t = *state;
    size_t left = 5;
    temp_put_loose(t, "/file", "x");
    assert_int_equal(rs_storage_scan(t->storage, "/none", count_some, &left, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_storage_scan(t->storage, "/file", count_some, &left, &t->err), RS_E_NOT_FOUND);
    assert_int_equal(left, 5);
    assert_int_equal(mkdir(temp_path(t, "/empty"), 0755), 0);
    assert_list(t, "/empty", "");
}

static void test_leftovers_are_left_out(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/link", "x");
    temp_write(t, "/d/link.0123456789abcdef.tmp", "x");
    temp_write(t, "/d/link.1b4e28ba-2fa1-11d2-883f-0016d3cca427.tmp", "x");
    /* A tag or a repository may be called so. */
    temp_put_loose(t, "/d/v1.tmp/x", "x");
    assert_list(t, "/d", "link v1.tmp/ ");
    int all = 0;
    assert_int_equal(rs_storage_scan_all(t->storage, "/d", count_all, &all, &t->err), RS_OK);
    assert_int_equal(all, 4);
}

static void test_links_tell_what_they_lead_to(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/d/file", "x");
    temp_put_loose(t, "/elsewhere/x", "x");
    assert_int_equal(symlink("../elsewhere", temp_path(t, "/d/to-dir")), 0);
    assert_int_equal(symlink("file", temp_path(t, "/d/to-file")), 0);
    assert_int_equal(symlink("nowhere", temp_path(t, "/d/to-nothing")), 0);
    assert_int_equal(symlink("file", temp_path(t, "/d/to-leftover.tmp")), 0);
    assert_list(t, "/d", "file to-dir/ to-file ");
}

/* --- remove --- */

static void test_remove_a_tree(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/keep/x", "x");
    temp_put_loose(t, "/d/a/b/c/d/e", "x");
    temp_put_loose(t, "/d/a/f", "x");
    temp_write(t, "/d/a/f.0.tmp", "x");
    assert_int_equal(symlink("../keep", temp_path(t, "/d/link")), 0);
    assert_int_equal(mkdir(temp_path(t, "/d/empty"), 0755), 0);
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_OK);
    assert_false(temp_exists(t, "/d"));
    temp_assert_holds(t, "/keep/x", "x");
}

static void test_remove_takes_a_link_itself(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/keep/x", "x");
    assert_int_equal(symlink("keep", temp_path(t, "/link")), 0);
    assert_int_equal(rs_storage_remove(t->storage, "/link", NULL, &t->err), RS_OK);
    assert_false(temp_exists(t, "/link"));
    temp_assert_holds(t, "/keep/x", "x");
}

static void test_remove_goes_only_so_deep(void **state)
{
    struct temp *t = *state;
    char path[400] = "";
    for (size_t i = 0; i < 80; i++)
        memcpy(path + 2 * i, "/d", 3);
    memcpy(path + 160, "/f", 3);
    temp_put_loose(t, path, "x");
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_E_IO);
    temp_assert_holds(t, path, "x");
    path[60] = '\0';
    assert_int_equal(rs_storage_remove(t->storage, path, NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_OK);
    assert_false(temp_exists(t, "/d"));
}

/* Also by way of two links, when one leads into the other's directory. */
static void test_links_that_lead_back_are_left_out(void **state)
{
    struct temp *t = *state;
    static const char *const links[][2] = {{".", "/r/a/self"}, {"..", "/r/a/up"},   {"../..", "/r/a/root"},
                                           {"../b", "/r/a/b"}, {"../a", "/r/b/a"},  {"loop", "/r/a/loop"},
                                           {"gone", "/r/a/x"}, {"../b/f", "/r/a/f"}};
    temp_put_loose(t, "/r/a/file", "x");
    temp_put_loose(t, "/r/b/f", "x");
    for (size_t i = 0; i < RS_COUNT(links); i++)
        assert_int_equal(symlink(links[i][0], temp_path(t, links[i][1])), 0);
    static const char *const want[][2] = {{"/r/a", "b/ f file "}, {"/r/a/b", "f "}, {"/r/b", "a/ f "}};
    for (size_t i = 0; i < RS_COUNT(want); i++) {
        assert_list(t, want[i][0], want[i][1]);
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
        assert_false(temp_exists(t, "/d"));
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_cannot_be_listed),
        T(test_leftovers_are_left_out),
        T(test_links_tell_what_they_lead_to),
        T(test_links_that_lead_back_are_left_out),
        T(test_remove_a_tree),
        T(test_remove_takes_a_link_itself),
        T(test_remove_goes_only_so_deep),
        T(test_several_remove_the_same),
    };
    return cmocka_run_group_tests_name("storage/list", tests, NULL, NULL);
}
