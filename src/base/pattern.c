/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"

#define PATTERN_MAX 4096
#define STEPS_MAX 100000 /* some milliseconds */
#define DEPTH_MAX 10000
#define HEAP_MAX_KIB 1024

struct rs_pattern {
    pcre2_code *code;
};

/* As Go's: '$' is the end alone, text is UTF-8, classes are ASCII. */
static const uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;

rs_rc rs_pattern_new(rs_str text, struct rs_pattern **out, struct rs_err *err)
{
    int error;
    size_t offset;
    if (text.len > PATTERN_MAX)
        return rs_err_set(err, RS_E_INVALID, "the expression has more than %d bytes", PATTERN_MAX);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)(text.len > 0 ? text.ptr : ""), text.len, options, &error, &offset, NULL);
    if (code == NULL) {
        char why[160] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof why);
        return rs_err_set(err, RS_E_INVALID, "not a regular expression: %s (byte %zu)", why, offset);
    }
    *out = rs_malloc(sizeof **out);
    (*out)->code = code;
    return RS_OK;
}

void rs_pattern_free(struct rs_pattern **pattern)
{
    if (*pattern == NULL)
        return;
    pcre2_code_free((*pattern)->code);
    free(*pattern);
    *pattern = NULL;
}

enum rs_match rs_pattern_match(const struct rs_pattern *pattern, rs_str text)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc = PCRE2_ERROR_NOMEMORY;
    if (context != NULL && data != NULL) {
        pcre2_set_match_limit(context, STEPS_MAX);
        pcre2_set_depth_limit(context, DEPTH_MAX);
        pcre2_set_heap_limit(context, HEAP_MAX_KIB);
        rc = pcre2_match(pattern->code, (PCRE2_SPTR)(text.len > 0 ? text.ptr : ""), text.len, 0, 0, data, context);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return RS_MATCH_NO;
    return rc >= 0 ? RS_MATCH_YES : RS_MATCH_UNKNOWN;
}
