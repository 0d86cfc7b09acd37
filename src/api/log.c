/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is logged of a request: one wide event with registry:2's field names, and a line in Apache's combined format for
 * programs that analyse such lines.
 */
#include "base/log.h"

#include "api/api_priv.h"
#include "base/clock.h"
#include "base/sink.h"

#define LINE_MAX_BYTES (32 * 1024)
#define TEXT_MAX 4096 /* of one value that the client chose */

/* A _state is as good as a key to its upload. */
void rs_access_uri(struct rs_buf *out, rs_str target)
{
    rs_str path, query, pair;
    bool more = rs_str_cut(target, '?', &path, &query);

    rs_buf_add(out, path);
    for (char sign = '?'; more; sign = '&') {
        more = rs_str_cut(query, '&', &pair, &query);
        rs_buf_add_char(out, sign);
        if (rs_str_starts(pair, RS_STR("_state=")))
            rs_buf_add_c(out, "_state=-");
        else
            rs_buf_add(out, pair);
    }
}

void rs_access_duration(struct rs_buf *out, int64_t us)
{
    if (us < 1000)
        rs_buf_printf(out, "%lldµs", (long long)us);
    else if (us < 1000 * 1000)
        rs_buf_printf(out, "%lld.%03lldms", (long long)(us / 1000), (long long)(us % 1000));
    else
        rs_buf_printf(out, "%lld.%03llds", (long long)(us / 1000000), (long long)(us / 1000 % 1000));
}

static rs_str header(const struct rs_request *req, rs_str name)
{
    rs_str value = {0};

    rs_request_header(req, name, &value);
    return rs_str_sub(value, 0, TEXT_MAX);
}

static rs_str reply_type(const struct rs_request *req)
{
    for (size_t i = 0; i < req->reply.header_count; i++)
        if (rs_str_eq(req->reply.headers[i].name, RS_STR("Content-Type")))
            return req->reply.headers[i].value;
    return (rs_str){0};
}

/* Asked every few seconds, whatever the answer: not worth a line each. The checks log what changes. */
static bool is_probe(const struct rs_request *req)
{
    return req->route != NULL && req->route->handler == rs_api_health;
}

/* What was wrong inside is an error of ours; what a client did wrong is not. */
static void log_event(const struct rs_request *req, uint64_t sent, int64_t us, bool complete)
{
    enum rs_log_level level = is_probe(req) ? RS_LOG_DEBUG : req->reply.status >= 500 ? RS_LOG_ERROR : RS_LOG_INFO;
    struct rs_buf uri, duration;

    if (!rs_log_enabled(level))
        return;
    rs_buf_init(&uri, TEXT_MAX);
    rs_buf_init(&duration, 32);
    rs_access_uri(&uri, rs_str_sub(req->target, 0, TEXT_MAX));
    rs_access_duration(&duration, us);
    const struct rs_log_field fields[] = {
        RS_LOG_STR("http.request.host", req->host),
        RS_LOG_STR("http.request.id", req->id),
        RS_LOG_STR("http.request.method", req->method_name),
        RS_LOG_STR("http.request.remoteaddr", req->remote),
        RS_LOG_STR("http.request.uri", rs_buf_str(&uri)),
        RS_LOG_STR("http.request.useragent", header(req, RS_STR("User-Agent"))),
        RS_LOG_STR("http.response.contenttype", reply_type(req)),
        RS_LOG_STR("http.response.duration", rs_buf_str(&duration)),
        RS_LOG_NUM("http.response.status", req->reply.status),
        RS_LOG_NUM("http.response.written", sent),
        RS_LOG_STR("vars.name", req->log_repository),
        RS_LOG_STR("vars.digest", req->log_digest),
        RS_LOG_STR("err.detail", req->log_error),
    };
    rs_log_event(level, complete ? "response completed" : "response interrupted", fields, RS_COUNT(fields));
    rs_buf_release(&uri);
    rs_buf_release(&duration);
}

/* As Apache does: quotes, backslashes and what is not printable ASCII as an escape. */
static void add_quoted(struct rs_buf *out, rs_str s)
{
    rs_buf_add_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            rs_buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            rs_buf_printf(out, "\\x%02x", c);
        else
            rs_buf_add_char(out, (char)c);
    }
    rs_buf_add_char(out, '"');
}

static void add_header(struct rs_buf *out, const struct rs_request *req, rs_str name)
{
    rs_str value = header(req, name);

    add_quoted(out, value.len > 0 ? value : RS_STR("-"));
}

/* "127.0.0.1:3456" without its port, "[::1]:3456" without brackets too. "2001:db8::1" has none. */
static rs_str remote_host(rs_str remote)
{
    size_t colon, first;

    if (!rs_str_rfind(remote, ':', &colon))
        return remote;
    if (remote.ptr[0] != '[' && rs_str_find(remote, ':', &first) && first != colon)
        return remote;
    remote = rs_str_sub(remote, 0, colon);
    if (remote.len > 2 && remote.ptr[0] == '[')
        remote = rs_str_sub(remote, 1, remote.len - 2);
    return remote;
}

static void add_request_line(struct rs_buf *out, const struct rs_request *req)
{
    rs_buf_add(out, req->method_name);
    rs_buf_add_char(out, ' ');
    rs_access_uri(out, rs_str_sub(req->target, 0, TEXT_MAX));
    rs_buf_printf(out, " HTTP/1.%d", req->minor);
}

void rs_access_combined(struct rs_buf *out, const struct rs_request *req, uint64_t sent, int64_t wall_s)
{
    char date[40];
    struct tm tm;
    time_t now = (time_t)wall_s;
    RS_AUTO(rs_buf_release) struct rs_buf line;

    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%d/%b/%Y:%H:%M:%S +0000", &tm);
    rs_buf_init(&line, LINE_MAX_BYTES);
    if (req->method_name.len > 0)
        add_request_line(&line, req);
    else
        rs_buf_add_char(&line, '-'); /* it was none that could be understood */
    rs_buf_add(out, remote_host(req->remote));
    rs_buf_printf(out, " - - [%s] ", date);
    add_quoted(out, rs_buf_str(&line));
    rs_buf_printf(out, " %d %llu ", req->reply.status, (unsigned long long)sent);
    add_header(out, req, RS_STR("Referer"));
    rs_buf_add_char(out, ' ');
    add_header(out, req, RS_STR("User-Agent"));
    rs_buf_add_char(out, '\n');
}

/* In the log: programs that analyse the combined format would not understand it. */
static void tell_dropped(void)
{
    uint64_t n = rs_sink_take_dropped(RS_SINK_ACCESS);

    if (n > 0)
        rs_log(RS_LOG_WARN, "%llu lines of the access log were dropped: the reader of standard output is too slow",
               (unsigned long long)n);
}

/* One write a line, so that lines of several threads do not mix. */
static void print_combined(const struct rs_request *req, uint64_t sent)
{
    RS_AUTO(rs_buf_release) struct rs_buf line;

    rs_buf_init(&line, LINE_MAX_BYTES);
    rs_access_combined(&line, req, sent, rs_wall_s());
    if (!line.overflow && rs_sink_write(RS_SINK_ACCESS, rs_buf_str(&line)))
        tell_dropped();
}

void rs_api_on_done(const struct rs_request *req, void *ctx, uint64_t sent, int64_t us, bool complete)
{
    const struct rs_api *api = ctx;
    enum rs_config_access access = api->config->log.access;

    if (access == RS_CONFIG_ACCESS_EVENT || access == RS_CONFIG_ACCESS_BOTH)
        log_event(req, sent, us, complete);
    if ((access == RS_CONFIG_ACCESS_COMBINED || access == RS_CONFIG_ACCESS_BOTH) && !is_probe(req))
        print_combined(req, sent);
}
