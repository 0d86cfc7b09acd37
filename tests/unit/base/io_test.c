/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

static void descriptors_close_once(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    int copy = fd;
    rs_fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(copy, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    rs_fd_close(&fd);
    int other = 5;
    assert_int_equal(rs_fd_take(&other), 5);
    assert_int_equal(other, -1);
}

static void writing_and_reading(void **state)
{
    (void)state;
    RS_AUTO(rs_fd_close) int fd = memfd_create("test", MFD_CLOEXEC);
    char out[10] = {0};
    size_t n = 99;
    struct rs_err err;
    assert_int_equal(rs_write_all(fd, "hello", 5, &err), RS_OK);
    assert_int_equal(rs_write_all(fd, NULL, 0, &err), RS_OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(rs_read_full(fd, out, 2, &n, &err), RS_OK);
    assert_int_equal(n, 2);
    assert_int_equal(rs_read_full(fd, out + 2, 8, &n, &err), RS_OK);
    assert_int_equal(n, 3);
    assert_string_equal(out, "hello");
    assert_int_equal(rs_read_full(fd, out, 8, &n, &err), RS_OK);
    assert_int_equal(n, 0);
}

static void errors_are_those_of_errno(void **state)
{
    (void)state;
    struct rs_err err;
    char c;
    size_t n = 99;
    RS_AUTO(rs_fd_close) int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(rs_write_all(full, "x", 1, &err), RS_E_STORAGE_FULL);
    assert_non_null(strstr(err.text, strerror(ENOSPC)));
    assert_int_equal(rs_write_all(full, "x", 1, NULL), RS_E_STORAGE_FULL);
    assert_int_equal(rs_read_full(full, &c, 1, &n, &err), RS_E_IO);
    assert_int_equal(n, 99);
}

static void on_signal(int number)
{
    (void)number;
}

struct feeder {
    int fd;
    pthread_t reader;
};

/* Writes in pieces, with signals that interrupt the reader in between. */
static void *feed(void *arg)
{
    const struct feeder *f = arg;
    for (int i = 0; i < 20; i++) {
        usleep(1000);
        pthread_kill(f->reader, SIGUSR1);
        if (write(f->fd, "0123456789", 10) != 10)
            abort();
    }
    close(f->fd);
    return NULL;
}

static void reading_goes_on_after_signals(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct feeder feeder = {ends[1], pthread_self()};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, feed, &feeder), 0);
    char out[300];
    size_t n = 0;
    assert_int_equal(rs_read_full(ends[0], out, sizeof out, &n, NULL), RS_OK);
    assert_int_equal(n, 200);
    assert_memory_equal(out + 190, "0123456789", 10);
    pthread_join(thread, NULL);
    close(ends[0]);
}

static void make_file(char path[static 32], size_t len)
{
    snprintf(path, 32, "/tmp/rs-io-test-XXXXXX");
    RS_AUTO(rs_fd_close) int fd = mkstemp(path);
    assert_true(fd >= 0);
    char *content = rs_malloc(len);
    memset(content, 'z', len);
    assert_int_equal(rs_write_all(fd, content, len, NULL), RS_OK);
    free(content);
}

static void whole_files_up_to_a_ceiling(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 62, 63, 64, 4096, 16384, 16385, 100000};
    for (size_t i = 0; i < RS_COUNT(sizes); i++) {
        char path[32];
        struct rs_buf buf;
        struct rs_err err;
        make_file(path, sizes[i]);
        rs_buf_init(&buf, sizes[i] + 3);
        rs_buf_add_c(&buf, "abc"); /* it appends, and exactly the ceiling is allowed */
        assert_int_equal(rs_read_file(path, &buf, &err), RS_OK);
        assert_int_equal(buf.len, sizes[i] + 3);
        assert_memory_equal(buf.ptr, sizes[i] == 0 ? "abc" : "abcz", sizes[i] == 0 ? 3 : 4);
        rs_buf_release(&buf);
        if (sizes[i] > 0) {
            rs_buf_init(&buf, sizes[i] + 2);
            rs_buf_add_c(&buf, "abc");
            assert_int_equal(rs_read_file(path, &buf, &err), RS_E_TOO_BIG);
            assert_non_null(strstr(err.text, path));
            assert_true(rs_str_eq_c(rs_buf_str(&buf), "abc")); /* as it was */
            assert_int_equal(rs_read_file(path, &buf, NULL), RS_E_TOO_BIG);
            rs_buf_release(&buf);
        }
        unlink(path);
    }
}

static void files_without_a_size(void **state)
{
    (void)state;
    struct rs_buf buf;
    rs_buf_init(&buf, 1 << 20);
    assert_int_equal(rs_read_file("/proc/self/status", &buf, NULL), RS_OK);
    assert_true(buf.len > 100);
    assert_true(rs_str_starts(rs_buf_str(&buf), RS_STR("Name:")));
    rs_buf_release(&buf);
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    struct rs_buf buf;
    struct rs_err err;
    rs_buf_init(&buf, 100);
    assert_int_equal(rs_read_file("/tmp/no/such/file", &buf, &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "/tmp/no/such/file"));
    assert_int_equal(rs_read_file("/tmp", &buf, &err), RS_E_IO); /* a directory */
    assert_non_null(strstr(err.text, "/tmp: cannot read"));
    assert_int_equal(rs_read_file("/tmp", &buf, NULL), RS_E_IO);
    rs_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_close_once),      cmocka_unit_test(writing_and_reading),
        cmocka_unit_test(errors_are_those_of_errno),   cmocka_unit_test(reading_goes_on_after_signals),
        cmocka_unit_test(whole_files_up_to_a_ceiling), cmocka_unit_test(files_without_a_size),
        cmocka_unit_test(files_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
