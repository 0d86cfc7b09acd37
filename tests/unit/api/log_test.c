/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "api_test.h"
#include "base/io.h"
#include "base/log.h"

static void check_uri(const char *target, const char *expected)
{
    struct rs_buf out;

    rs_buf_init(&out, 4096);
    rs_access_uri(&out, rs_str_c(target));
    assert_str(rs_buf_str(&out), expected);
    rs_buf_release(&out);
}

static void test_state_is_not_logged(void **state)
{
    (void)state;
    check_uri("/v2/", "/v2/");
    check_uri("/v2/a?", "/v2/a?");
    check_uri("/v2/a?n=1&last=b", "/v2/a?n=1&last=b");
    check_uri("/u?_state=SECRET%3D", "/u?_state=-");
    check_uri("/u?_state=SECRET%3D&digest=sha256:12", "/u?_state=-&digest=sha256:12");
    check_uri("/u?digest=sha256:12&_state=SECRET", "/u?digest=sha256:12&_state=-");
}

static void check_duration(int64_t us, const char *expected)
{
    struct rs_buf out;

    rs_buf_init(&out, 64);
    rs_access_duration(&out, us);
    assert_str(rs_buf_str(&out), expected);
    rs_buf_release(&out);
}

static void test_durations(void **state)
{
    (void)state;
    check_duration(0, "0µs");
    check_duration(152, "152µs");
    check_duration(3204, "3.204ms");
    check_duration(999999, "999.999ms");
    check_duration(1250000, "1.250s");
    check_duration(3600000000, "3600.000s");
}

static void check_combined(const struct rs_request *req, const char *expected)
{
    struct rs_buf out;

    rs_buf_init(&out, 4096);
    rs_access_combined(&out, req, 265, 971211336);
    assert_str(rs_buf_str(&out), expected);
    rs_buf_release(&out);
}

static void test_combined(void **state)
{
    const struct rs_header headers[] = {
        {RS_STR("user-agent"), RS_STR("curl/7 \"x\\\x01")},
        {RS_STR("Referer"), RS_STR("http://r/")},
    };
    struct rs_request req;
    (void)state;

    request_init(&req, RS_METHOD_GET, "GET", "/v2/a/tags/list?n=1");
    check_combined(&req, "192.0.2.7 - - [10/Oct/2000:20:55:36 +0000] \"GET /v2/a/tags/list?n=1 HTTP/1.1\" 200 265 "
                         "\"-\" \"-\"\n");
    req.headers = headers;
    req.header_count = RS_COUNT(headers);
    req.reply.status = 404;
    req.remote = RS_STR("[2001:db8::1]:99");
    check_combined(&req, "2001:db8::1 - - [10/Oct/2000:20:55:36 +0000] \"GET /v2/a/tags/list?n=1 HTTP/1.1\" 404 265 "
                         "\"http://r/\" \"curl/7 \\\"x\\\\\\x01\"\n");
    req.remote = RS_STR("unix");
    req.header_count = 0;
    check_combined(&req, "unix - - [10/Oct/2000:20:55:36 +0000] \"GET /v2/a/tags/list?n=1 HTTP/1.1\" 404 265 "
                         "\"-\" \"-\"\n");
    req.method_name = (rs_str){0}; /* not even a request line came */
    check_combined(&req, "unix - - [10/Oct/2000:20:55:36 +0000] \"-\" 404 265 \"-\" \"-\"\n");
    request_release(&req);
}

/* Leads a stream into a new file; *out_saved is what it was. */
static int divert(int stream, char path[], int *out_saved)
{
    int file = mkstemp(path);

    *out_saved = dup(stream);
    assert_true(file >= 0 && *out_saved >= 0);
    assert_int_equal(dup2(file, stream), stream);
    return file;
}

static void restore(int stream, int file, const char *path, int saved, struct rs_buf *out)
{
    assert_int_equal(dup2(saved, stream), stream);
    close(saved);
    close(file);
    rs_buf_init(out, 65536);
    assert_int_equal(rs_read_file(path, out, NULL), RS_OK);
    unlink(path);
}

/* Runs on_done and returns what it wrote to the log (event) and to the standard output (combined). */
static void capture(const struct rs_request *req, enum rs_config_access access, bool complete, struct rs_buf *event,
                    struct rs_buf *combined)
{
    const struct rs_config config = {.log = {.access = access}};
    struct rs_api api = {.config = &config};
    char err_path[] = "/tmp/rs-api-log-XXXXXX", out_path[] = "/tmp/rs-api-log-XXXXXX";
    int err_saved, out_saved;

    fflush(NULL);
    int err_file = divert(STDERR_FILENO, err_path, &err_saved);
    int out_file = divert(STDOUT_FILENO, out_path, &out_saved);
    rs_api_on_done(req, &api, 12, 3204, complete);
    restore(STDOUT_FILENO, out_file, out_path, out_saved, combined);
    restore(STDERR_FILENO, err_file, err_path, err_saved, event);
}

static void assert_holds(struct rs_buf *text, const char *part)
{
    if (strstr(rs_buf_z(text), part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, rs_buf_z(text));
}

static void test_event(void **state)
{
    struct rs_request req;
    struct rs_buf out, none;
    (void)state;

    rs_log_configure(RS_LOG_JSON, RS_LOG_INFO, NULL, 0);
    request_init(&req, RS_METHOD_PATCH, "PATCH", "/v2/a/b/blobs/uploads/u?_state=SECRET");
    req.log_repository = RS_STR("a/b");
    req.log_digest = RS_STR("sha256:12");
    req.reply.status = 202;
    rs_reply_header_c(&req, "Content-Type", "text/x");
    capture(&req, RS_CONFIG_ACCESS_EVENT, true, &out, &none);
    assert_holds(&out, "\"level\":\"info\",\"msg\":\"response completed\"");
    assert_holds(&out, "\"http.request.method\":\"PATCH\"");
    assert_holds(&out, "\"http.request.uri\":\"/v2/a/b/blobs/uploads/u?_state=-\"");
    assert_holds(&out, "\"http.request.remoteaddr\":\"192.0.2.7:4711\"");
    assert_holds(&out, "\"http.request.id\":\"id-1\"");
    assert_holds(&out, "\"http.response.status\":202");
    assert_holds(&out, "\"http.response.written\":12");
    assert_holds(&out, "\"http.response.duration\":\"3.204ms\"");
    assert_holds(&out, "\"http.response.contenttype\":\"text/x\"");
    assert_holds(&out, "\"vars.name\":\"a/b\"");
    assert_holds(&out, "\"vars.digest\":\"sha256:12\"");
    assert_null(strstr(rs_buf_z(&out), "SECRET"));
    assert_null(strstr(rs_buf_z(&out), "err.detail"));
    rs_buf_release(&out);
    rs_buf_release(&none);
    request_release(&req);
}

static void test_combined_begins_with_the_host(void **state)
{
    static const char *const cases[][2] = {{"192.0.2.7:4711", "192.0.2.7 - - "},
                                           {"[2001:db8::1]:80", "2001:db8::1 - - "},
                                           {"192.0.2.7", "192.0.2.7 - - "},
                                           {"2001:db8::1", "2001:db8::1 - - "},
                                           {"unix", "unix - - "}};
    (void)state;

    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_request req;
        struct rs_buf out;
        request_init(&req, RS_METHOD_GET, "GET", "/v2/");
        req.remote = rs_str_c(cases[i][0]);
        rs_buf_init(&out, 65536);
        rs_access_combined(&out, &req, 2, 0);
        assert_int_equal(strncmp(rs_buf_z(&out), cases[i][1], strlen(cases[i][1])), 0);
        rs_buf_release(&out);
        request_release(&req);
    }
}

static void test_levels(void **state)
{
    struct rs_request req;
    struct rs_buf out, none;
    (void)state;

    rs_log_configure(RS_LOG_TEXT, RS_LOG_ERROR, NULL, 0);
    request_init(&req, RS_METHOD_GET, "GET", "/v2/");
    capture(&req, RS_CONFIG_ACCESS_EVENT, true, &out, &none);
    assert_int_equal(out.len, 0); /* info is not wanted */
    rs_buf_release(&out);
    rs_buf_release(&none);
    req.reply.status = 500;
    req.log_error = RS_STR("the disk is on fire");
    capture(&req, RS_CONFIG_ACCESS_EVENT, false, &out, &none);
    assert_holds(&out, "level=error msg=\"response interrupted\"");
    assert_holds(&out, "err.detail=\"the disk is on fire\"");
    rs_buf_release(&out);
    rs_buf_release(&none);
    request_release(&req);
    rs_log_configure(RS_LOG_TEXT, RS_LOG_INFO, NULL, 0);
}

static void test_where_it_goes(void **state)
{
    static const struct {
        enum rs_config_access access;
        bool event, combined;
    } cases[] = {
        {RS_CONFIG_ACCESS_EVENT, true, false},
        {RS_CONFIG_ACCESS_COMBINED, false, true},
        {RS_CONFIG_ACCESS_BOTH, true, true},
        {RS_CONFIG_ACCESS_NONE, false, false},
    };
    struct rs_request req;
    struct rs_buf event, combined;
    (void)state;

    request_init(&req, RS_METHOD_GET, "GET", "/v2/");
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        capture(&req, cases[i].access, true, &event, &combined);
        assert_int_equal(event.len > 0, cases[i].event);
        assert_int_equal(combined.len > 0, cases[i].combined);
        rs_buf_release(&event);
        rs_buf_release(&combined);
    }
    request_release(&req);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_is_not_logged),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_combined),
        cmocka_unit_test(test_event),
        cmocka_unit_test(test_combined_begins_with_the_host),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_where_it_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
