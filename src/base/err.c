/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>

struct rc_row {
    const char *name;
    int status;
    const char *code;
    const char *text;
};

static const struct rc_row rc_table[RS_RC_COUNT] = {
    [RS_OK] = {"OK", 200, "", "no error"},
#define RS_ERR(name, status, code, text) [RS_E_##name] = {#name, status, code, text},
#include "tbl/errors.def"
#undef RS_ERR
};

void rs_assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "roadstead: %s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}

/* A cut must not leave half a UTF-8 character behind. Cuts text to at most `max` bytes. */
static void cut_utf8(char *text, size_t max)
{
    if (strlen(text) <= max)
        return;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    text[max] = '\0';
}

/* By way of a second array: the arguments may point into err->text itself. One byte more than fits shows a cut. */
static void RS_PRINTF(2, 0) set_text(struct rs_err *err, const char *fmt, va_list args)
{
    char text[RS_ERR_TEXT_MAX + 1];
    if (vsnprintf(text, sizeof text, fmt, args) < 0)
        text[0] = '\0';
    cut_utf8(text, RS_ERR_TEXT_MAX - 1);
    memcpy(err->text, text, strlen(text) + 1);
}

rs_rc rs_err_set(struct rs_err *err, rs_rc rc, const char *fmt, ...)
{
    if (err == NULL)
        return rc;
    va_list args;
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    err->rc = rc;
    return rc;
}

static rs_rc rc_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return RS_E_STORAGE_FULL;
    case ENOENT:
    case ENOTDIR:
        return RS_E_NOT_FOUND;
    case EEXIST:
        return RS_E_EXISTS;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return RS_E_EXHAUSTED;
    default:
        return RS_E_IO;
    }
}

rs_rc rs_err_sys(struct rs_err *err, int errnum, const char *fmt, ...)
{
    rs_rc rc = rc_of_errno(errnum);
    if (err == NULL)
        return rc;
    va_list args;
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    char reason[128];
    return rs_err_set(err, rc, "%s: %s", err->text, strerror_r(errnum, reason, sizeof reason));
}

rs_rc rs_err_wrap(struct rs_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return RS_E_INTERNAL;
    struct rs_err context;
    va_list args;
    va_start(args, fmt);
    set_text(&context, fmt, args);
    va_end(args);
    return rs_err_set(err, err->rc, "%s: %s", context.text, err->text);
}

static const struct rc_row *row(rs_rc rc)
{
    RS_ASSERT(rc > RS_OK && rc < RS_RC_COUNT);
    return &rc_table[rc];
}

int rs_rc_status(rs_rc rc)
{
    return row(rc)->status;
}

const char *rs_rc_code(rs_rc rc)
{
    return row(rc)->code;
}

const char *rs_rc_text(rs_rc rc)
{
    return row(rc)->text;
}

const char *rs_rc_name(rs_rc rc)
{
    return rc == RS_OK ? rc_table[RS_OK].name : row(rc)->name;
}
