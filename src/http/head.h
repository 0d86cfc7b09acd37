/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of a request's head (RFC 9112 2-7, RFC 9110 5-7), strictly: what two readers could understand differently is
 * refused. Pure; any thread. */
#pragma once

#include "http/request.h"

#define RS_HEADERS_MAX 128 /* fields of a head */

/* Looks for the empty line that ends a head, from *pos (0 at first), which it moves on, so that a head that comes in
 * pieces is looked at once. Returns the head's length with that line, 0 when it is not there yet, -1 when a line ends
 * in a bare LF. */
long rs_head_end(const char *bytes, size_t len, size_t *pos);

/* What the head says about the connection and the body. */
struct rs_framing {
    bool keep_alive;
    bool expect_continue;
};

/* Parses a whole head (as rs_head_end measured it) into req; everything points into `head` and the arena of req.
 * RS_E_BAD_REQUEST, RS_E_HEAD_TOO_BIG (too many fields), RS_E_VERSION, RS_E_NOT_IMPLEMENTED (transfer coding),
 * RS_E_EXPECTATION_FAILED. */
rs_rc rs_head_parse(rs_str head, struct rs_request *req, struct rs_framing *out, struct rs_err *err);

/* A token of RFC 9110 5.6.2. */
bool rs_is_token(rs_str s);
