/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "registry/children.h"

#define NAME 240  /* long names fill files and runs sooner */
#define MANY 1500 /* some runs */
#define D "/docker/registry/v2/d"

/* --- making directories --- */

static void path_of(const struct fixture *f, const char *name, char out[512])
{
    snprintf(out, 512, "%s" D "/%s", f->root, name);
}

static void make(struct fixture *f, const char *name)
{
    char path[512];
    path_of(f, name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void drop(struct fixture *f, const char *name)
{
    char path[512];
    path_of(f, name, path);
    assert_int_equal(rmdir(path), 0);
}

static void make_d(struct fixture *f)
{
    fixture_write_c(f, "d/x", "");
    fixture_remove(f, "d/x");
}

static void name_of(size_t i, char out[NAME + 1])
{
    memset(out, 'x', NAME);
    out[snprintf(out, NAME, "%05zu", i)] = '-';
    out[NAME] = '\0';
}

static void make_many(struct fixture *f, size_t count)
{
    char name[NAME + 1];
    make_d(f);
    for (size_t i = 0; i < count; i++) {
        name_of(i * 7919 % count, name);
        make(f, name);
    }
}

/* Until a change is old enough to be believed. */
static void settle(void)
{
    usleep(30000);
}

/* --- looking --- */

static struct rs_children *open_d(struct fixture *f)
{
    struct rs_children *c = NULL;
    assert_ok(f, rs_children_open(f->registry, D, &c, &f->err));
    return c;
}

static void assert_names(struct fixture *f, const char *want)
{
    struct rs_buf got;
    struct rs_children *c = open_d(f);
    rs_buf_init(&got, 1024 * 1024);
    for (size_t i = 0; i < rs_children_count(c); i++)
        rs_buf_printf(&got, RS_STR_FMT "%s ", RS_STR_ARG(rs_children_name(c, i)),
                      rs_children_is_directory(c, i) ? "/" : "");
    assert_string_equal(rs_buf_z(&got), want);
    rs_buf_release(&got);
    rs_children_unref(&c);
}

static void assert_many(const struct rs_children *c, size_t count)
{
    char name[NAME + 1];
    assert_int_equal(rs_children_count(c), count);
    for (size_t i = 0; i < count; i++) {
        name_of(i, name);
        assert_true(rs_str_eq_c(rs_children_name(c, i), name));
        assert_true(rs_children_is_directory(c, i));
    }
}

/* How often the directory was read since the last call. */
static uint64_t readings(struct fixture *f)
{
    uint64_t n = rs_storage_faulty_calls(f->storage, RS_FAULTY_LIST);
    rs_storage_faulty_clear(f->storage);
    return n;
}

static void open_and_close(struct fixture *f)
{
    struct rs_children *c = open_d(f);
    rs_children_unref(&c);
}

/* --- cases --- */

static void what_is_not_there_or_no_directory_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct rs_children *c = NULL;
    assert_rc(f, RS_E_NOT_FOUND, rs_children_open(f->registry, D, &c, &f->err));
    fixture_write_c(f, "d", "a file");
    assert_rc(f, RS_E_NOT_FOUND, rs_children_open(f->registry, D, &c, &f->err));
    assert_null(c);
}

static void children_come_in_byte_order(void **state)
{
    struct fixture *f = *state;
    make_d(f);
    assert_names(f, "");
    static const char *const names[] = {"b",  "a",  "a-b",          "a.b",          "a_b", "B",  "10", "9",
                                        "ab", "a0", "same-begin-2", "same-begin-1", "Z",   "_z", ".x", "same-begin"};
    for (size_t i = 0; i < RS_COUNT(names); i++)
        make(f, names[i]);
    fixture_write_c(f, "d/file", "");
    fixture_write_c(f, "d/left.over.tmp", "");
    assert_names(f, ".x/ 10/ 9/ B/ Z/ _z/ a/ a-b/ a.b/ a0/ a_b/ ab/ b/ file same-begin/ same-begin-1/ same-begin-2/ ");
}

static void after_finds_the_next_name(void **state)
{
    struct fixture *f = *state;
    make_d(f);
    make(f, "b");
    make(f, "d");
    struct rs_children *c = open_d(f);
    static const char *const after[] = {"", "a", "b", "bb", "d", "e"};
    static const size_t want[] = {0, 0, 1, 1, 2, 2};
    for (size_t i = 0; i < RS_COUNT(after); i++)
        assert_int_equal(rs_children_after(c, rs_str_c(after[i])), want[i]);
    rs_children_unref(&c);
}

/* 10 are in memory, 500 in a file, MANY were sorted in several runs. */
static void any_number_is_sorted(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {10, 500, MANY};
    for (size_t i = 0; i < RS_COUNT(counts); i++) {
        make_many(f, counts[i]);
        struct rs_children *c = open_d(f);
        assert_many(c, counts[i]);
        rs_children_unref(&c);
        fixture_remove(f, "d");
    }
}

static void an_unchanged_directory_is_read_once(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {3, 500};
    for (size_t i = 0; i < RS_COUNT(counts); i++) {
        make_many(f, counts[i]);
        settle();
        readings(f);
        for (int round = 0; round < 5; round++)
            open_and_close(f);
        assert_int_equal(readings(f), 1);
        fixture_remove(f, "d");
    }
}

static void a_change_is_seen_at_once(void **state)
{
    struct fixture *f = *state;
    make_d(f);
    make(f, "b");
    settle();
    assert_names(f, "b/ ");
    make(f, "a");
    assert_names(f, "a/ b/ ");
    drop(f, "b");
    assert_names(f, "a/ ");
    fixture_remove(f, "d");
    struct rs_children *c = NULL;
    assert_rc(f, RS_E_NOT_FOUND, rs_children_open(f->registry, D, &c, &f->err));
    make_d(f);
    assert_names(f, "");
}

/* Changes follow each other faster than the clock of the file system ticks: no reading may outlive one. */
static void changes_within_a_tick_are_seen(void **state)
{
    struct fixture *f = *state;
    make_d(f);
    for (int round = 0; round < 300; round++) {
        make(f, "x");
        assert_names(f, "x/ ");
        drop(f, "x");
        assert_names(f, "");
        if (round % 50 == 0)
            settle();
    }
}

static void a_reading_stays_as_it_is_while_it_is_held(void **state)
{
    struct fixture *f = *state;
    make_many(f, 500);
    settle();
    struct rs_children *before = open_d(f);
    make(f, "new");
    struct rs_children *after = open_d(f);
    assert_int_equal(rs_children_count(after), 501);
    assert_many(before, 500);
    rs_children_unref(&before);
    rs_children_unref(&after);
}

static void another_process_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct fixture *second = fixture_second(f);
    make_d(f);
    make(f, "a");
    settle();
    assert_names(f, "a/ ");
    make(second, "b");
    assert_names(f, "a/ b/ ");
    drop(second, "a");
    assert_names(f, "b/ ");
    fixture_second_free(&second);
}

static void swap(struct fixture *a, struct fixture *b)
{
    struct fixture c = *a;
    *a = *b;
    *b = c;
}

static uint64_t note_of(size_t i)
{
    return UINT64_C(0xfedcba9800000000) | i;
}

static void notes_are_carried_over(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {10, 500, MANY};
    for (size_t round = 0; round < RS_COUNT(counts); round++) {
        size_t count = counts[round];
        struct fixture *fresh_registry = fixture_second(f);
        swap(f, fresh_registry);
        fixture_second_free(&fresh_registry);
        make_many(f, count);
        settle();
        struct rs_children *c = open_d(f);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(rs_children_note(c, i), 0);
            rs_children_set_note(c, i, note_of(i));
        }
        rs_children_unref(&c);
        make(f, "00000");     /* before all others */
        make(f, "00005-new"); /* in between */
        char name[NAME + 1];
        name_of(7, name);
        drop(f, name);
        c = open_d(f);
        assert_int_equal(rs_children_count(c), count + 1);
        for (size_t i = 0; i < rs_children_count(c); i++) {
            rs_str child = rs_children_name(c, i);
            uint64_t number;
            assert_true(rs_str_u64(rs_str_sub(child, 0, 5), UINT64_MAX, &number));
            bool fresh = rs_str_eq_c(child, "00000") || rs_str_eq_c(child, "00005-new");
            assert_int_equal(rs_children_note(c, i), fresh ? 0 : note_of(number));
        }
        rs_children_unref(&c);
        fixture_remove(f, "d");
    }
}

static void a_broken_reading_is_an_error_and_not_kept(void **state)
{
    struct fixture *f = *state;
    struct rs_children *c = NULL;
    make_many(f, 500);
    settle();
    static const char *const plans[] = {"list:nth=1", "list:nth=1:fail-at-byte=400", "stat:nth=1", "stat:nth=2"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plans[i]), &f->err));
        assert_rc(f, RS_E_IO, rs_children_open(f->registry, D, &c, &f->err));
        assert_null(c);
        rs_storage_faulty_clear(f->storage);
    }
    c = open_d(f);
    assert_many(c, 500);
    rs_children_unref(&c);
    make(f, "new");
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:nth=1:fail-at-byte=400"), &f->err));
    assert_rc(f, RS_E_IO, rs_children_open(f->registry, D, &c, &f->err));
    c = open_d(f);
    assert_int_equal(rs_children_count(c), 501);
    rs_children_unref(&c);
}

static void without_a_state_directory_it_is_read_all_the_same(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rmdir(f->state), 0);
    make_many(f, MANY);
    struct rs_children *c = open_d(f);
    assert_many(c, MANY);
    rs_children_unref(&c);
}

/* Rounds leave more and more room: for nothing, for a part of the runs, for the runs alone. */
static void with_a_full_state_directory_it_is_read_all_the_same(void **state)
{
    struct fixture *f = *state;
    make_many(f, MANY);
    for (int mib = 0; mib < 8; mib++) {
        char size[32];
        snprintf(size, sizeof size, "size=%dk", mib * 1024 + 4);
        assert_int_equal(mount("none", f->state, "tmpfs", 0, size), 0);
        struct rs_children *c = open_d(f);
        assert_many(c, MANY);
        rs_children_set_note(c, 5, 5);
        assert_true(rs_children_note(c, 5) == 5 || mib < 7);
        rs_children_unref(&c);
        make(f, "00000"); /* so that it is read again */
        drop(f, "00000");
        struct fixture *second = fixture_second(f);
        swap(f, second);
        rs_registry_free(&second->registry); /* lets go of the files */
        assert_int_equal(umount2(second->state, 0), 0);
        fixture_second_free(&second);
    }
}

/* A tmpfs gives its last block away after the reading: looking at notes then must not need one. */
static void in_a_directory_that_fills_up_later_notes_can_be_read(void **state)
{
    struct fixture *f = *state;
    char path[512], block[4096] = {0};
    make_many(f, MANY);
    assert_int_equal(mount("none", f->state, "tmpfs", 0, "size=16m"), 0);
    struct rs_children *c = open_d(f);
    snprintf(path, sizeof path, "%s/full", f->state);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof block) > 0)
        continue;
    assert_int_equal(errno, ENOSPC);
    for (size_t i = 0; i < rs_children_count(c); i++)
        assert_true(rs_children_note(c, i) == 0);
    close(fd);
    rs_children_unref(&c);
    struct fixture *second = fixture_second(f);
    swap(f, second);
    rs_registry_free(&second->registry); /* lets go of the files */
    assert_int_equal(umount2(second->state, 0), 0);
    fixture_second_free(&second);
}

static void nothing_is_left_in_the_state_directory(void **state)
{
    struct fixture *f = *state;
    make_many(f, MANY);
    open_and_close(f);
    DIR *dir = opendir(f->state);
    assert_non_null(dir);
    int entries = 0;
    while (readdir(dir) != NULL)
        entries++;
    closedir(dir);
    assert_int_equal(entries, 2); /* itself and above */
}

static size_t open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void open_files_are_bounded(void **state)
{
    struct fixture *f = *state;
    size_t before = open_files();
    for (int d = 0; d < 80; d++) {
        make_many(f, 300);
        char from[512], to[512];
        snprintf(from, sizeof from, "%s" D, f->root);
        snprintf(to, sizeof to, "%s" D "%02d", f->root, d);
        assert_int_equal(rename(from, to), 0);
    }
    settle();
    for (int round = 0; round < 2; round++) {
        for (int d = 0; d < 80; d++) {
            char path[64];
            struct rs_children *c = NULL;
            snprintf(path, sizeof path, D "%02d", d);
            assert_ok(f, rs_children_open(f->registry, path, &c, &f->err));
            assert_int_equal(rs_children_count(c), 300);
            rs_children_unref(&c);
        }
        assert_in_range(open_files(), before + 32, before + 64);
    }
}

/* --- several threads --- */

#define THREADS 8

struct crowd {
    struct fixture *f;
    atomic_uint step; /* the number of names that are there, as far as everybody may know */
    atomic_uint failures;
};

/* What is there before a call begins must be in its answer. */
static void *look_again_and_again(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned seen = 0; seen < 200;) {
        struct rs_err err;
        struct rs_children *c = NULL;
        seen = atomic_load(&crowd->step);
        if (rs_children_open(crowd->f->registry, D, &c, &err) != RS_OK || rs_children_count(c) < 500 + seen)
            atomic_fetch_add(&crowd->failures, 1);
        else
            rs_children_set_note(c, seen, rs_children_note(c, seen) + 1);
        rs_children_unref(&c);
    }
    return NULL;
}

static void several_threads_see_each_change(void **state)
{
    struct crowd crowd = {.f = *state};
    pthread_t threads[THREADS];
    make_many(crowd.f, 500);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_again_and_again, &crowd), 0);
    for (unsigned i = 1; i <= 200; i++) {
        char name[64];
        snprintf(name, sizeof name, "new-%03u", i);
        make(crowd.f, name);
        atomic_store(&crowd.step, i);
        if (i % 20 == 0)
            usleep(15000);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.failures, 0);
}

static void *open_once(void *arg)
{
    open_and_close(arg);
    return NULL;
}

static void a_crowd_shares_a_reading(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS];
    make_many(f, 100);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:delay=200"), &f->err));
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_once, f), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(readings(f), 1, 2);
}

/* In memory: many directories are made. */
static int setup(void **state)
{
    return fixture_setup_below(state, "/dev/shm");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_there_or_no_directory_is_not_found),
        TEST(children_come_in_byte_order),
        TEST(after_finds_the_next_name),
        TEST(any_number_is_sorted),
        TEST(an_unchanged_directory_is_read_once),
        TEST(a_change_is_seen_at_once),
        TEST(changes_within_a_tick_are_seen),
        TEST(a_reading_stays_as_it_is_while_it_is_held),
        TEST(another_process_is_noticed),
        TEST(notes_are_carried_over),
        TEST(a_broken_reading_is_an_error_and_not_kept),
        TEST(without_a_state_directory_it_is_read_all_the_same),
        TEST(with_a_full_state_directory_it_is_read_all_the_same),
        TEST(in_a_directory_that_fills_up_later_notes_can_be_read),
        TEST(nothing_is_left_in_the_state_directory),
        TEST(open_files_are_bounded),
        TEST(several_threads_see_each_change),
        TEST(a_crowd_shares_a_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
