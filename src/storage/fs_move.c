/* SPDX-License-Identifier: Apache-2.0 */
/* Giving an object another name: what is broken is set aside this way, and never anything replaced. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "storage/fs_priv.h"

/* Others may remove the directory that was just made. */
#define ATTEMPTS 16

/* The batch needs room for both directories. */
static rs_rc make_room(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    if (batch != NULL && batch->count + 2 > RS_BATCH_MAX)
        RS_TRY(rs_storage_sync(storage, batch, err));
    return fs_batch_room((struct fs *)storage, batch, err);
}

/* RS_E_NOT_FOUND unless it is a file. A link that the operator placed there stays. */
static rs_rc check_file(struct fs *fs, const char *path, struct rs_err *err)
{
    struct stat st;
    if (fstatat(fs->root, fs_relative(path), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fs_err_use(fs, err, errno, "move", path);
    return S_ISREG(st.st_mode) ? RS_OK : rs_err_set(err, RS_E_NOT_FOUND, "%s is no file", path);
}

rs_rc fs_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
              struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    int errnum = ENOENT;
    RS_TRY(make_room(storage, batch, err));
    for (int attempt = 0; attempt < ATTEMPTS && errnum == ENOENT; attempt++) {
        RS_TRY(check_file(fs, from, err));
        errnum = fs_rename_new(fs, fs_relative(from), fs_relative(to));
        if (errnum == ENOENT)
            RS_TRY(fs_make_directory(fs, fs_parent(to), err));
    }
    if (errnum == EEXIST)
        return rs_err_set(err, RS_E_EXISTS, "cannot move %s to %s: something is there", from, to);
    if (errnum != 0)
        return fs_err_place(err, errnum, to);
    rs_storage_batch_add(batch, fs_parent(from), 0);
    rs_storage_batch_add(batch, fs_parent(to), 0);
    return RS_OK;
}
