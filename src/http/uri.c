/* SPDX-License-Identifier: Apache-2.0 */
#include "http/uri.h"

#define HOST_MAX 255 /* bytes of a name (RFC 1035 2.3.4) */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One character of s at *i, decoded, or -1. */
static int decode_one(rs_str s, size_t *i, bool plus)
{
    char c = s.ptr[*i];
    if (c != '%') {
        *i += 1;
        return c == '+' && plus ? ' ' : (unsigned char)c;
    }
    if (s.len - *i < 3)
        return -1;
    int high = hex_digit(s.ptr[*i + 1]);
    int low = hex_digit(s.ptr[*i + 2]);
    *i += 3;
    if (high < 0 || low < 0 || (high == 0 && low == 0))
        return -1;
    return high * 16 + low;
}

bool rs_uri_decode(struct rs_arena *arena, rs_str s, bool plus, rs_str *out)
{
    bool plain = s.len == 0 || memchr(s.ptr, '%', s.len) == NULL;
    if (plain && (!plus || s.len == 0 || memchr(s.ptr, '+', s.len) == NULL)) {
        *out = s;
        return true;
    }
    char *decoded = rs_arena_alloc(arena, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        int c = decode_one(s, &i, plus);
        if (c < 0)
            return false;
        decoded[n++] = (char)c;
    }
    decoded[n] = '\0';
    *out = (rs_str){decoded, n};
    return true;
}

static bool all_digits(rs_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

static bool host_char(char c, bool literal)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr(literal ? ":." : "-._~!$&'()*+,;=%", c) != NULL;
}

bool rs_uri_authority_valid(rs_str authority)
{
    rs_str host = authority, port = {0};
    bool literal = authority.len > 0 && authority.ptr[0] == '[';
    size_t i;
    if (literal) { /* an IPv6 address in brackets */
        if (!rs_str_find(authority, ']', &i) || i < 2)
            return false;
        host = rs_str_sub(authority, 1, i - 1);
        port = rs_str_from(authority, i + 1);
        if (port.len > 0 && port.ptr[0] != ':')
            return false;
        port = rs_str_from(port, 1);
    } else {
        rs_str_cut(authority, ':', &host, &port);
    }
    for (i = 0; i < host.len; i++)
        if (!host_char(host.ptr[i], literal))
            return false;
    return host.len <= HOST_MAX && port.len <= 5 && all_digits(port);
}

/* absolute-form: "http://authority/path"; leaves path and query in *rest. */
static rs_rc take_authority(struct rs_request *req, rs_str *rest, struct rs_err *err)
{
    static const char scheme[] = "http://", secure[] = "https://";
    size_t skip = rs_str_eq_nocase(rs_str_sub(*rest, 0, sizeof scheme - 1), rs_str_c(scheme))   ? sizeof scheme - 1
                  : rs_str_eq_nocase(rs_str_sub(*rest, 0, sizeof secure - 1), rs_str_c(secure)) ? sizeof secure - 1
                                                                                                : 0;
    if (skip == 0)
        return rs_err_set(err, RS_E_BAD_REQUEST, "the request target is neither a path nor an http address");
    *rest = rs_str_from(*rest, skip);
    size_t end = 0;
    while (end < rest->len && rest->ptr[end] != '/' && rest->ptr[end] != '?')
        end++;
    req->host = rs_str_sub(*rest, 0, end);
    *rest = rs_str_from(*rest, end);
    if (req->host.len == 0 || !rs_uri_authority_valid(req->host))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the request target names no valid host");
    return RS_OK;
}

rs_rc rs_uri_parse(struct rs_request *req, struct rs_err *err)
{
    rs_str rest = req->target;
    if (req->method == RS_METHOD_OPTIONS && rs_str_eq_c(rest, "*")) {
        req->path = rest;
        return RS_OK;
    }
    if (rest.ptr[0] != '/')
        RS_TRY(take_authority(req, &rest, err));
    rs_str path;
    rs_str_cut(rest, '?', &path, &req->query);
    if (path.len == 0)
        path = RS_STR("/");
    if (!rs_uri_decode(req->arena, path, false, &req->path))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the path holds a broken percent escape, or one of NUL");
    return RS_OK;
}
