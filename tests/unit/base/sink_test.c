/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/sink.h"

#define LINE "a line of the log that somebody should read by and by\n"

static char got[4 * 1024 * 1024];
static char long_line[200 * 1024];

/* Standard error is led into `fd` while the log writes there. */
static int saved_stderr;

static void divert(int fd)
{
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

static void restore(void)
{
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    close(saved_stderr);
    rs_sink_take_dropped(RS_SINK_LOG);
}

/* What can be read now. */
static size_t take(int fd)
{
    size_t len = 0;
    ssize_t n;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((n = read(fd, got + len, sizeof got - 1 - len)) > 0)
        len += (size_t)n;
    got[len] = '\0';
    return len;
}

/* Lines until one is dropped; how many went out. An alarm ends a writer that waits. */
static unsigned fill(void)
{
    unsigned n = 0;
    alarm(60);
    while (rs_sink_write(RS_SINK_LOG, RS_STR(LINE)))
        n++;
    alarm(0);
    return n;
}

static void stalled_and_read_again(int reader)
{
    rs_log_configure(RS_LOG_TEXT, RS_LOG_ERROR, NULL, 0);
    unsigned written = fill();
    assert_true(written > 10);
    fill(); /* fails at once */
    for (int i = 0; i < 100; i++)
        rs_log(RS_LOG_ERROR, "nobody reads this");
    size_t before = take(reader);
    assert_int_equal(before, written * strlen(LINE));
    rs_log(RS_LOG_ERROR, "somebody reads this");
    rs_log(RS_LOG_ERROR, "and this");
    restore();
    take(reader);
    assert_null(strstr(got, "nobody"));
    char *notice = strstr(got, "level=warning msg=\"102 log lines were dropped: the reader of the log is too slow\"\n");
    assert_non_null(notice);
    assert_true(notice < strstr(got, "somebody reads this"));
    assert_non_null(strstr(got, "and this"));
    assert_null(strstr(strchr(notice, '\n'), "dropped"));
}

static void a_pipe_is_not_waited_for(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    divert(ends[1]);
    rs_sink_open();
    stalled_and_read_again(ends[0]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* who shares it sees nothing of ours */
    close(ends[0]);
    close(ends[1]);
}

static void nor_is_a_socket(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    divert(ends[1]);
    rs_sink_open();
    stalled_and_read_again(ends[0]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
}

/* As when it belongs to another user: here it is the descriptors that are used up. */
static void nor_is_a_pipe_that_cannot_be_opened(void **state)
{
    (void)state;
    int ends[2];
    struct rlimit before, none;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){STDERR_FILENO + 1, before.rlim_max};
    divert(ends[1]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rs_sink_open();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0); /* it was not opened again */
    stalled_and_read_again(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

/* A long line breaks off where the pipe is full; the next one does not go on in its middle. */
static void a_torn_line_is_ended(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    divert(ends[1]);
    rs_sink_open();
    memset(long_line, 'x', sizeof long_line);
    long_line[sizeof long_line - 1] = '\n';
    size_t sent = 0;
    while (rs_sink_write(RS_SINK_LOG, (rs_str){long_line, sizeof long_line}))
        sent += sizeof long_line;
    assert_int_equal(rs_sink_take_dropped(RS_SINK_LOG), 1);
    assert_true(take(ends[0]) > sent); /* a part of the last one */
    assert_true(rs_sink_write(RS_SINK_LOG, RS_STR("one\n")));
    assert_true(rs_sink_write(RS_SINK_LOG, RS_STR("two\n")));
    restore();
    take(ends[0]);
    assert_string_equal(got, "\none\ntwo\n");
    close(ends[0]);
    close(ends[1]);
}

static void files_get_every_line(void **state)
{
    (void)state;
    int fd = memfd_create("log", MFD_CLOEXEC);
    divert(fd);
    rs_sink_open();
    for (int i = 0; i < 10000; i++)
        assert_true(rs_sink_write(RS_SINK_LOG, RS_STR("line\n")));
    restore();
    assert_int_equal(lseek(fd, 0, SEEK_END), 50000);
    close(fd);
}

/* A reader that is gone for good is no slow one: nothing is counted, and nobody is killed by SIGPIPE. */
static void a_reader_that_is_gone(void **state)
{
    (void)state;
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    divert(ends[1]);
    rs_sink_open();
    close(ends[0]);
    assert_false(rs_sink_write(RS_SINK_LOG, RS_STR("line\n")));
    uint64_t dropped = rs_sink_take_dropped(RS_SINK_LOG);
    restore();
    assert_int_equal(dropped, 0);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_is_not_waited_for),
        cmocka_unit_test(nor_is_a_socket),
        cmocka_unit_test(nor_is_a_pipe_that_cannot_be_opened),
        cmocka_unit_test(a_torn_line_is_ended),
        cmocka_unit_test(files_get_every_line),
        cmocka_unit_test(a_reader_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
