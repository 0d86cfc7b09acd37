/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content-Range of an upload's chunk. The distribution specification writes "<first>-<last>" ("Pushing a blob in
 * chunks"), RFC 9110 14.4 "bytes <first>-<last>/<size>"; clients send either.
 */
#include "api/api_priv.h"

static bool parse_size(rs_str text, uint64_t last)
{
    uint64_t size;

    return rs_str_eq(text, RS_STR("*")) || (rs_str_u64(text, INT64_MAX, &size) && size > last);
}

static bool parse(rs_str text, struct rs_content_range *out)
{
    rs_str range, size, first, last;
    bool bytes = rs_str_starts(text, RS_STR("bytes "));

    if (bytes)
        text = rs_str_trim(rs_str_from(text, 6));
    bool sized = rs_str_cut(text, '/', &range, &size);
    if (!rs_str_cut(range, '-', &first, &last))
        return false;
    if (!rs_str_u64(first, INT64_MAX, &out->first) || !rs_str_u64(last, INT64_MAX - 1, &out->last))
        return false;
    return out->first <= out->last && (!sized || parse_size(size, out->last));
}

rs_rc rs_content_range_parse(rs_str text, struct rs_content_range *out, struct rs_err *err)
{
    struct rs_content_range range = {.present = true};

    if (!parse(text, &range))
        return rs_err_set(err, RS_E_BLOB_UPLOAD_INVALID,
                          "Content-Range \"" RS_STR_FMT "\" is not \"<first byte>-<last byte>\"",
                          RS_STR_ARG(rs_str_sub(text, 0, 80)));
    *out = range;
    return RS_OK;
}

uint64_t rs_content_range_length(const struct rs_content_range *range)
{
    return range->last - range->first + 1;
}
