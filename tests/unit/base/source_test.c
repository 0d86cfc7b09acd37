/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/source.h"

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static void memory_is_released_once(void **state)
{
    (void)state;
    int released = 0;
    struct rs_source s = rs_source_memory(RS_STR("hello"), count_release, &released);
    assert_int_equal(s.kind, RS_SOURCE_MEMORY);
    assert_int_equal(s.length, 5);
    rs_source_release(&s);
    assert_int_equal(s.kind, RS_SOURCE_NONE);
    assert_int_equal(s.length, 0);
    rs_source_release(&s);
    assert_int_equal(released, 1);
    s = rs_source_memory(RS_STR("x"), NULL, NULL);
    rs_source_release(&s);
    assert_int_equal(s.kind, RS_SOURCE_NONE);
}

static void a_file_is_closed(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC);
    struct rs_source s = rs_source_file(fd, 10, 20);
    assert_int_equal(s.kind, RS_SOURCE_FILE);
    assert_int_equal(s.offset, 10);
    assert_int_equal(s.length, 20);
    rs_source_release(&s);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    rs_source_release(&s);
}

static void an_empty_one_closes_nothing(void **state)
{
    (void)state;
    struct rs_source s = {0}; /* its fd is 0, and must stay open */
    rs_source_release(&s);
    assert_int_not_equal(fcntl(0, F_GETFD), -1);
}

static void narrowing(void **state)
{
    (void)state;
    struct rs_source m = rs_source_memory(RS_STR("0123456789"), NULL, NULL);
    rs_source_narrow(&m, 2, 6);
    rs_source_narrow(&m, 1, 5);
    assert_int_equal(m.length, 5);
    assert_memory_equal(m.memory, "34567", 5);
    rs_source_narrow(&m, 5, 0);
    assert_int_equal(m.length, 0);
    struct rs_source f = rs_source_file(-1, 100, 50);
    rs_source_narrow(&f, 0, 50);
    rs_source_narrow(&f, 20, 30);
    assert_int_equal(f.offset, 120);
    assert_int_equal(f.length, 30);
    rs_source_release(&f);
}

static bool narrow_aborts(uint64_t offset, uint64_t length)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rs_source s = rs_source_memory(RS_STR("0123456789"), NULL, NULL);
        close(STDERR_FILENO);
        rs_source_narrow(&s, offset, length);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void narrowing_stays_inside(void **state)
{
    (void)state;
    assert_false(narrow_aborts(10, 0));
    assert_true(narrow_aborts(0, 11));
    assert_true(narrow_aborts(11, 0));
    assert_true(narrow_aborts(5, 6));
    assert_true(narrow_aborts(5, UINT64_MAX - 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_released_once),     cmocka_unit_test(a_file_is_closed),
        cmocka_unit_test(an_empty_one_closes_nothing), cmocka_unit_test(narrowing),
        cmocka_unit_test(narrowing_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
