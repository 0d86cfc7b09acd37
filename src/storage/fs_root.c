/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ROOT: the root directory may be removed and made anew, restored or mounted again while we run.
 *
 * Everything is resolved below one descriptor. It then belongs to a directory that is dead or stands aside, while the
 * root's path names another. Nobody tells us; but something will be missing. Only then, and at most every
 * LOOK_INTERVAL_MS unless our directory is known to be dead, we look what the path names now:
 * 1. The same directory: what is missing is missing.
 * 2. None: RS_E_UNAVAILABLE, since "there is no such image" would be a lie.
 * 3. Another: it is used from now on. dup3 puts it under the same number in one step, so that no call of another thread
 *    meets a closed descriptor. Whoever has found it gets RS_E_UNAVAILABLE once, whose text is logged.
 *
 * A request that began below the old root must not be acknowledged by a sync below the new one. So a batch notes the
 * epoch before its first change, and a sync fails unless the epoch is still the same at its end. The epoch is odd
 * during the exchange: whoever notes it then will never find it again. What is known to be durable is forgotten, since
 * its directories may have been moved from the old tree to the new, and what a sync of the old one learns meanwhile is
 * dropped (make_known looks at the epoch under the lock that fs_forget_all takes).
 *
 * REMOTE: clients of network file systems remember the times of files and directories for seconds, while another
 * machine changes them. There a stamp would vouch for what it cannot know, so none is given, and whoever would have
 * kept something reads it again. (Opening a file or directory to read it does ask the server.) A part of the tree that
 * a link leads to such a file system is not recognised.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/fs_priv.h"

#define LOOK_INTERVAL_MS 100

static bool is_remote(int fd)
{
    static const uint32_t remote[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
                                      AFS_SUPER_MAGIC, AFS_FS_MAGIC,    CODA_SUPER_MAGIC, FUSE_SUPER_MAGIC};
    struct statfs st;
    if (fstatfs(fd, &st) != 0)
        return true;
    for (size_t i = 0; i < RS_COUNT(remote); i++)
        if ((uint32_t)st.f_type == remote[i])
            return true;
    return false;
}

void fs_root_init(struct fs *fs, int *fd, const char *path)
{
    fs->root = rs_fd_take(fd);
    atomic_store(&fs->remote, is_remote(fs->root));
    fs->root_path = rs_strdup(path);
    fs->looked_ms = -LOOK_INTERVAL_MS;
}

void fs_root_release(struct fs *fs)
{
    rs_fd_close(&fs->root);
    rs_free_ptr(&fs->root_path);
}

static void exchange(struct fs *fs, int fd)
{
    atomic_fetch_add(&fs->epoch, 1);
    while (dup3(fd, fs->root, O_CLOEXEC) < 0)
        RS_ASSERT(errno == EINTR || errno == EBUSY);
    atomic_store(&fs->remote, is_remote(fs->root));
    fs_forget_all(fs);
    fs_near_forget(fs);
    atomic_store(&fs->above_synced, false);
    atomic_fetch_add(&fs->epoch, 1);
}

/* True: it was another one. */
static bool look(struct fs *fs)
{
    struct stat ours, named;
    RS_AUTO(rs_fd_close) int fd = open(fs->root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    atomic_store(&fs->gone, fd < 0 && (errno == ENOENT || errno == ENOTDIR));
    if (fd < 0 || fstat(fd, &named) != 0)
        return false;
    if (fstat(fs->root, &ours) == 0 && ours.st_dev == named.st_dev && ours.st_ino == named.st_ino)
        return false;
    exchange(fs, fd);
    return true;
}

rs_rc fs_root_check(struct fs *fs, struct rs_err *err)
{
    struct stat st;
    bool exchanged = false;
    bool dead = fstat(fs->root, &st) != 0 || st.st_nlink == 0;
    bool due = dead || rs_mono_ms() - atomic_load(&fs->looked_ms) >= LOOK_INTERVAL_MS;
    if (due && !atomic_exchange(&fs->looking, true)) {
        exchanged = look(fs);
        atomic_store(&fs->looked_ms, rs_mono_ms());
        atomic_store(&fs->looking, false);
    }
    if (exchanged)
        return rs_err_set(err, RS_E_UNAVAILABLE,
                          "the storage's root directory %s is another one than before; it is used from now on, send "
                          "the request again",
                          fs->root_path);
    if (dead || atomic_load(&fs->gone))
        return rs_err_set(err, RS_E_UNAVAILABLE, "the storage's root directory %s is gone", fs->root_path);
    return RS_OK;
}

rs_rc fs_batch_room(struct fs *fs, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(rs_storage_batch_room(&fs->storage, batch, err));
    if (batch != NULL && batch->count == 0)
        batch->epoch = atomic_load(&fs->epoch);
    return RS_OK;
}
