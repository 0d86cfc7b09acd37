/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: lanes, workers, places, limits, draining. The wording of the protocol is tested in tests/wire. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void wait_at_gate(int count)
{
    for (int i = 0; i < 1000 && harness_at_gate() != count; i++)
        usleep(10000);
    assert_int_equal(harness_at_gate(), count);
}

static void wait_waiting(struct harness *h, unsigned count)
{
    struct rs_http_stats stats = {0};
    for (int i = 0; i < 1000; i++) {
        rs_http_stats(h->server, &stats);
        if (stats.waiting == count)
            return;
        usleep(10000);
    }
    assert_int_equal(stats.waiting, count);
}

static void test_keep_alive_and_pipelining(void **state)
{
    (void)state;
    struct harness h;
    char body[64];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, GET("/small") GET("/sleep") GET("/missing") GET("/small"));
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_int_equal(client_reply(fd, NULL, 0), 404);
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_string_equal(body, "small");
    close(fd);
    harness_stop(&h);
}

static void test_many_pipelined_requests_keep_their_order(void **state)
{
    (void)state;
    struct harness h;
    char request[128], body[64], want[16];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    for (int i = 0; i < 500; i++) {
        snprintf(want, sizeof want, "%d", i);
        snprintf(request, sizeof request, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(want), want);
        client_send(fd, request);
        client_send(fd, GET("/small"));
    }
    for (int i = 0; i < 500; i++) {
        snprintf(want, sizeof want, "%d", i);
        assert_int_equal(client_reply(fd, body, sizeof body), 200);
        assert_string_equal(body, want);
        assert_int_equal(client_reply(fd, body, sizeof body), 200);
        assert_string_equal(body, "small");
    }
    close(fd);
    harness_stop(&h);
}

static void test_a_head_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    for (const char *c = GET("/small"); *c != '\0'; c++) {
        client_send(fd, (char[]){*c, '\0'});
        usleep(1000);
    }
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    close(fd);
    harness_stop(&h);
}

static void test_chunked_body_then_the_next_request(void **state)
{
    (void)state;
    struct harness h;
    char body[64];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    usleep(20000);
    client_send(fd, "6\r\n world\r\n0\r\n\r\n" GET("/small"));
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_string_equal(body, "hello world");
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_string_equal(body, "small");
    close(fd);
    harness_stop(&h);
}

static void test_continue_is_sent_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct harness h;
    char body[64];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(fd, NULL, 0), 100);
    client_send(fd, "ok");
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_string_equal(body, "ok");
    /* A handler that does not want it answers at once, and whether the body follows is unknown: the end. */
    client_send(fd, "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    assert_true(client_closed(fd));
    close(fd);
    harness_stop(&h);
}

static void test_an_ignored_body(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" GET("/small"));
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    /* A long one is not waited for: the reply arrives, then the end, without a reset that would eat the reply. */
    client_send(fd, "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nhello");
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    assert_true(client_closed(fd));
    close(fd);
    harness_stop(&h);
}

static void test_requests_wait_for_a_worker_in_turn(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.max_workers = 2;
    h.config.reserved_workers = 1;
    harness_start(&h);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], GET("/gate"));
    }
    wait_at_gate(2);
    wait_waiting(&h, 2);
    int fd = client_connect(&h); /* short requests need no worker */
    assert_int_equal(client_get(fd, "/small", NULL, 0), 200);
    harness_open_gate();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(client_reply(fds[i], NULL, 0), 200);
        close(fds[i]);
    }
    close(fd);
    harness_stop(&h);
}

static void test_waiting_too_long_is_503(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.max_workers = 1;
    h.config.reserved_workers = 0;
    h.config.queue_ms = 100;
    harness_start(&h);
    int first = client_connect(&h), second = client_connect(&h);
    client_send(first, GET("/gate"));
    wait_at_gate(1);
    client_send(second, GET("/gate"));
    assert_int_equal(client_reply(second, NULL, 0), 503);
    harness_open_gate();
    assert_int_equal(client_reply(first, NULL, 0), 200);
    assert_int_equal(client_get(second, "/gate", NULL, 0), 200);
    close(first);
    close(second);
    harness_stop(&h);
}

static void test_bodies_are_limited_per_address(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.max_workers = 8;
    h.config.reserved_workers = 4;
    h.config.max_body_workers_per_address = 1;
    harness_start(&h);
    int first = client_connect(&h), second = client_connect(&h), other = client_connect_from(&h, "127.0.0.2");
    client_send(first, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    usleep(50000);
    client_send(second, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
    wait_waiting(&h, 1);
    client_send(other, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
    assert_int_equal(client_reply(other, NULL, 0), 200);
    assert_true(client_quiet(second, 50));
    client_send(first, "b");
    assert_int_equal(client_reply(first, NULL, 0), 200);
    assert_int_equal(client_reply(second, NULL, 0), 200);
    close(first);
    close(second);
    close(other);
    harness_stop(&h);
}

static void test_trickling_bodies_leave_workers_for_others(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.max_workers = 4;
    h.config.reserved_workers = 1;
    harness_start(&h);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    }
    wait_waiting(&h, 3);
    harness_open_gate();
    int fd = client_connect(&h);
    assert_int_equal(client_get(fd, "/gate", NULL, 0), 200);
    close(fd);
    for (int i = 0; i < 6; i++) /* all of them: which ones have the places is chance */
        client_send(fds[i], "b");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(client_reply(fds[i], NULL, 0), 200);
        close(fds[i]);
    }
    harness_stop(&h);
}

static void test_a_handler_that_blocks_unannounced_loses_its_lane(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.lanes = 1;
    harness_start(&h);
    int slow = client_connect(&h), fd = client_connect(&h);
    assert_int_equal(client_get(fd, "/small", NULL, 0), 200);
    client_send(slow, GET("/sleep"));
    usleep(50000);
    assert_int_equal(client_get(fd, "/small", NULL, 0), 200);
    assert_true(client_quiet(slow, 0)); /* still asleep: the lane's new thread answered */
    assert_int_equal(client_reply(slow, NULL, 0), 200);
    assert_int_equal(client_get(slow, "/small", NULL, 0), 200);
    close(slow);
    close(fd);
    harness_stop(&h);
}

static void test_half_a_head_is_answered_with_408(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.head_ms = 200;
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "GET /small HTTP/1.1\r\nHo");
    assert_int_equal(client_reply(fd, NULL, 0), 408);
    assert_true(client_closed(fd));
    close(fd);
    harness_stop(&h);
}

static void test_idle_connections_end_without_a_word(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.idle_ms = 200;
    harness_start(&h);
    int fd = client_connect(&h), silent = client_connect(&h);
    assert_int_equal(client_get(fd, "/small", NULL, 0), 200);
    assert_true(client_closed(fd));
    assert_true(client_closed(silent));
    close(fd);
    close(silent);
    harness_stop(&h);
}

static void test_a_body_below_the_minimum_rate_is_given_up(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    h.config.rate_ms = 300;
    h.config.min_rate = 1000;
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\na");
    assert_int_equal(client_reply(fd, NULL, 0), 408);
    assert_true(client_closed(fd));
    close(fd);
    harness_stop(&h);
}

static void test_a_client_that_does_not_read_is_given_up(void **state)
{
    (void)state;
    struct harness h;
    struct rs_http_stats stats;
    harness_init(&h);
    h.config.rate_ms = 300;
    h.config.min_rate = 1000;
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, GET("/file/big"));
    for (int i = 0; i < 1000; i++) {
        usleep(10000);
        rs_http_stats(h.server, &stats);
        if (stats.connections == 0)
            break;
    }
    assert_int_equal(stats.connections, 0);
    close(fd);
    harness_stop(&h);
}

static void test_slow_readers_hold_no_threads(void **state)
{
    (void)state;
    struct harness h;
    struct rs_http_stats stats;
    int fds[200];
    harness_init(&h);
    harness_start(&h);
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], GET("/file/big"));
    }
    int honest = client_connect(&h);
    assert_int_equal(client_get(honest, "/file/big", NULL, 0), 200);
    rs_http_stats(h.server, &stats);
    assert_int_equal(stats.connections, RS_COUNT(fds) + 1);
    assert_in_range(stats.threads, 2, 20);
    for (size_t i = 0; i < RS_COUNT(fds); i += 50) /* and each gets all its bytes in the end */
        assert_int_equal(client_reply(fds[i], NULL, 0), 200);
    for (size_t i = 0; i < RS_COUNT(fds); i++)
        close(fds[i]);
    close(honest);
    harness_stop(&h);
}

static void test_a_full_server_ends_idle_connections(void **state)
{
    (void)state;
    struct harness h;
    struct rs_http_stats stats;
    int silent[16];
    harness_init(&h);
    h.config.max_connections = RS_COUNT(silent);
    harness_start(&h);
    for (size_t i = 0; i < RS_COUNT(silent); i++)
        silent[i] = client_connect(&h);
    for (size_t i = 0; i < 2 * RS_COUNT(silent); i++) {
        int fd = client_connect(&h);
        assert_int_equal(client_get(fd, "/small", NULL, 0), 200);
        close(fd);
    }
    rs_http_stats(h.server, &stats);
    assert_in_range(stats.connections, 0, RS_COUNT(silent) + 1);
    for (size_t i = 0; i < RS_COUNT(silent); i++)
        close(silent[i]);
    harness_stop(&h);
}

static void *drain_thread(void *arg)
{
    rs_http_drain(arg);
    return NULL;
}

static void test_drain_ends_what_is_idle_and_waits_for_what_runs(void **state)
{
    (void)state;
    struct harness h;
    pthread_t thread;
    harness_init(&h);
    h.config.drain_ms = 0;
    harness_start(&h);
    int idle = client_connect(&h), running = client_connect(&h), pulling = client_connect(&h);
    assert_int_equal(client_get(idle, "/small", NULL, 0), 200);
    client_send(running, GET("/gate"));
    client_send(pulling, GET("/file/big"));
    wait_at_gate(1);
    assert_false(client_quiet(pulling, 10000)); /* it has begun too */
    assert_int_equal(pthread_create(&thread, NULL, drain_thread, h.server), 0);
    assert_true(client_closed(idle));
    assert_true(client_quiet(running, 50));
    harness_open_gate();
    assert_int_equal(client_reply(running, NULL, 0), 200);
    assert_true(client_closed(running));
    assert_int_equal(client_reply(pulling, NULL, 0), 200);
    assert_true(client_closed(pulling));
    pthread_join(thread, NULL);
    close(idle);
    close(running);
    close(pulling);
    harness_stop(&h);
}

static void test_abort_ends_a_drain(void **state)
{
    (void)state;
    struct harness h;
    pthread_t thread;
    harness_init(&h);
    h.config.drain_ms = 0;
    harness_start(&h);
    int pulling = client_connect(&h), pushing = client_connect(&h);
    client_send(pulling, GET("/file/big"));
    client_send(pushing, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\na");
    usleep(50000);
    assert_int_equal(pthread_create(&thread, NULL, drain_thread, h.server), 0);
    usleep(50000);
    rs_http_abort(h.server);
    pthread_join(thread, NULL);
    close(pulling);
    close(pushing);
    harness_stop(&h);
}

static void test_a_stale_unix_socket_is_replaced_a_live_one_is_not(void **state)
{
    (void)state;
    struct harness h;
    struct rs_err err;
    char path[128];
    struct rs_http_server *second = NULL;
    harness_init(&h);
    harness_start(&h);
    snprintf(path, sizeof path, "%s/sock", h.directory);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rs_http_server_new(&h.config, &second, &err), RS_OK);
        assert_int_equal(rs_http_listen(second, "unix", path, &err), RS_OK);
        struct rs_http_server *third = NULL;
        assert_int_equal(rs_http_server_new(&h.config, &third, &err), RS_OK);
        assert_int_equal(rs_http_listen(third, "unix", path, &err), RS_E_IO);
        rs_http_server_free(&third);
        assert_int_equal(access(path, F_OK), 0);
        rs_http_server_free(&second);
        assert_int_not_equal(access(path, F_OK), 0);
        /* Leave a socket file behind, as a killed process does. */
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_storage un = {.ss_family = AF_UNIX};
        memcpy((char *)&un + sizeof(sa_family_t), path, strlen(path) + 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&un, (socklen_t)(sizeof(sa_family_t) + strlen(path) + 1)), 0);
        close(fd);
    }
    unlink(path);
    harness_stop(&h);
}

static rs_rc no_echo(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx;
    assert_non_null(req->route);
    if (strcmp(req->route->pattern, "/echo") == 0)
        return rs_err_set(err, RS_E_UNAVAILABLE, "not now");
    return RS_OK;
}

static _Atomic uint64_t told_received;

static void tell_received(const struct rs_request *req, void *ctx, uint64_t sent, int64_t us, bool complete)
{
    (void)ctx, (void)us;
    assert_true(complete && sent > 0);
    if (req->route != NULL && strcmp(req->route->pattern, "/up") == 0)
        atomic_store(&told_received, req->received);
}

static void test_a_route_can_be_refused_before_it_runs(void **state)
{
    (void)state;
    static const char put[] = "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
    struct harness h;
    char body[64];
    harness_init(&h);
    h.config.on_route = no_echo;
    h.config.on_done = tell_received;
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, put);
    client_send(fd, "12345" GET("/small") GET("/missing"));
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    assert_int_equal(client_reply(fd, body, sizeof body), 404);
    assert_int_equal(atomic_load(&told_received), sizeof put - 1 + 5);
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345");
    assert_int_equal(client_reply(fd, body, sizeof body), 503);
    assert_string_equal(body, "not now");
    close(fd);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_many_pipelined_requests_keep_their_order),
        cmocka_unit_test(test_a_head_may_come_byte_by_byte),
        cmocka_unit_test(test_chunked_body_then_the_next_request),
        cmocka_unit_test(test_continue_is_sent_when_the_body_is_wanted),
        cmocka_unit_test(test_an_ignored_body),
        cmocka_unit_test(test_requests_wait_for_a_worker_in_turn),
        cmocka_unit_test(test_waiting_too_long_is_503),
        cmocka_unit_test(test_bodies_are_limited_per_address),
        cmocka_unit_test(test_trickling_bodies_leave_workers_for_others),
        cmocka_unit_test(test_a_handler_that_blocks_unannounced_loses_its_lane),
        cmocka_unit_test(test_half_a_head_is_answered_with_408),
        cmocka_unit_test(test_idle_connections_end_without_a_word),
        cmocka_unit_test(test_a_body_below_the_minimum_rate_is_given_up),
        cmocka_unit_test(test_a_client_that_does_not_read_is_given_up),
        cmocka_unit_test(test_slow_readers_hold_no_threads),
        cmocka_unit_test(test_a_full_server_ends_idle_connections),
        cmocka_unit_test(test_drain_ends_what_is_idle_and_waits_for_what_runs),
        cmocka_unit_test(test_abort_ends_a_drain),
        cmocka_unit_test(test_a_stale_unix_socket_is_replaced_a_live_one_is_not),
        cmocka_unit_test(test_a_route_can_be_refused_before_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
