/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: "/v2/<name>/blobs/<digest>" (distribution-spec 1.1, "Pulling blobs"). */
#include "registry/blob.h"

#include "api/api_priv.h"

static void cache_headers(struct rs_request *req, const struct rs_digest *digest)
{
    rs_api_digest_headers(req, digest, true);
    rs_reply_header_c(req, "Cache-Control", "max-age=31536000");
}

static rs_rc send_blob(struct rs_request *req, struct rs_source body, const struct rs_digest *digest,
                       struct rs_err *err)
{
    char etag[RS_DIGEST_TEXT_MAX + 2];
    int len = snprintf(etag, sizeof etag, "\"%s\"", digest->text);

    RS_TRY(rs_reply_range(req, body, (rs_str){etag, (size_t)len}, err));
    cache_headers(req, digest); /* not for a 416, which nobody shall keep */
    rs_reply_header_c(req, "Content-Type", "application/octet-stream");
    return RS_OK;
}

/* Tells the length without opening anything. */
static rs_rc head_blob(struct rs_api *api, struct rs_request *req, const struct rs_digest *digest, struct rs_err *err)
{
    uint64_t size = 0;

    RS_TRY(rs_blob_stat(api->registry, req->captures[0], digest, &size, err));
    rs_api_event_blob(api, req, RS_EVENT_PULL, digest, size, (rs_str){0});
    cache_headers(req, digest);
    if (rs_api_not_modified(req, digest)) {
        req->reply.status = 304;
        return RS_OK;
    }
    rs_reply_header_c(req, "Content-Type", "application/octet-stream");
    rs_reply_header_c(req, "Accept-Ranges", "bytes");
    rs_reply_body(req, rs_source_file(-1, 0, size));
    return RS_OK;
}

rs_rc rs_api_blob_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_digest digest;
    struct rs_source body;

    RS_TRY(rs_api_repository(req, err));
    RS_TRY(rs_api_digest(req, req->captures[1], &digest, err));
    if (req->method == RS_METHOD_HEAD)
        return head_blob(api, req, &digest, err);
    RS_TRY(rs_blob_open(api->registry, req->captures[0], &digest, &body, err));
    rs_api_event_blob(api, req, RS_EVENT_PULL, &digest, body.length, (rs_str){0});
    if (rs_api_not_modified(req, &digest)) {
        rs_source_release(&body);
        cache_headers(req, &digest);
        req->reply.status = 304;
        return RS_OK;
    }
    return send_blob(req, body, &digest, err);
}

rs_rc rs_api_blob_delete(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_digest digest;

    RS_TRY(rs_api_repository(req, err));
    RS_TRY(rs_api_digest(req, req->captures[1], &digest, err));
    RS_TRY(rs_api_may_delete(api, err));
    RS_TRY(rs_blob_unlink(api->registry, req->captures[0], &digest, err));
    rs_api_event_delete(api, req, rs_digest_str(&digest), (rs_str){0});
    req->reply.status = 202;
    return RS_OK;
}
