/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to events: a queue on disk, for one thread that appends and one that reads; others may look at its stats.
 * Nothing is synced: what was appended survives the process, not a loss of power in the seconds that follow.
 */
#pragma once

#include "base/err.h"
#include "base/lock.h"
#include "base/str.h"

struct spool_segment {
    uint64_t number;  /* its file is called so, in 16 hexadecimal digits */
    uint64_t bytes;   /* that may be read */
    uint64_t records; /* in them */
};

/* How far the reader is. */
struct spool_mark {
    uint64_t segment;
    uint64_t offset;
    uint64_t records; /* of that segment, before the offset */
};

struct spool {
    char *directory;
    uint64_t max_bytes;
    uint64_t segment_bytes;
    int position; /* the descriptor of the file that keeps the mark; the reader's */
    int write_fd; /* of the last segment; the appender's; -1: the next append begins one */
    int read_fd;  /* the reader's */
    uint64_t read_number;

    struct rs_mutex lock; /* of what follows */
    pthread_cond_t more;
    struct spool_segment *segments; /* the oldest first; the reader is in it */
    size_t count;
    size_t cap;
    struct spool_mark mark;
    uint64_t last; /* the highest number that was ever used */
    uint64_t bytes;
    uint64_t pending; /* records behind the mark */
    uint64_t dropped;
    bool closing;
};

/* Makes the directory, or finds what an earlier process left in it. */
rs_rc spool_open(struct spool *s, const char *directory, uint64_t max_bytes, struct rs_err *err);
void spool_release(struct spool *s);

/* Records as record_add makes them. Beyond max_bytes the oldest segments go. An error: some of them are not kept; they
 * are counted as dropped. The appender's. */
rs_rc spool_append(struct spool *s, rs_str records, struct rs_err *err);

/* Waits for something to read, at most ms; false: nothing, or the spool is closing. The reader's. */
bool spool_wait(struct spool *s, int64_t ms);
/* Sleeps, unless the spool is closing: then false. */
bool spool_pause(struct spool *s, int64_t ms);
void spool_close(struct spool *s); /* ends both; what is there can be read on. Any thread */

/* Appends up to max events to out, with commas between, as long as they have less than RECORD_MAX bytes together;
 * *out_mark goes to spool_done when they are delivered. *out_count 0: nothing there. The reader's. */
void spool_read(struct spool *s, size_t max, struct rs_buf *out, size_t *out_count, struct spool_mark *out_mark);
void spool_done(struct spool *s, const struct spool_mark *mark);

/* The damaged ends that were passed over count as one dropped event each. Any thread. */
void spool_stats(struct spool *s, uint64_t *out_pending, uint64_t *out_dropped, uint64_t *out_bytes);
