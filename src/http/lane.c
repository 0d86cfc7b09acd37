/* SPDX-License-Identifier: Apache-2.0 */
/* A lane: its epoll set, its batch of events, and the connections that are parked in it. See "LANES" in server.c. */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/lane.h"

#define DRAIN_LOOK_MS 50

static rs_rc add_to_epoll(struct rs_lane *lane, int fd, void *tag, uint32_t events, struct rs_err *err)
{
    struct epoll_event event = {.events = events, .data.ptr = tag};
    if (epoll_ctl(lane->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return rs_err_sys(err, errno, "cannot watch a descriptor");
    return RS_OK;
}

rs_rc rs_lane_init(struct rs_lane *lane, struct rs_http_server *server, struct rs_err *err)
{
    lane->kind = RS_POLL_WAKE;
    lane->server = server;
    lane->ready_end = &lane->ready;
    rs_mutex_init(&lane->lock, RS_LOCK_LANE);
    lane->epoll = epoll_create1(EPOLL_CLOEXEC);
    lane->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lane->epoll < 0 || lane->wake < 0)
        return rs_err_sys(err, errno, "cannot make an epoll set");
    RS_TRY(add_to_epoll(lane, lane->wake, lane, EPOLLIN, err));
    for (size_t i = 0; i < server->listener_count; i++)
        RS_TRY(add_to_epoll(lane, server->listeners[i].fd, &server->listeners[i], EPOLLIN | EPOLLEXCLUSIVE, err));
    lane->listening = true;
    return RS_OK;
}

void rs_lane_release(struct rs_lane *lane)
{
    close(lane->epoll);
    close(lane->wake);
    rs_mutex_release(&lane->lock);
}

void rs_lane_wake(struct rs_lane *lane)
{
    uint64_t one = 1;
    ssize_t n = write(lane->wake, &one, sizeof one);
    (void)n; /* full means that it is awake already */
}

void rs_lane_resume(struct rs_conn *conn)
{
    struct rs_lane *lane = conn->lane;
    rs_mutex_lock(&lane->lock);
    conn->link = lane->resumed;
    lane->resumed = conn;
    rs_mutex_unlock(&lane->lock);
    rs_lane_wake(lane);
}

/* While the server drains, a connection that has become idle is to end soon. */
static void look_later(struct rs_lane *lane, struct rs_conn *conn, int64_t now_ms)
{
    conn->look_ms = now_ms + (lane->swept ? DRAIN_LOOK_MS : lane->server->look_ms);
    conn->next = NULL;
    conn->prev = lane->last;
    if (lane->last != NULL)
        lane->last->next = conn;
    else
        lane->first = conn;
    lane->last = conn;
}

static void unlink_look(struct rs_lane *lane, struct rs_conn *conn)
{
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        lane->first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    else
        lane->last = conn->prev;
}

static void push_ready(struct rs_lane *lane, struct rs_conn *conn)
{
    conn->link = NULL;
    *lane->ready_end = conn;
    lane->ready_end = &conn->link;
}

/* Frees what was closed before the batch that has just been used up: no event can point to it any more. */
static void empty_mailbox(struct rs_lane *lane, int64_t now_ms)
{
    rs_mutex_lock(&lane->lock);
    struct rs_conn *arrived = lane->arrived, *resumed = lane->resumed, *dead = lane->dead;
    lane->arrived = lane->resumed = lane->dead = NULL;
    rs_mutex_unlock(&lane->lock);
    while (arrived != NULL) {
        struct rs_conn *conn = arrived;
        arrived = conn->next;
        look_later(lane, conn, now_ms);
    }
    while (resumed != NULL) {
        struct rs_conn *conn = resumed;
        resumed = conn->link;
        push_ready(lane, conn);
    }
    while (dead != NULL) {
        struct rs_conn *conn = dead;
        dead = conn->link;
        unlink_look(lane, conn);
        free(conn);
        atomic_fetch_sub(&lane->connections, 1);
    }
}

/* Serves a connection that this thread owns. False: the lane was taken meanwhile. */
static bool serve(struct rs_worker *worker, struct rs_lane *lane, struct rs_conn *conn, bool end)
{
    rs_serving_begin(worker);
    bool more = end ? rs_conn_end(worker, conn) : rs_conn_run(worker, conn);
    if (rs_serving_end(worker)) {
        if (more)
            push_ready(lane, conn);
        return true;
    }
    if (more)
        rs_lane_resume(conn);
    return false;
}

/* OWNERS, the lane's side. False: not for this thread. */
static bool take(struct rs_conn *conn)
{
    for (;;) {
        int owner = atomic_load(&conn->owner);
        if (owner == RS_OWNER_NOBODY || owner == RS_OWNER_THREAD_MISSED)
            return false;
        int wanted = owner == RS_OWNER_LANE ? RS_OWNER_THREAD : RS_OWNER_THREAD_MISSED;
        if (atomic_compare_exchange_strong(&conn->owner, &owner, wanted))
            return wanted == RS_OWNER_THREAD;
    }
}

static bool conn_event(struct rs_worker *worker, struct rs_lane *lane, struct rs_conn *conn, uint32_t events)
{
    if (!take(conn))
        return true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->drained = false;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->unsure = true;
    return serve(worker, lane, conn, false);
}

/* Looks at those whose turn it is; each parked connection has one every look_ms. False: the lane was taken. */
static bool look(struct rs_worker *worker, struct rs_lane *lane, int64_t now_ms, bool all)
{
    struct rs_conn *stop = all ? lane->last : NULL;
    while (lane->first != NULL && (all || lane->first->look_ms <= now_ms)) {
        struct rs_conn *conn = lane->first;
        int lane_owned = RS_OWNER_LANE;
        unlink_look(lane, conn);
        look_later(lane, conn, now_ms);
        bool mine = atomic_compare_exchange_strong(&conn->owner, &lane_owned, RS_OWNER_THREAD);
        if (mine && rs_conn_overdue(conn, now_ms)) {
            if (!serve(worker, lane, conn, true))
                return false;
        } else if (mine) {
            rs_conn_park(conn); /* nobody else takes events of this lane now: it cannot have missed one */
        }
        if (conn == stop)
            break;
    }
    return true;
}

/* The server drains: no new connections, and those that are idle end. */
static bool sweep(struct rs_worker *worker, struct rs_lane *lane, int64_t now_ms)
{
    struct rs_http_server *server = lane->server;
    if (lane->listening) {
        for (size_t i = 0; i < server->listener_count; i++)
            epoll_ctl(lane->epoll, EPOLL_CTL_DEL, server->listeners[i].fd, NULL);
        lane->listening = false;
        atomic_store(&lane->deaf, true);
    }
    if (atomic_load(&server->aborting) && !lane->aborted) {
        lane->aborted = true;
        for (struct rs_conn *conn = lane->first; conn != NULL; conn = conn->next)
            if (atomic_load(&conn->owner) != RS_OWNER_NOBODY)
                shutdown(conn->fd, SHUT_RDWR);
    }
    if (lane->swept)
        return true;
    lane->swept = true;
    return look(worker, lane, now_ms, true);
}

/* Between two batches. Returns false when the lane is no longer this thread's, or has ended. */
static bool next_batch(struct rs_worker *worker, struct rs_lane *lane)
{
    struct rs_http_server *server = lane->server;
    int64_t now = rs_mono_ms();
    empty_mailbox(lane, now);
    if (atomic_load_explicit(&server->draining, memory_order_relaxed) && !sweep(worker, lane, now))
        return false;
    if (!look(worker, lane, now, false))
        return false;
    /* As long as one lane listens, it may still give this one a connection. */
    if (lane->swept && atomic_load(&lane->connections) == 0 && rs_lanes_deaf(server)) {
        worker->lane = NULL;
        atomic_store(&lane->ended, true);
        return false;
    }
    int64_t wait = lane->ready != NULL ? 0 : lane->first == NULL ? -1 : RS_MAX(lane->first->look_ms - now, 0) + 1;
    if (atomic_load(&server->draining) && wait != 0)
        wait = 20; /* the last connection of the lane may be freed by a worker, which wakes nobody */
    int n = epoll_wait(lane->epoll, lane->batch, RS_LANE_BATCH, (int)wait);
    lane->batch_next = 0;
    lane->batch_count = n > 0 ? n : 0;
    return true;
}

static bool handle_event(struct rs_worker *worker, struct rs_lane *lane, const struct epoll_event *event)
{
    enum rs_poll_kind kind = *(const enum rs_poll_kind *)event->data.ptr;
    uint64_t count;
    switch (kind) {
    case RS_POLL_CONN:
        return conn_event(worker, lane, event->data.ptr, event->events);
    case RS_POLL_LISTENER:
        if (lane->listening)
            rs_listen_accept(worker, lane, event->data.ptr);
        return true;
    case RS_POLL_WAKE:
        while (read(lane->wake, &count, sizeof count) > 0)
            continue;
        return true;
    }
    return true;
}

/* One of those that have more to send: then the events have their turn again. */
static bool serve_ready(struct rs_worker *worker, struct rs_lane *lane)
{
    struct rs_conn *conn = lane->ready;
    if (conn == NULL)
        return true;
    lane->ready = conn->link;
    if (lane->ready == NULL)
        lane->ready_end = &lane->ready;
    return serve(worker, lane, conn, false);
}

void rs_lane_run(struct rs_worker *worker, struct rs_lane *lane)
{
    worker->lane = lane;
    while (worker->lane == lane) {
        if (lane->batch_next < lane->batch_count) {
            const struct epoll_event *event = &lane->batch[lane->batch_next++];
            if (!handle_event(worker, lane, event))
                return;
        } else if (!serve_ready(worker, lane) || !next_batch(worker, lane)) {
            return;
        }
    }
}
