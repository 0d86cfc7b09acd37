/* SPDX-License-Identifier: Apache-2.0 */
/* SWAP (fs_replace.c): replacing on a condition, by many threads and by two processes at once. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "temp.h"

#define PATH "/a/b/link"
#define THREADS 8

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

static void only_what_was_expected_is_replaced(void **state)
{
    struct temp *t = *state;
    assert_int_equal(swap(t, "A", "B", &t->err), RS_E_PRECONDITION);
    assert_false(temp_exists(t, PATH));
    assert_int_equal(swap(t, NULL, "A", &t->err), RS_OK);
    assert_int_equal(swap(t, NULL, "B", &t->err), RS_E_PRECONDITION);
    assert_int_equal(swap(t, "B", "C", &t->err), RS_E_PRECONDITION);
    temp_assert_holds(t, PATH, "A");
    assert_int_equal(swap(t, "A", "B", &t->err), RS_OK);
    temp_assert_holds(t, PATH, "B");
    assert_int_equal(temp_leftovers(t), 0);
}

static void without_a_condition_it_is_a_put(void **state)
{
    struct temp *t = *state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(rs_storage_replace(t->storage, PATH, RS_STR("x"), NULL, NULL, &t->batch, &t->err), RS_OK);
    uint64_t before = rs_storage_flushes(t->storage);
    temp_sync(t);
    assert_true(rs_storage_flushes(t->storage) > before);
    temp_assert_holds(t, PATH, "x");
    assert_int_equal(temp_leftovers(t), 0);
}

static void a_large_object_is_not_compared(void **state)
{
    struct temp *t = *state;
    char large[RS_REPLACE_MAX + 2];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    temp_put_loose(t, PATH, large);
    assert_int_equal(swap(t, "A", "B", &t->err), RS_E_CORRUPT);
    temp_assert_holds(t, PATH, large);
    assert_int_equal(temp_leftovers(t), 0);
}

static void what_stands_in_its_place_is_told(void **state)
{
    struct temp *t = *state;
    temp_put_loose(t, PATH "/child", "x");
    assert_int_equal(swap(t, NULL, "A", &t->err), RS_E_IO);
    assert_int_equal(temp_leftovers(t), 0);
}

static void a_lost_lock_file_is_made_again(void **state)
{
    struct temp *t = *state;
    assert_int_equal(swap(t, NULL, "A", &t->err), RS_OK);
    assert_int_equal(rs_storage_remove(t->storage, "/roadstead", NULL, &t->err), RS_OK);
    assert_int_equal(swap(t, "A", "B", &t->err), RS_OK);
    temp_assert_holds(t, PATH, "B");
}

/* Counts up: reads the number, and swaps it for the next one. */
static unsigned count_up(struct temp *t, unsigned rounds, const char **complaint)
{
    unsigned won = 0;
    struct rs_err err;
    while (won < rounds) {
        RS_AUTO(rs_buf_release) struct rs_buf held;
        rs_buf_init(&held, 64);
        if (rs_storage_read(t->storage, PATH, &held, &err) != RS_OK) {
            *complaint = "read";
            return won;
        }
        uint64_t number = 0;
        char from[32], to[32];
        if (!rs_str_u64(rs_buf_str(&held), 1000000, &number)) {
            *complaint = "torn";
            return won;
        }
        snprintf(from, sizeof(from), "%llu", (unsigned long long)number);
        snprintf(to, sizeof(to), "%llu", (unsigned long long)number + 1);
        rs_rc rc = swap(t, from, to, &err);
        won += rc == RS_OK;
        if (rc != RS_OK && rc != RS_E_PRECONDITION) {
            *complaint = rs_rc_name(rc);
            return won;
        }
    }
    return won;
}

struct counter {
    struct temp t;
    const char *complaint;
};

static void *run_counter(void *arg)
{
    struct counter *c = arg;
    count_up(&c->t, 50, &c->complaint);
    return NULL;
}

static void no_count_is_lost_among_threads(void **state)
{
    struct temp *t = *state;
    struct counter counters[THREADS] = {0};
    pthread_t threads[THREADS];
    temp_put_loose(t, PATH, "0");
    for (int i = 0; i < THREADS; i++) {
        counters[i].t = *t;
        assert_int_equal(pthread_create(&threads[i], NULL, run_counter, &counters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        assert_null(counters[i].complaint);
    temp_assert_holds(t, PATH, "400");
    assert_int_equal(temp_leftovers(t), 0);
}

/* In a child: a storage of its own on the same directory. */
static pid_t start_child(const struct temp *t, unsigned rounds)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    struct temp own = *t;
    const char *complaint = NULL;
    bool opened = rs_storage_fs_new(t->root, &own.storage, NULL) == RS_OK;
    unsigned won = opened ? count_up(&own, rounds, &complaint) : 0;
    _exit(opened && complaint == NULL && won == rounds ? 0 : 1);
}

static void no_count_is_lost_among_processes(void **state)
{
    struct temp *t = *state;
    int status;
    temp_put_loose(t, PATH, "0");
    pid_t first = start_child(t, 100), second = start_child(t, 100);
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(status, 0);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(status, 0);
    temp_assert_holds(t, PATH, "200");
}

static void a_killed_process_leaves_no_lock(void **state)
{
    struct temp *t = *state;
    int status;
    temp_put_loose(t, PATH, "0");
    for (int i = 0; i < 10; i++) {
        pid_t child = start_child(t, 1000000);
        temp_sleep_ms(10);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        const char *complaint = NULL;
        assert_int_equal(count_up(t, 1, &complaint), 1);
    }
}

/* A directory that is removed again and again: a swap neither fails nor resurrects what was there. */
static void *remove_often(void *arg)
{
    struct counter *c = arg;
    struct rs_err err;
    for (int i = 0; i < 200; i++)
        if (rs_storage_remove(c->t.storage, "/a/b", NULL, &err) != RS_OK)
            c->complaint = "remove";
    return NULL;
}

static void removing_at_the_same_time_harms_nobody(void **state)
{
    struct temp *t = *state;
    struct counter remover = {.t = *t};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, remove_often, &remover), 0);
    for (int i = 0; i < 200; i++) {
        rs_rc rc = swap(t, NULL, "A", &t->err);
        assert_true(rc == RS_OK || rc == RS_E_PRECONDITION);
        rc = swap(t, "A", "B", &t->err);
        assert_true(rc == RS_OK || rc == RS_E_PRECONDITION);
    }
    pthread_join(thread, NULL);
    assert_null(remover.complaint);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_was_expected_is_replaced),     TEST(without_a_condition_it_is_a_put),
        TEST(a_large_object_is_not_compared),         TEST(what_stands_in_its_place_is_told),
        TEST(a_lost_lock_file_is_made_again),         TEST(no_count_is_lost_among_threads),
        TEST(no_count_is_lost_among_processes),       TEST(a_killed_process_leaves_no_lock),
        TEST(removing_at_the_same_time_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
