/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included first by script/lint's clang-tidy. The analyser cannot see that these never return RS_OK, and would follow
 * paths on which a failed call counts as a success and its result is uninitialised.
 */
#pragma once

#include "base/err.h"

#define RS_NEVER_OK(call)                                                                                              \
    ({                                                                                                                 \
        rs_rc never_ok_ = (call);                                                                                      \
        if (never_ok_ == RS_OK)                                                                                        \
            __builtin_unreachable();                                                                                   \
        never_ok_;                                                                                                     \
    })
#define rs_err_set(...) RS_NEVER_OK((rs_err_set)(__VA_ARGS__))
#define rs_err_sys(...) RS_NEVER_OK((rs_err_sys)(__VA_ARGS__))
#define rs_err_wrap(...) RS_NEVER_OK((rs_err_wrap)(__VA_ARGS__))
