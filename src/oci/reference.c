/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/reference.h"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The length of the separator at the head of s: ".", "_", "__" or any number of "-"; 0 if there is none. */
static size_t separator_len(rs_str s)
{
    size_t n = 0;
    if (rs_str_starts(s, RS_STR("__")))
        return 2;
    if (s.len > 0 && (s.ptr[0] == '.' || s.ptr[0] == '_'))
        return 1;
    while (n < s.len && s.ptr[n] == '-')
        n++;
    return n;
}

static bool component_valid(rs_str s)
{
    size_t separator;
    do {
        size_t n = 0;
        while (n < s.len && is_lower_alnum(s.ptr[n]))
            n++;
        if (n == 0)
            return false;
        s = rs_str_from(s, n);
        separator = separator_len(s);
        s = rs_str_from(s, separator);
    } while (separator > 0);
    return s.len == 0;
}

rs_rc rs_name_check(rs_str name, struct rs_err *err)
{
    if (name.len > RS_NAME_MAX)
        return rs_err_set(err, RS_E_NAME_INVALID, "the repository name has %zu bytes; %d are allowed", name.len,
                          RS_NAME_MAX);
    rs_str rest = name;
    bool more;
    do {
        rs_str component;
        more = rs_str_cut(rest, '/', &component, &rest);
        if (!component_valid(component))
            return rs_err_set(err, RS_E_NAME_INVALID,
                              "\"" RS_STR_FMT "\" is not a repository name: each part between slashes has lower-case "
                              "letters and digits, with one of . _ __ or some - between them",
                              RS_STR_ARG(name));
    } while (more);
    return RS_OK;
}

bool rs_name_enter(char *name, size_t *len, rs_str child)
{
    size_t slash = *len > 0;
    if (child.len == 0 || child.len + slash > RS_NAME_MAX - *len)
        return false;
    size_t longer = *len + slash + child.len;
    name[*len] = '/';
    memcpy(name + *len + slash, child.ptr, child.len);
    if (rs_name_check((rs_str){name, longer}, NULL) != RS_OK)
        return false;
    *len = longer;
    return true;
}

rs_rc rs_tag_check(rs_str tag, struct rs_err *err)
{
    bool valid = tag.len > 0 && tag.len <= RS_TAG_MAX && is_word(tag.ptr[0]);
    for (size_t i = 1; valid && i < tag.len; i++)
        valid = is_word(tag.ptr[i]) || tag.ptr[i] == '.' || tag.ptr[i] == '-';
    if (!valid)
        return rs_err_set(err, RS_E_TAG_INVALID,
                          "\"" RS_STR_FMT "\" is not a tag: 1 to %d letters, digits, _ . - are allowed, and no . or - "
                          "at the beginning",
                          RS_STR_ARG(rs_str_sub(tag, 0, RS_TAG_MAX + 1)), RS_TAG_MAX);
    return RS_OK;
}

rs_rc rs_reference_parse(rs_str text, struct rs_reference *out, struct rs_err *err)
{
    size_t colon;
    struct rs_reference parsed = {.is_digest = rs_str_find(text, ':', &colon)};
    if (parsed.is_digest) {
        RS_TRY(rs_digest_parse(text, &parsed.digest, err));
    } else {
        RS_TRY(rs_tag_check(text, err));
        parsed.tag = text;
    }
    *out = parsed;
    return RS_OK;
}
