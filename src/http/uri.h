/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets (RFC 9112 3.2, RFC 3986). Pure; any thread. */
#pragma once

#include "http/request.h"

/* Splits req->target into path and query; the path is percent-decoded once. Sets req->host from an absolute target.
 * RS_E_BAD_REQUEST: broken escapes, an escaped NUL, a form that does not fit the method. */
rs_rc rs_uri_parse(struct rs_request *req, struct rs_err *err);

/* host [":" port], without user information; the host may be empty (RFC 9110 7.2). */
bool rs_uri_authority_valid(rs_str authority);

/* Decodes %XX; '+' is a space when `plus` is set. False for a broken escape or a NUL. Without anything to decode the
 * result borrows s. */
bool rs_uri_decode(struct rs_arena *arena, rs_str s, bool plus, rs_str *out);
