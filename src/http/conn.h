/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http: a connection and the exchange (request and reply) that it is in. See "LANES" in server.c. */
#pragma once

#include <stdatomic.h>
#include <sys/epoll.h>

#include "base/net.h"
#include "http/chunk.h"
#include "http/head.h"
#include "http/server.h"

struct rs_lane;
struct rs_worker;

/* What an epoll event's pointer points to: each such structure begins with this. */
enum rs_poll_kind { RS_POLL_LISTENER, RS_POLL_CONN, RS_POLL_WAKE };

/*
 * HEAD → (QUEUED →) RUN → SEND → HEAD …
 *                            └→ LINGER → closed
 * HEAD   waits for a request's head; idle while nothing of it has come
 * QUEUED waits for a worker (rs_http_server.waiting owns it)
 * RUN    the handler runs; always on a thread, never parked
 * SEND   the reply goes out; parked while the client is slow
 * LINGER the reply is out and the connection is ending: what the client still sends is thrown away for a moment, since
 *        closing over unread bytes would reset the connection and lose the reply
 */
enum rs_phase { RS_PHASE_HEAD, RS_PHASE_QUEUED, RS_PHASE_RUN, RS_PHASE_SEND, RS_PHASE_LINGER };

/* Who may touch the connection: see OWNERS in server.c. */
enum rs_owner { RS_OWNER_LANE, RS_OWNER_THREAD, RS_OWNER_THREAD_MISSED, RS_OWNER_NOBODY };

/* What the lane is told of: everything, once each time it changes. */
#define RS_CONN_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

struct rs_exchange {
    struct rs_request req;
    struct rs_arena *arena; /* holds this structure too */
    struct rs_framing framing;
    int64_t start_us;
    struct rs_address client; /* whose places it takes: of IPv6 the first 64 bits; zero for unix sockets */
    bool counted;             /* takes a worker's place (pool.c) */
    bool queue_over;          /* waited for a worker for too long */

    /* The request's body. */
    bool body_done;
    bool body_broken;  /* its end cannot be found any more */
    bool continue_due; /* the client waits for 100 Continue */
    bool low_water;    /* SO_RCVLOWAT is raised */
    bool muted;        /* the lane gets no events of it */
    uint64_t received; /* bytes of the body, from the socket */
    int64_t body_left; /* of a Content-Length */
    struct rs_chunk chunk;

    /* The reply. */
    bool keep_alive;
    char *head;
    size_t head_len, head_sent;
    uint64_t sent;        /* of the body */
    bool corked;          /* partial segments wait for the next piece */
    uint64_t resident_to; /* up to this offset the body's file is in the page cache */

    /* The minimum rate: bytes since the window began. */
    int64_t window_ms;
    uint64_t window_bytes;
    uint64_t window_unread; /* what the socket held of the reply then */
};

struct rs_conn {
    enum rs_poll_kind kind;
    int fd;
    _Atomic int owner;
    enum rs_phase phase;
    bool drained; /* the socket had no more bytes when it was last read */
    bool unsure;  /* the peer may have sent its last byte: a short read does not prove that there is nothing more */
    struct rs_lane *lane;
    struct rs_http_server *server;
    struct rs_worker *worker; /* the thread that owns it now */

    struct rs_conn *prev, *next; /* the lane's queue of looks */
    struct rs_conn *link;        /* mailbox, ready list or waiting list */
    int64_t look_ms;
    int64_t deadline_ms;   /* of the phases HEAD and LINGER */
    int64_t head_start_ms; /* 0: no byte of a head is there */
    int64_t queued_ms;

    rs_str in;            /* received and not yet used: in the thread's buffer or in `saved` */
    struct rs_buf saved;  /* the same while parked */
    size_t scanned;       /* rs_head_end's position in it */
    size_t lingered;      /* bytes thrown away */
    unsigned empty_lines; /* before the request line */

    struct rs_exchange *ex;
    struct rs_address peer; /* zero for unix sockets */
    bool is_proxy;          /* one that is trusted: it tells whose each request is */
    char remote[56];
};

/* Takes an accepted socket. */
struct rs_conn *rs_conn_new(struct rs_http_server *server, struct rs_lane *lane, int fd);
/* Serves it until it waits for something; the calling thread owns it. True: it has had a fair share of the thread and
 * could go on: whoever holds its lane calls again when others had their turn (rs_lane_resume). */
bool rs_conn_run(struct rs_worker *worker, struct rs_conn *conn);
/* A look at a parked connection by its lane's thread, which owns it now: true if its time is over. */
bool rs_conn_overdue(struct rs_conn *conn, int64_t now_ms);
/* Ends one that is overdue: a late head is answered with 408, the rest is closed. Like rs_conn_run. */
bool rs_conn_end(struct rs_worker *worker, struct rs_conn *conn);
/* Hands it to its lane. False: something has happened meanwhile, and the thread still owns it. */
bool rs_conn_park(struct rs_conn *conn);
/* The calling thread owns it; the memory is freed later, by the lane. */
void rs_conn_close(struct rs_conn *conn);
/* What is left of `in` goes into `saved`, so that another thread can go on. */
void rs_conn_save(struct rs_conn *conn);

/* The request's body (body.c): what the handler left of it. Returns whether the next request can follow. Waits for a
 * short rest when the request has a worker's place. */
bool rs_body_finish(struct rs_conn *conn);
void rs_body_begin(struct rs_conn *conn);

/* The reply (send.c). */
enum rs_sent { RS_SENT_ALL, RS_SENT_WAIT, RS_SENT_SHARE, RS_SENT_BLOCK, RS_SENT_BROKEN };
void rs_send_begin(struct rs_conn *conn);
/* Sends what the socket takes, at most one fair share when `lane`. BLOCK: the next bytes must come from the disk, which
 * only a worker may wait for. */
enum rs_sent rs_send_step(struct rs_conn *conn, bool lane);
/* Writes all bytes, waiting for the socket; for interim answers. */
rs_rc rs_send_now(struct rs_conn *conn, rs_str bytes, struct rs_err *err);

/* The minimum rate. True when the window is over and fewer bytes than demanded have moved. */
bool rs_rate_too_slow(struct rs_conn *conn, int64_t now_ms);
