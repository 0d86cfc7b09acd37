/* SPDX-License-Identifier: Apache-2.0 */
/* Accept, and lists of entity tags (If-Match, If-None-Match). */
#include "api/api_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TYPE "application/vnd.oci.image.manifest.v1+json"
#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static bool accepts(rs_str first, rs_str second)
{
    const struct rs_header fields[] = {{RS_STR("Accept"), first}, {RS_STR("accept"), second}};
    const struct rs_request req = {.headers = fields, .header_count = second.len > 0 ? 2 : 1};
    return rs_accepts(&req, RS_STR(TYPE));
}

/* What is named with a weight is taken, whatever stands beside it, in either order. */
static void check_accept(rs_str s)
{
    RS_ASSERT(accepts(s, RS_STR(TYPE)));
    RS_ASSERT(accepts(RS_STR("text/plain, " TYPE ";q=0.5"), s));
    RS_ASSERT(accepts(s, (rs_str){0}) == accepts(s, RS_STR("text/plain")) || s.len == 0);
    RS_ASSERT(accepts(RS_STR(""), (rs_str){0}));
}

/* A digest is found where it stands, and nowhere else. */
static void check_etags(rs_str s)
{
    struct rs_buf list;
    rs_buf_init(&list, s.len + 100);
    rs_buf_add(&list, s);
    rs_buf_add_c(&list, ", \"" DIGEST "\"");
    RS_ASSERT(rs_etag_list_has(rs_buf_str(&list), RS_STR(DIGEST)));
    rs_buf_release(&list);
    if (rs_etag_list_has(s, RS_STR(DIGEST)))
        RS_ASSERT(memmem(s.ptr, s.len, DIGEST, sizeof(DIGEST) - 1) != NULL || memchr(s.ptr, '*', s.len) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rs_str s = {(const char *)data, size};
    check_accept(s);
    check_etags(s);
    return 0;
}
