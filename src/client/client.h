/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP on libcurl: one blocking call a request. Connections are kept and used again. Any thread; the first
 * call readies libcurl. Proxies are those of the environment (http_proxy, https_proxy, no_proxy), certificates those of
 * the system, or of SSL_CERT_FILE and SSL_CERT_DIR.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/str.h"

struct rs_client_header {
    const char *name;
    const char *value;
};

/* Everything is borrowed for the call; what is not set is 0. Strings are checked here: they may come from anywhere. */
struct rs_client_request {
    const char *method; /* NULL: GET */
    const char *url;    /* http:// or https:// */
    const struct rs_client_header *headers;
    size_t header_count;
    rs_str body;
    int64_t timeout_ms; /* of the whole; 0: none */
    int64_t connect_ms; /* of name, connection and TLS handshake; 0: the whole's alone */
    size_t max_body;    /* bytes of the answer's body that are taken; 0: the body is of no interest */
    unsigned
        max_redirects; /* 0: a redirect is an answer. Else method and body are sent again, never from https to http */
    const _Atomic bool *cancel; /* true: gives up within about a second. May be NULL */
};

struct rs_client_response {
    int status;
    struct rs_buf body;
};

/* Any status is RS_OK. RS_E_INVALID: no such request can be made; RS_E_REMOTE: no answer (refused, unknown name, broken
 * TLS, cut off); RS_E_REMOTE_TIMEOUT; RS_E_TOO_BIG: the body is longer than max_body; RS_E_UNAVAILABLE: cancelled. The
 * text names scheme, host and port, never the rest of the address, which may hold secrets. *out is set only on RS_OK,
 * and released by the caller. */
rs_rc rs_client_do(const struct rs_client_request *request, struct rs_client_response *out, struct rs_err *err);
void rs_client_response_release(struct rs_client_response *response);

/* "https://host:port" of an address, as much as may be shown of it: without user, password, path and query. False, and
 * nothing added, if it is no address that rs_client_do takes. */
bool rs_client_origin(const char *url, struct rs_buf *out);
