/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/api share: requests that come from no socket. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/api_priv.h"

/* A request for "path?query"; captures are the test's to set. */
static inline void request_init(struct rs_request *req, enum rs_method method, const char *method_name,
                                const char *target)
{
    *req = (struct rs_request){
        .method = method,
        .method_name = rs_str_c(method_name),
        .target = rs_str_c(target),
        .minor = 1,
        .host = RS_STR("reg.example:5000"),
        .content_length = 0,
        .arena = rs_arena_new(),
        .id = RS_STR("id-1"),
        .remote = RS_STR("192.0.2.7:4711"),
        .reply = {.status = 200},
    };
    rs_str_cut(req->target, '?', &req->path, &req->query);
}

static inline void request_release(struct rs_request *req)
{
    rs_reply_reset(req);
    rs_arena_free(&req->arena);
}

static inline void assert_str(rs_str is, const char *expected)
{
    char text[8192];

    assert_true(rs_str_copy_z(is, text, sizeof text));
    assert_string_equal(text, expected);
}

/* expected NULL: the reply has no such header. */
static inline void assert_header(const struct rs_request *req, const char *name, const char *expected)
{
    for (size_t i = 0; i < req->reply.header_count; i++) {
        if (!rs_str_eq_nocase(req->reply.headers[i].name, rs_str_c(name)))
            continue;
        assert_non_null(expected);
        assert_str(req->reply.headers[i].value, expected);
        return;
    }
    assert_null(expected);
}

static inline void assert_memory_body(const struct rs_request *req, const char *expected)
{
    assert_int_equal(req->reply.body.kind, RS_SOURCE_MEMORY);
    assert_str((rs_str){req->reply.body.memory, req->reply.body.length}, expected);
}
