/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler: attributes and the few macros that everything stands on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RS_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define RS_MUST_USE __attribute__((warn_unused_result))
#define RS_NORETURN __attribute__((noreturn))
#define RS_UNUSED __attribute__((unused))

/* Declares a variable whose cleanup function runs at the end of its scope: RS_AUTO(rs_fd_close) int fd = -1; */
#define RS_AUTO(fn) __attribute__((cleanup(fn)))

/* Hands a pointer over: returns *pp and nulls it, so that its cleanup does nothing. */
#define rs_take(pp)                                                                                                    \
    ({                                                                                                                 \
        typeof(*(pp)) rs_taken_ = *(pp);                                                                               \
        *(pp) = NULL;                                                                                                  \
        rs_taken_;                                                                                                     \
    })

#define RS_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define RS_MAX(a, b) ((a) > (b) ? (a) : (b))

/* A programming error, never input: prints place and expression, and aborts. On in release builds too. */
#define RS_ASSERT(expr) ((expr) ? (void)0 : rs_assert_failed(#expr, __FILE__, __LINE__))
void rs_assert_failed(const char *expr, const char *file, int line) RS_NORETURN;
