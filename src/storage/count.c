/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of drivers as metrics. Most are timed, one by one. Those that are quicker than the clock is are all
 * counted, and one in SAMPLE is timed by its thread, for itself and for those since the last one.
 */
#include "storage/count.h"

#include "base/clock.h"

#define SAMPLE 64
#define OPERATIONS (RS_VALUE_END_OPERATION - RS_VALUE_FIRST_OPERATION)

static bool is_quick(enum rs_value operation)
{
    return operation == RS_VALUE_OPERATION_STAT || operation == RS_VALUE_OPERATION_READ ||
           operation == RS_VALUE_OPERATION_OPEN || operation == RS_VALUE_OPERATION_APPEND_READ;
}

/* For how many calls the time of this one stands; 0: not to be timed. A thread's first one stands for itself. */
static unsigned weight(enum rs_value operation)
{
    static _Thread_local struct {
        uint8_t left;
        uint8_t passed;
    } samples[OPERATIONS];
    if (!is_quick(operation))
        return 1;
    size_t at = operation - RS_VALUE_FIRST_OPERATION;
    if (samples[at].left > 0) {
        samples[at].left--;
        samples[at].passed++;
        return 0;
    }
    unsigned times = samples[at].passed + 1u;
    samples[at].left = SAMPLE - 1;
    samples[at].passed = 0;
    return times;
}

/* Once; several threads may find the same. */
static void find_driver(struct rs_storage *storage)
{
    if (atomic_load_explicit(&storage->driver, memory_order_acquire) == RS_VALUE_NONE)
        storage_count_as(storage, storage->ops->name);
}

void storage_count_as(struct rs_storage *storage, const char *driver)
{
    enum rs_value value = rs_metrics_value(RS_LABEL_DRIVER, rs_str_c(driver));
    unsigned cell = rs_metrics_cell(RS_METRIC_STORAGE_OPERATIONS, RS_LABELS(value, RS_VALUE_FIRST_OPERATION));
    atomic_store_explicit(&storage->cell, cell, memory_order_relaxed);
    atomic_store_explicit(&storage->driver, value, memory_order_release);
}

struct storage_count storage_count_begin(struct rs_storage *storage, enum rs_value operation)
{
    struct storage_count count = {.operation = operation};
    if (storage->uncounted)
        return count;
    find_driver(storage);
    count.storage = storage;
    count.times = weight(operation);
    if (count.times > 0)
        count.start_us = rs_mono_us();
    return count;
}

/* An answer that a caller has to reckon with is none: not there, held by another one, longer than wanted. */
static bool is_failure(rs_rc rc)
{
    return rc != RS_OK && rc != RS_E_TOO_BIG && rs_rc_status(rc) >= 500;
}

static void count_rarely(const struct storage_count *count, rs_rc rc)
{
    enum rs_value driver = (enum rs_value)atomic_load_explicit(&count->storage->driver, memory_order_relaxed);
    const struct rs_metric_labels labels = RS_LABELS(driver, count->operation);
    if (count->times > 0)
        rs_metrics_observe(RS_METRIC_STORAGE_SECONDS, labels, (uint64_t)(rs_mono_us() - count->start_us), count->times);
    if (is_failure(rc))
        rs_metrics_add(RS_METRIC_STORAGE_ERRORS, labels, 1);
}

rs_rc storage_count_end(const struct storage_count *count, rs_rc rc)
{
    if (count->storage == NULL)
        return rc;
    unsigned first = atomic_load_explicit(&count->storage->cell, memory_order_relaxed);
    rs_metrics_add_cell(first + (count->operation - RS_VALUE_FIRST_OPERATION), 1);
    if (count->times > 0 || rc != RS_OK)
        count_rarely(count, rc);
    return rc;
}
