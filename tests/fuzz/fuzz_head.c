/* SPDX-License-Identifier: Apache-2.0 */
/* A request's head, found in pieces and parsed; what is accepted must be unambiguous. */
#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct rs_request *req)
{
    RS_ASSERT(req->path.len > 0);
    RS_ASSERT(memchr(req->path.ptr, '\0', req->path.len) == NULL);
    RS_ASSERT(req->has_body || req->content_length == 0);
    for (size_t i = 0; i < req->header_count; i++) {
        RS_ASSERT(rs_is_token(req->headers[i].name));
        rs_str value = req->headers[i].value;
        for (size_t k = 0; k < value.len; k++)
            RS_ASSERT((unsigned char)value.ptr[k] >= 0x20 || value.ptr[k] == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    size_t whole = 0, pieces = 0;
    long end = rs_head_end(bytes, size, &whole);
    long later = 0;
    for (size_t n = size > 64 ? size - 64 : 0; n <= size && later == 0; n++)
        later = rs_head_end(bytes, n, &pieces);
    RS_ASSERT(later == end);
    if (end <= 2)
        return 0;
    struct rs_request req = {.arena = rs_arena_new()};
    struct rs_framing framing;
    struct rs_err err;
    /* A copy of the exact length: reading past its end is seen. */
    char *head = rs_malloc((size_t)end);
    memcpy(head, bytes, (size_t)end);
    if (rs_head_parse((rs_str){head, (size_t)end}, &req, &framing, &err) == RS_OK)
        check_accepted(&req);
    rs_arena_free(&req.arena);
    free(head);
    return 0;
}
