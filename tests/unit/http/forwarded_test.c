/* SPDX-License-Identifier: Apache-2.0 */
/* Whose request it is, as the proxies in front tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "http/forwarded.h"

static const char *const trusted[] = {"10.0.0.0/8", "2001:db8:aaaa::/48", "unix"};

struct row {
    const char *list;      /* X-Forwarded-For; NULL: not there */
    const char *forwarded; /* Forwarded */
    const char *client;    /* NULL: none that could be understood */
};

static void check(const struct rs_proxies *proxies, const struct row *row)
{
    struct rs_arena *arena = rs_arena_new();
    struct rs_header headers[2];
    struct rs_request req = {.arena = arena, .headers = headers};
    struct rs_address client;
    char text[RS_ADDRESS_SIZE] = "none";
    if (row->list != NULL)
        headers[req.header_count++] = (struct rs_header){RS_STR("X-Forwarded-For"), rs_str_c(row->list)};
    if (row->forwarded != NULL)
        headers[req.header_count++] = (struct rs_header){RS_STR("forwarded"), rs_str_c(row->forwarded)};
    if (rs_forwarded_client(proxies, &req, &client))
        rs_address_format(&client, text);
    if (strcmp(text, row->client != NULL ? row->client : "none") != 0)
        fail_msg("%s | %s gave %s", row->list != NULL ? row->list : "", row->forwarded != NULL ? row->forwarded : "",
                 text);
    rs_arena_free(&arena);
}

static void check_rows(const struct row *rows, size_t count)
{
    struct rs_proxies proxies;
    assert_int_equal(rs_proxies_init(&proxies, trusted, RS_COUNT(trusted), NULL), RS_OK);
    for (size_t i = 0; i < count; i++)
        check(&proxies, &rows[i]);
    rs_proxies_release(&proxies);
}

static void the_last_untrusted_one_is_the_client(void **state)
{
    static const struct row rows[] = {
        {NULL, NULL, NULL},
        {"192.0.2.1", NULL, "192.0.2.1"},
        {"2001:db8::1", NULL, "2001:db8::1"},
        {"192.0.2.9, 192.0.2.1", NULL, "192.0.2.1"},
        {"192.0.2.9,192.0.2.1 , 10.1.1.1,10.2.2.2", NULL, "192.0.2.1"},
        {"10.9.9.9, 192.0.2.1, 10.1.1.1", NULL, "192.0.2.1"},
        {"192.0.2.1, 2001:db8:aaaa::5", NULL, "192.0.2.1"},
        {"192.0.2.1, unix:", NULL, "192.0.2.1"},
        {"10.3.3.3, 10.1.1.1", NULL, "10.3.3.3"}, /* the client is in the trusted network as well */
        {"10.3.3.3", NULL, "10.3.3.3"},
        {"192.0.2.1:4711", NULL, "192.0.2.1"},
        {"[2001:db8::1]:4711", NULL, "2001:db8::1"},
        {"[2001:db8::1]", NULL, "2001:db8::1"},
        {"::ffff:192.0.2.1", NULL, "192.0.2.1"},
        /* What an untrusted one wrote further left does not matter, whatever it is. */
        {"garbage, <>, 192.0.2.1", NULL, "192.0.2.1"},
        {"\", 192.0.2.1, 10.1.1.1", NULL, "192.0.2.1"},
    };
    (void)state;
    check_rows(rows, RS_COUNT(rows));
}

static void what_cannot_be_understood_tells_nothing(void **state)
{
    static const char *const bad[] = {
        "",     "192.0.2.1,",  "unknown", "192.0.2.1, x", "x, 10.1.1.1",      "192.0.2.1:",    "192.0.2.1:x",
        "[::1", "[192.0.2.1]", "[::1]x",  "[::1]:99999",  "192.0.2.1:999999", "\"192.0.2.1\"", "192.0.2.1 192.0.2.2"};
    (void)state;
    for (size_t i = 0; i < RS_COUNT(bad); i++)
        check_rows(&(struct row){bad[i], NULL, NULL}, 1);
}

static void rfc7239_is_understood(void **state)
{
    static const struct row rows[] = {
        {NULL, "for=192.0.2.1", "192.0.2.1"},
        {NULL, "For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"},
        {NULL, "for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"},
        {NULL, "proto=http; by=203.0.113.43 ;for=192.0.2.60;", "192.0.2.60"},
        {NULL, "for=192.0.2.43, for=198.51.100.17", "198.51.100.17"},
        {NULL, "for=198.51.100.17,for=10.1.1.1;proto=https,for=\"[2001:db8:aaaa::1]\"", "198.51.100.17"},
        {NULL, "for=\"192.0.2.43:47011\"", "192.0.2.43"},
        {NULL, "for=192.0.2.1, , proto=https", "192.0.2.1"},
        {NULL, "for=_hidden, for=192.0.2.1", "192.0.2.1"},
        {NULL, "for=\"un\\\"quoted\", for=192.0.2.1", "192.0.2.1"},
        {NULL, "for=_hidden, for=10.1.1.1", NULL},
        {NULL, "for=unknown", NULL},
        {NULL, "proto=https", NULL},
        {NULL, "for=", NULL},
        {NULL, "for", NULL},
        {NULL, "=192.0.2.1", NULL},
        {NULL, "for=192.0.2.1;for=192.0.2.2", NULL},
        {NULL, "for=2001:db8::1", NULL},
        {NULL, "for = 192.0.2.1", NULL},
        {NULL, "for=192.0.2.1 x", NULL},
        {NULL, "for=\"192.0.2.1", NULL},
        {NULL, "for=\"192.0.2.1\\", NULL},
    };
    (void)state;
    check_rows(rows, RS_COUNT(rows));
}

/* A client sends the beginning, the proxy appends the rest: no beginning hides or fakes it. */
static void an_open_quote_swallows_nothing(void **state)
{
    static const char *const begun[] = {
        "for=\"", "for=6.6.6.6;x=\"", "for=6.6.6.6;x=\"\\", "for=6.6.6.6,\"", "for=6.6.6.6;x=\"y\";z=\"",
        "\"",     "for=6.6.6.6;",     "for=6.6.6.6;x="};
    static const char *const appended[] = {"for=192.0.2.1", "for=\"[2001:db8::1]\"", "for=192.0.2.1;host=\"a\"",
                                           "for=192.0.2.1;host=\"a\";by=\"b\"", "host=\"\";for=192.0.2.1"};
    struct rs_proxies proxies;
    (void)state;
    assert_int_equal(rs_proxies_init(&proxies, trusted, RS_COUNT(trusted), NULL), RS_OK);
    for (size_t i = 0; i < RS_COUNT(begun) * RS_COUNT(appended); i++) {
        char value[200], text[RS_ADDRESS_SIZE];
        struct rs_arena *arena = rs_arena_new();
        snprintf(value, sizeof value, "%s, %s", begun[i % RS_COUNT(begun)], appended[i / RS_COUNT(begun)]);
        struct rs_header header = {RS_STR("Forwarded"), rs_str_c(value)};
        struct rs_request req = {.arena = arena, .headers = &header, .header_count = 1};
        struct rs_address client;
        if (rs_forwarded_client(&proxies, &req, &client)) {
            rs_address_format(&client, text);
            if (strcmp(text, "6.6.6.6") == 0)
                fail_msg("%s is taken for 6.6.6.6", value);
        }
        rs_arena_free(&arena);
    }
    rs_proxies_release(&proxies);
}

static void both_fields_must_agree(void **state)
{
    static const struct row rows[] = {
        {"192.0.2.1", "for=192.0.2.1", "192.0.2.1"},
        {"192.0.2.1, 10.1.1.1", "for=\"192.0.2.1:80\"", "192.0.2.1"},
        {"192.0.2.1", "for=6.6.6.6", NULL}, /* the proxy writes one of them and passes the client's other on */
        {"6.6.6.6", "for=192.0.2.1", NULL},
        {"192.0.2.1", "for=unknown", NULL},
        {"192.0.2.1", "", NULL},
    };
    (void)state;
    check_rows(rows, RS_COUNT(rows));
}

static void only_the_configured_are_trusted(void **state)
{
    struct rs_proxies proxies;
    struct rs_address inside, outside;
    (void)state;
    assert_true(rs_address_parse(RS_STR("10.1.2.3"), &inside));
    assert_true(rs_address_parse(RS_STR("11.1.2.3"), &outside));
    assert_int_equal(rs_proxies_init(&proxies, trusted, 2, NULL), RS_OK);
    assert_true(rs_proxies_trust(&proxies, &inside));
    assert_false(rs_proxies_trust(&proxies, &outside));
    assert_false(rs_proxies_trust(&proxies, NULL));
    rs_proxies_release(&proxies);
    assert_int_equal(rs_proxies_init(&proxies, trusted + 2, 1, NULL), RS_OK);
    assert_true(rs_proxies_trust(&proxies, NULL));
    assert_false(rs_proxies_trust(&proxies, &inside));
    rs_proxies_release(&proxies);
    assert_int_equal(rs_proxies_init(&proxies, NULL, 0, NULL), RS_OK);
    assert_false(rs_proxies_trust(&proxies, NULL) || rs_proxies_trust(&proxies, &inside));
    rs_proxies_release(&proxies);
    struct rs_err err;
    static const char *const bad[] = {"10.0.0.0/8", "Unix"};
    assert_int_equal(rs_proxies_init(&proxies, bad, 2, &err), RS_E_CONFIG);
    assert_non_null(strstr(err.text, "Unix"));
}

/* --- a server --- */

static void who(const struct harness *h, const char *headers, const char *from, const char *expected)
{
    char text[300], reply[100];
    int fd = from != NULL ? client_connect_from(h, from) : client_connect6(h);
    snprintf(text, sizeof text, "GET /who HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
    client_send(fd, text);
    assert_int_equal(client_reply(fd, reply, sizeof reply), 200);
    if (strstr(reply, expected) == NULL)
        fail_msg("%s is not in: %s", expected, reply);
    close(fd);
}

static void a_server_believes_its_proxies_alone(void **state)
{
    static const char *const proxies[] = {"127.0.0.2", "::1"};
    struct harness h;
    (void)state;
    harness_init(&h);
    h.config.trusted_proxies = proxies;
    h.config.trusted_proxy_count = RS_COUNT(proxies);
    harness_start(&h);
    who(&h, "X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1", "127.0.0.1:");
    who(&h, "X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.2", " 192.0.2.1");
    who(&h, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.2\r\n", "127.0.0.2", " 192.0.2.1");
    who(&h, "X-Forwarded-For: 192.0.2.1, oops\r\n", "127.0.0.2", "127.0.0.2:");
    who(&h, "X-Real-IP: 192.0.2.1\r\n", "127.0.0.2", "127.0.0.2:");
    who(&h, "Forwarded: for=\"[2001:db8::1]\"\r\n", NULL, " 2001:db8::1");
    who(&h, "", NULL, "[::1]:");
    harness_stop(&h);
}

static void each_request_of_a_connection_has_its_own_client(void **state)
{
    static const char *const proxies[] = {"127.0.0.0/8"};
    struct harness h;
    char reply[100];
    (void)state;
    harness_init(&h);
    h.config.trusted_proxies = proxies;
    h.config.trusted_proxy_count = 1;
    harness_start(&h);
    int fd = client_connect(&h);
    client_send(fd, "GET /who HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
                    "GET /who HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /who HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n");
    static const char *const expected[] = {" 192.0.2.1", "127.0.0.1:", " 192.0.2.2"};
    for (size_t i = 0; i < RS_COUNT(expected); i++) {
        assert_int_equal(client_reply(fd, reply, sizeof reply), 200);
        assert_non_null(strstr(reply, expected[i]));
    }
    close(fd);
    harness_stop(&h);
}

/* The limit of uploads is of the client, not of the proxy that all come through. */
static void places_are_counted_by_client(void **state)
{
    static const char *const proxies[] = {"127.0.0.1"};
    static const char begun[] = "PUT /up HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\nContent-Length: 5\r\n\r\n";
    static const char *const clients[] = {"192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"};
    struct harness h;
    char text[200], reply[100];
    int fds[RS_COUNT(clients)];
    (void)state;
    harness_init(&h);
    h.config.trusted_proxies = proxies;
    h.config.trusted_proxy_count = 1;
    h.config.max_body_workers_per_address = 1;
    harness_start(&h);
    for (size_t i = 0; i < RS_COUNT(clients); i++) {
        fds[i] = client_connect(&h);
        snprintf(text, sizeof text, begun, clients[i]);
        client_send(fds[i], text);
        struct rs_http_stats stats;
        do
            rs_http_stats(h.server, &stats);
        while (stats.workers + stats.waiting < i + 1);
        assert_int_equal(stats.waiting, i < 1 ? 0 : i < 4 ? 1 : 2); /* of IPv6 a whole /64 counts as one */
    }
    for (size_t i = 0; i < RS_COUNT(clients); i++)
        client_send(fds[i], "12345");
    for (size_t i = 0; i < RS_COUNT(clients); i++) {
        assert_int_equal(client_reply(fds[i], reply, sizeof reply), 200);
        close(fds[i]);
    }
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_untrusted_one_is_the_client),
        cmocka_unit_test(what_cannot_be_understood_tells_nothing),
        cmocka_unit_test(rfc7239_is_understood),
        cmocka_unit_test(an_open_quote_swallows_nothing),
        cmocka_unit_test(both_fields_must_agree),
        cmocka_unit_test(only_the_configured_are_trusted),
        cmocka_unit_test(a_server_believes_its_proxies_alone),
        cmocka_unit_test(each_request_of_a_connection_has_its_own_client),
        cmocka_unit_test(places_are_counted_by_client),
    };
    return cmocka_run_group_tests_name("http/forwarded", tests, NULL, NULL);
}
