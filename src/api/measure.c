/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as metrics. Their labels hold routes, methods and statuses, and nothing that a client chose. */
#include "api/api_priv.h"
#include "metrics/metrics.h"

_Static_assert(RS_VALUE_METHOD_OTHER - RS_VALUE_FIRST_METHOD == RS_METHOD_OTHER,
               "metrics.def has the order of rs_method");
_Static_assert(RS_VALUE_METHOD_DELETE - RS_VALUE_FIRST_METHOD == RS_METHOD_DELETE, "the same");

#define METHODS (RS_METHOD_OTHER + 1)

/* Found once: the way of a request passes here. */
struct rs_api_cells {
    unsigned in_flight, received, sent;
    unsigned seconds[METHODS];
    unsigned requests[METHODS]; /* of the first code */
};

static void find_cells(enum rs_value route, struct rs_api_cells *out)
{
    out->in_flight = rs_metrics_cell(RS_METRIC_HTTP_IN_FLIGHT, RS_LABELS(route));
    out->received = rs_metrics_cell(RS_METRIC_HTTP_RECEIVED, RS_LABELS(route));
    out->sent = rs_metrics_cell(RS_METRIC_HTTP_SENT, RS_LABELS(route));
    for (unsigned i = 0; i < METHODS; i++) {
        enum rs_value method = (enum rs_value)(RS_VALUE_FIRST_METHOD + i);
        out->seconds[i] = rs_metrics_cell(RS_METRIC_HTTP_SECONDS, RS_LABELS(route, method));
        out->requests[i] = rs_metrics_cell(RS_METRIC_HTTP_REQUESTS, RS_LABELS(route, method, RS_VALUE_FIRST_CODE));
    }
}

/* One more than there are routes: the last is of requests that have none. */
void rs_api_measure_routes(struct rs_api *api)
{
    api->cells = rs_arena_alloc(api->arena, (api->route_count + 1) * sizeof *api->cells);
    for (size_t i = 0; i < api->route_count; i++)
        find_cells(rs_metrics_value(RS_LABEL_ROUTE, rs_str_c(api->routes[i].name)), &api->cells[i]);
    find_cells(RS_VALUE_ROUTE_OTHER, &api->cells[api->route_count]);
}

static const struct rs_api_cells *cells_of(const struct rs_api *api, const struct rs_request *req)
{
    return &api->cells[req->route != NULL ? (size_t)(req->route - api->routes) : api->route_count];
}

void rs_api_measure_begin(const struct rs_api *api, const struct rs_request *req)
{
    rs_metrics_add_cell(cells_of(api, req)->in_flight, 1);
}

void rs_api_measure_end(const struct rs_api *api, const struct rs_request *req, uint64_t sent, int64_t us,
                        bool complete)
{
    const struct rs_api_cells *cells = cells_of(api, req);
    unsigned code = rs_metrics_code(req->reply.status) - RS_VALUE_FIRST_CODE;

    rs_metrics_add_cell(cells->requests[req->method] + code, 1);
    rs_metrics_observe_cell(RS_METRIC_HTTP_SECONDS, cells->seconds[req->method], (uint64_t)us, 1);
    rs_metrics_observe_cell(RS_METRIC_HTTP_RECEIVED, cells->received, req->received, 1);
    rs_metrics_observe_cell(RS_METRIC_HTTP_SENT, cells->sent, sent, 1);
    if (req->route != NULL) /* or it never began */
        rs_metrics_add_cell(cells->in_flight, (uint64_t)-1);
    if (!complete)
        rs_metrics_add(RS_METRIC_HTTP_INTERRUPTED, RS_NO_LABELS, 1);
}

/* A collector of metrics. */
static void measure(void *ctx)
{
    rs_metrics_set(RS_METRIC_READ_ONLY, RS_NO_LABELS, rs_api_writable(ctx, NULL) != RS_OK);
}

void rs_api_measure_state(struct rs_api *api)
{
    rs_metrics_collect(measure, api);
}
