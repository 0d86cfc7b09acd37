/* SPDX-License-Identifier: Apache-2.0 */
/* What only the driver in memory has: a limit, books, regions, and listings in pages. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/memory_priv.h"
#include "temp.h"

static uint64_t used(struct temp *t)
{
    struct memory *memory = (struct memory *)t->storage;
    rs_mutex_lock(&memory->mutex);
    uint64_t bytes = memory->used;
    rs_mutex_unlock(&memory->mutex);
    return bytes;
}

/* Bytes of pages that the kernel holds for the driver's files. */
static uint64_t pages(struct temp *t)
{
    struct memory *memory = (struct memory *)t->storage;
    uint64_t bytes = 0;
    for (size_t i = 0; i < MEMORY_FILES; i++) {
        struct stat st;
        assert_int_equal(fstat(memory->files[i], &st), 0);
        bytes += (uint64_t)st.st_blocks * 512;
    }
    return bytes;
}

static void renew(struct temp *t, uint64_t limit)
{
    rs_storage_free(&t->storage);
    assert_int_equal(rs_storage_memory_new(limit, &t->storage, &t->err), RS_OK);
}

static void grow(struct temp *t, const char *path, size_t len)
{
    RS_AUTO(rs_free_ptr) char *piece = rs_calloc(1, len);
    struct rs_storage_file *file = temp_grow(t, path, "");
    assert_int_equal(rs_storage_append(file, piece, len, &t->err), RS_OK);
    rs_storage_append_close(&file);
}

static void test_memory_is_given_back(void **state)
{
    struct temp *t = *state;
    uint64_t before = used(t);
    for (int round = 0; round < 3; round++) {
        grow(t, "/up/1/data", 5 << 20);
        temp_put_loose(t, "/up/1/startedat", "now");
        grow(t, "/up/2/data", 100);
        assert_true(used(t) > before + (5 << 20));
        assert_true(pages(t) >= 5 << 20);
        assert_int_equal(rs_storage_remove(t->storage, "/up", NULL, &t->err), RS_OK);
        assert_int_equal(used(t), before);
        assert_int_equal(pages(t), 0);
    }
    /* A region is used again. */
    assert_true(((struct memory *)t->storage)->next_region <= 2);
}

static void test_memory_of_a_reader_is_given_back_at_its_end(void **state)
{
    struct temp *t = *state;
    struct rs_source source;
    uint64_t before = used(t);
    grow(t, "/data", 1 << 20);
    assert_int_equal(rs_storage_open(t->storage, "/data", &source, NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/data", NULL, &t->err), RS_OK);
    assert_int_equal(pages(t), 1 << 20);
    rs_source_release(&source);
    assert_int_equal(pages(t), 0);
    assert_int_equal(used(t), before);
}

static void test_memory_of_a_writer_is_given_back_at_its_end(void **state)
{
    struct temp *t = *state;
    uint64_t before = used(t);
    struct rs_storage_file *file = temp_grow(t, "/up/data", "some");
    assert_int_equal(rs_storage_remove(t->storage, "/up", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_append(file, "more", 4, &t->err), RS_OK);
    rs_storage_append_close(&file);
    assert_int_equal(used(t), before);
    assert_int_equal(pages(t), 0);
}

static void test_small_blobs_take_no_pages(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 100; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/blob/%d", i);
        struct rs_storage_file *file = temp_grow(t, "/up/data", "small");
        assert_int_equal(rs_storage_publish(&file, path, NULL, &t->err), RS_OK);
        temp_assert_holds(t, path, "small");
    }
    assert_int_equal(pages(t), 0);
}

static void test_a_full_storage_refuses_and_goes_on(void **state)
{
    struct temp *t = *state;
    renew(t, 1 << 20);
    RS_AUTO(rs_free_ptr) char *piece = rs_calloc(1, 600 << 10);
    struct rs_storage_file *file = temp_grow(t, "/up/data", "");
    assert_int_equal(rs_storage_append(file, piece, 600 << 10, &t->err), RS_OK);
    uint64_t full = used(t);
    assert_int_equal(rs_storage_append(file, piece, 600 << 10, &t->err), RS_E_STORAGE_FULL);
    assert_non_null(strstr(t->err.text, "inmemory_size"));
    assert_int_equal(rs_storage_put(t->storage, "/put", (rs_str){piece, 600 << 10}, NULL, &t->err), RS_E_STORAGE_FULL);
    assert_int_equal(used(t), full);
    assert_int_equal(rs_storage_append(file, "x", 1, &t->err), RS_OK); /* the writer may go on */
    rs_storage_append_close(&file);
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_stat(t->storage, "/up/data", &st, &t->err), RS_OK);
    assert_int_equal(st.size, (600 << 10) + 1);
    assert_int_equal(rs_storage_remove(t->storage, "/up", NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(t->storage, "/put", (rs_str){piece, 600 << 10}, NULL, &t->err), RS_OK);
}

static void test_names_count_too(void **state)
{
    struct temp *t = *state;
    renew(t, 100 * 1000);
    rs_rc rc = RS_OK;
    int made = 0;
    for (; rc == RS_OK && made < 10000; made++) {
        char path[40];
        snprintf(path, sizeof(path), "/d/%d", made);
        rc = made % 2 ? rs_storage_mkdir(t->storage, path, NULL, &t->err)
                      : rs_storage_put(t->storage, path, (rs_str){0}, NULL, &t->err);
    }
    assert_int_equal(rc, RS_E_STORAGE_FULL);
    assert_in_range(made, 100, 2000);
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_OK);
    temp_put_loose(t, "/d/again", "x");
}

static void test_publishing_a_small_one_into_a_full_storage(void **state)
{
    struct temp *t = *state;
    renew(t, 200 << 10);
    RS_AUTO(rs_free_ptr) char *piece = rs_calloc(1, 60 << 10);
    temp_put_loose(t, "/blob/x", "");
    struct rs_storage_file *file = temp_grow(t, "/up/data", "");
    assert_int_equal(rs_storage_append(file, piece, 60 << 10, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(t->storage, "/a", (rs_str){piece, 60 << 10}, NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(t->storage, "/b", (rs_str){piece, 60 << 10}, NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_publish(&file, "/blob/x", NULL, &t->err), RS_OK);
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_stat(t->storage, "/blob/x", &st, &t->err), RS_OK);
    assert_int_equal(st.size, 60 << 10);
}

static bool remove_visited(void *ctx, rs_str name, bool is_directory)
{
    struct temp *t = ctx;
    char path[300];
    (void)is_directory;
    snprintf(path, sizeof(path), "/d/" RS_STR_FMT, RS_STR_ARG(name));
    return rs_storage_remove(t->storage, path, NULL, &t->err) == RS_OK;
}

/* The visitor is not called under the lock, and a listing of many pages meets each name once. */
static void test_what_is_listed_may_be_removed(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 5000; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/d/%d-name", (i * 7919) % 5000);
        temp_put_loose(t, path, "x");
    }
    uint64_t before = used(t);
    assert_int_equal(rs_storage_scan(t->storage, "/d", remove_visited, t, &t->err), RS_OK);
    assert_true(used(t) < before / 100);
}

static bool count(void *ctx, rs_str name, bool is_directory)
{
    (void)name, (void)is_directory;
    ++*(size_t *)ctx;
    return true;
}

static void *list_often(void *arg)
{
    struct temp *t = arg;
    for (int i = 0; i < 30; i++) {
        size_t n = 0;
        struct rs_err err;
        if (rs_storage_scan(t->storage, "/d", count, &n, &err) != RS_OK || n < 2000)
            return arg;
    }
    return NULL;
}

static void test_listing_while_names_come_and_go(void **state)
{
    struct temp *t = *state;
    pthread_t lister;
    void *failed;
    for (int i = 0; i < 2000; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/d/stays-%d", i);
        temp_put_loose(t, path, "x");
    }
    assert_int_equal(pthread_create(&lister, NULL, list_often, t), 0);
    for (int i = 0; i < 3000; i++) {
        temp_put_loose(t, "/d/m-comes", "x");
        temp_put_loose(t, "/d/stays-5-and-comes", "x");
        assert_int_equal(rs_storage_remove(t->storage, "/d/m-comes", NULL, &t->err), RS_OK);
        assert_int_equal(rs_storage_remove(t->storage, "/d/stays-5-and-comes", NULL, &t->err), RS_OK);
    }
    pthread_join(lister, &failed);
    assert_null(failed);
}

static void test_many_objects_need_no_descriptors(void **state)
{
    struct temp *t = *state;
    int before = dup(0);
    for (int i = 0; i < 200; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/big/%d", i);
        grow(t, path, 70 * 1000);
    }
    int after = dup(0);
    assert_int_equal(before, after - 1);
    close(before);
    close(after);
}

static void test_trees_of_any_depth_are_removed(void **state)
{
    struct temp *t = *state;
    char path[3001] = "";
    for (size_t i = 0; i < 1500; i++)
        memcpy(path + 2 * i, "/d", 3);
    uint64_t before = used(t);
    assert_int_equal(rs_storage_mkdir(t->storage, path, NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_OK);
    assert_int_equal(used(t), before);
}

static void test_the_default_limit_is_half_of_the_memory(void **state)
{
    struct temp *t = *state;
    renew(t, 0);
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    assert_in_range(((struct memory *)t->storage)->limit, 1 << 20, all / 2);
    assert_string_equal(rs_storage_name(t->storage), "inmemory");
    assert_int_equal(rs_storage_flushes(t->storage), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, temp_setup_memory, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_memory_is_given_back),
        T(test_memory_of_a_reader_is_given_back_at_its_end),
        T(test_memory_of_a_writer_is_given_back_at_its_end),
        T(test_small_blobs_take_no_pages),
        T(test_a_full_storage_refuses_and_goes_on),
        T(test_names_count_too),
        T(test_publishing_a_small_one_into_a_full_storage),
        T(test_what_is_listed_may_be_removed),
        T(test_listing_while_names_come_and_go),
        T(test_many_objects_need_no_descriptors),
        T(test_trees_of_any_depth_are_removed),
        T(test_the_default_limit_is_half_of_the_memory),
    };
    return cmocka_run_group_tests_name("storage/memory", tests, NULL, NULL);
}
