/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "http/lane.h"

#define PATIENCE_MS 10000

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_cond = PTHREAD_COND_INITIALIZER;
static bool gate_open;
static atomic_int at_gate;

static rs_rc get_small(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx, (void)err;
    rs_reply_text(req, "text/plain", RS_STR("small"));
    return RS_OK;
}

static rs_rc get_file(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct harness *h = ctx;
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/" RS_STR_FMT, h->directory, RS_STR_ARG(req->captures[0]));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return rs_err_set(err, RS_E_NOT_FOUND, "no file");
    return rs_reply_range(req, rs_source_file(fd, 0, (uint64_t)st.st_size), RS_STR("\"e\""), err);
}

static rs_rc get_gate(struct rs_request *req, void *ctx, struct rs_err *err)
{
    atomic_fetch_add(&at_gate, 1);
    pthread_mutex_lock(&gate_lock);
    while (!gate_open)
        pthread_cond_wait(&gate_cond, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
    atomic_fetch_sub(&at_gate, 1);
    return get_small(req, ctx, err);
}

static rs_rc get_sleep(struct rs_request *req, void *ctx, struct rs_err *err)
{
    usleep(400000);
    return get_small(req, ctx, err);
}

static rs_rc put_up(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx;
    char text[32];
    size_t n, total = 0;
    void *buf = rs_request_io_buffer(req);
    do {
        RS_TRY(rs_request_read(req, buf, RS_IO_BUFFER, &n, err));
        total += n;
    } while (n > 0);
    snprintf(text, sizeof text, "%zu", total);
    rs_reply_text(req, "text/plain", rs_str_c(text));
    return RS_OK;
}

static rs_rc put_echo(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx;
    struct rs_buf body;
    size_t n;
    char piece[1000];
    rs_rc rc;
    rs_buf_init(&body, 65536);
    do {
        rc = rs_request_read(req, piece, sizeof piece, &n, err);
        rs_buf_append(&body, piece, n);
    } while (rc == RS_OK && n > 0);
    if (rc == RS_OK)
        rs_reply_text(req, "text/plain", rs_buf_str(&body));
    rs_buf_release(&body);
    return rc;
}

/* Who serves this, and whom. */
static rs_rc get_who(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx, (void)err;
    rs_str text = rs_arena_printf(req->arena, "%s " RS_STR_FMT, req->conn->worker->lane != NULL ? "lane" : "worker",
                                  RS_STR_ARG(req->remote));
    rs_reply_text(req, "text/plain", text);
    return RS_OK;
}

static rs_rc get_error(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx;
    uint64_t rc = RS_E_INTERNAL;
    rs_str_u64(req->captures[0], RS_RC_COUNT - 1, &rc);
    return rs_err_set(err, (rs_rc)rc, "as asked for");
}

static const struct rs_route routes[] = {
    {"/who", 1u << RS_METHOD_GET, RS_ROUTE_SHORT, get_who},
    {"/error/*", 1u << RS_METHOD_GET, RS_ROUTE_SHORT, get_error},
    {"/small", 1u << RS_METHOD_GET | 1u << RS_METHOD_HEAD, RS_ROUTE_SHORT, get_small},
    {"/file/*", 1u << RS_METHOD_GET, RS_ROUTE_SHORT, get_file},
    {"/gate", 1u << RS_METHOD_GET, RS_ROUTE_BLOCKING, get_gate},
    {"/sleep", 1u << RS_METHOD_GET, RS_ROUTE_SHORT, get_sleep},
    {"/up", 1u << RS_METHOD_PUT, RS_ROUTE_BODY, put_up},
    {"/echo", 1u << RS_METHOD_PUT, RS_ROUTE_BODY, put_echo},
    {"/ignore", 1u << RS_METHOD_PUT, RS_ROUTE_BODY, get_small},
};

static void on_error(struct rs_request *req, void *ctx, rs_rc rc, const struct rs_err *err)
{
    (void)ctx, (void)rc;
    rs_reply_text(req, "text/plain", rs_str_c(err->text));
}

void harness_init(struct harness *h)
{
    memset(h, 0, sizeof *h);
    signal(SIGPIPE, SIG_IGN);
    rs_http_config_defaults(&h->config);
    h->config.routes = routes;
    h->config.route_count = RS_COUNT(routes);
    h->config.on_error = on_error;
    h->config.ctx = h;
    h->config.lanes = 2;
    h->config.max_connections = 500;
    h->config.drain_ms = 5000;
    snprintf(h->directory, sizeof h->directory, "/tmp/roadstead-http-XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    char path[128];
    snprintf(path, sizeof path, "%s/big", h->directory);
    RS_AUTO(rs_fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, BIG_BYTES), 0);
    harness_close_gate();
}

void harness_start(struct harness *h)
{
    struct rs_err err;
    assert_int_equal(rs_http_server_new(&h->config, &h->server, &err), RS_OK);
    assert_int_equal(rs_http_listen(h->server, "tcp", "127.0.0.1:0", &err), RS_OK);
    assert_int_equal(rs_http_listen(h->server, "tcp", "[::1]:0", &err), RS_OK);
    assert_int_equal(sscanf(rs_http_address(h->server, 1), "[::1]:%d", &h->port6), 1);
    assert_int_equal(sscanf(rs_http_address(h->server, 0), "127.0.0.1:%d", &h->port), 1);
    assert_int_equal(rs_http_start(h->server, &err), RS_OK);
}

void harness_stop(struct harness *h)
{
    char path[128];
    harness_open_gate();
    rs_http_drain(h->server);
    rs_http_server_free(&h->server);
    snprintf(path, sizeof path, "%s/big", h->directory);
    unlink(path);
    rmdir(h->directory);
}

void harness_close_gate(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_open = false;
    pthread_mutex_unlock(&gate_lock);
}

void harness_open_gate(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_open = true;
    pthread_cond_broadcast(&gate_cond);
    pthread_mutex_unlock(&gate_lock);
}

int harness_at_gate(void)
{
    return atomic_load(&at_gate);
}

int client_connect_from(const struct harness *h, const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    inet_pton(AF_INET, address, &from.sin_addr);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

int client_connect(const struct harness *h)
{
    return client_connect_from(h, "127.0.0.1");
}

int client_connect6(const struct harness *h)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)h->port6)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin6_addr = in6addr_loopback;
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void client_send(int fd, const char *text)
{
    struct rs_err err;
    assert_int_equal(rs_write_all(fd, text, strlen(text), &err), RS_OK);
}

static size_t read_some(int fd, char *buf, size_t cap)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
    ssize_t n = recv(fd, buf, cap, 0);
    return n > 0 ? (size_t)n : 0;
}

/* One byte at a time, so that nothing of a following reply is taken. */
static void read_head(int fd, char *head, size_t size)
{
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        assert_true(n + 1 < size);
        assert_int_equal(read_some(fd, head + n, 1), 1);
        n++;
    }
    head[n] = '\0';
}

int client_reply(int fd, char *out, size_t size)
{
    char head[4096], scratch[65536];
    int status = 0;
    read_head(fd, head, sizeof head);
    assert_int_equal(sscanf(head, "HTTP/1.1 %d", &status), 1);
    const char *field = strstr(head, "Content-Length: ");
    size_t left = field != NULL && status != 100 ? strtoul(field + 16, NULL, 10) : 0, kept = 0;
    while (left > 0) {
        size_t n = read_some(fd, scratch, RS_MIN(left, sizeof scratch));
        assert_true(n > 0);
        for (size_t i = 0; out != NULL && i < n && kept + 1 < size; i++)
            out[kept++] = scratch[i];
        left -= n;
    }
    if (out != NULL)
        out[kept] = '\0';
    return status;
}

int client_get(int fd, const char *path, char *out, size_t size)
{
    char request[256];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    client_send(fd, request);
    return client_reply(fd, out, size);
}

bool client_closed(int fd)
{
    char byte;
    return read_some(fd, &byte, 1) == 0;
}

bool client_closed_cleanly(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
    return recv(fd, &byte, 1, 0) == 0;
}

bool client_quiet(int fd, int ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    return poll(&pfd, 1, ms) == 0;
}
