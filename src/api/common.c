/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_priv.h"
#include "metrics/metrics.h"
#include "oci/reference.h"

rs_rc rs_api_repository(struct rs_request *req, struct rs_err *err)
{
    RS_TRY(rs_name_check(req->captures[0], err));
    req->log_repository = req->captures[0];
    return RS_OK;
}

rs_rc rs_api_digest(struct rs_request *req, rs_str text, struct rs_digest *out, struct rs_err *err)
{
    RS_TRY(rs_digest_parse(text, out, err));
    req->log_digest = text;
    return RS_OK;
}

rs_rc rs_api_writable(const struct rs_api *api, struct rs_err *err)
{
    if (!rs_api_is_read_only(api))
        return RS_OK;
    return rs_err_set(err, RS_E_UNSUPPORTED, "the registry is in read-only mode (%s)",
                      api->config->storage.read_only ? "storage.maintenance.readonly" : "by its operator, for a while");
}

void rs_api_set_read_only(struct rs_api *api, bool read_only)
{
    atomic_store(&api->read_only, read_only);
    rs_metrics_set(RS_METRIC_READ_ONLY, RS_NO_LABELS, read_only);
}

bool rs_api_is_read_only(const struct rs_api *api)
{
    return atomic_load_explicit(&api->read_only, memory_order_relaxed);
}

rs_rc rs_api_may_delete(const struct rs_api *api, struct rs_err *err)
{
    RS_TRY(rs_api_writable(api, err));
    if (!api->config->storage.delete_enabled)
        return rs_err_set(err, RS_E_UNSUPPORTED, "deleting is switched off (storage.delete.enabled)");
    return RS_OK;
}

void rs_api_digest_headers(struct rs_request *req, const struct rs_digest *digest, bool with_etag)
{
    char etag[RS_DIGEST_TEXT_MAX + 2];
    rs_str text = rs_digest_str(digest);

    rs_reply_header(req, "Docker-Content-Digest", text);
    if (!with_etag)
        return;
    etag[0] = '"';
    memcpy(etag + 1, text.ptr, text.len);
    etag[text.len + 1] = '"';
    rs_reply_header(req, "Etag", (rs_str){etag, text.len + 2});
}

bool rs_etag_list_has(rs_str list, rs_str etag)
{
    rs_str head;

    while (list.len > 0) {
        rs_str_cut(list, ',', &head, &list);
        head = rs_str_trim(head);
        if (rs_str_eq(head, RS_STR("*")))
            return true;
        if (rs_str_starts(head, RS_STR("W/")))
            head = rs_str_from(head, 2);
        if (head.len >= 2 && head.ptr[0] == '"' && head.ptr[head.len - 1] == '"')
            head = rs_str_sub(head, 1, head.len - 2);
        if (rs_str_eq(head, etag))
            return true;
    }
    return false;
}

bool rs_api_not_modified(const struct rs_request *req, const struct rs_digest *digest)
{
    rs_str list;

    return rs_request_header(req, RS_STR("If-None-Match"), &list) && rs_etag_list_has(list, rs_digest_str(digest));
}
