/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that nobody reads, and how a reply leaves. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <linux/tcp.h> /* knows more of TCP_INFO than <netinet/tcp.h> */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "harness.h"

/* A request that was to be without a body must not hold a worker's place for one. */
static void test_an_unread_body_holds_no_place(void **state)
{
    (void)state;
    struct harness h;
    int fds[20];
    harness_init(&h);
    h.config.max_workers = 4;
    h.config.reserved_workers = 2;
    h.config.queue_ms = 2000;
    harness_start(&h);
    harness_open_gate();
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        fds[i] = client_connect(&h);
        client_send(fds[i], i % 2 ? "GET /gate HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"
                                  : "GET /gate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    }
    for (size_t i = 0; i < RS_COUNT(fds); i++) {
        assert_int_equal(client_reply(fds[i], NULL, 0), 200);
        assert_true(client_closed(fds[i]));
    }
    int other = client_connect_from(&h, "127.0.0.2");
    client_send(other, "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
    assert_int_equal(client_reply(other, NULL, 0), 200);
    for (size_t i = 0; i < RS_COUNT(fds); i++)
        close(fds[i]);
    close(other);
    harness_stop(&h);
}

/* A client that sends all before it reads gets its answer: closing over unread bytes would reset the connection. */
static void test_a_refused_long_body_gets_its_answer(void **state)
{
    (void)state;
    struct harness h;
    const size_t len = 8 * 1024 * 1024;
    harness_init(&h);
    harness_start(&h);
    for (int round = 0; round < 3; round++) {
        RS_AUTO(rs_free_ptr) char *body = rs_calloc(1, len + 1);
        memset(body, 'x', len);
        int fd = client_connect(&h);
        client_send(fd, "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n");
        client_send(fd, body);
        assert_int_equal(client_reply(fd, NULL, 0), 200);
        assert_true(client_closed_cleanly(fd));
        close(fd);
    }
    harness_stop(&h);
}

static unsigned packets_with_data(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_data_segs_in;
}

/* Head and body together, whether the body lies in memory or in a file. */
static void test_a_small_answer_is_one_packet(void **state)
{
    (void)state;
    struct harness h;
    char path[128];
    harness_init(&h);
    snprintf(path, sizeof path, "%s/big", h.directory);
    assert_int_equal(truncate(path, 600), 0);
    harness_start(&h);
    static const char *const paths[] = {"/small", "/file/big", "/missing"};
    int fd = client_connect(&h);
    for (unsigned i = 0; i < 30; i++) {
        unsigned before = packets_with_data(fd);
        client_get(fd, paths[i % RS_COUNT(paths)], NULL, 0);
        assert_int_equal(packets_with_data(fd) - before, 1);
    }
    close(fd);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unread_body_holds_no_place),
        cmocka_unit_test(test_a_refused_long_body_gets_its_answer),
        cmocka_unit_test(test_a_small_answer_is_one_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
