/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "http/router.h"

#define GET (1u << RS_METHOD_GET)
#define PUT (1u << RS_METHOD_PUT)

static const struct rs_route routes[] = {
    {"/v2/", GET, RS_ROUTE_SHORT, NULL},
    {"/v2/_catalog", GET, RS_ROUTE_SHORT, NULL},
    {"/v2/**/manifests/*", GET, RS_ROUTE_SHORT, NULL},
    {"/v2/**/manifests/*", PUT, RS_ROUTE_BODY, NULL},
    {"/v2/**/blobs/uploads/", PUT, RS_ROUTE_BODY, NULL},
    {"/v2/**/blobs/uploads/*", PUT, RS_ROUTE_BODY, NULL},
    {"/v2/**/blobs/*", GET, RS_ROUTE_SHORT, NULL},
};

static int match(struct rs_router *router, enum rs_method method, const char *path, struct rs_request *req,
                 unsigned *allowed)
{
    const struct rs_route *route = NULL;
    struct rs_err err;
    *req = (struct rs_request){.method = method, .path = rs_str_c(path)};
    rs_rc rc = rs_router_match(router, req, &route, allowed, &err);
    return rc == RS_OK ? (int)(route - routes) : rc == RS_E_NOT_FOUND ? -1 : -2;
}

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        enum rs_method method;
        const char *path;
        int route;
        const char *first, *second;
    } cases[] = {
        {RS_METHOD_GET, "/v2/", 0, "", ""},
        {RS_METHOD_GET, "/v2", -1, "", ""},
        {RS_METHOD_GET, "/", -1, "", ""},
        {RS_METHOD_GET, "*", -1, "", ""},
        {RS_METHOD_GET, "/v2/_catalog", 1, "", ""},
        {RS_METHOD_GET, "/v2/a/manifests/t", 2, "a", "t"},
        {RS_METHOD_GET, "/v2/a/b/c/manifests/t", 2, "a/b/c", "t"},
        {RS_METHOD_GET, "/v2/manifests/manifests/manifests", 2, "manifests", "manifests"},
        {RS_METHOD_GET, "/v2/a//b/manifests/t", 2, "a//b", "t"},
        {RS_METHOD_GET, "/v2/a/manifests/", -1, "", ""},
        {RS_METHOD_GET, "/v2/manifests/t", -1, "", ""},
        {RS_METHOD_PUT, "/v2/a/manifests/t", 3, "a", "t"},
        {RS_METHOD_PUT, "/v2/a/blobs/uploads/", 4, "a", ""},
        {RS_METHOD_PUT, "/v2/a/blobs/uploads/u", 5, "a", "u"},
        {RS_METHOD_GET, "/v2/a/blobs/d", 6, "a", "d"},
        {RS_METHOD_DELETE, "/v2/a/blobs/d", -2, "", ""},
    };
    struct rs_router *router = rs_router_new(routes, RS_COUNT(routes));
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_request req;
        unsigned allowed = 0;
        int got = match(router, cases[i].method, cases[i].path, &req, &allowed);
        if (got != cases[i].route)
            print_error("%s\n", cases[i].path);
        assert_int_equal(got, cases[i].route);
        if (got >= 0) {
            assert_true(rs_str_eq_c(req.captures[0], cases[i].first));
            assert_true(rs_str_eq_c(req.captures[1], cases[i].second));
        }
    }
    rs_router_free(&router);
}

static void test_other_methods_are_named(void **state)
{
    (void)state;
    struct rs_router *router = rs_router_new(routes, RS_COUNT(routes));
    struct rs_request req;
    unsigned allowed = 0;
    assert_int_equal(match(router, RS_METHOD_DELETE, "/v2/a/manifests/t", &req, &allowed), -2);
    assert_int_equal(allowed, GET | PUT);
    rs_router_free(&router);
}

static void test_very_deep_paths_are_not_found(void **state)
{
    (void)state;
    struct rs_router *router = rs_router_new(routes, RS_COUNT(routes));
    struct rs_request req;
    unsigned allowed = 0;
    char path[2048] = "/v2";
    for (size_t n = 3; n < 2000; n += 2)
        memcpy(path + n, "/a", 3);
    assert_int_equal(match(router, RS_METHOD_GET, path, &req, &allowed), -1);
    rs_router_free(&router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_other_methods_are_named),
        cmocka_unit_test(test_very_deep_paths_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
