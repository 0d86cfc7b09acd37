/* SPDX-License-Identifier: Apache-2.0 */
/* What a failing check does to requests, and to those that ask for it. */
#include <unistd.h>

#include "api_test.h"

static struct rs_config config = {.http = {.host = "", .prefix = ""}};
static const struct rs_config_check check = {
    .kind = RS_CONFIG_CHECK_FILE, .target = "/", .interval_ms = 20, .timeout_ms = 1000, .threshold = 1};

static const struct rs_route *route(const struct rs_api *api, const char *pattern)
{
    for (size_t i = 0; i < api->route_count; i++)
        if (strcmp(api->routes[i].pattern, pattern) == 0)
            return &api->routes[i];
    return NULL;
}

/* As the server does: the hook, and then the handler. */
static rs_rc ask(struct rs_api *api, struct rs_request *req, const char *pattern)
{
    struct rs_http_config http = {0};
    struct rs_err err;

    rs_api_http(api, &http);
    request_init(req, RS_METHOD_GET, "GET", pattern);
    req->route = route(api, pattern);
    assert_non_null(req->route);
    rs_rc rc = http.on_route(req, api, &err);
    if (rc == RS_OK)
        rc = req->route->handler(req, api, &err);
    else
        http.on_error(req, api, rc, &err);
    http.on_done(req, api, 0, 1, true);
    return rc;
}

static void all_is_well_without_checks(void **state)
{
    struct rs_api *api = NULL;
    struct rs_request req;
    (void)state;

    assert_int_equal(rs_api_new(&config, &api, NULL), RS_OK);
    assert_int_equal(ask(api, &req, "/v2/"), RS_OK);
    request_release(&req);
    assert_int_equal(ask(api, &req, "/healthz"), RS_OK);
    assert_int_equal(req.reply.status, 200);
    assert_memory_body(&req, "{\"status\":\"ok\"}\n");
    request_release(&req);
    rs_api_free(&api);
}

static void a_failing_check_refuses_all_but_healthz(void **state)
{
    const struct rs_config_health checks = {.checks = &check, .check_count = 1};
    struct rs_health *health = rs_health_new(&checks, NULL);
    struct rs_api *api = NULL;
    struct rs_request req;
    (void)state;

    assert_int_equal(rs_api_new(&config, &api, NULL), RS_OK);
    rs_api_attach_health(api, health);
    assert_int_equal(rs_health_start(health, NULL), RS_OK);
    for (int i = 0; i < 1000 && rs_health_ok(health); i++)
        usleep(10000);
    assert_int_equal(ask(api, &req, "/v2/"), RS_E_UNAVAILABLE);
    assert_int_equal(req.reply.status, 503);
    assert_header(&req, "Retry-After", "10");
    request_release(&req);
    assert_int_equal(ask(api, &req, "/"), RS_E_UNAVAILABLE);
    request_release(&req);
    assert_int_equal(ask(api, &req, "/healthz"), RS_OK);
    assert_int_equal(req.reply.status, 503);
    assert_header(&req, "Retry-After", NULL);
    assert_memory_body(&req, "{\"status\":\"failing\"}\n");
    request_release(&req);
    assert_true(rs_health_free(&health));
    rs_api_free(&api);
}

static void who_stops_says_so_and_goes_on_serving(void **state)
{
    struct rs_api *api = NULL;
    struct rs_request req;
    (void)state;

    assert_int_equal(rs_api_new(&config, &api, NULL), RS_OK);
    rs_api_stopping(api);
    assert_int_equal(ask(api, &req, "/healthz"), RS_OK);
    assert_int_equal(req.reply.status, 503);
    assert_memory_body(&req, "{\"status\":\"stopping\"}\n");
    request_release(&req);
    assert_int_equal(ask(api, &req, "/v2/"), RS_OK);
    request_release(&req);
    rs_api_free(&api);
}

/* Below a prefix it could be asked for by nobody who does not know the prefix. */
static void healthz_is_not_below_the_prefix(void **state)
{
    struct rs_config prefixed = config;
    struct rs_api *api = NULL;
    (void)state;

    prefixed.http.prefix = "/p";
    assert_int_equal(rs_api_new(&prefixed, &api, NULL), RS_OK);
    assert_non_null(route(api, "/healthz"));
    assert_null(route(api, "/p/healthz"));
    rs_api_free(&api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well_without_checks),
        cmocka_unit_test(a_failing_check_refuses_all_but_healthz),
        cmocka_unit_test(who_stops_says_so_and_goes_on_serving),
        cmocka_unit_test(healthz_is_not_below_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
