/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver that keeps everything in memory, for tests and caches: what it holds is gone when the process ends. There
 * is nothing to make durable, so batches stay empty and a sync does nothing.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/memory_priv.h"

#define LIMIT_MAX (UINT64_C(1) << 44)
/* Names that a listing takes at a time, in bytes; the lock is free between two pages. */
#define PAGE_BYTES (16u * 1024)

static rs_rc nothing(struct rs_err *err, const char *path)
{
    return rs_err_set(err, RS_E_NOT_FOUND, "there is no %s", path);
}

static struct rs_storage_stat stat_of(const struct memory_node *node)
{
    bool is_directory = memory_is_directory(node);
    return (struct rs_storage_stat){
        .size = is_directory ? 0 : node->object->size,
        .mtime_s = is_directory ? node->mtime_s : node->object->mtime_s,
        .is_directory = is_directory,
        .stamp = is_directory ? node->stamp : node->object->stamp,
    };
}

static rs_rc memory_stat(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    if (node != NULL)
        *out = stat_of(node);
    rs_mutex_unlock(&memory->mutex);
    return node != NULL ? RS_OK : nothing(err, path);
}

/* An object with a reference, and what it was at that moment. */
static rs_rc hold(struct memory *memory, const char *path, struct memory_object **out, struct rs_storage_stat *out_stat,
                  struct rs_err *err)
{
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_file = node != NULL && !memory_is_directory(node);
    if (is_file) {
        *out = memory_object_ref(node->object);
        *out_stat = stat_of(node);
    }
    rs_mutex_unlock(&memory->mutex);
    return is_file ? RS_OK : rs_err_set(err, RS_E_NOT_FOUND, "%s is no object", path);
}

static rs_rc memory_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err)
{
    RS_AUTO(memory_object_unref) struct memory_object *object = NULL;
    struct rs_storage_stat st;
    RS_TRY(hold((struct memory *)storage, path, &object, &st, err));
    char *to = rs_buf_reserve(out, (size_t)st.size);
    if (to == NULL && st.size != 0)
        return rs_err_set(err, RS_E_TOO_BIG, "%s has %llu bytes, which is too much for its kind", path,
                          (unsigned long long)st.size);
    for (uint64_t done = 0; done < st.size;) {
        size_t n;
        RS_TRY(memory_object_read(object, st.size, done, to + done, (size_t)(st.size - done), &n, err));
        if (n == 0)
            return rs_err_set(err, RS_E_IO, "%s: bytes in memory are gone", path);
        done += n;
    }
    out->len += (size_t)st.size;
    return RS_OK;
}

static rs_rc memory_open(struct rs_storage *storage, const char *path, struct rs_source *out,
                         struct rs_storage_stat *out_stat, struct rs_err *err)
{
    RS_AUTO(memory_object_unref) struct memory_object *object = NULL;
    struct rs_storage_stat st;
    RS_TRY(hold((struct memory *)storage, path, &object, &st, err));
    RS_TRY(memory_object_source(object, st.size, out, err));
    rs_take(&object);
    if (out_stat != NULL)
        *out_stat = st;
    return RS_OK;
}

static rs_rc memory_put(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                        struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    RS_AUTO(memory_object_unref) struct memory_object *object = NULL;
    struct memory_object *old = NULL;
    (void)batch;
    rs_rc rc = memory_object_of(memory, bytes, &object, err);
    if (rc == RS_OK) {
        rs_mutex_lock(&memory->mutex);
        rc = memory_place_locked(memory, path, object, &old, err);
        rs_mutex_unlock(&memory->mutex);
    }
    if (rc != RS_OK) {
        rs_err_wrap(err, "cannot write %s", path);
        return rc;
    }
    rs_take(&object);
    memory_object_unref(&old);
    return RS_OK;
}

/* Asks without the lock; *out_held is what was there then, or NULL. */
static rs_rc ask(struct memory *memory, const char *path, rs_storage_accept *accept, void *ctx,
                 struct memory_object **out_held, struct rs_storage_stat *out_stat, struct rs_err *err)
{
    RS_AUTO(memory_object_unref) struct memory_object *held = NULL;
    char bytes[RS_REPLACE_MAX];
    size_t n = 0;
    *out_stat = (struct rs_storage_stat){0};
    rs_rc rc = hold(memory, path, &held, out_stat, err);
    if (rc == RS_OK && out_stat->size > RS_REPLACE_MAX)
        return rs_err_set(err, RS_E_CORRUPT, "%s is too large for its kind", path);
    if (rc == RS_OK)
        RS_TRY(memory_object_read(held, out_stat->size, 0, bytes, sizeof(bytes), &n, err));
    const rs_str text = {bytes, n};
    if (!accept(ctx, rc == RS_OK ? &text : NULL))
        return rs_err_set(err, RS_E_PRECONDITION, "%s is not as it was asked for", path);
    *out_held = rs_take(&held);
    return RS_OK;
}

/* False: it is another one by now, or has grown; its reference makes sure that no other one has taken its address. */
static bool is_still_locked(struct memory *memory, const char *path, const struct memory_object *held,
                            const struct rs_storage_stat *st)
{
    const struct memory_node *node = memory_find_locked(memory, path);
    const struct memory_object *object = node != NULL ? node->object : NULL; /* a directory is refused by the place */
    return object == held && (held == NULL || held->stamp == st->stamp);
}

static rs_rc memory_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept,
                            void *ctx, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    if (accept == NULL)
        return memory_put(storage, path, bytes, batch, err);
    RS_AUTO(memory_object_unref) struct memory_object *object = NULL;
    RS_TRY(memory_object_of(memory, bytes, &object, err));
    for (;;) { /* who comes too late has let somebody else through */
        RS_AUTO(memory_object_unref) struct memory_object *held = NULL;
        RS_AUTO(memory_object_unref) struct memory_object *old = NULL;
        struct rs_storage_stat st;
        RS_TRY(ask(memory, path, accept, ctx, &held, &st, err));
        rs_mutex_lock(&memory->mutex);
        bool is_still = is_still_locked(memory, path, held, &st);
        rs_rc rc = is_still ? memory_place_locked(memory, path, object, &old, err) : RS_OK;
        rs_mutex_unlock(&memory->mutex);
        if (is_still && rc == RS_OK)
            rs_take(&object);
        if (is_still)
            return rc;
    }
}

static rs_rc memory_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    (void)batch;
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_file = node != NULL && !memory_is_directory(node);
    rs_mutex_unlock(&memory->mutex);
    return is_file ? RS_OK : rs_err_set(err, RS_E_NOT_FOUND, "%s is no object", path);
}

static rs_rc memory_touch(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_file = node != NULL && !memory_is_directory(node);
    if (is_file) {
        node->object->mtime_s = rs_wall_s();
        node->object->stamp = memory_next_stamp_locked(memory);
    }
    rs_mutex_unlock(&memory->mutex);
    return is_file ? RS_OK : rs_err_set(err, RS_E_NOT_FOUND, "%s is no object", path);
}

static rs_rc memory_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                          struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    (void)batch;
    rs_mutex_lock(&memory->mutex);
    rs_rc rc = memory_make_directory_locked(memory, rs_str_c(path), err);
    rs_mutex_unlock(&memory->mutex);
    return rc;
}

static rs_rc memory_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                           struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    (void)batch, (void)err;
    rs_mutex_lock(&memory->mutex);
    struct memory_node *node = memory_detach_locked(memory, path);
    rs_mutex_unlock(&memory->mutex);
    memory_destroy(memory, node);
    return RS_OK;
}

static rs_rc memory_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                              struct rs_storage_batch *batch, struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    (void)batch;
    for (;;) { /* as memory_replace */
        RS_AUTO(memory_object_unref) struct memory_object *held = NULL;
        struct memory_node *node = NULL;
        struct rs_storage_stat st;
        RS_TRY(hold(memory, path, &held, &st, err));
        memory_object_unref(&held);
        if (accept != NULL)
            RS_TRY(ask(memory, path, accept, ctx, &held, &st, err));
        else
            RS_TRY(hold(memory, path, &held, &st, err));
        rs_mutex_lock(&memory->mutex);
        bool is_still = is_still_locked(memory, path, held, &st);
        if (is_still && held != NULL)
            node = memory_detach_locked(memory, path);
        rs_mutex_unlock(&memory->mutex);
        memory_destroy(memory, node);
        if (is_still)
            return held != NULL ? RS_OK : nothing(err, path);
    }
}

static rs_rc memory_prune(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
                          struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    char at[RS_STORAGE_PATH_MAX + 1];
    size_t slash;
    (void)batch, (void)err;
    RS_ASSERT(rs_str_copy_z(rs_str_c(path), at, sizeof(at)));
    for (; levels > 0 && at[0] != '\0'; levels--) {
        rs_mutex_lock(&memory->mutex);
        const struct memory_node *node = memory_find_locked(memory, at);
        bool is_needed = node != NULL && (!memory_is_directory(node) || node->children != NULL);
        struct memory_node *detached = node != NULL && !is_needed ? memory_detach_locked(memory, at) : NULL;
        rs_mutex_unlock(&memory->mutex);
        memory_destroy(memory, detached);
        if (is_needed || !rs_str_rfind(rs_str_c(at), '/', &slash))
            break;
        at[slash] = '\0';
    }
    return RS_OK;
}

/* The object is at both names for no moment: all under the lock. */
static rs_rc move_locked(struct memory *memory, const char *from, const char *to, struct memory_node **out_from,
                         struct rs_err *err)
{
    struct memory_object *old = NULL;
    const struct memory_node *node = memory_find_locked(memory, from);
    if (node == NULL || memory_is_directory(node))
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is no object", from);
    if (memory_find_locked(memory, to) != NULL)
        return rs_err_set(err, RS_E_EXISTS, "cannot move %s to %s: something is there", from, to);
    struct memory_object *object = memory_object_ref(node->object);
    rs_rc rc = memory_place_locked(memory, to, object, &old, err);
    if (rc == RS_OK)
        *out_from = memory_detach_locked(memory, from); /* with its own reference */
    else
        atomic_fetch_sub(&object->refs, 1); /* the tree has another one */
    return rc;
}

static rs_rc memory_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    struct memory_node *detached = NULL;
    (void)batch;
    rs_mutex_lock(&memory->mutex);
    rs_rc rc = move_locked(memory, from, to, &detached, err);
    rs_mutex_unlock(&memory->mutex);
    memory_destroy(memory, detached);
    return rc;
}

/* --- listing --- */

static bool take_name(void *ctx, const struct memory_node *node)
{
    struct rs_buf *names = ctx;
    if (names->len + node->name_len + 2 > PAGE_BYTES)
        return false;
    rs_buf_add_char(names, memory_is_directory(node) ? 'd' : 'f');
    rs_buf_add(names, memory_node_name(node));
    rs_buf_add_char(names, '\0');
    return true;
}

static rs_rc take_page(struct memory *memory, const char *path, rs_str after, struct rs_buf *names, struct rs_err *err)
{
    rs_mutex_lock(&memory->mutex);
    const struct memory_node *node = memory_find_locked(memory, path);
    bool is_directory = node != NULL && memory_is_directory(node);
    if (is_directory)
        memory_each_after_locked(node, after, take_name, names);
    rs_mutex_unlock(&memory->mutex);
    return is_directory ? RS_OK : rs_err_set(err, RS_E_NOT_FOUND, "%s is no directory", path);
}

/* False: the visitor wants no more. *out_last borrows from names. */
static bool show_page(rs_str names, rs_storage_visit *visit, void *ctx, rs_str *out_last)
{
    while (names.len > 0) {
        *out_last = rs_str_c(names.ptr + 1);
        if (!visit(ctx, *out_last, names.ptr[0] == 'd'))
            return false;
        names = rs_str_from(names, out_last->len + 2);
    }
    return true;
}

static rs_rc memory_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                         struct rs_err *err)
{
    struct memory *memory = (struct memory *)storage;
    RS_AUTO(rs_buf_release) struct rs_buf names;
    RS_AUTO(rs_buf_release) struct rs_buf last;
    rs_buf_init(&names, PAGE_BYTES);
    rs_buf_init(&last, RS_STORAGE_PATH_MAX);
    RS_TRY(take_page(memory, path, (rs_str){NULL, 0}, &names, err));
    while (names.len > 0) {
        rs_str shown = {0};
        if (!show_page(rs_buf_str(&names), visit, ctx, &shown))
            break;
        rs_buf_clear(&last);
        rs_buf_add(&last, shown);
        rs_buf_clear(&names);
        if (take_page(memory, path, rs_buf_str(&last), &names, NULL) != RS_OK)
            break; /* removed meanwhile: there is no more */
    }
    return RS_OK;
}

/* --- the driver --- */

static rs_rc memory_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    (void)storage, (void)batch, (void)err;
    return RS_OK;
}

static uint64_t memory_flushes(const struct rs_storage *storage)
{
    (void)storage;
    return 0;
}

static void memory_free(struct rs_storage *storage)
{
    struct memory *memory = (struct memory *)storage;
    memory_destroy(memory, rs_take(&memory->root));
    memory_data_release(memory);
    rs_mutex_release(&memory->mutex);
    free(memory);
}

static const struct rs_storage_ops memory_ops = {
    .name = "inmemory",
    .free = memory_free,
    .stat = memory_stat,
    .read = memory_read,
    .open = memory_open,
    .put = memory_put,
    .replace = memory_replace,
    .keep = memory_keep,
    .touch = memory_touch,
    .mkdir = memory_mkdir,
    .remove = memory_remove,
    .remove_if = memory_remove_if,
    .prune = memory_prune,
    .scan = memory_scan,
    .move = memory_move,
    .sync = memory_sync,
    .flushes = memory_flushes,
    .append_create = memory_append_create,
    .append_open = memory_append_open,
    .append = memory_append,
    .append_read = memory_append_read,
    .append_trusted = memory_append_trusted,
    .append_close = memory_append_close,
    .publish = memory_publish,
};

/* The limit of the control group, as a container sees it; UINT64_MAX without one. */
static uint64_t group_limit(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < RS_COUNT(paths) && limit == UINT64_MAX; i++) {
        RS_AUTO(rs_buf_release) struct rs_buf text;
        rs_buf_init(&text, 64);
        if (rs_read_file(paths[i], &text, NULL) == RS_OK && text.len > 0)
            rs_str_u64(rs_str_sub(rs_buf_str(&text), 0, text.len - 1), UINT64_MAX, &limit);
    }
    return limit;
}

/* Half of the memory, as a tmpfs. */
static uint64_t default_limit(void)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return RS_MIN(all, group_limit()) / 2;
}

rs_rc rs_storage_memory_new(uint64_t limit, struct rs_storage **out, struct rs_err *err)
{
    struct rlimit file_size;
    if (getrlimit(RLIMIT_FSIZE, &file_size) == 0 && file_size.rlim_cur != RLIM_INFINITY)
        return rs_err_set(err, RS_E_CONFIG,
                          "the driver inmemory cannot be used with a limit of file sizes (ulimit -f)");
    struct memory *memory = rs_calloc(1, sizeof(*memory));
    memory->storage.ops = &memory_ops;
    memory->limit = RS_MIN(limit != 0 ? limit : default_limit(), LIMIT_MAX);
    rs_mutex_init(&memory->mutex, RS_LOCK_MEMORY);
    /* Stamps of an earlier process must not come again; a random of 0 would stay 0. */
    rs_random(&memory->stamp, sizeof(memory->stamp));
    rs_random(&memory->random, sizeof(memory->random));
    memory->random |= 1;
    memory_tree_init(memory);
    int errnum = memory_data_init(memory);
    if (errnum != 0) {
        memory_free(&memory->storage);
        rs_err_sys(err, errnum, "cannot make files in memory");
        if (err != NULL)
            err->rc = RS_E_CONFIG;
        return RS_E_CONFIG;
    }
    *out = &memory->storage;
    return RS_OK;
}
