/* SPDX-License-Identifier: Apache-2.0 */
/* Private to metrics: the table as an array. */
#pragma once

#include "metrics/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_LEVEL, METRIC_HISTOGRAM, METRIC_GAUGE, METRIC_TOTAL };
enum metric_scale { METRIC_ONE, METRIC_MICRO };

/* Upper bounds of a histogram's buckets, and how they are written. */
struct metric_bound {
    uint64_t value;
    const char *text; /* as Go writes it */
};
struct metric_bounds {
    const struct metric_bound *bounds;
    unsigned count;
};

struct metric_label {
    const char *name;
    const char *there; /* in registry:2's metrics */
    enum rs_value first, end;
    bool open;
};

struct metric_family {
    enum metric_type type;
    const char *name;
    enum rs_label labels[3];
    enum metric_scale scale;
    const struct metric_bounds *bounds;    /* of a histogram */
    unsigned cell;                         /* the first of its cells */
    unsigned series;                       /* how many there are */
    unsigned width;                        /* cells of a series */
    unsigned first[3], values[3], step[3]; /* of each label: its first value, how many, cells between two */
    const char *help;
};

struct metric_alias {
    const char *name;
    enum rs_metric metric;
    uint64_t lowest, highest; /* the bounds that are shown */
    const char *help;
};

extern const struct metric_family metric_families[RS_METRICS];
extern const struct metric_label metric_labels[RS_LABELS_COUNT];
extern const struct metric_alias metric_aliases[];
extern const size_t metric_alias_count;

/* The text of a value; "" if an open label has none there (yet). there: registry:2's. */
const char *metric_value_text(enum rs_value value, bool there);
uint64_t metric_cell(unsigned cell); /* the sum over all shards */
/* Of a GAUGE or TOTAL. False: it was never set. */
bool metric_cell_set(unsigned cell, uint64_t *out);
void metric_collect(void);
void metric_process(void); /* process.c: sets what is known of the process */
