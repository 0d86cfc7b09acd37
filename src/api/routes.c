/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, and the making of what serves them. */
#include "api/api_priv.h"
#include "metrics/metrics.h"

#define GET (1u << RS_METHOD_GET)
#define READ (GET | 1u << RS_METHOD_HEAD)
#define POST (1u << RS_METHOD_POST)
#define PUT (1u << RS_METHOD_PUT)
#define PATCH (1u << RS_METHOD_PATCH)
#define DELETE (1u << RS_METHOD_DELETE)

/* Below http.prefix. The first that fits is taken. "**" is the repository's name. */
static const struct rs_route table[] = {
    {"/v2/", READ, RS_ROUTE_SHORT, rs_api_base, "base"},
    {"/v2/**/manifests/*", READ, RS_ROUTE_SHORT, rs_api_manifest_get, "manifest"},
    {"/v2/**/manifests/*", PUT, RS_ROUTE_BODY, rs_api_manifest_put, "manifest"},
    {"/v2/**/manifests/*", DELETE, RS_ROUTE_BLOCKING, rs_api_manifest_delete, "manifest"},
    /* registry:2 redirects the form without the last slash, which turns a POST into a GET; this is kinder. */
    {"/v2/**/blobs/uploads/", POST, RS_ROUTE_BODY, rs_api_upload_post, "blob_upload"},
    {"/v2/**/blobs/uploads", POST, RS_ROUTE_BODY, rs_api_upload_post, "blob_upload"},
    {"/v2/**/blobs/uploads/*", READ, RS_ROUTE_BLOCKING, rs_api_upload_get, "blob_upload_chunk"},
    {"/v2/**/blobs/uploads/*", PATCH, RS_ROUTE_BODY, rs_api_upload_patch, "blob_upload_chunk"},
    {"/v2/**/blobs/uploads/*", PUT, RS_ROUTE_BODY, rs_api_upload_put, "blob_upload_chunk"},
    {"/v2/**/blobs/uploads/*", DELETE, RS_ROUTE_BLOCKING, rs_api_upload_delete, "blob_upload_chunk"},
    {"/v2/**/blobs/*", READ, RS_ROUTE_SHORT, rs_api_blob_get, "blob"},
    {"/v2/**/blobs/*", DELETE, RS_ROUTE_BLOCKING, rs_api_blob_delete, "blob"},
    {"/v2/**/referrers/*", READ, RS_ROUTE_BLOCKING, rs_api_referrers_get, "referrers"},
    {"/v2/**/tags/list", READ, RS_ROUTE_BLOCKING, rs_api_tags_get, "tags"},
    {"/v2/_catalog", READ, RS_ROUTE_BLOCKING, rs_api_catalog_get, "catalog"},
    {"/v2/_roadstead/search", READ, RS_ROUTE_BLOCKING, rs_api_search_get, "search"},
    {"/v2", READ, RS_ROUTE_SHORT, rs_api_base_redirect, "base"},
};

/* Where load balancers ask: never below the prefix. */
static const struct rs_route outside[] = {
    {"/", READ, RS_ROUTE_SHORT, rs_api_root, "root"},
    {"/healthz", READ, RS_ROUTE_SHORT, rs_api_health, "health"},
};

static void make_routes(struct rs_api *api)
{
    api->route_count = RS_COUNT(table) + RS_COUNT(outside);
    api->routes = rs_arena_alloc(api->arena, api->route_count * sizeof *api->routes);
    for (size_t i = 0; i < RS_COUNT(table); i++) {
        api->routes[i] = table[i];
        api->routes[i].pattern = rs_arena_printf(api->arena, "%s%s", api->config->http.prefix, table[i].pattern).ptr;
    }
    memcpy(api->routes + RS_COUNT(table), outside, sizeof outside);
    rs_api_measure_routes(api);
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* A line a value, as registry:2. */
static rs_rc make_header(struct rs_api *api, const struct rs_config_header *from, struct rs_err *err)
{
    for (size_t i = 0; i < from->values.count; i++) {
        if (has_control(from->values.items[i]))
            return rs_err_set(err, RS_E_CONFIG, "http.headers: a value of %s holds a control character", from->name);
        api->headers[api->header_count++] = (struct rs_header){rs_str_c(from->name), rs_str_c(from->values.items[i])};
    }
    return RS_OK;
}

static rs_rc make_headers(struct rs_api *api, struct rs_err *err)
{
    const struct rs_config_http *http = &api->config->http;
    size_t count = 0;

    if (has_control(http->host))
        return rs_err_set(err, RS_E_CONFIG, "http.host holds a control character");
    for (size_t i = 0; i < http->header_count; i++)
        count += http->headers[i].values.count;
    api->headers = rs_arena_alloc(api->arena, (count + 1) * sizeof *api->headers);
    for (size_t i = 0; i < http->header_count; i++)
        RS_TRY(make_header(api, &http->headers[i], err));
    return RS_OK;
}

rs_rc rs_api_new(const struct rs_config *config, struct rs_api **out, struct rs_err *err)
{
    RS_AUTO(rs_api_free) struct rs_api *api = rs_calloc(1, sizeof *api);

    api->config = config;
    rs_api_set_read_only(api, config->storage.read_only);
    api->arena = rs_arena_new();
    make_routes(api);
    rs_api_measure_state(api);
    RS_TRY(make_headers(api, err));
    *out = rs_take(&api);
    return RS_OK;
}

void rs_api_free(struct rs_api **api)
{
    if (*api == NULL)
        return;
    rs_metrics_forget(*api);
    rs_arena_free(&(*api)->arena);
    free(rs_take(api));
}

void rs_api_attach(struct rs_api *api, struct rs_registry *registry)
{
    api->registry = registry;
}

void rs_api_attach_events(struct rs_api *api, struct rs_events *events)
{
    api->events = events;
}

static bool is_set(const struct rs_reply *reply, size_t count, rs_str name)
{
    for (size_t i = 0; i < count; i++)
        if (rs_str_eq_nocase(reply->headers[i].name, name))
            return true;
    return false;
}

/* What the handler says of its answer counts more than what is configured for all. */
static void on_reply(struct rs_request *req, void *ctx)
{
    const struct rs_api *api = ctx;

    rs_reply_header(req, "Docker-Distribution-Api-Version", RS_STR("registry/2.0"));
    rs_reply_header(req, "X-Request-Id", req->id);
    size_t own = req->reply.header_count;
    for (size_t i = 0; i < api->header_count; i++)
        if (!is_set(&req->reply, own, api->headers[i].name))
            rs_reply_header_add(req, api->headers[i].name.ptr, api->headers[i].value);
}

static rs_rc on_route(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct rs_api *api = ctx;

    rs_api_measure_begin(api, req);
    return rs_api_healthy(api, req, err);
}

static void on_done(const struct rs_request *req, void *ctx, uint64_t sent, int64_t us, bool complete)
{
    const struct rs_api *api = ctx;

    rs_api_measure_end(api, req, sent, us, complete);
    if (api->config->log.access != RS_CONFIG_ACCESS_NONE)
        rs_api_on_done(req, ctx, sent, us, complete);
}

void rs_api_http(struct rs_api *api, struct rs_http_config *out)
{
    out->routes = api->routes;
    out->route_count = api->route_count;
    out->ctx = api;
    out->on_error = rs_api_on_error;
    out->on_reply = on_reply;
    out->on_route = on_route;
    out->on_done = on_done;
}
