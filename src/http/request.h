/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request and its reply, as a handler sees them. A handler runs on one thread from top to bottom, reads the body if
 * it wants it, fills the reply and returns; it never touches the socket. Everything borrowed from the request lives in
 * its arena until the reply is sent.
 */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/source.h"
#include "base/str.h"

enum rs_method {
    RS_METHOD_GET,
    RS_METHOD_HEAD,
    RS_METHOD_POST,
    RS_METHOD_PUT,
    RS_METHOD_PATCH,
    RS_METHOD_DELETE,
    RS_METHOD_OPTIONS,
    RS_METHOD_OTHER,
};

#define RS_CAPTURES_MAX 4

struct rs_route; /* http/server.h */

struct rs_header {
    rs_str name;
    rs_str value; /* without white space at its ends */
};

struct rs_reply {
    int status;                /* 200 unless the handler says otherwise */
    struct rs_header *headers; /* in the order they were added */
    size_t header_count;
    size_t header_cap;
    struct rs_source body; /* to a HEAD its length is told and nothing is sent */
    bool close;            /* end the connection after this reply */
};

struct rs_request {
    enum rs_method method;
    rs_str method_name;
    rs_str target; /* as it came */
    rs_str path;   /* percent-decoded once; holds no NUL */
    rs_str query;  /* as it came, without '?' */
    int minor;     /* HTTP/1.minor */
    rs_str host;   /* the Host field, or the authority of an absolute target; empty for HTTP/1.0 without one */
    const struct rs_header *headers;
    size_t header_count;

    bool has_body;          /* a body is announced (it may be empty) */
    int64_t content_length; /* -1: chunked */

    const struct rs_route *route;     /* that fits; NULL: none does, or it was no request */
    rs_str captures[RS_CAPTURES_MAX]; /* what the route's wildcards matched, in order */
    struct rs_arena *arena;
    rs_str id;   /* of this request, for logs and the header X-Request-Id */
    rs_str peer; /* who has connected: "127.0.0.1:3456", "[::1]:3456", or "unix" */
    /* The client: the peer; or, where that is a trusted proxy, the address that it tells, without a port: "192.0.2.1",
     * "2001:db8::1". */
    rs_str remote;

    uint64_t received; /* bytes of it so far: the head, and what was read of the body */

    struct rs_reply reply;

    /* For the access log; handlers set them as soon as they know them. */
    rs_str log_repository;
    rs_str log_digest;
    rs_str log_error; /* the detail of an error reply */

    struct rs_conn *conn; /* the server's */
};

/* The value of the first field of that name (case ignored); false if there is none. */
bool rs_request_header(const struct rs_request *req, rs_str name, rs_str *out_value);

/* The values of all fields of that name as one list, joined by ", " (RFC 9110 5.3). False if there is none. */
bool rs_request_list(const struct rs_request *req, rs_str name, rs_str *out_value);

/* The value of a query parameter, decoded ('+' is a space) into the arena; false if there is none, or if its
 * encoding is broken. */
bool rs_request_query(struct rs_request *req, rs_str name, rs_str *out_value);

/* The values of a parameter that may come several times, one a call: *rest is req->query at first. A value with a
 * broken encoding is given as it came. False: there is no further one. */
bool rs_request_query_next(struct rs_request *req, rs_str name, rs_str *rest, rs_str *out_value);

/* Tells the server that what follows may block (disk, network, hashing): the lane goes to another thread and this one
 * goes on as a worker. Routes that declare RS_ROUTE_BODY or RS_ROUTE_BLOCKING are workers from the start. */
void rs_request_block(struct rs_request *req);

/* Reads the next part of the body, at least one byte unless it ends; *out_n == 0 is the end. Sends "100 Continue"
 * first when the client waits for it. Errors: RS_E_CLOSED (the peer went away), RS_E_REQUEST_TIMEOUT (slower than the
 * minimum rate), RS_E_BAD_REQUEST (broken chunks). Blocks; for workers. */
rs_rc rs_request_read(struct rs_request *req, void *buf, size_t cap, size_t *out_n, struct rs_err *err);

/* A buffer of RS_IO_BUFFER bytes that belongs to this thread, for reading a body. */
#define RS_IO_BUFFER (256 * 1024)
void *rs_request_io_buffer(struct rs_request *req);

/* Fills the reply. Values are copied into the arena; control characters in them are a programming error. A field of
 * that name that is there is replaced; rs_reply_header_add adds one more line. */
void rs_reply_header(struct rs_request *req, const char *name, rs_str value);
void rs_reply_header_c(struct rs_request *req, const char *name, const char *value);
void rs_reply_headerf(struct rs_request *req, const char *name, const char *fmt, ...) RS_PRINTF(3, 4);
void rs_reply_header_add(struct rs_request *req, const char *name, rs_str value);
void rs_reply_body(struct rs_request *req, struct rs_source body); /* takes it; replaces one that was there */
void rs_reply_text(struct rs_request *req, const char *content_type, rs_str text); /* copied into the arena */
/* Drops what the handler has put into the reply so far (before an error is rendered). */
void rs_reply_reset(struct rs_request *req);

/* Answers a GET or HEAD of `body` with Range and If-Range (RFC 9110 13.1.5 and 14): one range gives 206, one that lies
 * outside gives RS_E_RANGE_INVALID with Content-Range set, several or a broken one give the whole. etag: with quotes.
 * Takes body, also on error. Sets Accept-Ranges. */
rs_rc rs_reply_range(struct rs_request *req, struct rs_source body, rs_str etag, struct rs_err *err);
