/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"

static struct peer peer;
static char url[256];

static const char *at(const char *path)
{
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", peer.port, path);
    return url;
}

static struct rs_client_request request_to(const char *path)
{
    return (struct rs_client_request){.url = at(path), .timeout_ms = 5000, .max_body = 1024 * 1024};
}

/* The answer's status, or minus the code of the error, which stands in err. */
static int status_of(const struct rs_client_request *request, struct rs_err *err)
{
    struct rs_client_response response;

    if (rs_client_do(request, &response, err) != RS_OK)
        return -(int)err->rc;
    rs_client_response_release(&response);
    return response.status;
}

static void a_get_brings_status_and_body(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/a?b=c");
    struct rs_client_response response;
    struct rs_err err;

    assert_int_equal(rs_client_do(&request, &response, &err), RS_OK);
    assert_int_equal(response.status, 200);
    assert_true(rs_str_eq_c(rs_buf_str(&response.body), "xxxxx"));
    rs_client_response_release(&response);
    assert_true(peer_got(&peer, "GET /a?b=c HTTP/1.1\r\n"));
    assert_true(peer_got(&peer, "User-Agent: roadstead/"));
}

static void a_post_sends_body_and_headers(void **state)
{
    (void)state;
    const struct rs_client_header headers[] = {
        {"Content-Type", "application/x"}, {"X-Empty", ""}, {"User-Agent", "me"}};
    struct rs_client_request request = request_to("/");
    struct rs_err err;

    request.method = "POST";
    request.headers = headers;
    request.header_count = RS_COUNT(headers);
    request.body = RS_STR("{\"a\":1}");
    assert_int_equal(status_of(&request, &err), 200);
    assert_true(peer_got(&peer, "POST / HTTP/1.1\r\n"));
    assert_true(peer_got(&peer, "Content-Type: application/x\r\n"));
    assert_true(peer_got(&peer, "X-Empty:\r\n"));
    assert_true(peer_got(&peer, "User-Agent: me\r\n"));
    assert_false(peer_got(&peer, "Expect"));
    assert_true(peer_got(&peer, "\r\n\r\n{\"a\":1}"));
}

static void other_methods_go_as_they_are(void **state)
{
    (void)state;
    static const char *const methods[] = {"HEAD", "PUT", "PATCH", "DELETE"};
    char line[64];
    struct rs_err err;

    for (size_t i = 0; i < RS_COUNT(methods); i++) {
        struct rs_client_request request = request_to("/nothing");
        request.method = methods[i];
        assert_int_equal(status_of(&request, &err), 204);
        snprintf(line, sizeof line, "%s /nothing HTTP/1.1\r\n", methods[i]);
        assert_true(peer_got(&peer, line));
    }
}

static void a_status_is_no_error(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/missing");
    struct rs_err err;

    assert_int_equal(status_of(&request, &err), 404);
}

static void connections_are_used_again(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/");
    struct rs_err err;

    assert_int_equal(status_of(&request, &err), 200);
    int before = atomic_load(&peer.connections);
    for (int i = 0; i < 20; i++)
        assert_int_equal(status_of(&request, &err), 200);
    assert_int_equal(atomic_load(&peer.connections), before);
}

static void a_body_beyond_the_ceiling_is_an_error(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/big");
    struct rs_err err;

    request.max_body = 100 * 1024;
    assert_int_equal(status_of(&request, &err), -RS_E_TOO_BIG);
    request.max_body = 300 * 1024;
    assert_int_equal(status_of(&request, &err), 200);
    request.max_body = 0; /* of no interest */
    assert_int_equal(status_of(&request, &err), 200);
}

static void redirects_are_answers_unless_wanted(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/away");
    struct rs_err err;

    request.method = "POST";
    request.body = RS_STR("keep me");
    assert_int_equal(status_of(&request, &err), 302);
    request.max_redirects = 3;
    assert_int_equal(status_of(&request, &err), 200);
    assert_true(peer_got(&peer, "POST /there HTTP/1.1\r\n"));
    assert_true(peer_got(&peer, "keep me"));
    request.url = at("/circle");
    assert_int_equal(status_of(&request, &err), -RS_E_REMOTE);
    request.url = at("/file");
    assert_int_equal(status_of(&request, &err), -RS_E_REMOTE);
}

static void a_server_that_hangs_is_given_up(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/hang");
    struct rs_err err;

    request.timeout_ms = 200;
    int64_t start = rs_mono_ms();
    assert_int_equal(status_of(&request, &err), -RS_E_REMOTE_TIMEOUT);
    assert_in_range(rs_mono_ms() - start, 150, 4000);
}

static _Atomic bool cancel;

static void *cancel_soon(void *arg)
{
    (void)arg;
    usleep(100 * 1000);
    atomic_store(&cancel, true);
    return NULL;
}

static void a_call_can_be_cancelled(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/hang");
    struct rs_err err;
    pthread_t thread;

    request.timeout_ms = 9000;
    request.cancel = &cancel;
    int64_t start = rs_mono_ms();
    assert_int_equal(rs_thread_start(&thread, cancel_soon, NULL), 0);
    assert_int_equal(status_of(&request, &err), -RS_E_UNAVAILABLE);
    assert_in_range(rs_mono_ms() - start, 50, 4000);
    pthread_join(thread, NULL);
}

static void an_answer_cut_off_is_an_error(void **state)
{
    (void)state;
    struct rs_client_request request = request_to("/cut");
    struct rs_err err;

    assert_int_equal(status_of(&request, &err), -RS_E_REMOTE);
}

static void errors_say_where_and_why_and_no_secret(void **state)
{
    (void)state;
    struct rs_client_request request = {.url = "http://user:geheim@127.0.0.1:1/secret/path?token=geheim",
                                        .timeout_ms = 2000};
    struct rs_err err;

    assert_int_equal(status_of(&request, &err), -RS_E_REMOTE);
    assert_non_null(strstr(err.text, "http://127.0.0.1:1: "));
    assert_non_null(strstr(err.text, "refused"));
    assert_null(strstr(err.text, "geheim"));
    assert_null(strstr(err.text, "secret"));
    request.url = "http://user:geheim@name.invalid/";
    assert_int_equal(status_of(&request, &err), -RS_E_REMOTE);
    assert_non_null(strstr(err.text, "name.invalid:80"));
    assert_null(strstr(err.text, "geheim"));
}

static void what_cannot_be_asked_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "127.0.0.1",   "ftp://127.0.0.1/", "file:///etc/passwd",
                                      "http://", "http://a b/", "http://h:99999/"};
    const struct rs_client_header split = {"X-A", "1\r\nX-B: 2"};
    const struct rs_client_header name = {"X A", "1"};
    struct rs_client_request request = {.timeout_ms = 1000};
    struct rs_err err;

    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        request.url = bad[i];
        assert_int_equal(status_of(&request, &err), -RS_E_INVALID);
    }
    request = request_to("/");
    request.header_count = 1;
    request.headers = &split;
    assert_int_equal(status_of(&request, &err), -RS_E_INVALID);
    request.headers = &name;
    assert_int_equal(status_of(&request, &err), -RS_E_INVALID);
    request.header_count = 0;
    request.method = "GET /x";
    assert_int_equal(status_of(&request, &err), -RS_E_INVALID);
}

static void an_origin_has_no_secrets(void **state)
{
    (void)state;
    struct rs_buf out;

    rs_buf_init(&out, 256);
    assert_true(rs_client_origin("https://u:p@Example.org/hook/geheim?a=b", &out));
    assert_true(rs_str_eq_nocase(rs_buf_str(&out), RS_STR("https://example.org:443")));
    rs_buf_clear(&out);
    assert_true(rs_client_origin("http://[::1]:8080", &out));
    assert_true(rs_str_eq_c(rs_buf_str(&out), "http://[::1]:8080"));
    assert_false(rs_client_origin("example.org/x", &out));
    rs_buf_release(&out);
}

static void *many(void *arg)
{
    (void)arg;
    char mine[64];
    struct rs_client_request request = {.url = mine, .timeout_ms = 9000};
    struct rs_err err;
    intptr_t good = 0;

    snprintf(mine, sizeof mine, "http://127.0.0.1:%d/cut", peer.port); /* each ends its connection */
    for (int i = 0; i < 10; i++)
        good += status_of(&request, &err) == -(int)RS_E_REMOTE;
    return (void *)good;
}

static void any_thread_may_call(void **state)
{
    (void)state;
    pthread_t threads[4];
    void *good;

    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(rs_thread_start(&threads[i], many, NULL), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++) {
        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 10);
    }
}

/* libcurl finds this one: a name server that keeps whoever asks for "slow.test" waiting. */
static atomic_int lookups;

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    if (node != NULL && strcmp(node, "slow.test") == 0) {
        atomic_fetch_add(&lookups, 1);
        sleep(3);
        atomic_fetch_sub(&lookups, 1);
        return EAI_AGAIN;
    }
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    return next(node, service, hints, out);
}

static void a_name_server_that_hangs_is_given_up(void **state)
{
    (void)state;
    struct rs_client_request request = {.url = "http://slow.test/", .timeout_ms = 300};
    struct rs_err err;
    int64_t began_ms = rs_mono_ms();

    assert_int_equal(status_of(&request, &err), -(int)RS_E_REMOTE_TIMEOUT);
    assert_in_range(rs_mono_ms() - began_ms, 200, 2000);
    assert_int_equal(atomic_load(&lookups), 1);
    for (int i = 0; i < 100 && atomic_load(&lookups) > 0; i++)
        usleep(100 * 1000); /* its thread ends before the test */
}

static int start(void **state)
{
    (void)state;
    peer_start(&peer);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    peer_stop(&peer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_brings_status_and_body),
        cmocka_unit_test(a_post_sends_body_and_headers),
        cmocka_unit_test(other_methods_go_as_they_are),
        cmocka_unit_test(a_status_is_no_error),
        cmocka_unit_test(connections_are_used_again),
        cmocka_unit_test(a_body_beyond_the_ceiling_is_an_error),
        cmocka_unit_test(redirects_are_answers_unless_wanted),
        cmocka_unit_test(a_server_that_hangs_is_given_up),
        cmocka_unit_test(a_name_server_that_hangs_is_given_up),
        cmocka_unit_test(a_call_can_be_cancelled),
        cmocka_unit_test(an_answer_cut_off_is_an_error),
        cmocka_unit_test(errors_say_where_and_why_and_no_secret),
        cmocka_unit_test(what_cannot_be_asked_is_refused),
        cmocka_unit_test(an_origin_has_no_secrets),
        cmocka_unit_test(any_thread_may_call),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
