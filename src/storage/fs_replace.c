/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SWAP: replacing or removing an object on a condition. Whoever does holds a lock from the look at what is there to the
 * rename, so that of all who ask "only if it is still A" one wins. The lock is an open-file-description lock on one of
 * LOCKS empty files in our own part of the root, chosen by the path: it works between threads and between processes,
 * over NFS as well, and whoever dies leaves none behind. The files stay; a path's number is a part of what processes
 * agree on.
 *
 * What costs time is done outside of the lock: bytes are synced under a temporary name before, the directory after. So
 * the next one may see what is not durable yet; its own sync of the same directory makes both so.
 *
 * Nobody else takes the lock. A put in between is overwritten. A remove of the directory takes our temporary file
 * along, the rename fails, and we look again; a remove that has not come to the end yet removes what we have put there.
 * Both are as if one had come before the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "storage/fs_priv.h"

#define LOCKS 256
#define LOCK_DIRECTORY "/roadstead/v1/locks"
#define WAIT_MS 10000 /* as long as a process that was stopped may hold up others */
#define PAUSE_NS_MAX (2 * 1000 * 1000)
#define ATTEMPTS 64 /* others may remove what we make */

/* FNV-1a: the same everywhere and for ever. */
static unsigned lock_number(const char *path)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *path != '\0'; path++)
        hash = (hash ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
    return (unsigned)((hash ^ hash >> 32) % LOCKS);
}

static rs_rc open_lock(struct fs *fs, const char *lock, int *out_fd, struct rs_err *err)
{
    int errnum = 0;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        *out_fd = openat(fs->root, fs_relative(lock), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, FS_FILE_MODE);
        if (*out_fd >= 0)
            return RS_OK;
        errnum = errno;
        if (errnum != ENOENT)
            break;
        RS_TRY(fs_make_directory(fs, RS_STR(LOCK_DIRECTORY), err));
    }
    return fs_err_place(err, errnum, lock);
}

/* Waits with growing pauses: a wait in the kernel would have no end if the holder is stopped. */
static rs_rc wait_for_lock(int fd, const char *path, struct rs_err *err)
{
    int64_t end = rs_mono_ms() + WAIT_MS;
    struct timespec pause = {.tv_nsec = 20 * 1000};
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return rs_err_sys(err, errno, "cannot lock %s", path);
        if (rs_mono_ms() >= end)
            return rs_err_set(err, RS_E_UNAVAILABLE, "%s has been held by others for %d s", path, WAIT_MS / 1000);
        nanosleep(&pause, NULL);
        pause.tv_nsec = RS_MIN(pause.tv_nsec * 2, PAUSE_NS_MAX);
    }
    return RS_OK;
}

/* The lock of a path; closing lets go. A lock file that was removed meanwhile locks nobody out. */
static rs_rc take_lock(struct fs *fs, const char *path, int *out_fd, struct rs_err *err)
{
    char lock[64];
    struct stat st;
    snprintf(lock, sizeof(lock), LOCK_DIRECTORY "/%02x", lock_number(path));
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        RS_AUTO(rs_fd_close) int fd = -1;
        RS_TRY(open_lock(fs, lock, &fd, err));
        RS_TRY(wait_for_lock(fd, path, err));
        if (fstat(fd, &st) == 0 && st.st_nlink != 0) {
            *out_fd = rs_fd_take(&fd);
            return RS_OK;
        }
    }
    return rs_err_set(err, RS_E_UNAVAILABLE, "%s is removed all the time", lock);
}

/* Looks at what is there, and asks. *out_there: something is. */
static rs_rc ask_locked(struct fs *fs, const char *path, rs_storage_accept *accept, void *ctx, bool *out_there,
                        struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf held;
    rs_buf_init(&held, RS_REPLACE_MAX);
    rs_rc rc = fs_read(&fs->storage, path, &held, err);
    if (rc == RS_E_TOO_BIG)
        return rs_err_set(err, RS_E_CORRUPT, "%s is too large for its kind", path);
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        return rc;
    rs_str bytes = rs_buf_str(&held);
    *out_there = rc == RS_OK;
    if (!accept(ctx, rc == RS_OK ? &bytes : NULL))
        return rs_err_set(err, RS_E_PRECONDITION, "%s is not as it was asked for", path);
    return RS_OK;
}

/* Looks, asks, renames. RS_E_NOT_FOUND: the temporary file is gone, together with its directory. */
static rs_rc swap_locked(struct fs *fs, const char *path, const char *tmp, rs_storage_accept *accept, void *ctx,
                         struct rs_err *err)
{
    bool there;
    if (accept != NULL)
        RS_TRY(ask_locked(fs, path, accept, ctx, &there, err));
    if (renameat(fs->root, tmp, fs->root, fs_relative(path)) == 0)
        return RS_OK;
    return errno == ENOENT ? RS_E_NOT_FOUND : fs_err_place(err, errno, path);
}

/* One attempt, up to the rename. */
static rs_rc try_replace(struct fs *fs, const char *path, rs_str bytes, rs_storage_accept *accept, void *ctx,
                         bool durable, struct fs_identity *out, struct rs_err *err)
{
    char tmp[FS_TMP_SIZE];
    RS_AUTO(rs_fd_close) int lock = -1;
    RS_TRY(fs_write_temporary(fs, path, bytes, durable, tmp, out, err));
    rs_rc rc = take_lock(fs, path, &lock, err);
    if (rc == RS_OK)
        rc = swap_locked(fs, path, tmp, accept, ctx, err);
    if (rc != RS_OK)
        unlinkat(fs->root, tmp, 0);
    return rc;
}

rs_rc fs_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept, void *ctx,
                 struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    struct fs_identity identity;
    RS_TRY(fs_batch_room(fs, batch, err));
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        rs_rc rc = try_replace(fs, path, bytes, accept, ctx, batch != NULL, &identity, err);
        if (rc == RS_E_NOT_FOUND)
            continue;
        if (rc == RS_OK)
            rs_storage_batch_add(batch, fs_parent(path), identity.fingerprint);
        return rc;
    }
    return fs_err_place(err, ENOENT, path);
}

static rs_rc remove_locked(struct fs *fs, const char *path, rs_storage_accept *accept, void *ctx, struct rs_err *err)
{
    bool there = true;
    struct fs_identity identity;
    rs_rc rc = accept != NULL ? ask_locked(fs, path, accept, ctx, &there, err) : RS_OK;
    if (!there)
        return fs_err_use(fs, err, ENOENT, "remove", path);
    RS_TRY(rc);
    if (fs_identify_at(fs->root, fs_relative(path), &identity) == 0)
        fs_forget(fs, &identity);
    return unlinkat(fs->root, fs_relative(path), 0) == 0 ? RS_OK : fs_err_use(fs, err, errno, "remove", path);
}

rs_rc fs_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                   struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    RS_AUTO(rs_fd_close) int lock = -1;
    RS_TRY(fs_batch_room(fs, batch, err));
    rs_rc rc = take_lock(fs, path, &lock, err);
    if (rc != RS_OK && rc != RS_E_STORAGE_FULL) /* on a full disk nobody can replace either, and removing must go on */
        return rc;
    RS_TRY(remove_locked(fs, path, accept, ctx, err));
    rs_storage_batch_add(batch, fs_parent(path), 0);
    return RS_OK;
}
