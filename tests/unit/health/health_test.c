/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that fail and pass again, those that hang, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../client/peer.h"
#include "base/clock.h"
#include "base/io.h"
#include "health/health_priv.h"
#include "metrics/metrics.h"
#include "storage/faulty.h"

#define PATIENCE_MS 10000
#define SOON 20 /* milliseconds between two runs of a check */

struct set {
    struct rs_config_check checks[4];
    struct rs_config_health config;
    struct rs_storage *storage;
    struct rs_health *health;
};

static void add(struct set *set, enum rs_config_check_kind kind, const char *target)
{
    set->checks[set->config.check_count++] = (struct rs_config_check){
        .kind = kind, .target = target, .status = 200, .timeout_ms = 1000, .interval_ms = SOON, .threshold = 1};
}

static void start(struct set *set)
{
    set->config.checks = set->checks;
    set->health = rs_health_new(&set->config, set->storage);
    assert_true(rs_health_ok(set->health));
    assert_int_equal(rs_health_start(set->health, NULL), RS_OK);
}

static void stop(struct set *set)
{
    assert_true(rs_health_free(&set->health));
    assert_null(set->health);
    rs_storage_free(&set->storage);
}

static void await(const struct set *set, bool ok)
{
    int64_t end = rs_mono_ms() + PATIENCE_MS;
    while (rs_health_ok(set->health) != ok && rs_mono_ms() < end)
        usleep(2000);
    assert_int_equal(rs_health_ok(set->health), ok);
}

static void assert_report(const struct set *set, const char *expected)
{
    RS_AUTO(rs_buf_release) struct rs_buf out;
    rs_buf_init(&out, 65536);
    rs_health_report(set->health, &out);
    assert_string_equal(rs_buf_z(&out), expected);
}

static uint64_t failures(const char *name)
{
    enum rs_value check = rs_metrics_value(RS_LABEL_CHECK, rs_str_c(name));
    return rs_metrics_get(RS_METRIC_HEALTH_FAILURES, RS_LABELS(check));
}

static void await_failures(const char *name, uint64_t count)
{
    int64_t end = rs_mono_ms() + PATIENCE_MS;
    while (failures(name) < count && rs_mono_ms() < end)
        usleep(2000);
    assert_true(failures(name) >= count);
}

static void without_checks_all_is_well(void **state)
{
    struct set set = {0};
    (void)state;
    start(&set);
    assert_report(&set, "{}");
    stop(&set);
    assert_true(rs_health_ok(NULL));
    set.health = NULL;
    assert_report(&set, "{}");
    assert_true(rs_health_free(&set.health));
}

static void a_file_is_a_switch(void **state)
{
    struct set set = {0};
    char path[] = "/tmp/rs-health-XXXXXX", expected[128];
    (void)state;
    RS_AUTO(rs_fd_close) int fd = mkstemp(path);
    assert_true(fd >= 0);
    add(&set, RS_CONFIG_CHECK_FILE, path);
    add(&set, RS_CONFIG_CHECK_FILE, "/nowhere/at/all");
    start(&set);
    await(&set, false);
    snprintf(expected, sizeof expected, "{\"%s\":\"file exists\"}", path);
    assert_report(&set, expected);
    assert_int_equal(rs_metrics_get(RS_METRIC_HEALTHY, RS_NO_LABELS), 0);
    unlink(path);
    await(&set, true);
    assert_report(&set, "{}");
    assert_int_equal(rs_metrics_get(RS_METRIC_HEALTHY, RS_NO_LABELS), 1);
    stop(&set);
}

static void a_threshold_counts_failures_in_a_row(void **state)
{
    struct set set = {0};
    (void)state;
    assert_int_equal(rs_storage_memory_new(0, &set.storage, NULL), RS_OK);
    rs_storage_faulty_new(rs_take(&set.storage), &set.storage);
    assert_int_equal(rs_storage_faulty_parse(set.storage, RS_STR("stat:nth=1:times=2"), NULL), RS_OK);
    add(&set, RS_CONFIG_CHECK_STORAGE, "");
    set.checks[0].threshold = 3;
    uint64_t before = failures("storagedriver_faulty");
    start(&set);
    await_failures("storagedriver_faulty", before + 2);
    usleep(5 * SOON * 1000);
    assert_true(rs_health_ok(set.health));
    assert_int_equal(failures("storagedriver_faulty"), before + 2);
    assert_int_equal(rs_storage_faulty_parse(set.storage, RS_STR("stat:error=IO"), NULL), RS_OK);
    await(&set, false);
    assert_true(failures("storagedriver_faulty") >= before + 5);
    rs_storage_faulty_clear(set.storage);
    await(&set, true);
    stop(&set);
}

static void a_root_that_is_moved_away_is_missed(void **state)
{
    struct set set = {0};
    char root[] = "/tmp/rs-health-XXXXXX", away[64];
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(away, sizeof away, "%s.away", root);
    assert_int_equal(rs_storage_fs_new(root, &set.storage, NULL), RS_OK);
    add(&set, RS_CONFIG_CHECK_STORAGE, "");
    start(&set);
    usleep(3 * SOON * 1000);
    assert_true(rs_health_ok(set.health));
    assert_int_equal(rename(root, away), 0);
    await(&set, false);
    assert_int_equal(rename(away, root), 0);
    await(&set, true);
    stop(&set);
    assert_int_equal(rmdir(root), 0);
}

static void an_http_server_is_asked(void **state)
{
    struct set set = {0};
    struct peer peer;
    char url[64], name[64], expected[256];
    const char *values[] = {"one"};
    const struct rs_config_header header = {"X-Key", {values, 1}};
    (void)state;
    peer_start(&peer);
    snprintf(url, sizeof url, "http://u:secret@127.0.0.1:%d/nothing", peer.port);
    snprintf(name, sizeof name, "http://127.0.0.1:%d", peer.port);
    add(&set, RS_CONFIG_CHECK_HTTP, url);
    set.checks[0].status = 204;
    set.checks[0].headers = &header;
    set.checks[0].header_count = 1;
    start(&set);
    for (int i = 0; i < 1000 && atomic_load(&peer.requests) < 3; i++)
        usleep(10000);
    assert_true(rs_health_ok(set.health));
    assert_true(peer_got(&peer, "HEAD /nothing HTTP/1.1\r\n"));
    assert_true(peer_got(&peer, "X-Key: one\r\n"));
    stop(&set);
    set.config.check_count = 0;
    add(&set, RS_CONFIG_CHECK_HTTP, url);
    start(&set);
    await(&set, false);
    snprintf(expected, sizeof expected, "{\"%s\":\"it answered with 204, not 200\"}", name);
    assert_report(&set, expected);
    stop(&set);
    set.checks[0].status = 204;
    start(&set);
    for (int i = 0, asked = atomic_load(&peer.requests); i < 1000 && atomic_load(&peer.requests) < asked + 3; i++)
        usleep(10000);
    assert_true(rs_health_ok(set.health));
    peer_stop(&peer);
    await(&set, false);
    stop(&set);
}

/* A server whose queue of connections is full does not even refuse. */
static int listen_to(int *out_port, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

static void a_port_is_connected_to(void **state)
{
    struct set set = {0};
    char target[64], expected[256];
    int port;
    (void)state;
    int fd = listen_to(&port, 64);
    snprintf(target, sizeof target, "localhost:%d", port);
    add(&set, RS_CONFIG_CHECK_TCP, target);
    set.checks[0].interval_ms = 100;
    start(&set);
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
    usleep(50000);
    assert_true(rs_health_ok(set.health));
    close(fd);
    await(&set, false);
    snprintf(expected, sizeof expected, "{\"%s\":\"connection failed: Connection refused\"}", target);
    assert_report(&set, expected);
    stop(&set);
}

static void a_port_that_does_not_answer_is_given_up(void **state)
{
    struct set set = {0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char target[64], expected[256];
    int port, clients[4];
    (void)state;
    int fd = listen_to(&port, 0);
    at.sin_port = htons((uint16_t)port);
    for (size_t i = 0; i < RS_COUNT(clients); i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(clients[i], (struct sockaddr *)&at, sizeof at);
    }
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    add(&set, RS_CONFIG_CHECK_TCP, target);
    set.checks[0].timeout_ms = 150;
    start(&set);
    await(&set, false);
    snprintf(expected, sizeof expected, "{\"%s\":\"connection failed: Connection timed out\"}", target);
    assert_report(&set, expected);
    stop(&set);
    for (size_t i = 0; i < RS_COUNT(clients); i++)
        close(clients[i]);
    close(fd);
}

static void checks_of_the_same_server_are_told_apart(void **state)
{
    struct set set = {0};
    (void)state;
    add(&set, RS_CONFIG_CHECK_HTTP, "http://127.0.0.1:1/a");
    add(&set, RS_CONFIG_CHECK_HTTP, "http://127.0.0.1:1/b");
    add(&set, RS_CONFIG_CHECK_HTTP, "http://127.0.0.1:11/b");
    start(&set);
    await_failures("http://127.0.0.1:1", 1);
    await_failures("http://127.0.0.1:1#2", 1);
    await_failures("http://127.0.0.1:11", 1);
    stop(&set);
}

static void a_check_that_hangs_fails_and_holds_up_no_other(void **state)
{
    struct set set = {0};
    RS_AUTO(rs_buf_release) struct rs_buf report;
    int64_t hang_ms = health_hang_ms;
    (void)state;
    assert_int_equal(rs_storage_memory_new(0, &set.storage, NULL), RS_OK);
    rs_storage_faulty_new(rs_take(&set.storage), &set.storage);
    assert_int_equal(rs_storage_faulty_parse(set.storage, RS_STR("stat:nth=2:delay=4000"), NULL), RS_OK);
    add(&set, RS_CONFIG_CHECK_STORAGE, "");
    add(&set, RS_CONFIG_CHECK_TCP, "127.0.0.1:1");
    set.checks[0].timeout_ms = 100;
    set.checks[1].threshold = 1000000;
    health_hang_ms = 200;
    uint64_t others = failures("127.0.0.1:1");
    start(&set);
    await(&set, false);
    rs_buf_init(&report, 4096);
    rs_health_report(set.health, &report);
    assert_true(rs_str_starts(rs_buf_str(&report), RS_STR("{\"storagedriver_faulty\":\"it has not come back for ")));
    await_failures("127.0.0.1:1", others + 10);
    await(&set, true); /* it did come back */
    stop(&set);
    health_hang_ms = hang_ms;
}

/* What a hanging thread uses stays. */
static struct rs_health *kept;
static struct rs_storage *kept_storage;

static void a_check_that_hangs_does_not_hold_up_the_end(void **state)
{
    struct set set = {0};
    (void)state;
    assert_int_equal(rs_storage_memory_new(0, &set.storage, NULL), RS_OK);
    rs_storage_faulty_new(rs_take(&set.storage), &set.storage);
    assert_int_equal(rs_storage_faulty_parse(set.storage, RS_STR("stat:delay=3500"), NULL), RS_OK);
    add(&set, RS_CONFIG_CHECK_STORAGE, "");
    start(&set);
    kept = set.health;
    kept_storage = set.storage;
    usleep(100000);
    int64_t before = rs_mono_ms();
    assert_false(rs_health_free(&set.health));
    assert_true(rs_mono_ms() - before < 3300);
    assert_non_null(kept);
    assert_non_null(kept_storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_checks_all_is_well),
        cmocka_unit_test(a_file_is_a_switch),
        cmocka_unit_test(a_threshold_counts_failures_in_a_row),
        cmocka_unit_test(a_root_that_is_moved_away_is_missed),
        cmocka_unit_test(an_http_server_is_asked),
        cmocka_unit_test(a_port_is_connected_to),
        cmocka_unit_test(a_port_that_does_not_answer_is_given_up),
        cmocka_unit_test(checks_of_the_same_server_are_told_apart),
        cmocka_unit_test(a_check_that_hangs_fails_and_holds_up_no_other),
        cmocka_unit_test(a_check_that_hangs_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
