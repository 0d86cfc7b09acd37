/* SPDX-License-Identifier: Apache-2.0 */
#include "api_test.h"

static void check_json(rs_rc rc, const char *detail, const char *expected)
{
    struct rs_buf out;

    rs_buf_init(&out, 4096);
    rs_error_json(&out, rc, rs_str_c(detail));
    assert_str(rs_buf_str(&out), expected);
    rs_buf_release(&out);
}

static void test_json(void **state)
{
    (void)state;
    check_json(RS_E_BLOB_UNKNOWN, "sha256:12",
               "{\"errors\":[{\"code\":\"BLOB_UNKNOWN\",\"message\":\"blob unknown to registry\","
               "\"detail\":\"sha256:12\"}]}\n");
    check_json(RS_E_NAME_INVALID, "",
               "{\"errors\":[{\"code\":\"NAME_INVALID\",\"message\":\"invalid repository name\"}]}\n");
    check_json(RS_E_UNSUPPORTED, "a \"quote\"\n",
               "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"the operation is unsupported\","
               "\"detail\":\"a \\\"quote\\\"\\n\"}]}\n");
}

static void test_reply(void **state)
{
    struct rs_request req;
    struct rs_err err;
    (void)state;

    request_init(&req, RS_METHOD_GET, "GET", "/v2/x/blobs/y");
    rs_reply_header_c(&req, "Allow", "GET");
    rs_err_set(&err, RS_E_METHOD_NOT_ALLOWED, "no %s here", "PUT");
    rs_api_on_error(&req, NULL, err.rc, &err);
    assert_int_equal(req.reply.status, 405);
    assert_header(&req, "Content-Type", "application/json; charset=utf-8");
    assert_header(&req, "Allow", "GET"); /* what belongs to the error stays */
    assert_str(req.log_error, "no PUT here");
    assert_memory_body(&req, "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"method not allowed\","
                             "\"detail\":\"no PUT here\"}]}\n");
    request_release(&req);
}

static void test_inner_errors_stay_inside(void **state)
{
    struct rs_request req;
    struct rs_err err;
    (void)state;

    request_init(&req, RS_METHOD_GET, "GET", "/v2/x/blobs/y");
    rs_err_set(&err, RS_E_IO, "/srv/secret/place: Input/output error");
    rs_api_on_error(&req, NULL, err.rc, &err);
    assert_int_equal(req.reply.status, 500);
    assert_str(req.log_error, "/srv/secret/place: Input/output error");
    assert_memory_body(&req, "{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"input or output failed\","
                             "\"detail\":\"the log of the registry says more under the request id id-1\"}]}\n");
    request_release(&req);
}

static void test_a_long_text_of_escapes_fits(void **state)
{
    struct rs_request req;
    struct rs_err err = {.rc = RS_E_MANIFEST_INVALID};
    (void)state;

    memset(err.text, 1, sizeof err.text - 1);
    request_init(&req, RS_METHOD_PUT, "PUT", "/v2/x/manifests/y");
    rs_api_on_error(&req, NULL, err.rc, &err);
    assert_true(rs_str_ends((rs_str){req.reply.body.memory, req.reply.body.length}, RS_STR("\"}]}\n")));
    request_release(&req);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_inner_errors_stay_inside),
        cmocka_unit_test(test_a_long_text_of_escapes_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
