/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "http/request.h"

static struct rs_header request_headers[2];

static struct rs_request *make(const char *range, const char *if_range)
{
    struct rs_arena *arena = rs_arena_new();
    struct rs_request *req = rs_arena_zalloc(arena, sizeof *req);
    req->arena = arena;
    req->method = RS_METHOD_GET;
    req->reply.status = 200;
    req->headers = request_headers;
    if (range != NULL)
        request_headers[req->header_count++] = (struct rs_header){RS_STR("Range"), rs_str_c(range)};
    if (if_range != NULL)
        request_headers[req->header_count++] = (struct rs_header){RS_STR("If-Range"), rs_str_c(if_range)};
    return req;
}

static void finish(struct rs_request *req)
{
    struct rs_arena *arena = req->arena;
    rs_source_release(&req->reply.body);
    rs_arena_free(&arena);
}

static const char *reply_header(const struct rs_request *req, const char *name)
{
    for (size_t i = 0; i < req->reply.header_count; i++)
        if (rs_str_eq_c(req->reply.headers[i].name, name))
            return req->reply.headers[i].value.ptr;
    return NULL;
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *if_range, *body;
        int status;
    } cases[] = {
        {NULL, NULL, "0123456789", 200},
        {"bytes=0-3", NULL, "0123", 206},
        {"bytes=4-", NULL, "456789", 206},
        {"bytes=4-400", NULL, "456789", 206},
        {"bytes=-3", NULL, "789", 206},
        {"bytes=-300", NULL, "0123456789", 206},
        {"Bytes= 9 - 9 ", NULL, "9", 206},
        {"bytes=9-99999999999999999999", NULL, "9", 206},
        {"bytes=-99999999999999999999", NULL, "0123456789", 206},
        {"bytes=99999999999999999999-", NULL, NULL, 416},
        {"bytes=10-", NULL, NULL, 416},
        {"bytes=-0", NULL, NULL, 416},
        {"bytes=3-2", NULL, "0123456789", 200},
        {"bytes=0-1,3-4", NULL, "0123456789", 200},
        {"bytes=a-b", NULL, "0123456789", 200},
        {"bytes=", NULL, "0123456789", 200},
        {"lines=1-2", NULL, "0123456789", 200},
        {"bytes=0-3", "\"tag\"", "0123", 206},
        {"bytes=0-3", "\"other\"", "0123456789", 200},
        {"bytes=10-", "\"other\"", "0123456789", 200},
    };
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_err err;
        struct rs_request *req = make(cases[i].range, cases[i].if_range);
        rs_rc rc = rs_reply_range(req, rs_source_memory(RS_STR("0123456789"), NULL, NULL), RS_STR("\"tag\""), &err);
        assert_int_equal(rc, cases[i].status == 416 ? RS_E_RANGE_INVALID : RS_OK);
        assert_string_equal(reply_header(req, "Accept-Ranges"), "bytes");
        if (rc == RS_OK) {
            assert_int_equal(req->reply.status, cases[i].status);
            assert_int_equal(req->reply.body.length, strlen(cases[i].body));
            assert_memory_equal(req->reply.body.memory, cases[i].body, strlen(cases[i].body));
            assert_int_equal(reply_header(req, "Content-Range") != NULL, cases[i].status == 206);
        } else {
            assert_string_equal(reply_header(req, "Content-Range"), "bytes */10");
            assert_int_equal(req->reply.body.length, 0);
        }
        finish(req);
    }
}

static void test_content_range_names_the_bytes(void **state)
{
    (void)state;
    struct rs_err err;
    struct rs_request *req = make("bytes=2-4", NULL);
    assert_int_equal(rs_reply_range(req, rs_source_memory(RS_STR("0123456789"), NULL, NULL), RS_STR("x"), &err), RS_OK);
    assert_string_equal(reply_header(req, "Content-Range"), "bytes 2-4/10");
    finish(req);
}

static void test_long_values_are_whole(void **state)
{
    (void)state;
    struct rs_request *req = make(NULL, NULL);
    char value[8000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    rs_reply_headerf(req, "Location", "/%s", value);
    assert_int_equal(strlen(reply_header(req, "Location")), sizeof value);
    finish(req);
}

static void test_head_ignores_ranges(void **state)
{
    (void)state;
    struct rs_err err;
    struct rs_request *req = make("bytes=2-4", NULL);
    req->method = RS_METHOD_HEAD;
    assert_int_equal(rs_reply_range(req, rs_source_memory(RS_STR("0123456789"), NULL, NULL), RS_STR("x"), &err), RS_OK);
    assert_int_equal(req->reply.status, 200);
    assert_int_equal(req->reply.body.length, 10);
    finish(req);
}

static void test_headers_replace_and_grow(void **state)
{
    (void)state;
    struct rs_request *req = make(NULL, NULL);
    static const char *const names[] = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J",
                                        "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T"};
    for (size_t i = 0; i < RS_COUNT(names); i++)
        rs_reply_headerf(req, names[i], "%zu", i);
    rs_reply_header_c(req, "a", "again");
    assert_int_equal(req->reply.header_count, RS_COUNT(names));
    assert_string_equal(reply_header(req, "A"), "again");
    assert_string_equal(reply_header(req, "T"), "19");
    finish(req);
}

static void test_queries_are_decoded(void **state)
{
    (void)state;
    struct rs_request *req = make(NULL, NULL);
    rs_str value;
    req->query = RS_STR("n=5&digest=sha256%3Aab&last=a+b%2Fc&empty&broken=%zz");
    assert_true(rs_request_query(req, RS_STR("digest"), &value) && rs_str_eq_c(value, "sha256:ab"));
    assert_true(rs_request_query(req, RS_STR("last"), &value) && rs_str_eq_c(value, "a b/c"));
    assert_true(rs_request_query(req, RS_STR("empty"), &value) && value.len == 0);
    assert_false(rs_request_query(req, RS_STR("broken"), &value));
    assert_false(rs_request_query(req, RS_STR("missing"), &value));
    finish(req);
}

static void test_a_header_may_come_several_times(void **state)
{
    (void)state;
    struct rs_request *req = make(NULL, NULL);
    for (int i = 0; i < 40; i++)
        rs_reply_header_add(req, "OCI-Tag", i % 2 ? RS_STR("odd") : RS_STR("even"));
    assert_int_equal(req->reply.header_count, 40);
    for (size_t i = 0; i < 40; i++)
        assert_true(rs_str_eq_c(req->reply.headers[i].value, i % 2 ? "odd" : "even"));
    rs_reply_header(req, "Etag", RS_STR("a"));
    rs_reply_header(req, "etag", RS_STR("b"));
    assert_int_equal(req->reply.header_count, 41);
    finish(req);
}

static void test_fields_of_one_name_are_one_list(void **state)
{
    (void)state;
    static const struct rs_header fields[] = {
        {RS_STR("accept"), RS_STR("a/b")},
        {RS_STR("Accepts"), RS_STR("x")},
        {RS_STR("Accept"), RS_STR("c/d, e/f")},
        {RS_STR("Host"), RS_STR("")},
    };
    rs_str list;
    struct rs_request *req = make(NULL, NULL);
    req->headers = fields;
    req->header_count = RS_COUNT(fields);
    assert_true(rs_request_list(req, RS_STR("Accept"), &list));
    assert_true(rs_str_eq_c(list, "a/b, c/d, e/f"));
    assert_true(rs_request_list(req, RS_STR("host"), &list));
    assert_int_equal(list.len, 0);
    assert_false(rs_request_list(req, RS_STR("If-Match"), &list));
    finish(req);
}

static void test_a_parameter_may_come_several_times(void **state)
{
    (void)state;
    static const char *const want[] = {"a", "", "b c", "%zz", "d"};
    struct rs_request *req = make(NULL, NULL);
    rs_str value, rest = RS_STR("tag=a&x=1&tag&t%61g=b+c&tag=%zz&tags=9&&tag=d");
    for (size_t i = 0; i < RS_COUNT(want); i++) {
        assert_true(rs_request_query_next(req, RS_STR("tag"), &rest, &value));
        assert_true(rs_str_eq_c(value, want[i]));
    }
    assert_false(rs_request_query_next(req, RS_STR("tag"), &rest, &value));
    finish(req);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_content_range_names_the_bytes),
        cmocka_unit_test(test_long_values_are_whole),
        cmocka_unit_test(test_head_ignores_ranges),
        cmocka_unit_test(test_headers_replace_and_grow),
        cmocka_unit_test(test_queries_are_decoded),
        cmocka_unit_test(test_a_header_may_come_several_times),
        cmocka_unit_test(test_fields_of_one_name_are_one_list),
        cmocka_unit_test(test_a_parameter_may_come_several_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
