/* SPDX-License-Identifier: Apache-2.0 */
/* The driver that fails on demand. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics/metrics.h"
#include "storage/faulty.h"
#include "temp.h"

/* Every test of the local disk's usual ways runs on a faulty one: without rules it must be no different. */
static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    struct temp *t = *state;
    rs_storage_faulty_new(rs_take(&t->storage), &t->storage);
    return 0;
}

static void plan(struct temp *t, const char *text)
{
    assert_int_equal(rs_storage_faulty_parse(t->storage, rs_str_c(text), &t->err), RS_OK);
}

static bool count_entry(void *ctx, rs_str name, bool is_directory)
{
    (void)name, (void)is_directory;
    ++*(size_t *)ctx;
    return true;
}

static void test_without_rules_all_passes(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    struct rs_source source;
    size_t entries = 0, n;
    char buf[4];
    temp_put(t, "/d/a", "12345");
    assert_int_equal(rs_storage_keep(t->storage, "/d/a", &t->batch, &t->err), RS_OK);
    temp_sync(t);
    temp_assert_holds(t, "/d/a", "12345");
    assert_int_equal(rs_storage_stat(t->storage, "/d/a", &st, &t->err), RS_OK);
    assert_int_equal(rs_storage_open(t->storage, "/d/a", &source, &st, &t->err), RS_OK);
    assert_int_equal(source.length, 5);
    rs_source_release(&source);
    struct rs_storage_file *file = temp_grow(t, "/up/data", "content");
    assert_int_equal(rs_storage_append_read(file, 1, buf, 4, &n, &t->err), RS_OK);
    assert_memory_equal(buf, "onte", 4);
    assert_true(rs_storage_append_trusted(file));
    assert_int_equal(rs_storage_publish(&file, "/d/b", &t->batch, &t->err), RS_OK);
    assert_null(file);
    temp_sync(t);
    assert_int_equal(rs_storage_scan(t->storage, "/d", count_entry, &entries, &t->err), RS_OK);
    assert_int_equal(entries, 2);
    assert_int_equal(rs_storage_mkdir(t->storage, "/d/c", NULL, &t->err), RS_OK);
    assert_true(temp_exists(t, "/d/c"));
    assert_int_equal(rs_storage_move(t->storage, "/d/b", "/d/e", NULL, &t->err), RS_OK);
    temp_assert_holds(t, "/d/e", "content");
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_OK);
    assert_true(rs_storage_flushes(t->storage) > 4);
    assert_string_equal(rs_storage_name(t->storage), "faulty");
    for (int call = 0; call < RS_FAULTY_CALLS; call++)
        assert_true(rs_storage_faulty_calls(t->storage, (enum rs_faulty_call)call) > 0);
    assert_int_equal(rs_storage_faulty_failures(t->storage), 0);
}

static rs_rc put(struct temp *t)
{
    return rs_storage_put(t->storage, "/x", RS_STR("x"), NULL, &t->err);
}

static void test_the_nth_call_fails_once(void **state)
{
    struct temp *t = *state;
    plan(t, "put:nth=3:error=STORAGE_FULL");
    assert_int_equal(put(t), RS_OK);
    assert_int_equal(put(t), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/x", NULL, &t->err), RS_OK);
    assert_int_equal(put(t), RS_E_STORAGE_FULL);
    assert_non_null(strstr(t->err.text, "put"));
    assert_false(temp_exists(t, "/x"));
    assert_int_equal(put(t), RS_OK);
    assert_int_equal(rs_storage_faulty_calls(t->storage, RS_FAULTY_PUT), 4);
    assert_int_equal(rs_storage_faulty_failures(t->storage), 1);
}

static void test_fails_for_good_or_some_times(void **state)
{
    struct temp *t = *state;
    plan(t, "put");
    for (int i = 0; i < 5; i++)
        assert_int_equal(put(t), RS_E_IO);
    rs_storage_faulty_clear(t->storage);
    assert_int_equal(rs_storage_faulty_failures(t->storage), 0);
    plan(t, " put:nth=2:times=2:error=CORRUPT ; ");
    assert_int_equal(put(t), RS_OK);
    assert_int_equal(put(t), RS_E_CORRUPT);
    assert_int_equal(put(t), RS_E_CORRUPT);
    assert_int_equal(put(t), RS_OK);
}

static void test_any_call(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    plan(t, "any:nth=2");
    assert_int_equal(put(t), RS_OK);
    assert_int_equal(rs_storage_stat(t->storage, "/x", &st, &t->err), RS_E_IO);
    assert_int_equal(rs_storage_stat(t->storage, "/x", &st, &t->err), RS_OK);
}

static void test_each_kind_of_call(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    struct rs_source source;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    size_t n;
    char buf[4];
    temp_put(t, "/d/a", "12345");
    temp_sync(t);
    struct rs_storage_file *open_file = temp_grow(t, "/up", "content");
    plan(t, "any:error=BUSY");
    RS_AUTO(rs_buf_release) struct rs_buf out;
    rs_buf_init(&out, 100);
    assert_int_equal(rs_storage_stat(t->storage, "/d/a", &st, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_read(t->storage, "/d/a", &out, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_open(t->storage, "/d/a", &source, NULL, &t->err), RS_E_BUSY);
    assert_int_equal(put(t), RS_E_BUSY);
    assert_int_equal(rs_storage_keep(t->storage, "/d/a", &t->batch, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_mkdir(t->storage, "/d/c", NULL, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_remove(t->storage, "/d", NULL, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_scan(t->storage, "/d", count_entry, &n, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_sync(t->storage, &t->batch, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_append_create(t->storage, "/n", &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_append_open(t->storage, "/n", &file, &size, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_append(open_file, "x", 1, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_append_read(open_file, 0, buf, 4, &n, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_publish(&open_file, "/b", NULL, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_move(t->storage, "/d/a", "/b", NULL, &t->err), RS_E_BUSY);
    assert_int_equal(rs_storage_faulty_failures(t->storage), RS_FAULTY_CALLS);
    assert_int_equal(out.len, 0);
    assert_null(file);
    rs_storage_faulty_clear(t->storage);
    temp_assert_holds(t, "/d/a", "12345");
    temp_assert_holds(t, "/up", "content");
    assert_false(temp_exists(t, "/n"));
    assert_false(temp_exists(t, "/b"));
    rs_storage_append_close(&open_file);
}

static void test_append_fails_at_a_byte(void **state)
{
    struct temp *t = *state;
    plan(t, "append:fail-at-byte=10:error=STORAGE_FULL");
    struct rs_storage_file *file = temp_grow(t, "/up", "0123456");
    assert_int_equal(rs_storage_append(file, "789", 3, &t->err), RS_OK);
    assert_int_equal(rs_storage_append(file, "abc", 3, &t->err), RS_E_STORAGE_FULL);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/up", "0123456789");
    /* Opened again it is where it was. */
    uint64_t size;
    assert_int_equal(rs_storage_append_open(t->storage, "/up", &file, &size, &t->err), RS_OK);
    assert_int_equal(rs_storage_append(file, "abc", 3, &t->err), RS_E_STORAGE_FULL);
    rs_storage_append_close(&file);
    file = temp_grow(t, "/other", "01234");
    assert_int_equal(rs_storage_append(file, "56789abcdef", 11, &t->err), RS_E_STORAGE_FULL);
    rs_storage_append_close(&file);
    temp_assert_holds(t, "/other", "0123456789");
}

static void test_read_fails_at_a_byte(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/short", "123");
    temp_put_loose(t, "/long", "12345");
    plan(t, "read:fail-at-byte=3:error=CORRUPT");
    temp_assert_holds(t, "/short", "123");
    RS_AUTO(rs_buf_release) struct rs_buf out;
    rs_buf_init(&out, 100);
    assert_int_equal(rs_storage_read(t->storage, "/long", &out, &t->err), RS_E_CORRUPT);
    assert_string_equal(rs_buf_z(&out), "123");
}

static void test_an_opened_file_ends_at_a_byte(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, "/long", "12345");
    plan(t, "open:fail-at-byte=3");
    struct rs_source source;
    struct rs_storage_stat st;
    assert_int_equal(rs_storage_open(t->storage, "/long", &source, &st, &t->err), RS_OK);
    assert_int_equal(st.size, 5);
    assert_int_equal(source.length, 5);
    char bytes[10] = "";
    assert_int_equal(pread(source.fd, bytes, sizeof(bytes), (off_t)source.offset), 3);
    assert_string_equal(bytes, "123");
    rs_source_release(&source);
}

static void test_a_delay(void **state)
{
    struct temp *t = *state;
    plan(t, "put:delay=60");
    int64_t before = rs_mono_ms();
    assert_int_equal(put(t), RS_OK);
    assert_true(rs_mono_ms() - before >= 60);
    rs_storage_faulty_clear(t->storage);
    plan(t, "put:delay=60:error=IO");
    before = rs_mono_ms();
    assert_int_equal(put(t), RS_E_IO);
    assert_true(rs_mono_ms() - before >= 60);
}

static void test_a_kill(void **state)
{
    struct temp *t = *state;
    plan(t, "sync:kill");
    pid_t child = fork();
    if (child == 0) {
        temp_put(t, "/x", "x");
        rs_storage_sync(t->storage, &t->batch, &t->err);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    temp_assert_holds(t, "/x", "x");
}

static void test_several_rules(void **state)
{
    struct temp *t = *state;
    plan(t, "append:fail-at-byte=1000:error=STORAGE_FULL;sync:nth=2:error=IO;put:delay=5");
    temp_put(t, "/x", "x");
    temp_sync(t);
    temp_put(t, "/y", "y");
    assert_int_equal(rs_storage_sync(t->storage, &t->batch, &t->err), RS_E_IO);
    assert_int_equal(t->batch.count, 1);
    temp_sync(t);
}

static void test_plans_that_are_refused(void **state)
{
    struct temp *t = *state;
    static const char *const bad[] = {
        "putt",         "put:nth",          "put:nth=",           "put:nth=0",
        "put:nth=x",    "put:nth=-1",       "put:error=NONSENSE", "put:error=",
        "put:error=OK", "put:delay=70000",  "put:colour=red",     "put:kill=1",
        ":nth=1",       "put;sync:nth=one", "put,sync",           "append:fail-at-byte=18446744073709551615"};
    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        assert_int_equal(rs_storage_faulty_parse(t->storage, rs_str_c(bad[i]), &t->err), RS_E_INVALID);
        assert_int_equal(put(t), RS_OK); /* none of its rules was taken */
    }
    char many[33 * 4 + 1] = "";
    for (size_t i = 0; i < 33; i++)
        memcpy(many + 4 * i, "put;", 5);
    assert_int_equal(rs_storage_faulty_parse(t->storage, rs_str_c(many), &t->err), RS_E_INVALID);
    assert_int_equal(put(t), RS_OK);
    plan(t, "");
    assert_int_equal(put(t), RS_OK);
}

#define PUT RS_LABELS(RS_VALUE_DRIVER_FILESYSTEM, RS_VALUE_OPERATION_PUT)
#define STAT RS_LABELS(RS_VALUE_DRIVER_FILESYSTEM, RS_VALUE_OPERATION_STAT)

/* Under the name of the storage behind it, and once. */
static void test_calls_and_failures_are_counted(void **state)
{
    struct temp *t = *state;
    struct rs_storage_stat st;
    uint64_t puts = rs_metrics_get(RS_METRIC_STORAGE_OPERATIONS, PUT);
    uint64_t timed = rs_metrics_get(RS_METRIC_STORAGE_SECONDS, PUT);
    uint64_t stats = rs_metrics_get(RS_METRIC_STORAGE_OPERATIONS, STAT);
    uint64_t put_errors = rs_metrics_get(RS_METRIC_STORAGE_ERRORS, PUT);
    uint64_t stat_errors = rs_metrics_get(RS_METRIC_STORAGE_ERRORS, STAT);
    plan(t, "put:nth=2:error=STORAGE_FULL");
    assert_int_equal(rs_storage_put(t->storage, "/a", RS_STR("1"), NULL, &t->err), RS_OK);
    assert_int_equal(rs_storage_put(t->storage, "/b", RS_STR("1"), NULL, &t->err), RS_E_STORAGE_FULL);
    for (int i = 0; i < 200; i++)
        assert_int_equal(rs_storage_stat(t->storage, "/none", &st, NULL), RS_E_NOT_FOUND);
    assert_int_equal(rs_metrics_get(RS_METRIC_STORAGE_OPERATIONS, PUT), puts + 2);
    assert_int_equal(rs_metrics_get(RS_METRIC_STORAGE_SECONDS, PUT), timed + 2);
    assert_int_equal(rs_metrics_get(RS_METRIC_STORAGE_ERRORS, PUT), put_errors + 1);
    assert_int_equal(rs_metrics_get(RS_METRIC_STORAGE_ERRORS, STAT), stat_errors);
    assert_int_equal(rs_metrics_get(RS_METRIC_STORAGE_OPERATIONS, STAT), stats + 200);
    /* A sample stands for those before it: at most one sample's worth is not there yet. */
    uint64_t sampled = rs_metrics_get(RS_METRIC_STORAGE_SECONDS, STAT);
    assert_true(sampled <= stats + 200 && sampled + 64 > stats + 200);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_without_rules_all_passes),
        T(test_the_nth_call_fails_once),
        T(test_fails_for_good_or_some_times),
        T(test_any_call),
        T(test_each_kind_of_call),
        T(test_append_fails_at_a_byte),
        T(test_read_fails_at_a_byte),
        T(test_an_opened_file_ends_at_a_byte),
        T(test_a_delay),
        T(test_a_kill),
        T(test_several_rules),
        T(test_calls_and_failures_are_counted),
        T(test_plans_that_are_refused),
    };
    return cmocka_run_group_tests_name("storage/faulty", tests, NULL, NULL);
}
