/* SPDX-License-Identifier: Apache-2.0 */
/* Private to storage: counts and times the calls of drivers. */
#pragma once

#include "metrics/metrics.h"
#include "storage/storage_priv.h"

struct storage_count {
    struct rs_storage *storage; /* NULL: not counted */
    enum rs_value operation;
    unsigned times;   /* how many calls the time stands for; 0: this one is not timed */
    int64_t start_us; /* if it is */
};

/* Under another driver's name: that of the one it passes its calls on to. */
void storage_count_as(struct rs_storage *storage, const char *driver);
struct storage_count storage_count_begin(struct rs_storage *storage, enum rs_value operation);
/* Returns rc. */
rs_rc storage_count_end(const struct storage_count *count, rs_rc rc);
