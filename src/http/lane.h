/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http: the server, its lanes and its threads. See "LANES" in server.c. */
#pragma once

#include "base/lock.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/router.h"

#define RS_LANE_BATCH 64
#define RS_LISTENERS_MAX 32
#define RS_HEAD_BUFFER (16 * 1024)

struct rs_lane {
    enum rs_poll_kind kind; /* RS_POLL_WAKE: the eventfd's event points to the lane */
    struct rs_http_server *server;
    int epoll;
    int wake;
    /* Odd while the holder serves a connection; whoever makes it even again by compare-and-swap has the lane. */
    _Atomic uint64_t serving;
    uint64_t monitor_seen; /* the monitor's */
    unsigned monitor_ticks;

    /* The holder's: */
    struct epoll_event batch[RS_LANE_BATCH];
    int batch_count, batch_next;
    struct rs_conn *first, *last;       /* queue of looks, soonest first */
    struct rs_conn *ready, **ready_end; /* have more to send */
    bool listening;
    bool swept; /* idle connections are closed, since the server drains */
    bool aborted;

    struct rs_mutex lock;    /* the mailbox: */
    struct rs_conn *arrived; /* accepted for this lane by another one */
    struct rs_conn *resumed; /* could go on, and a worker has given them back */
    struct rs_conn *dead;    /* closed, to be freed between two batches */

    atomic_uint connections;
    atomic_bool deaf;  /* has taken the listeners out of its epoll set */
    atomic_bool ended; /* no connection is left, the server drains */
};

struct rs_worker {
    struct rs_http_server *server;
    struct rs_lane *lane;   /* held */
    uint64_t serving;       /* what the lane's field was set to */
    struct rs_arena *arena; /* for the next exchange */
    char *head_buffer;
    void *io_buffer;
    /* While spare: */
    pthread_cond_t cond;
    struct rs_worker *next;
    struct rs_lane *job_lane;
    struct rs_conn *job_conn;
    bool woken;
};

struct rs_listener {
    enum rs_poll_kind kind;
    int fd;
    char address[128];
    char *unlink; /* path of a unix socket to remove at the end */
};

struct rs_http_server {
    struct rs_http_config config;
    struct rs_proxies proxies;
    struct rs_router *router;
    struct rs_listener listeners[RS_LISTENERS_MAX];
    size_t listener_count;
    struct rs_lane *lanes;
    unsigned lane_count;
    int64_t look_ms;        /* how often each parked connection is looked at */
    _Atomic int reserve_fd; /* given up to accept and refuse when descriptors run out */

    atomic_bool draining;
    atomic_bool aborting;
    atomic_bool stopping;
    atomic_uint connections;
    atomic_uint threads;
    unsigned max_threads; /* whatever the disk does */
    atomic_ullong requests;
    atomic_ullong accepted;

    struct rs_mutex places; /* SERVER: */
    unsigned workers, body_workers;
    struct rs_conn *waiting, *waiting_last;
    unsigned waiting_count;
    struct rs_address_count {
        uint8_t address[16];
        unsigned count;
    } * addresses; /* of body workers; open addressing */
    size_t address_slots;

    struct rs_mutex pool; /* POOL: */
    struct rs_worker *spare;
    unsigned spare_count;
    struct rs_lane *orphan_lanes[64]; /* no thread could be started for them */
    unsigned orphan_count;
    struct rs_conn *orphan_conns, **orphan_end;
    pthread_t monitor;
    bool monitor_runs;
};

/* pool.c: threads. */
rs_rc rs_pool_start(struct rs_http_server *server, struct rs_err *err);
void rs_pool_stop(struct rs_http_server *server); /* spare threads and the monitor end */
void rs_pool_give_lane(struct rs_http_server *server, struct rs_lane *lane);
void rs_pool_give_conn(struct rs_http_server *server, struct rs_conn *conn);
/* The same, when a thread becomes spare or can be started again. */
void rs_pool_defer_conn(struct rs_http_server *server, struct rs_conn *conn);
/* The lane's holder begins and ends serving one event. False: the lane was taken meanwhile. */
void rs_serving_begin(struct rs_worker *worker);
bool rs_serving_end(struct rs_worker *worker);
/* Gives the lane, if this thread still has it, to another thread. False: there is none, and it still has it; whoever
 * blocks now holds up all connections of the lane. */
bool rs_worker_block(struct rs_worker *worker);

/* places.c: how many requests may be served by workers. */
/* Takes a place; false: the connection has been queued (or refused: ex->queue_over) and belongs to the queue. */
bool rs_places_enter(struct rs_conn *conn);
/* Gives it back, and sets the next one going. */
void rs_places_leave(struct rs_conn *conn);
/* Ends waiting that took too long. Called by the monitor. */
void rs_places_expire(struct rs_http_server *server, int64_t now_ms);

/* lane.c */
rs_rc rs_lane_init(struct rs_lane *lane, struct rs_http_server *server, struct rs_err *err);
void rs_lane_release(struct rs_lane *lane);
/* Holds the lane until it is taken or ends. */
void rs_lane_run(struct rs_worker *worker, struct rs_lane *lane);
void rs_lane_wake(struct rs_lane *lane);
/* Hands a connection that the calling thread owns, and that could go on at once, to its lane. */
void rs_lane_resume(struct rs_conn *conn);
/* No lane accepts connections any more (server.c). */
bool rs_lanes_deaf(const struct rs_http_server *server);

/* listen.c */
void rs_listen_accept(struct rs_worker *worker, struct rs_lane *lane, struct rs_listener *listener);
