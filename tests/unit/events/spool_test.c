/* SPDX-License-Identifier: Apache-2.0 */
#include "events/spool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "events/record.h"

#define BIG (64 * 1024 * 1024)

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/rs-spool-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static void open_it(struct spool *s, uint64_t max)
{
    struct rs_err err;
    assert_int_equal(spool_open(s, directory, max, &err), RS_OK);
}

/* Appends "<first>", "<first + 1>", … padded to a length, in one call. */
static rs_rc append(struct spool *s, unsigned first, unsigned count, size_t padding)
{
    struct rs_buf records, event;
    rs_buf_init(&records, BIG);
    rs_buf_init(&event, RECORD_MAX);
    for (unsigned i = first; i < first + count; i++) {
        rs_buf_clear(&event);
        rs_buf_printf(&event, "%u%*s", i, (int)padding, "");
        record_add(&records, rs_buf_str(&event));
    }
    struct rs_err err;
    rs_rc rc = spool_append(s, rs_buf_str(&records), &err);
    rs_buf_release(&records);
    rs_buf_release(&event);
    return rc;
}

/* Reads and consumes one; its number, or -1. */
static int take(struct spool *s)
{
    struct rs_buf out;
    struct spool_mark mark;
    size_t count;
    int number = -1;
    rs_buf_init(&out, 2 * RECORD_MAX);
    spool_read(s, 1, &out, &count, &mark);
    if (count == 1) {
        number = (int)strtol(rs_buf_z(&out), NULL, 10);
        spool_done(s, &mark);
    }
    rs_buf_release(&out);
    return number;
}

static uint64_t pending(struct spool *s)
{
    uint64_t pending, dropped, bytes;
    spool_stats(s, &pending, &dropped, &bytes);
    return pending;
}

static uint64_t dropped(struct spool *s)
{
    uint64_t pending, dropped, bytes;
    spool_stats(s, &pending, &dropped, &bytes);
    return dropped;
}

static unsigned files(void)
{
    unsigned count = 0;
    DIR *dir = opendir(directory);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        count += e->d_name[0] == '0';
    closedir(dir);
    return count;
}

/* The path of the only, or last, segment. */
static const char *segment(unsigned number)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%016x", directory, number);
    return path;
}

static void what_goes_in_comes_out_in_order(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, BIG);
    assert_int_equal(take(&s), -1);
    assert_int_equal(append(&s, 0, 3, 10), RS_OK);
    assert_int_equal(append(&s, 3, 1, 0), RS_OK);
    assert_int_equal(pending(&s), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(&s), i);
    assert_int_equal(take(&s), -1);
    assert_int_equal(pending(&s), 0);
    assert_int_equal(append(&s, 4, 1, 0), RS_OK);
    assert_int_equal(take(&s), 4);
    spool_release(&s);
}

static void what_is_not_done_is_read_again(void **state)
{
    (void)state;
    struct spool s;
    struct rs_buf out;
    struct spool_mark mark;
    size_t count;
    open_it(&s, BIG);
    rs_buf_init(&out, 2 * RECORD_MAX);
    append(&s, 7, 5, 0);
    spool_read(&s, 3, &out, &count, &mark);
    assert_int_equal(count, 3);
    assert_true(rs_str_eq_c(rs_buf_str(&out), "7,8,9"));
    assert_int_equal(take(&s), 7);
    rs_buf_clear(&out);
    spool_read(&s, 100, &out, &count, &mark);
    assert_true(rs_str_eq_c(rs_buf_str(&out), "8,9,10,11"));
    spool_done(&s, &mark);
    assert_int_equal(pending(&s), 0);
    rs_buf_release(&out);
    spool_release(&s);
}

static void what_waits_survives(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, BIG);
    append(&s, 0, 5, 0);
    assert_int_equal(take(&s), 0);
    assert_int_equal(take(&s), 1);
    spool_release(&s); /* nothing is written by this: a kill leaves the same */
    open_it(&s, BIG);
    assert_int_equal(pending(&s), 3);
    append(&s, 5, 2, 0);
    for (int i = 2; i < 7; i++)
        assert_int_equal(take(&s), i);
    spool_release(&s);
    open_it(&s, BIG);
    assert_int_equal(take(&s), -1);
    append(&s, 7, 1, 0);
    assert_int_equal(take(&s), 7);
    assert_int_equal(files(), 1); /* delivered segments go */
    spool_release(&s);
}

static void segments_are_removed_when_delivered(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, 16 * 1024);
    for (unsigned i = 0; i < 100; i++) {
        append(&s, i, 1, 400);
        assert_int_equal(take(&s), (int)i);
        assert_in_range(files(), 1, 2);
    }
    assert_int_equal(dropped(&s), 0);
    spool_release(&s);
}

static void a_full_queue_drops_its_oldest(void **state)
{
    (void)state;
    struct spool s;
    uint64_t waiting, lost, bytes;
    open_it(&s, 16 * 1024);
    append(&s, 0, 10, 100);
    assert_int_equal(take(&s), 0);
    append(&s, 10, 190, 100); /* one call, several segments */
    spool_stats(&s, &waiting, &lost, &bytes);
    assert_in_range(bytes, 8 * 1024, 17 * 1024 + 256);
    assert_int_equal(waiting + lost, 199);
    assert_true(lost > 50);
    int next = take(&s);
    assert_int_equal(next, 200 - (int)waiting);
    while (++next < 200)
        assert_int_equal(take(&s), next);
    assert_int_equal(take(&s), -1);
    assert_int_equal(pending(&s), 0);
    spool_release(&s);
}

static void a_reader_in_a_dropped_segment_goes_on_behind_it(void **state)
{
    (void)state;
    struct spool s;
    struct rs_buf out;
    struct spool_mark mark;
    size_t count;
    open_it(&s, 16 * 1024);
    rs_buf_init(&out, 2 * RECORD_MAX);
    append(&s, 0, 10, 100);
    spool_read(&s, 1, &out, &count, &mark);
    assert_int_equal(count, 1);
    append(&s, 10, 300, 100);
    uint64_t before = pending(&s);
    spool_done(&s, &mark); /* delivered meanwhile, and dropped */
    assert_int_equal(pending(&s), before);
    assert_int_equal(take(&s), 310 - (int)before);
    rs_buf_release(&out);
    spool_release(&s);
}

static void a_torn_end_is_passed_over(void **state)
{
    (void)state;
    for (int cut = 1; cut < 40; cut++) {
        struct spool s;
        struct stat st;
        make_directory(NULL);
        open_it(&s, BIG);
        append(&s, 0, 3, 10);
        spool_release(&s);
        assert_int_equal(stat(segment(1), &st), 0);
        assert_int_equal(truncate(segment(1), st.st_size - cut), 0);
        open_it(&s, BIG);
        append(&s, 3, 1, 0); /* not behind the torn record */
        int got = take(&s);
        assert_int_equal(got, 0);
        while ((got = take(&s)) >= 0 && got < 3)
            ;
        assert_int_equal(got, 3);
        assert_int_equal(take(&s), -1);
        assert_int_equal(pending(&s), 0);
        spool_release(&s);
        remove_directory(NULL);
    }
    make_directory(NULL);
}

static void a_damaged_record_hides_what_follows_in_its_segment_alone(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, BIG);
    append(&s, 0, 5, 10);
    spool_release(&s);
    int fd = open(segment(1), O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 2 * (RECORD_HEAD + 11) + RECORD_HEAD + 3), 1);
    close(fd);
    open_it(&s, BIG);
    append(&s, 5, 2, 0);
    assert_int_equal(take(&s), 0);
    assert_int_equal(take(&s), 1);
    assert_int_equal(take(&s), 5);
    assert_int_equal(dropped(&s), 3);
    assert_int_equal(take(&s), 6);
    assert_int_equal(pending(&s), 0);
    spool_release(&s);
}

static void a_broken_position_delivers_again(void **state)
{
    (void)state;
    struct spool s;
    char path[128];
    open_it(&s, BIG);
    append(&s, 0, 3, 0);
    take(&s);
    spool_release(&s);
    snprintf(path, sizeof path, "%s/position", directory);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff", 1, 17), 1);
    close(fd);
    open_it(&s, BIG);
    assert_int_equal(take(&s), 0);
    spool_release(&s);
    assert_int_equal(truncate(path, 5), 0);
    open_it(&s, BIG);
    assert_int_equal(take(&s), 0);
    spool_release(&s);
}

static void a_position_beyond_the_files_is_the_end(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, BIG);
    append(&s, 0, 3, 0);
    while (take(&s) >= 0)
        ;
    spool_release(&s);
    assert_int_equal(truncate(segment(1), 5), 0); /* a loss of power took it, not the position */
    open_it(&s, BIG);
    assert_int_equal(take(&s), -1);
    spool_release(&s);
    assert_int_equal(unlink(segment(1)), 0);
    open_it(&s, BIG);
    append(&s, 9, 1, 0);
    assert_int_equal(take(&s), 9);
    spool_release(&s);
}

static void other_files_are_left_alone(void **state)
{
    (void)state;
    struct spool s;
    char path[128];
    snprintf(path, sizeof path, "%s/000000000000000G", directory);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    open_it(&s, BIG);
    append(&s, 1, 1, 0);
    assert_int_equal(take(&s), 1);
    spool_release(&s);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_disk_that_fails_drops_and_counts(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, BIG);
    append(&s, 0, 2, 0);
    int good = s.write_fd;
    s.write_fd = open("/dev/full", O_WRONLY);
    assert_int_equal(append(&s, 2, 3, 0), RS_E_STORAGE_FULL);
    assert_int_equal(dropped(&s), 3);
    close(s.write_fd);
    s.write_fd = good;
    assert_int_equal(append(&s, 5, 1, 0), RS_OK);
    assert_int_equal(take(&s), 0);
    assert_int_equal(take(&s), 1);
    assert_int_equal(take(&s), 5);
    spool_release(&s);
}

static void *append_many(void *arg)
{
    for (unsigned i = 0; i < 3000; i += 3)
        assert_int_equal(append(arg, i, 3, 50), RS_OK);
    return NULL;
}

static void one_appends_while_one_reads(void **state)
{
    (void)state;
    struct spool s;
    pthread_t thread;
    open_it(&s, 1024 * 1024);
    assert_int_equal(rs_thread_start(&thread, append_many, &s), 0);
    for (int i = 0; i < 3000; i++) {
        assert_true(spool_wait(&s, 10000));
        assert_int_equal(take(&s), i);
    }
    pthread_join(thread, NULL);
    assert_int_equal(pending(&s), 0);
    spool_release(&s);
}

static void *append_too_much(void *arg)
{
    for (unsigned i = 0; i < 6000; i += 6)
        append(arg, i, 6, 200);
    return NULL;
}

static void the_order_holds_while_segments_are_dropped(void **state)
{
    (void)state;
    struct spool s;
    pthread_t thread;
    int last = -1, got = 0;
    open_it(&s, 32 * 1024);
    assert_int_equal(rs_thread_start(&thread, append_too_much, &s), 0);
    while (last < 5999 && spool_wait(&s, 5000)) {
        int next = take(&s);
        if (next < 0)
            continue;
        assert_true(next > last);
        last = next;
        got++;
    }
    pthread_join(thread, NULL);
    assert_int_equal(last, 5999);
    /* Nothing is lost without being counted; one that is being read while its segment is dropped counts twice. */
    assert_in_range(got, 1, 6000);
    assert_in_range(got + (int)dropped(&s), 6000, 2 * 6000);
    spool_release(&s);
}

static void closing_ends_the_waits(void **state)
{
    (void)state;
    struct spool s;
    open_it(&s, BIG);
    assert_false(spool_wait(&s, 10));
    spool_close(&s);
    assert_false(spool_wait(&s, 60000));
    assert_false(spool_pause(&s, 60000));
    append(&s, 1, 1, 0);
    assert_int_equal(take(&s), 1); /* what is there can be read */
    spool_release(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_goes_in_comes_out_in_order),
        TEST(what_is_not_done_is_read_again),
        TEST(what_waits_survives),
        TEST(segments_are_removed_when_delivered),
        TEST(a_full_queue_drops_its_oldest),
        TEST(a_reader_in_a_dropped_segment_goes_on_behind_it),
        TEST(a_torn_end_is_passed_over),
        TEST(a_damaged_record_hides_what_follows_in_its_segment_alone),
        TEST(a_broken_position_delivers_again),
        TEST(a_position_beyond_the_files_is_the_end),
        TEST(other_files_are_left_alone),
        TEST(a_disk_that_fails_drops_and_counts),
        TEST(one_appends_while_one_reads),
        TEST(the_order_holds_while_segments_are_dropped),
        TEST(closing_ends_the_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
