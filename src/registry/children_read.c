/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reading of a directory: its children sorted, in memory if they are few, else in a file without a name.
 *
 * SORTING. Names are collected in an area of fixed size; when it is full they are sorted and written away as a run, and
 * at the end the runs are merged. If the state directory cannot hold them (it is full, or gone), everything is done
 * again in memory, up to MEMORY_AREA.
 *
 * NOTES. In a file, notes are read through the mapping and written with pwrite: a write through the mapping would end
 * the process by a signal if a file system that never overwrites in place had no block left. A reader may meet a write
 * that is halfway through, so each note has a check beside it; one that does not fit reads as 0. Notes that nobody has
 * written yet are a hole in the file, which has its blocks all the same: in a tmpfs a mere look at a hole takes one,
 * and ends the process by that signal if there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "registry/children_priv.h"

#define AREA (2u * 1024 * 1024)
#define MEMORY_AREA (512u * 1024 * 1024)
#define COLUMN_SIZE (16 * 1024)

/* --- what is read --- */

rs_str rs_children_name(const struct rs_children *c, size_t i)
{
    RS_ASSERT(i < c->count);
    uint64_t start = c->places[i] >> 1, end = c->places[i + 1] >> 1;
    return (rs_str){c->names + start, (size_t)(end - start)};
}

bool rs_children_is_directory(const struct rs_children *c, size_t i)
{
    RS_ASSERT(i < c->count);
    return (c->places[i] & 1) != 0;
}

size_t rs_children_count(const struct rs_children *c)
{
    return c->count;
}

size_t rs_children_after(const struct rs_children *c, rs_str after)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rs_str_cmp(rs_children_name(c, middle), after) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t check_of(uint64_t note)
{
    return ~(note * UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t rs_children_note(const struct rs_children *c, size_t i)
{
    RS_ASSERT(i < c->count);
    if (c->notes != NULL)
        return atomic_load_explicit(&c->notes[i], memory_order_relaxed);
    uint64_t note = atomic_load_explicit(&c->in_file[i].note, memory_order_relaxed);
    return atomic_load_explicit(&c->in_file[i].check, memory_order_relaxed) == check_of(note) ? note : 0;
}

void rs_children_set_note(struct rs_children *c, size_t i, uint64_t note)
{
    RS_ASSERT(i < c->count);
    if (c->notes != NULL) {
        atomic_store_explicit(&c->notes[i], note, memory_order_relaxed);
        return;
    }
    const uint64_t pair[2] = {note, check_of(note)};
    if (pwrite(c->fd, pair, sizeof pair, c->notes_at + (off_t)(i * sizeof pair)) != (ssize_t)sizeof pair)
        return; /* no room: then it is found out again */
}

void rs_children_ref(struct rs_children *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void rs_children_unref(struct rs_children **children)
{
    struct rs_children *c = rs_take(children);
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (c->map != NULL)
        munmap(c->map, c->size);
    rs_fd_close(&c->fd);
    free(c);
}

/* --- files --- */

/* Appends to a place in a file, by large pieces. The first error sticks. */
struct column {
    int fd;
    off_t at;
    int errnum;
    size_t len;
    char bytes[COLUMN_SIZE];
};

static void column_flush(struct column *c)
{
    for (size_t done = 0; done < c->len && c->errnum == 0;) {
        ssize_t n = pwrite(c->fd, c->bytes + done, c->len - done, c->at);
        if (n < 0 && errno != EINTR)
            c->errnum = errno;
        if (n > 0) {
            done += (size_t)n;
            c->at += n;
        }
    }
    c->len = 0;
}

static void column_add(struct column *c, const void *bytes, size_t len)
{
    while (len > 0) {
        if (c->len == sizeof c->bytes)
            column_flush(c);
        size_t n = RS_MIN(len, sizeof c->bytes - c->len);
        memcpy(c->bytes + c->len, bytes, n);
        c->len += n;
        bytes = (const char *)bytes + n;
        len -= n;
    }
}

static struct column *column_new(int fd, off_t at)
{
    struct column *c = rs_malloc(sizeof *c);
    c->fd = fd;
    c->at = at;
    c->errnum = 0;
    c->len = 0;
    return c;
}

/* --- collecting and sorting --- */

/* A name in the area: its first bytes as a number, to compare them at once. */
struct item {
    uint64_t key;
    uint32_t at;
    uint32_t len : 31;
    uint32_t is_directory : 1;
};

/* A sorted part of the file of runs: names, each behind a byte that tells directories, and with a NUL. */
struct run {
    const char *at;
    const char *end;
};

struct reading {
    const char *state_dir; /* NULL: in memory only */
    char *area;            /* items from its beginning, names from its end */
    size_t area_size;
    size_t item_count;
    size_t names_at;
    size_t next; /* of the items that are merged */
    int runs_fd;
    struct column *runs_out;
    struct rs_buf runs_ends; /* off_t each, of the runs in the file */
    void *runs_map;
    size_t runs_size;
    struct run *runs; /* a heap: the one with the smallest name first */
    size_t run_count;
    size_t count;      /* of names */
    size_t name_bytes; /* of all of them */
    bool no_room;      /* in the area, or in the state directory */
};

static void reading_release(struct reading *r)
{
    if (r->area != NULL)
        munmap(r->area, r->area_size);
    if (r->runs_map != NULL)
        munmap(r->runs_map, r->runs_size);
    rs_fd_close(&r->runs_fd);
    rs_buf_release(&r->runs_ends);
    free(r->runs_out);
    free(r->runs);
}

static struct item *items_of(const struct reading *r)
{
    return (struct item *)(void *)r->area;
}

static int compare_items(const void *a, const void *b, void *area)
{
    const struct item *x = a, *y = b;
    const char *base = area;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return rs_str_cmp((rs_str){base + x->at, x->len}, (rs_str){base + y->at, y->len});
}

static void sort_items(struct reading *r)
{
    if (r->item_count > 1)
        qsort_r(r->area, r->item_count, sizeof(struct item), compare_items, r->area);
}

/* Writes the names in the area away, sorted. */
static void spill(struct reading *r)
{
    if (r->runs_fd < 0) {
        r->runs_fd = rs_fd_nameless(r->state_dir);
        r->no_room = r->runs_fd < 0;
        if (r->no_room)
            return;
        r->runs_out = column_new(r->runs_fd, 0);
    }
    sort_items(r);
    for (size_t i = 0; i < r->item_count; i++) {
        const struct item *item = &items_of(r)[i];
        column_add(r->runs_out, item->is_directory ? "d" : "f", 1);
        column_add(r->runs_out, r->area + item->at, item->len);
        column_add(r->runs_out, "", 1);
    }
    column_flush(r->runs_out);
    rs_buf_append(&r->runs_ends, &r->runs_out->at, sizeof r->runs_out->at);
    r->no_room = r->runs_out->errnum != 0 || r->runs_ends.overflow;
    r->item_count = 0;
    r->names_at = r->area_size;
}

static uint64_t key_of(rs_str name)
{
    unsigned char first[8] = {0};
    memcpy(first, name.ptr, RS_MIN(name.len, sizeof first));
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof first; i++)
        key = key << 8 | first[i];
    return key;
}

static bool collect(void *ctx, rs_str name, bool is_directory)
{
    struct reading *r = ctx;
    size_t needed = sizeof(struct item) + name.len;
    if (r->names_at - r->item_count * sizeof(struct item) < needed) {
        r->no_room = r->state_dir == NULL;
        if (!r->no_room)
            spill(r);
        if (r->no_room)
            return false;
    }
    r->names_at -= name.len;
    memcpy(r->area + r->names_at, name.ptr, name.len);
    items_of(r)[r->item_count++] = (struct item){
        .key = key_of(name), .at = (uint32_t)r->names_at, .len = (uint32_t)name.len, .is_directory = is_directory};
    r->count++;
    r->name_bytes += name.len;
    return true;
}

/* --- merging --- */

static int compare_runs(const struct run *a, const struct run *b)
{
    return strcmp(a->at + 1, b->at + 1);
}

/* Restores the heap below `i`. */
static void sift_down(struct reading *r, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < r->run_count; child++)
            if (compare_runs(&r->runs[child], &r->runs[least]) < 0)
                least = child;
        if (least == i)
            return;
        struct run run = r->runs[i];
        r->runs[i] = r->runs[least];
        r->runs[least] = run;
        i = least;
    }
}

/* Maps the runs and makes a heap of them. */
static bool begin_merge(struct reading *r)
{
    const off_t *ends = (const off_t *)(const void *)r->runs_ends.ptr;
    r->run_count = r->runs_ends.len / sizeof *ends;
    r->runs_size = (size_t)ends[r->run_count - 1];
    void *map = mmap(NULL, r->runs_size, PROT_READ, MAP_SHARED, r->runs_fd, 0);
    if (map == MAP_FAILED)
        return false;
    r->runs_map = map;
    r->runs = rs_calloc(r->run_count, sizeof *r->runs);
    for (size_t i = 0; i < r->run_count; i++)
        r->runs[i] = (struct run){(const char *)map + (i > 0 ? ends[i - 1] : 0), (const char *)map + ends[i]};
    for (size_t i = r->run_count; i-- > 0;)
        sift_down(r, i);
    return true;
}

/* The next name in order, of the area or of the runs. */
static bool next_name(struct reading *r, rs_str *name, bool *is_directory)
{
    if (r->runs_map == NULL) {
        if (r->next == r->item_count)
            return false;
        const struct item *item = &items_of(r)[r->next++];
        *name = (rs_str){r->area + item->at, item->len};
        *is_directory = item->is_directory;
        return true;
    }
    if (r->run_count == 0)
        return false;
    struct run *first = &r->runs[0];
    *name = rs_str_c(first->at + 1);
    *is_directory = first->at[0] == 'd';
    first->at += name->len + 2;
    if (first->at == first->end)
        *first = r->runs[--r->run_count];
    sift_down(r, 0);
    return true;
}

/* --- the result --- */

/* The old reading's notes, met in order. */
struct old_notes {
    const struct rs_children *c;
    size_t next;
};

static uint64_t old_note(struct old_notes *old, rs_str name)
{
    if (old->c == NULL)
        return 0;
    for (; old->next < old->c->count; old->next++) {
        int order = rs_str_cmp(rs_children_name(old->c, old->next), name);
        if (order == 0)
            return rs_children_note(old->c, old->next);
        if (order > 0)
            break;
    }
    return 0;
}

/* The next name that is another than the last one: a child may have been told twice. */
static bool next_other(struct reading *r, rs_str *name, bool *is_directory)
{
    rs_str last = *name;
    while (next_name(r, name, is_directory))
        if (last.ptr == NULL || !rs_str_eq(last, *name))
            return true;
    return false;
}

static size_t memory_size(const struct reading *r)
{
    return sizeof(struct rs_children) + (2 * r->count + 1) * sizeof(uint64_t) + r->name_bytes;
}

static struct rs_children *children_new(size_t size)
{
    struct rs_children *c = rs_calloc(1, size);
    atomic_init(&c->refs, 1);
    c->fd = -1;
    return c;
}

static struct rs_children *finish_in_memory(struct reading *r, const struct rs_children *old)
{
    size_t size = memory_size(r), used = 0, n = 0;
    struct rs_children *c = children_new(size);
    uint64_t *places = (uint64_t *)(void *)(c + 1);
    c->places = places;
    c->notes = (atomic_uint_fast64_t *)(places + r->count + 1);
    char *names = (char *)(places + 2 * r->count + 1);
    c->names = names;
    c->size = size;
    struct old_notes notes = {old, 0};
    rs_str name = {NULL, 0};
    for (bool is_directory; next_other(r, &name, &is_directory); n++) {
        places[n] = (uint64_t)used << 1 | is_directory;
        atomic_init(&c->notes[n], old_note(&notes, name));
        memcpy(names + used, name.ptr, name.len);
        used += name.len;
    }
    places[n] = (uint64_t)used << 1;
    c->count = n;
    return c;
}

/* The file: places, notes, names. */
struct output {
    struct column *places;
    struct column *notes;
    struct column *names;
};

static void output_release(struct output *o)
{
    free(o->places);
    free(o->notes);
    free(o->names);
}

static size_t write_output(struct reading *r, const struct rs_children *old, struct output *o)
{
    struct old_notes notes = {old, 0};
    rs_str name = {NULL, 0};
    uint64_t used = 0, place;
    size_t n = 0;
    for (bool is_directory; next_other(r, &name, &is_directory); n++) {
        place = used << 1 | is_directory;
        column_add(o->places, &place, sizeof place);
        column_add(o->names, name.ptr, name.len);
        used += name.len;
        if (old == NULL)
            continue; /* a hole in the file reads as no notes */
        uint64_t note = old_note(&notes, name);
        const uint64_t pair[2] = {note, check_of(note)};
        column_add(o->notes, pair, sizeof pair);
    }
    place = used << 1;
    column_add(o->places, &place, sizeof place);
    column_flush(o->places);
    column_flush(o->notes);
    column_flush(o->names);
    return n;
}

/* NULL: the state directory cannot hold it. */
static struct rs_children *finish_in_file(struct reading *r, const struct rs_children *old)
{
    RS_AUTO(rs_children_unref) struct rs_children *c = children_new(sizeof *c);
    RS_AUTO(output_release) struct output o = {0};
    size_t pair = sizeof(struct rs_children_note_pair);
    c->fd = rs_fd_nameless(r->state_dir);
    c->notes_at = (off_t)((r->count + 2) / 2 * 2 * sizeof(uint64_t));
    off_t names_at = c->notes_at + (off_t)(r->count * pair);
    size_t size = (size_t)names_at + r->name_bytes;
    if (c->fd < 0 || ftruncate(c->fd, (off_t)size) != 0)
        return NULL;
    if (fallocate(c->fd, 0, c->notes_at, names_at - c->notes_at) != 0 && errno != EOPNOTSUPP)
        return NULL;
    o.places = column_new(c->fd, 0);
    o.notes = column_new(c->fd, c->notes_at);
    o.names = column_new(c->fd, names_at);
    c->count = write_output(r, old, &o);
    if (o.places->errnum != 0 || o.notes->errnum != 0 || o.names->errnum != 0)
        return NULL;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, c->fd, 0);
    if (map == MAP_FAILED)
        return NULL;
    c->map = map;
    c->size = size;
    c->places = map;
    c->in_file = (const struct rs_children_note_pair *)(const void *)((const char *)map + c->notes_at);
    c->names = (const char *)map + names_at;
    return rs_take(&c);
}

/* RS_OK with *out NULL: there was no room for it. */
static rs_rc read_once(struct rs_storage *storage, const char *state_dir, size_t area_size, const char *path,
                       const struct rs_children *old, struct rs_children **out, struct rs_err *err)
{
    RS_AUTO(reading_release) struct reading r = {.state_dir = state_dir, .runs_fd = -1};
    rs_buf_init(&r.runs_ends, 1024 * 1024);
    void *area = mmap(NULL, area_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *out = NULL;
    if (area == MAP_FAILED)
        return RS_OK;
    r.area = area;
    r.area_size = r.names_at = area_size;
    RS_TRY(rs_storage_scan(storage, path, collect, &r, err));
    if (!r.no_room && r.runs_fd >= 0)
        spill(&r);
    if (r.no_room || (r.runs_fd >= 0 && !begin_merge(&r)))
        return RS_OK;
    if (r.runs_fd < 0)
        sort_items(&r);
    bool in_memory = state_dir == NULL || memory_size(&r) <= RS_CHILDREN_SMALL;
    *out = in_memory ? finish_in_memory(&r, old) : finish_in_file(&r, old);
    return RS_OK;
}

rs_rc rs_children_read(struct rs_storage *storage, const char *state_dir, const char *path,
                       const struct rs_children *old, struct rs_children **out, struct rs_err *err)
{
    struct rs_children *c = NULL;
    if (state_dir != NULL)
        RS_TRY(read_once(storage, state_dir, AREA, path, old, &c, err));
    if (c == NULL)
        RS_TRY(read_once(storage, NULL, AREA, path, old, &c, err));
    if (c == NULL)
        RS_TRY(read_once(storage, NULL, MEMORY_AREA, path, old, &c, err));
    if (c == NULL)
        return rs_err_set(err, RS_E_TOO_BIG,
                          "%s has more entries than fit into memory, and the state directory has no room for them",
                          path);
    *out = c;
    return RS_OK;
}
