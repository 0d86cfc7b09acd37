/* SPDX-License-Identifier: Apache-2.0 */
/* Sending a reply: the head and a small body in one packet, files by sendfile, a fair share at a time. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "http/lane.h"

/* Bytes a sendfile call: smaller pieces cost throughput, larger ones gain nothing (docs/ENGINE.md). */
#define PIECE (2 * 1024 * 1024)
#define INTERIM_MS 5000

/* Ready-made, since every reply has one. */
static rs_str status_line(int status)
{
#define LINE(code, text)                                                                                               \
    {                                                                                                                  \
        code,                                                                                                          \
        {                                                                                                              \
            "HTTP/1.1 " #code " " text "\r\n", sizeof("HTTP/1.1 " #code " " text "\r\n") - 1                           \
        }                                                                                                              \
    }
    static const struct {
        int status;
        rs_str line;
    } known[] = {
        LINE(200, "OK"),
        LINE(201, "Created"),
        LINE(202, "Accepted"),
        LINE(204, "No Content"),
        LINE(206, "Partial Content"),
        LINE(301, "Moved Permanently"),
        LINE(304, "Not Modified"),
        LINE(307, "Temporary Redirect"),
        LINE(400, "Bad Request"),
        LINE(401, "Unauthorized"),
        LINE(403, "Forbidden"),
        LINE(404, "Not Found"),
        LINE(405, "Method Not Allowed"),
        LINE(408, "Request Timeout"),
        LINE(409, "Conflict"),
        LINE(411, "Length Required"),
        LINE(412, "Precondition Failed"),
        LINE(413, "Content Too Large"),
        LINE(414, "URI Too Long"),
        LINE(416, "Range Not Satisfiable"),
        LINE(417, "Expectation Failed"),
        LINE(429, "Too Many Requests"),
        LINE(431, "Request Header Fields Too Large"),
        LINE(500, "Internal Server Error"),
        LINE(501, "Not Implemented"),
        LINE(502, "Bad Gateway"),
        LINE(503, "Service Unavailable"),
        LINE(504, "Gateway Timeout"),
        LINE(505, "HTTP Version Not Supported"),
        LINE(507, "Insufficient Storage"),
    };
#undef LINE
    for (size_t i = 0; i < RS_COUNT(known); i++)
        if (known[i].status == status)
            return known[i].line;
    RS_ASSERT(!"a status that has no line here");
    return (rs_str){0};
}

static rs_str decimal(uint64_t n, char digits[20])
{
    size_t at = 20;
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return (rs_str){digits + at, 20 - at};
}

static char *put(char *at, rs_str s)
{
    memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static char *put_line(char *at, rs_str name, rs_str value)
{
    at = put(at, name);
    at = put(at, RS_STR(": "));
    at = put(at, value);
    return put(at, RS_STR("\r\n"));
}

/* 1xx and 204 have no content, and no length of it (RFC 9110 8.6); a 304's would be that of another reply. */
static bool has_content(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

void rs_send_begin(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    struct rs_request *req = &ex->req;
    struct rs_reply *reply = &req->reply;
    char date[RS_HTTP_DATE_SIZE], digits[20];
    size_t size = 256;
    if (!has_content(reply->status))
        rs_source_release(&reply->body);
    for (size_t i = 0; i < reply->header_count; i++)
        size += reply->headers[i].name.len + reply->headers[i].value.len + 4;
    ex->head = rs_arena_alloc(ex->arena, size);
    char *at = put(ex->head, status_line(reply->status));
    rs_http_date(rs_wall_s(), date);
    at = put_line(at, RS_STR("Date"), (rs_str){date, RS_HTTP_DATE_SIZE - 1});
    for (size_t i = 0; i < reply->header_count; i++)
        at = put_line(at, reply->headers[i].name, reply->headers[i].value);
    if (has_content(reply->status))
        at = put_line(at, RS_STR("Content-Length"), decimal(reply->body.length, digits));
    if (!ex->keep_alive)
        at = put_line(at, RS_STR("Connection"), RS_STR("close"));
    else if (req->minor == 0)
        at = put_line(at, RS_STR("Connection"), RS_STR("keep-alive"));
    at = put(at, RS_STR("\r\n"));
    ex->head_len = (size_t)(at - ex->head);
    RS_ASSERT(ex->head_len <= size);
    if (req->method == RS_METHOD_HEAD)
        rs_source_release(&reply->body);
    ex->window_ms = 0;
    ex->window_bytes = 0;
}

static enum rs_sent failed(void)
{
    return errno == EAGAIN ? RS_SENT_WAIT : RS_SENT_BROKEN;
}

/* Books n bytes that the socket took: of the head first. */
static void book(struct rs_exchange *ex, size_t n)
{
    size_t head = RS_MIN(n, ex->head_len - ex->head_sent);
    ex->head_sent += head;
    ex->window_bytes += n;
    ex->sent += n - head;
    ex->req.reply.body.length -= n - head;
}

/* The head, together with a body that lies in memory: one packet if it fits. */
static ssize_t send_pieces(struct rs_conn *conn, const struct rs_exchange *ex, int flags)
{
    const struct rs_source *body = &ex->req.reply.body;
    struct iovec iov[2] = {{ex->head + ex->head_sent, ex->head_len - ex->head_sent}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};
    if (body->kind == RS_SOURCE_MEMORY && body->length > 0) {
        iov[1] = (struct iovec){(void *)(uintptr_t)(body->memory), body->length};
        msg.msg_iovlen = 2;
    }
    return sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
}

static enum rs_sent send_memory(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    struct rs_source *body = &ex->req.reply.body;
    bool file = body->kind == RS_SOURCE_FILE && body->length > 0;
    while (ex->head_sent < ex->head_len || (body->length > 0 && !file)) {
        uint64_t sent = ex->sent;
        ssize_t n = send_pieces(conn, ex, file ? MSG_MORE : 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed();
        book(ex, (size_t)n);
        if (ex->sent > sent)
            body->memory += ex->sent - sent;
    }
    return RS_SENT_ALL;
}

/* Are the next bytes in the page cache? Looks at the first and the last of the piece, once for each piece. */
static bool resident(struct rs_exchange *ex, size_t piece)
{
    const struct rs_source *body = &ex->req.reply.body;
    char byte;
    if (body->offset < ex->resident_to)
        return true;
    const uint64_t at[] = {body->offset, body->offset + piece - 1};
    for (size_t i = 0; i < RS_COUNT(at); i++) {
        struct iovec iov = {&byte, 1};
        if (preadv2(body->fd, &iov, 1, (off_t)at[i], RWF_NOWAIT) < 0 && errno == EAGAIN)
            return false;
    }
    ex->resident_to = body->offset + piece;
    return true;
}

/* A long file leaves in whole segments: each piece would else end in a short one. Uncorking sends what is left. */
static void cork(struct rs_conn *conn, bool on)
{
    if (conn->ex->corked == on)
        return;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &(int){on}, sizeof(int));
    conn->ex->corked = on;
}

/* When fewer bytes left than asked for, the socket is full mostly, and the kernel will tell when much of it is free;
 * trying again at once would send small pieces. But the file may have ended early as well. */
static bool is_full(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    return poll(&pfd, 1, 0) == 0;
}

static enum rs_sent send_file(struct rs_conn *conn, bool lane)
{
    struct rs_exchange *ex = conn->ex;
    struct rs_source *body = &ex->req.reply.body;
    cork(conn, body->length > PIECE || ex->corked);
    while (body->length > 0) {
        size_t piece = RS_MIN(body->length, (uint64_t)PIECE);
        off_t offset = (off_t)body->offset;
        if (lane && !resident(ex, piece))
            return RS_SENT_BLOCK;
        ssize_t n = sendfile(conn->fd, body->fd, &offset, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed();
        if (n == 0) {
            ex->req.log_error = RS_STR("the stored file has become shorter while it was sent");
            return RS_SENT_BROKEN;
        }
        body->offset += (size_t)n;
        book(ex, (size_t)n);
        if (body->length > 0)
            return (size_t)n < piece && is_full(conn->fd) ? RS_SENT_WAIT : RS_SENT_SHARE;
    }
    cork(conn, false);
    return RS_SENT_ALL;
}

enum rs_sent rs_send_step(struct rs_conn *conn, bool lane)
{
    struct rs_exchange *ex = conn->ex;
    if (ex->head_sent < ex->head_len || ex->req.reply.body.kind == RS_SOURCE_MEMORY) {
        enum rs_sent sent = send_memory(conn);
        if (sent != RS_SENT_ALL)
            return sent;
    }
    return ex->req.reply.body.kind == RS_SOURCE_FILE ? send_file(conn, lane) : RS_SENT_ALL;
}

rs_rc rs_send_now(struct rs_conn *conn, rs_str bytes, struct rs_err *err)
{
    int64_t end = rs_mono_ms() + INTERIM_MS;
    while (bytes.len > 0) {
        ssize_t n = send(conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes = rs_str_from(bytes, (size_t)n);
            continue;
        }
        struct pollfd pfd = {.fd = conn->fd, .events = POLLOUT};
        if (failed() == RS_SENT_BROKEN && errno != EINTR)
            return rs_err_set(err, RS_E_CLOSED, "the client closed the connection");
        if (rs_mono_ms() >= end)
            return rs_err_set(err, RS_E_REQUEST_TIMEOUT, "the client does not read");
        poll(&pfd, 1, 100);
    }
    return RS_OK;
}
