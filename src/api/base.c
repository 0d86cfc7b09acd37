/* SPDX-License-Identifier: Apache-2.0 */
/* "/v2/": is this a registry? And "/", which load balancers ask. */
#include "api/api_priv.h"

rs_rc rs_api_root(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx;
    (void)err;
    rs_reply_header_c(req, "Cache-Control", "no-cache");
    return RS_OK;
}

rs_rc rs_api_base(struct rs_request *req, void *ctx, struct rs_err *err)
{
    (void)ctx;
    (void)err;
    rs_reply_text(req, "application/json; charset=utf-8", RS_STR("{}"));
    return RS_OK;
}

/* registry:2 sends "/v2" there, with a relative Location. */
rs_rc rs_api_base_redirect(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct rs_api *api = ctx;
    (void)err;
    req->reply.status = 301;
    rs_reply_headerf(req, "Location", "%s/v2/", api->config->http.prefix);
    return RS_OK;
}
