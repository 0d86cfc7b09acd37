/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings by value (rs_str: borrowed bytes with a length, not NUL-terminated) and growing buffers with a ceiling
 * (rs_buf). Pure functions; any thread.
 */
#pragma once

#include "base/cc.h"
#include "base/err.h"

/* Borrowed bytes. ptr may be NULL when len is 0. */
typedef struct rs_str {
    const char *ptr;
    size_t len;
} rs_str;

#define RS_STR(literal) ((rs_str){(literal), sizeof(literal) - 1})
#define RS_STR_FMT "%.*s"
#define RS_STR_ARG(s) (int)(s).len, (s).ptr

rs_str rs_str_c(const char *z); /* of a NUL-terminated string; NULL gives the empty one */
bool rs_str_eq(rs_str a, rs_str b);
bool rs_str_eq_c(rs_str a, const char *z);
bool rs_str_eq_nocase(rs_str a, rs_str b); /* ASCII letters */
int rs_str_cmp(rs_str a, rs_str b);        /* byte order; a prefix sorts first */
bool rs_str_starts(rs_str s, rs_str prefix);
bool rs_str_ends(rs_str s, rs_str suffix);
rs_str rs_str_from(rs_str s, size_t from);             /* s without its first bytes; from may exceed the length */
rs_str rs_str_sub(rs_str s, size_t from, size_t len);  /* clamped to s */
rs_str rs_str_trim(rs_str s);                          /* without spaces and tabs at both ends */
bool rs_str_find(rs_str s, char c, size_t *out_index); /* first occurrence */
bool rs_str_rfind(rs_str s, char c, size_t *out_index);

/* Cuts s at the first c: *out_head is what stands before, *out_tail what follows. Without c: all, empty, false. */
bool rs_str_cut(rs_str s, char c, rs_str *out_head, rs_str *out_tail);

/* Decimal digits only, no sign, at most max. False if it is anything else. */
bool rs_str_u64(rs_str s, uint64_t max, uint64_t *out);

/* Copies into a NUL-terminated array; false if it does not fit or holds a NUL. */
bool rs_str_copy_z(rs_str s, char *out, size_t size);

/* Lower-case hexadecimal; out needs 2*len+1 bytes. */
void rs_hex_encode(const void *bytes, size_t len, char *out);
/* Lower-case digits only; len is that of out. False unless hex has exactly 2*len digits. */
bool rs_hex_decode(rs_str hex, void *out, size_t len);

/* A growing buffer with a ceiling. An append that would pass it appends nothing and sets `overflow`, which sticks:
 * check once, at the end. Memory comes from malloc; running out of it aborts. */
struct rs_buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max;
    bool overflow;
};

void rs_buf_init(struct rs_buf *b, size_t max); /* allocates nothing yet */
void rs_buf_release(struct rs_buf *b);
void rs_buf_clear(struct rs_buf *b); /* keeps the memory */
void rs_buf_append(struct rs_buf *b, const void *bytes, size_t len);
void rs_buf_add(struct rs_buf *b, rs_str s);
void rs_buf_add_c(struct rs_buf *b, const char *z);
void rs_buf_add_char(struct rs_buf *b, char c);
void rs_buf_printf(struct rs_buf *b, const char *fmt, ...) RS_PRINTF(2, 3);
/* Makes room for len more bytes and returns where to write them (then add to b->len), or NULL past the ceiling. */
char *rs_buf_reserve(struct rs_buf *b, size_t len);
void rs_buf_consume(struct rs_buf *b, size_t len); /* drops the first bytes */
rs_str rs_buf_str(const struct rs_buf *b);
const char *rs_buf_z(struct rs_buf *b); /* NUL-terminated, valid until the next change */
