/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: counters, gauges and histograms, all listed in src/tbl/metrics.def, and their exposition in Prometheus' text
 * format. Everybody may count, from any thread; it takes no lock, and next to no time. How stands in metrics.c
 * ("SHARDS"). There is one set of metrics a process.
 */
#pragma once

#include "base/str.h"

enum rs_metric {
#define RS_METRIC(id, type, name, a, b, c, scale, bounds, help) RS_METRIC_##id,
#include "tbl/metrics.def"
    RS_METRICS
};

/* The values of all labels, those of one label in a row: RS_VALUE_METHOD_GET, and RS_VALUE_FIRST_METHOD the first. */
enum rs_value {
    RS_VALUE_NONE,
    RS_VALUE_FIRST_NONE = RS_VALUE_NONE,
    RS_VALUE_END_NONE,
    RS_VALUE_LAST_NONE = RS_VALUE_END_NONE - 1,
#define RS_METRIC_LABEL(label, name, there)                                                                            \
    RS_VALUE_FIRST_##label, RS_VALUE_BEFORE_##label = RS_VALUE_FIRST_##label - 1,
#define RS_METRIC_VALUE(label, id, text, there) RS_VALUE_##label##_##id,
#define RS_METRIC_END(label) RS_VALUE_END_##label, RS_VALUE_LAST_##label = RS_VALUE_END_##label - 1,
#define RS_METRIC_OPEN(label, name, there, max)                                                                        \
    RS_VALUE_FIRST_##label, RS_VALUE_END_##label = RS_VALUE_FIRST_##label + (max),                                     \
                            RS_VALUE_LAST_##label = RS_VALUE_END_##label - 1,
#include "tbl/metrics.def"
    RS_VALUES
};

enum rs_label {
    RS_LABEL_NONE,
#define RS_METRIC_LABEL(label, name, there) RS_LABEL_##label,
#define RS_METRIC_OPEN(label, name, there, max) RS_LABEL_##label,
#include "tbl/metrics.def"
    RS_LABELS_COUNT
};

/* The values of a metric's labels, in their order. */
struct rs_metric_labels {
    enum rs_value values[3];
};
#define RS_LABELS(...) ((struct rs_metric_labels){{__VA_ARGS__}})
#define RS_NO_LABELS ((struct rs_metric_labels){{RS_VALUE_NONE}})

/* The value with that text. Of an open label: made one if there is room. Otherwise the label's first value, which
 * stands for all others. Not for every request: it searches. */
enum rs_value rs_metrics_value(enum rs_label label, rs_str text);
enum rs_value rs_metrics_code(int status); /* of the label CODE; quick */

void rs_metrics_add(enum rs_metric metric, struct rs_metric_labels labels, uint64_t n); /* COUNTER, LEVEL */
void rs_metrics_sub(enum rs_metric metric, struct rs_metric_labels labels, uint64_t n); /* LEVEL */
/* HISTOGRAM: notes `value` (bytes, microseconds) `times` times. */
void rs_metrics_observe(enum rs_metric metric, struct rs_metric_labels labels, uint64_t value, uint64_t times);
void rs_metrics_set(enum rs_metric metric, struct rs_metric_labels labels, uint64_t value); /* GAUGE, TOTAL */
/* The same where every request counts: the cell is found once. Those of a COUNTER's last label lie side by side. */
unsigned rs_metrics_cell(enum rs_metric metric, struct rs_metric_labels labels);
void rs_metrics_add_cell(unsigned cell, uint64_t n); /* COUNTER, LEVEL; -1 takes one away */
void rs_metrics_observe_cell(enum rs_metric metric, unsigned cell, uint64_t value, uint64_t times);
/* What it stands at; of a histogram, how many values it has seen. */
uint64_t rs_metrics_get(enum rs_metric metric, struct rs_metric_labels labels);

/* Names a function that sets GAUGEs and TOTALs whenever metrics are written; any thread may call it. */
typedef void rs_metrics_collector(void *ctx);
void rs_metrics_collect(rs_metrics_collector *collector, void *ctx);
void rs_metrics_forget(void *ctx); /* all that have this ctx. While nothing is written */

#define RS_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define RS_METRICS_BYTES_MAX (16 * 1024 * 1024)
/* Calls the collectors and appends everything in the text format 0.0.4. */
void rs_metrics_write(struct rs_buf *out);
/* Appends what docs/OPERATIONS.md has to say: a line of a table for each metric. */
void rs_metrics_document(struct rs_buf *out);
