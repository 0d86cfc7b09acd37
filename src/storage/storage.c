/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/storage.h"

#include "base/mem.h"
#include "storage/count.h"
#include "storage/storage_priv.h"

/* --- paths --- */

static bool path_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

static bool component_valid(rs_str component)
{
    for (size_t i = 0; i < component.len; i++)
        if (!path_byte(component.ptr[i]))
            return false;
    return component.len != 0 && !rs_str_eq_c(component, ".") && !rs_str_eq_c(component, "..");
}

/* The last wall between a request and the disk: what is not a plain path never reaches a driver. */
static bool path_valid(const char *path)
{
    rs_str rest = rs_str_c(path);
    if (rest.len == 0 || rest.len > RS_STORAGE_PATH_MAX || rest.ptr[0] != '/')
        return false;
    if (rest.len == 1)
        return true;
    rest = rs_str_from(rest, 1);
    rs_str component;
    while (rs_str_cut(rest, '/', &component, &rest))
        if (!component_valid(component))
            return false;
    return component_valid(component);
}

static rs_rc check_path(const char *path, struct rs_err *err)
{
    if (path_valid(path))
        return RS_OK;
    return rs_err_set(err, RS_E_INVALID, "\"%.200s\" is no path that the storage can hold", path);
}

/* An object is not the root itself. */
static rs_rc check_object(const char *path, struct rs_err *err)
{
    RS_TRY(check_path(path, err));
    if (path[1] == '\0')
        return rs_err_set(err, RS_E_INVALID, "the root of the storage is no object");
    return RS_OK;
}

/* --- batches --- */

void rs_storage_batch_init(struct rs_storage_batch *batch)
{
    batch->count = 0;
    batch->epoch = 0;
}

void rs_storage_batch_release(struct rs_storage_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        rs_free_ptr(&batch->pending[i].directory);
    batch->count = 0;
}

rs_rc rs_storage_batch_room(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    if (batch != NULL && batch->count == RS_BATCH_MAX)
        return rs_storage_sync(storage, batch, err);
    return RS_OK;
}

static bool batch_has(const struct rs_storage_batch *batch, rs_str directory)
{
    for (size_t i = 0; i < batch->count; i++)
        if (rs_str_eq_c(directory, batch->pending[i].directory))
            return true;
    return false;
}

void rs_storage_batch_add(struct rs_storage_batch *batch, rs_str directory, uint64_t file)
{
    if (batch == NULL || (file == 0 && batch_has(batch, directory)))
        return;
    RS_ASSERT(batch->count < RS_BATCH_MAX);
    struct rs_storage_pending *pending = &batch->pending[batch->count++];
    pending->directory = rs_str_dup(directory);
    pending->file = file;
}

/* --- calls --- */

void rs_storage_free(struct rs_storage **storage)
{
    struct rs_storage *taken = rs_take(storage);
    if (taken != NULL)
        taken->ops->free(taken);
}

const char *rs_storage_name(const struct rs_storage *storage)
{
    return storage->ops->name;
}

int64_t rs_storage_lag_ms(const struct rs_storage *storage)
{
    return storage->ops->lag_ms != NULL ? storage->ops->lag_ms(storage) : 0;
}

uint64_t rs_storage_flushes(const struct rs_storage *storage)
{
    return storage->ops->flushes(storage);
}

rs_rc rs_storage_stat(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err)
{
    RS_TRY(check_path(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_STAT);
    return storage_count_end(&count, storage->ops->stat(storage, path, out, err));
}

rs_rc rs_storage_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_READ);
    return storage_count_end(&count, storage->ops->read(storage, path, out, err));
}

rs_rc rs_storage_open(struct rs_storage *storage, const char *path, struct rs_source *out,
                      struct rs_storage_stat *out_stat, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_OPEN);
    return storage_count_end(&count, storage->ops->open(storage, path, out, out_stat, err));
}

rs_rc rs_storage_put(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                     struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_PUT);
    return storage_count_end(&count, storage->ops->put(storage, path, bytes, batch, err));
}

rs_rc rs_storage_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept,
                         void *ctx, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_REPLACE);
    return storage_count_end(&count, storage->ops->replace(storage, path, bytes, accept, ctx, batch, err));
}

rs_rc rs_storage_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_KEEP);
    return storage_count_end(&count, storage->ops->keep(storage, path, batch, err));
}

rs_rc rs_storage_touch(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_TOUCH);
    return storage_count_end(&count, storage->ops->touch(storage, path, err));
}

void rs_storage_near(struct rs_storage *storage, const char *path)
{
    if (storage->ops->near != NULL)
        storage->ops->near(storage, path);
}

rs_rc rs_storage_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_MKDIR);
    return storage_count_end(&count, storage->ops->mkdir(storage, path, batch, err));
}

rs_rc rs_storage_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                        struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_REMOVE);
    return storage_count_end(&count, storage->ops->remove(storage, path, batch, err));
}

rs_rc rs_storage_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                           struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_REMOVE);
    return storage_count_end(&count, storage->ops->remove_if(storage, path, accept, ctx, batch, err));
}

rs_rc rs_storage_prune(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
                       struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    if (storage->ops->prune == NULL)
        return RS_OK;
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_REMOVE);
    return storage_count_end(&count, storage->ops->prune(storage, path, levels, batch, err));
}

rs_rc rs_storage_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                      struct rs_err *err)
{
    RS_TRY(check_path(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_LIST);
    return storage_count_end(&count, storage->ops->scan(storage, path, visit, ctx, err));
}

rs_rc rs_storage_scan_all(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                          struct rs_err *err)
{
    if (storage->ops->scan_all == NULL)
        return rs_storage_scan(storage, path, visit, ctx, err);
    RS_TRY(check_path(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_LIST);
    return storage_count_end(&count, storage->ops->scan_all(storage, path, visit, ctx, err));
}

rs_rc rs_storage_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
                      struct rs_err *err)
{
    RS_TRY(check_object(from, err));
    RS_TRY(check_object(to, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_MOVE);
    return storage_count_end(&count, storage->ops->move(storage, from, to, batch, err));
}

rs_rc rs_storage_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_SYNC);
    RS_TRY(storage_count_end(&count, storage->ops->sync(storage, batch, err)));
    rs_storage_batch_release(batch);
    return RS_OK;
}

/* --- objects that grow --- */

rs_rc rs_storage_append_create(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_APPEND_CREATE);
    return storage_count_end(&count, storage->ops->append_create(storage, path, err));
}

rs_rc rs_storage_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out,
                             uint64_t *out_size, struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_APPEND_OPEN);
    return storage_count_end(&count, storage->ops->append_open(storage, path, out, out_size, err));
}

rs_rc rs_storage_append(struct rs_storage_file *file, const void *data, size_t len, struct rs_err *err)
{
    struct storage_count count = storage_count_begin(file->storage, RS_VALUE_OPERATION_APPEND);
    return storage_count_end(&count, file->storage->ops->append(file, data, len, err));
}

rs_rc rs_storage_append_read(struct rs_storage_file *file, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                             struct rs_err *err)
{
    struct storage_count count = storage_count_begin(file->storage, RS_VALUE_OPERATION_APPEND_READ);
    return storage_count_end(&count, file->storage->ops->append_read(file, offset, buf, cap, out_n, err));
}

bool rs_storage_append_trusted(const struct rs_storage_file *file)
{
    return file->storage->ops->append_trusted(file);
}

void rs_storage_append_close(struct rs_storage_file **file)
{
    struct rs_storage_file *taken = rs_take(file);
    if (taken != NULL)
        taken->storage->ops->append_close(taken);
}

rs_rc rs_storage_publish(struct rs_storage_file **file, const char *path, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    RS_TRY(check_object(path, err));
    struct rs_storage *storage = (*file)->storage;
    struct storage_count count = storage_count_begin(storage, RS_VALUE_OPERATION_PUBLISH);
    RS_TRY(storage_count_end(&count, storage->ops->publish(*file, path, batch, err)));
    rs_storage_append_close(file);
    return RS_OK;
}
