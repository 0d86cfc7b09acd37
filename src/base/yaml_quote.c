/* SPDX-License-Identifier: Apache-2.0 */
/* Writing YAML scalars. */
#include "base/yaml.h"

static bool is_word_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '/' || c == '-';
}

/* Safe without quotes: a path, a name, a size. Not what reads as a number, a truth or nothing. */
static bool is_safe_plain(rs_str s)
{
    if (s.len == 0 || s.ptr[0] == '-' || s.ptr[0] == '.' || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_word_char((unsigned char)s.ptr[i]))
            return false;
    struct rs_yaml node = {.kind = RS_YAML_SCALAR, .plain = true, .text = s};
    bool ignored;
    return !rs_yaml_is_null(&node) && !rs_yaml_bool(&node, &ignored);
}

/* Bytes of the UTF-8 sequence at s and its value; 1 and the byte itself where it is none. */
static size_t decode(rs_str s, uint32_t *out)
{
    unsigned char lead = (unsigned char)s.ptr[0];
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
    *out = lead;
    if (len == 1 || len > s.len || lead > 0xf4)
        return 1;
    uint32_t value = lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
            return 1;
        value = value << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    }
    *out = value;
    return len;
}

/* What libyaml refuses raw, or takes for the end of a line. */
static bool needs_escape(uint32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           c == 0xfffe || c == 0xffff;
}

void rs_yaml_quote(struct rs_buf *out, rs_str s)
{
    if (is_safe_plain(s)) {
        rs_buf_add(out, s);
        return;
    }
    rs_buf_add_char(out, '"');
    while (s.len > 0) {
        uint32_t c;
        size_t len = decode(s, &c);
        if (c == '"' || c == '\\')
            rs_buf_printf(out, "\\%c", (int)c);
        else if (needs_escape(c) || (len == 1 && c >= 0x80))
            rs_buf_printf(out, "\\u%04x", (unsigned)c);
        else
            rs_buf_append(out, s.ptr, len);
        s = rs_str_from(s, len);
    }
    rs_buf_add_char(out, '"');
}

void rs_yaml_show_key(struct rs_buf *out, rs_str key)
{
    rs_str shown = rs_str_sub(key, 0, 60);
    for (size_t i = 0; i < shown.len; i++) {
        unsigned char c = (unsigned char)shown.ptr[i];
        rs_buf_add_char(out, c >= 0x20 && c < 0x7f && c != '"' ? (char)c : '?');
    }
    if (shown.len < key.len)
        rs_buf_add_c(out, "...");
}
