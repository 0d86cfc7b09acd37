/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching, for people: "/v2/_roadstead/search?q=<part>" (our extension, docs/API.md). A page ends when it is full or
 * when its time is over, and its Link leads on, so that a search through a large registry is many short requests.
 */
#include "api/api_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "oci/reference.h"
#include "registry/manifest.h"

#define DEFAULT_ROWS 25
#define MAX_ROWS 100
#define TIME_MS 500
#define PART_MAX (RS_NAME_MAX + 1 + RS_TAG_MAX)
#define BODY_MAX (4 * 1024 * 1024)
#define LINK_MAX 8192

struct rows {
    struct rs_api *api;
    struct rs_arena *arena;
    uint64_t n;
    uint64_t count;
    struct rs_buf json;
};

static void rows_release(struct rows *rows)
{
    rs_buf_release(&rows->json);
}

static void add_text(struct rs_buf *out, const char *key, rs_str value)
{
    if (value.len == 0)
        return;
    rs_buf_printf(out, ",\"%s\":", key);
    rs_json_quote(out, value);
}

static void add_platforms(struct rs_buf *out, const struct rs_image_summary *image)
{
    rs_buf_add_c(out, ",\"platforms\":[");
    for (size_t i = 0; i < image->platform_count; i++) {
        if (i > 0)
            rs_buf_add_char(out, ',');
        rs_json_quote(out, image->platforms[i]);
    }
    rs_buf_add_char(out, ']');
}

static void add_image(struct rs_buf *out, const struct rs_image_summary *image)
{
    char pushed[RS_RFC3339_SIZE];

    rs_rfc3339(image->pushed_s, pushed);
    add_text(out, "digest", rs_digest_str(&image->digest));
    add_text(out, "mediaType", image->media_type);
    add_text(out, "artifactType", image->artifact_type);
    rs_buf_printf(out, ",\"size\":%llu,\"pushed\":\"%s\"", (unsigned long long)image->size, pushed);
    add_platforms(out, image);
}

/* A tag that has gone meanwhile, or whose manifest cannot be read, is named without more. */
static bool add_row(void *ctx, rs_str repository, rs_str tag)
{
    struct rows *rows = ctx;
    struct rs_image_summary image;

    if (rows->count == rows->n || rows->json.len >= BODY_MAX)
        return false;
    rs_buf_add_c(&rows->json, rows->count++ > 0 ? ",{\"repository\":" : "{\"repository\":");
    rs_json_quote(&rows->json, repository);
    add_text(&rows->json, "tag", tag);
    if (tag.len > 0 && rs_image_describe(rows->api->registry, repository, tag, rows->arena, &image, NULL) == RS_OK)
        add_image(&rows->json, &image);
    rs_buf_add_char(&rows->json, '}');
    return true;
}

/* The place where the page before ended: "<repository>", or "<repository>:<tag>" among the tags. */
static rs_rc read_last(struct rs_request *req, struct rs_search *search, struct rs_err *err)
{
    rs_str last, repository, tag;

    if (!rs_request_query(req, RS_STR("last"), &last) || last.len == 0)
        return RS_OK;
    search->in_tags = rs_str_cut(last, ':', &repository, &tag);
    if (repository.len > 0 || !search->in_tags)
        RS_TRY(rs_name_check(repository, err));
    if (tag.len > 0 && !rs_str_eq(tag, RS_STR(RS_SEARCH_DONE)))
        RS_TRY(rs_tag_check(tag, err));
    RS_ASSERT(rs_str_copy_z(repository, search->repository, sizeof search->repository));
    RS_ASSERT(rs_str_copy_z(tag, search->tag, sizeof search->tag));
    return RS_OK;
}

static void set_link(struct rs_request *req, rs_str part, const struct rs_search *search, uint64_t n)
{
    RS_AUTO(rs_buf_release) struct rs_buf link;

    rs_buf_init(&link, LINK_MAX);
    rs_buf_printf(&link, "<" RS_STR_FMT "?last=%s%s%s&n=%llu&q=", RS_STR_ARG(req->path), search->repository,
                  search->in_tags ? "%3A" : "", search->tag, (unsigned long long)n);
    rs_query_escape(&link, part);
    rs_buf_add_c(&link, ">; rel=\"next\"");
    if (!link.overflow)
        rs_reply_header(req, "Link", rs_buf_str(&link));
}

rs_rc rs_api_search_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    static const struct rs_page_rule rule = {.absent = DEFAULT_ROWS, .max = MAX_ROWS, .clamp = true};
    RS_AUTO(rows_release) struct rows rows = {.api = ctx, .arena = req->arena, .n = DEFAULT_ROWS};
    struct rs_search search = {.time_ms = TIME_MS};
    rs_str part = {0}, n;

    rs_request_query(req, RS_STR("q"), &part);
    if (part.len > PART_MAX)
        return rs_err_set(err, RS_E_NAME_INVALID, "q has %zu bytes; a name and a tag have %d at most", part.len,
                          PART_MAX);
    if (rs_request_query(req, RS_STR("n"), &n) && n.len > 0)
        RS_TRY(rs_page_number(n, &rule, &rows.n, err));
    RS_TRY(read_last(req, &search, err));
    rs_buf_init(&rows.json, 2 * BODY_MAX);
    rs_buf_add_c(&rows.json, "{\"results\":[");
    RS_TRY(rs_search(rows.api->registry, part, &search, add_row, &rows, err));
    rs_buf_add_c(&rows.json, "]}\n");
    if (search.unfinished && rows.n > 0)
        set_link(req, part, &search, rows.n);
    rs_reply_header_c(req, "Content-Type", "application/json; charset=utf-8");
    rs_reply_body(req, rs_source_memory(rs_buf_str(&rows.json), free, rows.json.ptr));
    rows.json = (struct rs_buf){0};
    return RS_OK;
}
