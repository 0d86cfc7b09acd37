/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of the table "does what is left of the glob match what is left of the text" at a time: row[j] says so for the
 * text from byte j on, and each element of the glob, from the last to the first, makes the row anew. No backtracking,
 * so no glob is slow.
 */
#include "base/glob.h"

#include "base/mem.h"

#define ROW_ON_STACK 512

enum kind { LITERAL, ONE, SET, STAR, STARS };

struct element {
    enum kind kind;
    size_t len; /* bytes of the glob */
    char byte;  /* LITERAL */
    rs_str set; /* SET: between the brackets */
};

/* The element at the beginning of the glob; false: it is broken. */
static bool next(rs_str glob, struct element *out)
{
    size_t end;
    *out = (struct element){.kind = LITERAL, .len = 1, .byte = glob.ptr[0]};
    switch (glob.ptr[0]) {
    case '*':
        out->kind = glob.len > 1 && glob.ptr[1] == '*' ? STARS : STAR;
        out->len = out->kind == STARS ? 2 : 1;
        return true;
    case '?':
        out->kind = ONE;
        return true;
    case '\\':
        out->len = 2;
        out->byte = glob.len > 1 ? glob.ptr[1] : '\0';
        return glob.len > 1;
    case '[':
        if (!rs_str_find(rs_str_from(glob, 2), ']', &end)) /* the first byte of a set may be ']' */
            return false;
        out->kind = SET;
        out->set = rs_str_sub(glob, 1, end + 1);
        out->len = end + 3;
        return !rs_str_eq_c(out->set, "!");
    default:
        return true;
    }
}

static bool is_in_set(rs_str set, char c)
{
    bool negated = set.len > 0 && set.ptr[0] == '!';
    bool found = false;
    for (size_t i = negated ? 1 : 0; i < set.len; i++) {
        if (i + 2 < set.len && set.ptr[i + 1] == '-') {
            found |= set.ptr[i] <= c && c <= set.ptr[i + 2];
            i += 2;
        } else {
            found |= set.ptr[i] == c;
        }
    }
    return found != negated;
}

static bool is_one(const struct element *e, char c)
{
    if (e->kind == LITERAL)
        return e->byte == c;
    return c != '/' && (e->kind == ONE || is_in_set(e->set, c));
}

/* row: of what follows the element; becomes that of the element and what follows. */
static void put_before(const struct element *e, rs_str text, bool *row)
{
    bool is_star = e->kind == STAR || e->kind == STARS;
    if (!is_star) {
        for (size_t j = 0; j < text.len; j++)
            row[j] = row[j + 1] && is_one(e, text.ptr[j]);
        row[text.len] = false;
        return;
    }
    for (size_t j = text.len; j-- > 0;)
        row[j] |= row[j + 1] && (e->kind == STARS || text.ptr[j] != '/');
}

/* The elements in front are done after those behind: the recursion is as deep as the glob has elements, and a glob is a
 * line of a configuration. */
static bool fill(rs_str glob, rs_str text, bool *row)
{
    struct element e;
    if (glob.len == 0) {
        memset(row, 0, text.len + 1);
        row[text.len] = true;
        return true;
    }
    if (!next(glob, &e) || !fill(rs_str_from(glob, e.len), text, row))
        return false;
    put_before(&e, text, row);
    return true;
}

static bool match(rs_str glob, rs_str text)
{
    bool on_stack[ROW_ON_STACK];
    RS_AUTO(rs_free_ptr) bool *on_heap = text.len < ROW_ON_STACK ? NULL : rs_malloc(text.len + 1);
    bool *row = on_heap != NULL ? on_heap : on_stack;
    return fill(glob, text, row) && row[0];
}

bool rs_glob_match(rs_str glob, rs_str text)
{
    if (match(glob, text))
        return true;
    return rs_str_ends(glob, RS_STR("/**")) && match(rs_str_sub(glob, 0, glob.len - 3), text);
}

bool rs_globs_match(const char *const *globs, size_t count, rs_str text)
{
    for (size_t i = 0; i < count; i++)
        if (rs_glob_match(rs_str_c(globs[i]), text))
            return true;
    return false;
}

rs_rc rs_glob_check(rs_str glob, struct rs_err *err)
{
    struct element e;
    if (glob.len == 0 || glob.len > RS_GLOB_MAX)
        return rs_err_set(err, RS_E_INVALID, "a pattern has between 1 and %d bytes", RS_GLOB_MAX);
    for (size_t at = 0; at < glob.len; at += e.len)
        if (!next(rs_str_from(glob, at), &e))
            return rs_err_set(err, RS_E_INVALID, "the pattern \"" RS_STR_FMT "\" is broken at byte %zu",
                              RS_STR_ARG(glob), at + 1);
    return RS_OK;
}
