/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving a request's body. The socket stays non-blocking; the worker waits in poll, in steps of a second, so that
 * the minimum rate and the end of the server are seen.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/lane.h"

#define POLL_MS 1000
#define DRAIN_MAX (256 * 1024) /* a body's rest that is read rather than the connection closed */
#define LOW_WATER (128 * 1024) /* a long body is waited for in pieces of this size: fewer wake-ups */
#define LONG_BODY (1024 * 1024)

void rs_body_begin(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    ex->body_left = ex->req.content_length;
    ex->body_done = !ex->req.has_body || ex->body_left == 0;
    ex->continue_due = ex->framing.expect_continue && !ex->body_done;
    rs_chunk_init(&ex->chunk);
}

/* What the socket holds of a reply. It takes some MiB at once and then nothing until much of it is gone: only what the
 * peer has taken out of it tells how fast the peer is. */
static uint64_t unread(const struct rs_conn *conn)
{
    int bytes = 0;
    return conn->phase == RS_PHASE_SEND && ioctl(conn->fd, TIOCOUTQ, &bytes) == 0 ? (uint64_t)RS_MAX(bytes, 0) : 0;
}

bool rs_rate_too_slow(struct rs_conn *conn, int64_t now_ms)
{
    const struct rs_http_config *config = &conn->server->config;
    struct rs_exchange *ex = conn->ex;
    int64_t passed = now_ms - ex->window_ms;
    if (config->min_rate == 0 || (ex->window_ms != 0 && passed < config->rate_ms))
        return false;
    uint64_t held = unread(conn), moved = ex->window_bytes + ex->window_unread;
    bool slow = ex->window_ms != 0 && moved < held + config->min_rate * (uint64_t)passed / 1000;
    ex->window_ms = now_ms;
    ex->window_bytes = 0;
    ex->window_unread = held;
    return slow;
}

static rs_rc wait_readable(struct rs_conn *conn, struct rs_err *err)
{
    struct pollfd pfd = {.fd = conn->fd, .events = POLLIN};
    int n = poll(&pfd, 1, POLL_MS);
    if (n < 0 && errno != EINTR)
        return rs_err_sys(err, errno, "waiting for the request body");
    if (rs_rate_too_slow(conn, rs_mono_ms()))
        return rs_err_set(err, RS_E_REQUEST_TIMEOUT, "the request body came slower than %llu bytes a second",
                          (unsigned long long)conn->server->config.min_rate);
    if (atomic_load(&conn->server->aborting))
        return rs_err_set(err, RS_E_UNAVAILABLE, "the server is stopping");
    return RS_OK;
}

static void set_low_water(struct rs_conn *conn, bool on)
{
    int bytes = on ? LOW_WATER : 1;
    if (conn->ex->low_water == on)
        return;
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
    conn->ex->low_water = on;
}

/* While a long body is received by a worker, each piece of it would wake the lane's thread for nothing. Turning the
 * events on again tells the lane of what there is by then, so that none is lost. */
static void mute(struct rs_conn *conn, bool on)
{
    struct epoll_event event = {.events = on ? EPOLLET : RS_CONN_EVENTS, .data.ptr = conn};
    if (conn->ex->muted == on)
        return;
    epoll_ctl(conn->lane->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    conn->ex->muted = on;
}

/* At least one byte from the socket. */
static rs_rc receive(struct rs_conn *conn, void *buf, size_t cap, size_t *out_n, struct rs_err *err)
{
    struct rs_exchange *ex = conn->ex;
    bool wait = false;
    set_low_water(conn, ex->req.content_length > LONG_BODY && ex->body_left > LOW_WATER);
    for (;;) {
        if (wait)
            RS_TRY(wait_readable(conn, err));
        ssize_t n = recv(conn->fd, buf, cap, MSG_DONTWAIT);
        if (n > 0) {
            conn->drained = false;
            ex->window_bytes += (size_t)n;
            ex->received += (size_t)n;
            if (ex->received > LONG_BODY)
                mute(conn, true);
            *out_n = (size_t)n;
            return RS_OK;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            ex->body_broken = true;
            return rs_err_set(err, RS_E_CLOSED, "the client closed the connection in the middle of the body");
        }
        wait = true;
    }
}

/* The next bytes as they came: those that were received with the head first. */
static rs_rc next_bytes(struct rs_conn *conn, void *buf, size_t cap, size_t *out_n, bool *out_received,
                        struct rs_err *err)
{
    *out_received = conn->in.len == 0;
    if (*out_received)
        return receive(conn, buf, cap, out_n, err);
    *out_n = RS_MIN(cap, conn->in.len);
    memcpy(buf, conn->in.ptr, *out_n);
    conn->in = rs_str_from(conn->in, *out_n);
    return RS_OK;
}

/* What followed the last chunk belongs to the next request. */
static void put_back(struct rs_conn *conn, const char *bytes, size_t len, bool received)
{
    if (len == 0)
        return;
    if (!received) {
        conn->in = (rs_str){conn->in.ptr - len, conn->in.len + len};
        return;
    }
    rs_buf_clear(&conn->saved);
    rs_buf_append(&conn->saved, bytes, len);
    conn->in = rs_buf_str(&conn->saved);
}

static rs_rc read_chunked(struct rs_conn *conn, char *buf, size_t cap, size_t *out_n, struct rs_err *err)
{
    struct rs_exchange *ex = conn->ex;
    size_t payload = 0;
    while (payload == 0 && !ex->body_done) {
        size_t n = 0;
        bool received = false;
        RS_TRY(next_bytes(conn, buf, cap, &n, &received, err));
        size_t used = rs_chunk_decode(&ex->chunk, buf, n, &payload);
        ex->body_done = ex->chunk.state == RS_CHUNK_DONE;
        if (ex->chunk.state == RS_CHUNK_BAD) {
            ex->body_broken = true;
            return rs_err_set(err, RS_E_BAD_REQUEST, "the chunked body is malformed");
        }
        put_back(conn, buf + used, n - used, received);
    }
    *out_n = payload;
    return RS_OK;
}

static rs_rc read_counted(struct rs_conn *conn, char *buf, size_t cap, size_t *out_n, struct rs_err *err)
{
    struct rs_exchange *ex = conn->ex;
    bool received;
    RS_TRY(next_bytes(conn, buf, RS_MIN(cap, (uint64_t)ex->body_left), out_n, &received, err));
    ex->body_left -= (int64_t)*out_n;
    ex->body_done = ex->body_left == 0;
    return RS_OK;
}

rs_rc rs_request_read(struct rs_request *req, void *buf, size_t cap, size_t *out_n, struct rs_err *err)
{
    struct rs_conn *conn = req->conn;
    struct rs_exchange *ex = conn->ex;
    *out_n = 0;
    if (ex->body_done)
        return RS_OK;
    if (ex->body_broken)
        return rs_err_set(err, RS_E_CLOSED, "the request body has ended with an error");
    rs_request_block(req);
    if (ex->continue_due && conn->in.len == 0)
        RS_TRY(rs_send_now(conn, RS_STR("HTTP/1.1 100 Continue\r\n\r\n"), err));
    ex->continue_due = false;
    rs_rc rc = ex->req.content_length < 0 ? read_chunked(conn, buf, cap, out_n, err)
                                          : read_counted(conn, buf, cap, out_n, err);
    req->received += *out_n;
    if (rc != RS_OK)
        ex->body_broken = true;
    return rc;
}

void *rs_request_io_buffer(struct rs_request *req)
{
    struct rs_worker *worker = req->conn->worker;
    if (worker->io_buffer == NULL)
        worker->io_buffer = rs_malloc(RS_IO_BUFFER);
    return worker->io_buffer;
}

void rs_request_block(struct rs_request *req)
{
    rs_worker_block(req->conn->worker);
}

/* Reads what is left of a counted body and throws it away: all of it when `wait`, else what has been received. */
static void skip_counted(struct rs_conn *conn, bool wait)
{
    char scratch[4096];
    size_t n;
    struct rs_err err;
    while (!conn->ex->body_done && (wait || conn->in.len > 0))
        if (read_counted(conn, scratch, sizeof scratch, &n, &err) != RS_OK)
            return;
}

bool rs_body_finish(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    /* A client that still waits for leave to send may send or not: where its next request begins is unknown. */
    bool follows = !ex->body_broken && !ex->continue_due;
    /* Only a route that takes bodies waits for the rest of one, in its place: nobody else has asked for it. */
    bool wait = ex->counted && ex->req.route->kind == RS_ROUTE_BODY && ex->body_left <= DRAIN_MAX;
    if (follows && ex->req.content_length >= 0)
        skip_counted(conn, wait);
    set_low_water(conn, false);
    mute(conn, false);
    return follows && ex->body_done;
}
