/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog of repositories: "/v2/_catalog" (registry:2's). */
#include "api/api_priv.h"

#define CATALOG_DEFAULT 100

rs_rc rs_api_catalog_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    const uint64_t max = api->config->catalog_max_entries;
    const struct rs_page_rule rule = {.absent = RS_MIN(CATALOG_DEFAULT, max), .max = max};
    RS_AUTO(rs_page_release) struct rs_page page;

    rs_page_init(&page);
    RS_TRY(rs_page_begin(req, &rule, &page, err));
    rs_buf_add_c(&page.json, "{\"repositories\":[");
    RS_TRY(rs_catalog_list(api->registry, page.after, rs_page_add, &page, err));
    rs_page_reply(req, &page, page.n);
    return RS_OK;
}
