/* SPDX-License-Identifier: Apache-2.0 */
/* Heads: what RFC 9112 demands, and what is refused because two readers could understand it differently. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "http/head.h"
#include "http/uri.h"

static struct rs_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = rs_arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rs_arena_free(&arena);
    return 0;
}

static rs_rc parse(const char *text, struct rs_request *req, struct rs_framing *framing)
{
    struct rs_err err;
    size_t pos = 0, len = strlen(text);
    memset(req, 0, sizeof *req);
    req->arena = arena;
    long end = rs_head_end(text, len, &pos);
    if (end < 0)
        return RS_E_BAD_REQUEST;
    assert_int_equal(end, len);
    return rs_head_parse((rs_str){text, len}, req, framing, &err);
}

static void assert_str(rs_str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void test_plain_request(void **state)
{
    (void)state;
    struct rs_request req;
    struct rs_framing framing;
    rs_str value;
    assert_int_equal(parse("GET /v2/a%20b/?n=1&last=x HTTP/1.1\r\nHost: h:5000\r\nAccept:  a/b ;q=1\t\r\nX:\r\n\r\n",
                           &req, &framing),
                     RS_OK);
    assert_int_equal(req.method, RS_METHOD_GET);
    assert_str(req.path, "/v2/a b/");
    assert_str(req.query, "n=1&last=x");
    assert_str(req.host, "h:5000");
    assert_true(framing.keep_alive);
    assert_false(req.has_body);
    assert_true(rs_request_header(&req, RS_STR("accept"), &value));
    assert_str(value, "a/b ;q=1");
    assert_true(rs_request_header(&req, RS_STR("x"), &value));
    assert_str(value, "");
    assert_false(rs_request_header(&req, RS_STR("y"), &value));
}

struct verdict {
    const char *head;
    rs_rc rc;
};

static void check_all(const struct verdict *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct rs_request req;
        struct rs_framing framing;
        rs_rc rc = parse(cases[i].head, &req, &framing);
        if (rc != cases[i].rc)
            print_error("head: %s\n", cases[i].head);
        assert_int_equal(rc, cases[i].rc);
    }
}

static void test_request_lines(void **state)
{
    (void)state;
    static const struct verdict cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", RS_OK},
        {"GET / HTTP/1.9\r\nHost: h\r\n\r\n", RS_OK},
        {"GET / HTTP/1.0\r\n\r\n", RS_OK},
        {"FROB-1 / HTTP/1.1\r\nHost: h\r\n\r\n", RS_OK},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", RS_OK},
        {"GET http://h:80/x?y HTTP/1.1\r\nHost: other\r\n\r\n", RS_OK},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", RS_E_VERSION},
        {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", RS_E_VERSION},
        {"GET / http/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.10\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET x HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET http:/// HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /%2 HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", RS_E_BAD_REQUEST},
    };
    check_all(cases, RS_COUNT(cases));
}

static void test_fields(void **state)
{
    (void)state;
    static const struct verdict cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", RS_E_BAD_REQUEST}, /* no Host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n", RS_OK},
        {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", RS_OK},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\n X: a\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x7f\r\n\r\n", RS_E_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", RS_E_BAD_REQUEST}, /* bare CR */
        {"GET / HTTP/1.1\r\nHost: h\r\nX: \xc3\xa4\r\n\r\n", RS_OK},
        {"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n", RS_OK},
        {"GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", RS_E_EXPECTATION_FAILED},
    };
    check_all(cases, RS_COUNT(cases));
}

static void test_framing_that_could_smuggle_is_refused(void **state)
{
    (void)state;
    static const struct verdict cases[] = {
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", RS_OK},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", RS_OK},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", RS_OK},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 6\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", RS_OK},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", RS_OK},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         RS_E_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", RS_E_NOT_IMPLEMENTED},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", RS_E_NOT_IMPLEMENTED},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", RS_E_NOT_IMPLEMENTED},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", RS_E_BAD_REQUEST},
    };
    check_all(cases, RS_COUNT(cases));
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_request req;
        struct rs_framing framing;
        assert_int_equal(parse(cases[i].head, &req, &framing), RS_OK);
        assert_int_equal(framing.keep_alive, cases[i].keep);
    }
}

static void test_head_end_finds_the_same_at_every_split(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\nrest";
    const long want = (long)(sizeof head - 1 - 4);
    for (size_t first = 0; first <= sizeof head - 1; first++) {
        size_t pos = 0;
        long end = rs_head_end(head, first, &pos);
        assert_int_equal(end, first >= (size_t)want ? want : 0);
        if (end == 0)
            assert_int_equal(rs_head_end(head, sizeof head - 1, &pos), want);
    }
}

static void test_bare_lf_is_seen_before_the_head_is_complete(void **state)
{
    (void)state;
    size_t pos = 0;
    assert_int_equal(rs_head_end("GET / HTTP/1.1\nHost: h", 22, &pos), -1);
    pos = 0;
    assert_int_equal(rs_head_end("\nGET", 4, &pos), -1);
}

static void test_too_many_fields(void **state)
{
    (void)state;
    struct rs_buf head;
    struct rs_request req;
    struct rs_framing framing;
    rs_buf_init(&head, 65536);
    rs_buf_add_c(&head, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < RS_HEADERS_MAX; i++)
        rs_buf_add_c(&head, "X: y\r\n");
    rs_buf_add_c(&head, "\r\n");
    assert_int_equal(parse(rs_buf_z(&head), &req, &framing), RS_E_HEAD_TOO_BIG);
    rs_buf_release(&head);
}

static void test_absolute_target_names_the_host(void **state)
{
    (void)state;
    struct rs_request req;
    struct rs_framing framing;
    assert_int_equal(parse("GET HTTP://h:80?q HTTP/1.1\r\nHost: other\r\n\r\n", &req, &framing), RS_OK);
    assert_str(req.host, "h:80");
    assert_str(req.path, "/");
    assert_str(req.query, "q");
}

static void test_path_is_decoded_once(void **state)
{
    (void)state;
    struct rs_request req;
    struct rs_framing framing;
    assert_int_equal(parse("GET /a%252Fb%2fc+d HTTP/1.1\r\nHost: h\r\n\r\n", &req, &framing), RS_OK);
    assert_str(req.path, "/a%2Fb/c+d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_request_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_framing_that_could_smuggle_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keep_alive, set_up, tear_down),
        cmocka_unit_test(test_head_end_finds_the_same_at_every_split),
        cmocka_unit_test(test_bare_lf_is_seen_before_the_head_is_complete),
        cmocka_unit_test_setup_teardown(test_too_many_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_absolute_target_names_the_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_path_is_decoded_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
