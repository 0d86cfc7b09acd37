/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void clocks_go_forward(void **state)
{
    (void)state;
    int64_t ms = rs_mono_ms();
    int64_t us = rs_mono_us();
    assert_true(us / 1000 - ms <= 1000);
    assert_true(rs_mono_us() >= us);
    assert_true(rs_mono_ms() >= ms);
    assert_true(rs_wall_s() > 1700000000);
}

/* Against the C library, in steps that meet every day and every second of the day at some time. */
static void http_dates_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t t = 0; t < INT64_C(253402300800); t += 86399 * 13) {
        char got[RS_HTTP_DATE_SIZE];
        char want[64];
        struct tm tm;
        time_t as_time = (time_t)t;
        int64_t back = -1;
        gmtime_r(&as_time, &tm);
        strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        rs_http_date(t, got);
        assert_string_equal(got, want);
        assert_true(rs_http_date_parse(rs_str_c(got), &back));
        assert_true(back == t);
    }
}

static void http_dates_are_not_mixed_up(void **state)
{
    (void)state;
    char a[RS_HTTP_DATE_SIZE];
    char b[RS_HTTP_DATE_SIZE];
    rs_http_date(0, a); /* the thread keeps its last one */
    rs_http_date(1, b);
    assert_string_equal(a, "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_string_equal(b, "Thu, 01 Jan 1970 00:00:01 GMT");
    rs_http_date(0, b);
    assert_string_equal(b, a);
    rs_http_date(-7, b);
    assert_string_equal(b, a);
    rs_http_date(INT64_MAX, b);
    assert_string_equal(b, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void http_dates_in_three_forms(void **state)
{
    (void)state;
    static const char *const forms[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < RS_COUNT(forms); i++) {
        int64_t t = 0;
        assert_true(rs_http_date_parse(rs_str_c(forms[i]), &t));
        assert_int_equal(t, 784111777);
    }
    int64_t t = 0;
    assert_true(rs_http_date_parse(RS_STR("Thu Nov 16 08:49:37 1995"), &t));
    assert_int_equal(t, 816511777);
    assert_true(rs_http_date_parse(RS_STR("Tue, 29 Feb 2000 00:00:00 GMT"), &t));
    assert_int_equal(t, 951782400);
}

static void two_digits_of_a_year(void **state)
{
    (void)state;
    char now[RS_RFC3339_SIZE];
    rs_rfc3339(rs_wall_s(), now);
    uint64_t this_year = 0;
    assert_true(rs_str_u64(rs_str_sub(rs_str_c(now), 0, 4), 9999, &this_year));
    for (int year = 0; year < 100; year++) {
        char text[64];
        char back[RS_RFC3339_SIZE];
        int64_t t = 0;
        uint64_t read_year = 0;
        snprintf(text, sizeof text, "Monday, 02-Mar-%02d 00:00:00 GMT", year);
        assert_true(rs_http_date_parse(rs_str_c(text), &t));
        if (t < 0)
            continue; /* 1969 and before: the printer does not go there */
        rs_rfc3339(t, back);
        assert_true(rs_str_u64(rs_str_sub(rs_str_c(back), 0, 4), 9999, &read_year));
        assert_int_equal(read_year % 100, year);
        assert_true(read_year <= this_year + 50 && read_year + 50 > this_year);
    }
}

static void wrong_http_dates(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 1900 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 94",
        "784111777",
    };
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        int64_t t = 42;
        assert_false(rs_http_date_parse(rs_str_c(wrong[i]), &t));
        assert_int_equal(t, 42);
    }
}

static void rfc3339_prints(void **state)
{
    (void)state;
    char text[RS_RFC3339_SIZE];
    rs_rfc3339(1795180813, text);
    assert_string_equal(text, "2026-11-20T13:20:13Z");
    rs_rfc3339_ns(&(struct timespec){1795180813, 5}, text);
    assert_string_equal(text, "2026-11-20T13:20:13.000000005Z");
    rs_rfc3339_ns(&(struct timespec){253402300799, 999999999}, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999999Z");
}

static void rfc3339_reads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t t;
    } cases[] = {
        {"2026-11-20T13:20:13Z", 1795180813},      {"2026-11-20t13:20:13z", 1795180813},
        {"2026-11-20T13:20:13.1Z", 1795180813},    {"2026-11-20T13:20:13.123456789123Z", 1795180813},
        {"2026-11-20T14:50:13+01:30", 1795180813}, {"2026-11-20T01:20:13.5-12:00", 1795180813},
        {"2026-11-20T13:20:13-00:00", 1795180813}, {"1969-12-31T23:59:59Z", -1},
        {"1970-01-01T00:00:00+00:01", -60},        {"0000-01-01T00:00:00Z", -62167219200},
        {"0000-02-29T00:00:00Z", -62162121600},    {"0000-03-01T00:00:00Z", -62162035200},
        {"0001-01-01T00:00:00Z", -62135596800},    {"9999-12-31T23:59:59Z", 253402300799},
    };
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        int64_t t = 42;
        assert_true(rs_rfc3339_parse(rs_str_c(cases[i].text), &t));
        assert_true(t == cases[i].t);
    }
}

static void wrong_rfc3339(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "2026-11-20",
                                        "2026-11-20 13:20:13Z",
                                        "2026-11-20T13:20:13",
                                        "2026-11-20T13:20:13.Z",
                                        "2026-11-20T13:20:13ZZ",
                                        "2026-11-20T13:20:13+1:00",
                                        "2026-11-20T13:20:13+0100",
                                        "2026-11-20T13:20:13+24:00",
                                        "2026-13-20T13:20:13Z",
                                        "2026-00-20T13:20:13Z",
                                        "2026-02-29T13:20:13Z",
                                        "2026-11-20T13:20:61Z",
                                        "+026-11-20T13:20:13Z"};
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        int64_t t = 42;
        assert_false(rs_rfc3339_parse(rs_str_c(wrong[i]), &t));
        assert_int_equal(t, 42);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"+0", 0},
        {"-0s", 0},
        {"5s", 5000},
        {"+5s", 5000},
        {"250ms", 250},
        {"1h30m", 5400000},
        {"1.5h", 5400000},
        {".5s", 500},
        {"5.s", 5000},
        {"1h1m1s1ms1us1ns", 3661002},
        {"1ns", 1},
        {"1us", 1},
        {"1\xc2\xb5s", 1},
        {"1\xce\xbcs", 1},
        {"1000001ns", 2},
        {"0.001s", 1},
        {"0.1s", 100},
        {"0.3s", 300},
        {"1.1s", 1100},
        {"168h", 604800000},
        {"9223372036854775807ns", 9223372036855},
        {"2562047h", INT64_C(9223369200000)},
    };
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        int64_t ms = -42;
        assert_true(rs_duration_parse(rs_str_c(cases[i].text), &ms));
        assert_true(ms == cases[i].ms);
    }
}

static void wrong_durations(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "-",
                                        "+",
                                        "1",
                                        "00",
                                        "1d",
                                        "s",
                                        ".s",
                                        ".",
                                        "-1s",
                                        "1s ",
                                        " 1s",
                                        "1 s",
                                        "1e3s",
                                        "1.2.3s",
                                        "1S",
                                        "--1s",
                                        "+-1s",
                                        "1s-1s",
                                        "9223372036854775808ns",
                                        "2562048h",
                                        "99999999999999999999s",
                                        "2562047h2562047h"};
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        int64_t ms = 42;
        assert_false(rs_duration_parse(rs_str_c(wrong[i]), &ms));
        assert_int_equal(ms, 42);
    }
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[1000] = {0};
    uint8_t b[1000] = {0};
    uint8_t seen = 0;
    rs_random(a, sizeof a);
    rs_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = 990; i < sizeof a; i++)
        seen |= a[i] | b[i];
    assert_int_not_equal(seen, 0); /* up to the end */
    rs_random(NULL, 0);
}

static void uuids(void **state)
{
    (void)state;
    char last[RS_UUID_SIZE] = "";
    for (int i = 0; i < 100; i++) {
        char uuid[RS_UUID_SIZE];
        rs_uuid4(uuid);
        assert_int_equal(strlen(uuid), 36);
        assert_true(rs_uuid_valid(rs_str_c(uuid)));
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89ab", uuid[19]));
        assert_string_not_equal(uuid, last);
        memcpy(last, uuid, sizeof last);
    }
    assert_true(rs_uuid_valid(RS_STR("01234567-89AB-cdef-0123-456789abcdef")));
    assert_false(rs_uuid_valid(RS_STR("")));
    assert_false(rs_uuid_valid(RS_STR("01234567-89ab-cdef-0123-456789abcde")));
    assert_false(rs_uuid_valid(RS_STR("01234567-89ab-cdef-0123-456789abcdef0")));
    assert_false(rs_uuid_valid(RS_STR("01234567089ab-cdef-0123-456789abcdef")));
    assert_false(rs_uuid_valid(RS_STR("0123456--89ab-cdef-0123-456789abcdef")));
    assert_false(rs_uuid_valid(RS_STR("../34567-89ab-cdef-0123-456789abcdef")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(http_dates_agree_with_the_c_library),
        cmocka_unit_test(http_dates_are_not_mixed_up),
        cmocka_unit_test(http_dates_in_three_forms),
        cmocka_unit_test(two_digits_of_a_year),
        cmocka_unit_test(wrong_http_dates),
        cmocka_unit_test(rfc3339_prints),
        cmocka_unit_test(rfc3339_reads),
        cmocka_unit_test(wrong_rfc3339),
        cmocka_unit_test(durations),
        cmocka_unit_test(wrong_durations),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(uuids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
