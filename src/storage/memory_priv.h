/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the driver that keeps everything in memory: memory.c (calls), memory_append.c, memory_tree.c (names),
 * memory_data.c (bytes).
 *
 * One lock covers the tree, the books and what changes of an object. It is never held while bytes are copied: who needs
 * an object takes a reference under the lock and goes on without it.
 */
#pragma once

#include <stdatomic.h>

#include "base/lock.h"
#include "storage/storage_priv.h"

/* Objects up to this size are on the heap and never change; larger and growing ones lie in memory files. */
#define MEMORY_SMALL (64u * 1024)
#define MEMORY_FILES 16
#define MEMORY_NO_REGION UINT64_MAX

struct memory;

/* The bytes of an object. Whoever holds a reference may read the first `size` bytes that it saw under the lock. */
struct memory_object {
    struct memory *memory;
    atomic_uint refs;
    bool on_heap;
    bool has_writer;  /* under the lock, as all below */
    uint64_t size;    /* of one on the heap it never changes */
    uint64_t charged; /* bytes of the limit that it uses */
    uint64_t region;  /* where it lies; see REGIONS in memory_data.c */
    uint64_t stamp;
    int64_t mtime_s;
    char bytes[]; /* on the heap */
};

/* A name in a directory. Its siblings form a treap: a search tree by name, and a heap by random priority, so that no
 * order of names makes it deep. */
struct memory_node {
    struct memory_node *left;
    struct memory_node *right;
    struct memory_node *children; /* of a directory; may be NULL */
    struct memory_object *object; /* NULL: a directory */
    uint64_t stamp;               /* of a directory, as the next */
    int64_t mtime_s;
    uint32_t priority;
    uint32_t name_len;
    char name[];
};

struct memory {
    struct rs_storage storage;
    uint64_t limit;
    int files[MEMORY_FILES];
    unsigned region_shift; /* a region spans 1 << region_shift bytes of a file */
    uint64_t region_max;
    struct rs_mutex mutex; /* for all below */
    uint64_t used;
    uint64_t stamp; /* counts changes */
    uint64_t random;
    struct memory_node *root;
    uint64_t next_region;
    uint64_t *free_regions;
    size_t free_count;
    size_t free_cap;
};

/* --- memory_data.c --- */

/* An errno value, or 0. */
int memory_data_init(struct memory *memory);
void memory_data_release(struct memory *memory);
/* Takes bytes of the limit. RS_E_STORAGE_FULL. */
rs_rc memory_charge_locked(struct memory *memory, uint64_t bytes, struct rs_err *err);
uint64_t memory_next_stamp_locked(struct memory *memory); /* never 0 */

/* One that grows, without bytes yet. */
struct memory_object *memory_object_new(struct memory *memory);
/* One that holds these bytes: on the heap if it is small. */
rs_rc memory_object_of(struct memory *memory, rs_str bytes, struct memory_object **out, struct rs_err *err);
/* A copy of the first `size` bytes of another: on the heap, or as one that grows. */
rs_rc memory_object_copy(struct memory_object *object, uint64_t size, bool to_heap, struct memory_object **out,
                         struct rs_err *err);
struct memory_object *memory_object_ref(struct memory_object *object);
void memory_object_unref(struct memory_object **object); /* not under the lock; NULL is fine */
/* The one writer adds bytes; not under the lock. */
rs_rc memory_object_append(struct memory_object *object, const void *data, size_t len, struct rs_err *err);
/* Up to cap bytes from an offset below `size`. */
rs_rc memory_object_read(struct memory_object *object, uint64_t size, uint64_t offset, void *buf, size_t cap,
                         size_t *out_n, struct rs_err *err);
/* For sending the first `size` bytes; takes the caller's reference when it returns RS_OK. */
rs_rc memory_object_source(struct memory_object *object, uint64_t size, struct rs_source *out, struct rs_err *err);

/* --- memory_tree.c: under the lock, but for the last --- */

void memory_tree_init(struct memory *memory); /* before other threads */
bool memory_is_directory(const struct memory_node *node);
rs_str memory_node_name(const struct memory_node *node);
/* NULL if there is nothing. */
struct memory_node *memory_find_locked(struct memory *memory, const char *path);
/* Makes directories where they are missing. RS_E_IO if something else is in the way. */
rs_rc memory_make_directory_locked(struct memory *memory, rs_str path, struct rs_err *err);
/* Puts an object at a path, whose directories are made. Takes the caller's reference when it returns RS_OK; *out_old is
 * what lay there, or NULL, to be unreferenced without the lock. */
rs_rc memory_place_locked(struct memory *memory, const char *path, struct memory_object *object,
                          struct memory_object **out_old, struct rs_err *err);
/* Takes a name and all below it out of the tree; NULL if there is nothing. */
struct memory_node *memory_detach_locked(struct memory *memory, const char *path);
/* The names after `after`, in order, while the visitor returns true. */
typedef bool memory_visit(void *ctx, const struct memory_node *node);
void memory_each_after_locked(const struct memory_node *directory, rs_str after, memory_visit *visit, void *ctx);
/* What was detached, without the lock. */
void memory_destroy(struct memory *memory, struct memory_node *node);

/* --- memory_append.c --- */
rs_rc memory_append_create(struct rs_storage *storage, const char *path, struct rs_err *err);
rs_rc memory_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out, uint64_t *out_size,
                         struct rs_err *err);
rs_rc memory_append(struct rs_storage_file *file, const void *data, size_t len, struct rs_err *err);
rs_rc memory_append_read(struct rs_storage_file *file, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                         struct rs_err *err);
bool memory_append_trusted(const struct rs_storage_file *file);
void memory_append_close(struct rs_storage_file *file);
rs_rc memory_publish(struct rs_storage_file *file, const char *path, struct rs_storage_batch *batch,
                     struct rs_err *err);
