/* SPDX-License-Identifier: Apache-2.0 */
/* Tags: "/v2/<name>/tags/list" (distribution-spec 1.1, "Listing tags"). */
#include "api/api_priv.h"
#include "base/log.h"

rs_rc rs_api_tags_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    const uint64_t max = api->config->tags_max_tags;
    const struct rs_page_rule rule = {.absent = UINT64_MAX, .max = max, .clamp = true};
    RS_AUTO(rs_page_release) struct rs_page page;

    rs_page_init(&page);
    RS_TRY(rs_api_repository(req, err));
    RS_TRY(rs_page_begin(req, &rule, &page, err));
    rs_buf_add_c(&page.json, "{\"name\":");
    rs_json_quote(&page.json, req->captures[0]);
    rs_buf_add_c(&page.json, ",\"tags\":[");
    RS_TRY(rs_tags_list(api->registry, req->captures[0], page.after, rs_page_add, &page, err));
    rs_page_reply(req, &page, RS_MIN(page.n, max));
    return RS_OK;
}
