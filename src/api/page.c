/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of a listing (distribution-spec 1.1, "Listing tags"): n names after `last`, and a Link to the next page. What
 * a page holds is bounded in bytes too, so that a listing without n needs no more memory with more names.
 */
#include "api/api_priv.h"
#include "base/log.h"

#define NAME_MAX_BYTES 4096

rs_rc rs_page_number(rs_str text, const struct rs_page_rule *rule, uint64_t *out_n, struct rs_err *err)
{
    uint64_t n;

    if (!rs_str_u64(text, INT64_MAX, &n))
        return rs_err_set(err, RS_E_PAGINATION_NUMBER_INVALID, "n=" RS_STR_FMT " is not a number of results",
                          RS_STR_ARG(rs_str_sub(text, 0, 40)));
    if (n > rule->max && !rule->clamp)
        return rs_err_set(err, RS_E_PAGINATION_NUMBER_INVALID, "n=%llu is more than the %llu that one page may have",
                          (unsigned long long)n, (unsigned long long)rule->max);
    *out_n = RS_MIN(n, rule->max);
    return RS_OK;
}

void rs_page_init(struct rs_page *page)
{
    *page = (struct rs_page){0};
    rs_buf_init(&page->json, RS_PAGE_BYTES_MAX + 8 * NAME_MAX_BYTES);
    rs_buf_init(&page->last, NAME_MAX_BYTES);
}

void rs_page_release(struct rs_page *page)
{
    rs_buf_release(&page->json);
    rs_buf_release(&page->last);
}

rs_rc rs_page_begin(struct rs_request *req, const struct rs_page_rule *rule, struct rs_page *page, struct rs_err *err)
{
    rs_str text;

    page->n = rule->absent;
    if (rs_request_query(req, RS_STR("n"), &text) && text.len > 0)
        RS_TRY(rs_page_number(text, rule, &page->n, err));
    if (!rs_request_query(req, RS_STR("last"), &page->after))
        page->after = (rs_str){0};
    return RS_OK;
}

bool rs_page_add(void *ctx, rs_str name)
{
    struct rs_page *page = ctx;

    page->more = page->count == page->n || page->json.len >= RS_PAGE_BYTES_MAX;
    if (page->more)
        return false;
    if (page->count++ > 0)
        rs_buf_add_char(&page->json, ',');
    rs_json_quote(&page->json, name);
    rs_buf_clear(&page->last);
    rs_buf_add(&page->last, name);
    return true;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void rs_query_escape(struct rs_buf *out, rs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (is_unreserved(c))
            rs_buf_add_char(out, (char)c);
        else
            rs_buf_printf(out, "%%%02X", c);
    }
}

/* The Link is relative and its parameters sorted, as registry:2 has it. The path holds what a name may hold. */
static void set_link(struct rs_request *req, const struct rs_page *page, uint64_t n)
{
    RS_AUTO(rs_buf_release) struct rs_buf link;

    rs_buf_init(&link, 4 * NAME_MAX_BYTES);
    rs_buf_add_char(&link, '<');
    rs_buf_add(&link, req->path);
    rs_buf_add_c(&link, "?last=");
    rs_query_escape(&link, rs_buf_str(&page->last));
    rs_buf_printf(&link, "&n=%llu>; rel=\"next\"", (unsigned long long)n);
    if (!link.overflow)
        rs_reply_header(req, "Link", rs_buf_str(&link));
}

void rs_page_reply(struct rs_request *req, struct rs_page *page, uint64_t link_n)
{
    rs_buf_add_c(&page->json, "]}\n");
    if (page->more && page->count > 0)
        set_link(req, page, link_n);
    rs_reply_header_c(req, "Content-Type", "application/json; charset=utf-8");
    /* The bytes are handed over rather than copied into the arena: they may be some MiB. */
    rs_str body = rs_buf_str(&page->json);
    rs_reply_body(req, rs_source_memory(body, free, page->json.ptr));
    page->json = (struct rs_buf){0};
}
