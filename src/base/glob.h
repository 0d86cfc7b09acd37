/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of names, in the configuration: v[0-9]*, for example. '*' stands for anything without a slash, two of them
 * for anything, '?' for one byte that is no slash, [a-z] and [!a-z] for one byte of a set, '\\' makes the next byte
 * stand for itself. A slash and two stars at the end also match what stands before the slash alone. Pure; any thread.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* RS_E_INVALID: what is wrong, and at which byte. */
#define RS_GLOB_MAX 1024 /* bytes */
rs_rc rs_glob_check(rs_str glob, struct rs_err *err);
/* Whether it matches the whole text. The time is bounded by the product of both lengths. A glob that rs_glob_check
 * refuses matches nothing. */
bool rs_glob_match(rs_str glob, rs_str text);
/* Whether one of them does. */
bool rs_globs_match(const char *const *globs, size_t count, rs_str text);
