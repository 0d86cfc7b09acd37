/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHARDS
 *
 * A metric with its labels is a row of cells (one; of a histogram one a bucket and one for the sum), at a place that
 * the table fixes when the program is compiled. There are several sets of all cells. A thread that counts owns one of
 * them until it ends, and alone writes to it: relaxed loads and stores, as cheap as plain ones. Threads that find none
 * left share the last one, by atomic additions. Nobody waits, and who reads adds the sets up. What is read while others
 * count is not of one instant: a histogram may show a value that its counter does not have yet. GAUGEs and TOTALs are
 * told by whoever knows, in a cell of the first set that nobody adds to, with its lowest bit set; 0 is "never told".
 *
 * Values of open labels are named once: the text is published by a release store and never changes.
 */
#include "metrics/metrics.h"

#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "metrics/metrics_priv.h"

#define SHARDS 16
#define COLLECTORS_MAX 32

/* --- the table --- */

static const struct metric_bound bounds_seconds[] = {
    {10, "1e-05"},    {25, "2.5e-05"},  {50, "5e-05"},    {100, "0.0001"}, {250, "0.00025"}, {500, "0.0005"},
    {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"},
    {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},  {1000000, "1"},  {2500000, "2.5"}, {5000000, "5"},
    {10000000, "10"}, {25000000, "25"}, {60000000, "60"},
};
static const struct metric_bound bounds_bytes[] = {
    {1 << 10, "1024"},
    {1 << 11, "2048"},
    {1 << 12, "4096"},
    {1 << 13, "8192"},
    {1 << 14, "16384"},
    {1 << 15, "32768"},
    {1 << 16, "65536"},
    {1 << 17, "131072"},
    {1 << 18, "262144"},
    {1 << 19, "524288"},
    {1 << 20, "1.048576e+06"},
    {1 << 21, "2.097152e+06"},
    {1 << 22, "4.194304e+06"},
    {1 << 23, "8.388608e+06"},
    {1 << 24, "1.6777216e+07"},
    {1 << 25, "3.3554432e+07"},
    {1 << 26, "6.7108864e+07"},
    {1 << 27, "1.34217728e+08"},
    {1 << 28, "2.68435456e+08"},
    {1 << 29, "5.36870912e+08"},
    {1 << 30, "1.073741824e+09"},
    {1u << 31, "2.147483648e+09"},
};
static const struct metric_bounds bounds_of_seconds = {bounds_seconds, RS_COUNT(bounds_seconds)};
static const struct metric_bounds bounds_of_bytes = {bounds_bytes, RS_COUNT(bounds_bytes)};

/* For the table: what stands in the column "bounds". */
#define BOUNDS_NONE NULL
#define BOUNDS_SECONDS &bounds_of_seconds
#define BOUNDS_BYTES &bounds_of_bytes
#define WIDTH_NONE 1
#define WIDTH_SECONDS (RS_COUNT(bounds_seconds) + 2) /* the last bucket has no bound; then the sum */
#define WIDTH_BYTES (RS_COUNT(bounds_bytes) + 2)
#define VALUES(label) ((unsigned)RS_VALUE_END_##label - (unsigned)RS_VALUE_FIRST_##label)
#define SERIES(a, b, c) (VALUES(a) * VALUES(b) * VALUES(c))

enum {
#define RS_METRIC(id, type, name, a, b, c, scale, bounds, help)                                                        \
    CELL_##id, CELL_LAST_##id = CELL_##id + SERIES(a, b, c) * WIDTH_##bounds - 1,
#include "tbl/metrics.def"
    CELLS
};

const struct metric_family metric_families[RS_METRICS] = {
#define RS_METRIC(id, type, name, a, b, c, scale, bounds, help)                                                        \
    {METRIC_##type,                                                                                                    \
     name,                                                                                                             \
     {RS_LABEL_##a, RS_LABEL_##b, RS_LABEL_##c},                                                                       \
     METRIC_##scale,                                                                                                   \
     BOUNDS_##bounds,                                                                                                  \
     CELL_##id,                                                                                                        \
     SERIES(a, b, c),                                                                                                  \
     WIDTH_##bounds,                                                                                                   \
     {RS_VALUE_FIRST_##a, RS_VALUE_FIRST_##b, RS_VALUE_FIRST_##c},                                                     \
     {VALUES(a), VALUES(b), VALUES(c)},                                                                                \
     {VALUES(b) * VALUES(c) * WIDTH_##bounds, VALUES(c) * WIDTH_##bounds, WIDTH_##bounds},                             \
     help},
#include "tbl/metrics.def"
};

const struct metric_label metric_labels[RS_LABELS_COUNT] = {
    {"", "", RS_VALUE_FIRST_NONE, RS_VALUE_END_NONE, false},
#define RS_METRIC_LABEL(label, name, there) {name, there, RS_VALUE_FIRST_##label, RS_VALUE_END_##label, false},
#define RS_METRIC_OPEN(label, name, there, max) {name, there, RS_VALUE_FIRST_##label, RS_VALUE_END_##label, true},
#include "tbl/metrics.def"
};

const struct metric_alias metric_aliases[] = {
#define RS_METRIC_ALIAS(name, id, lowest, highest, help) {name, RS_METRIC_##id, lowest, highest, help},
#include "tbl/metrics.def"
};
const size_t metric_alias_count = RS_COUNT(metric_aliases);

/* --- values of labels --- */

static const char *_Atomic texts[RS_VALUES] = {
#define RS_METRIC_VALUE(label, id, text, there) [RS_VALUE_##label##_##id] = (text),
#include "tbl/metrics.def"
};
static const char *const texts_there[RS_VALUES] = {
#define RS_METRIC_VALUE(label, id, text, there) [RS_VALUE_##label##_##id] = (there),
#include "tbl/metrics.def"
};

static struct rs_mutex naming = {PTHREAD_MUTEX_INITIALIZER, RS_LOCK_METRICS};

const char *metric_value_text(enum rs_value value, bool there)
{
    const char *text = there ? texts_there[value] : NULL;
    if (text == NULL) /* also a value of an open label, which has one text */
        text = atomic_load_explicit(&texts[value], memory_order_acquire);
    return text != NULL ? text : "";
}

enum rs_value rs_metrics_value(enum rs_label label, rs_str text)
{
    const struct metric_label *l = &metric_labels[label];
    enum rs_value found = l->first;
    rs_mutex_lock(&naming);
    for (enum rs_value v = l->first; v < l->end; v++) {
        const char *known = atomic_load_explicit(&texts[v], memory_order_relaxed);
        if (known == NULL && l->open) {
            /* The first stands for what comes when there is no room left. */
            const char *made = v == l->first ? "other" : rs_str_dup(text);
            atomic_store_explicit(&texts[v], made, memory_order_release);
            known = made;
        }
        if (known != NULL && rs_str_eq_c(text, known)) {
            found = v;
            break;
        }
    }
    rs_mutex_unlock(&naming);
    return found;
}

enum rs_value rs_metrics_code(int status)
{
    switch (status) {
#define RS_METRIC_CODE(status)                                                                                         \
    case status:                                                                                                       \
        return RS_VALUE_CODE_##status;
#include "tbl/metrics.def"
    default:
        return RS_VALUE_CODE_OTHER;
    }
}

/* --- cells --- */

static struct shard {
    _Alignas(64) _Atomic uint64_t cells[CELLS];
    atomic_bool owned;
} shards[SHARDS];

#define COMMON (&shards[SHARDS - 1])

static _Thread_local struct shard *own; /* from the thread's first count on */
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What the thread still counts goes to the common shard. */
static void give_back(void *shard)
{
    own = COMMON;
    atomic_store_explicit(&((struct shard *)shard)->owned, false, memory_order_release);
}

static void make_key(void)
{
    RS_ASSERT(pthread_key_create(&at_thread_end, give_back) == 0);
}

static struct shard *take_shard(void)
{
    pthread_once(&once, make_key);
    for (struct shard *shard = shards; shard != COMMON; shard++) {
        bool owned = false;
        if (!atomic_compare_exchange_strong_explicit(&shard->owned, &owned, true, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        if (pthread_setspecific(at_thread_end, shard) == 0)
            return shard;
        atomic_store(&shard->owned, false);
        break;
    }
    return COMMON;
}

/* Of the series that these labels name. A value of another label is a programming error. */
static unsigned first_cell(const struct metric_family *family, const struct rs_metric_labels *labels)
{
    unsigned cell = family->cell;
    for (size_t i = 0; i < RS_COUNT(family->first); i++) {
        unsigned value = (unsigned)labels->values[i] - family->first[i];
        RS_ASSERT(value < family->values[i]);
        cell += value * family->step[i];
    }
    return cell;
}

/* SHARDS: an owner needs no atomic addition. */
static void add(unsigned cell, uint64_t n)
{
    if (own == NULL)
        own = take_shard();
    _Atomic uint64_t *at = &own->cells[cell];
    if (own == COMMON)
        atomic_fetch_add_explicit(at, n, memory_order_relaxed);
    else
        atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
}

void rs_metrics_add(enum rs_metric metric, struct rs_metric_labels labels, uint64_t n)
{
    const struct metric_family *family = &metric_families[metric];
    RS_ASSERT(family->type == METRIC_COUNTER || family->type == METRIC_LEVEL);
    add(first_cell(family, &labels), n);
}

void rs_metrics_sub(enum rs_metric metric, struct rs_metric_labels labels, uint64_t n)
{
    const struct metric_family *family = &metric_families[metric];
    RS_ASSERT(family->type == METRIC_LEVEL);
    add(first_cell(family, &labels), -n);
}

void rs_metrics_observe_cell(enum rs_metric metric, unsigned cell, uint64_t value, uint64_t times)
{
    const struct metric_bounds *bounds = metric_families[metric].bounds;
    unsigned bucket = 0;
    RS_ASSERT(bounds != NULL);
    while (bucket < bounds->count && value > bounds->bounds[bucket].value)
        bucket++;
    add(cell + bucket, times);
    if (value > 0)
        add(cell + bounds->count + 1, value * times);
}

void rs_metrics_observe(enum rs_metric metric, struct rs_metric_labels labels, uint64_t value, uint64_t times)
{
    rs_metrics_observe_cell(metric, first_cell(&metric_families[metric], &labels), value, times);
}

unsigned rs_metrics_cell(enum rs_metric metric, struct rs_metric_labels labels)
{
    return first_cell(&metric_families[metric], &labels);
}

void rs_metrics_add_cell(unsigned cell, uint64_t n)
{
    RS_ASSERT(cell < CELLS);
    add(cell, n);
}

void rs_metrics_set(enum rs_metric metric, struct rs_metric_labels labels, uint64_t value)
{
    const struct metric_family *family = &metric_families[metric];
    RS_ASSERT(family->type == METRIC_GAUGE || family->type == METRIC_TOTAL);
    atomic_store_explicit(&shards[0].cells[first_cell(family, &labels)], value << 1 | 1, memory_order_relaxed);
}

uint64_t metric_cell(unsigned cell)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SHARDS; i++)
        sum += atomic_load_explicit(&shards[i].cells[cell], memory_order_relaxed);
    return sum;
}

bool metric_cell_set(unsigned cell, uint64_t *out)
{
    uint64_t value = atomic_load_explicit(&shards[0].cells[cell], memory_order_relaxed);
    if (value == 0)
        return false;
    *out = value >> 1;
    return true;
}

uint64_t rs_metrics_get(enum rs_metric metric, struct rs_metric_labels labels)
{
    const struct metric_family *family = &metric_families[metric];
    unsigned cell = first_cell(family, &labels);
    uint64_t value = 0;
    if (family->type == METRIC_GAUGE || family->type == METRIC_TOTAL)
        return metric_cell_set(cell, &value) ? value : 0;
    for (unsigned i = 0; i < (family->type == METRIC_HISTOGRAM ? family->width - 1 : 1); i++)
        value += metric_cell(cell + i);
    return value;
}

/* --- collectors --- */

static struct collector {
    rs_metrics_collector *collect;
    void *ctx;
} collectors[COLLECTORS_MAX];
static size_t collector_count;

void rs_metrics_collect(rs_metrics_collector *collector, void *ctx)
{
    rs_mutex_lock(&naming);
    RS_ASSERT(collector_count < COLLECTORS_MAX);
    collectors[collector_count++] = (struct collector){collector, ctx};
    rs_mutex_unlock(&naming);
}

void rs_metrics_forget(void *ctx)
{
    size_t kept = 0;
    rs_mutex_lock(&naming);
    for (size_t i = 0; i < collector_count; i++)
        if (collectors[i].ctx != ctx)
            collectors[kept++] = collectors[i];
    collector_count = kept;
    rs_mutex_unlock(&naming);
}

/* Without the lock, which is not for what others do. */
void metric_collect(void)
{
    struct collector now[COLLECTORS_MAX];
    rs_mutex_lock(&naming);
    size_t count = collector_count;
    memcpy(now, collectors, sizeof now);
    rs_mutex_unlock(&naming);
    for (size_t i = 0; i < count; i++)
        now[i].collect(now[i].ctx);
}
