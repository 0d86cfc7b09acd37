/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#define TIME_LEN 30 /* "2026-11-20T13:20:13.123456789Z" */

static char got[256 * 1024]; /* what the log wrote */

/* Runs the log call with stderr led into memory. */
#define CAPTURE(call)                                                                                                  \
    do {                                                                                                               \
        int capture_fd_ = capture_begin();                                                                             \
        call;                                                                                                          \
        capture_end(capture_fd_);                                                                                      \
    } while (0)

static int saved_stderr;

static int capture_begin(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(fd >= 0 && saved_stderr >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    return fd;
}

static void capture_end(int fd)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t n = pread(fd, got, sizeof got - 1, 0);
    assert_true(n >= 0);
    got[n] = '\0';
    close(fd);
}

static void configure(enum rs_log_format format, enum rs_log_level level)
{
    rs_log_configure(format, level, NULL, 0);
}

/* The time in `got`, wherever it is, is cut out and replaced by "T", after a look at it. */
static void mask_time(void)
{
    char *at = strstr(got, "T");
    while (at != NULL && (at - got < 10 || at[9] != '.' || at[3] != ':'))
        at = strstr(at + 1, "T");
    assert_non_null(at);
    if (at == NULL) /* which the compiler does not know */
        return;
    at -= 10;
    int64_t t;
    assert_true(rs_rfc3339_parse((rs_str){at, TIME_LEN}, &t));
    assert_true(rs_wall_s() - t <= 5);
    memmove(at + 1, at + TIME_LEN, strlen(at + TIME_LEN) + 1);
    *at = 'T';
}

static const struct rs_log_field sample[] = {
    {.key = "repository", .value = {"a/b", 3}},
    {.key = "agent", .value = {"docker 20", 9}},
    {.key = "empty", .value = {"", 0}},
    {.key = "status", .number = -200, .is_number = true},
};

static void text_lines(void **state)
{
    (void)state;
    configure(RS_LOG_TEXT, RS_LOG_INFO);
    CAPTURE(rs_log_event(RS_LOG_INFO, "a request", sample, RS_COUNT(sample)));
    mask_time();
    assert_string_equal(got,
                        "time=\"T\" level=info msg=\"a request\" repository=a/b agent=\"docker 20\" status=-200\n");
    CAPTURE(rs_log(RS_LOG_WARN, "%s", ""));
    mask_time();
    assert_string_equal(got, "time=\"T\" level=warning msg=\"\"\n");
}

static void json_lines(void **state)
{
    (void)state;
    configure(RS_LOG_JSON, RS_LOG_INFO);
    CAPTURE(rs_log_event(RS_LOG_ERROR, "a \"request\"", sample, RS_COUNT(sample)));
    mask_time();
    assert_string_equal(got, "{\"repository\":\"a/b\",\"agent\":\"docker 20\",\"status\":-200,\"level\":\"error\","
                             "\"msg\":\"a \\\"request\\\"\",\"time\":\"T\"}\n");
    CAPTURE(rs_log(RS_LOG_INFO, "x"));
    mask_time();
    assert_string_equal(got, "{\"level\":\"info\",\"msg\":\"x\",\"time\":\"T\"}\n");
}

static void logstash_lines(void **state)
{
    (void)state;
    configure(RS_LOG_LOGSTASH, RS_LOG_DEBUG);
    CAPTURE(rs_log_event(RS_LOG_DEBUG, "m", sample, RS_COUNT(sample)));
    mask_time();
    assert_string_equal(got, "{\"@timestamp\":\"T\",\"@version\":\"1\",\"level\":\"debug\",\"message\":\"m\","
                             "\"repository\":\"a/b\",\"agent\":\"docker 20\",\"status\":-200}\n");
}

static void levels(void **state)
{
    (void)state;
    for (int set = RS_LOG_ERROR; set <= RS_LOG_DEBUG; set++) {
        configure(RS_LOG_TEXT, (enum rs_log_level)set);
        for (int level = RS_LOG_ERROR; level <= RS_LOG_DEBUG; level++) {
            assert_int_equal(rs_log_enabled((enum rs_log_level)level), level <= set);
            CAPTURE(rs_log((enum rs_log_level)level, "x"); rs_log_event((enum rs_log_level)level, "y", NULL, 0));
            assert_int_equal(strlen(got) > 0, level <= set);
        }
    }
}

static void configured_fields_come_first(void **state)
{
    (void)state;
    static const struct rs_log_field fields[] = {{.key = "service", .value = {"registry", 8}}};
    rs_log_configure(RS_LOG_TEXT, RS_LOG_INFO, fields, 1);
    CAPTURE(rs_log_event(RS_LOG_INFO, "m", sample, 1));
    mask_time();
    assert_string_equal(got, "time=\"T\" level=info msg=m service=registry repository=a/b\n");
}

static size_t count_char(const char *text, char c)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == c;
    return n;
}

/* Whatever bytes a value has: one line, no control characters, quotes that match. */
static void no_byte_forges_a_line(void **state)
{
    (void)state;
    for (int format = RS_LOG_TEXT; format <= RS_LOG_LOGSTASH; format++) {
        configure((enum rs_log_format)format, RS_LOG_INFO);
        for (int byte = 0; byte < 256; byte++) {
            const char value[] = {'a', (char)byte, 'b'};
            const struct rs_log_field field = RS_LOG_STR("k", ((rs_str){value, sizeof value}));
            CAPTURE(rs_log_event(RS_LOG_INFO, "m", &field, 1));
            size_t len = strlen(got);
            assert_int_equal(count_char(got, '\n'), 1);
            assert_int_equal(got[len - 1], '\n');
            for (size_t i = 0; i + 1 < len; i++)
                assert_true((uint8_t)got[i] >= 0x20 && got[i] != 0x7f);
            assert_non_null(strstr(got, "level"));
        }
    }
}

static void a_message_forges_no_field(void **state)
{
    (void)state;
    configure(RS_LOG_TEXT, RS_LOG_INFO);
    CAPTURE(rs_log(RS_LOG_INFO, "x\" level=error msg=\"\nnew"));
    mask_time();
    assert_string_equal(got, "time=\"T\" level=info msg=\"x\\\" level=error msg=\\\"\\nnew\"\n");
    CAPTURE(rs_log(RS_LOG_INFO, "level=error"));
    mask_time();
    assert_string_equal(got, "time=\"T\" level=info msg=\"level=error\"\n");
}

static void check_quote(rs_str in, const char *want)
{
    struct rs_buf out;
    rs_buf_init(&out, 10000);
    rs_json_quote(&out, in);
    assert_string_equal(rs_buf_z(&out), want);
    rs_buf_release(&out);
}

static void json_strings(void **state)
{
    (void)state;
    check_quote((rs_str){NULL, 0}, "\"\"");
    check_quote(RS_STR("plain <&>/'"), "\"plain <&>/'\"");
    check_quote(RS_STR("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    check_quote(RS_STR("\0\x1f\x7f"), "\"\\u0000\\u001f\\u007f\"");
    check_quote(RS_STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2\"");
    check_quote(RS_STR("\xc2\x85\xe2\x80\xa8\xe2\x80\xae"), "\"\\u0085\\u2028\\u202e\"");
}

#define BAD "\xef\xbf\xbd"

static void bytes_that_are_not_utf8(void **state)
{
    (void)state;
    check_quote(RS_STR("\x80"), "\"" BAD "\"");
    check_quote(RS_STR("a\xff"
                       "b"),
                "\"a" BAD "b\"");
    check_quote(RS_STR("\xc3"), "\"" BAD "\""); /* cut off */
    check_quote(RS_STR("\xe2\x82"), "\"" BAD BAD "\"");
    check_quote(RS_STR("\xc3\""), "\"" BAD "\\\"\"");                   /* does not swallow the quote */
    check_quote(RS_STR("\xc0\xa2"), "\"" BAD BAD "\"");                 /* a quote in two bytes */
    check_quote(RS_STR("\xe0\x80\xa2"), "\"" BAD BAD BAD "\"");         /* and in three */
    check_quote(RS_STR("\xed\xa0\x80"), "\"" BAD BAD BAD "\"");         /* half of a surrogate pair */
    check_quote(RS_STR("\xf4\x90\x80\x80"), "\"" BAD BAD BAD BAD "\""); /* beyond U+10FFFF */
    check_quote(RS_STR("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"");
}

static void long_lines_are_bounded(void **state)
{
    (void)state;
    static char hostile[100000];
    memset(hostile, 1, sizeof hostile); /* six bytes each when escaped */
    struct rs_log_field fields[40];
    for (size_t i = 0; i < RS_COUNT(fields); i++)
        fields[i] = RS_LOG_STR("k", ((rs_str){hostile, sizeof hostile}));
    for (int format = RS_LOG_TEXT; format <= RS_LOG_LOGSTASH; format++) {
        configure((enum rs_log_format)format, RS_LOG_INFO);
        CAPTURE(rs_log_event(RS_LOG_INFO, "the message", fields, RS_COUNT(fields)));
        size_t len = strlen(got);
        assert_in_range(len, 10000, 64 * 1024);
        assert_non_null(strstr(got, "the message"));
        assert_int_equal(count_char(got, '\n'), 1);
        assert_int_equal(count_char(got, '"') % 2, 0);
        assert_string_equal(got + len - 2, format == RS_LOG_TEXT ? "\"\n" : "}\n");
    }
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    static char hostile[100000];
    memset(hostile, 1, sizeof hostile - 1);
    for (int format = RS_LOG_TEXT; format <= RS_LOG_LOGSTASH; format++) {
        configure((enum rs_log_format)format, RS_LOG_INFO);
        CAPTURE(rs_log_event(RS_LOG_INFO, hostile, sample, RS_COUNT(sample)));
        assert_in_range(strlen(got), 6 * 2048, 6 * 2048 + 300);
        assert_non_null(strstr(got, "docker 20"));
        mask_time();
        CAPTURE(rs_log(RS_LOG_INFO, "%s", hostile));
        assert_in_range(strlen(got), 6 * 2000, 6 * 2048 + 300);
    }
}

static void errno_survives(void **state)
{
    (void)state;
    configure(RS_LOG_TEXT, RS_LOG_INFO);
    RS_AUTO(rs_fd_close) int saved = dup(STDERR_FILENO);
    close(STDERR_FILENO); /* nobody reads the log: that must not matter */
    errno = EDOM;
    rs_log(RS_LOG_INFO, "x");
    int after = errno;
    dup2(saved, STDERR_FILENO);
    assert_int_equal(after, EDOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(logstash_lines),
        cmocka_unit_test(levels),
        cmocka_unit_test(configured_fields_come_first),
        cmocka_unit_test(no_byte_forges_a_line),
        cmocka_unit_test(a_message_forges_no_field),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(bytes_that_are_not_utf8),
        cmocka_unit_test(long_lines_are_bounded),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(errno_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
