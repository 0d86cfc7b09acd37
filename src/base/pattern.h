/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of the configuration, matched against strangers' text: PCRE2 with limits, since its matching may
 * take exponential time where registry:2's (Go's RE2) does not. What RE2 understands means the same here. A pattern is
 * immutable; any thread.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct rs_pattern;

/* RS_E_INVALID: what is wrong, and at which byte. */
rs_rc rs_pattern_new(rs_str text, struct rs_pattern **out, struct rs_err *err);
void rs_pattern_free(struct rs_pattern **pattern);

enum rs_match {
    RS_MATCH_NO,
    RS_MATCH_YES,
    RS_MATCH_UNKNOWN, /* a limit was reached: take the side that restricts */
};
/* Whether it matches anywhere in the text. */
enum rs_match rs_pattern_match(const struct rs_pattern *pattern, rs_str text);
