/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a storage driver implements. storage.c checks the paths and calls through; a driver puts `struct rs_storage`
 * first in its own structure, and `struct rs_storage_file` first in that of an open file.
 */
#pragma once

#include <stdatomic.h>

#include "storage/storage.h"

/* Longest path, so that a driver may add a suffix and stay below PATH_MAX. */
#define RS_STORAGE_PATH_MAX 3072
/* Leftovers of writes that were cut short, ours and registry:3's; not listed. */
#define RS_STORAGE_TMP_SUFFIX ".tmp"

struct rs_storage_ops {
    const char *name;
    void (*free)(struct rs_storage *storage);
    rs_rc (*stat)(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err);
    rs_rc (*read)(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err);
    rs_rc (*open)(struct rs_storage *storage, const char *path, struct rs_source *out, struct rs_storage_stat *out_stat,
                  struct rs_err *err);
    rs_rc (*put)(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                 struct rs_err *err);
    rs_rc (*replace)(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept, void *ctx,
                     struct rs_storage_batch *batch, struct rs_err *err);
    rs_rc (*keep)(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
    rs_rc (*touch)(struct rs_storage *storage, const char *path, struct rs_err *err);
    void (*near)(struct rs_storage *storage, const char *path); /* may be NULL */
    rs_rc (*mkdir)(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
    rs_rc (*remove)(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
    rs_rc (*remove_if)(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                       struct rs_storage_batch *batch, struct rs_err *err);
    rs_rc (*prune)(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
                   struct rs_err *err); /* may be NULL */
    rs_rc (*scan)(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx, struct rs_err *err);
    /* NULL: it never has anything without a name */
    rs_rc (*scan_all)(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                      struct rs_err *err);
    rs_rc (*move)(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
                  struct rs_err *err);
    rs_rc (*sync)(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err);
    int64_t (*lag_ms)(const struct rs_storage *storage); /* NULL: none */
    uint64_t (*flushes)(const struct rs_storage *storage);

    rs_rc (*append_create)(struct rs_storage *storage, const char *path, struct rs_err *err);
    rs_rc (*append_open)(struct rs_storage *storage, const char *path, struct rs_storage_file **out, uint64_t *out_size,
                         struct rs_err *err);
    rs_rc (*append)(struct rs_storage_file *file, const void *data, size_t len, struct rs_err *err);
    rs_rc (*append_read)(struct rs_storage_file *file, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                         struct rs_err *err);
    bool (*append_trusted)(const struct rs_storage_file *file);
    /* Lets go of it and frees it. */
    void (*append_close)(struct rs_storage_file *file);
    /* Does not close; the file is not used again but for append_close when it returns RS_OK. */
    rs_rc (*publish)(struct rs_storage_file *file, const char *path, struct rs_storage_batch *batch,
                     struct rs_err *err);
};

struct rs_storage {
    const struct rs_storage_ops *ops;
    atomic_uint driver; /* count.c's: the value of its metrics' label, */
    atomic_uint cell;   /* and the cell of its first operation */
    bool uncounted;     /* another storage passes its calls on to this one, and is counted instead */
};

struct rs_storage_file {
    struct rs_storage *storage;
};

/* Makes room for one more entry: syncs a batch that is full. NULL is fine. Call it before what cannot be undone. */
rs_rc rs_storage_batch_room(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err);
/* Adds an entry; the batch keeps a copy of the directory, once. There must be room. NULL is fine. */
void rs_storage_batch_add(struct rs_storage_batch *batch, rs_str directory, uint64_t file);
