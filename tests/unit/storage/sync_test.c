/* SPDX-License-Identifier: Apache-2.0 */
/* DURABLE (fs_sync.c): which syncs are made, and that none is missing. Here fsync() is ours: it writes down what it is
 * called for, fails and waits as the test wishes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "temp.h"

#define RECORDS 20000

struct record {
    ino_t inode;
    uint64_t began; /* moments of one counter */
    uint64_t ended;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct record records[RECORDS];
static size_t record_count;
static atomic_uint_fast64_t moment;
static ino_t fail_inode; /* fsync of it fails … */
static unsigned fail_times;
static unsigned delay_ms;

int fsync(int fd)
{
    struct stat st;
    RS_ASSERT(fstat(fd, &st) == 0);
    uint64_t began = ++moment;
    if (delay_ms != 0)
        temp_sleep_ms(delay_ms);
    pthread_mutex_lock(&mutex);
    bool fails = st.st_ino == fail_inode && fail_times != 0;
    fail_times -= fails;
    if (!fails) {
        RS_ASSERT(record_count < RECORDS);
        records[record_count++] = (struct record){.inode = st.st_ino, .began = began, .ended = ++moment};
    }
    pthread_mutex_unlock(&mutex);
    errno = EIO;
    return fails ? -1 : 0;
}

static bool without_birth;    /* a file system that does not know when a file was made */
static const char *one_inode; /* a path whose inode is the same one, born at the same tick, whenever it is made */

static void path_of(int fd, const char *name, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    RS_ASSERT(n > 0);
    snprintf(out + n, PATH_MAX - (size_t)n, "%s%s", *name != '\0' ? "/" : "", name);
}

int statx(int fd, const char *restrict name, int flags, unsigned mask, struct statx *restrict sx)
{
    char path[PATH_MAX];
    if (syscall(SYS_statx, fd, name, flags, mask, sx) != 0)
        return -1;
    if (without_birth)
        sx->stx_mask &= ~STATX_BTIME;
    path_of(fd, name, path);
    if (one_inode != NULL && rs_str_ends(rs_str_c(path), rs_str_c(one_inode))) {
        sx->stx_ino = 4711;
        sx->stx_btime = (struct statx_timestamp){.tv_sec = 1};
    }
    return 0;
}

static void forget_records(void)
{
    pthread_mutex_lock(&mutex);
    record_count = 0;
    pthread_mutex_unlock(&mutex);
}

static int setup(void **state)
{
    fail_inode = 0;
    fail_times = 0;
    delay_ms = 0;
    without_birth = false;
    one_inode = NULL;
    if (temp_setup(state) != 0)
        return -1;
    struct temp *t = *state; /* what is above the root is synced by the first that comes so far */
    temp_put(t, "/first", "x");
    temp_sync(t);
    forget_records();
    return 0;
}

static unsigned times_synced(struct temp *t, const char *path)
{
    ino_t inode = temp_inode(t, path);
    unsigned times = 0;
    for (size_t i = 0; i < record_count; i++)
        times += records[i].inode == inode;
    return times;
}

/* --- which syncs are made --- */

static void test_a_new_object_syncs_all_above(void **state)
{
    struct temp *t = *state;
    uint64_t before = rs_storage_flushes(t->storage);
    temp_put(t, "/a/b/c/link", "x");
    assert_int_equal(record_count, 1);
    assert_int_equal(times_synced(t, "/a/b/c/link"), 1);
    temp_sync(t);
    assert_int_equal(record_count, 5);
    assert_int_equal(times_synced(t, "/a/b/c"), 1);
    assert_int_equal(times_synced(t, "/a/b"), 1);
    assert_int_equal(times_synced(t, "/a"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
    assert_int_equal(rs_storage_flushes(t->storage), before + 5);
}

static void test_the_second_object_syncs_its_directory_only(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/b/c/link", "x");
    temp_sync(t);
    forget_records();
    temp_put(t, "/a/b/c/other", "x");
    temp_sync(t);
    assert_int_equal(record_count, 2);
    assert_int_equal(times_synced(t, "/a/b/c/other"), 1);
    assert_int_equal(times_synced(t, "/a/b/c"), 1);
    forget_records();
    temp_put(t, "/a/b/d/link", "x");
    temp_sync(t);
    assert_int_equal(record_count, 3);
    assert_int_equal(times_synced(t, "/a/b/d"), 1);
    assert_int_equal(times_synced(t, "/a/b"), 1);
}

static void test_without_a_batch_nothing_is_synced(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/a/b", "x");
    struct rs_storage_file *file = temp_grow(t, "/c/d", "x");
    rs_storage_append_close(&file);
    assert_int_equal(rs_storage_remove(t->storage, "/a", NULL, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(record_count, 0);
}

static void test_directories_that_others_made_are_synced_too(void **state)
{
    struct temp *t = *state;
    struct rs_storage *other = NULL;
    assert_int_equal(rs_storage_fs_new(t->root, &other, &t->err), RS_OK);
    forget_records();
    /* Another process has made /a/b and /a/b/c, visible but not durable. */
    assert_int_equal(rs_storage_put(other, "/a/b/c/link", RS_STR("x"), NULL, &t->err), RS_OK);
    temp_put(t, "/a/b/d/link", "x");
    temp_sync(t);
    assert_int_equal(times_synced(t, "/a/b/d"), 1);
    assert_int_equal(times_synced(t, "/a/b"), 1);
    assert_int_equal(times_synced(t, "/a"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
    assert_int_equal(times_synced(t, "/a/b/c"), 0);
    rs_storage_free(&other);
}

static void test_a_batch_syncs_each_directory_once(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/r/blobs/ab/data", "x");
    temp_put(t, "/r/blobs/cd/data", "x");
    temp_put(t, "/r/links/ab/link", "x");
    temp_put(t, "/r/links/ab/second", "x");
    temp_sync(t);
    assert_int_equal(record_count, 4 + 7);
    assert_int_equal(times_synced(t, "/r"), 1);
    assert_int_equal(times_synced(t, "/r/blobs"), 1);
    assert_int_equal(times_synced(t, "/r/blobs/ab"), 1);
    assert_int_equal(times_synced(t, "/r/blobs/cd"), 1);
    assert_int_equal(times_synced(t, "/r/links"), 1);
    assert_int_equal(times_synced(t, "/r/links/ab"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
}

static void test_a_batch_of_any_size(void **state)
{
    struct temp *t = *state;
    char path[40];
    for (int i = 0; i < 3 * RS_BATCH_MAX; i++) {
        snprintf(path, sizeof(path), "/d%d/f", i);
        temp_put(t, path, "x");
    }
    temp_sync(t);
    for (int i = 0; i < 3 * RS_BATCH_MAX; i++) {
        snprintf(path, sizeof(path), "/d%d", i);
        assert_int_equal(times_synced(t, path), 1);
    }
}

static void test_a_batch_can_be_dropped(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/b", "x");
    forget_records();
    rs_storage_batch_release(&t->batch);
    assert_int_equal(t->batch.count, 0);
    temp_sync(t);
    assert_int_equal(record_count, 0);
}

static void test_a_removal_syncs_what_is_above(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/b/c/link", "x");
    temp_sync(t);
    forget_records();
    assert_int_equal(rs_storage_remove(t->storage, "/a/b/c", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(record_count, 1);
    assert_int_equal(times_synced(t, "/a/b"), 1);
    /* Somebody else removed it a moment ago: the answer promises the same. */
    assert_int_equal(rs_storage_remove(t->storage, "/a/b/c", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(times_synced(t, "/a/b"), 2);
    /* What is above is gone as well: then the nearest that is left. */
    forget_records();
    assert_int_equal(rs_storage_remove(t->storage, "/a/b/c", &t->batch, &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/a", NULL, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(record_count, 1);
    assert_int_equal(times_synced(t, "/"), 1);
}

static void test_a_directory_made_again_is_another_one(void **state)
{
    struct temp *t = *state;
    one_inode = "/a/b";
    for (int i = 0; i < 5; i++) {
        temp_put(t, "/a/b/link", "x");
        temp_sync(t);
        assert_int_equal(times_synced(t, "/a/b"), 1);
        assert_int_equal(times_synced(t, "/a"), 1);
        assert_int_equal(rs_storage_remove(t->storage, i % 2 ? "/a" : "/a/b", NULL, &t->err), RS_OK);
        forget_records();
    }
}

static void test_without_birth_times_nothing_is_known(void **state)
{
    struct temp *t = *state;
    without_birth = true;
    for (int i = 0; i < 3; i++) {
        temp_put(t, "/a/b/link", "x");
        temp_put(t, "/a/c/link", "x");
        assert_int_equal(rs_storage_mkdir(t->storage, "/a/d", &t->batch, &t->err), RS_OK);
        temp_sync(t);
        assert_int_equal(times_synced(t, "/a/b"), 1);
        assert_int_equal(times_synced(t, "/a"), 1);
        assert_int_equal(times_synced(t, "/"), 1);
        assert_int_equal(rs_storage_keep(t->storage, "/a/b/link", &t->batch, &t->err), RS_OK);
        assert_int_equal(t->batch.count, 1);
        temp_sync(t);
        forget_records();
    }
}

static void test_what_is_above_the_root_is_synced_once(void **state)
{
    struct temp *t = *state;
    struct rs_storage *storage = NULL;
    struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    assert_int_equal(rs_storage_fs_new(temp_path(t, "/new/deep/root"), &storage, &t->err), RS_OK);
    assert_int_equal(record_count, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rs_storage_put(storage, i == 0 ? "/a/f" : "/b/f", RS_STR("x"), &batch, &t->err), RS_OK);
        assert_int_equal(rs_storage_sync(storage, &batch, &t->err), RS_OK);
        assert_int_equal(times_synced(t, "/new/deep/root"), i + 1);
        assert_int_equal(times_synced(t, "/new/deep"), 1);
        assert_int_equal(times_synced(t, "/new"), 1);
        assert_int_equal(times_synced(t, "/"), 1);
    }
    rs_storage_free(&storage);
    /* A root that was there: its entry may still be new. */
    forget_records();
    assert_int_equal(rs_storage_fs_new(temp_path(t, "/new/deep/root"), &storage, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(storage, "/c/f", RS_STR("x"), &batch, &t->err), RS_OK);
    assert_int_equal(rs_storage_sync(storage, &batch, &t->err), RS_OK);
    assert_int_equal(times_synced(t, "/new/deep"), 1);
    assert_int_equal(times_synced(t, "/new"), 0);
    rs_storage_free(&storage);
}

static void test_mkdir_syncs_its_entry(void **state)
{
    struct temp *t = *state;
    assert_int_equal(rs_storage_mkdir(t->storage, "/r/_layers", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(record_count, 2);
    assert_int_equal(times_synced(t, "/r"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
    assert_int_equal(rs_storage_mkdir(t->storage, "/r/_layers", &t->batch, &t->err), RS_OK);
    assert_int_equal(t->batch.count, 0);
    temp_sync(t);
    assert_int_equal(record_count, 2);
    /* Another process made it, and has not synced it. */
    assert_int_equal(mkdir(temp_path(t, "/r/other"), 0755), 0);
    assert_int_equal(rs_storage_mkdir(t->storage, "/r/other", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(times_synced(t, "/r"), 2);
    /* Below it nothing is known yet, but it is itself. */
    forget_records();
    temp_put(t, "/r/_layers/f", "x");
    temp_sync(t);
    assert_int_equal(record_count, 2);
    assert_int_equal(times_synced(t, "/r/_layers"), 1);
}

static void test_mkdir_where_a_file_lies(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/file", "x");
    temp_sync(t);
    assert_int_equal(rs_storage_mkdir(t->storage, "/file", &t->batch, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_mkdir(t->storage, "/file/below", &t->batch, &t->err), RS_E_IO);
    assert_int_equal(t->batch.count, 0);
}

/* --- what is there already --- */

static void test_keep_of_what_we_synced_is_free(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/link", "x");
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    forget_records();
    assert_int_equal(rs_storage_keep(t->storage, "/a/link", &t->batch, &t->err), RS_OK);
    assert_int_equal(rs_storage_keep(t->storage, "/blob/data", &t->batch, &t->err), RS_OK);
    assert_int_equal(t->batch.count, 0);
    temp_sync(t);
    assert_int_equal(record_count, 0);
}

static void test_keep_of_what_others_wrote_is_not(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/a/b/data", "x");
    assert_int_equal(rs_storage_keep(t->storage, "/a/b/data", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(record_count, 4);
    assert_int_equal(times_synced(t, "/a/b/data"), 1);
    assert_int_equal(times_synced(t, "/a/b"), 1);
    assert_int_equal(times_synced(t, "/a"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
    assert_int_equal(rs_storage_keep(t->storage, "/a/b/data", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(record_count, 4);
}

static void test_keep_between_put_and_sync_of_another(void **state)
{
    struct temp *t = *state;
    struct rs_storage_batch second;
    rs_storage_batch_init(&second);
    temp_put(t, "/a/data", "x");
    assert_int_equal(rs_storage_keep(t->storage, "/a/data", &second, &t->err), RS_OK);
    assert_int_equal(rs_storage_sync(t->storage, &second, &t->err), RS_OK);
    assert_int_equal(times_synced(t, "/a/data"), 2);
    assert_int_equal(times_synced(t, "/a"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
    temp_sync(t);
}

static void test_keep_sees_that_a_file_changed(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/link", "x");
    temp_sync(t);
    temp_sleep_ms(20);
    temp_write(t, "/a/link", "y");
    forget_records();
    assert_int_equal(rs_storage_keep(t->storage, "/a/link", &t->batch, &t->err), RS_OK);
    assert_int_equal(times_synced(t, "/a/link"), 1);
}

static void test_publish_onto_what_another_has_not_synced(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/blob/data", "content");
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    assert_int_equal(times_synced(t, "/blob/data"), 1);
    assert_int_equal(times_synced(t, "/blob"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
}

static void test_publish_of_what_is_there_syncs_nothing(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 2; i++) {
        struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
        assert_int_equal(rs_storage_publish(&file, "/blob/data", &t->batch, &t->err), RS_OK);
        temp_sync(t);
        assert_int_equal(record_count, 3);
        assert_false(temp_exists(t, "/up/data"));
    }
}

/* --- failure --- */

static void test_a_failed_sync_makes_nothing_known(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/a/b/link", "x");
    fail_inode = temp_inode(t, "/a");
    fail_times = 1;
    assert_int_equal(rs_storage_sync(t->storage, &t->batch, &t->err), RS_E_IO);
    assert_non_null(strstr(t->err.text, "/a"));
    assert_int_equal(t->batch.count, 1);
    forget_records();
    temp_sync(t);
    assert_int_equal(times_synced(t, "/a/b"), 1);
    assert_int_equal(times_synced(t, "/a"), 1);
    assert_int_equal(times_synced(t, "/"), 1);
    assert_int_equal(record_count, 3);
}

static void test_a_full_batch_that_cannot_be_synced_writes_nothing(void **state)
{
    struct temp *t = *state;
    char path[40];
    for (int i = 0; i < RS_BATCH_MAX; i++) {
        snprintf(path, sizeof(path), "/d/%d", i);
        temp_put(t, path, "x");
    }
    fail_inode = temp_inode(t, "/d");
    fail_times = 1;
    assert_int_equal(rs_storage_put(t->storage, "/d/last", RS_STR("x"), &t->batch, &t->err), RS_E_IO);
    assert_false(temp_exists(t, "/d/last"));
    assert_int_equal(t->batch.count, RS_BATCH_MAX);
}

/* --- many at once --- */

#define THREADS 12
#define ROUNDS 6

struct client {
    struct temp *t;
    int number;
    bool failed;
    uint64_t changed[ROUNDS]; /* the moment after the change, before the sync */
    uint64_t answered[ROUNDS];
};

static void *put_and_sync(void *arg)
{
    struct client *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct rs_storage_batch batch;
        struct rs_err err;
        char path[40];
        snprintf(path, sizeof(path), "/shared/%d-%d", c->number, i);
        rs_storage_batch_init(&batch);
        c->failed |= rs_storage_put(c->t->storage, path, RS_STR("x"), &batch, &err) != RS_OK;
        c->changed[i] = ++moment;
        c->failed |= rs_storage_sync(c->t->storage, &batch, &err) != RS_OK;
        c->answered[i] = ++moment;
    }
    return NULL;
}

static bool synced_between(ino_t inode, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < record_count; i++)
        if (records[i].inode == inode && records[i].began > from && records[i].ended < to)
            return true;
    return false;
}

static void test_syncs_are_shared_and_none_comes_too_early(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/shared/first", "x");
    temp_sync(t);
    forget_records();
    delay_ms = 5;
    struct client clients[THREADS] = {0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        clients[i].t = t;
        clients[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_sync, &clients[i]), 0);
    }
    ino_t shared = temp_inode(t, "/shared");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_false(clients[i].failed);
        for (int round = 0; round < ROUNDS; round++)
            assert_true(synced_between(shared, clients[i].changed[round], clients[i].answered[round]));
    }
    /* Each waits for two rounds at most, and a round serves all who wait. */
    assert_in_range(times_synced(t, "/shared"), ROUNDS, THREADS * ROUNDS / 2);
}

static void *sync_once(void *arg)
{
    struct client *c = arg;
    struct rs_storage_batch batch;
    struct rs_err err;
    rs_storage_batch_init(&batch);
    char path[40];
    snprintf(path, sizeof(path), "/shared/%d", c->number);
    c->failed = rs_storage_put(c->t->storage, path, RS_STR("x"), &batch, &err) != RS_OK ||
                rs_storage_sync(c->t->storage, &batch, &err) != RS_OK;
    rs_storage_batch_release(&batch);
    return NULL;
}

static void test_a_failed_round_fails_for_all_it_serves(void **state)
{
    struct temp *t = *state;
    temp_put(t, "/shared/first", "x");
    temp_sync(t);
    forget_records();
    delay_ms = 30;
    fail_inode = temp_inode(t, "/shared");
    fail_times = 1;
    struct client clients[THREADS] = {0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        clients[i].t = t;
        clients[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, sync_once, &clients[i]), 0);
    }
    unsigned failed = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        failed += clients[i].failed;
    }
    assert_int_equal(fail_times, 0);
    /* At least who led the round; whoever succeeded had a later round that did. */
    assert_in_range(failed, 1, THREADS);
    assert_true(failed == THREADS || times_synced(t, "/shared") > 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_new_object_syncs_all_above),
        T(test_the_second_object_syncs_its_directory_only),
        T(test_without_a_batch_nothing_is_synced),
        T(test_directories_that_others_made_are_synced_too),
        T(test_a_batch_syncs_each_directory_once),
        T(test_a_batch_of_any_size),
        T(test_a_batch_can_be_dropped),
        T(test_a_removal_syncs_what_is_above),
        T(test_a_directory_made_again_is_another_one),
        T(test_without_birth_times_nothing_is_known),
        T(test_what_is_above_the_root_is_synced_once),
        T(test_mkdir_syncs_its_entry),
        T(test_mkdir_where_a_file_lies),
        T(test_keep_of_what_we_synced_is_free),
        T(test_keep_of_what_others_wrote_is_not),
        T(test_keep_between_put_and_sync_of_another),
        T(test_keep_sees_that_a_file_changed),
        T(test_publish_onto_what_another_has_not_synced),
        T(test_publish_of_what_is_there_syncs_nothing),
        T(test_a_failed_sync_makes_nothing_known),
        T(test_a_full_batch_that_cannot_be_synced_writes_nothing),
        T(test_syncs_are_shared_and_none_comes_too_early),
        T(test_a_failed_round_fails_for_all_it_serves),
    };
    return cmocka_run_group_tests_name("storage/sync", tests, NULL, NULL);
}
