/* SPDX-License-Identifier: Apache-2.0 */
/* The engine where it is easily wrong: events that come at a bad moment, and clients that mean harm. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void wait_at_gate(int count)
{
    for (int i = 0; i < 1000 && harness_at_gate() != count; i++)
        usleep(10000);
    assert_int_equal(harness_at_gate(), count);
}

static unsigned connections(struct harness *h)
{
    struct rs_http_stats stats;
    rs_http_stats(h->server, &stats);
    return stats.connections;
}

/* Half a head comes while a worker is busy. The worker reads it, cannot park since an event was passed over, and looks
 * at the socket again, where there is nothing: the half must survive that. */
static void test_half_a_head_that_a_worker_finds_behind_its_request(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, GET("/gate"));
    wait_at_gate(1);
    client_send(
        fd, "GET /small HTTP/1.1\r\nX: 0123456789012345678901234567890123456789012345678901234567890123456789\r\nHo");
    usleep(50000);
    harness_open_gate();
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    usleep(50000);
    client_send(fd, "st: h\r\n\r\n");
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    close(fd);
    harness_stop(&h);
}

static void test_some_empty_lines_before_a_request_are_passed_over_many_are_not(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "\r\n\r\n" GET("/small") "\r\n\r\n" GET("/small"));
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    for (int i = 0; i < 9; i++)
        client_send(fd, "\r\n");
    assert_int_equal(client_reply(fd, NULL, 0), 400);
    assert_true(client_closed(fd));
    close(fd);
    harness_stop(&h);
}

/* Nobody can be sent away: those that are served have not ended. */
static void test_a_server_full_of_busy_connections_refuses_more(void **state)
{
    (void)state;
    struct harness h;
    int busy[4];
    harness_init(&h);
    h.config.max_connections = RS_COUNT(busy);
    harness_start(&h);
    for (size_t i = 0; i < RS_COUNT(busy); i++) {
        busy[i] = client_connect(&h);
        client_send(busy[i], GET("/gate"));
    }
    wait_at_gate(RS_COUNT(busy));
    int more[20];
    for (size_t i = 0; i < RS_COUNT(more); i++)
        more[i] = client_connect(&h);
    for (size_t i = 0; i < RS_COUNT(more); i++) {
        assert_true(client_closed(more[i]));
        close(more[i]);
    }
    assert_in_range(connections(&h), 0, RS_COUNT(busy));
    harness_open_gate();
    for (size_t i = 0; i < RS_COUNT(busy); i++)
        assert_int_equal(client_reply(busy[i], NULL, 0), 200);
    int fd = client_connect(&h); /* now they are idle, and make room */
    assert_int_equal(client_get(fd, "/small", NULL, 0), 200);
    close(fd);
    for (size_t i = 0; i < RS_COUNT(busy); i++)
        close(busy[i]);
    harness_stop(&h);
}

/* A request that got no place gets no thread either to wait for its body with. */
static void test_503_does_not_wait_for_the_body(void **state)
{
    (void)state;
    struct harness h;
    struct rs_http_stats stats;
    int fds[30];
    harness_init(&h);
    h.config.max_workers = 1;
    h.config.reserved_workers = 0;
    h.config.queue_ms = 100;
    harness_start(&h);
    int holder = client_connect(&h);
    client_send(holder, GET("/gate"));
    wait_at_gate(1);
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    }
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        assert_int_equal(client_reply(fds[i], NULL, 0), 503);
        assert_true(client_closed(fds[i]));
    }
    rs_http_stats(h.server, &stats);
    assert_int_equal(stats.workers, 1);
    for (size_t i = 0; i < RS_COUNT(fds); i++)
        close(fds[i]);
    harness_open_gate();
    assert_int_equal(client_reply(holder, NULL, 0), 200);
    close(holder);
    harness_stop(&h);
}

/* However many requests one address has in the queue, another one's does not wait for them. */
static void test_a_crowd_from_one_address_does_not_hold_up_another(void **state)
{
    (void)state;
    struct harness h;
    struct rs_http_stats stats = {0};
    int crowd[400];
    harness_init(&h);
    h.config.max_connections = 1000;
    h.config.max_workers = 4;
    h.config.reserved_workers = 1;
    h.config.max_body_workers_per_address = 1;
    harness_start(&h);
    int first = client_connect_from(&h, "127.0.0.2"), second = client_connect_from(&h, "127.0.0.3");
    const char *half = "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na";
    client_send(first, half);
    client_send(second, half);
    for (size_t i = 0; i < RS_COUNT(crowd); i++) {
        crowd[i] = client_connect(&h);
        client_send(crowd[i], half);
    }
    for (int i = 0; i < 1000 && stats.waiting < RS_COUNT(crowd) - 1; i++) {
        usleep(10000);
        rs_http_stats(h.server, &stats);
    }
    int other = client_connect_from(&h, "127.0.0.4");
    client_send(other, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
    assert_true(client_quiet(other, 100));
    client_send(first, "b"); /* its place is one that the crowd may not take */
    assert_int_equal(client_reply(first, NULL, 0), 200);
    assert_int_equal(client_reply(other, NULL, 0), 200);
    close(first);
    close(second);
    close(other);
    for (size_t i = 0; i < RS_COUNT(crowd); i++)
        close(crowd[i]);
    harness_stop(&h);
}

/* The socket's buffers are larger than what this client reads in the time over which the rate is measured. */
static void test_a_client_that_reads_slowly_but_steadily_is_served(void **state)
{
    (void)state;
    struct harness h;
    char scratch[40000];
    harness_init(&h);
    h.config.rate_ms = 1000;
    h.config.min_rate = 20000;
    harness_start(&h);
    int fd = client_connect(&h);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)), 0);
    client_send(fd, GET("/file/big"));
    size_t total = 0;
    for (int i = 0; i < 50; i++) {
        usleep(100000);
        ssize_t n = recv(fd, scratch, sizeof scratch, 0);
        assert_true(n > 0);
        total += (size_t)n;
    }
    assert_int_equal(connections(&h), 1);
    while (total < BIG_BYTES) {
        ssize_t n = recv(fd, scratch, sizeof scratch, 0);
        assert_true(n > 0);
        total += (size_t)n;
    }
    close(fd);
    harness_stop(&h);
}

static void test_a_worker_gives_a_busy_connection_back_to_its_lane(void **state)
{
    (void)state;
    struct harness h;
    char body[128];
    bool lane = false;
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    struct rs_buf requests;
    rs_buf_init(&requests, 65536);
    rs_buf_add_c(&requests, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na");
    for (int i = 0; i < 200; i++)
        rs_buf_add_c(&requests, GET("/who"));
    client_send(fd, rs_buf_z(&requests));
    rs_buf_release(&requests);
    assert_int_equal(client_reply(fd, body, sizeof body), 200);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(client_reply(fd, body, sizeof body), 200);
        assert_true(!lane || body[0] == 'l' || body[0] == 'w');
        lane = lane || body[0] == 'l';
    }
    assert_true(lane);
    close(fd);
    harness_stop(&h);
}

/* Not even when nobody's rate is looked at. */
static void test_a_file_that_becomes_shorter_ends_the_connection(void **state)
{
    (void)state;
    struct harness h;
    char path[128], scratch[65536];
    harness_init(&h);
    h.config.min_rate = 0;
    harness_start(&h);
    int fd = client_connect(&h);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)), 0);
    client_send(fd, GET("/file/big"));
    assert_false(client_quiet(fd, 10000));
    snprintf(path, sizeof path, "%s/big", h.directory);
    assert_int_equal(truncate(path, BIG_BYTES - 1000000), 0);
    size_t total = 0;
    while (!client_quiet(fd, 10000)) {
        ssize_t n = recv(fd, scratch, sizeof scratch, 0);
        if (n <= 0)
            break;
        total += (size_t)n;
    }
    assert_in_range(total, 1, BIG_BYTES - 900000);
    assert_true(client_closed(fd));
    close(fd);
    harness_stop(&h);
}

/* A disk that hangs must not cost a thread for each request. */
static void test_threads_are_limited_whatever_blocks(void **state)
{
    (void)state;
    struct harness h;
    struct rs_http_stats stats;
    int fds[100];
    harness_init(&h);
    h.config.max_workers = 4;
    h.config.reserved_workers = 1;
    harness_start(&h);
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], i % 4 == 0 ? "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok" GET("/sleep")
                                       : GET("/sleep"));
    }
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        assert_int_equal(client_reply(fds[i], NULL, 0), 200);
        if (i % 4 == 0)
            assert_int_equal(client_reply(fds[i], NULL, 0), 200);
        close(fds[i]);
        rs_http_stats(h.server, &stats);
        assert_in_range(stats.threads, 2, 14);
    }
    harness_stop(&h);
}

static void test_what_follows_the_last_request_does_not_reset_the_connection(void **state)
{
    (void)state;
    struct harness h;
    char junk[100001];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "GET /gate HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    wait_at_gate(1);
    memset(junk, 'x', sizeof junk);
    junk[sizeof junk - 1] = '\0';
    client_send(fd, junk);
    harness_open_gate();
    assert_int_equal(client_reply(fd, NULL, 0), 200);
    assert_true(client_closed_cleanly(fd));
    close(fd);
    harness_stop(&h);
}

static void test_connections_leave_descriptors_for_files(void **state)
{
    (void)state;
    struct harness h;
    struct rlimit before, few = {0};
    int fds[80];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){64, before.rlim_max};
    harness_init(&h);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    harness_start(&h);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0); /* the clients live in this process too */
    for (size_t i = 0; i < RS_COUNT(fds); i++)
        fds[i] = client_connect(&h);
    int honest = client_connect(&h);
    assert_int_equal(client_get(honest, "/file/big", NULL, 0), 200);
    assert_in_range(connections(&h), 1, 48 + 1);
    close(honest);
    for (size_t i = 0; i < RS_COUNT(fds); i++)
        close(fds[i]);
    harness_stop(&h);
}

static void test_descriptors_run_out(void **state)
{
    (void)state;
    struct harness h;
    struct rlimit before, few;
    int fds[40];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    harness_init(&h);
    harness_start(&h);
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], GET("/file/big"));
        assert_false(client_quiet(fds[i], 10000));
    }
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    close(late);
    few = (struct rlimit){(rlim_t)late + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    late = client_connect(&h); /* takes the last one: the server has none to accept with, and refuses */
    assert_true(client_closed(late));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(late);
    late = client_connect(&h);
    assert_int_equal(client_get(late, "/small", NULL, 0), 200);
    close(late);
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        assert_int_equal(client_reply(fds[i], NULL, 0), 200);
        close(fds[i]);
    }
    harness_stop(&h);
}

static void test_every_error_has_a_status_line(void **state)
{
    (void)state;
    struct harness h;
    char path[32];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect(&h);
    for (int rc = 1; rc < RS_RC_COUNT; rc++) {
        snprintf(path, sizeof path, "/error/%d", rc);
        assert_int_equal(client_get(fd, path, NULL, 0), rs_rc_status((rs_rc)rc));
    }
    close(fd);
    harness_stop(&h);
}

static void test_the_remote_address_is_told(void **state)
{
    (void)state;
    struct harness h;
    char body[128];
    harness_init(&h);
    harness_start(&h);
    int fd = client_connect_from(&h, "127.0.0.3"), six = client_connect6(&h);
    assert_int_equal(client_get(fd, "/who", body, sizeof body), 200);
    assert_ptr_equal(strstr(body, "lane 127.0.0.3:"), body);
    assert_int_equal(client_get(six, "/who", body, sizeof body), 200);
    assert_ptr_equal(strstr(body, "lane [::1]:"), body);
    close(fd);
    close(six);
    harness_stop(&h);
}

/* Some connections are idle, some new and some served at the moment when the drain begins: none is forgotten. */
static void test_draining_takes_no_longer_than_what_runs(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct harness h;
        int fds[32];
        harness_init(&h);
        harness_start(&h);
        for (size_t i = 0; i < RS_COUNT(fds); i++) {
            fds[i] = client_connect(&h);
            client_send(fds[i], i % 8 == 0 ? "GET /sm" : GET("/small") GET("/small"));
        }
        int64_t start = rs_mono_ms();
        rs_http_drain(h.server);
        assert_in_range(rs_mono_ms() - start, 0, 8000); /* 1 s for half heads, 2 s of lingering */
        assert_int_equal(connections(&h), 0);
        for (size_t i = 0; i < RS_COUNT(fds); i++)
            close(fds[i]);
        harness_stop(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_head_that_a_worker_finds_behind_its_request),
        cmocka_unit_test(test_some_empty_lines_before_a_request_are_passed_over_many_are_not),
        cmocka_unit_test(test_a_server_full_of_busy_connections_refuses_more),
        cmocka_unit_test(test_503_does_not_wait_for_the_body),
        cmocka_unit_test(test_a_crowd_from_one_address_does_not_hold_up_another),
        cmocka_unit_test(test_a_client_that_reads_slowly_but_steadily_is_served),
        cmocka_unit_test(test_a_worker_gives_a_busy_connection_back_to_its_lane),
        cmocka_unit_test(test_a_file_that_becomes_shorter_ends_the_connection),
        cmocka_unit_test(test_threads_are_limited_whatever_blocks),
        cmocka_unit_test(test_what_follows_the_last_request_does_not_reset_the_connection),
        cmocka_unit_test(test_connections_leave_descriptors_for_files),
        cmocka_unit_test(test_descriptors_run_out),
        cmocka_unit_test(test_every_error_has_a_status_line),
        cmocka_unit_test(test_the_remote_address_is_told),
        cmocka_unit_test(test_draining_takes_no_longer_than_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
