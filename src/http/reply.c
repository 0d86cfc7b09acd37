/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a reply, and reading a request's fields: no I/O. */
#include <stdarg.h>

#include "http/request.h"
#include "http/uri.h"

bool rs_request_header(const struct rs_request *req, rs_str name, rs_str *out_value)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (req->headers[i].name.len == name.len && rs_str_eq_nocase(req->headers[i].name, name)) {
            *out_value = req->headers[i].value;
            return true;
        }
    }
    return false;
}

bool rs_request_list(const struct rs_request *req, rs_str name, rs_str *out_value)
{
    rs_str list = {0};
    size_t count = 0;
    for (size_t i = 0; i < req->header_count; i++) {
        const struct rs_header *h = &req->headers[i];
        if (h->name.len != name.len || !rs_str_eq_nocase(h->name, name))
            continue;
        list = count++ == 0
                   ? h->value
                   : rs_arena_printf(req->arena, RS_STR_FMT ", " RS_STR_FMT, RS_STR_ARG(list), RS_STR_ARG(h->value));
    }
    *out_value = list;
    return count > 0;
}

bool rs_request_query_next(struct rs_request *req, rs_str name, rs_str *rest, rs_str *out_value)
{
    rs_str pair, key, value;
    while (rest->len > 0) {
        rs_str_cut(*rest, '&', &pair, rest);
        rs_str_cut(pair, '=', &key, &value);
        if (!rs_uri_decode(req->arena, key, true, &key) || !rs_str_eq(key, name))
            continue;
        if (!rs_uri_decode(req->arena, value, true, out_value))
            *out_value = value;
        return true;
    }
    return false;
}

bool rs_request_query(struct rs_request *req, rs_str name, rs_str *out_value)
{
    rs_str pair, rest = req->query, key, value;
    bool more = req->query.len > 0;
    while (more) {
        more = rs_str_cut(rest, '&', &pair, &rest);
        rs_str_cut(pair, '=', &key, &value);
        if (rs_uri_decode(req->arena, key, true, &key) && rs_str_eq(key, name))
            return rs_uri_decode(req->arena, value, true, out_value);
    }
    return false;
}

/* A value that could end the line would let whoever chose it write headers of his own. */
static void assert_clean(rs_str value)
{
    for (size_t i = 0; i < value.len; i++)
        RS_ASSERT((unsigned char)value.ptr[i] >= 0x20 || value.ptr[i] == '\t');
}

/* Takes a value that lives in the arena already. */
static void add_header(struct rs_request *req, const char *name, rs_str value)
{
    struct rs_reply *reply = &req->reply;
    assert_clean(value);
    if (reply->header_count == reply->header_cap) {
        reply->header_cap = RS_MAX(16, reply->header_cap * 2);
        struct rs_header *grown = rs_arena_alloc(req->arena, reply->header_cap * sizeof *grown);
        if (reply->header_count > 0)
            memcpy(grown, reply->headers, reply->header_count * sizeof *grown);
        reply->headers = grown;
    }
    reply->headers[reply->header_count++] = (struct rs_header){rs_str_c(name), value};
}

/* The same; replaces. */
static void put_header(struct rs_request *req, const char *name, rs_str value)
{
    struct rs_reply *reply = &req->reply;
    for (size_t i = 0; i < reply->header_count; i++) {
        if (rs_str_eq_nocase(reply->headers[i].name, rs_str_c(name))) {
            assert_clean(value);
            reply->headers[i].value = value;
            return;
        }
    }
    add_header(req, name, value);
}

void rs_reply_header(struct rs_request *req, const char *name, rs_str value)
{
    put_header(req, name, rs_arena_copy(req->arena, value));
}

void rs_reply_header_add(struct rs_request *req, const char *name, rs_str value)
{
    add_header(req, name, rs_arena_copy(req->arena, value));
}

void rs_reply_header_c(struct rs_request *req, const char *name, const char *value)
{
    rs_reply_header(req, name, rs_str_c(value));
}

void rs_reply_headerf(struct rs_request *req, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rs_str value = rs_arena_vprintf(req->arena, fmt, ap);
    va_end(ap);
    put_header(req, name, value);
}

void rs_reply_body(struct rs_request *req, struct rs_source body)
{
    rs_source_release(&req->reply.body);
    req->reply.body = body;
}

void rs_reply_text(struct rs_request *req, const char *content_type, rs_str text)
{
    rs_reply_header_c(req, "Content-Type", content_type);
    rs_reply_body(req, rs_source_memory(rs_arena_copy(req->arena, text), NULL, NULL));
}

void rs_reply_reset(struct rs_request *req)
{
    rs_source_release(&req->reply.body);
    req->reply.header_count = 0;
    req->reply.status = 200;
}

enum range { RANGE_WHOLE, RANGE_PART, RANGE_OUTSIDE };

/* A number of any length (RFC 9110 14.1.1); what no file can have is as good as any other. */
static bool range_number(rs_str text, uint64_t *out)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    if (!rs_str_u64(text, INT64_MAX, out))
        *out = INT64_MAX;
    return text.len > 0;
}

/* One byte range of a representation of `length` bytes (RFC 9110 14.1.2). What is broken, of another unit, or more than
 * one range is answered with the whole, as section 14.2 allows. */
static enum range parse_range(rs_str value, uint64_t length, uint64_t *out_from, uint64_t *out_len)
{
    rs_str first, last;
    uint64_t from = 0, to = 0;
    if (!rs_str_eq_nocase(rs_str_sub(value, 0, 6), RS_STR("bytes=")))
        return RANGE_WHOLE;
    if (!rs_str_cut(rs_str_trim(rs_str_from(value, 6)), '-', &first, &last))
        return RANGE_WHOLE;
    first = rs_str_trim(first);
    last = rs_str_trim(last);
    if (first.len == 0) { /* the last N bytes */
        if (!range_number(last, &to))
            return RANGE_WHOLE;
        if (to == 0 || length == 0)
            return RANGE_OUTSIDE;
        *out_len = RS_MIN(to, length);
        *out_from = length - *out_len;
        return RANGE_PART;
    }
    if (!range_number(first, &from))
        return RANGE_WHOLE;
    if (last.len > 0 && (!range_number(last, &to) || to < from))
        return RANGE_WHOLE;
    if (from >= length)
        return RANGE_OUTSIDE;
    *out_from = from;
    *out_len = (last.len == 0 ? length - 1 : RS_MIN(to, length - 1)) - from + 1;
    return RANGE_PART;
}

rs_rc rs_reply_range(struct rs_request *req, struct rs_source body, rs_str etag, struct rs_err *err)
{
    rs_str range, validator;
    uint64_t from = 0, len = 0, length = body.length;
    rs_reply_body(req, body);
    rs_reply_header(req, "Accept-Ranges", RS_STR("bytes"));
    /* Range is defined for GET alone (RFC 9110 14.2). */
    if (req->method != RS_METHOD_GET || !rs_request_header(req, RS_STR("Range"), &range))
        return RS_OK;
    if (rs_request_header(req, RS_STR("If-Range"), &validator) && !rs_str_eq(validator, etag))
        return RS_OK;
    switch (parse_range(range, length, &from, &len)) {
    case RANGE_WHOLE:
        break;
    case RANGE_OUTSIDE:
        rs_reply_body(req, (struct rs_source){0});
        rs_reply_headerf(req, "Content-Range", "bytes */%llu", (unsigned long long)length);
        return rs_err_set(err, RS_E_RANGE_INVALID, "the range lies outside of the %llu bytes there are",
                          (unsigned long long)length);
    case RANGE_PART:
        rs_source_narrow(&req->reply.body, from, len);
        req->reply.status = 206;
        rs_reply_headerf(req, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)from,
                         (unsigned long long)(from + len - 1), (unsigned long long)length);
        break;
    }
    return RS_OK;
}
