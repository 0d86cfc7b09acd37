/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/io.h"
#include "events/record.h"
#include "events/spool_priv.h"

static rs_rc begin_segment(struct spool *s, struct rs_err *err)
{
    char path[PATH_MAX];

    rs_fd_close(&s->write_fd);
    spool_segment_path(s, s->last + 1, path, sizeof path); /* only this thread changes `last` */
    RS_AUTO(rs_fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return rs_err_sys(err, errno, "make %s", path);
    rs_mutex_lock(&s->lock);
    spool_add_segment_locked(s, (struct spool_segment){.number = s->last + 1});
    rs_mutex_unlock(&s->lock);
    s->write_fd = rs_fd_take(&fd);
    return RS_OK;
}

/* As many whole records as there is room for in a segment, one at least. */
static rs_str take_chunk(rs_str *records, uint64_t room, uint64_t *out_count)
{
    size_t len = 0;

    *out_count = 0;
    while (len < records->len) {
        size_t next = len + record_length(records->ptr + len);
        if (len > 0 && next > room)
            break;
        len = next;
        ++*out_count;
    }
    rs_str chunk = rs_str_sub(*records, 0, len);
    *records = rs_str_from(*records, len);
    return chunk;
}

/* How many leave the queue with its oldest segment. */
static uint64_t waiting_in_oldest_locked(const struct spool *s)
{
    return s->segments[0].records - (s->mark.segment == s->segments[0].number ? s->mark.records : 0);
}

static void publish(struct spool *s, uint64_t bytes, uint64_t records)
{
    uint64_t victims[64];
    size_t count = 0;

    rs_mutex_lock(&s->lock);
    struct spool_segment *last = &s->segments[s->count - 1];
    last->bytes += bytes;
    last->records += records;
    s->bytes += bytes;
    s->pending += records;
    while (s->bytes > s->max_bytes && s->count > 1 && count < RS_COUNT(victims)) {
        uint64_t lost = waiting_in_oldest_locked(s);
        s->pending -= lost;
        s->dropped += lost;
        victims[count++] = spool_drop_oldest_locked(s);
    }
    pthread_cond_broadcast(&s->more);
    rs_mutex_unlock(&s->lock);
    while (count > 0)
        spool_remove_file(s, victims[--count]);
}

static void drop_rest(struct spool *s, rs_str records, uint64_t count)
{
    uint64_t more = 0;

    take_chunk(&records, UINT64_MAX, &more);
    rs_mutex_lock(&s->lock);
    s->dropped += count + more;
    rs_mutex_unlock(&s->lock);
}

/* Only the appender changes what the last segment holds; the reader may drop segments before it. */
static uint64_t written(struct spool *s)
{
    rs_mutex_lock(&s->lock);
    uint64_t bytes = s->count > 0 && s->write_fd >= 0 ? s->segments[s->count - 1].bytes : UINT64_MAX;
    rs_mutex_unlock(&s->lock);
    return bytes;
}

static rs_rc append_chunk(struct spool *s, rs_str *records, uint64_t *out_count, struct rs_err *err)
{
    uint64_t before = written(s);

    *out_count = 0;
    if (before >= s->segment_bytes) {
        RS_TRY(begin_segment(s, err));
        before = 0;
    }
    rs_str chunk = take_chunk(records, s->segment_bytes - before, out_count);
    if (rs_write_all(s->write_fd, chunk.ptr, chunk.len, err) != RS_OK) {
        if (ftruncate(s->write_fd, (off_t)before) != 0)
            rs_fd_close(&s->write_fd); /* a torn end: nothing may come behind it */
        return rs_err_wrap(err, "%s", s->directory);
    }
    publish(s, chunk.len, *out_count);
    return RS_OK;
}

rs_rc spool_append(struct spool *s, rs_str records, struct rs_err *err)
{
    uint64_t count;

    while (records.len > 0) {
        rs_rc rc = append_chunk(s, &records, &count, err);
        if (rc == RS_OK)
            continue;
        drop_rest(s, records, count);
        return rc;
    }
    return RS_OK;
}
