/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that grow, in memory: has_writer of the object says that somebody holds it. */
#include "base/mem.h"
#include "storage/memory_priv.h"

struct memory_file {
    struct rs_storage_file file;
    struct memory_object *object;
    char path[]; /* where it grows */
};

static struct memory *memory_of(const struct rs_storage_file *file)
{
    return (struct memory *)file->storage;
}

rs_rc memory_append_create(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    RS_AUTO(memory_object_unref) struct memory_object *object = memory_object_new(memory);
    struct memory_object *old = NULL;
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_there = node != NULL && !memory_is_directory(node);
    rs_rc rc = is_there ? RS_OK : memory_place_locked(memory, path, object, &old, err);
    rs_mutex_unlock(&memory->mutex);
    if (rc == RS_OK && !is_there)
        rs_take(&object);
    return rc;
}

/* What can grow, with a reference; or one on the heap. RS_E_NOT_FOUND, RS_E_IO (a directory). */
static rs_rc find_object(struct memory *memory, const char *path, struct memory_object **out, struct rs_err *err)
{
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_file = node != NULL && !memory_is_directory(node);
    if (is_file)
        *out = memory_object_ref(node->object);
    rs_mutex_unlock(&memory->mutex);
    if (is_file)
        return RS_OK;
    return node == NULL ? rs_err_set(err, RS_E_NOT_FOUND, "cannot open %s: there is nothing", path)
                        : rs_err_set(err, RS_E_IO, "cannot open %s: it is a directory", path);
}

/* Puts a copy that can grow at the place of one on the heap, unless it was replaced meanwhile. */
static rs_rc thaw(struct memory *memory, const char *path, struct memory_object *frozen, struct rs_err *err)
{
    RS_AUTO(memory_object_unref) struct memory_object *copy = NULL;
    RS_TRY(memory_object_copy(frozen, frozen->size, false, &copy, err));
    rs_mutex_lock(&memory->mutex);
    struct memory_node *node = memory_find_locked(memory, path);
    if (node != NULL && node->object == frozen) {
        node->object = copy;
        copy = frozen; /* the tree's reference */
    }
    rs_mutex_unlock(&memory->mutex);
    return RS_OK;
}

/* One writer at a time, and only while the path names it. */
static rs_rc take_writer(struct memory *memory, const char *path, struct memory_object *object, uint64_t *out_size,
                         struct rs_err *err)
{
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_named = node != NULL && node->object == object;
    bool is_free = is_named && !object->has_writer && !object->on_heap;
    if (is_free) {
        object->has_writer = true;
        *out_size = object->size;
    }
    rs_mutex_unlock(&memory->mutex);
    if (is_free)
        return RS_OK;
    return is_named ? rs_err_set(err, RS_E_BUSY, "%s is being written by another request", path)
                    : rs_err_set(err, RS_E_NOT_FOUND, "%s was published or removed", path);
}

rs_rc memory_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out, uint64_t *out_size,
                         struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    RS_AUTO(memory_object_unref) struct memory_object *object = NULL;
    RS_TRY(find_object(memory, path, &object, err));
    if (object->on_heap) {
        RS_TRY(thaw(memory, path, object, err));
        memory_object_unref(&object);
        RS_TRY(find_object(memory, path, &object, err));
    }
    RS_TRY(take_writer(memory, path, object, out_size, err));
    size_t length = strlen(path) + 1;
    struct memory_file *file = rs_calloc(1, sizeof(*file) + length);
    memcpy(file->path, path, length);
    file->file.storage = storage;
    file->object = rs_take(&object);
    *out = &file->file;
    return RS_OK;
}

bool memory_append_trusted(const struct rs_storage_file *file)
{
    (void)file;
    return true; /* what is here was never anywhere else */
}

void memory_append_close(struct rs_storage_file *base)
{
    struct memory_file *file = (struct memory_file *)base;
    struct memory *memory = memory_of(base);
    rs_mutex_lock(&memory->mutex);
    file->object->has_writer = false;
    rs_mutex_unlock(&memory->mutex);
    memory_object_unref(&file->object);
    free(file);
}

rs_rc memory_append(struct rs_storage_file *base, const void *data, size_t len, struct rs_err *err)
{
    struct memory_file *file = (struct memory_file *)base;
    rs_rc rc = memory_object_append(file->object, data, len, err);
    if (rc != RS_OK)
        rs_err_wrap(err, "cannot append to %s", file->path);
    return rc;
}

rs_rc memory_append_read(struct rs_storage_file *base, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                         struct rs_err *err)
{
    struct memory_object *object = ((struct memory_file *)base)->object;
    return memory_object_read(object, object->size, offset, buf, cap, out_n, err);
}

/* --- publishing --- */

/* What the critical section leaves to be freed. */
struct leavings {
    struct memory_object *old;
    struct memory_node *from;
};

/* final takes the place of the growing object; it is that very object, or a copy. Takes its reference on RS_OK, unless
 * the destination holds as many bytes already: then *out_same. */
static rs_rc move_locked(struct memory_file *file, const char *path, struct memory_object *final, bool *out_same,
                         struct leavings *out, struct rs_err *err)
{
    struct memory *memory = memory_of(&file->file);
    const struct memory_node *to = memory_find_locked(memory, path);
    if (to != NULL && memory_is_directory(to))
        return rs_err_set(err, RS_E_CORRUPT, "%s is no file, though a blob belongs there", path);
    const struct memory_node *from = memory_find_locked(memory, file->path);
    bool is_named = from != NULL && from->object == file->object;
    *out_same = to != NULL && to->object->size == file->object->size;
    if (!is_named && !*out_same)
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is gone", file->path);
    if (!*out_same)
        RS_TRY(memory_place_locked(memory, path, final, &out->old, err));
    if (is_named)
        out->from = memory_detach_locked(memory, file->path);
    return RS_OK;
}

rs_rc memory_publish(struct rs_storage_file *base, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct memory_file *file = (struct memory_file *)base;
    struct memory *memory = memory_of(base);
    struct leavings leavings = {0};
    bool same = false;
    (void)batch;
    RS_AUTO(memory_object_unref) struct memory_object *final = NULL;
    /* Without room for the copy, it stays where it is. */
    if (file->object->size > MEMORY_SMALL ||
        memory_object_copy(file->object, file->object->size, true, &final, NULL) != RS_OK)
        final = memory_object_ref(file->object);
    rs_mutex_lock(&memory->mutex);
    rs_rc rc = move_locked(file, path, final, &same, &leavings, err);
    rs_mutex_unlock(&memory->mutex);
    if (rc == RS_OK && !same)
        rs_take(&final);
    memory_object_unref(&leavings.old);
    memory_destroy(memory, leavings.from);
    return rc;
}
