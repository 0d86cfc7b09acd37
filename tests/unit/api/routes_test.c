/* SPDX-License-Identifier: Apache-2.0 */
#include "api_test.h"
#include "metrics/metrics.h"

static struct rs_api *make(const char *prefix, const struct rs_config_header *headers, size_t count)
{
    static struct rs_config config;
    struct rs_api *api = NULL;

    config = (struct rs_config){.http = {.host = "", .prefix = prefix, .headers = headers, .header_count = count}};
    assert_int_equal(rs_api_new(&config, &api, NULL), RS_OK);
    return api;
}

/* The handler of a pattern, or NULL. How patterns fit paths is the router's matter. */
static rs_handler *find(struct rs_api *api, enum rs_method method, const char *pattern, enum rs_route_kind *out_kind)
{
    struct rs_http_config http = {0};

    rs_api_http(api, &http);
    for (size_t i = 0; i < http.route_count; i++)
        if (strcmp(http.routes[i].pattern, pattern) == 0 && (http.routes[i].methods & (1u << method))) {
            *out_kind = http.routes[i].kind;
            return http.routes[i].handler;
        }
    return NULL;
}

static void test_table(void **state)
{
    static const struct {
        enum rs_method method;
        const char *pattern;
        rs_handler *handler;
        enum rs_route_kind kind;
    } cases[] = {
        {RS_METHOD_GET, "/", rs_api_root, RS_ROUTE_SHORT},
        {RS_METHOD_GET, "/v2", rs_api_base_redirect, RS_ROUTE_SHORT},
        {RS_METHOD_GET, "/v2/", rs_api_base, RS_ROUTE_SHORT},
        {RS_METHOD_POST, "/v2/", NULL, 0},
        {RS_METHOD_GET, "/v2/_catalog", rs_api_catalog_get, RS_ROUTE_BLOCKING},
        {RS_METHOD_GET, "/v2/**/tags/list", rs_api_tags_get, RS_ROUTE_BLOCKING},
        {RS_METHOD_GET, "/v2/**/manifests/*", rs_api_manifest_get, RS_ROUTE_SHORT},
        {RS_METHOD_HEAD, "/v2/**/manifests/*", rs_api_manifest_get, RS_ROUTE_SHORT},
        {RS_METHOD_PUT, "/v2/**/manifests/*", rs_api_manifest_put, RS_ROUTE_BODY},
        {RS_METHOD_DELETE, "/v2/**/manifests/*", rs_api_manifest_delete, RS_ROUTE_BLOCKING},
        {RS_METHOD_POST, "/v2/**/manifests/*", NULL, 0},
        {RS_METHOD_HEAD, "/v2/**/blobs/*", rs_api_blob_get, RS_ROUTE_SHORT},
        {RS_METHOD_DELETE, "/v2/**/blobs/*", rs_api_blob_delete, RS_ROUTE_BLOCKING},
        {RS_METHOD_POST, "/v2/**/blobs/uploads/", rs_api_upload_post, RS_ROUTE_BODY},
        {RS_METHOD_POST, "/v2/**/blobs/uploads", rs_api_upload_post, RS_ROUTE_BODY},
        {RS_METHOD_GET, "/v2/**/blobs/uploads/*", rs_api_upload_get, RS_ROUTE_BLOCKING},
        {RS_METHOD_PATCH, "/v2/**/blobs/uploads/*", rs_api_upload_patch, RS_ROUTE_BODY},
        {RS_METHOD_PUT, "/v2/**/blobs/uploads/*", rs_api_upload_put, RS_ROUTE_BODY},
        {RS_METHOD_DELETE, "/v2/**/blobs/uploads/*", rs_api_upload_delete, RS_ROUTE_BLOCKING},
        {RS_METHOD_POST, "/v2/**/blobs/uploads/*", NULL, 0},
    };
    struct rs_api *api = make("", NULL, 0);
    (void)state;

    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        enum rs_route_kind kind = 0;
        assert_ptr_equal(find(api, cases[i].method, cases[i].pattern, &kind), cases[i].handler);
        assert_int_equal(kind, cases[i].kind);
    }
    rs_api_free(&api);
    assert_null(api);
}

static void test_prefix(void **state)
{
    struct rs_api *api = make("/pre/fix", NULL, 0);
    struct rs_request req;
    enum rs_route_kind kind;
    (void)state;

    assert_ptr_equal(find(api, RS_METHOD_GET, "/pre/fix/v2/", &kind), rs_api_base);
    assert_null(find(api, RS_METHOD_GET, "/v2/", &kind));
    assert_ptr_equal(find(api, RS_METHOD_GET, "/", &kind), rs_api_root); /* load balancers know no prefix */
    request_init(&req, RS_METHOD_GET, "GET", "/pre/fix/v2");
    assert_int_equal(rs_api_base_redirect(&req, api, NULL), RS_OK);
    assert_int_equal(req.reply.status, 301);
    assert_header(&req, "Location", "/pre/fix/v2/");
    request_release(&req);
    rs_api_free(&api);
}

static void test_configured_headers(void **state)
{
    const char *nosniff[] = {"nosniff"}, *two[] = {"a", "b"};
    const struct rs_config_header headers[] = {
        {"X-Content-Type-Options", {nosniff, 1}},
        {"X-Two", {two, 2}},
        {"content-type", {two, 1}},
    };
    struct rs_api *api = make("", headers, 3);
    struct rs_http_config http = {0};
    struct rs_request req;
    (void)state;

    rs_api_http(api, &http);
    request_init(&req, RS_METHOD_GET, "GET", "/v2/");
    rs_reply_header_c(&req, "Content-Type", "text/plain");
    http.on_reply(&req, http.ctx);
    assert_header(&req, "X-Content-Type-Options", "nosniff");
    assert_header(&req, "X-Two", "a");
    assert_header(&req, "Content-Type", "text/plain"); /* what the handler says counts more */
    size_t lines = 0;
    for (size_t i = 0; i < req.reply.header_count; i++)
        lines += rs_str_eq(req.reply.headers[i].name, RS_STR("X-Two"));
    assert_int_equal(lines, 2);
    assert_header(&req, "Docker-Distribution-Api-Version", "registry/2.0");
    assert_header(&req, "X-Request-Id", "id-1");
    request_release(&req);
    rs_api_free(&api);
}

static void test_headers_that_would_split_a_reply(void **state)
{
    const char *bad[] = {"x\r\nSet-Cookie: y"};
    const struct rs_config_header header = {"X-Bad", {bad, 1}};
    struct rs_config config = {.http = {.host = "", .prefix = "", .headers = &header, .header_count = 1}};
    struct rs_api *api = NULL;
    struct rs_err err;
    (void)state;

    assert_int_equal(rs_api_new(&config, &api, &err), RS_E_CONFIG);
    assert_null(api);
    assert_non_null(strstr(err.text, "X-Bad"));
    config.http = (struct rs_config_http){.host = "http://a\nb", .prefix = ""};
    assert_int_equal(rs_api_new(&config, &api, &err), RS_E_CONFIG);
}

/* Its metrics would else be lost among the others. */
static void test_every_route_has_a_name_that_metrics_know(void **state)
{
    struct rs_api *api = make("/p", NULL, 0);
    (void)state;

    for (size_t i = 0; i < api->route_count; i++) {
        assert_non_null(api->routes[i].name);
        assert_int_not_equal(rs_metrics_value(RS_LABEL_ROUTE, rs_str_c(api->routes[i].name)), RS_VALUE_ROUTE_OTHER);
    }
    rs_api_free(&api);
}

static void test_requests_are_counted_by_route_method_and_status(void **state)
{
    const struct rs_metric_labels found = RS_LABELS(RS_VALUE_ROUTE_BASE, RS_VALUE_METHOD_GET, RS_VALUE_CODE_200);
    const struct rs_metric_labels none = RS_LABELS(RS_VALUE_ROUTE_OTHER, RS_VALUE_METHOD_GET, RS_VALUE_CODE_404);
    struct rs_api *api = make("", NULL, 0);
    struct rs_http_config http = {0};
    struct rs_request req;
    (void)state;

    api->config = &(const struct rs_config){.log = {.access = RS_CONFIG_ACCESS_NONE}};
    rs_api_http(api, &http);
    request_init(&req, RS_METHOD_GET, "GET", "/v2/");
    req.route = &api->routes[0];
    req.received = 2000;
    assert_int_equal(http.on_route(&req, api, NULL), RS_OK);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_IN_FLIGHT, RS_LABELS(RS_VALUE_ROUTE_BASE)), 1);
    http.on_done(&req, api, 2, 1234, true);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_IN_FLIGHT, RS_LABELS(RS_VALUE_ROUTE_BASE)), 0);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_REQUESTS, found), 1);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_SECONDS, RS_LABELS(RS_VALUE_ROUTE_BASE, RS_VALUE_METHOD_GET)), 1);
    req.route = NULL; /* as when nothing fits: it never began */
    req.reply.status = 404;
    http.on_done(&req, api, 0, 1, false);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_REQUESTS, none), 1);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_IN_FLIGHT, RS_LABELS(RS_VALUE_ROUTE_OTHER)), 0);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_INTERRUPTED, RS_NO_LABELS), 1);
    request_release(&req);
    rs_api_free(&api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_every_route_has_a_name_that_metrics_know),
        cmocka_unit_test(test_requests_are_counted_by_route_method_and_status),
        cmocka_unit_test(test_configured_headers),
        cmocka_unit_test(test_headers_that_would_split_a_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
