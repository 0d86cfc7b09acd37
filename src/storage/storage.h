/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage: objects under paths ("/docker/registry/v2/…"), on a driver (fs, memory; s3 comes with its issue; faulty
 * wraps one and fails on demand). Paths start with '/', hold no "." or "..", and are bytes of [A-Za-z0-9._/-] only. A
 * handle may be used by any thread. Calls may block, except that reading small things of a local disk is quick.
 *
 * Durability: what a call writes with a batch is durable once rs_storage_sync(batch) has returned RS_OK, and only
 * then may the client be told. Without a batch nothing is promised. See "DURABLE" in fs_sync.c.
 */
#pragma once

#include "base/err.h"
#include "base/source.h"
#include "base/str.h"

struct rs_storage;

struct rs_storage_stat {
    uint64_t size;
    int64_t mtime_s;
    bool is_directory;
    /* Identifies this content: equal stamps mean unchanged bytes, and of a directory the same children. What was read
     * after the stamp was taken may be kept for as long as the stamp stays the same. 0: the driver cannot tell, or it
     * changed too recently to be sure (less than 10 ms ago, on a disk); then do not keep it. */
    uint64_t stamp;
};

/* What a request has written and not yet made durable. On the caller's stack. Of any size: a batch that is full is
 * synced on the way. */
#define RS_BATCH_MAX 16
struct rs_storage_batch {
    size_t count;
    uint64_t epoch;             /* the driver's */
    struct rs_storage_pending { /* the driver's */
        char *directory;        /* whose entries changed */
        uint64_t file;          /* fingerprint of what is then known to be durable, or 0 */
    } pending[RS_BATCH_MAX];
};
void rs_storage_batch_init(struct rs_storage_batch *batch);
void rs_storage_batch_release(struct rs_storage_batch *batch);

void rs_storage_free(struct rs_storage **storage);
const char *rs_storage_name(const struct rs_storage *storage); /* "filesystem", for logs and errors */

/* Says that most looks will be below this directory, which need not be there yet: a driver may keep it at hand. Once,
 * before other threads use the storage. */
void rs_storage_near(struct rs_storage *storage, const char *path);
/* RS_E_NOT_FOUND if there is nothing. */
rs_rc rs_storage_stat(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err);
/* Appends a small object to out, whose ceiling holds. RS_E_NOT_FOUND. */
rs_rc rs_storage_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err);
/* Opens an object for sending. out_stat may be NULL. RS_E_NOT_FOUND. */
rs_rc rs_storage_open(struct rs_storage *storage, const char *path, struct rs_source *out,
                      struct rs_storage_stat *out_stat, struct rs_err *err);
/* Writes a small object whole, replacing one that is there: a reader sees the old or the new. */
rs_rc rs_storage_put(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                     struct rs_err *err);
/* Whether an object may be replaced that holds these bytes; NULL: there is none. May be called several times. */
typedef bool rs_storage_accept(void *ctx, const rs_str *held);
/* As put, but only if `accept` (NULL: always) agrees to what is there: RS_E_PRECONDITION otherwise. From its look to
 * the replacement no other call of this kind for that path comes between, in all processes; put and remove may. Objects
 * that are compared are small (RS_REPLACE_MAX; a larger one is RS_E_CORRUPT). RS_E_UNAVAILABLE: others held the path
 * for seconds. */
#define RS_REPLACE_MAX 4096
rs_rc rs_storage_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept,
                         void *ctx, struct rs_storage_batch *batch, struct rs_err *err);
/* Sets the time of an object's last change to now, and nothing else. RS_E_NOT_FOUND. */
rs_rc rs_storage_touch(struct rs_storage *storage, const char *path, struct rs_err *err);
/* Makes a directory and those above it where they are missing; a driver without directories does nothing. */
rs_rc rs_storage_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                       struct rs_err *err);
/* Promises an object that is there already, perhaps written by another request a moment ago and not yet durable: it is
 * after the sync. Costs nothing if this process has made it durable itself. RS_E_NOT_FOUND. */
rs_rc rs_storage_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch, struct rs_err *err);
/* Removes an object, or everything below a path. Nothing there is RS_OK. */
rs_rc rs_storage_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                        struct rs_err *err);
/* Removes an object if `accept` (NULL: always) agrees to what is there, in one order with rs_storage_replace:
 * RS_E_PRECONDITION otherwise. RS_E_NOT_FOUND. */
rs_rc rs_storage_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                           struct rs_storage_batch *batch, struct rs_err *err);
/* Removes a directory and those above it, `levels` in all, as far as they are empty, and puts the nearest that is left
 * into the batch: with it is durable whatever was removed below without a batch. Harmless to writers. A driver without
 * directories does nothing. */
rs_rc rs_storage_prune(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
                       struct rs_err *err);
/* The children of a directory in any order, in memory that does not grow with their number. The callback returns false
 * to stop. Nothing there, or no directory: RS_E_NOT_FOUND. The directory flag is exact. What is written just now and
 * has no name yet is left out. A child that comes or goes meanwhile may be told or not, or twice; all others are told
 * once. */
typedef bool rs_storage_visit(void *ctx, rs_str name, bool is_directory);
rs_rc rs_storage_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                      struct rs_err *err);
/* As scan, and also tells what has no name yet: files whose names end in ".tmp", which somebody is just writing, or
 * which somebody has left who was killed. */
rs_rc rs_storage_scan_all(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                          struct rs_err *err);
/* Gives an object another name, in one step, and makes the directories of that name where they are missing. Never
 * replaces: RS_E_EXISTS. RS_E_NOT_FOUND. Durable with the batch: that it is gone here, and that it is there. */
rs_rc rs_storage_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
                      struct rs_err *err);
/* Makes what the batch holds durable, and empties it. Syncs of concurrent callers are grouped. */
rs_rc rs_storage_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err);

/* An object that grows: an upload's data. One writer in all processes. */
struct rs_storage_file;
/* Makes one, without bytes, where there is none. Not durable. */
rs_rc rs_storage_append_create(struct rs_storage *storage, const char *path, struct rs_err *err);
/* Opens it at its end, and never makes it: what was published or removed stays so. RS_E_NOT_FOUND; RS_E_BUSY: another
 * writer holds it. *out_size: what it holds already. */
rs_rc rs_storage_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out,
                             uint64_t *out_size, struct rs_err *err);
/* On an error nothing of it is kept (a crash may still leave a part). RS_E_STORAGE_FULL. */
rs_rc rs_storage_append(struct rs_storage_file *file, const void *data, size_t len, struct rs_err *err);
/* Reads what was written, from any offset; *out_n == 0 at the end. */
rs_rc rs_storage_append_read(struct rs_storage_file *file, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                             struct rs_err *err);
/* False: the machine may have started anew since the file was last written, and what was not synced then may be lost or
 * damaged. A hash state stored elsewhere says nothing about such bytes: read them again. */
bool rs_storage_append_trusted(const struct rs_storage_file *file);
/* Keeps what was written (not durably) and lets go of it. NULL is fine. */
void rs_storage_append_close(struct rs_storage_file **file);
/* Makes it the object at `path`, its bytes synced, and closes it. If there is one of the same size already, that one
 * stays (the path says the content's digest) and ours is removed. On an error the file stays open; if its bytes could
 * not be synced they are removed, since nobody knows what is on the disk then. */
rs_rc rs_storage_publish(struct rs_storage_file **file, const char *path, struct rs_storage_batch *batch,
                         struct rs_err *err);

/* --- drivers --- */
/* The local disk. Makes the root directory if it is missing. RS_E_CONFIG if it cannot be used. */
rs_rc rs_storage_fs_new(const char *root, struct rs_storage **out, struct rs_err *err);
/* Memory: all is gone with the storage. limit: bytes that it may use, names included (RS_E_STORAGE_FULL beyond); 0:
 * half of the machine's, or of the control group's. RS_E_CONFIG if it cannot be used. */
rs_rc rs_storage_memory_new(uint64_t limit, struct rs_storage **out, struct rs_err *err);

/* How long it may take until every process sees what one has written; 0 on a local disk. */
int64_t rs_storage_lag_ms(const struct rs_storage *storage);
/* How many flushes (fsync, fdatasync) were asked for since the start, for the bench and tests. */
uint64_t rs_storage_flushes(const struct rs_storage *storage);
