/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the driver of the local disk: fs.c (objects), fs_append.c, fs_list.c (scan, remove), fs_near.c,
 * fs_replace.c, fs_root.c, fs_sync.c. */
#pragma once

#include <limits.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "storage/storage_priv.h"

/* registry:2's modes, less the umask. */
#define FS_DIRECTORY_MODE 0777
#define FS_FILE_MODE 0666
/* A path with the suffix of a temporary name: "." 16 digits ".tmp". */
#define FS_TMP_SIZE (RS_STORAGE_PATH_MAX + 32)

/* What a directory or file is, to recognise it again. */
struct fs_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t fingerprint; /* of this incarnation of the inode, and of a file's content; 0: cannot be told */
    bool is_directory;
    bool is_file;
};

/* Buckets of fingerprints; what is pushed out of a full bucket is synced once more, no harm done. */
#define FS_DURABLE_BUCKETS 4096
#define FS_DURABLE_WAYS 4
struct fs_durable {
    struct rs_mutex mutex;
    uint64_t (*buckets)[FS_DURABLE_WAYS];
};

struct fs_flush;

struct fs {
    struct rs_storage storage;
    int root; /* the number stays; see ROOT in fs_root.c */
    char *root_path;
    atomic_uint_fast64_t epoch; /* odd while the root is exchanged */
    atomic_int_fast64_t looked_ms;
    atomic_bool looking;
    atomic_bool gone;         /* at the last look */
    atomic_bool remote;       /* on a file system that remembers what others have changed: see REMOTE in fs_root.c */
    unsigned above;           /* directories above the root whose entries may be new */
    atomic_bool above_synced; /* once is enough */
    char *near_path;          /* see NEAR in fs_near.c; NULL: no directory was announced */
    size_t near_len;
    int near_fd;
    atomic_bool near_usable;
    atomic_int_fast64_t near_ms; /* when it was opened */
    atomic_uint_fast64_t flushes;
    struct fs_durable durable;
    struct rs_mutex flush_mutex;
    struct fs_flush *running; /* under flush_mutex: what is being synced, or waits for it */
};

/* The path for the …at() calls, below the root descriptor. */
const char *fs_relative(const char *path);
/* The directory that holds an object: "/" at least. */
rs_str fs_parent(const char *path);
/* Mixes a value into a fingerprint. */
uint64_t fs_mix(uint64_t hash, uint64_t value);
/* Makes a directory and those above it, where they are missing. Others may remove it meanwhile: look again. */
rs_rc fs_make_directory(struct fs *fs, rs_str directory, struct rs_err *err);
/* Why something could not be created: never "not found" or "exists", since nobody asked that. */
rs_rc fs_err_place(struct rs_err *err, int errnum, const char *path);
/* Why something that is there could not be used: "cannot <verb> <path>". */
rs_rc fs_err_use(struct fs *fs, struct rs_err *err, int errnum, const char *verb, const char *path);

rs_rc fs_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err);
/* Writes bytes under a temporary name beside `path`, to be renamed; synced if durable. *out is known only then. */
rs_rc fs_write_temporary(struct fs *fs, const char *path, rs_str bytes, bool durable, char tmp[FS_TMP_SIZE],
                         struct fs_identity *out, struct rs_err *err);

/* fs_replace.c: see SWAP there. */
rs_rc fs_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept, void *ctx,
                 struct rs_storage_batch *batch, struct rs_err *err);
rs_rc fs_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                   struct rs_storage_batch *batch, struct rs_err *err);

/* fs_root.c: see ROOT there. */
void fs_root_init(struct fs *fs, int *fd, const char *path);
void fs_root_release(struct fs *fs);
/* To be asked when something is missing: RS_E_UNAVAILABLE if that was the root. */
rs_rc fs_root_check(struct fs *fs, struct rs_err *err);
/* rs_storage_batch_room, and notes which root the batch is about. */
rs_rc fs_batch_room(struct fs *fs, struct rs_storage_batch *batch, struct rs_err *err);

/* fs_near.c: see NEAR there. */
void fs_near(struct rs_storage *storage, const char *path);
void fs_near_release(struct fs *fs);
void fs_near_forget(struct fs *fs); /* the root is another one */
struct stat;
int fs_stat_path(struct fs *fs, const char *path, struct stat *out); /* an errno value, or 0 */

/* fs_sync.c */
void fs_sync_init(struct fs *fs);
void fs_sync_release(struct fs *fs);
/* Counted fsync. An errno value, or 0. */
int fs_fsync(struct fs *fs, int fd);
/* Of an open file; of a directory's entry, without following a link. An errno value, or 0. */
int fs_identify(int fd, struct fs_identity *out);
int fs_identify_at(int dir_fd, const char *name, struct fs_identity *out);
/* Must be called before the inode is removed, since its number may be used again at once. */
void fs_forget(struct fs *fs, const struct fs_identity *identity);
void fs_forget_all(struct fs *fs);
rs_rc fs_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
rs_rc fs_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
rs_rc fs_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err);

/* fs_list.c */
rs_rc fs_scan_all(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx, struct rs_err *err);
rs_rc fs_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
              struct rs_err *err); /* fs_move.c */
/* Renames a path below the root without replacing. An errno value, or 0. fs_append.c */
int fs_rename_new(struct fs *fs, const char *from, const char *to);
rs_rc fs_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx, struct rs_err *err);
rs_rc fs_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);

/* fs_prune.c */
rs_rc fs_prune(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
               struct rs_err *err);

/* fs_append.c */
rs_rc fs_append_create(struct rs_storage *storage, const char *path, struct rs_err *err);
rs_rc fs_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out, uint64_t *out_size,
                     struct rs_err *err);
rs_rc fs_append(struct rs_storage_file *file, const void *data, size_t len, struct rs_err *err);
rs_rc fs_append_read(struct rs_storage_file *file, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                     struct rs_err *err);
bool fs_append_trusted(const struct rs_storage_file *file);
void fs_append_close(struct rs_storage_file *file);
rs_rc fs_publish(struct rs_storage_file *file, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
