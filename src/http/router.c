/* SPDX-License-Identifier: Apache-2.0 */
#include "http/router.h"

#define PATTERN_SEGMENTS 32 /* a configured prefix adds some */
#define PATH_SEGMENTS 160   /* a repository name of 255 bytes has at most 128 */

struct pattern {
    rs_str segments[PATTERN_SEGMENTS];
    size_t count;
    size_t rest; /* index of "**"; count if there is none */
};

struct rs_router {
    const struct rs_route *routes;
    size_t count;
    struct pattern patterns[];
};

/* Splits "/a/b" into "a", "b"; "/a/" into "a", "". Returns how many there are, or max + 1 when they do not fit. */
static size_t split(rs_str path, rs_str *segments, size_t max)
{
    size_t n = 0;
    rs_str rest = rs_str_from(path, 1);
    bool more = true;
    while (more) {
        if (n == max)
            return max + 1;
        more = rs_str_cut(rest, '/', &segments[n], &rest);
        n++;
    }
    return n;
}

struct rs_router *rs_router_new(const struct rs_route *routes, size_t count)
{
    struct rs_router *router = rs_calloc(1, sizeof *router + count * sizeof router->patterns[0]);
    router->routes = routes;
    router->count = count;
    for (size_t i = 0; i < count; i++) {
        struct pattern *p = &router->patterns[i];
        p->count = split(rs_str_c(routes[i].pattern), p->segments, PATTERN_SEGMENTS);
        RS_ASSERT(routes[i].pattern[0] == '/' && p->count <= PATTERN_SEGMENTS);
        for (p->rest = 0; p->rest < p->count && !rs_str_eq_c(p->segments[p->rest], "**"); p->rest++)
            continue;
    }
    return router;
}

void rs_router_free(struct rs_router **router)
{
    free(*router);
    *router = NULL;
}

static bool segment_fits(rs_str pattern, rs_str segment, rs_str *captures, size_t *n)
{
    if (!rs_str_eq_c(pattern, "*"))
        return rs_str_eq(pattern, segment);
    if (segment.len == 0)
        return false;
    RS_ASSERT(*n < RS_CAPTURES_MAX);
    captures[(*n)++] = segment;
    return true;
}

/* What "**" matches is the text from its first segment to its last. */
static bool fits(const struct pattern *p, const rs_str *path, size_t count, rs_str *captures)
{
    bool open = p->rest < p->count;
    size_t n = 0;
    if (open ? count < p->count : count != p->count)
        return false;
    for (size_t i = 0; i < p->rest; i++)
        if (!segment_fits(p->segments[i], path[i], captures, &n))
            return false;
    if (!open)
        return true;
    size_t tail = p->count - p->rest - 1;
    const rs_str *first = &path[p->rest], *last = &path[count - tail - 1];
    captures[n++] = (rs_str){first->ptr, (size_t)(last->ptr + last->len - first->ptr)};
    for (size_t i = 0; i < tail; i++)
        if (!segment_fits(p->segments[p->rest + 1 + i], path[count - tail + i], captures, &n))
            return false;
    return true;
}

rs_rc rs_router_match(const struct rs_router *router, struct rs_request *req, const struct rs_route **out,
                      unsigned *out_allowed, struct rs_err *err)
{
    rs_str segments[PATH_SEGMENTS], captures[RS_CAPTURES_MAX] = {0};
    size_t count = req->path.ptr[0] == '/' ? split(req->path, segments, PATH_SEGMENTS) : PATH_SEGMENTS + 1;
    unsigned allowed = 0;
    for (size_t i = 0; i < router->count && count <= PATH_SEGMENTS; i++) {
        if (!fits(&router->patterns[i], segments, count, captures))
            continue;
        allowed |= router->routes[i].methods;
        if (!(router->routes[i].methods & (1u << req->method)))
            continue;
        memcpy(req->captures, captures, sizeof captures);
        *out = &router->routes[i];
        return RS_OK;
    }
    *out_allowed = allowed;
    if (allowed == 0)
        return rs_err_set(err, RS_E_NOT_FOUND, "nothing is served at this path");
    return rs_err_set(err, RS_E_METHOD_NOT_ALLOWED, "this path does not support " RS_STR_FMT,
                      RS_STR_ARG(rs_str_sub(req->method_name, 0, 32)));
}
