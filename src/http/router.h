/* SPDX-License-Identifier: Apache-2.0 */
/* From method and path to a route. Built once, then read by any thread. */
#pragma once

#include "http/server.h"

struct rs_router;

/* Borrows the routes. A malformed pattern is a programming error. */
struct rs_router *rs_router_new(const struct rs_route *routes, size_t count);
void rs_router_free(struct rs_router **router);

/* Finds the route and fills req->captures. RS_E_NOT_FOUND; RS_E_METHOD_NOT_ALLOWED, with *out_allowed the methods that
 * the path has. */
rs_rc rs_router_match(const struct rs_router *router, struct rs_request *req, const struct rs_route **out,
                      unsigned *out_allowed, struct rs_err *err);
