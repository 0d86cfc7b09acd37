/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NEAR: a look at a link walks ten directories, four of them on the way to the repositories, and the walk is most of
 * its cost. So a descriptor of a directory that was announced is kept, and looks below it begin there.
 *
 * The descriptor is opened anew every NEAR_MS, under the same number (dup3), so that a directory that was moved aside
 * or replaced under the running server is noticed within that time. What is not found from there is looked for from the
 * root: a directory that was removed hides nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/fs_priv.h"

#define NEAR_MS 1000

void fs_near(struct rs_storage *storage, const char *path)
{
    struct fs *fs = (struct fs *)storage;
    RS_ASSERT(fs->near_path == NULL);
    /* Until the first look it stands for a number that stays. */
    fs->near_fd = openat(fs->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs->near_fd < 0)
        return; /* then every look takes the long way */
    atomic_store(&fs->near_ms, rs_mono_ms() - NEAR_MS);
    fs->near_path = rs_strdup(path);
    fs->near_len = strlen(path);
}

void fs_near_release(struct fs *fs)
{
    if (fs->near_path != NULL)
        rs_fd_close(&fs->near_fd);
    rs_free_ptr(&fs->near_path);
}

void fs_near_forget(struct fs *fs)
{
    atomic_store(&fs->near_usable, false);
    atomic_store(&fs->near_ms, rs_mono_ms() - NEAR_MS);
}

static void renew(struct fs *fs)
{
    RS_AUTO(rs_fd_close) int fd = openat(fs->root, fs_relative(fs->near_path), O_PATH | O_DIRECTORY | O_CLOEXEC);
    atomic_store(&fs->near_usable, fd >= 0 && dup3(fd, fs->near_fd, O_CLOEXEC) >= 0);
}

/* Whether the path lies below the announced directory, whose descriptor is then fit for use. */
static bool is_near(struct fs *fs, const char *path)
{
    if (fs->near_path == NULL || strncmp(path, fs->near_path, fs->near_len) != 0 || path[fs->near_len] != '/')
        return false;
    int64_t now = rs_mono_ms(), renewed = atomic_load_explicit(&fs->near_ms, memory_order_relaxed);
    if (now - renewed >= NEAR_MS && atomic_compare_exchange_strong(&fs->near_ms, &renewed, now))
        renew(fs);
    return atomic_load_explicit(&fs->near_usable, memory_order_acquire);
}

int fs_stat_path(struct fs *fs, const char *path, struct stat *out)
{
    if (is_near(fs, path) && fstatat(fs->near_fd, path + fs->near_len + 1, out, 0) == 0)
        return 0;
    return fstatat(fs->root, fs_relative(path), out, 0) == 0 ? 0 : errno;
}
