/* SPDX-License-Identifier: Apache-2.0 */
/* Private to health: what the checks do. */
#pragma once

#include <stdatomic.h>

#include "health/health.h"

/* Beyond its timeout, a check that does not come back has failed. Tests shorten it, before any starts. */
extern int64_t health_hang_ms;

/* What a check needs to know: all of it stays as it is while it runs. */
struct health_subject {
    const struct rs_config_check *config;
    struct rs_storage *storage;
    const _Atomic bool *stop; /* true: give up soon */
};

/* RS_OK, or what is wrong. Returns within the check's timeout and about a second, unless the disk or the resolver
 * hangs.
 */
rs_rc health_check(const struct health_subject *subject, struct rs_err *err);
/* Appends the name of a check, without secrets. */
void health_name(const struct health_subject *subject, struct rs_buf *out);
