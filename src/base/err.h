/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. A function that can fail returns rs_rc and takes `struct rs_err *err` last: the caller's, of fixed size.
 * It returns an error or logs it, never both. The whole contract: docs/ERRORS.md. Any thread.
 */
#pragma once

#include "base/cc.h"

/* The return code. RS_OK is 0 and the only success. The list is src/tbl/errors.def. */
typedef enum rs_rc {
    RS_OK = 0,
#define RS_ERR(name, status, code, text) RS_E_##name,
#include "tbl/errors.def"
#undef RS_ERR
    RS_RC_COUNT
} rs_rc;

#define RS_ERR_TEXT_MAX 512

/* What went wrong. The text is for people, names no secret, and is cut rather than overrun. */
struct rs_err {
    rs_rc rc;
    char text[RS_ERR_TEXT_MAX];
};

/* Sets code and text; returns rc. err may be NULL (the caller does not care for the text). */
rs_rc rs_err_set(struct rs_err *err, rs_rc rc, const char *fmt, ...) RS_PRINTF(3, 4);

/* The same from an errno value: ENOSPC and EDQUOT become RS_E_STORAGE_FULL, ENOENT and ENOTDIR RS_E_NOT_FOUND,
 * EEXIST RS_E_EXISTS, all else RS_E_IO. The text ends with strerror's. */
rs_rc rs_err_sys(struct rs_err *err, int errnum, const char *fmt, ...) RS_PRINTF(3, 4);

/* Puts "context: " before the text that is there; keeps and returns the code. Once a layer. */
rs_rc rs_err_wrap(struct rs_err *err, const char *fmt, ...) RS_PRINTF(2, 3);

/* The table's columns. rc must not be RS_OK. */
int rs_rc_status(rs_rc rc);       /* HTTP status */
const char *rs_rc_code(rs_rc rc); /* the specification's error code */
const char *rs_rc_text(rs_rc rc); /* the short text */
const char *rs_rc_name(rs_rc rc); /* the enum's own name, for logs and tests */

/* The only macro that returns. */
#define RS_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        rs_rc rs_try_rc_ = (expr);                                                                                     \
        if (rs_try_rc_ != RS_OK)                                                                                       \
            return rs_try_rc_;                                                                                         \
    } while (0)
