/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was read is kept together with the stamp that the file had before (see rs_tag_resolve): a list that was replaced
 * in between is read again. Readers share it by reference; the lock is held for an instant.
 */
#include "registry/tombstone.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "layout/paths.h"
#include "registry/presence.h"

#define LIST_MAX ((size_t)RS_REMOVALS_MAX * (RS_NAME_MAX + 1 + RS_DIGEST_TEXT_MAX))
#define KEY_MAX (RS_NAME_MAX + 1 + RS_DIGEST_TEXT_MAX)
#define WAIT_MS 30000
#define PAUSE_MS_MAX 50

struct list {
    atomic_uint refs;
    uint64_t stamp;
    struct rs_buf text;
};

struct rs_tombstones {
    struct rs_storage *storage;
    atomic_bool has_list;
    struct rs_mutex mutex;
    struct list *list; /* under the mutex; may be NULL */
};

struct rs_tombstones *rs_tombstones_new(struct rs_storage *storage)
{
    struct rs_tombstones *t = rs_calloc(1, sizeof *t);
    t->storage = storage;
    rs_mutex_init(&t->mutex, RS_LOCK_TOMBSTONES);
    return t;
}

static void list_unref(struct list **list)
{
    struct list *l = rs_take(list);
    if (l == NULL || atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    rs_buf_release(&l->text);
    free(l);
}

void rs_tombstones_free(struct rs_tombstones **tombstones)
{
    struct rs_tombstones *t = rs_take(tombstones);
    if (t == NULL)
        return;
    list_unref(&t->list);
    rs_mutex_release(&t->mutex);
    free(t);
}

/* --- looking --- */

/* Takes over the caller's reference, and keeps another one if it is to be kept. */
static void keep(struct rs_tombstones *t, struct list *list)
{
    if (list != NULL)
        atomic_fetch_add(&list->refs, 1);
    rs_mutex_lock(&t->mutex);
    struct list *old = t->list;
    t->list = list;
    atomic_store(&t->has_list, list != NULL);
    rs_mutex_unlock(&t->mutex);
    list_unref(&old);
}

static struct list *find_kept(struct rs_tombstones *t, uint64_t stamp)
{
    rs_mutex_lock(&t->mutex);
    struct list *list = stamp != 0 && t->list != NULL && t->list->stamp == stamp ? t->list : NULL;
    if (list != NULL)
        atomic_fetch_add(&list->refs, 1);
    rs_mutex_unlock(&t->mutex);
    return list;
}

static rs_rc read_list(struct rs_tombstones *t, const char *path, uint64_t stamp, struct list **out, struct rs_err *err)
{
    RS_AUTO(list_unref) struct list *list = rs_calloc(1, sizeof *list);
    atomic_init(&list->refs, 1);
    list->stamp = stamp;
    rs_buf_init(&list->text, LIST_MAX);
    RS_TRY(rs_storage_read(t->storage, path, &list->text, err));
    if (stamp != 0)
        keep(t, list);
    *out = rs_take(&list);
    return RS_OK;
}

/* *out is NULL if there is none. */
static rs_rc open_list(struct rs_tombstones *t, struct list **out, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    *out = NULL;
    rs_rc rc = rs_storage_stat(t->storage, rs_path_tombstones(&path), &st, err);
    if (rc == RS_OK) {
        *out = find_kept(t, st.stamp);
        rc = *out != NULL ? RS_OK : read_list(t, path.z, st.stamp, out, err);
    }
    if (rc != RS_E_NOT_FOUND)
        return rc;
    if (atomic_load(&t->has_list))
        keep(t, NULL);
    return RS_OK;
}

/* The line that holds the byte at `at`. */
static rs_str line_at(rs_str text, size_t at)
{
    size_t begin, len;
    begin = rs_str_rfind(rs_str_sub(text, 0, at), '\n', &begin) ? begin + 1 : 0;
    rs_str line = rs_str_from(text, begin);
    return rs_str_find(line, '\n', &len) ? rs_str_sub(line, 0, len) : line;
}

static bool has_line(rs_str text, rs_str wanted)
{
    size_t low = 0, high = text.len;
    while (low < high) {
        rs_str line = line_at(text, low + (high - low) / 2);
        int order = rs_str_cmp(wanted, line);
        if (order == 0)
            return true;
        if (order < 0)
            high = (size_t)(line.ptr - text.ptr);
        else
            low = RS_MIN((size_t)(line.ptr - text.ptr) + line.len + 1, high);
    }
    return false;
}

/* repository: empty for the data. */
static rs_str key_of(char key[KEY_MAX], rs_str repository, const struct rs_digest *digest)
{
    rs_str text = rs_digest_str(digest);
    RS_ASSERT(repository.len + 1 + text.len <= KEY_MAX);
    if (repository.len > 0)
        memcpy(key, repository.ptr, repository.len);
    key[repository.len] = '@';
    memcpy(key + repository.len + 1, text.ptr, text.len);
    return (rs_str){key, repository.len + 1 + text.len};
}

rs_rc rs_tombstones_look(struct rs_tombstones *t, rs_str repository, const struct rs_digest *digest, bool *out_found,
                         struct rs_err *err)
{
    char key[KEY_MAX];
    RS_AUTO(list_unref) struct list *list = NULL;
    *out_found = false;
    RS_TRY(open_list(t, &list, err));
    if (list == NULL)
        return RS_OK;
    rs_str text = rs_buf_str(&list->text);
    *out_found = has_line(text, key_of(key, RS_STR(""), digest)) ||
                 (repository.len > 0 && has_line(text, key_of(key, repository, digest)));
    return RS_OK;
}

/* Of a remover that was killed: whoever can have its lock may clear up behind it. */
static void lift_if_dead(struct rs_storage *storage)
{
    struct rs_storage_file *lock = NULL;
    if (rs_presence_lock_remover(storage, &lock, NULL) != RS_OK)
        return;
    rs_tombstones_lift(storage, NULL);
    rs_storage_append_close(&lock);
}

rs_rc rs_tombstones_wait(struct rs_tombstones *t, rs_str repository, const struct rs_digest *digest, bool *out_waited,
                         struct rs_err *err)
{
    bool found;
    unsigned pause_ms = 1;
    RS_TRY(rs_tombstones_look(t, repository, digest, &found, err));
    for (int64_t end_ms = rs_mono_ms() + WAIT_MS; found; pause_ms = RS_MIN(pause_ms * 2, PAUSE_MS_MAX)) {
        *out_waited = true;
        lift_if_dead(t->storage);
        rs_sleep_ms(pause_ms);
        RS_TRY(rs_tombstones_look(t, repository, digest, &found, err));
        if (found && rs_mono_ms() >= end_ms)
            return rs_err_set(err, RS_E_UNAVAILABLE,
                              "%s is being collected since more than %d s: send the request again", digest->text,
                              WAIT_MS / 1000);
    }
    return RS_OK;
}

/* --- the remover's side --- */

static int compare(const void *a, const void *b)
{
    return rs_str_cmp(*(const rs_str *)a, *(const rs_str *)b);
}

rs_rc rs_tombstones_put(struct rs_storage *storage, const struct rs_removal *items, size_t count, struct rs_err *err)
{
    struct rs_path path;
    char key[KEY_MAX];
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_str *lines = rs_arena_alloc(arena, (count + 1) * sizeof *lines);
    for (size_t i = 0; i < count; i++)
        lines[i] = rs_arena_copy(arena, key_of(key, items[i].repository, &items[i].digest));
    qsort(lines, count, sizeof *lines, compare);
    rs_buf_init(&text, LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        rs_buf_add(&text, lines[i]);
        rs_buf_add_char(&text, '\n');
    }
    RS_ASSERT(!text.overflow);
    return rs_storage_put(storage, rs_path_tombstones(&path), rs_buf_str(&text), NULL, err);
}

rs_rc rs_tombstones_lift(struct rs_storage *storage, struct rs_err *err)
{
    struct rs_path path;
    return rs_storage_remove(storage, rs_path_tombstones(&path), NULL, err);
}
