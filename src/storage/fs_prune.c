/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing directories beside those who write in them: by rmdir alone, so that one that somebody has just put something
 * into stays. Whoever finds his directory gone makes it again (fs.c, create_temporary).
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/fs_priv.h"

rs_rc fs_prune(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
               struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    char at[RS_STORAGE_PATH_MAX + 1];
    struct fs_identity identity;
    RS_TRY(fs_batch_room(fs, batch, err));
    RS_ASSERT(rs_str_copy_z(rs_str_c(path), at, sizeof(at)));
    for (; levels > 0 && at[1] != '\0'; levels--) {
        if (fs_identify_at(fs->root, fs_relative(at), &identity) == 0)
            fs_forget(fs, &identity);
        if (unlinkat(fs->root, fs_relative(at), AT_REMOVEDIR) != 0 && errno != ENOENT)
            break; /* somebody needs it, or we may not: it may as well stay */
        at[fs_parent(at).len] = '\0';
    }
    rs_storage_batch_add(batch, rs_str_c(at), 0);
    return RS_OK;
}
