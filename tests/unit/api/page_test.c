/* SPDX-License-Identifier: Apache-2.0 */
#include "api_test.h"

static void test_number(void **state)
{
    const struct rs_page_rule strict = {.absent = 100, .max = 1000};
    const struct rs_page_rule clamped = {.absent = UINT64_MAX, .max = 1000, .clamp = true};
    static const char *const bad[] = {"x", "-1", "1x", " 1", "1.5", "99999999999999999999"};
    struct rs_err err;
    uint64_t n = 7;
    (void)state;

    for (size_t i = 0; i < RS_COUNT(bad); i++)
        assert_int_equal(rs_page_number(rs_str_c(bad[i]), &clamped, &n, &err), RS_E_PAGINATION_NUMBER_INVALID);
    assert_int_equal(rs_page_number(RS_STR("1001"), &strict, &n, &err), RS_E_PAGINATION_NUMBER_INVALID);
    assert_non_null(strstr(err.text, "1001"));
    assert_non_null(strstr(err.text, "1000"));
    assert_int_equal(n, 7);
    assert_int_equal(rs_page_number(RS_STR("1000"), &strict, &n, &err), RS_OK);
    assert_int_equal(n, 1000);
    assert_int_equal(rs_page_number(RS_STR("5000"), &clamped, &n, &err), RS_OK);
    assert_int_equal(n, 1000);
    assert_int_equal(rs_page_number(RS_STR("0"), &strict, &n, &err), RS_OK);
    assert_int_equal(n, 0);
}

/* Lists names through a page as a registry would, and answers. */
static void list(struct rs_request *req, const char *const *names, size_t count)
{
    const struct rs_page_rule rule = {.absent = 100, .max = 1000};
    struct rs_page page;

    rs_page_init(&page);
    assert_int_equal(rs_page_begin(req, &rule, &page, NULL), RS_OK);
    rs_buf_add_c(&page.json, "{\"names\":[");
    for (size_t i = 0; i < count && rs_page_add(&page, rs_str_c(names[i])); i++)
        continue;
    rs_page_reply(req, &page, page.n);
    rs_page_release(&page);
}

static void test_pages(void **state)
{
    static const char *const names[] = {"a/x y", "b\"", "c"};
    static const struct {
        const char *target, *body, *link;
    } cases[] = {
        {"/v2/_catalog", "{\"names\":[\"a/x y\",\"b\\\"\",\"c\"]}\n", NULL},
        {"/v2/_catalog?n=3", "{\"names\":[\"a/x y\",\"b\\\"\",\"c\"]}\n", NULL},
        {"/v2/_catalog?n=1", "{\"names\":[\"a/x y\"]}\n", "</v2/_catalog?last=a%2Fx%20y&n=1>; rel=\"next\""},
        {"/v2/_catalog?n=2", "{\"names\":[\"a/x y\",\"b\\\"\"]}\n", "</v2/_catalog?last=b%22&n=2>; rel=\"next\""},
        {"/v2/_catalog?n=0", "{\"names\":[]}\n", NULL},
        {"/v2/_catalog?n=", "{\"names\":[\"a/x y\",\"b\\\"\",\"c\"]}\n", NULL},
    };
    (void)state;

    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_request req;
        request_init(&req, RS_METHOD_GET, "GET", cases[i].target);
        list(&req, names, RS_COUNT(names));
        assert_memory_body(&req, cases[i].body);
        assert_header(&req, "Link", cases[i].link);
        assert_header(&req, "Content-Type", "application/json; charset=utf-8");
        request_release(&req);
    }
}

static void test_last_is_decoded_once(void **state)
{
    const struct rs_page_rule rule = {.absent = 100, .max = 1000};
    struct rs_request req;
    struct rs_page page;
    (void)state;

    request_init(&req, RS_METHOD_GET, "GET", "/v2/_catalog?last=a%2Fb%252F&n=5");
    rs_page_init(&page);
    assert_int_equal(rs_page_begin(&req, &rule, &page, NULL), RS_OK);
    assert_str(page.after, "a/b%2F");
    assert_int_equal(page.n, 5);
    rs_page_release(&page);
    request_release(&req);
}

/* A page without n ends at its ceiling, and says that there is more. */
static void test_ceiling(void **state)
{
    const struct rs_page_rule rule = {.absent = UINT64_MAX, .max = 1000, .clamp = true};
    char name[1000];
    struct rs_request req;
    struct rs_page page;
    (void)state;

    memset(name, 'x', sizeof name);
    request_init(&req, RS_METHOD_GET, "GET", "/v2/r/tags/list");
    rs_page_init(&page);
    assert_int_equal(rs_page_begin(&req, &rule, &page, NULL), RS_OK);
    rs_buf_add_c(&page.json, "{\"tags\":[");
    size_t added = 0;
    while (added < 10000 && rs_page_add(&page, (rs_str){name, sizeof name}))
        added++;
    assert_true(added > 4000 && added < 4500);
    assert_true(page.more);
    assert_false(page.json.overflow);
    rs_page_reply(&req, &page, 1000);
    rs_str body = {req.reply.body.memory, req.reply.body.length};
    assert_true(rs_str_ends(body, RS_STR("x\"]}\n")));
    rs_page_release(&page);
    request_release(&req);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_last_is_decoded_once),
        cmocka_unit_test(test_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
