/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <stdarg.h>

#include "base/mem.h"

rs_str rs_str_c(const char *z)
{
    return (rs_str){z, z == NULL ? 0 : strlen(z)};
}

/* memcmp must not see the NULL of an empty string. */
static int compare(const char *a, const char *b, size_t len)
{
    return len == 0 ? 0 : memcmp(a, b, len);
}

bool rs_str_eq(rs_str a, rs_str b)
{
    return a.len == b.len && compare(a.ptr, b.ptr, a.len) == 0;
}

bool rs_str_eq_c(rs_str a, const char *z)
{
    return rs_str_eq(a, rs_str_c(z));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool rs_str_eq_nocase(rs_str a, rs_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

int rs_str_cmp(rs_str a, rs_str b)
{
    int order = compare(a.ptr, b.ptr, RS_MIN(a.len, b.len));
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool rs_str_starts(rs_str s, rs_str prefix)
{
    return s.len >= prefix.len && compare(s.ptr, prefix.ptr, prefix.len) == 0;
}

bool rs_str_ends(rs_str s, rs_str suffix)
{
    return s.len >= suffix.len && rs_str_eq(rs_str_from(s, s.len - suffix.len), suffix);
}

rs_str rs_str_from(rs_str s, size_t from)
{
    from = RS_MIN(from, s.len);
    return (rs_str){from == 0 ? s.ptr : s.ptr + from, s.len - from};
}

rs_str rs_str_sub(rs_str s, size_t from, size_t len)
{
    rs_str rest = rs_str_from(s, from);
    rest.len = RS_MIN(len, rest.len);
    return rest;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

rs_str rs_str_trim(rs_str s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = rs_str_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool rs_str_find(rs_str s, char c, size_t *out_index)
{
    const char *at = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);
    if (at == NULL)
        return false;
    *out_index = (size_t)(at - s.ptr);
    return true;
}

bool rs_str_rfind(rs_str s, char c, size_t *out_index)
{
    const char *at = s.len == 0 ? NULL : memrchr(s.ptr, c, s.len);
    if (at == NULL)
        return false;
    *out_index = (size_t)(at - s.ptr);
    return true;
}

bool rs_str_cut(rs_str s, char c, rs_str *out_head, rs_str *out_tail)
{
    size_t at;
    bool found = rs_str_find(s, c, &at);
    *out_head = found ? rs_str_sub(s, 0, at) : s;
    *out_tail = found ? rs_str_from(s, at + 1) : rs_str_from(s, s.len);
    return found;
}

bool rs_str_u64(rs_str s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (s.len == 0)
        return false;
    *out = value;
    return true;
}

bool rs_str_copy_z(rs_str s, char *out, size_t size)
{
    if (s.len >= size || (s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL))
        return false;
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

void rs_hex_encode(const void *bytes, size_t len, char *out)
{
    const uint8_t *in = bytes;
    for (size_t i = 0; i < len; i++) {
        *out++ = "0123456789abcdef"[in[i] >> 4];
        *out++ = "0123456789abcdef"[in[i] & 15];
    }
    *out = '\0';
}

/* One more than the digit's value; 0: it is none. */
static const uint8_t hex_digits[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

bool rs_hex_decode(rs_str hex, void *out, size_t len)
{
    uint8_t *bytes = out;
    const uint8_t *in = (const uint8_t *)hex.ptr;
    if (hex.len % 2 != 0 || hex.len / 2 != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned high = hex_digits[in[2 * i]], low = hex_digits[in[2 * i + 1]];
        if (high == 0 || low == 0)
            return false;
        bytes[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return true;
}

/* --- growing buffers: one byte more than `cap` is allocated, so that a NUL always has room --- */

void rs_buf_init(struct rs_buf *b, size_t max)
{
    RS_ASSERT(max < SIZE_MAX / 4);
    *b = (struct rs_buf){.max = max};
}

void rs_buf_release(struct rs_buf *b)
{
    free(b->ptr);
    *b = (struct rs_buf){.max = b->max};
}

void rs_buf_clear(struct rs_buf *b)
{
    b->len = 0;
    b->overflow = false;
}

char *rs_buf_reserve(struct rs_buf *b, size_t len)
{
    if (len > b->max - RS_MIN(b->len, b->max))
        return NULL;
    if (b->ptr == NULL || b->cap - b->len < len) {
        size_t want = RS_MAX(RS_MAX(b->len + len, 2 * b->cap), 63);
        b->cap = RS_MIN(want, b->max);
        b->ptr = rs_realloc(b->ptr, b->cap + 1);
    }
    return b->ptr + b->len;
}

void rs_buf_append(struct rs_buf *b, const void *bytes, size_t len)
{
    if (b->overflow || len == 0)
        return;
    char *to = rs_buf_reserve(b, len);
    if (to == NULL) {
        b->overflow = true;
        return;
    }
    memcpy(to, bytes, len);
    b->len += len;
}

void rs_buf_add(struct rs_buf *b, rs_str s)
{
    rs_buf_append(b, s.ptr, s.len);
}

void rs_buf_add_c(struct rs_buf *b, const char *z)
{
    rs_buf_add(b, rs_str_c(z));
}

void rs_buf_add_char(struct rs_buf *b, char c)
{
    rs_buf_append(b, &c, 1);
}

void rs_buf_printf(struct rs_buf *b, const char *fmt, ...)
{
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->ptr == NULL ? 0 : b->cap - b->len + 1;
    int n = b->overflow ? -1 : vsnprintf(room == 0 ? NULL : b->ptr + b->len, room, fmt, args);
    char *to = n < 0 ? NULL : rs_buf_reserve(b, (size_t)n);
    if (to == NULL) {
        b->overflow = true;
    } else {
        if ((size_t)n >= room)
            vsnprintf(to, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void rs_buf_consume(struct rs_buf *b, size_t len)
{
    RS_ASSERT(len <= b->len);
    b->len -= len;
    if (b->len > 0 && len > 0)
        memmove(b->ptr, b->ptr + len, b->len);
}

rs_str rs_buf_str(const struct rs_buf *b)
{
    return (rs_str){b->ptr, b->len};
}

const char *rs_buf_z(struct rs_buf *b)
{
    if (b->ptr == NULL)
        return "";
    b->ptr[b->len] = '\0';
    return b->ptr;
}
