/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of the local disk. Everything is resolved below a descriptor of the root directory; storage.c has
 * checked the paths. An object is written under a temporary name and renamed, so that a reader sees the old or the
 * new. Links that the operator placed in the tree (a part of it on another disk) are followed, but never removed
 * through.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/fs_priv.h"

/* What changed so recently may change again without a trace: within a tick of the kernel's clock, or within the second
 * where the file system keeps no fractions. */
#define REMOTE_LAG_MS 65000
#define STAMP_MARGIN_NS (10 * 1000 * 1000)
#define STAMP_MARGIN_COARSE_NS ((int64_t)2 * 1000 * 1000 * 1000)
/* Somebody else may remove the directory that was just made (fs_prune.c); more often than this is no accident. */
#define PARENT_ATTEMPTS 64

/* --- paths --- */

const char *fs_relative(const char *path)
{
    return path[1] == '\0' ? "." : path + 1;
}

rs_str fs_parent(const char *path)
{
    size_t slash = 0;
    rs_str whole = rs_str_c(path);
    rs_str_rfind(whole, '/', &slash);
    return rs_str_sub(whole, 0, RS_MAX(slash, 1));
}

/* The path is cut and mended on the way, and whole again at the end. */
static int make_directory(int root, char *path)
{
    if (mkdirat(root, path, FS_DIRECTORY_MODE) == 0 || errno == EEXIST)
        return 0;
    char *slash = strrchr(path, '/');
    if (errno != ENOENT || slash == NULL)
        return errno;
    *slash = '\0';
    int errnum = make_directory(root, path);
    *slash = '/';
    if (errnum != 0)
        return errnum;
    return mkdirat(root, path, FS_DIRECTORY_MODE) == 0 || errno == EEXIST ? 0 : errno;
}

uint64_t fs_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 32);
}

rs_rc fs_make_directory(struct fs *fs, rs_str directory, struct rs_err *err)
{
    char path[RS_STORAGE_PATH_MAX + 1];
    RS_ASSERT(rs_str_copy_z(directory, path, sizeof(path)));
    int errnum = path[1] == '\0' ? 0 : make_directory(fs->root, path + 1);
    if (errnum == 0)
        return RS_OK;
    if (errnum == ENOENT) /* somebody removes while we make; the caller tries again */
        return fs_root_check(fs, err);
    return fs_err_place(err, errnum, path);
}

rs_rc fs_err_place(struct rs_err *err, int errnum, const char *path)
{
    if (errnum == ENOENT || errnum == ENOTDIR || errnum == EEXIST)
        return rs_err_set(err, RS_E_IO,
                          "there is no place for %s: something else lies there, or its directory is removed", path);
    return rs_err_sys(err, errnum, "cannot create %s", path);
}

rs_rc fs_err_use(struct fs *fs, struct rs_err *err, int errnum, const char *verb, const char *path)
{
    if (errnum == ELOOP) /* like a link to nowhere */
        return rs_err_set(err, RS_E_NOT_FOUND, "cannot %s %s: the links on its way lead in a circle", verb, path);
    if (errnum == ENOENT || errnum == ESTALE)
        RS_TRY(fs_root_check(fs, err));
    return rs_err_sys(err, errnum, "cannot %s %s", verb, path);
}

/* --- reading --- */

/* Whatever changes from now on gets another time than this: it is over, or (the clock was set back) to come. */
static bool settled(const struct timespec *changed, const struct timespec *now)
{
    int64_t age_s = (int64_t)now->tv_sec - changed->tv_sec;
    int64_t margin = changed->tv_nsec == 0 ? STAMP_MARGIN_COARSE_NS : STAMP_MARGIN_NS;
    if (age_s > 3 || age_s < -3)
        return true;
    int64_t age = age_s * 1000000000 + now->tv_nsec - changed->tv_nsec;
    return age > margin || age < -margin;
}

/* The time of change is all that must be settled: no change leaves it as it was, of a file's bytes or of a directory's
 * children, while the time of modification can be set to anything. */
static uint64_t stamp_of(const struct stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* never ahead: what seems settled is */
    if (!settled(&st->st_ctim, &now))
        return 0;
    uint64_t hash = fs_mix(st->st_dev, st->st_ino);
    hash = fs_mix(hash, (uint64_t)st->st_size);
    hash = fs_mix(fs_mix(hash, (uint64_t)st->st_mtim.tv_sec), (uint64_t)st->st_mtim.tv_nsec);
    hash = fs_mix(fs_mix(hash, (uint64_t)st->st_ctim.tv_sec), (uint64_t)st->st_ctim.tv_nsec);
    return hash != 0 ? hash : 1;
}

static struct rs_storage_stat stat_of(const struct fs *fs, const struct stat *st)
{
    return (struct rs_storage_stat){
        .size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size,
        .mtime_s = st->st_mtim.tv_sec,
        .is_directory = S_ISDIR(st->st_mode),
        .stamp = atomic_load_explicit(&fs->remote, memory_order_relaxed) ? 0 : stamp_of(st),
    };
}

static rs_rc fs_stat(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    struct stat st;
    int errnum = fs_stat_path(fs, path, &st);
    if (errnum != 0)
        return fs_err_use(fs, err, errnum, "look at", path);
    *out = stat_of(fs, &st);
    return RS_OK;
}

/* Opens an object, which is no directory, for reading. O_NONBLOCK: a FIFO at its place must not hold the thread. */
static rs_rc open_object(struct fs *fs, const char *path, int *out_fd, struct stat *st, struct rs_err *err)
{
    /* The time of access is of no use here; but only the owner may leave it alone. */
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    RS_AUTO(rs_fd_close) int fd = openat(fs->root, fs_relative(path), flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(fs->root, fs_relative(path), flags);
    if (fd < 0 || fstat(fd, st) != 0)
        return fs_err_use(fs, err, errno, "open", path);
    if (!S_ISREG(st->st_mode))
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is no file", path);
    *out_fd = rs_fd_take(&fd);
    return RS_OK;
}

rs_rc fs_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err)
{
    struct stat st;
    RS_AUTO(rs_fd_close) int fd = -1;
    RS_TRY(open_object((struct fs *)storage, path, &fd, &st, err));
    char *to = rs_buf_reserve(out, (size_t)st.st_size);
    if (to == NULL && st.st_size != 0)
        return rs_err_set(err, RS_E_TOO_BIG, "%s has %lld bytes, which is too much for its kind", path,
                          (long long)st.st_size);
    size_t n = 0;
    rs_rc rc = rs_read_full(fd, to, (size_t)st.st_size, &n, err);
    if (rc != RS_OK)
        rs_err_wrap(err, "cannot read %s", path);
    else
        out->len += n;
    return rc;
}

static rs_rc fs_open(struct rs_storage *storage, const char *path, struct rs_source *out,
                     struct rs_storage_stat *out_stat, struct rs_err *err)
{
    struct stat st;
    RS_AUTO(rs_fd_close) int fd = -1;
    RS_TRY(open_object((struct fs *)storage, path, &fd, &st, err));
    *out = rs_source_file(rs_fd_take(&fd), 0, (uint64_t)st.st_size);
    if (out_stat != NULL)
        *out_stat = stat_of((struct fs *)storage, &st);
    return RS_OK;
}

/* --- writing small objects --- */

static rs_rc create_temporary(struct fs *fs, const char *path, char tmp[FS_TMP_SIZE], int *out_fd, struct rs_err *err)
{
    int errnum = 0;
    for (int attempt = 0; attempt < PARENT_ATTEMPTS; attempt++) {
        uint64_t random;
        rs_random(&random, sizeof(random));
        snprintf(tmp, FS_TMP_SIZE, "%s.%016llx" RS_STORAGE_TMP_SUFFIX, fs_relative(path), (unsigned long long)random);
        *out_fd = openat(fs->root, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FS_FILE_MODE);
        if (*out_fd >= 0)
            return RS_OK;
        errnum = errno;
        if (errnum != ENOENT)
            break;
        RS_TRY(fs_make_directory(fs, fs_parent(path), err));
    }
    return fs_err_place(err, errnum, path);
}

static rs_rc write_object(struct fs *fs, int fd, rs_str bytes, bool durable, struct rs_err *err)
{
    RS_TRY(rs_write_all(fd, bytes.ptr, bytes.len, err));
    int errnum = durable ? fs_fsync(fs, fd) : 0;
    return errnum == 0 ? RS_OK : rs_err_sys(err, errnum, "cannot sync");
}

rs_rc fs_write_temporary(struct fs *fs, const char *path, rs_str bytes, bool durable, char tmp[FS_TMP_SIZE],
                         struct fs_identity *out, struct rs_err *err)
{
    RS_AUTO(rs_fd_close) int fd = -1;
    RS_TRY(create_temporary(fs, path, tmp, &fd, err));
    rs_rc rc = write_object(fs, fd, bytes, durable, err);
    if (rc != RS_OK) {
        unlinkat(fs->root, tmp, 0);
        rs_err_wrap(err, "cannot write %s", path);
        return rc;
    }
    *out = (struct fs_identity){0};
    if (durable)
        fs_identify(fd, out);
    return RS_OK;
}

static rs_rc fs_put(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                    struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    char tmp[FS_TMP_SIZE];
    struct fs_identity identity;
    RS_TRY(fs_batch_room(fs, batch, err));
    RS_TRY(fs_write_temporary(fs, path, bytes, batch != NULL, tmp, &identity, err));
    if (renameat(fs->root, tmp, fs->root, fs_relative(path)) != 0) {
        rs_rc rc = fs_err_place(err, errno, path);
        unlinkat(fs->root, tmp, 0);
        rs_err_wrap(err, "cannot write %s", path);
        return rc;
    }
    rs_storage_batch_add(batch, fs_parent(path), identity.fingerprint);
    return RS_OK;
}

static rs_rc fs_touch(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    return utimensat(fs->root, fs_relative(path), NULL, 0) == 0 ? RS_OK : fs_err_use(fs, err, errno, "touch", path);
}

/* --- the driver --- */

static void fs_free(struct rs_storage *storage)
{
    struct fs *fs = (struct fs *)storage;
    fs_near_release(fs);
    fs_root_release(fs);
    fs_sync_release(fs);
    free(fs);
}

/* Clients of network file systems remember names, and that there is none, for up to a minute (NFS: acdirmax). */
static int64_t fs_lag_ms(const struct rs_storage *storage)
{
    const struct fs *fs = (const struct fs *)storage;
    return atomic_load(&fs->remote) ? REMOTE_LAG_MS : 0;
}

static uint64_t fs_flushes(const struct rs_storage *storage)
{
    const struct fs *fs = (const struct fs *)storage;
    return atomic_load_explicit(&fs->flushes, memory_order_relaxed);
}

static const struct rs_storage_ops fs_ops = {
    .name = "filesystem",
    .free = fs_free,
    .near = fs_near,
    .stat = fs_stat,
    .read = fs_read,
    .open = fs_open,
    .put = fs_put,
    .replace = fs_replace,
    .keep = fs_keep,
    .touch = fs_touch,
    .mkdir = fs_mkdir,
    .remove = fs_remove,
    .remove_if = fs_remove_if,
    .prune = fs_prune,
    .scan = fs_scan,
    .scan_all = fs_scan_all,
    .move = fs_move,
    .sync = fs_sync,
    .lag_ms = fs_lag_ms,
    .flushes = fs_flushes,
    .append_create = fs_append_create,
    .append_open = fs_append_open,
    .append = fs_append,
    .append_read = fs_append_read,
    .append_trusted = fs_append_trusted,
    .append_close = fs_append_close,
    .publish = fs_publish,
};

/* Makes the root and what is missing above it; counts what it made. An errno value, or 0. */
static int make_root(char *root, unsigned *made)
{
    if (mkdir(root, FS_DIRECTORY_MODE) == 0) {
        ++*made;
        return 0;
    }
    int why = errno; /* access sets it too */
    if (why != ENOENT)
        return why == EEXIST || access(root, F_OK) == 0 ? 0 : why;
    char *slash = strrchr(root, '/');
    if (slash == NULL || slash == root)
        return ENOENT;
    *slash = '\0';
    int errnum = make_root(root, made);
    *slash = '/';
    if (errnum != 0)
        return errnum;
    if (mkdir(root, FS_DIRECTORY_MODE) != 0 && errno != EEXIST)
        return errno;
    ++*made;
    return 0;
}

rs_rc rs_storage_fs_new(const char *root, struct rs_storage **out, struct rs_err *err)
{
    RS_AUTO(rs_free_ptr) char *path = rs_strdup(root);
    unsigned made = 0;
    int errnum = make_root(path, &made);
    RS_AUTO(rs_fd_close) int fd = errnum == 0 ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0) {
        rs_err_sys(err, errnum != 0 ? errnum : errno, "the storage's root directory %s cannot be %s", root,
                   errnum != 0 ? "created" : "opened");
        if (err != NULL)
            err->rc = RS_E_CONFIG;
        return RS_E_CONFIG;
    }
    struct fs *fs = rs_calloc(1, sizeof(*fs));
    fs->storage.ops = &fs_ops;
    fs_root_init(fs, &fd, root);
    fs->above = RS_MAX(made, 1);
    fs_sync_init(fs);
    *out = &fs->storage;
    return RS_OK;
}
