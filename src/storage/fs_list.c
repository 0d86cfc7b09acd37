/* SPDX-License-Identifier: Apache-2.0 */
/* Reading directories, and removing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "storage/fs_priv.h"

/* Deeper than any tree of ours; a loop of mounts would end here. */
#define REMOVE_DEPTH 64
/* A directory that others keep filling is not removed at any price. */
#define REMOVE_ATTEMPTS 64

/* NULL with errno. */
static DIR *open_directory(int dir_fd, const char *name, int flags)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    if (fd < 0)
        return NULL;
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        close(fd);
    return dir;
}

/* The next entry but "." and ".."; NULL at the end (*out_errnum 0) or on an error. */
static struct dirent *next_entry(DIR *dir, int *out_errnum)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        *out_errnum = entry == NULL ? errno : 0;
        if (entry == NULL || (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0))
            return entry;
    }
}

/* --- scan --- */

static bool is_leftover(rs_str name, unsigned char type)
{
    return type == DT_REG && rs_str_ends(name, RS_STR(RS_STORAGE_TMP_SUFFIX));
}

/* Whether a link in the directory `path` leads to that very directory or to one on the way to it. Who walks the tree
 * would walk in a circle, with ever longer names. */
static bool leads_back(struct fs *fs, const char *path, const struct stat *target)
{
    struct stat st;
    char above[RS_STORAGE_PATH_MAX + 1];
    RS_ASSERT(rs_str_copy_z(rs_str_c(path), above, sizeof(above)));
    for (;;) {
        if (fstatat(fs->root, fs_relative(above), &st, 0) == 0 && st.st_dev == target->st_dev &&
            st.st_ino == target->st_ino)
            return true;
        if (above[1] == '\0')
            return false;
        above[fs_parent(above).len] = '\0';
    }
}

/* Tells directories from files where the type byte cannot. False: it is not to be told. */
static bool resolve(struct fs *fs, const char *path, DIR *dir, const struct dirent *entry, bool all,
                    bool *out_is_directory)
{
    rs_str name = rs_str_c(entry->d_name);
    *out_is_directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_DIR || entry->d_type == DT_REG)
        return all || !is_leftover(name, entry->d_type);
    struct stat st;
    if (fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
        return false;
    *out_is_directory = S_ISDIR(st.st_mode);
    if (*out_is_directory && leads_back(fs, path, &st))
        return false;
    return all || !is_leftover(name, S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN);
}

static rs_rc scan(struct fs *fs, const char *path, bool all, rs_storage_visit *visit, void *ctx, struct rs_err *err)
{
    int errnum;
    RS_AUTO(rs_dir_close) DIR *dir = open_directory(fs->root, fs_relative(path), 0);
    if (dir == NULL)
        return fs_err_use(fs, err, errno, "list", path);
    for (struct dirent *entry; (entry = next_entry(dir, &errnum)) != NULL;) {
        bool is_directory;
        if (resolve(fs, path, dir, entry, all, &is_directory) && !visit(ctx, rs_str_c(entry->d_name), is_directory))
            return RS_OK;
    }
    return errnum == 0 ? RS_OK : rs_err_sys(err, errnum, "cannot list %s: the directory broke off", path);
}

rs_rc fs_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx, struct rs_err *err)
{
    return scan((struct fs *)storage, path, false, visit, ctx, err);
}

rs_rc fs_scan_all(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx, struct rs_err *err)
{
    return scan((struct fs *)storage, path, true, visit, ctx, err);
}

/* --- remove --- */

static int remove_entry(struct fs *fs, int dir_fd, const char *name, unsigned depth);

/* An errno value, or 0. */
static int empty_directory(struct fs *fs, int dir_fd, const char *name, unsigned depth)
{
    RS_AUTO(rs_dir_close) DIR *dir = open_directory(dir_fd, name, O_NOFOLLOW);
    if (dir == NULL)
        return errno;
    int errnum;
    for (struct dirent *entry; (entry = next_entry(dir, &errnum)) != NULL;) {
        errnum = remove_entry(fs, dirfd(dir), entry->d_name, depth + 1);
        if (errnum != 0)
            return errnum;
    }
    return errnum;
}

static int remove_directory(struct fs *fs, int dir_fd, const char *name, unsigned depth)
{
    if (depth >= REMOVE_DEPTH)
        return ELOOP;
    for (int attempt = 0; attempt < REMOVE_ATTEMPTS; attempt++) {
        int errnum = empty_directory(fs, dir_fd, name, depth);
        if (errnum != 0 && errnum != ENOENT)
            return errnum;
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != ENOTEMPTY && errno != EEXIST)
            return errno;
    }
    return ENOTEMPTY;
}

/* What is gone already is no error: others may remove the same. */
static int remove_entry(struct fs *fs, int dir_fd, const char *name, unsigned depth)
{
    struct fs_identity identity;
    int errnum = fs_identify_at(dir_fd, name, &identity);
    if (errnum != 0)
        return errnum == ENOENT || errnum == ENOTDIR ? 0 : errnum;
    fs_forget(fs, &identity);
    if (identity.is_directory)
        return remove_directory(fs, dir_fd, name, depth);
    return unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT ? 0 : errno;
}

rs_rc fs_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    RS_TRY(fs_batch_room(fs, batch, err));
    int errnum = remove_entry(fs, fs->root, fs_relative(path), 0);
    if (errnum != 0)
        return rs_err_sys(err, errnum, "cannot remove %s", path);
    /* Also when nothing was there: somebody may have removed it a moment ago and not synced yet. */
    rs_storage_batch_add(batch, fs_parent(path), 0);
    return RS_OK;
}
