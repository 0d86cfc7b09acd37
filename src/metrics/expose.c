/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text format of Prometheus, version 0.0.4: families in the table's order, ours and then registry:2's names of the
 * same cells. Counters and histograms with labels are shown once they have counted something.
 */
#include "metrics/metrics_priv.h"

/* A family, or an alias of one. */
struct view {
    const struct metric_family *family;
    const char *name;
    const char *help;
    bool there;               /* with registry:2's labels */
    uint64_t lowest, highest; /* the bounds that are shown */
};

struct series {
    unsigned cell;
    enum rs_value values[3];
};

static void add_escaped(struct rs_buf *out, const char *text, bool quote)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || (quote && *text == '"'))
            rs_buf_add_char(out, '\\');
        if (*text == '\n')
            rs_buf_add_c(out, "\\n");
        else
            rs_buf_add_char(out, *text);
    }
}

static void add_head(struct rs_buf *out, const struct view *view)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_LEVEL] = "gauge",   [METRIC_HISTOGRAM] = "histogram",
        [METRIC_GAUGE] = "gauge",     [METRIC_TOTAL] = "counter",
    };
    rs_buf_printf(out, "# HELP %s ", view->name);
    add_escaped(out, view->help, false);
    rs_buf_printf(out, "\n# TYPE %s %s\n", view->name, types[view->family->type]);
}

static void add_labels(struct rs_buf *out, const struct view *view, const struct series *s, const char *bound)
{
    char before = '{';
    for (size_t i = 0; i < RS_COUNT(s->values) && view->family->labels[i] != RS_LABEL_NONE; i++, before = ',') {
        const struct metric_label *label = &metric_labels[view->family->labels[i]];
        rs_buf_printf(out, "%c%s=\"", before, view->there ? label->there : label->name);
        add_escaped(out, metric_value_text(s->values[i], view->there), true);
        rs_buf_add_char(out, '"');
    }
    if (bound != NULL)
        rs_buf_printf(out, "%cle=\"%s\"}", before, bound);
    else if (before == ',')
        rs_buf_add_char(out, '}');
}

/* Whole microseconds are exact as decimals; a LEVEL may be below zero for a moment, when its shards are read. */
static void add_number(struct rs_buf *out, const struct metric_family *family, uint64_t value)
{
    if (family->scale == METRIC_MICRO)
        rs_buf_printf(out, " %llu.%06llu\n", (unsigned long long)(value / 1000000),
                      (unsigned long long)(value % 1000000));
    else if (family->type == METRIC_LEVEL)
        rs_buf_printf(out, " %lld\n", (long long)RS_MAX((int64_t)value, 0));
    else
        rs_buf_printf(out, " %llu\n", (unsigned long long)value);
}

static void add_line(struct rs_buf *out, const struct view *view, const struct series *s, const char *suffix,
                     const char *bound, uint64_t value)
{
    rs_buf_printf(out, "%s%s", view->name, suffix);
    add_labels(out, view, s, bound);
    rs_buf_printf(out, " %llu\n", (unsigned long long)value);
}

static bool any(const struct metric_family *family, const uint64_t *cells)
{
    for (unsigned i = 0; i < family->width - 1; i++)
        if (cells[i] != 0)
            return true;
    return false;
}

/* Buckets are cumulative; the last one and the count are the same number. */
static void add_histogram(struct rs_buf *out, const struct view *view, const struct series *s)
{
    const struct metric_bounds *bounds = view->family->bounds;
    uint64_t cells[64] = {0}, sum = 0;
    RS_ASSERT(view->family->width <= RS_COUNT(cells));
    for (unsigned i = 0; i < view->family->width; i++)
        cells[i] = metric_cell(s->cell + i);
    if (!any(view->family, cells))
        return;
    for (unsigned i = 0; i < bounds->count; i++) {
        sum += cells[i];
        if (bounds->bounds[i].value >= view->lowest && bounds->bounds[i].value <= view->highest)
            add_line(out, view, s, "_bucket", bounds->bounds[i].text, sum);
    }
    sum += cells[bounds->count];
    add_line(out, view, s, "_bucket", "+Inf", sum);
    rs_buf_printf(out, "%s_sum", view->name);
    add_labels(out, view, s, NULL);
    add_number(out, view->family, cells[bounds->count + 1]);
    add_line(out, view, s, "_count", NULL, sum);
}

static void add_series(struct rs_buf *out, const struct view *view, const struct series *s)
{
    const struct metric_family *family = view->family;
    uint64_t value = 0;
    if (family->type == METRIC_HISTOGRAM) {
        add_histogram(out, view, s);
        return;
    }
    if (family->type == METRIC_GAUGE || family->type == METRIC_TOTAL) {
        if (!metric_cell_set(s->cell, &value))
            return;
    } else {
        value = metric_cell(s->cell);
        if (value == 0 && family->type == METRIC_COUNTER && family->series > 1)
            return;
    }
    rs_buf_add_c(out, view->name);
    add_labels(out, view, s, NULL);
    add_number(out, family, value);
}

/* From the number of a series to its labels. False: one of them has no name here. */
static bool find_series(const struct view *view, unsigned number, struct series *out)
{
    const struct metric_family *family = view->family;
    *out = (struct series){.cell = family->cell + number * family->width};
    for (size_t i = RS_COUNT(out->values); i-- > 0;) {
        const struct metric_label *label = &metric_labels[family->labels[i]];
        unsigned count = label->end - label->first;
        out->values[i] = label->first + number % count;
        number /= count;
        if (family->labels[i] != RS_LABEL_NONE && metric_value_text(out->values[i], view->there)[0] == '\0')
            return false;
    }
    return true;
}

static void add_view(struct rs_buf *out, const struct view *view)
{
    struct series s;
    add_head(out, view);
    for (unsigned i = 0; i < view->family->series; i++)
        if (find_series(view, i, &s))
            add_series(out, view, &s);
}

static struct view family_view(enum rs_metric metric)
{
    const struct metric_family *family = &metric_families[metric];
    return (struct view){family, family->name, family->help, false, 0, UINT64_MAX};
}

static struct view alias_view(size_t index)
{
    const struct metric_alias *alias = &metric_aliases[index];
    return (struct view){
        &metric_families[alias->metric], alias->name, alias->help, true, alias->lowest, alias->highest};
}

void rs_metrics_write(struct rs_buf *out)
{
    metric_process();
    metric_collect();
    for (unsigned i = 0; i < RS_METRICS; i++) {
        struct view view = family_view((enum rs_metric)i);
        add_view(out, &view);
    }
    for (size_t i = 0; i < metric_alias_count; i++) {
        struct view view = alias_view(i);
        add_view(out, &view);
    }
}

static void document(struct rs_buf *out, const struct view *view)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_LEVEL] = "gauge",   [METRIC_HISTOGRAM] = "histogram",
        [METRIC_GAUGE] = "gauge",     [METRIC_TOTAL] = "counter",
    };
    rs_buf_printf(out, "| `%s` | %s |", view->name, types[view->family->type]);
    for (size_t i = 0; i < RS_COUNT(view->family->labels) && view->family->labels[i] != RS_LABEL_NONE; i++) {
        const struct metric_label *label = &metric_labels[view->family->labels[i]];
        rs_buf_printf(out, " %s", view->there ? label->there : label->name);
    }
    rs_buf_printf(out, " | %s |\n", view->help);
}

void rs_metrics_document(struct rs_buf *out)
{
    rs_buf_add_c(out, "| metric | type | labels | |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < RS_METRICS; i++) {
        struct view view = family_view((enum rs_metric)i);
        document(out, &view);
    }
    for (size_t i = 0; i < metric_alias_count; i++) {
        struct view view = alias_view(i);
        document(out, &view);
    }
}
