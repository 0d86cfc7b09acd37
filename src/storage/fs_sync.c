/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DURABLE: why what rs_storage_sync has acknowledged survives a loss of power.
 *
 * We assume of the disk only what POSIX gives: the bytes of a file are safe once fsync(file) has returned, an entry of
 * a directory (a name made, replaced or removed) once fsync(directory) has returned. Nothing is assumed about the order
 * in which the rest arrives.
 *
 * 1. Bytes before names. put and publish sync the file before its final name exists. So whichever names survive, no
 *    object is ever seen empty, short or torn.
 * 2. Names before the answer. For each changed directory D of the batch: sync D, always. D's own entry stands in its
 *    parent, that one's in the next, up to the root; any of them may be new. Who made them does not matter: another
 *    request or another process may have made one a moment ago, still on its way to its own sync. So we do not ask "did
 *    I make it" but "do I know it to be durable": sync the parent of each directory, upward, until one is met that is
 *    known. After the parent's sync (and what is above it) has succeeded, and not before, the directory is known.
 * 3. What is known is a fingerprint of device, inode, time of birth, and for files of size and time of change: a
 *    directory that was removed and made again is another one. The birth time is coarse (a tick, some ms) and inode
 *    numbers are used again, so fs_remove forgets what it removes. What remains: another process removes and makes
 *    again, within the tick in which the first was made, and synced by us. A file system without birth times is never
 *    trusted: the walk then goes up to the root each time. Knowing too little costs a sync; nothing else.
 *    The root's own entry stands in a directory that is not ours: it is synced once, with the first walk that comes so
 *    far, and so are the entries of the directories above it that we made. One that we may not open is the operator's.
 * 4. Objects that are there already (fs_keep; publish onto an existing blob): visible is not durable, since whoever
 *    wrote it may still be in step 2. Unless the file is known, sync it, and its directory goes into the batch.
 *    A file becomes known when the sync of its batch has succeeded.
 * 5. Grouping. A sync helps a request only if it begins after the request's change. A request that finds a sync of the
 *    same directory running therefore waits for the next one, which serves all who wait by then. Nobody waits for more
 *    than two. Each directory is synced once in a batch: all changes of a batch come before its sync.
 * 6. Failure. A round that fails fails for everybody it serves, and nothing becomes known by it. After a failed fsync
 *    of a file its bytes are unknown and it is removed (fs_append.c; a temporary file likewise). After a failed fsync
 *    of a directory the file system has lost its journal and turns read-only; a later success is not relied upon for
 *    the same request: it gets the error.
 *
 * Which syncs are saved without weakening this: ancestors that several entries of a batch share; directories known
 * from earlier requests; rounds shared with others; files that this process has synced itself. Temporary names, grown
 * uploads and removed uploads are not synced at all, since nobody was promised anything about them.
 *
 * No lock is held during input or output.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "storage/fs_priv.h"

/* A directory or file that somebody syncs, or waits to have synced. Lives as long as anybody refers to it. */
struct fs_flush {
    struct fs_flush *next;
    uint64_t device;
    uint64_t inode;
    unsigned references;
    bool busy;         /* a round is running */
    uint64_t started;  /* rounds */
    uint64_t finished; /* the last round that has ended */
    uint64_t failed;   /* the last round that has failed, with … */
    int errnum;
    pthread_cond_t ended;
};

void fs_sync_init(struct fs *fs)
{
    rs_mutex_init(&fs->flush_mutex, RS_LOCK_SYNC);
    rs_mutex_init(&fs->durable.mutex, RS_LOCK_DURABLE);
    fs->durable.buckets = rs_calloc(FS_DURABLE_BUCKETS, sizeof(*fs->durable.buckets));
}

void fs_sync_release(struct fs *fs)
{
    RS_ASSERT(fs->running == NULL);
    rs_mutex_release(&fs->flush_mutex);
    rs_mutex_release(&fs->durable.mutex);
    rs_free_ptr(&fs->durable.buckets);
}

/* --- identity --- */

static uint64_t mix_time(uint64_t hash, const struct statx_timestamp *time)
{
    return fs_mix(fs_mix(hash, (uint64_t)time->tv_sec), time->tv_nsec);
}

static int identify(int fd, const char *name, int flags, struct fs_identity *out)
{
    struct statx sx;
    if (statx(fd, name, flags, STATX_TYPE | STATX_INO | STATX_SIZE | STATX_MTIME | STATX_BTIME, &sx) != 0)
        return errno;
    *out = (struct fs_identity){
        .device = makedev(sx.stx_dev_major, sx.stx_dev_minor),
        .inode = sx.stx_ino,
        .is_directory = S_ISDIR(sx.stx_mode),
        .is_file = S_ISREG(sx.stx_mode),
    };
    if ((sx.stx_mask & STATX_BTIME) == 0)
        return 0;
    uint64_t hash = mix_time(fs_mix(out->device, out->inode), &sx.stx_btime);
    if (!out->is_directory)
        hash = mix_time(fs_mix(hash, sx.stx_size), &sx.stx_mtime);
    out->fingerprint = hash != 0 ? hash : 1;
    return 0;
}

int fs_identify(int fd, struct fs_identity *out)
{
    return identify(fd, "", AT_EMPTY_PATH, out);
}

int fs_identify_at(int dir_fd, const char *name, struct fs_identity *out)
{
    return identify(dir_fd, name, AT_SYMLINK_NOFOLLOW, out);
}

/* --- what is known to be durable --- */

static uint64_t *bucket_of(struct fs *fs, uint64_t fingerprint)
{
    return fs->durable.buckets[fingerprint % FS_DURABLE_BUCKETS];
}

static bool is_known(struct fs *fs, uint64_t fingerprint)
{
    if (fingerprint == 0)
        return false;
    bool found = false;
    rs_mutex_lock(&fs->durable.mutex);
    const uint64_t *bucket = bucket_of(fs, fingerprint);
    for (size_t i = 0; i < FS_DURABLE_WAYS; i++)
        found = found || bucket[i] == fingerprint;
    rs_mutex_unlock(&fs->durable.mutex);
    return found;
}

/* The newest stands first; the last falls out. What was learnt of another root is dropped. */
static void make_known(struct fs *fs, uint64_t fingerprint, uint64_t epoch)
{
    if (fingerprint == 0 || is_known(fs, fingerprint))
        return;
    rs_mutex_lock(&fs->durable.mutex);
    if (atomic_load(&fs->epoch) == epoch) {
        uint64_t *bucket = bucket_of(fs, fingerprint);
        memmove(bucket + 1, bucket, (FS_DURABLE_WAYS - 1) * sizeof(*bucket));
        bucket[0] = fingerprint;
    }
    rs_mutex_unlock(&fs->durable.mutex);
}

void fs_forget(struct fs *fs, const struct fs_identity *identity)
{
    rs_mutex_lock(&fs->durable.mutex);
    uint64_t *bucket = bucket_of(fs, identity->fingerprint);
    for (size_t i = 0; i < FS_DURABLE_WAYS; i++)
        if (bucket[i] == identity->fingerprint)
            bucket[i] = 0;
    rs_mutex_unlock(&fs->durable.mutex);
}

void fs_forget_all(struct fs *fs)
{
    rs_mutex_lock(&fs->durable.mutex);
    memset(fs->durable.buckets, 0, FS_DURABLE_BUCKETS * sizeof(*fs->durable.buckets));
    rs_mutex_unlock(&fs->durable.mutex);
}

/* --- flushes --- */

int fs_fsync(struct fs *fs, int fd)
{
    int rc;
    do {
        atomic_fetch_add_explicit(&fs->flushes, 1, memory_order_relaxed);
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

static struct fs_flush *flush_ref_locked(struct fs *fs, const struct fs_identity *identity)
{
    struct fs_flush *flush = fs->running;
    while (flush != NULL && (flush->inode != identity->inode || flush->device != identity->device))
        flush = flush->next;
    if (flush == NULL) {
        flush = rs_calloc(1, sizeof(*flush));
        flush->device = identity->device;
        flush->inode = identity->inode;
        rs_cond_init(&flush->ended);
        flush->next = fs->running;
        fs->running = flush;
    }
    flush->references++;
    return flush;
}

static void flush_unref_locked(struct fs *fs, struct fs_flush *flush)
{
    if (--flush->references != 0)
        return;
    struct fs_flush **link = &fs->running;
    while (*link != flush)
        link = &(*link)->next;
    *link = flush->next;
    pthread_cond_destroy(&flush->ended);
    free(flush);
}

/* Runs the next round; the lock is let go of meanwhile. */
static void lead_round_locked(struct fs *fs, struct fs_flush *flush, int fd)
{
    uint64_t round = ++flush->started;
    flush->busy = true;
    rs_mutex_unlock(&fs->flush_mutex);
    int errnum = fs_fsync(fs, fd);
    rs_mutex_lock(&fs->flush_mutex);
    flush->busy = false;
    flush->finished = round;
    if (errnum != 0) {
        flush->failed = round;
        flush->errnum = errnum;
    }
    pthread_cond_broadcast(&flush->ended);
}

/* Syncs, or has it synced by a round that begins after this call: DURABLE 5. An errno value, or 0. */
static int flush_grouped(struct fs *fs, int fd, const struct fs_identity *identity)
{
    rs_mutex_lock(&fs->flush_mutex);
    struct fs_flush *flush = flush_ref_locked(fs, identity);
    uint64_t wanted = flush->started + 1;
    while (flush->finished < wanted) {
        if (flush->busy)
            rs_cond_wait(&flush->ended, &fs->flush_mutex);
        else
            lead_round_locked(fs, flush, fd);
    }
    int errnum = flush->failed >= wanted ? flush->errnum : 0;
    flush_unref_locked(fs, flush);
    rs_mutex_unlock(&fs->flush_mutex);
    return errnum;
}

/* --- the walk upward --- */

/* The directories that this call has synced already. When it is full, one may be synced twice. */
#define WALK_MAX 64
struct walk {
    struct fs *fs;
    uint64_t epoch;
    size_t count;
    struct fs_identity done[WALK_MAX];
};

static bool walk_did(const struct walk *walk, const struct fs_identity *identity)
{
    for (size_t i = 0; i < walk->count; i++)
        if (walk->done[i].inode == identity->inode && walk->done[i].device == identity->device)
            return true;
    return false;
}

/* Syncs the directory itself, once. */
static rs_rc walk_flush(struct walk *walk, const char *path, struct fs_identity *out, struct rs_err *err)
{
    RS_AUTO(rs_fd_close) int fd = openat(walk->fs->root, fs_relative(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rs_err_sys(err, errno, "cannot open the directory %s to sync it", path);
    int errnum = fs_identify(fd, out);
    if (errnum == 0 && !walk_did(walk, out))
        errnum = flush_grouped(walk->fs, fd, out);
    if (errnum != 0)
        return rs_err_sys(err, errnum == ENOENT ? EIO : errnum, "cannot sync the directory %s", path);
    if (walk->count < WALK_MAX)
        walk->done[walk->count++] = *out;
    return RS_OK;
}

static rs_rc walk_above(struct walk *walk, struct rs_err *err)
{
    char path[PATH_MAX] = "";
    for (unsigned i = 0; i < walk->fs->above && 3 * i + 3 < sizeof(path); i++) {
        memcpy(path + 3 * i, "../", 4);
        RS_AUTO(rs_fd_close) int fd = openat(walk->fs->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int errnum = fd >= 0 ? fs_fsync(walk->fs, fd) : 0;
        if (errnum != 0)
            return rs_err_sys(err, errnum, "cannot sync the directory above the storage's root");
    }
    atomic_store(&walk->fs->above_synced, true);
    return RS_OK;
}

/* DURABLE 2. The path is cut on the way up. */
static rs_rc walk_up(struct walk *walk, char *path, struct rs_err *err)
{
    struct fs_identity identity;
    rs_rc rc = walk_flush(walk, path, &identity, err);
    bool root = path[1] == '\0';
    if (rc != RS_OK && (rc != RS_E_NOT_FOUND || root))
        return rc;
    /* NOT_FOUND: somebody has removed it meanwhile; then the nearest that is left must say so. */
    if (root && !atomic_load(&walk->fs->above_synced))
        return walk_above(walk, err);
    if (rc == RS_OK && (root || is_known(walk->fs, identity.fingerprint)))
        return RS_OK;
    path[fs_parent(path).len] = '\0';
    RS_TRY(walk_up(walk, path, err));
    if (rc == RS_OK)
        make_known(walk->fs, identity.fingerprint, walk->epoch);
    return RS_OK;
}

rs_rc fs_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct walk walk;
    walk.fs = (struct fs *)storage;
    walk.epoch = batch->epoch;
    walk.count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        char path[RS_STORAGE_PATH_MAX + 1];
        RS_ASSERT(rs_str_copy_z(rs_str_c(batch->pending[i].directory), path, sizeof(path)));
        RS_TRY(walk_up(&walk, path, err));
    }
    if (batch->count != 0 && atomic_load(&walk.fs->epoch) != batch->epoch) /* see ROOT in fs_root.c */
        return rs_err_set(err, RS_E_UNAVAILABLE,
                          "the storage's root directory was exchanged while this was written to it: send it again");
    for (size_t i = 0; i < batch->count; i++)
        make_known(walk.fs, batch->pending[i].file, walk.epoch);
    return RS_OK;
}

/* --- objects that are there already --- */

/* DURABLE 4. */
rs_rc fs_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    struct fs_identity identity;
    int errnum = identify(fs->root, fs_relative(path), 0, &identity);
    if (errnum == 0 && is_known(fs, identity.fingerprint))
        return RS_OK;
    RS_TRY(fs_batch_room(fs, batch, err));
    RS_AUTO(rs_fd_close) int fd = openat(fs->root, fs_relative(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fs_err_use(fs, err, errno, "open and sync", path);
    errnum = fs_identify(fd, &identity);
    if (errnum == 0 && !identity.is_file)
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is no file", path);
    if (errnum == 0)
        errnum = flush_grouped(fs, fd, &identity);
    if (errnum != 0)
        return rs_err_sys(err, errnum == ENOENT ? EIO : errnum, "cannot sync %s", path);
    rs_storage_batch_add(batch, fs_parent(path), identity.fingerprint);
    return RS_OK;
}

/* Only its entry has to be synced, since nothing is in it yet that we promise. */
rs_rc fs_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct fs *fs = (struct fs *)storage;
    struct fs_identity identity;
    int errnum = identify(fs->root, fs_relative(path), 0, &identity);
    if (errnum == 0 && identity.is_directory && is_known(fs, identity.fingerprint))
        return RS_OK;
    RS_TRY(fs_batch_room(fs, batch, err));
    RS_TRY(fs_make_directory(fs, rs_str_c(path), err));
    errnum = identify(fs->root, fs_relative(path), 0, &identity);
    if (errnum != 0 || !identity.is_directory)
        return fs_err_place(err, errnum != 0 ? errnum : ENOTDIR, path);
    rs_storage_batch_add(batch, fs_parent(path), identity.fingerprint);
    return RS_OK;
}
