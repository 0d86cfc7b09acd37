/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a client is sent. Behind a proxy the client's own scheme and host stand in Forwarded (RFC 7239), or in
 * X-Forwarded-Proto and X-Forwarded-Host; as with registry:2 the former counts more, and anybody may send them: they
 * shape the Location of the sender's own request, and nothing else is decided by them.
 */
#include "api/api_priv.h"

struct origin {
    rs_str scheme;
    rs_str host;
};

static bool is_scheme(rs_str s)
{
    return rs_str_eq_nocase(s, RS_STR("http")) || rs_str_eq_nocase(s, RS_STR("https"));
}

static bool is_host(rs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!name && strchr(".-_:[]", c) == NULL)
            return false;
    }
    return s.len > 0 && s.len <= 255;
}

/* Each proxy appends to these lists: the first entry is what the client said. */
static rs_str first_entry(const struct rs_request *req, rs_str name)
{
    rs_str value = {0}, rest;

    if (rs_request_header(req, name, &value))
        rs_str_cut(value, ',', &value, &rest);
    return rs_str_trim(value);
}

/* A parameter of a Forwarded entry: for=…;proto=https;host="…". Empty if it is not there. */
static rs_str parameter(rs_str entry, rs_str name)
{
    rs_str pair, key, value;

    while (entry.len > 0) {
        rs_str_cut(entry, ';', &pair, &entry);
        rs_str_cut(pair, '=', &key, &value);
        if (!rs_str_eq_nocase(rs_str_trim(key), name))
            continue;
        value = rs_str_trim(value);
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = rs_str_sub(value, 1, value.len - 2);
        return value;
    }
    return (rs_str){0};
}

static struct origin find_origin(const struct rs_request *req)
{
    struct origin origin = {RS_STR("http"), req->host};
    rs_str forwarded = first_entry(req, RS_STR("Forwarded"));
    rs_str scheme = parameter(forwarded, RS_STR("proto"));
    rs_str host = parameter(forwarded, RS_STR("host"));

    if (scheme.len == 0)
        scheme = first_entry(req, RS_STR("X-Forwarded-Proto"));
    if (host.len == 0)
        host = first_entry(req, RS_STR("X-Forwarded-Host"));
    if (is_scheme(scheme))
        origin.scheme = scheme;
    if (is_host(host))
        origin.host = host;
    return origin;
}

/* http.host is the whole beginning, and may hold a path: http.prefix is not added to it. */
rs_str rs_api_url(const struct rs_api *api, struct rs_request *req, rs_str path)
{
    const struct rs_config_http *http = &api->config->http;
    const struct origin origin = find_origin(req);

    if (http->host[0] != '\0')
        return rs_arena_printf(req->arena, "%s" RS_STR_FMT, http->host, RS_STR_ARG(path));
    if (http->relative_urls || origin.host.len == 0)
        return rs_arena_printf(req->arena, "%s" RS_STR_FMT, http->prefix, RS_STR_ARG(path));
    return rs_arena_printf(req->arena, RS_STR_FMT "://" RS_STR_FMT "%s" RS_STR_FMT, RS_STR_ARG(origin.scheme),
                           RS_STR_ARG(origin.host), http->prefix, RS_STR_ARG(path));
}

void rs_api_location(const struct rs_api *api, struct rs_request *req, rs_str path)
{
    rs_reply_header(req, "Location", rs_api_url(api, req, path));
}
