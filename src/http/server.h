/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server: listeners, lanes that park connections, elastic workers. Knows nothing of images. How it works and
 * why stands in server.c ("LANES"); the figures behind it in docs/ENGINE.md.
 */
#pragma once

#include "base/err.h"
#include "http/request.h"

/* How a route may be served. */
enum rs_route_kind {
    RS_ROUTE_SHORT,    /* in place, on the lane's thread: no waiting */
    RS_ROUTE_BLOCKING, /* by a worker: may wait for disk or network */
    RS_ROUTE_BODY,     /* by a worker that receives a body: their number is limited, in all and per address */
};

typedef rs_rc rs_handler(struct rs_request *req, void *ctx, struct rs_err *err);

/* Patterns are paths whose segments may be "*" (one segment, not empty) or "**" (one or more; at most once); what
 * they match goes to req->captures. The first route whose pattern and method fit is taken; a path that fits only with
 * other methods gives RS_E_METHOD_NOT_ALLOWED with Allow; OPTIONS is answered with 200 and Allow on every path. */
struct rs_route {
    const char *pattern;
    unsigned methods; /* bits: 1u << RS_METHOD_GET … */
    enum rs_route_kind kind;
    rs_handler *handler;
    const char *name; /* for metrics: what several routes of one resource share. NULL: none */
};

struct rs_http_config {
    const struct rs_route *routes;
    size_t route_count;
    void *ctx; /* for handlers and callbacks */

    /* When req->route is known, before the request waits for a worker or runs: an error is the answer then. May be
     * NULL. On the lane's thread: no waiting. */
    rs_rc (*on_route)(struct rs_request *req, void *ctx, struct rs_err *err);
    /* Makes the reply of an error (of a handler, of the router, of the parser). req->path may be empty. */
    void (*on_error)(struct rs_request *req, void *ctx, rs_rc rc, const struct rs_err *err);
    /* After the reply is sent or given up: `sent` body bytes, from the head's arrival to the last byte. May be NULL. */
    void (*on_done)(const struct rs_request *req, void *ctx, uint64_t sent, int64_t us, bool complete);
    /* Adds headers to every reply. May be NULL. */
    void (*on_reply)(struct rs_request *req, void *ctx);

    /* Whose X-Forwarded-For and Forwarded are believed: addresses, networks, and "unix". Read by rs_http_server_new. */
    const char *const *trusted_proxies;
    size_t trusted_proxy_count;

    unsigned lanes;            /* 0: one a core */
    unsigned max_connections;  /* lowered by rs_http_start to what RLIMIT_NOFILE allows */
    unsigned max_workers;      /* requests that are served by workers at the same time */
    unsigned reserved_workers; /* of these, kept for requests without a body */
    unsigned max_body_workers_per_address;
    size_t max_head;   /* bytes of a request's head; 431 beyond */
    int64_t head_ms;   /* from a head's first byte to its last */
    int64_t idle_ms;   /* between two requests */
    int64_t queue_ms;  /* waiting for a worker; then 503 */
    uint64_t min_rate; /* bytes/s that a body must make in each direction, averaged over rate_ms; 0: none */
    int64_t rate_ms;
    int64_t drain_ms; /* rs_http_stop: how long running requests may take; 0: no limit */
};

/* The defaults of every limit above; no routes, no callbacks. */
void rs_http_config_defaults(struct rs_http_config *config);

struct rs_http_server;

/* config is copied, its routes and ctx are borrowed. */
rs_rc rs_http_server_new(const struct rs_http_config *config, struct rs_http_server **out, struct rs_err *err);
/* net: "tcp" or "unix". address: "host:port", ":port" (IPv6 and IPv4), "[::1]:port", or a path. A stale unix socket is
 * replaced, one that answers is not. Before rs_http_start. */
rs_rc rs_http_listen(struct rs_http_server *server, const char *net, const char *address, struct rs_err *err);
/* Takes a listening socket (systemd's LISTEN_FDS). */
rs_rc rs_http_listen_fd(struct rs_http_server *server, int fd, struct rs_err *err);
/* The addresses that it listens on, port resolved ("127.0.0.1:5000"), for logs and tests; index from 0, NULL ends. */
const char *rs_http_address(const struct rs_http_server *server, size_t index);

rs_rc rs_http_start(struct rs_http_server *server, struct rs_err *err);
/* Closes listeners and idle connections and waits for running requests, at most drain_ms; calls it from one thread. */
void rs_http_drain(struct rs_http_server *server);
/* From another thread or a signal-handling one: ends a drain at once. */
void rs_http_abort(struct rs_http_server *server);
/* After the drain. False: a thread hangs in a handler (in the disk, mostly); what it uses must stay as it is, and the
 * process should end. */
bool rs_http_server_free(struct rs_http_server **server);

struct rs_http_stats {
    unsigned connections;
    unsigned parked; /* of these, by no thread */
    unsigned max_connections;
    unsigned max_workers;
    uint64_t accepted;
    unsigned workers;
    unsigned threads;
    unsigned waiting; /* requests that wait for a worker */
    uint64_t requests;
};
void rs_http_stats(struct rs_http_server *server, struct rs_http_stats *out);
