/* SPDX-License-Identifier: Apache-2.0 */
/* Referrers: "/v2/<name>/referrers/<digest>" (distribution-spec 1.1, "Listing Referrers"). */
#include "api/api_priv.h"
#include "base/log.h"
#include "registry/manifest.h"

/* Not every client follows a Link, so a page holds what one answer can bear. */
#define PAGE_MAX 1000
#define LINK_MAX 512 /* bytes beyond path and type */

/* A media type holds no space: what reads as one is a '+' that the client has not escaped. */
static rs_str artifact_type(struct rs_request *req)
{
    rs_str text;

    if (!rs_request_query(req, RS_STR("artifactType"), &text))
        return (rs_str){0};
    char *type = rs_arena_z(req->arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (type[i] == ' ')
            type[i] = '+';
    return (rs_str){type, text.len};
}

static rs_rc parse_query(struct rs_api *api, struct rs_request *req, struct rs_referrers_query *out, struct rs_err *err)
{
    const struct rs_page_rule rule = {.absent = PAGE_MAX, .max = PAGE_MAX, .clamp = true};
    rs_str n;

    RS_TRY(rs_api_repository(req, err));
    RS_TRY(rs_api_digest(req, req->captures[1], &out->subject, err));
    out->repository = req->captures[0];
    out->artifact_type = artifact_type(req);
    out->max = rule.absent;
    if (rs_request_query(req, RS_STR("n"), &n) && n.len > 0)
        RS_TRY(rs_page_number(n, &rule, &out->max, err));
    if (!rs_request_query(req, RS_STR("last"), &out->after))
        out->after = (rs_str){0};
    out->read_only = rs_api_writable(api, NULL) != RS_OK;
    return RS_OK;
}

static void set_link(struct rs_request *req, const struct rs_referrers_query *query, const struct rs_digest *last)
{
    RS_AUTO(rs_buf_release) struct rs_buf link;

    rs_buf_init(&link, req->path.len + 3 * query->artifact_type.len + LINK_MAX);
    rs_buf_add_char(&link, '<');
    rs_buf_add(&link, req->path);
    rs_buf_add_char(&link, '?');
    if (query->artifact_type.len > 0) {
        rs_buf_add_c(&link, "artifactType=");
        rs_query_escape(&link, query->artifact_type);
        rs_buf_add_char(&link, '&');
    }
    rs_buf_add_c(&link, "last=");
    rs_query_escape(&link, rs_digest_str(last));
    rs_buf_printf(&link, "&n=%llu>; rel=\"next\"", (unsigned long long)query->max);
    rs_reply_header(req, "Link", rs_buf_str(&link));
}

static void reply(struct rs_request *req, struct rs_referrers_page *page)
{
    static const char head[] = "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[";
    struct rs_buf body;

    rs_buf_init(&body, sizeof head + page->json.len + 4);
    rs_buf_add_c(&body, head);
    rs_buf_add(&body, rs_buf_str(&page->json));
    rs_buf_add_c(&body, "]}\n");
    rs_reply_header_c(req, "Content-Type", RS_MEDIA_OCI_INDEX);
    rs_reply_body(req, rs_source_memory(rs_buf_str(&body), free, body.ptr));
}

rs_rc rs_api_referrers_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_referrers_query query = {0};
    RS_AUTO(rs_referrers_page_release) struct rs_referrers_page page;

    rs_referrers_page_init(&page);
    RS_TRY(parse_query(api, req, &query, err));
    RS_TRY(rs_referrers_list(api->registry, &query, &page, err));
    if (query.artifact_type.len > 0)
        rs_reply_header_c(req, "OCI-Filters-Applied", "artifactType");
    if (page.more && query.max > 0)
        set_link(req, &query, &page.last);
    reply(req, &page);
    return RS_OK;
}
