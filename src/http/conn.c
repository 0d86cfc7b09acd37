/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: reading heads, running handlers, and what comes after a reply. See "LANES" in server.c. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/lane.h"

#define LINGER_MS 10000
#define LINGER_DRAINING_MS 2000
#define DRAIN_HEAD_MS 1000
/* Bytes thrown away after the last reply: more than a manifest that is too big. */
#define LINGER_MAX (16 * 1024 * 1024)
#define SHARE 32 /* requests of one connection in a row, or pieces thrown away, while others wait */
#define SAVED_MAX (RS_IO_BUFFER + 64 * 1024)
#define EMPTY_LINES_MAX 8 /* before a request line */

enum next { GO, PARK, YIELD, GONE };

/* False: it is no address of the internet. */
static bool address_of(const struct sockaddr_storage *socket, struct rs_address *out, unsigned *out_port)
{
    static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};
    if (socket->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)socket;
        memcpy(out->bytes, v4_prefix, sizeof v4_prefix);
        memcpy(out->bytes + sizeof v4_prefix, &in->sin_addr, 4);
        *out_port = ntohs(in->sin_port);
    } else if (socket->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)socket;
        memcpy(out->bytes, &in6->sin6_addr, 16);
        *out_port = ntohs(in6->sin6_port);
    }
    return socket->ss_family == AF_INET || socket->ss_family == AF_INET6;
}

static void name_peer(struct rs_conn *conn)
{
    struct sockaddr_storage socket = {0};
    socklen_t len = sizeof socket;
    const struct rs_proxies *proxies = &conn->server->proxies;
    char text[RS_ADDRESS_SIZE];
    unsigned port;
    snprintf(conn->remote, sizeof conn->remote, "unix");
    if (getpeername(conn->fd, (struct sockaddr *)&socket, &len) != 0)
        return; /* it is gone already */
    if (!address_of(&socket, &conn->peer, &port)) {
        conn->is_proxy = rs_proxies_trust(proxies, NULL);
        return;
    }
    rs_address_format(&conn->peer, text);
    snprintf(conn->remote, sizeof conn->remote, rs_address_is_v4(&conn->peer) ? "%s:%u" : "[%s]:%u", text, port);
    conn->is_proxy = rs_proxies_trust(proxies, &conn->peer);
}

/* A host of IPv6 mostly has a /64 to itself: more than that tells nobody apart. */
static struct rs_address household(const struct rs_address *address)
{
    struct rs_address a = *address;
    if (!rs_address_is_v4(&a))
        memset(a.bytes + 8, 0, 8);
    return a;
}

/* The head is there: whose request is it? */
static void name_client(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    struct rs_address client;
    char text[RS_ADDRESS_SIZE];
    if (!conn->is_proxy || !rs_forwarded_client(&conn->server->proxies, &ex->req, &client))
        return;
    rs_address_format(&client, text);
    ex->req.remote = rs_arena_copy(ex->arena, rs_str_c(text));
    ex->client = household(&client);
}

struct rs_conn *rs_conn_new(struct rs_http_server *server, struct rs_lane *lane, int fd)
{
    struct rs_conn *conn = rs_calloc(1, sizeof *conn);
    conn->kind = RS_POLL_CONN;
    conn->fd = fd;
    conn->server = server;
    conn->lane = lane;
    conn->deadline_ms = rs_mono_ms() + server->config.idle_ms;
    rs_buf_init(&conn->saved, SAVED_MAX + server->config.max_head);
    atomic_init(&conn->owner, RS_OWNER_LANE);
    name_peer(conn);
    /* Fails on unix sockets, which need it not. Without it a reply can wait 40 ms for an acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    atomic_fetch_add(&server->connections, 1);
    atomic_fetch_add_explicit(&server->accepted, 1, memory_order_relaxed);
    atomic_fetch_add(&lane->connections, 1);
    return conn;
}

static void drop_exchange(struct rs_conn *conn, bool complete)
{
    struct rs_exchange *ex = conn->ex;
    const struct rs_http_config *config = &conn->server->config;
    if (ex == NULL)
        return;
    if (ex->counted)
        rs_places_leave(conn);
    if (config->on_done != NULL)
        config->on_done(&ex->req, config->ctx, ex->sent, rs_mono_us() - ex->start_us, complete);
    rs_source_release(&ex->req.reply.body);
    conn->ex = NULL;
    struct rs_arena *arena = ex->arena;
    rs_arena_reset(arena);
    if (conn->worker != NULL && conn->worker->arena == NULL)
        conn->worker->arena = arena;
    else
        rs_arena_free(&arena);
}

void rs_conn_close(struct rs_conn *conn)
{
    struct rs_lane *lane = conn->lane;
    drop_exchange(conn, false);
    rs_buf_release(&conn->saved);
    conn->in = (rs_str){0};
    atomic_store(&conn->owner, RS_OWNER_NOBODY);
    close(conn->fd);
    /* The count of the lane falls when the memory is freed: only then the lane can end. */
    atomic_fetch_sub(&conn->server->connections, 1);
    rs_mutex_lock(&lane->lock);
    conn->link = lane->dead;
    lane->dead = conn;
    rs_mutex_unlock(&lane->lock);
}

void rs_conn_save(struct rs_conn *conn)
{
    struct rs_buf *saved = &conn->saved;
    bool inside = saved->ptr != NULL && conn->in.ptr >= saved->ptr && conn->in.ptr < saved->ptr + saved->len;
    if (conn->in.len == 0) {
        size_t max = saved->max;
        rs_buf_release(saved); /* thousands of idle connections must not keep a buffer each */
        rs_buf_init(saved, max);
    } else if (inside) {
        rs_buf_consume(saved, (size_t)(conn->in.ptr - saved->ptr));
    } else {
        rs_buf_clear(saved);
        rs_buf_add(saved, conn->in);
    }
    conn->in = rs_buf_str(saved);
}

bool rs_conn_park(struct rs_conn *conn)
{
    int mine = RS_OWNER_THREAD;
    conn->worker = NULL;
    if (atomic_compare_exchange_strong(&conn->owner, &mine, RS_OWNER_LANE))
        return true;
    /* An event came meanwhile and was passed over, since a thread was at work: it is this thread's now. */
    atomic_store(&conn->owner, RS_OWNER_THREAD);
    conn->drained = false;
    conn->unsure = true;
    return false;
}

/* Receives more behind what is there. 1: bytes came; 0: there are none now; -1: there will be no more. */
static int fill(struct rs_worker *worker, struct rs_conn *conn)
{
    if (conn->drained)
        return 0;
    if (conn->in.len > 0)
        rs_conn_save(conn); /* out of the buffer that is about to be overwritten */
    ssize_t n = recv(conn->fd, worker->head_buffer, RS_HEAD_BUFFER, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
        return 1;
    if (n < 0 && errno == EAGAIN) {
        conn->drained = true;
        conn->unsure = false; /* a last byte that comes from now on is an event of its own */
        return 0;
    }
    if (n <= 0)
        return -1;
    conn->drained = n < RS_HEAD_BUFFER && !conn->unsure;
    if (conn->in.len == 0) {
        conn->in = (rs_str){worker->head_buffer, (size_t)n};
        return 1;
    }
    rs_buf_append(&conn->saved, worker->head_buffer, (size_t)n);
    conn->in = rs_buf_str(&conn->saved);
    return conn->saved.overflow ? -1 : 1; /* it cannot: a head that long is refused before */
}

static rs_str request_id(struct rs_arena *arena)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        rs_random(&state, sizeof state);
    /* splitmix64: ids that do not repeat and cost nothing. */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    char *id = rs_arena_alloc(arena, 17);
    rs_hex_encode(&z, sizeof z, id);
    return (rs_str){id, 16};
}

static struct rs_exchange *begin_exchange(struct rs_worker *worker, struct rs_conn *conn)
{
    struct rs_arena *arena = worker->arena != NULL ? worker->arena : rs_arena_new();
    worker->arena = NULL;
    struct rs_exchange *ex = rs_arena_zalloc(arena, sizeof *ex);
    ex->arena = arena;
    ex->start_us = rs_mono_us();
    ex->req.arena = arena;
    ex->req.conn = conn;
    ex->req.id = request_id(arena);
    ex->req.remote = ex->req.peer = rs_str_c(conn->remote);
    ex->client = household(&conn->peer);
    ex->req.method = RS_METHOD_OTHER;
    ex->req.minor = 1;
    ex->req.reply.status = 200;
    ex->body_done = true;
    conn->ex = ex;
    conn->head_start_ms = 0;
    conn->empty_lines = 0;
    atomic_fetch_add_explicit(&conn->server->requests, 1, memory_order_relaxed);
    return ex;
}

static void reply_error(struct rs_conn *conn, rs_rc rc, const struct rs_err *err)
{
    const struct rs_http_config *config = &conn->server->config;
    struct rs_request *req = &conn->ex->req;
    rs_source_release(&req->reply.body);
    req->log_error = rs_arena_copy(req->arena, rs_str_c(err->text));
    req->reply.status = rs_rc_status(rc);
    config->on_error(req, config->ctx, rc, err);
}

/* The reply stands; what is left of the request's body decides whether another request can follow. */
static enum next reply_ready(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    const struct rs_http_config *config = &conn->server->config;
    bool keep = ex->framing.keep_alive && !ex->req.reply.close && !atomic_load(&conn->server->draining);
    ex->keep_alive = rs_body_finish(conn) && keep;
    if (ex->counted)
        rs_places_leave(conn);
    if (config->on_reply != NULL)
        config->on_reply(&ex->req, config->ctx);
    rs_send_begin(conn);
    conn->phase = RS_PHASE_SEND;
    return GO;
}

/* Answers what is no proper request, and ends the connection: where the next one begins is unknown. */
static enum next refuse(struct rs_worker *worker, struct rs_conn *conn, rs_rc rc, const struct rs_err *err)
{
    struct rs_exchange *ex = conn->ex != NULL ? conn->ex : begin_exchange(worker, conn);
    ex->framing.keep_alive = false;
    ex->body_done = false;
    ex->body_broken = true;
    reply_error(conn, rc, err);
    return reply_ready(conn);
}

static enum next run_handler(struct rs_conn *conn)
{
    struct rs_exchange *ex = conn->ex;
    struct rs_err err = {0};
    rs_rc rc = RS_OK;
    if (ex->queue_over)
        rc = rs_err_set(&err, RS_E_UNAVAILABLE, "all workers are busy; try again later");
    else
        rc = ex->req.route->handler(&ex->req, conn->server->config.ctx, &err);
    if (rc != RS_OK)
        reply_error(conn, rc, &err);
    return reply_ready(conn);
}

/* What follows may block. When no thread can take the lane, the connection waits for one instead. */
static enum next go_on_as_worker(struct rs_worker *worker, struct rs_conn *conn)
{
    if (rs_worker_block(worker))
        return GO;
    rs_conn_save(conn);
    rs_pool_defer_conn(conn->server, conn);
    return GONE;
}

static void tell_allowed(struct rs_request *req, unsigned allowed)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    char list[64] = "";
    for (size_t i = 0, n = 0; i < RS_COUNT(names); i++)
        if (allowed & (1u << i))
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n > 0 ? ", " : "", names[i]);
    rs_reply_header_c(req, "Allow", list);
}

static enum next dispatch(struct rs_worker *worker, struct rs_conn *conn)
{
    const struct rs_http_config *config = &conn->server->config;
    struct rs_exchange *ex = conn->ex;
    struct rs_err err = {0};
    unsigned allowed = 0;
    rs_rc rc = rs_router_match(conn->server->router, &ex->req, &ex->req.route, &allowed, &err);
    if (allowed != 0)
        tell_allowed(&ex->req, allowed);
    if (allowed != 0 && ex->req.method == RS_METHOD_OPTIONS)
        return reply_ready(conn); /* browsers ask before they use another method; the headers of on_reply answer them */
    if (rc == RS_OK && config->on_route != NULL)
        rc = config->on_route(&ex->req, config->ctx, &err);
    if (rc != RS_OK) {
        reply_error(conn, rc, &err);
        return reply_ready(conn);
    }
    conn->phase = RS_PHASE_RUN;
    if (ex->req.route->kind == RS_ROUTE_SHORT)
        return GO;
    if (!rs_places_enter(conn))
        return GONE;
    return go_on_as_worker(worker, conn);
}

static enum next take_head(struct rs_worker *worker, struct rs_conn *conn, size_t len)
{
    struct rs_exchange *ex = begin_exchange(worker, conn);
    struct rs_err err = {0};
    rs_str head = rs_arena_copy(ex->arena, rs_str_sub(conn->in, 0, len));
    conn->in = rs_str_from(conn->in, len);
    conn->scanned = 0;
    ex->req.received = len;
    rs_rc rc = rs_head_parse(head, &ex->req, &ex->framing, &err);
    if (rc != RS_OK)
        return refuse(worker, conn, rc, &err);
    name_client(conn);
    rs_body_begin(conn);
    return dispatch(worker, conn);
}

/* When the head must be there. An idle connection may stay longer than one that has sent half a head. */
static void set_head_deadline(struct rs_conn *conn)
{
    const struct rs_http_config *config = &conn->server->config;
    int64_t now = rs_mono_ms();
    if (conn->in.len == 0) {
        conn->deadline_ms = now + config->idle_ms;
        return;
    }
    if (conn->head_start_ms == 0)
        conn->head_start_ms = now;
    conn->deadline_ms = conn->head_start_ms + config->head_ms;
}

#define TLS_HANDSHAKE 0x16 /* the first byte that a TLS client sends; no method begins with it */

static enum next step_head(struct rs_worker *worker, struct rs_conn *conn)
{
    const struct rs_http_config *config = &conn->server->config;
    struct rs_err err;
    while (conn->in.len > 0) {
        if (conn->in.ptr[0] == TLS_HANDSHAKE) {
            rs_err_set(&err, RS_E_BAD_REQUEST, "this port speaks plain HTTP, and the client began TLS");
            return refuse(worker, conn, RS_E_BAD_REQUEST, &err);
        }
        long len = rs_head_end(conn->in.ptr, conn->in.len, &conn->scanned);
        if (len == 2 && conn->empty_lines++ < EMPTY_LINES_MAX) { /* passed over (RFC 9112 2.2) */
            conn->in = rs_str_from(conn->in, 2);
            conn->scanned = 0;
            continue;
        }
        if (len < 0) {
            rs_err_set(&err, RS_E_BAD_REQUEST, "a line of the head ends in a bare LF");
            return refuse(worker, conn, RS_E_BAD_REQUEST, &err);
        }
        if ((len > 0 ? (size_t)len : conn->in.len) > config->max_head) {
            rs_err_set(&err, RS_E_HEAD_TOO_BIG, "the head is longer than %zu bytes", config->max_head);
            return refuse(worker, conn, RS_E_HEAD_TOO_BIG, &err);
        }
        if (len > 0)
            return take_head(worker, conn, (size_t)len);
        break;
    }
    int filled = fill(worker, conn);
    if (filled > 0)
        return GO;
    if (filled < 0 || (conn->in.len == 0 && atomic_load(&conn->server->draining))) {
        rs_conn_close(conn);
        return GONE;
    }
    set_head_deadline(conn);
    return PARK;
}

/* Closing over them would reset the connection. */
static bool has_unread(const struct rs_conn *conn)
{
    int bytes = 0;
    return ioctl(conn->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

static enum next after_reply(struct rs_conn *conn)
{
    bool keep = conn->ex->keep_alive;
    bool linger = !keep && (!conn->ex->body_done || conn->in.len > 0 || has_unread(conn));
    drop_exchange(conn, true);
    if (keep) {
        conn->phase = RS_PHASE_HEAD;
        return GO;
    }
    if (!linger) {
        rs_conn_close(conn);
        return GONE;
    }
    shutdown(conn->fd, SHUT_WR);
    conn->in = (rs_str){0};
    conn->phase = RS_PHASE_LINGER;
    conn->deadline_ms = rs_mono_ms() + LINGER_MS;
    conn->drained = false;
    return GO;
}

static enum next step_send(struct rs_worker *worker, struct rs_conn *conn)
{
    switch (rs_send_step(conn, worker->lane != NULL)) {
    case RS_SENT_ALL:
        return after_reply(conn);
    case RS_SENT_WAIT:
        return PARK;
    case RS_SENT_SHARE:
        return worker->lane != NULL ? YIELD : GO;
    case RS_SENT_BLOCK:
        return go_on_as_worker(worker, conn);
    case RS_SENT_BROKEN:
        break;
    }
    rs_conn_close(conn);
    return GONE;
}

static enum next step_linger(struct rs_worker *worker, struct rs_conn *conn)
{
    int filled = fill(worker, conn);
    conn->lingered += conn->in.len;
    conn->in = (rs_str){0};
    if (filled > 0 && conn->lingered < LINGER_MAX)
        return GO;
    if (filled == 0)
        return PARK;
    rs_conn_close(conn);
    return GONE;
}

static enum next step(struct rs_worker *worker, struct rs_conn *conn)
{
    switch (conn->phase) {
    case RS_PHASE_HEAD:
        return step_head(worker, conn);
    case RS_PHASE_RUN:
        return run_handler(conn);
    case RS_PHASE_SEND:
        return step_send(worker, conn);
    case RS_PHASE_LINGER:
        return step_linger(worker, conn);
    case RS_PHASE_QUEUED:
        break;
    }
    RS_ASSERT(!"a queued connection belongs to its queue");
    return GONE;
}

bool rs_conn_run(struct rs_worker *worker, struct rs_conn *conn)
{
    enum next next = GO;
    unsigned served = 0;
    conn->worker = worker;
    while (next == GO) {
        enum rs_phase before = conn->phase;
        next = step(worker, conn);
        bool turn =
            before == RS_PHASE_LINGER || (before == RS_PHASE_SEND && next == GO && conn->phase == RS_PHASE_HEAD);
        if (next == GO && turn && ++served == SHARE)
            next = YIELD;
        if (next != PARK && next != YIELD)
            continue;
        rs_conn_save(conn);
        if (next == PARK && !rs_conn_park(conn)) {
            conn->worker = worker;
            next = GO;
        }
    }
    return next == YIELD;
}

bool rs_conn_overdue(struct rs_conn *conn, int64_t now_ms)
{
    bool draining = atomic_load(&conn->server->draining);
    if (conn->phase == RS_PHASE_SEND)
        return rs_rate_too_slow(conn, now_ms);
    /* A server that drains waits for what runs, less for half a head and for what is thrown away anyway. */
    if (draining && conn->phase == RS_PHASE_HEAD &&
        (conn->in.len == 0 || now_ms - conn->head_start_ms >= DRAIN_HEAD_MS))
        return true;
    bool hurry = draining && conn->phase == RS_PHASE_LINGER;
    return now_ms >= conn->deadline_ms - (hurry ? LINGER_MS - LINGER_DRAINING_MS : 0);
}

bool rs_conn_end(struct rs_worker *worker, struct rs_conn *conn)
{
    struct rs_err err;
    if (conn->phase != RS_PHASE_HEAD || conn->in.len == 0) {
        rs_conn_close(conn);
        return false;
    }
    conn->worker = worker;
    rs_err_set(&err, RS_E_REQUEST_TIMEOUT, "the head was not complete after %lld ms",
               (long long)conn->server->config.head_ms);
    refuse(worker, conn, RS_E_REQUEST_TIMEOUT, &err);
    return rs_conn_run(worker, conn);
}
