/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that grow. One writer in all processes: whoever holds the open-file-description lock on the file. The lock
 * goes with the descriptor, so a writer that dies leaves none behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "storage/fs_priv.h"

/* Start writing to the disk this often, so that the sync at the end finds little left to do (see docs, 256 MiB push:
 * 4 ms instead of 86 ms after the last byte). It makes nothing durable. */
#define WRITEBACK_BYTES (8u << 20)
/* Others may publish, remove and make directories at the same time; each of them can spoil an attempt. */
#define ATTEMPTS 16

struct fs_file {
    struct rs_storage_file file;
    int fd;
    bool trusted;
    bool lost;        /* a call failed, and what the file holds is unknown */
    uint64_t size;    /* bytes in the file */
    uint64_t started; /* bytes whose writing to the disk has been started */
    char path[];      /* of the growing file */
};

static struct fs *fs_of(const struct fs_file *file)
{
    return (struct fs *)file->file.storage;
}

/* --- opening --- */

rs_rc fs_append_create(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    int errnum = 0;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK;
        RS_AUTO(rs_fd_close) int fd = openat(fs->root, fs_relative(path), flags, FS_FILE_MODE);
        if (fd >= 0)
            return RS_OK;
        errnum = errno;
        if (errnum != ENOENT)
            break;
        RS_TRY(fs_make_directory(fs, fs_parent(path), err));
    }
    return fs_err_place(err, errnum, path);
}

static rs_rc take_lock(int fd, const char *path, struct rs_err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return RS_OK;
    if (errno == EAGAIN || errno == EACCES)
        return rs_err_set(err, RS_E_BUSY, "%s is being written by another request", path);
    return rs_err_sys(err, errno, "cannot lock %s", path);
}

/* Whether the path still names the open file and no other name does. A second name means that it was published and
 * the machine stopped before the first was gone: nothing may be appended to it any more. */
static bool still_named(struct fs *fs, const char *path, const struct stat *open_file)
{
    struct stat named;
    return fstatat(fs->root, fs_relative(path), &named, 0) == 0 && named.st_dev == open_file->st_dev &&
           named.st_ino == open_file->st_ino && named.st_nlink == 1;
}

static struct timespec boot_time(void)
{
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (struct timespec){.tv_sec = now.tv_sec - up.tv_sec + (now.tv_nsec >= up.tv_nsec ? 0 : -1)};
}

/* What was written since the machine started is what the page cache holds; anything else may be torn. The second that
 * holds the start itself counts as before it. */
static bool written_since_boot(const struct stat *st)
{
    struct timespec now, boot = boot_time();
    clock_gettime(CLOCK_REALTIME, &now);
    return st->st_size == 0 || (st->st_mtim.tv_sec > boot.tv_sec && st->st_mtim.tv_sec <= now.tv_sec);
}

rs_rc fs_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out, uint64_t *out_size,
                     struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    struct stat st;
    RS_AUTO(rs_fd_close) int fd = openat(fs->root, fs_relative(path), O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fs_err_use(fs, err, errno, "open", path);
    RS_TRY(take_lock(fd, path, err));
    if (fstat(fd, &st) != 0)
        return rs_err_sys(err, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return rs_err_set(err, RS_E_CORRUPT, "%s is no file, though an upload's bytes belong there", path);
    if (!still_named(fs, path, &st))
        return rs_err_set(err, RS_E_NOT_FOUND, "%s was published or removed", path);

    size_t length = strlen(path) + 1;
    struct fs_file *file = rs_calloc(1, sizeof(*file) + length);
    memcpy(file->path, path, length);
    file->file.storage = storage;
    file->fd = rs_fd_take(&fd);
    file->trusted = written_since_boot(&st);
    file->size = file->started = (uint64_t)st.st_size;
    *out = &file->file;
    *out_size = file->size;
    return RS_OK;
}

bool fs_append_trusted(const struct rs_storage_file *file)
{
    return ((const struct fs_file *)file)->trusted;
}

void fs_append_close(struct rs_storage_file *base)
{
    struct fs_file *file = (struct fs_file *)base;
    rs_fd_close(&file->fd);
    free(file);
}

/* --- bytes --- */

static rs_rc check_lost(const struct fs_file *file, struct rs_err *err)
{
    if (file->lost)
        return rs_err_set(err, RS_E_IO, "%s could not be written or synced before, its bytes are lost", file->path);
    return RS_OK;
}

rs_rc fs_append(struct rs_storage_file *base, const void *data, size_t len, struct rs_err *err)
{
    struct fs_file *file = (struct fs_file *)base;
    RS_TRY(check_lost(file, err));
    rs_rc rc = rs_write_all(file->fd, data, len, err);
    if (rc != RS_OK) {
        /* A part may have been written (a full disk): take it back, or give the file up. */
        file->lost = ftruncate(file->fd, (off_t)file->size) != 0;
        rs_err_wrap(err, "cannot append to %s", file->path);
        return rc;
    }
    file->size += len;
    if (file->size - file->started >= WRITEBACK_BYTES) {
        /* Only a hint: an error of the disk comes back from the sync. */
        sync_file_range(file->fd, (off64_t)file->started, (off64_t)(file->size - file->started), SYNC_FILE_RANGE_WRITE);
        file->started = file->size;
    }
    return RS_OK;
}

rs_rc fs_append_read(struct rs_storage_file *base, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                     struct rs_err *err)
{
    struct fs_file *file = (struct fs_file *)base;
    ssize_t n;
    do
        n = pread(file->fd, buf, cap, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return rs_err_sys(err, errno, "cannot read %s", file->path);
    *out_n = (size_t)n;
    return RS_OK;
}

/* --- publishing --- */

/* After a sync that failed the kernel has dropped the dirty pages: a second sync would succeed and prove nothing, and
 * the file may read back well until the next start. So the bytes are given up. */
static rs_rc sync_data(struct fs_file *file, struct rs_err *err)
{
    struct fs *fs = fs_of(file);
    int errnum = fs_fsync(fs, file->fd);
    if (errnum == 0)
        return RS_OK;
    file->lost = true;
    unlinkat(fs->root, fs_relative(file->path), 0);
    return rs_err_sys(err, errnum, "cannot sync %s, its bytes are given up", file->path);
}

int fs_rename_new(struct fs *fs, const char *from, const char *to)
{
    if (renameat2(fs->root, from, fs->root, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* A file system without it (NFS): the same in two steps. */
    if (linkat(fs->root, from, fs->root, to, 0) != 0)
        return errno;
    unlinkat(fs->root, from, 0);
    return 0;
}

/* The file is at its new place. */
static void note_moved(struct fs_file *file, const char *path, struct rs_storage_batch *batch)
{
    struct fs_identity identity = {0};
    fs_identify(file->fd, &identity);
    rs_storage_batch_add(batch, fs_parent(path), identity.fingerprint);
}

/* If the destination holds as many bytes, it stays and ours goes; our bytes need no sync then. Whoever put it there may
 * still be syncing it, so it goes into our batch. *out_same stays false if there is nothing, or not the same. */
static rs_rc keep_same(struct fs_file *file, const char *path, struct rs_storage_batch *batch, bool *out_same,
                       struct rs_err *err)
{
    struct fs *fs = fs_of(file);
    struct stat st;
    if (fstatat(fs->root, fs_relative(path), &st, 0) != 0)
        return errno == ENOENT || errno == ENOTDIR ? RS_OK : rs_err_sys(err, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return rs_err_set(err, RS_E_CORRUPT, "%s is no file, though a blob belongs there", path);
    if ((uint64_t)st.st_size != file->size)
        return RS_OK;
    rs_rc rc = batch != NULL ? fs_keep(&fs->storage, path, batch, err) : RS_OK;
    if (rc == RS_E_NOT_FOUND) /* removed meanwhile */
        return RS_OK;
    RS_TRY(rc);
    unlinkat(fs->root, fs_relative(file->path), 0);
    *out_same = true;
    return RS_OK;
}

/* Something lies at the destination. */
static rs_rc meet_existing(struct fs_file *file, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs *fs = fs_of(file);
    bool same = false;
    RS_TRY(keep_same(file, path, batch, &same, err));
    if (same)
        return RS_OK;
    /* Of another length: torn by a crash under somebody who does not sync before renaming. Ours is whole and durable.
     */
    if (renameat(fs->root, fs_relative(file->path), fs->root, fs_relative(path)) != 0)
        return fs_err_place(err, errno, path);
    note_moved(file, path, batch);
    return RS_OK;
}

/* One attempt. RS_OK without *out_done: the world has changed, try again. */
static rs_rc try_publish(struct fs_file *file, const char *path, struct rs_storage_batch *batch, bool *out_done,
                         struct rs_err *err)
{
    struct fs *fs = fs_of(file);
    struct stat st;
    switch (fs_rename_new(fs, fs_relative(file->path), fs_relative(path))) {
    case 0:
        break;
    case EEXIST:
        *out_done = true;
        return meet_existing(file, path, batch, err);
    case ENOENT:
        if (fstatat(fs->root, fs_relative(file->path), &st, 0) != 0)
            return rs_err_sys(err, errno, "%s is gone", file->path);
        return fs_make_directory(fs, fs_parent(path), err);
    default:
        return rs_err_sys(err, errno, "cannot move %s to %s", file->path, path);
    }
    note_moved(file, path, batch);
    *out_done = true;
    return RS_OK;
}

rs_rc fs_publish(struct rs_storage_file *base, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs_file *file = (struct fs_file *)base;
    RS_TRY(fs_batch_room(fs_of(file), batch, err));
    RS_TRY(check_lost(file, err));
    bool done = false;
    RS_TRY(keep_same(file, path, batch, &done, err));
    if (done)
        return RS_OK;
    RS_TRY(sync_data(file, err));
    for (int attempt = 0; attempt < ATTEMPTS && !done; attempt++)
        RS_TRY(try_publish(file, path, batch, &done, err));
    if (!done)
        return rs_err_set(err, RS_E_IO, "cannot move %s to %s: it is made and removed all the time", file->path, path);
    return RS_OK;
}
