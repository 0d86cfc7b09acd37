/* SPDX-License-Identifier: Apache-2.0 */
#include "temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

int temp_setup(void **state)
{
    struct temp *t = rs_calloc(1, sizeof(*t));
    snprintf(t->root, sizeof(t->root), "/tmp/roadstead-storage-XXXXXX");
    if (mkdtemp(t->root) == NULL || rs_storage_fs_new(t->root, &t->storage, &t->err) != RS_OK)
        return -1;
    rs_storage_batch_init(&t->batch);
    *state = t;
    return 0;
}

int temp_setup_memory(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    struct temp *t = *state;
    rs_storage_free(&t->storage);
    return rs_storage_memory_new(64 << 20, &t->storage, &t->err) == RS_OK ? 0 : -1;
}

static int remove_visited(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int temp_teardown(void **state)
{
    struct temp *t = *state;
    rs_storage_batch_release(&t->batch);
    rs_storage_free(&t->storage);
    int rc = nftw(t->root, remove_visited, 16, FTW_DEPTH | FTW_PHYS);
    free(t);
    return rc;
}

const char *temp_path(const struct temp *t, const char *path)
{
    static _Thread_local char paths[4][PATH_MAX];
    static _Thread_local unsigned next;
    char *out = paths[next++ % 4];
    snprintf(out, PATH_MAX, "%s%s", t->root, path);
    return out;
}

bool temp_exists(const struct temp *t, const char *path)
{
    struct stat st;
    return lstat(temp_path(t, path), &st) == 0;
}

ino_t temp_inode(const struct temp *t, const char *path)
{
    struct stat st;
    assert_int_equal(stat(temp_path(t, path), &st), 0);
    return st.st_ino;
}

static size_t leftovers;

static int count_leftover(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    leftovers += type == FTW_F && rs_str_ends(rs_str_c(path), RS_STR(".tmp"));
    return 0;
}

size_t temp_leftovers(const struct temp *t)
{
    leftovers = 0;
    assert_int_equal(nftw(t->root, count_leftover, 16, FTW_PHYS), 0);
    return leftovers;
}

void temp_write(const struct temp *t, const char *path, const char *bytes)
{
    RS_AUTO(rs_fd_close) int fd = open(temp_path(t, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(rs_write_all(fd, bytes, strlen(bytes), NULL), RS_OK);
}

void temp_sleep_ms(unsigned ms)
{
    usleep(ms * 1000);
}

void temp_put(struct temp *t, const char *path, const char *bytes)
{
    assert_int_equal(rs_storage_put(t->storage, path, rs_str_c(bytes), &t->batch, &t->err), RS_OK);
}

void temp_put_loose(struct temp *t, const char *path, const char *bytes)
{
    assert_int_equal(rs_storage_put(t->storage, path, rs_str_c(bytes), NULL, &t->err), RS_OK);
}

void temp_sync(struct temp *t)
{
    assert_int_equal(rs_storage_sync(t->storage, &t->batch, &t->err), RS_OK);
    assert_int_equal(t->batch.count, 0);
}

void temp_assert_holds(struct temp *t, const char *path, const char *bytes)
{
    RS_AUTO(rs_buf_release) struct rs_buf buf;
    rs_buf_init(&buf, 1 << 20);
    assert_int_equal(rs_storage_read(t->storage, path, &buf, &t->err), RS_OK);
    assert_string_equal(rs_buf_z(&buf), bytes);
}

struct rs_storage_file *temp_grow(struct temp *t, const char *path, const char *bytes)
{
    struct rs_storage_file *file = NULL;
    uint64_t size;
    assert_int_equal(rs_storage_append_create(t->storage, path, &t->err), RS_OK);
    assert_int_equal(rs_storage_append_open(t->storage, path, &file, &size, &t->err), RS_OK);
    assert_int_equal(rs_storage_append(file, bytes, strlen(bytes), &t->err), RS_OK);
    return file;
}

/* --- names --- */

struct names {
    char *names[10000];
    size_t count;
};

static bool add_name(void *ctx, rs_str name, bool is_directory)
{
    struct names *n = ctx;
    char text[300];
    assert_true(n->count < RS_COUNT(n->names));
    snprintf(text, sizeof(text), RS_STR_FMT "%s", RS_STR_ARG(name), is_directory ? "/" : "");
    n->names[n->count++] = rs_strdup(text);
    return true;
}

/* Without the '/' behind a directory. */
static int compare_names(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return rs_str_cmp((rs_str){x, strcspn(x, "/")}, (rs_str){y, strcspn(y, "/")});
}

char *temp_names(struct temp *t, const char *path)
{
    struct names *n = rs_calloc(1, sizeof(*n));
    struct rs_buf all;
    rs_buf_init(&all, 1 << 20);
    assert_int_equal(rs_storage_scan(t->storage, path, add_name, n, &t->err), RS_OK);
    qsort(n->names, n->count, sizeof(n->names[0]), compare_names);
    for (size_t i = 0; i < n->count; i++) {
        rs_buf_printf(&all, "%s ", n->names[i]);
        free(n->names[i]);
    }
    free(n);
    char *text = rs_strdup(rs_buf_z(&all));
    rs_buf_release(&all);
    return text;
}
