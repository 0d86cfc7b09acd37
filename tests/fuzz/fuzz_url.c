/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, authorities, queries and ranges. The input's first line is the target, the rest a Range value. */
#include "http/request.h"
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void range(struct rs_request *req, rs_str value)
{
    struct rs_err err;
    struct rs_header header = {RS_STR("Range"), value};
    req->method = RS_METHOD_GET;
    req->headers = &header;
    req->header_count = 1;
    req->reply.status = 200;
    rs_rc rc = rs_reply_range(req, rs_source_memory(RS_STR("0123456789"), NULL, NULL), RS_STR("\"e\""), &err);
    RS_ASSERT(rc == RS_OK || rc == RS_E_RANGE_INVALID);
    RS_ASSERT(req->reply.body.length <= 10);
    rs_source_release(&req->reply.body);
}

/* The head's parser lets nothing else through to here. */
static bool is_target(rs_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || s.ptr[i] == '#')
            return false;
    return s.len > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rs_err err;
    struct rs_request req = {.arena = rs_arena_new()};
    rs_str rest, value, all = {(const char *)data, size};
    rs_str_cut(all, '\n', &req.target, &rest);
    rs_uri_authority_valid(req.target);
    if (is_target(req.target) && rs_uri_parse(&req, &err) == RS_OK) {
        RS_ASSERT(req.path.len > 0 && memchr(req.path.ptr, '\0', req.path.len) == NULL);
        rs_request_query(&req, RS_STR("n"), &value);
    }
    range(&req, rest);
    rs_arena_free(&req.arena);
    return 0;
}
