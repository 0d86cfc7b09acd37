/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"

static struct rs_mutex mutex;
static pthread_cond_t cond;
static int counter;

static void *count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++) {
        rs_mutex_lock(&mutex);
        counter++;
        rs_mutex_unlock(&mutex);
    }
    return NULL;
}

static void threads_exclude_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    counter = 0;
    rs_mutex_init(&mutex, RS_LOCK_CACHE);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(counter, 80000);
    rs_mutex_release(&mutex);
}

static void *signal_once(void *arg)
{
    (void)arg;
    rs_mutex_lock(&mutex);
    counter = 1;
    pthread_cond_signal(&cond);
    rs_mutex_unlock(&mutex);
    return NULL;
}

static void a_condition_wakes(void **state)
{
    (void)state;
    pthread_t thread;
    counter = 0;
    rs_mutex_init(&mutex, RS_LOCK_CACHE);
    rs_cond_init(&cond);
    rs_mutex_lock(&mutex);
    assert_int_equal(pthread_create(&thread, NULL, signal_once, NULL), 0);
    while (counter == 0)
        rs_cond_wait(&cond, &mutex);
    rs_mutex_unlock(&mutex);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_cond_destroy(&cond);
    rs_mutex_release(&mutex);
}

static void a_wait_ends_in_time(void **state)
{
    (void)state;
    rs_mutex_init(&mutex, RS_LOCK_CACHE);
    rs_cond_init(&cond);
    rs_mutex_lock(&mutex);
    int64_t start = rs_mono_ms();
    bool woken;
    while ((woken = rs_cond_wait_ms(&cond, &mutex, 60)) && rs_mono_ms() - start < 60)
        continue; /* spurious */
    assert_false(woken);
    assert_true(rs_mono_ms() - start >= 59);
    assert_false(rs_cond_wait_ms(&cond, &mutex, -5)); /* a time that is over */
    rs_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
    rs_mutex_release(&mutex);
}

/* Whether the steps abort, in a child. */
static bool aborts(void (*steps)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO);
        steps();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static struct rs_mutex upper;
static struct rs_mutex middle;
static struct rs_mutex lower;

static void init_three(void)
{
    rs_mutex_init(&upper, RS_LOCK_SERVER);
    rs_mutex_init(&middle, RS_LOCK_CACHE);
    rs_mutex_init(&lower, RS_LOCK_FAULTY);
}

static void in_order(void)
{
    init_three();
    rs_mutex_lock(&upper);
    rs_mutex_lock(&middle);
    rs_mutex_unlock(&upper); /* the order of unlocking is free */
    rs_mutex_lock(&lower);
    rs_mutex_unlock(&lower);
    rs_mutex_unlock(&middle);
    rs_mutex_lock(&upper);
    rs_mutex_unlock(&upper);
}

static void upwards(void)
{
    init_three();
    rs_mutex_lock(&middle);
    rs_mutex_lock(&upper);
}

static void same_rank(void)
{
    static struct rs_mutex other;
    init_three();
    rs_mutex_init(&other, RS_LOCK_CACHE);
    rs_mutex_lock(&middle);
    rs_mutex_lock(&other);
}

static void upwards_after_release_of_another(void)
{
    init_three();
    rs_mutex_lock(&upper);
    rs_mutex_lock(&middle);
    rs_mutex_lock(&lower);
    rs_mutex_unlock(&lower);
    rs_mutex_unlock(&middle);
    rs_mutex_lock(&middle);
    rs_mutex_unlock(&upper);
    rs_mutex_lock(&upper);
}

static void waits_with_another(void)
{
    init_three();
    rs_cond_init(&cond);
    rs_mutex_lock(&upper);
    rs_mutex_lock(&middle);
    rs_cond_wait_ms(&cond, &middle, 1);
}

static void ranks_are_asserted(void **state)
{
    (void)state;
#ifdef RS_DEBUG_CHECKS
    bool asserted = true;
#else
    bool asserted = false;
#endif
    assert_false(aborts(in_order));
    assert_int_equal(aborts(upwards), asserted);
    assert_int_equal(aborts(same_rank), asserted);
    assert_int_equal(aborts(upwards_after_release_of_another), asserted);
    assert_int_equal(aborts(waits_with_another), asserted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_exclude_each_other),
        cmocka_unit_test(a_condition_wakes),
        cmocka_unit_test(a_wait_ends_in_time),
        cmocka_unit_test(ranks_are_asserted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
