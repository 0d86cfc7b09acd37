/* SPDX-License-Identifier: Apache-2.0 */
/* What is looked at before jansson sees a stranger's document. Private to oci; pure. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

/* jansson recurses while threads have small stacks, and "{}," costs it a hundred times its bytes: depth and number of
 * values are limited. RS_E_INVALID with what and where. */
rs_rc rs_json_check(rs_str bytes, struct rs_err *err);
/* Whether Go's decoder takes the one key for the other: it compares ASCII letters without case, and folds two
 * characters beyond ASCII to one (long s, Kelvin). */
bool rs_json_folds_to(const char *key, const char *name);
void rs_json_free(json_t **json); /* for RS_AUTO */
