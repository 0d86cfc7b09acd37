/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/debug.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "upkeep/check.h"

#define CONNECTIONS 64
#define WORKERS 4
#define DRAIN_MS 1000
#define REPORT_BYTES (256 * 1024)
#define READ (1u << RS_METHOD_GET | 1u << RS_METHOD_HEAD)

struct rs_debug {
    struct rs_http_server *server;
    struct rs_http_server *main;
    struct rs_health *health;
    struct rs_registry *registry;
    const char *state_dir;
    struct rs_route routes[4];
    bool runs;
};

/* --- what it tells --- */

/* A collector of metrics: what the main server knows of itself. */
static void measure(void *ctx)
{
    const struct rs_debug *debug = ctx;
    struct rs_http_stats stats;

    rs_http_stats(debug->main, &stats);
    rs_metrics_set(RS_METRIC_HTTP_CONNECTIONS, RS_NO_LABELS, stats.connections);
    rs_metrics_set(RS_METRIC_HTTP_PARKED, RS_NO_LABELS, stats.parked);
    rs_metrics_set(RS_METRIC_HTTP_MAX_CONNECTIONS, RS_NO_LABELS, stats.max_connections);
    rs_metrics_set(RS_METRIC_HTTP_ACCEPTED, RS_NO_LABELS, stats.accepted);
    rs_metrics_set(RS_METRIC_HTTP_WORKERS, RS_NO_LABELS, stats.workers);
    rs_metrics_set(RS_METRIC_HTTP_MAX_WORKERS, RS_NO_LABELS, stats.max_workers);
    rs_metrics_set(RS_METRIC_HTTP_THREADS, RS_NO_LABELS, stats.threads);
    rs_metrics_set(RS_METRIC_HTTP_WAITING, RS_NO_LABELS, stats.waiting);
}

static rs_rc get_metrics(struct rs_request *req, void *ctx, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf text;

    (void)ctx;
    rs_buf_init(&text, RS_METRICS_BYTES_MAX);
    rs_metrics_write(&text);
    if (text.overflow)
        return rs_err_set(err, RS_E_INTERNAL, "the metrics are longer than %d bytes", RS_METRICS_BYTES_MAX);
    rs_reply_text(req, RS_METRICS_TYPE, rs_buf_str(&text));
    return RS_OK;
}

/* As registry:2: 200 and {}, or 503 and what fails. */
static rs_rc get_health(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct rs_debug *debug = ctx;
    RS_AUTO(rs_buf_release) struct rs_buf text;

    (void)err;
    rs_buf_init(&text, REPORT_BYTES);
    rs_health_report(debug->health, &text);
    req->reply.status = rs_str_eq(rs_buf_str(&text), RS_STR("{}")) ? 200 : 503;
    rs_reply_text(req, "application/json; charset=utf-8", rs_buf_str(&text));
    return RS_OK;
}

/* What the quotas hold: counts where that is not known, or was long ago. */
static rs_rc get_quotas(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct rs_debug *debug = ctx;
    RS_AUTO(rs_buf_release) struct rs_buf text;

    rs_buf_init(&text, REPORT_BYTES);
    RS_TRY(rs_quotas_write(debug->registry, &text, err));
    rs_reply_text(req, "application/json; charset=utf-8", rs_buf_str(&text));
    return RS_OK;
}

/* The report of the last check, however long. */
static rs_rc get_check(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct rs_debug *debug = ctx;
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "%s/" RS_CHECK_REPORT, debug->state_dir);
    RS_AUTO(rs_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return rs_err_set(err, RS_E_NOT_FOUND, "no check has come to its end yet");
    rs_reply_header_c(req, "Content-Type", "application/json; charset=utf-8");
    rs_reply_body(req, rs_source_file(rs_fd_take(&fd), 0, (uint64_t)st.st_size));
    return RS_OK;
}

static void on_error(struct rs_request *req, void *ctx, rs_rc rc, const struct rs_err *err)
{
    (void)ctx, (void)rc;
    rs_reply_text(req, "text/plain; charset=utf-8", rs_arena_printf(req->arena, "%s\n", err->text));
}

/* --- the server --- */

static size_t make_routes(struct rs_debug *debug, const struct rs_config *config)
{
    const struct rs_config_http *http = &config->http;
    size_t count = 0;

    debug->routes[count++] = (struct rs_route){"/debug/health", READ, RS_ROUTE_BLOCKING, get_health, NULL};
    debug->routes[count++] = (struct rs_route){"/debug/quotas", READ, RS_ROUTE_BLOCKING, get_quotas, NULL};
    if (config->check.enabled)
        debug->routes[count++] = (struct rs_route){"/debug/check", READ, RS_ROUTE_BLOCKING, get_check, NULL};
    if (http->debug_metrics)
        debug->routes[count++] = (struct rs_route){http->debug_path, READ, RS_ROUTE_BLOCKING, get_metrics, NULL};
    return count;
}

rs_rc rs_debug_new(const struct rs_config *config, struct rs_debug **out, struct rs_err *err)
{
    struct rs_http_config http = {0};

    if (config->http.debug_addr[0] == '\0')
        return RS_OK;
    rs_http_config_defaults(&http);
    struct rs_debug *debug = *out = rs_calloc(1, sizeof *debug);
    http.routes = debug->routes;
    http.route_count = make_routes(debug, config);
    http.ctx = debug;
    http.on_error = on_error;
    http.lanes = 1;
    http.max_connections = CONNECTIONS;
    http.max_workers = WORKERS;
    http.reserved_workers = WORKERS - 1;
    http.drain_ms = DRAIN_MS;
    RS_TRY(rs_http_server_new(&http, &debug->server, err));
    if (rs_http_listen(debug->server, "tcp", config->http.debug_addr, err) != RS_OK)
        return rs_err_wrap(err, "http.debug.addr");
    return RS_OK;
}

rs_rc rs_debug_start(struct rs_debug *debug, struct rs_http_server *server, struct rs_health *health,
                     struct rs_registry *registry, const char *state_dir, struct rs_err *err)
{
    if (debug == NULL)
        return RS_OK;
    debug->main = server;
    debug->health = health;
    debug->registry = registry;
    debug->state_dir = state_dir;
    rs_metrics_collect(measure, debug);
    debug->runs = true;
    return rs_http_start(debug->server, err);
}

const char *rs_debug_address(const struct rs_debug *debug)
{
    return debug != NULL ? rs_http_address(debug->server, 0) : NULL;
}

bool rs_debug_free(struct rs_debug **debugp)
{
    struct rs_debug *debug = rs_take(debugp);

    if (debug == NULL)
        return true;
    if (debug->runs)
        rs_http_drain(debug->server);
    if (!rs_http_server_free(&debug->server))
        return false;
    rs_metrics_forget(debug);
    free(debug);
    return true;
}
